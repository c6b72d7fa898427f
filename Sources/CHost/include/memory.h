// Host memory calls that Swift's Glibc module does not show. Names match the system calls.
#pragma once
int guise_memfd_create(const char *name, unsigned flags);
