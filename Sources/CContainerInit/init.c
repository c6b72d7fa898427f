// The interpreter of a setup plan: the process that becomes the container's. It starts as this program's own file, executed
// again, and is caught here before the Swift runtime begins.
#include "init.h"
#include "container_host.h"
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

const char *guise_text(const struct init *init, uint32_t offset) {
    return offset == 0 || offset >= init->size ? "" : init->plan + offset;
}

int guise_send_message(int channel, uint32_t kind, int code, int64_t value, const char *text, unsigned long length) {
    struct guise_message message = {.kind = kind, .code = code, .value = value};
    if (length > sizeof message.text - 1) length = sizeof message.text - 1;
    if (length) memcpy(message.text, text, length);
    unsigned long size = offsetof(struct guise_message, text) + length + 1;
    return send(channel, &message, size, MSG_NOSIGNAL) == (long)size ? 0 : -1;
}

void guise_fail(struct init *init, const struct guise_step *step, const char *call, const char *detail) {
    int code = errno;
    char text[sizeof ((struct guise_message *)0)->text];
    unsigned long at = 0;
    const char *parts[] = {guise_text(init, step->label), call, detail ? detail : ""};
    for (int i = 0; i < 3; i++) {
        unsigned long length = strnlen(parts[i], 320);
        memcpy(text + at, parts[i], length);
        at += length;
        text[at++] = 0;
    }
    guise_send_message(init->channel, guise_message_error, code, 0, text, at);
    _exit(1);
}

char **guise_list(struct init *init, const struct guise_step *step, uint32_t offset, uint64_t count) {
    if (count > init->size) { errno = EINVAL; guise_fail(init, step, "plan", "list"); }
    char **list = malloc((count + 1) * sizeof *list);
    if (!list) guise_fail(init, step, "malloc", 0);
    char *at = init->plan + offset, *end = init->plan + init->size;
    for (uint64_t i = 0; i < count; i++) {
        if (at >= end) { errno = EINVAL; guise_fail(init, step, "plan", "list"); }
        list[i] = at;
        at += strlen(at) + 1;
    }
    list[count] = 0;
    return list;
}

// Waits for the runtime's word; its death is the end of this process too.
static void wait_word(struct init *init) {
    char word;
    long got;
    do got = recv(init->channel, &word, 1, 0); while (got < 0 && errno == EINTR);
    if (got != 1 || word != 'g') _exit(1);
}

static void step_clone(struct init *init, const struct guise_step *step) {
    struct clone_args arguments = {.flags = step->a | CLONE_PARENT};
    if (step->b) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = step->b - 1;
    }
    long child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child < 0) guise_fail(init, step, "clone3", 0);
    if (child == 0) return;
    // The number is this process's view: the runtime's own pid namespace, for only children enter a joined one.
    _exit(guise_send_message(init->channel, guise_message_pid, 0, child, 0, 0) == 0 ? 0 : 1);
}

static void step_wait_start(struct init *init, const struct guise_step *step) {
    if (guise_send_message(init->channel, guise_message_ready, 0, 0, 0, 0) != 0) _exit(1);
    close(init->channel);
    // Only the runtime's own user can reach the socket: it lies in the state directory.
    for (;;) {
        int connection = accept4((int)step->a, 0, 0, SOCK_CLOEXEC);
        if (connection < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            _exit(1);
        }
        init->channel = connection;
        char word;
        if (recv(connection, &word, 1, 0) == 1 && word == 'g') break;
        close(connection);
    }
    close((int)step->a);
}

static void step_join(struct init *init, const struct guise_step *step) {
    if ((init->joined & step->b) == step->b) return;
    if (setns((int)step->a, (int)step->b) != 0) {
        if (errno == EPERM && step->flags & guise_flag_optional) return;
        guise_fail(init, step, "setns", 0);
    }
    init->joined |= step->b;
    if (step->b & CLONE_NEWUSER) {
        if (setresgid(0, 0, 0) != 0 && errno != EINVAL) guise_fail(init, step, "setresgid", 0);
        if (setresuid(0, 0, 0) != 0 && errno != EINVAL) guise_fail(init, step, "setresuid", 0);
    }
}

