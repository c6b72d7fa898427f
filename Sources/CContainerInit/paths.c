// Paths below the container's root: never left, whatever symbolic links the image holds.
#include "init.h"
#include <stdio.h>
#include <stdlib.h>

static int open_beneath(int root, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    // EAGAIN: something below was renamed meanwhile and the kernel could not tell whether the path left the root.
    for (int attempt = 0;; attempt++) {
        int file = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
        if (file >= 0 || errno != EAGAIN || attempt >= 64) return file;
    }
}

int guise_resolve(struct init *init, const char *path, int flags) {
    while (*path == '/') path++;
    return open_beneath(init->root, *path ? path : ".", flags ? flags : O_PATH);
}

static int target(struct init *init, const char *path, int make, int links);

static int parent(struct init *init, const char *path, char *name, unsigned long capacity, int links) {
    char directory[4096];
    unsigned long length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    unsigned long start = length;
    while (start > 0 && path[start - 1] != '/') start--;
    if (length >= sizeof directory || length - start >= capacity) { errno = ENAMETOOLONG; return -1; }
    memcpy(name, path + start, length - start);
    name[length - start] = 0;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) { errno = EINVAL; return -1; }
    memcpy(directory, path, start);
    directory[start] = 0;
    return target(init, start ? directory : "/", guise_make_directory, links);
}

int guise_parent(struct init *init, const char *path, char *name, unsigned long capacity) {
    return parent(init, path, name, capacity, 0);
}

static int target(struct init *init, const char *path, int make, int links) {
    int file = guise_resolve(init, path, make == guise_make_directory ? O_PATH | O_DIRECTORY : O_PATH);
    if (file >= 0 || errno != ENOENT || make == guise_make_nothing) return file;
    if (links > 40) { errno = ELOOP; return -1; }
    char name[256];
    int directory = parent(init, path, name, sizeof name, links + 1);
    if (directory < 0) return -1;
    int made = make == guise_make_directory ? mkdirat(directory, name, 0755)
        : mknodat(directory, name, S_IFREG | 0644, 0);
    int code = errno;
    if (made == 0) {
        file = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        code = errno;
        close(directory);
        errno = code;
        return file;
    }
    if (code == EEXIST) {
        // A link that leads nowhere yet: what it names, seen from the container's root, is made.
        char link[4096], joined[8300];
        long length = readlinkat(directory, name, link, sizeof link - 1);
        close(directory);
        if (length < 0) return guise_resolve(init, path, O_PATH);
        link[length] = 0;
        int prefix = (int)(strrchr(path, '/') ? strrchr(path, '/') - path + 1 : 0);
        if (link[0] == '/') prefix = 0;
        snprintf(joined, sizeof joined, "%.*s%s", prefix, path, link);
        return target(init, joined, make, links + 1);
    }
    close(directory);
    errno = code;
    return -1;
}

int guise_target(struct init *init, const char *path, int make) { return target(init, path, make, 0); }
