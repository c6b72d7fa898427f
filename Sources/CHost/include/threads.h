// Thread calls that Swift's Glibc module does not show.
#pragma once
// Names the calling thread; at most 15 bytes are kept.
void guise_thread_set_name(const char *name);