static void become_root(struct init *init, const struct guise_step *step) {
    // EINVAL: the map has no 0. The capabilities of a new user namespace are held anyway.
    if (setresgid(0, 0, 0) != 0 && errno != EINVAL) guise_fail(init, step, "setresgid", 0);
    if (setresuid(0, 0, 0) != 0 && errno != EINVAL) guise_fail(init, step, "setresuid", 0);
}

static int write_at(int directory, const char *name, const char *value) {
    int file = openat(directory, name, O_WRONLY | O_CLOEXEC);
    if (file < 0) return -1;
    unsigned long length = strlen(value);
    long wrote = write(file, value, length);
    int code = errno;
    close(file);
    if (wrote == (long)length) return 0;
    errno = wrote < 0 ? code : EIO;
    return -1;
}

void guise_step_sysctl(struct init *init, const struct guise_step *step) {
    const char *name = guise_text(init, step->text);
    int sys = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (sys < 0) guise_fail(init, step, "open", "/proc/sys");
    if (write_at(sys, name, guise_text(init, step->text2)) != 0) guise_fail(init, step, "write", name);
    close(sys);
}

static void step_keyring(struct init *init, const struct guise_step *step) {
    // A kernel without keyrings, or a filter around us that forbids them, is no reason to fail.
    long ring = syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, guise_text(init, step->text));
    if (ring < 0 && errno != ENOSYS && errno != EPERM && errno != EDQUOT) guise_fail(init, step, "keyctl", 0);
}

