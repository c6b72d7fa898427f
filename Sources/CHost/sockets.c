#define _GNU_SOURCE
#include "sockets.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int guise_accept(int listener) { return accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC); }

int guise_open_pty(char *path, unsigned long capacity) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0) return -1;
    int code = grantpt(master) != 0 || unlockpt(master) != 0 ? errno : ptsname_r(master, path, capacity);
    if (code == 0) return master;
    close(master);
    errno = code;
    return -1;
}
