// Socket and pseudo-terminal calls that Swift's Glibc module does not show.
#pragma once
// accept4 without an address; the descriptor is non-blocking and close-on-exec. -1 with errno on failure.
int guise_accept(int listener);
// A new pseudo-terminal's master, non-blocking and close-on-exec, with the slave's path in `path`. -1 with errno.
int guise_open_pty(char *path, unsigned long capacity);