static void run_step(struct init *init, const struct guise_step *step) {
    switch (step->operation) {
    case guise_op_join: step_join(init, step); break;
    case guise_op_unshare:
        if (unshare((int)step->a) != 0) guise_fail(init, step, "unshare", 0);
        break;
    case guise_op_cgroup:
        // "0" is the writer itself: the one move for which the kernel needs no lock of all processes.
        if (write((int)step->a, "0", 1) != 1) guise_fail(init, step, "write", "tasks");
        break;
    case guise_op_clone: step_clone(init, step); break;
    case guise_op_sync:
        if (guise_send_message(init->channel, guise_message_sync, 0, (int64_t)step->a, 0, 0) != 0) _exit(1);
        wait_word(init);
        break;
    case guise_op_write_self: {
        int at = init->proc >= 0 ? init->proc : open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (write_at(at, guise_text(init, step->text), guise_text(init, step->text2)) != 0
            && !(step->flags & guise_flag_optional))
            guise_fail(init, step, "write", guise_text(init, step->text));
        if (at != init->proc) close(at);
        break;
    }
    case guise_op_become_root: become_root(init, step); break;
    case guise_op_open_proc:
        init->proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (init->proc < 0) guise_fail(init, step, "open", "/proc/self");
        break;
    case guise_op_propagation:
        if (mount(0, "/", 0, step->a, 0) != 0) guise_fail(init, step, "mount", "/");
        break;
    case guise_op_root: guise_step_root(init, step); break;
    case guise_op_mount: guise_step_mount(init, step); break;
    case guise_op_bind: guise_step_bind(init, step); break;
    case guise_op_remount: guise_step_remount(init, step); break;
    case guise_op_propagate: case guise_op_attributes: guise_step_attributes(init, step); break;
    case guise_op_directory: guise_step_directory(init, step); break;
    case guise_op_symlink: guise_step_symlink(init, step); break;
    case guise_op_node: guise_step_node(init, step); break;
    case guise_op_hook: guise_step_hook(init, step); break;
    case guise_op_console: guise_step_console(init, step); break;
    case guise_op_mask: guise_step_mask(init, step); break;
    case guise_op_readonly: guise_step_readonly(init, step); break;
    case guise_op_pivot: case guise_op_chroot: guise_step_pivot(init, step); break;
    case guise_op_reroot:
        if (init->root >= 0) close(init->root);
        init->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (init->root < 0 || chdir("/") != 0) guise_fail(init, step, "open", "/");
        break;
    case guise_op_hostname: {
        const char *name = guise_text(init, step->text);
        if (sethostname(name, strlen(name)) != 0) guise_fail(init, step, "sethostname", name);
        break;
    }
    case guise_op_domainname: {
        const char *name = guise_text(init, step->text);
        if (setdomainname(name, strlen(name)) != 0) guise_fail(init, step, "setdomainname", name);
        break;
    }
    case guise_op_sysctl: guise_step_sysctl(init, step); break;
    case guise_op_rlimit: {
        struct rlimit64 limit = {step->a, step->b};
        if (setrlimit64((int)step->flags, &limit) != 0) guise_fail(init, step, "setrlimit", 0);
        break;
    }
    case guise_op_scheduler: case guise_op_ioprio: case guise_op_affinity: case guise_op_memory_policy:
        guise_step_scheduler(init, step);
        break;
    case guise_op_personality:
        if (personality(step->a) < 0) guise_fail(init, step, "personality", 0);
        break;
    case guise_op_keyring: step_keyring(init, step); break;
    case guise_op_find: guise_step_find(init, step); break;
    case guise_op_wait_start: step_wait_start(init, step); break;
    case guise_op_session: guise_step_session(init, step); break;
    case guise_op_bounding: guise_step_bounding(init, step); break;
    case guise_op_user: guise_step_user(init, step); break;
    case guise_op_capabilities: guise_step_capabilities(init, step); break;
    case guise_op_no_new_privileges:
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) guise_fail(init, step, "prctl", 0);
        break;
    case guise_op_seccomp: guise_step_seccomp(init, step); break;
    case guise_op_umask: umask((mode_t)step->a); break;
    case guise_op_directory_change: guise_step_change_directory(init, step); break;
    case guise_op_execute: guise_step_execute(init, step); break;
    case guise_op_landlock_ruleset: case guise_op_landlock_path: case guise_op_landlock_port: case guise_op_landlock_restrict:
        guise_step_landlock(init, step);
        break;
    case guise_op_dumpable: prctl(PR_SET_DUMPABLE, step->a, 0, 0, 0); break;
    default:
        errno = ENOSYS;
        guise_fail(init, step, "plan", 0);
    }
}

static _Noreturn void run_plan(int plan, int channel) {
    struct init init = {.channel = channel, .root = -1, .proc = -1, .console = -1, .empty = -1, .ruleset = -1};
    struct guise_step none = {0};
    struct stat status;
    syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
    if (fstat(plan, &status) != 0 || status.st_size < (long)sizeof(struct guise_plan_header)) _exit(1);
    init.size = (unsigned long)status.st_size;
    init.plan = mmap(0, init.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, plan, 0);
    if (init.plan == MAP_FAILED) { init.size = 0; guise_fail(&init, &none, "mmap", "plan"); }
    close(plan);
    const struct guise_plan_header *header = init.header = (const void *)init.plan;
    if (header->magic != guise_plan_magic || header->size != init.size || init.plan[init.size - 1] != 0
        || header->steps % _Alignof(struct guise_step) || header->steps > init.size
        || header->step_count > (init.size - header->steps) / sizeof(struct guise_step)) {
        errno = EINVAL;
        guise_fail(&init, &none, "plan", 0);
    }
    const struct guise_step *steps = (const void *)(init.plan + header->steps);
    for (uint32_t i = 0; i < header->step_count; i++) run_step(&init, &steps[i]);
    _exit(1);
}

__attribute__((constructor(101))) static void enter(int count, char **arguments, char **environment) {
    (void)environment;
    if (count != 3 || strcmp(arguments[0], guise_init_name) != 0) return;
    prctl(PR_SET_NAME, "guise-oci:init");
    run_plan(atoi(arguments[1]), atoi(arguments[2]));
}
