// The steps that change the container's mounts. All work on descriptors, so that a path is resolved once.
#include "init.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/vfs.h>

int guise_open_tree(int directory, const char *path, unsigned flags) {
    return (int)syscall(SYS_open_tree, directory, path, flags | OPEN_TREE_CLOEXEC);
}

int guise_move_mount(int tree, int target) {
    return (int)syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int guise_mount_attributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, int userns, int recursive) {
    struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
    if (userns >= 0) {
        attributes.attr_set |= MOUNT_ATTR_IDMAP;
        attributes.userns_fd = (uint64_t)userns;
    }
    return (int)syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes,
        sizeof attributes);
}

// pivot_root refuses a new root whose parent mount is shared, and binding the root onto itself must not reach the host.
static void make_parent_private(const char *path) {
    char *real = realpath(path, 0);
    for (char *at = real ? real + strlen(real) : 0; at && at >= real; at--) {
        if (*at != '/' && *at != 0) continue;
        *at = 0;
        // EINVAL: not a mount point.
        if (mount(0, at == real ? "/" : real, 0, MS_PRIVATE, 0) == 0) break;
    }
    free(real);
}

void guise_step_root(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text);
    int place = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0) guise_fail(init, step, "open", path);
    if (init->root >= 0) close(init->root);
    if (step->flags & guise_flag_no_create) {
        // Without a mount namespace nothing may be mounted; the directory itself is the root.
        init->root = place;
        return;
    }
    int tree = guise_open_tree(place, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH);
    if (tree < 0) guise_fail(init, step, "open_tree", path);
    if (step->c) make_parent_private(path);
    if (guise_move_mount(tree, place) != 0) guise_fail(init, step, "move_mount", path);
    close(place);
    if (step->b && guise_mount_attributes(tree, 0, 0, step->b, -1, 0) != 0) guise_fail(init, step, "mount_setattr", path);
    init->root = tree;
}

// The kernel's own words about a file system's options are better than an errno.
static _Noreturn void fail_context(struct init *init, const struct guise_step *step, int context, const char *call,
                                   const char *option) {
    int code = errno;
    char detail[300] = "";
    long length = read(context, detail, sizeof detail - 1);
    if (length > 0) detail[length] = 0;
    else snprintf(detail, sizeof detail, "%s", option);
    errno = code;
    guise_fail(init, step, call, detail);
}

void guise_step_mount(struct init *init, const struct guise_step *step) {
    const char *type = guise_text(init, step->text), *path = guise_text(init, step->text4);
    int target = guise_target(init, path, step->flags & guise_flag_no_create ? guise_make_nothing : guise_make_directory);
    if (target < 0) guise_fail(init, step, "open", path);
    int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (context < 0) guise_fail(init, step, "fsopen", type);
    const char *source = guise_text(init, step->text3);
    if (*source && syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", source, 0) != 0)
        fail_context(init, step, context, "fsconfig", source);
    char **options = guise_list(init, step, step->text2, step->a);
    for (uint64_t i = 0; i < step->a; i++) {
        char *value = strchr(options[i], '=');
        if (value) *value++ = 0;
        if (syscall(SYS_fsconfig, context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[i], value, 0) != 0)
            fail_context(init, step, context, "fsconfig", options[i]);
    }
    free(options);
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0) != 0)
        fail_context(init, step, context, "mount", type);
    int mounted = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, (unsigned)step->b);
    if (mounted < 0) fail_context(init, step, context, "fsmount", type);
    close(context);
    if (step->flags & guise_flag_copy_up) {
        int from = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (from < 0 || guise_copy_tree(from, mounted, 0) != 0) guise_fail(init, step, "tmpcopyup", path);
        close(from);
    }
    if (guise_move_mount(mounted, target) != 0) guise_fail(init, step, "move_mount", path);
    if (step->c && guise_mount_attributes(mounted, 0, 0, step->c, -1, 0) != 0)
        guise_fail(init, step, "mount_setattr", path);
    close(mounted);
    close(target);
}

void guise_step_bind(struct init *init, const struct guise_step *step) {
    const char *source = guise_text(init, step->text3), *path = guise_text(init, step->text4);
    unsigned flags = OPEN_TREE_CLONE | (step->flags & guise_flag_recursive ? AT_RECURSIVE : 0)
        | (step->flags & guise_flag_no_follow ? AT_SYMLINK_NOFOLLOW : 0);
    int tree = step->flags & guise_flag_idmap ? (int)step->a : guise_open_tree(AT_FDCWD, source, flags);
    if (tree < 0) {
        if (step->flags & guise_flag_optional && errno == ENOENT) return;
        guise_fail(init, step, "open_tree", source);
    }
    if ((step->b || step->c)
        && guise_mount_attributes(tree, step->b, step->c, 0, -1, step->flags & guise_flag_attributes_recursive) != 0)
        guise_fail(init, step, "mount_setattr", path);
    struct stat status;
    if (fstat(tree, &status) != 0) guise_fail(init, step, "fstat", source);
    int make = step->flags & guise_flag_no_create ? guise_make_nothing
        : S_ISDIR(status.st_mode) ? guise_make_directory : guise_make_file;
    int target = guise_target(init, path, make);
    if (target < 0) guise_fail(init, step, "open", path);
    if (guise_move_mount(tree, target) != 0) guise_fail(init, step, "move_mount", path);
    close(target);
    close(tree);
}

