// The content of a directory into a fresh tmpfs (`tmpcopyup`). The source is the image's and may be hostile: nothing is
// followed, and depth is bounded.
#include "init.h"
#include <dirent.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/xattr.h>

enum { depth_max = 64 };

// Extended attributes, access control lists among them, of `name` in a directory, or of the directory itself for ".". What the
// tmpfs cannot hold, or the process may not set, stays behind: labels of security modules are the new file system's business.
static int copy_attributes(int from, int to, const char *name) {
    static char names[XATTR_LIST_MAX], value[XATTR_SIZE_MAX];
    char source[64 + NAME_MAX], target[64 + NAME_MAX];
    // No call takes a directory and a name; the last link is not followed, and the directories are open.
    snprintf(source, sizeof source, "/proc/self/fd/%d/%s", from, name);
    snprintf(target, sizeof target, "/proc/self/fd/%d/%s", to, name);
    long length = llistxattr(source, names, sizeof names);
    if (length < 0) return errno == EOPNOTSUPP ? 0 : -1;
    for (const char *at = names; at < names + length; at += strlen(at) + 1) {
        long size = lgetxattr(source, at, value, sizeof value);
        if (size < 0 && (errno == ENODATA || errno == EPERM || errno == EOPNOTSUPP)) continue;
        if (size < 0) return -1;
        if (lsetxattr(target, at, value, (unsigned long)size, 0) == 0) continue;
        if (errno != EPERM && errno != EOPNOTSUPP) return -1;
    }
    return 0;
}

static int copy_file(int from, int to, const char *name, const struct stat *status) {
    int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (in < 0) return -1;
    int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed = out < 0;
    while (!failed) {
        long sent = sendfile(out, in, 0, 1 << 30);
        if (sent <= 0) { failed = sent < 0; break; }
    }
    if (!failed) failed = fchown(out, status->st_uid, status->st_gid) != 0 || fchmod(out, status->st_mode & 07777) != 0;
    int code = errno;
    close(in);
    if (out >= 0) close(out);
    errno = code;
    return failed ? -1 : 0;
}

static int copy_entry(int from, int to, const char *name, int depth) {
    struct stat status;
    if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return -1;
    if (S_ISREG(status.st_mode)) return copy_file(from, to, name, &status) == 0 ? copy_attributes(from, to, name) : -1;
    if (S_ISLNK(status.st_mode)) {
        char link[4096];
        long length = readlinkat(from, name, link, sizeof link - 1);
        if (length < 0) return -1;
        link[length] = 0;
        if (symlinkat(link, to, name) != 0) return -1;
        if (fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) return -1;
        return copy_attributes(from, to, name);
    }
    if (!S_ISDIR(status.st_mode)) {
        if (mknodat(to, name, status.st_mode, status.st_rdev) != 0) return -1;
        if (fchownat(to, name, status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) return -1;
        if (fchmodat(to, name, status.st_mode & 07777, 0) != 0) return -1;
        return copy_attributes(from, to, name);
    }
    if (mkdirat(to, name, 0700) != 0) return -1;
    int below = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int made = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int failed = below < 0 || made < 0 || guise_copy_tree(below, made, depth + 1) != 0;
    int code = errno;
    if (below >= 0) close(below);
    if (made >= 0) close(made);
    errno = code;
    return failed ? -1 : 0;
}

int guise_copy_tree(int from, int to, int depth) {
    struct stat status;
    if (depth > depth_max) { errno = ELOOP; return -1; }
    int again = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = again < 0 ? 0 : fdopendir(again);
    if (!directory) return -1;
    int failed = 0;
    for (struct dirent *entry; !failed && (errno = 0, entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        failed = copy_entry(from, to, entry->d_name, depth) != 0;
    }
    if (!failed) failed = errno != 0;
    int code = errno;
    closedir(directory);
    if (!failed && fstat(from, &status) == 0) {
        failed = fchownat(to, "", status.st_uid, status.st_gid, AT_EMPTY_PATH) != 0
            || fchmodat(to, ".", status.st_mode & 07777, 0) != 0 || copy_attributes(from, to, ".") != 0;
        code = errno;
    }
    errno = code;
    return failed ? -1 : 0;
}
