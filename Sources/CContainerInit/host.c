// What container_host.h declares: the system calls behind the runtime.
#include "init.h"
#include "container_host.h"
#include <linux/bpf.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sched.h>
#include <time.h>

static int sealed_copy(void) {
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (from < 0) return -1;
    int to = memfd_create("guise-oci", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    long sent = to < 0 ? -1 : 1;
    while (sent > 0) sent = sendfile(to, from, 0, 1 << 30);
    int code = errno;
    close(from);
    if (sent == 0 && fcntl(to, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0) return to;
    if (sent == 0) code = errno;
    if (to >= 0) close(to);
    errno = code;
    return -1;
}

int guise_container_executable(void) {
    // A file that its caller may not write, and that another user owns, cannot be written by what the caller starts either.
    struct stat status;
    if (geteuid() != 0 && stat("/proc/self/exe", &status) == 0 && status.st_uid != geteuid()
        && faccessat(AT_FDCWD, "/proc/self/exe", W_OK, AT_EACCESS) != 0)
        return open("/proc/self/exe", O_PATH | O_CLOEXEC);
    int tree = guise_open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE);
    if (tree >= 0) {
        if (guise_mount_attributes(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, 0, -1, 0) == 0)
            return tree;
        close(tree);
    }
    return sealed_copy();
}

int guise_container_spawn(int executable, int plan, int channel, const int *keep, int count) {
    char plan_text[16], channel_text[16];
    snprintf(plan_text, sizeof plan_text, "%d", plan);
    snprintf(channel_text, sizeof channel_text, "%d", channel);
    char *const arguments[] = {(char *)guise_init_name, plan_text, channel_text, 0}, *const environment[] = {0};
    volatile int code = 0;
    int child = vfork();
    if (child == 0) {
        // The descriptor table is the child's own, memory is not.
        fcntl(plan, F_SETFD, 0);
        fcntl(channel, F_SETFD, 0);
        for (int i = 0; i < count; i++) fcntl(keep[i], F_SETFD, 0);
        syscall(SYS_execveat, executable, "", arguments, environment, AT_EMPTY_PATH);
        code = errno;
        _exit(127);
    }
    if (child > 0 && code) {
        waitpid(child, 0, 0);
        errno = code;
        return -1;
    }
    return child;
}

int guise_landlock_version(void) {
    int version = (int)syscall(SYS_landlock_create_ruleset, 0, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
    return version > 0 ? version : 0;
}

int guise_pidfd_open(int pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
int guise_pidfd_send_signal(int pidfd, int number) { return (int)syscall(SYS_pidfd_send_signal, pidfd, number, 0, 0); }
int guise_setns(int descriptor, int types) { return setns(descriptor, types); }

int guise_open_in_root(int root, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    while (*path == '/') path++;
    return (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

int guise_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC); }
int guise_channel(int pair[2]) { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair); }

long guise_send_descriptor(int socket, const void *bytes, unsigned long length, int descriptor) {
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {(void *)bytes, length};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

long guise_receive_descriptor(int socket, void *bytes, unsigned long length, int *descriptor) {
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {bytes, length};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    long got;
    do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); while (got < 0 && errno == EINTR);
    *descriptor = -1;
    struct cmsghdr *header = got >= 0 ? CMSG_FIRSTHDR(&message) : 0;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    return got;
}

// Through the directory's descriptor, because a socket's path may have no more than 107 bytes.
static int address(struct sockaddr_un *out, int directory, const char *name) {
    out->sun_family = AF_UNIX;
    int length = directory >= 0
        ? snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", directory, name)
        : snprintf(out->sun_path, sizeof out->sun_path, "%s", name);
    if (length < (int)sizeof out->sun_path) return 0;
    errno = ENAMETOOLONG;
    return -1;
}

int guise_unix_listen(int directory, const char *name, int type) {
    struct sockaddr_un where;
    if (address(&where, directory, name) != 0) return -1;
    int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (made < 0) return -1;
    if (bind(made, (struct sockaddr *)&where, sizeof where) == 0 && listen(made, 4) == 0) return made;
    int code = errno;
    close(made);
    errno = code;
    return -1;
}

int guise_unix_connect(int directory, const char *name, int type) {
    struct sockaddr_un where;
    if (address(&where, directory, name) != 0) return -1;
    int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (made < 0) return -1;
    if (connect(made, (struct sockaddr *)&where, sizeof where) == 0) return made;
    int code = errno;
    close(made);
    errno = code;
    return -1;
}

int guise_capabilities(uint64_t *permitted, uint64_t *bounding) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &header, data) != 0) return -1;
    *permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
    *bounding = 0;
    for (int i = 0; i < 64; i++) {
        int held = prctl(PR_CAPBSET_READ, i, 0, 0, 0);
        if (held < 0) break;
        *bounding |= (uint64_t)held << i;
    }
    return 0;
}

