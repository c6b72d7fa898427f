// Host memory calls that Swift's Glibc module does not show. Names match the system calls.
#pragma once
int guise_memfd_create(const char *name, unsigned flags);

// A second mapping of the same shared pages: at `place`, replacing what is there, or anywhere when it is 0. NULL on failure.
void *guise_alias(void *shared, unsigned long size, void *place);
// Moves a mapping to `place`, replacing what is there. NULL on failure.
void *guise_move(void *from, unsigned long size, void *place);

// madvise: makes pages present for writing, as if each had been written to (Linux 5.14; EINVAL before).
static const int guise_MADV_POPULATE_WRITE = 23;
