// fork, vfork, posix_spawn, clone flags, execve in all its forms, waiting, and what survives.
#include "probe.h"
#include <linux/sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/auxv.h>

extern char **environ;
static volatile int shared;
static char stack[65536] __attribute__((aligned(16)));
static int child_fn(void *a) { shared = 77; return (int)(long)a; }
static int status_of(pid_t p) { int s = -1; while (waitpid(p, &s, __WALL) < 0 && errno == EINTR) {} return s; }
static void handler(int s) { (void)s; }

static int target(int argc, char **argv) {
    // Runs as the image of an execve: says what it sees.
    if (!strcmp(argv[1], "args")) return argc == 4 && !strcmp(argv[2], "") && !strcmp(argv[3], "a b\n") && getenv("ONLY") && !environ[1] ? 21 : 1;
    if (!strcmp(argv[1], "signals")) {
        struct sigaction a, b, c; sigset_t m;
        sigaction(SIGUSR1, 0, &a); sigaction(SIGUSR2, 0, &b); sigaction(SIGSEGV, 0, &c); sigprocmask(SIG_BLOCK, 0, &m);
        return a.sa_handler == SIG_DFL && b.sa_handler == SIG_IGN && c.sa_handler == SIG_IGN && sigismember(&m, SIGHUP)
                && sigismember(&m, SIGSEGV) && !sigismember(&m, SIGINT) ? 22 : 1;
    }
    if (!strcmp(argv[1], "fds")) return fcntl(10, F_GETFD) == 0 && fcntl(11, F_GETFD) < 0 ? 23 : 1;
    if (!strcmp(argv[1], "fdlist")) { int n = 0; for (int i = 3; i < 1024; i++) if (fcntl(i, F_GETFD) >= 0) n++; return n; }
    if (!strcmp(argv[1], "comm")) { char b[32] = {0}; prctl(PR_GET_NAME, b); return strcmp(b, argv[2]) ? 1 : 24; }
    if (!strcmp(argv[1], "execfn")) return strcmp((char *)getauxval(AT_EXECFN), argv[2]) ? 1 : 25;
    return 2;
}
static int spawn_status(char *const argv[]) {
    pid_t p; int e = posix_spawn(&p, "/proc/self/exe", 0, 0, argv, environ);
    if (e) return -e;
    return status_of(p);
}