uint64_t guise_device_number(unsigned major, unsigned minor) { return makedev(major, minor); }
int guise_become_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

int guise_wait(int pid, int *status, int options) {
    int got;
    do got = waitpid(pid, status, options); while (got < 0 && errno == EINTR);
    return got;
}

int guise_spawn_hook(const char *path, char *const arguments[], char *const environment[], int input) {
    volatile int code = 0;
    int child = vfork();
    if (child == 0) {
        if (input >= 0) dup2(input, 0);
        // Whatever the caller of the runtime left open is not the hook's.
        syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
        struct sigaction usual = {.sa_handler = SIG_DFL};
        for (int i = 1; i < 65; i++) sigaction(i, &usual, 0);
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, 0);
        execve(path, arguments, environment);
        code = errno;
        _exit(127);
    }
    if (child > 0 && code) {
        waitpid(child, 0, 0);
        errno = code;
        return -1;
    }
    return child;
}

int guise_wait_hook(int pid, int seconds, int *status) {
    if (seconds > 0) {
        int process = guise_pidfd_open(pid);
        struct pollfd wait = {process, POLLIN, 0};
        struct timespec now, end;
        clock_gettime(CLOCK_MONOTONIC, &end);
        end.tv_sec += seconds;
        int ready;
        do {
            clock_gettime(CLOCK_MONOTONIC, &now);
            long left = (end.tv_sec - now.tv_sec) * 1000 + (end.tv_nsec - now.tv_nsec) / 1000000;
            ready = poll(&wait, 1, left < 0 ? 0 : left > 2000000000 ? 2000000000 : (int)left);
        } while (ready < 0 && errno == EINTR);
        close(process);
        if (ready == 0) {
            kill(pid, SIGKILL);
            guise_wait(pid, status, 0);
            errno = ETIMEDOUT;
            return -1;
        }
    }
    return guise_wait(pid, status, 0) == pid ? 0 : -1;
}


int guise_attach_device_program(int cgroup, const uint64_t *instructions, unsigned count) {
    static const char license[] = "";
    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE};
    load.insns = (uint64_t)(uintptr_t)instructions;
    load.insn_cnt = count;
    load.license = (uint64_t)(uintptr_t)license;
    int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (program < 0) return -1;
    // The ones that were attached before go once the new one stands.
    uint32_t before[64];
    union bpf_attr query = {0};
    query.query.target_fd = (uint32_t)cgroup;
    query.query.attach_type = BPF_CGROUP_DEVICE;
    query.query.prog_ids = (uint64_t)(uintptr_t)before;
    query.query.prog_cnt = 64;
    unsigned found = syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) == 0 ? query.query.prog_cnt : 0;
    union bpf_attr attach = {0};
    attach.target_fd = (uint32_t)cgroup;
    attach.attach_bpf_fd = (uint32_t)program;
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    int result = (int)syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach);
    int code = errno;
    close(program);
    for (unsigned i = 0; result == 0 && i < found && i < 64; i++) {
        union bpf_attr get = {.prog_id = before[i]};
        int old = (int)syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &get, sizeof get);
        if (old < 0) continue;
        union bpf_attr detach = {0};
        detach.target_fd = (uint32_t)cgroup;
        detach.attach_bpf_fd = (uint32_t)old;
        detach.attach_type = BPF_CGROUP_DEVICE;
        syscall(SYS_bpf, BPF_PROG_DETACH, &detach, sizeof detach);
        close(old);
    }
    errno = code;
    return result;
}

int guise_all_signals(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    return signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
}

int guise_take_signal(int descriptor) {
    struct signalfd_siginfo info;
    return read(descriptor, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

int guise_prlimit(int pid, unsigned resource, uint64_t soft, uint64_t hard) {
    struct rlimit64 limit = {soft, hard};
    return prlimit64(pid, (int)resource, &limit, 0);
}

int guise_idmapped_tree(const char *source, int user_namespace, unsigned flags, const char **failed) {
    *failed = "open_tree";
    int tree = guise_open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | (flags & guise_flag_recursive ? AT_RECURSIVE : 0)
        | (flags & guise_flag_no_follow ? AT_SYMLINK_NOFOLLOW : 0));
    if (tree < 0) return -1;
    *failed = "mount_setattr";
    if (guise_mount_attributes(tree, 0, 0, 0, user_namespace, flags & guise_flag_idmap_recursive) == 0) return tree;
    int code = errno;
    close(tree);
    errno = code;
    return -1;
}

int guise_spawn_in_user_namespace(void) {
    struct clone_args arguments = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child != 0) return (int)child;
    // The end of the runtime is the end of this process.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) pause();
}
