#define _GNU_SOURCE
#include "memory.h"
#include <sys/mman.h>

int guise_memfd_create(const char *name, unsigned flags) { return memfd_create(name, flags); }

void *guise_alias(void *shared, unsigned long size, void *place) {
    // mremap of length 0 duplicates a shared mapping (mremap(2), "old_size").
    void *p = place ? mremap(shared, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, place) : mremap(shared, 0, size, MREMAP_MAYMOVE);
    return p == MAP_FAILED ? 0 : p;
}

void *guise_move(void *from, unsigned long size, void *place) {
    void *p = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    return p == MAP_FAILED ? 0 : p;
}
