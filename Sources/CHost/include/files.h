// Host file calls and constants that Swift's Glibc module does not show. Names match the system calls; every call
// returns -1 and sets errno on failure, as the C library does.
#pragma once

extern const int guise_O_PATH;
extern const int guise_AT_EMPTY_PATH;
extern const long guise_UTIME_NOW;
extern const long guise_UTIME_OMIT;

/// fallocate modes the devices use.
int guise_punch_hole(int fd, long offset, long length);
int guise_zero_range(int fd, long offset, long length);

long guise_getrandom(void *buffer, unsigned long length);
long guise_getdents64(int fd, void *buffer, unsigned long length);

long guise_getxattr(const char *path, const char *name, void *value, unsigned long size);
long guise_listxattr(const char *path, char *list, unsigned long size);
int guise_setxattr(const char *path, const char *name, const void *value, unsigned long size, int flags);
int guise_removexattr(const char *path, const char *name);

/// What statfs tells, without the system's struct.
struct guise_statfs {
    unsigned type, bsize;
    unsigned long blocks, bfree, bavail, files, ffree, fsid;
    unsigned namelen;
};
int guise_fstatfs(int fd, struct guise_statfs *out);

/// An advisory record lock owned by the open file description, never waiting.
/// `type` is 0 read, 1 write, 2 unlock; `length` 0 means to the end of the file. Returns 0, or -1 with errno.
int guise_ofd_lock(int fd, int type, long start, long length);
/// Replaces the arguments by the lock that would conflict, or sets `*type` to 2 when none does.
int guise_ofd_getlock(int fd, int *type, long *start, long *length);

unsigned guise_major(unsigned long device);
unsigned guise_minor(unsigned long device);
