// Delivery, frames, masks, alternate stacks, restart rules.
#include "probe.h"
#include <poll.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last, code;
static siginfo_t seen;
static void *volatile stack_at;
static sigset_t mask_inside;
static void handler(int s, siginfo_t *i, void *u) {
    (void)u;
    int here;
    stack_at = &here;
    count++;
    last = s;
    code = i->si_code;
    seen = *i;
    sigprocmask(SIG_BLOCK, 0, &mask_inside);
}
static void install(int s, int flags) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(s, &a, 0);
}
static void alarm_in(long us) {
    struct itimerval t = {.it_value = {us / 1000000, us % 1000000}};
    setitimer(ITIMER_REAL, &t, 0);
}

static int order[8], order_count;
static void order_handler(int s) { order[order_count++] = s; }

static void *edit_target;
static volatile int edited;
static void landing(void) { edited++; longjmp(*(jmp_buf *)edit_target, 1); }
static void edit_handler(int s, siginfo_t *i, void *u) {
    (void)s; (void)i;
    ucontext_t *c = u;
    CONTEXT_PC(c) = (unsigned long)landing;
}
static jmp_buf back;
static void *fault_at; static int fault_code, fault_signal;
static void fault_handler(int s, siginfo_t *i, void *u) {
    (void)u;
    fault_at = i->si_addr; fault_code = i->si_code; fault_signal = s;
    siglongjmp(back, 1);
}
static int fpr_ok;
static void fpr_handler(int s) { (void)s; volatile double x = 1; for (int i = 0; i < 50; i++) x = x * 1.5 + i; fpr_ok = x > 0; }

static int child_status(void (*f)(void)) {
    pid_t p = fork();
    if (p == 0) { struct rlimit none = {0, 0}; setrlimit(RLIMIT_CORE, &none); f(); _exit(0); }
    int s; waitpid(p, &s, 0); return s;
}
static void do_segv(void) { *(volatile int *)8 = 1; }
static void do_segv_blocked(void) { sigset_t b; sigemptyset(&b); sigaddset(&b, SIGSEGV); sigprocmask(SIG_BLOCK, &b, 0); install(SIGSEGV, 0); *(volatile int *)8 = 1; }
static void do_segv_ignored(void) { signal(SIGSEGV, SIG_IGN); *(volatile int *)8 = 1; }
static void do_kill_blocked(void) { sigset_t b, p; sigemptyset(&b); sigaddset(&b, SIGSEGV); sigprocmask(SIG_BLOCK, &b, 0); kill(getpid(), SIGSEGV); sigpending(&p); _exit(sigismember(&p, SIGSEGV) ? 42 : 1); }
static void do_kill_unblock(void) { sigset_t b; sigemptyset(&b); sigaddset(&b, SIGSEGV); sigprocmask(SIG_BLOCK, &b, 0); kill(getpid(), SIGSEGV); sigprocmask(SIG_UNBLOCK, &b, 0); _exit(3); }
static void do_abort(void) { abort(); }
static void do_kill9(void) { raise(SIGKILL); }
static void do_ill(void) { UNDEFINED; }
static void do_term(void) { raise(SIGTERM); }
static void do_bad_stack(void) {
    install(SIGUSR1, SA_ONSTACK);
    stack_t s = {.ss_sp = (void *)0x1000000, .ss_size = 65536};
    sigaltstack(&s, 0);
    raise(SIGUSR1);
}
static void *poker(void *arg) { pthread_t t = *(pthread_t *)arg; for (int i = 0; i < 2000; i++) { pthread_kill(t, SIGRTMIN + 5); if (i % 50 == 0) msleep(1); } return 0; }

