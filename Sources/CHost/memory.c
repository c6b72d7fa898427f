#define _GNU_SOURCE
#include "memory.h"
#include <sys/mman.h>

int guise_memfd_create(const char *name, unsigned flags) { return memfd_create(name, flags); }
