// Tries to reach a file of the host, named by its path, from inside of a container. Prints ESCAPED and how for what succeeds.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

// A fresh procfs or sysfs would lack what hides parts of the container's own.
static void fresh_systems(void) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) != 0) return;
    pid_t child = fork();
    if (child == 0) {
        if (mount("proc", "/tmp", "proc", 0, 0) == 0) printf("ESCAPED: a procfs without masks\n");
        if (mount("sys", "/tmp", "sysfs", 0, 0) == 0 && access("/tmp/firmware/acpi", F_OK) == 0) printf("ESCAPED: a sysfs without masks\n");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, 0, 0);
}

static void put(const char *path, const char *text) {
    int file = open(path, O_WRONLY);
    if (file < 0) return;
    if (write(file, text, strlen(text)) > 0) printf("ESCAPED: %s written\n", path);
    close(file);
}

// CVE-2022-0492: release_agent runs on the host, as root.
static void release_agent(void) {
    static const char *const controllers[] = {"memory", "pids", "cpu", "rdma", "net_cls", "misc", "none,name=guise-escape"};
    for (int own = 0; own < 2; own++) {
        if (own && unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) != 0) return;
        for (unsigned i = 0; i < sizeof controllers / sizeof *controllers; i++) {
            if (mount("cgroup", "/tmp", "cgroup", 0, controllers[i]) != 0) continue;
            put("/tmp/release_agent", "/x");
            umount("/tmp");
        }
    }
}

static void kernel_files(void) {
    for (int own = 0; own < 2; own++) {
        if (own && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return;
        put("/proc/sys/kernel/core_pattern", "|/x");
        put("/proc/sys/kernel/modprobe", "/x");
        put("/proc/sys/fs/binfmt_misc/register", ":x:M::x::/x:");
        put("/proc/sysrq-trigger", "h");
        put("/sys/kernel/uevent_helper", "/x");
        put("/sys/power/state", "none");
        put("/proc/acpi/wakeup", "x");
    }
}

// What the next reader of the caller's terminal gets would be the container's words.
static void terminal(void) {
    for (int i = 0; i < 3; i++)
        if (ioctl(i, TIOCSTI, "x") == 0) printf("ESCAPED: typed into the caller's terminal\n");
    setsid();
    if (ioctl(0, TIOCSCTTY, 1) == 0) printf("ESCAPED: took the caller's terminal\n");
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
    each("fresh file systems", fresh_systems);
    each("release_agent", release_agent);
    each("files of the kernel", kernel_files);
    each("the terminal", terminal);
    return 0;
}