int main(void) {
    begin();
    install(SIGUSR1, 0);
    raise(SIGUSR1);
    CHECK("raise runs the handler", count == 1 && last == SIGUSR1 && seen.si_pid == getpid() && code == SI_TKILL);
    CHECK("the signal is blocked inside its handler", sigismember(&mask_inside, SIGUSR1));
    kill(getpid(), SIGUSR1);
    CHECK("kill has SI_USER and the sender", code == SI_USER && seen.si_pid == getpid());
    union sigval v = {.sival_ptr = (void *)0x123456789abcul};
    sigqueue(getpid(), SIGUSR1, v);
    CHECK("sigqueue carries its value", code == SI_QUEUE && seen.si_value.sival_ptr == v.sival_ptr);
    install(SIGUSR1, SA_NODEFER);
    raise(SIGUSR1);
    CHECK("SA_NODEFER leaves it unblocked", !sigismember(&mask_inside, SIGUSR1));
    install(SIGUSR1, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction old;
    sigaction(SIGUSR1, 0, &old);
    CHECK("SA_RESETHAND resets", old.sa_handler == SIG_DFL);
    struct sigaction q = {.sa_handler = order_handler};
    sigfillset(&q.sa_mask);
    sigaction(SIGUSR2, &q, 0);
    struct sigaction r;
    sigaction(SIGUSR2, 0, &r);
    CHECK("sigaction reads back", r.sa_handler == order_handler && sigismember(&r.sa_mask, SIGINT) && !sigismember(&r.sa_mask, SIGKILL));

    // every real-time signal number, glibc's own two too
    int all = 1;
    for (int s = 32; s <= 64; s++) {
        struct kernel_sigaction ka = {.handler = handler, .flags = SA_SIGINFO | RESTORER_FLAG, RESTORER};
        if (syscall(SYS_rt_sigaction, s, &ka, 0, 8)) all = 0;
        int before = count;
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), s);
        if (count != before + 1 || last != s) all = 0;
    }
    CHECK("all real-time signals arrive", all);

    sigset_t b, o;
    sigemptyset(&b);
    for (int s = SIGRTMIN; s < SIGRTMIN + 4; s++) { sigaddset(&b, s); struct sigaction a = {.sa_handler = order_handler}; sigaction(s, &a, 0); }
    sigprocmask(SIG_BLOCK, &b, &o);
    for (int s = SIGRTMIN + 3; s >= SIGRTMIN; s--) raise(s);
    raise(SIGRTMIN);
    sigset_t p; sigpending(&p);
    CHECK("pending shows blocked signals", sigismember(&p, SIGRTMIN + 2) && order_count == 0);
    sigprocmask(SIG_SETMASK, &o, 0);
    CHECK("all queued ones are delivered at once", order_count == 5);
    CHECK("the last frame built runs first", order[0] == SIGRTMIN + 3 || order[0] == SIGRTMIN);

    // alternate stack
    static char alt[65536];
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt}, os;
    CHECK("sigaltstack", sigaltstack(&ss, 0) == 0);
    install(SIGUSR1, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK("handler runs on the alternate stack", (char *)stack_at >= alt && (char *)stack_at < alt + sizeof alt);
    sigaltstack(0, &os);
    CHECK("sigaltstack reads back", os.ss_sp == alt && os.ss_size == sizeof alt && os.ss_flags == 0);
    stack_t small = {.ss_sp = alt, .ss_size = 100};
    CHECK("too small a stack is ENOMEM", sigaltstack(&small, 0) < 0 && errno == ENOMEM);
    ss.ss_flags = 1u << 31; // SS_AUTODISARM
    CHECK("SS_AUTODISARM is taken", sigaltstack(&ss, 0) == 0);
    raise(SIGUSR1);
    sigaltstack(0, &os);
    CHECK("and restored after the handler", os.ss_sp == alt && os.ss_flags == (int)(1u << 31));

    // faults
    struct sigaction fa = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &fa, 0); sigaction(SIGBUS, &fa, 0); sigaction(SIGILL, &fa, 0); sigaction(SIGTRAP, &fa, 0);
    if (!sigsetjmp(back, 1)) *(volatile int *)16 = 1;
    CHECK("unmapped write is MAPERR at its address", fault_signal == SIGSEGV && fault_code == SEGV_MAPERR && fault_at == (void *)16);
    char *ro = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sigsetjmp(back, 1)) *(volatile char *)(ro + 5) = 1;
    CHECK("write to read-only is ACCERR", fault_signal == SIGSEGV && fault_code == SEGV_ACCERR && fault_at == ro + 5);
    char *two = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(two + 4096, 4096);
    if (!sigsetjmp(back, 1)) *(volatile uint64_t *)(two + 4092) = ~0ull;
    // 32-bit compilers make two stores of it.
    CHECK("a straddling store faults at the bad page and stores nothing", fault_at == two + 4096 && (two[4092] == 0 || sizeof(long) == 4));
    if (!sigsetjmp(back, 1)) ((void (*)(void))(two))();
    CHECK("jump to data is ACCERR at the target", fault_signal == SIGSEGV && fault_code == SEGV_ACCERR && fault_at == two);
    if (!sigsetjmp(back, 1)) ((void (*)(void))0x1234560)();
    CHECK("jump to nowhere is MAPERR at the target", fault_signal == SIGSEGV && fault_code == SEGV_MAPERR && fault_at == (void *)0x1234560);
    int fd = memfd_create("x", 0);
    ftruncate(fd, 100);
    char *file = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!sigsetjmp(back, 1)) file[4096] = 1;
    CHECK("beyond the end of a file is SIGBUS", fault_signal == SIGBUS && fault_code == BUS_ADRERR && fault_at == file + 4096);
    if (!sigsetjmp(back, 1)) UNDEFINED;
    CHECK("an undefined instruction is SIGILL", fault_signal == SIGILL && fault_code == UNDEFINED_CODE);
    if (!sigsetjmp(back, 1)) BREAKPOINT;
    CHECK("a breakpoint is SIGTRAP", fault_signal == SIGTRAP && fault_code == BREAKPOINT_CODE);

    struct sigaction ea = {.sa_sigaction = edit_handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR2, &ea, 0);
    jmp_buf jb; edit_target = &jb;
    sigset_t keep; sigprocmask(SIG_BLOCK, 0, &keep);
    if (!setjmp(jb)) { raise(SIGUSR2); edited = 100; }
    sigprocmask(SIG_SETMASK, &keep, 0);
    CHECK("a handler can move the program counter", edited == 1);

    // floating registers survive a handler
    struct sigaction ff = {.sa_handler = fpr_handler};
    sigaction(SIGUSR1, &ff, 0);
    double d = 2.5;
    SIGNAL_WITH(d, SIGUSR1);
    CHECK("floating registers survive", d == 2.5 && fpr_ok);

    // EINTR and restart
    install(SIGALRM, 0);
    int pfd[2]; pipe(pfd);
    char c;
    alarm_in(20000);
    CHECK("read is interrupted without SA_RESTART", read(pfd[0], &c, 1) < 0 && errno == EINTR);
    install(SIGALRM, SA_RESTART);
    pid_t kid = fork();
    if (kid == 0) { msleep(80); write(pfd[1], "x", 1); _exit(0); }
    count = 0;
    alarm_in(20000);
    CHECK("read is restarted with SA_RESTART", read(pfd[0], &c, 1) == 1 && count == 1);
    while (waitpid(kid, 0, 0) < 0) {}
    struct pollfd pf = {pfd[0], POLLIN, 0};
    alarm_in(20000);
    CHECK("poll is never restarted", poll(&pf, 1, 5000) < 0 && errno == EINTR);
    struct timespec ts = {5, 0}, rem;
    alarm_in(20000);
    CHECK("nanosleep is never restarted and says what remains", nanosleep(&ts, &rem) < 0 && errno == EINTR && rem.tv_sec == 4);
    alarm_in(20000);
    CHECK("pause", pause() < 0 && errno == EINTR);
    int ep = epoll_create1(0); struct epoll_event ev;
    alarm_in(20000);
    CHECK("epoll_wait is never restarted", epoll_wait(ep, &ev, 1, 5000) < 0 && errno == EINTR);

    // sigsuspend: temporary mask inside, original mask after
    sigset_t block, none;
    sigemptyset(&none); sigemptyset(&block); sigaddset(&block, SIGALRM); sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, 0);
    install(SIGALRM, 0);
    alarm_in(1000);
    msleep(20);
    count = 0;
    CHECK("sigsuspend returns EINTR", sigsuspend(&none) < 0 && errno == EINTR && count == 1);
    CHECK("the handler ran under the temporary mask", !sigismember(&mask_inside, SIGUSR1) && sigismember(&mask_inside, SIGALRM));
    sigset_t after; sigprocmask(SIG_BLOCK, 0, &after);
    CHECK("the mask is back afterwards", sigismember(&after, SIGALRM) && sigismember(&after, SIGUSR1));
    alarm_in(20000);
    struct timespec five = {5, 0};
    CHECK("ppoll lets a signal through", ppoll(0, 0, &five, &none) < 0 && errno == EINTR);
    alarm_in(20000);
    CHECK("pselect lets a signal through", pselect(0, 0, 0, 0, &five, &none) < 0 && errno == EINTR);
    alarm_in(20000);
    CHECK("epoll_pwait lets a signal through", epoll_pwait(ep, &ev, 1, 5000, &none) < 0 && errno == EINTR);
    alarm_in(10000);
    siginfo_t si;
    CHECK("sigtimedwait takes a blocked signal", sigtimedwait(&block, &si, &five) == SIGALRM && si.si_signo == SIGALRM);
    struct timespec zero = {0, 0};
    CHECK("sigtimedwait times out", sigtimedwait(&block, &si, &zero) < 0 && errno == EAGAIN);
    int sfd = signalfd(-1, &block, SFD_NONBLOCK);
    raise(SIGUSR1);
    struct signalfd_siginfo sf;
    CHECK("signalfd", read(sfd, &sf, sizeof sf) == sizeof sf && sf.ssi_signo == SIGUSR1);
    sigprocmask(SIG_UNBLOCK, &block, 0);

    // how processes die
    for (int n = SIGILL; n <= SIGSEGV; n++) sigaction(n, &(struct sigaction){.sa_handler = SIG_DFL}, 0);
    int s = child_status(do_segv);
    CHECK("death by SIGSEGV", WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
    s = child_status(do_segv_blocked);
    CHECK("a blocked fault kills", WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
    s = child_status(do_segv_ignored);
    CHECK("an ignored fault kills", WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
    s = child_status(do_kill_blocked);
    CHECK("a sent SIGSEGV can be blocked and is pending", WIFEXITED(s) && WEXITSTATUS(s) == 42);
    s = child_status(do_kill_unblock);
    CHECK("and kills when unblocked", WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);
    s = child_status(do_abort);
    CHECK("abort", WIFSIGNALED(s) && WTERMSIG(s) == SIGABRT);
    s = child_status(do_kill9);
    CHECK("SIGKILL", WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL);
    s = child_status(do_ill);
    CHECK("death by SIGILL", WIFSIGNALED(s) && WTERMSIG(s) == SIGILL);
    s = child_status(do_term);
    CHECK("death by SIGTERM", WIFSIGNALED(s) && WTERMSIG(s) == SIGTERM);
    s = child_status(do_bad_stack);
    CHECK("a frame that does not fit kills by SIGSEGV", WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV);

    // stop and continue
    kid = fork();
    if (kid == 0) { struct timespec t = {0, 200000000}; int e = nanosleep(&t, 0); _exit(e == 0 ? 7 : 1); }
    msleep(30); kill(kid, SIGSTOP);
    int st; waitpid(kid, &st, WUNTRACED);
    CHECK("WUNTRACED sees a stop", WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
    kill(kid, SIGCONT); waitpid(kid, &st, 0);
    CHECK("nanosleep continues after a stop", WIFEXITED(st) && WEXITSTATUS(st) == 7);
    struct sigaction nw = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &nw, 0);
    kid = fork(); if (kid == 0) _exit(0);
    CHECK("SA_NOCLDWAIT leaves no zombie", waitpid(kid, &st, 0) < 0 && errno == ECHILD);
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, 0);

    // a storm: signals between any two instructions
    install(SIGRTMIN + 5, SA_RESTART);
    count = 0;
    pthread_t me = pthread_self(), t;
    pthread_create(&t, 0, poker, &me);
    unsigned long sum = 0; int bad = 0;
    char buffer[64];
    while (pthread_tryjoin_np(t, 0) != 0) {
        for (int i = 0; i < 200; i++) sum += i;
        if (pwrite(fd, "hello", 5, 0) != 5 || pread(fd, buffer, 5, 0) != 5) bad++;
        if (getppid() <= 0) bad++;
    }
    CHECK("a storm of signals breaks nothing and loses none", !bad && count == 2000 && sum % 19900 == 0);
    return finish();
}
