#include "cpu.h"

int guise_cpu_has_v3(void) { return __builtin_cpu_supports("x86-64-v3") ? 1 : 0; }

int guise_cpu_is_amd(void) { return __builtin_cpu_is("amd") ? 1 : 0; }

int guise_cpu_vector_features(void) {
    return (__builtin_cpu_supports("aes") ? 1 : 0) | (__builtin_cpu_supports("pclmul") ? 2 : 0)
         | (__builtin_cpu_supports("sha") ? 4 : 0);
}
