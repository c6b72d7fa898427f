// The steps that make the process what the configuration asks for: ids, capabilities, limits, filter, program.
#include "init.h"
#include "container_host.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static const char *environment_value(const struct init *init, const char *name) {
    const char *at = init->plan + init->header->environment, *end = init->plan + init->size;
    unsigned long length = strlen(name);
    const char *found = 0;
    for (uint32_t i = 0; i < init->header->environment_count && at < end; i++, at += strlen(at) + 1)
        if (!strncmp(at, name, length) && at[length] == '=') found = at + length + 1;
    return found;
}

static int executable(const char *path) {
    struct stat status;
    if (stat(path, &status) != 0) return -1;
    if (S_ISDIR(status.st_mode)) { errno = EISDIR; return -1; }
    if (!(status.st_mode & 0111)) { errno = EACCES; return -1; }
    return 0;
}

void guise_step_find(struct init *init, const struct guise_step *step) {
    const char *name = guise_text(init, step->text);
    if (strchr(name, '/')) {
        // A relative path is the working directory's, which is not entered yet: execve tells.
        if (*name == '/' && executable(name) != 0) guise_fail(init, step, "exec", name);
        init->program = name;
        return;
    }
    const char *path = environment_value(init, "PATH");
    if (!path) path = "/bin:/usr/bin";
    int code = ENOENT;
    while (*name) {
        const char *end = strchrnul(path, ':');
        char *candidate;
        if (asprintf(&candidate, "%.*s/%s", end == path ? 1 : (int)(end - path), end == path ? "." : path, name) < 0)
            guise_fail(init, step, "malloc", 0);
        if (executable(candidate) == 0) { init->program = candidate; return; }
        if (errno == EACCES) code = EACCES;
        free(candidate);
        if (!*end) break;
        path = end + 1;
    }
    errno = code;
    guise_fail(init, step, "find", name);
}

void guise_step_bounding(struct init *init, const struct guise_step *step) {
    for (int i = 0; i < 64; i++) {
        if (step->a >> i & 1) continue;
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0) continue;
        if (errno == EINVAL) break;
        // Not held in the first place, as in a rootless container without a user namespace.
        if (errno == EPERM && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 0) continue;
        guise_fail(init, step, "prctl", "PR_CAPBSET_DROP");
    }
}

void guise_step_user(struct init *init, const struct guise_step *step) {
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) guise_fail(init, step, "prctl", "PR_SET_KEEPCAPS");
    // A user namespace of an unprivileged user denies setgroups; then only no groups at all can be had.
    if (!step->c && syscall(SYS_setgroups, step->flags, init->plan + step->text2) != 0)
        guise_fail(init, step, "setgroups", 0);
    if (syscall(SYS_setresgid, (gid_t)step->b, (gid_t)step->b, (gid_t)step->b) != 0) guise_fail(init, step, "setresgid", 0);
    if (syscall(SYS_setresuid, (uid_t)step->a, (uid_t)step->a, (uid_t)step->a) != 0) guise_fail(init, step, "setresuid", 0);
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
}

void guise_step_capabilities(struct init *init, const struct guise_step *step) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(step->a >> 32 * i);
        data[i].permitted = (uint32_t)(step->b >> 32 * i);
        data[i].inheritable = (uint32_t)(step->c >> 32 * i);
    }
    if (syscall(SYS_capset, &header, data) != 0) guise_fail(init, step, "capset", 0);
    uint64_t ambient;
    memcpy(&ambient, init->plan + step->text2, sizeof ambient);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
        guise_fail(init, step, "prctl", "PR_CAP_AMBIENT_CLEAR_ALL");
    for (int i = 0; i < 64; i++)
        if (ambient >> i & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) != 0)
            guise_fail(init, step, "prctl", "PR_CAP_AMBIENT_RAISE");
}

// The listener must leave through a process that the filter does not bind: a filter may stop sendmsg itself and ask the very
// listener about it. The courier shares the descriptor table and one word of memory.
// `word` is -1 until there is a listener, then its number, and -2 or less once it has been sent.
static void start_courier(struct init *init, const struct guise_step *step, int socket, volatile int *word) {
    // Ignored, so that no dead courier is left to the program.
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGCHLD, &ignore, 0);
    int bound = getpid();
    struct clone_args arguments = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
    long courier = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (courier < 0) guise_fail(init, step, "clone3", 0);
    if (courier > 0) return;
    while (*word == -1) {
        struct timespec pause = {0, 50000};
        nanosleep(&pause, 0);
        if (kill(bound, 0) != 0) _exit(1);
    }
    int listener = *word, state = (int)step->text4 - 1;
    if (listener >= 0) {
        static char text[1 << 16];
        long length = state >= 0 ? pread(state, text, sizeof text, 0) : 0;
        long sent = guise_send_descriptor(socket, text, length > 0 ? (unsigned long)length : 0, listener);
        close(listener);
        *word = sent < 0 ? -3 - errno : -2;
    }
    _exit(0);
}

