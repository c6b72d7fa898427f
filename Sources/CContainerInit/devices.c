// Nodes, links and the terminal of the container's /dev.
#include "init.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>

enum { devpts_magic = 0x1cd1 };

void guise_step_directory(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text4);
    int made = guise_target(init, path, guise_make_directory);
    if (made < 0) guise_fail(init, step, "mkdir", path);
    close(made);
}

void guise_step_symlink(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text4), *link = guise_text(init, step->text);
    char name[256];
    int directory = guise_parent(init, path, name, sizeof name);
    if (directory < 0) guise_fail(init, step, "open", path);
    if (symlinkat(link, directory, name) != 0 && errno != EEXIST && errno != EROFS) guise_fail(init, step, "symlink", path);
    close(directory);
}

void guise_step_node(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text4);
    char name[256];
    int directory = guise_parent(init, path, name, sizeof name);
    if (directory < 0) guise_fail(init, step, "open", path);
    mode_t mode = (mode_t)step->a;
    int bind = step->flags & guise_flag_bind_fallback;
    if (!bind && mknodat(directory, name, mode, step->b) == 0) {
        uid_t user = (uid_t)step->c;
        gid_t group = (gid_t)(step->c >> 32);
        if (fchmodat(directory, name, mode & 07777, 0) != 0) guise_fail(init, step, "chmod", path);
        if (fchownat(directory, name, user, group, AT_SYMLINK_NOFOLLOW) != 0) guise_fail(init, step, "chown", path);
        close(directory);
        return;
    }
    if (!bind && errno == EEXIST) {
        struct stat status;
        if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) != 0) guise_fail(init, step, "stat", path);
        if ((status.st_mode & S_IFMT) != (mode & S_IFMT) || (!S_ISFIFO(mode) && status.st_rdev != step->b)) {
            errno = EEXIST;
            guise_fail(init, step, "mknod", path);
        }
        close(directory);
        return;
    }
    if (!bind && errno != EPERM) guise_fail(init, step, "mknod", path);
    close(directory);
    // No privilege to make devices: the host's own node is bound.
    const char *host = guise_text(init, step->text);
    int tree = guise_open_tree(AT_FDCWD, host, OPEN_TREE_CLONE);
    if (tree < 0) guise_fail(init, step, "open_tree", host);
    struct stat status;
    if (fstat(tree, &status) != 0) guise_fail(init, step, "stat", host);
    if ((status.st_mode & S_IFMT) != (mode & S_IFMT) || status.st_rdev != step->b) {
        errno = EPERM;
        guise_fail(init, step, "mknod", path);
    }
    int target = guise_target(init, path, guise_make_file);
    if (target < 0) guise_fail(init, step, "open", path);
    if (guise_move_mount(tree, target) != 0) guise_fail(init, step, "move_mount", path);
    close(tree);
    close(target);
}

void guise_step_console(struct init *init, const struct guise_step *step) {
    int master = guise_resolve(init, "dev/pts/ptmx", O_RDWR | O_NOCTTY);
    struct statfs system;
    if (master < 0) guise_fail(init, step, "open", "/dev/pts/ptmx");
    // The image may have put something else there.
    if (fstatfs(master, &system) != 0 || system.f_type != devpts_magic) {
        errno = ENOTTY;
        guise_fail(init, step, "open", "/dev/pts/ptmx");
    }
    int unlock = 0;
    if (ioctl(master, TIOCSPTLCK, &unlock) != 0) guise_fail(init, step, "ioctl", "TIOCSPTLCK");
    init->console = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (init->console < 0) guise_fail(init, step, "ioctl", "TIOCGPTPEER");
    if (step->b) {
        struct winsize size = {.ws_row = (unsigned short)(step->b >> 16), .ws_col = (unsigned short)step->b};
        if (ioctl(init->console, TIOCSWINSZ, &size) != 0) guise_fail(init, step, "ioctl", "TIOCSWINSZ");
    }
    if (*guise_text(init, step->text4)) {
        const char *path = guise_text(init, step->text4);
        int target = guise_target(init, path, guise_make_file);
        if (target < 0) guise_fail(init, step, "open", path);
        int tree = guise_open_tree(init->console, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
        if (tree < 0) guise_fail(init, step, "open_tree", path);
        if (guise_move_mount(tree, target) != 0) guise_fail(init, step, "move_mount", path);
        close(tree);
        close(target);
    }
    // The name travels with the descriptor, as console sockets expect.
    char name[64] = "/dev/ptmx", control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {name, strlen(name)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof master);
    memcpy(CMSG_DATA(header), &master, sizeof master);
    if (sendmsg((int)step->a, &message, MSG_NOSIGNAL) < 0) guise_fail(init, step, "sendmsg", "console socket");
    close((int)step->a);
    close(master);
}

void guise_step_session(struct init *init, const struct guise_step *step) {
    if (setsid() < 0 && errno != EPERM) guise_fail(init, step, "setsid", 0);
    if (!(step->flags & guise_flag_terminal)) return;
    if (ioctl(init->console, TIOCSCTTY, 0) != 0) guise_fail(init, step, "ioctl", "TIOCSCTTY");
    for (int i = 0; i < 3; i++)
        if (dup2(init->console, i) < 0) guise_fail(init, step, "dup2", 0);
}