int main(int argc, char **argv) {
    if (argc > 1) return target(argc, argv);
    begin();
    int p[2]; pipe(p);
    pid_t kid = fork();
    if (kid == 0) { shared = 5; _exit(getppid() > 0 ? 3 : 1); }
    int s = status_of(kid);
    CHECK("fork copies memory", WEXITSTATUS(s) == 3 && shared == 0);
    kid = vfork();
    if (kid == 0) { shared = 6; _exit(4); }
    CHECK("vfork shares memory and waits", shared == 6);
    CHECK("vfork's child is waited for", WEXITSTATUS(status_of(kid)) == 4);
    pid_t sp; char *none[] = {"x", 0};
    CHECK("posix_spawn of nothing says so", posix_spawn(&sp, "/nonexistent", 0, 0, none, environ) == ENOENT);
    char *t1[] = {"probe", "args", "", "a b\n", 0}, *e1[] = {"ONLY=1", 0};
    kid = fork(); if (!kid) { execve("/proc/self/exe", t1, e1); _exit(99); }
    CHECK("execve passes arguments and nothing but its environment", WEXITSTATUS(status_of(kid)) == 21);
    kid = fork();
    if (!kid) {
        struct sigaction h = {.sa_handler = handler}, ign = {.sa_handler = SIG_IGN};
        sigaction(SIGUSR1, &h, 0); sigaction(SIGUSR2, &ign, 0); sigaction(SIGSEGV, &ign, 0);
        sigset_t m; sigemptyset(&m); sigaddset(&m, SIGHUP); sigaddset(&m, SIGSEGV); sigprocmask(SIG_SETMASK, &m, 0);
        char *a[] = {"probe", "signals", 0}; execv("/proc/self/exe", a); _exit(99);
    }
    CHECK("execve keeps mask and ignored signals, resets handlers", WEXITSTATUS(status_of(kid)) == 22);
    kid = fork();
    if (!kid) { dup2(1, 10); dup3(1, 11, O_CLOEXEC); char *a[] = {"probe", "fds", 0}; execv("/proc/self/exe", a); _exit(99); }
    CHECK("execve closes what is close-on-exec", WEXITSTATUS(status_of(kid)) == 23);
    kid = fork();
    if (!kid) { syscall(SYS_close_range, 3, ~0u, 0); char *a[] = {"probe", "fdlist", 0}; execv("/proc/self/exe", a); _exit(99); }
    CHECK("no descriptor of the emulator shows", WEXITSTATUS(status_of(kid)) == 0);
    char dir[] = "/tmp/probeXXXXXX", path[128], script[128]; mkdtemp(dir);
    snprintf(path, sizeof path, "%s/named-image", dir); symlink("/proc/self/exe", path); unlink(path);
    char self[4096]; ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1); self[n > 0 ? n : 0] = 0;
    symlink(self, path);
    char *c1[] = {"x", "comm", "named-image", 0};
    kid = fork(); if (!kid) { execv(path, c1); _exit(99); }
    CHECK("comm is the file's name", WEXITSTATUS(status_of(kid)) == 24);
    char *c2[] = {"x", "execfn", path, 0};
    kid = fork(); if (!kid) { execv(path, c2); _exit(99); }
    CHECK("AT_EXECFN is the name given", WEXITSTATUS(status_of(kid)) == 25);
    snprintf(script, sizeof script, "%s/script", dir);
    FILE *f = fopen(script, "w"); fprintf(f, "#! %s  args \n", path); fclose(f); chmod(script, 0755);
    kid = fork(); if (!kid) { char *a[] = {"ignored", "x", 0}; execv(script, a); _exit(99); }
    CHECK("a script runs its interpreter", WEXITSTATUS(status_of(kid)) == 1);
    f = fopen(script, "w"); fprintf(f, "#!/bin/sh\nexit 33\n"); fclose(f);
    kid = fork(); if (!kid) { char *a[] = {script, 0}; execv(script, a); _exit(99); }
    CHECK("a shell script", WEXITSTATUS(status_of(kid)) == 33);
    f = fopen(script, "w"); fprintf(f, "echo\n"); fclose(f);
    kid = fork(); if (!kid) { char *a[] = {script, 0}; execv(script, a); _exit(errno == ENOEXEC ? 34 : 1); }
    CHECK("ENOEXEC", WEXITSTATUS(status_of(kid)) == 34);
    chmod(script, 0644);
    kid = fork(); if (!kid) { setuid(65534); char *a[] = {script, 0}; execv(script, a); _exit(errno == EACCES ? 35 : 1); }
    CHECK("EACCES without the execute bit", WEXITSTATUS(status_of(kid)) == 35);
    kid = fork(); if (!kid) { char *a[] = {dir, 0}; execv(dir, a); _exit(errno == EACCES ? 36 : 1); }
    CHECK("EACCES for a directory", WEXITSTATUS(status_of(kid)) == 36);
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    kid = fork(); if (!kid) { fexecve(fd, t1, e1); _exit(99); }
    CHECK("fexecve", WEXITSTATUS(status_of(kid)) == 21);
    int mem = memfd_create("image", MFD_CLOEXEC); struct stat st; fstat(fd, &st);
    char *image = malloc(st.st_size); pread(fd, image, st.st_size, 0); write(mem, image, st.st_size);
    kid = fork(); if (!kid) { fexecve(mem, t1, e1); _exit(99); }
    CHECK("fexecve of a memfd", WEXITSTATUS(status_of(kid)) == 21);
    kid = vfork(); if (!kid) { execve("/proc/self/exe", t1, e1); _exit(99); }
    CHECK("execve after vfork", WEXITSTATUS(status_of(kid)) == 21);
    CHECK("posix_spawn", WEXITSTATUS(spawn_status(t1)) == 1 && shared == 6);
    kid = fork(); if (!kid) { char *a[] = {"true", 0}; execv("/bin/true", a); _exit(99); }
    CHECK("a host program", status_of(kid) == 0);
    // clone in other forms
    shared = 0;
    kid = clone(child_fn, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)5);
    CHECK("clone with VM and VFORK", kid > 0 && WEXITSTATUS(status_of(kid)) == 5 && shared == 77);
    shared = 0;
    kid = clone(child_fn, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)6);
    CHECK("clone with VM alone", kid > 0 && WEXITSTATUS(status_of(kid)) == 6 && shared == 77);
    kid = clone(child_fn, stack + sizeof stack, 0, (void *)7);
    CHECK("clone without exit signal", kid > 0 && WEXITSTATUS(status_of(kid)) == 7);
    kid = clone(child_fn, stack + sizeof stack, CLONE_FILES | SIGCHLD, (void *)8);
    CHECK("clone sharing descriptors", kid > 0 && WEXITSTATUS(status_of(kid)) == 8);
    int pidfd = -1;
    kid = clone(child_fn, stack + sizeof stack, CLONE_PIDFD | SIGCHLD, (void *)9, &pidfd);
    siginfo_t si; memset(&si, 0, sizeof si);
    CHECK("clone with a pidfd, waited for by it", kid > 0 && pidfd > 2 && waitid(P_PIDFD, pidfd, &si, WEXITED) == 0 && si.si_status == 9 && si.si_pid == kid);
    struct clone_args ca; memset(&ca, 0, sizeof ca); ca.exit_signal = SIGCHLD;
    kid = syscall(SYS_clone3, &ca, sizeof ca); if (kid == 0) _exit(10);
    CHECK("clone3", kid > 0 && WEXITSTATUS(status_of(kid)) == 10);
    memset(&ca, 0, sizeof ca); ca.flags = CLONE_VM | CLONE_VFORK; ca.exit_signal = SIGCHLD; ca.stack = (uintptr_t)stack; ca.stack_size = sizeof stack; 
    CHECK("clone3 refuses nonsense", syscall(SYS_clone3, &ca, 8) < 0 && errno == EINVAL);
    kid = fork(); if (!kid) { if (unshare(CLONE_NEWUSER)) _exit(errno == EPERM || errno == ENOSPC ? 12 : 1); _exit(12); }
    CHECK("unshare(CLONE_NEWUSER): no helper threads", WEXITSTATUS(status_of(kid)) == 12);
    kid = fork(); if (!kid) { setsid(); _exit(getsid(0) == getpid() && getpgrp() == getpid() ? 13 : 1); }
    CHECK("setsid", WEXITSTATUS(status_of(kid)) == 13);
    struct rusage ru;
    kid = fork(); if (!kid) _exit(0);
    CHECK("wait4 gives usage", wait4(kid, &s, 0, &ru) == kid && s == 0);
    CHECK("no children left", wait(&s) < 0 && errno == ECHILD);
    struct rlimit rl, old; getrlimit(RLIMIT_AS, &old);
    rl = old; rl.rlim_cur = 512 << 20; setrlimit(RLIMIT_AS, &rl);
    CHECK("RLIMIT_AS limits", mmap(0, 1 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    setrlimit(RLIMIT_AS, &old);
    int storm = 1;
    for (int i = 0; i < 100; i++) { kid = i & 1 ? fork() : vfork(); if (!kid) _exit(i); if (WEXITSTATUS(status_of(kid)) != i) storm = 0; }
    CHECK("a hundred children", storm);
    unlink(path); unlink(script); rmdir(dir);
    return finish();
}