// Only memory is touched while the listener may be asked about any call of ours; the clock is memory too.
static void await_courier(volatile int *word) {
    while (*word >= 0) __asm__ volatile("" ::: "memory");
    // It ends right after its last word. A courier that ends after execve would be the program's to wait for.
    struct timespec began, now;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - began.tv_sec) * 1000000000 + now.tv_nsec - began.tv_nsec < 1000000);
}

void guise_step_seccomp(struct init *init, const struct guise_step *step) {
    struct { unsigned short length; const void *filter; } program = {(unsigned short)step->a, init->plan + step->text2};
    unsigned flags = (unsigned)step->b;
    if (!step->c) {
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0) guise_fail(init, step, "seccomp", 0);
        return;
    }
    int socket = (int)step->c - 1;
    volatile int *word = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED) guise_fail(init, step, "mmap", 0);
    *word = -1;
    start_courier(init, step, socket, word);
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener < 0) {
        int code = errno;
        *word = -2;
        errno = code;
        guise_fail(init, step, "seccomp", "listener");
    }
    *word = (int)listener;
    await_courier(word);
    if (*word < -2) {
        errno = -3 - *word;
        guise_fail(init, step, "sendmsg", "seccomp listener");
    }
}

void guise_step_change_directory(struct init *init, const struct guise_step *step) {
    // Nothing of the host may be reachable through a descriptor once a path of the image is walked (CVE-2024-21626).
    unsigned first = 3 + (unsigned)step->a;
    unsigned keep[] = {(unsigned)init->channel, (unsigned)step->b - 1, (unsigned)step->c - 1};
    while (first != ~0u) {
        unsigned next = ~0u;
        for (int i = 0; i < 3; i++)
            if (keep[i] >= first && keep[i] < next) next = keep[i];
        if (next > first) syscall(SYS_close_range, first, next == ~0u ? ~0u : next - 1, 0);
        first = next == ~0u ? ~0u : next + 1;
    }
    for (unsigned i = 0; i < step->a; i++) fcntl(3 + (int)i, F_SETFD, 0);
    init->root = init->proc = init->console = -1;
    const char *path = guise_text(init, step->text);
    if (chdir(path) != 0) guise_fail(init, step, "chdir", path);
    char name[4096];
    long length = syscall(SYS_getcwd, name, sizeof name);
    // The kernel writes "(unreachable)" for a directory outside of the root.
    if (length < 0 && errno != ERANGE) guise_fail(init, step, "getcwd", path);
    if (length > 0 && name[0] != '/') {
        errno = EPERM;
        guise_fail(init, step, "chdir", "the directory lies outside of the container");
    }
}

void guise_step_execute(struct init *init, const struct guise_step *step) {
    if (!init->program) {
        errno = ENOENT;
        guise_fail(init, step, "exec", "");
    }
    char **arguments = guise_list(init, step, step->text2, step->a);
    char **environment = guise_list(init, step, step->text3, step->b);
    struct sigaction usual = {.sa_handler = SIG_DFL};
    for (int i = 1; i < 65; i++) sigaction(i, &usual, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    execve(init->program, arguments, environment);
    guise_fail(init, step, "exec", init->program);
}

void guise_step_scheduler(struct init *init, const struct guise_step *step) {
    void *bytes = init->plan + step->text2;
    switch (step->operation) {
    case guise_op_scheduler:
        if (syscall(SYS_sched_setattr, 0, bytes, 0) != 0) guise_fail(init, step, "sched_setattr", 0);
        break;
    case guise_op_ioprio:
        if (syscall(SYS_ioprio_set, 1, 0, (int)step->a) != 0) guise_fail(init, step, "ioprio_set", 0);
        break;
    case guise_op_affinity:
        if (syscall(SYS_sched_setaffinity, 0, step->a, bytes) != 0) guise_fail(init, step, "sched_setaffinity", 0);
        break;
    default:
        if (syscall(SYS_set_mempolicy, (int)step->a, step->b ? bytes : 0, step->b * 8 + 1) != 0)
            guise_fail(init, step, "set_mempolicy", 0);
    }
}

void guise_step_hook(struct init *init, const struct guise_step *step) {
    const char *path = guise_text(init, step->text);
    char **arguments = guise_list(init, step, step->text2, step->a);
    char **environment = guise_list(init, step, step->text3, step->b);
    lseek((int)step->c, 0, SEEK_SET);
    int status = 0, process = guise_spawn_hook(path, arguments, environment, (int)step->c);
    if (process < 0) guise_fail(init, step, "exec", path);
    if (guise_wait_hook(process, (int)step->flags, &status) != 0) guise_fail(init, step, "hook", path);
    if (status != 0) {
        char detail[64];
        if (WIFSIGNALED(status)) snprintf(detail, sizeof detail, "killed by signal %d", WTERMSIG(status));
        else snprintf(detail, sizeof detail, "exit status %d", WEXITSTATUS(status));
        errno = 0;
        guise_fail(init, step, "hook", detail);
    }
    free(arguments);
    free(environment);
}
