#define _GNU_SOURCE
#include "files.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

const int guise_O_PATH = O_PATH;
const int guise_AT_EMPTY_PATH = AT_EMPTY_PATH;
const long guise_UTIME_NOW = UTIME_NOW;
const long guise_UTIME_OMIT = UTIME_OMIT;

int guise_punch_hole(int fd, long offset, long length) {
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int guise_zero_range(int fd, long offset, long length) {
    return fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, length);
}

long guise_getrandom(void *buffer, unsigned long length) { return getrandom(buffer, length, 0); }
long guise_getdents64(int fd, void *buffer, unsigned long length) { return getdents64(fd, buffer, length); }

long guise_getxattr(const char *path, const char *name, void *value, unsigned long size) {
    return getxattr(path, name, value, size);
}

long guise_listxattr(const char *path, char *list, unsigned long size) { return listxattr(path, list, size); }

int guise_setxattr(const char *path, const char *name, const void *value, unsigned long size, int flags) {
    return setxattr(path, name, value, size, flags);
}

int guise_removexattr(const char *path, const char *name) { return removexattr(path, name); }

int guise_fstatfs(int fd, struct guise_statfs *out) {
    struct statfs s;
    if (fstatfs(fd, &s) != 0) return -1;
    out->type = (unsigned)s.f_type;
    out->bsize = (unsigned)s.f_bsize;
    out->blocks = s.f_blocks;
    out->bfree = s.f_bfree;
    out->bavail = s.f_bavail;
    out->files = s.f_files;
    out->ffree = s.f_ffree;
    out->fsid = 0;
    memcpy(&out->fsid, &s.f_fsid, sizeof s.f_fsid < sizeof out->fsid ? sizeof s.f_fsid : sizeof out->fsid);
    out->namelen = (unsigned)s.f_namelen;
    return 0;
}

static const short lock_types[] = {F_RDLCK, F_WRLCK, F_UNLCK};

int guise_ofd_lock(int fd, int type, long start, long length) {
    if (type < 0 || type > 2) { errno = EINVAL; return -1; }
    struct flock lock = {.l_type = lock_types[type], .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, F_OFD_SETLK, &lock);
}

int guise_ofd_getlock(int fd, int *type, long *start, long *length) {
    if (*type < 0 || *type > 2) { errno = EINVAL; return -1; }
    struct flock lock = {.l_type = lock_types[*type], .l_whence = SEEK_SET, .l_start = *start, .l_len = *length};
    if (fcntl(fd, F_OFD_GETLK, &lock) != 0) return -1;
    *type = lock.l_type == F_RDLCK ? 0 : lock.l_type == F_WRLCK ? 1 : 2;
    *start = lock.l_start;
    *length = lock.l_len;
    return 0;
}

unsigned guise_major(unsigned long device) { return major(device); }
unsigned guise_minor(unsigned long device) { return minor(device); }