void guise_step_remount(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text4), *data = guise_text(init, step->text2);
    int target = guise_resolve(init, path, O_PATH);
    if (target < 0) guise_fail(init, step, "open", path);
    char place[64];
    snprintf(place, sizeof place, "/proc/self/fd/%d", target);
    if (mount(0, place, 0, MS_REMOUNT | step->b, *data ? data : 0) != 0) guise_fail(init, step, "mount", path);
    close(target);
}

void guise_step_attributes(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text4);
    int target = guise_resolve(init, path, O_PATH);
    if (target < 0) guise_fail(init, step, "open", path);
    int recursive = step->flags & guise_flag_recursive;
    int failed = step->operation == guise_op_propagate ? guise_mount_attributes(target, 0, 0, step->b, -1, recursive)
        : guise_mount_attributes(target, step->b, step->c, 0, -1, recursive);
    if (failed) guise_fail(init, step, "mount_setattr", path);
    close(target);
}

// A directory becomes an empty read-only one. One file system serves all.
static int empty_directory(struct init *init, const struct guise_step *step, int target) {
    if (init->empty >= 0) {
        int copy = guise_open_tree(init->empty, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
        if (copy < 0) guise_fail(init, step, "open_tree", 0);
        int moved = guise_move_mount(copy, target);
        close(copy);
        return moved;
    }
    int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0) guise_fail(init, step, "fsopen", "tmpfs");
    syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "ro", 0, 0);
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "nr_blocks", "1", 0) != 0
        || syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) != 0
        || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0) != 0)
        fail_context(init, step, context, "fsconfig", "tmpfs");
    init->empty = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (init->empty < 0) fail_context(init, step, context, "fsmount", "tmpfs");
    close(context);
    return guise_move_mount(init->empty, target);
}

void guise_step_mask(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text4);
    int target = guise_resolve(init, path, O_PATH);
    if (target < 0) {
        if (errno == ENOENT || errno == EACCES || errno == ENOTDIR) return;
        guise_fail(init, step, "open", path);
    }
    struct stat status;
    if (fstat(target, &status) != 0) guise_fail(init, step, "fstat", path);
    int failed;
    if (S_ISDIR(status.st_mode)) {
        failed = empty_directory(init, step, target);
    } else {
        // The host's device: the container's /dev/null may be anything.
        int null = guise_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE);
        if (null < 0) guise_fail(init, step, "open_tree", "/dev/null");
        failed = guise_move_mount(null, target);
        close(null);
    }
    if (failed) guise_fail(init, step, "move_mount", path);
    close(target);
}

void guise_step_readonly(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text4);
    int target = guise_resolve(init, path, O_PATH);
    if (target < 0) {
        if (errno == ENOENT || errno == EACCES || errno == ENOTDIR) return;
        guise_fail(init, step, "open", path);
    }
    int tree = guise_open_tree(target, "", OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH);
    if (tree < 0) guise_fail(init, step, "open_tree", path);
    if (guise_mount_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, -1, 1) != 0) guise_fail(init, step, "mount_setattr", path);
    if (guise_move_mount(tree, target) != 0) guise_fail(init, step, "move_mount", path);
    close(tree);
    close(target);
}

void guise_step_pivot(struct init *init, const struct guise_step *step) {
    if (fchdir(init->root) != 0) guise_fail(init, step, "fchdir", 0);
    if (step->operation == guise_op_chroot) {
        if (chroot(".") != 0) guise_fail(init, step, "chroot", 0);
    } else if (step->flags & guise_flag_no_pivot) {
        int top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (top < 0 || guise_move_mount(init->root, top) != 0) guise_fail(init, step, "move_mount", "/");
        close(top);
        if (chroot(".") != 0) guise_fail(init, step, "chroot", 0);
    } else {
        int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (old < 0) guise_fail(init, step, "open", "/");
        if (syscall(SYS_pivot_root, ".", ".") != 0) guise_fail(init, step, "pivot_root", 0);
        // The old root now lies over the new one, which is what "." still means. Its unmounting must not travel to the host.
        if (fchdir(old) != 0) guise_fail(init, step, "fchdir", "old root");
        close(old);
        if (mount(0, ".", 0, MS_SLAVE | MS_REC, 0) != 0) guise_fail(init, step, "mount", "old root");
        if (umount2(".", MNT_DETACH) != 0) guise_fail(init, step, "umount2", "old root");
    }
    if (chdir("/") != 0) guise_fail(init, step, "chdir", "/");
    if (init->empty >= 0) close(init->empty);
    close(init->root);
    init->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (init->root < 0) guise_fail(init, step, "open", "/");
}
