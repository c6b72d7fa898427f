#include "cpu.h"

int guise_cpu_has_v3(void) { return __builtin_cpu_supports("x86-64-v3") ? 1 : 0; }
