// Signals: faults with siginfo and a handler that steps over the instruction, an alternate stack, nesting and masks,
// restart of a read, an interval timer during a computation, signals among threads, and sigsetjmp.
// Usage: signals. Prints `signals ok`.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define check(condition) do { if (!(condition)) { printf("signals: line %d: %s\n", __LINE__, #condition); exit(1); } } while (0)

static volatile sig_atomic_t ticks, users, faults;
static void *volatile faultAddress;
static volatile int faultCode;
static char *volatile handlerStack;
static sigjmp_buf back;

static void onFault(int number, siginfo_t *info, void *context) {
    (void)number;
    faults++;
    faultAddress = info->si_addr;
    faultCode = info->si_code;
    char here;
    handlerStack = &here;
#if defined __riscv
    // The faulting load is 32 bits wide (.option norvc): step over it and give it a value.
    ucontext_t *u = context;
    u->uc_mcontext.__gregs[REG_PC] += 4;
    u->uc_mcontext.__gregs[REG_A0] = 77;
#else
    (void)context;
    siglongjmp(back, 77);
#endif
}
static void onAlarm(int number) { (void)number; ticks++; }
static void onUser(int number) { (void)number; users++; }
static void onJump(int number) { (void)number; siglongjmp(back, 5); }

static long faultingLoad(void *address) {
#if defined __riscv
    register long result __asm__("a0") = (long)address;
    __asm__ volatile(".option push\n.option norvc\nlw a0, 0(a0)\n.option pop" : "+r"(result) : : "memory");
    return result;
#else
    int value = sigsetjmp(back, 1);
    return value ? value : *(volatile int *)address;
#endif
}

static void *target(void *done) {
    while (!*(volatile int *)done) usleep(1000);
    return NULL;
}

int main(void) {
    static char alternate[65536];
    struct sigaction action = { .sa_sigaction = onFault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
    check(sigaltstack(&stack, NULL) == 0);
    check(sigaction(SIGSEGV, &action, NULL) == 0);

    char *page = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(faultingLoad(page + 4100) == 77 && faultAddress == page + 4100 && faultCode == SEGV_ACCERR && faults == 1);
    check(handlerStack >= alternate && handlerStack < alternate + sizeof alternate);
    munmap(page, 8192);
    check(faultingLoad(page + 8) == 77 && faultCode == SEGV_MAPERR && faults == 2);

    // A handler entered during arithmetic must leave every register as it was.
    struct sigaction alarmAction = { .sa_handler = onAlarm, .sa_flags = SA_RESTART };
    check(sigaction(SIGALRM, &alarmAction, NULL) == 0);
    struct itimerval timer = { { 0, 2000 }, { 0, 2000 } };
    check(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    double sum = 0;
    unsigned long mix = 1, rounds = 0;
    while (ticks < 20) {
        mix = 1; sum = 0;
        for (int i = 1; i < 20000; i++) { mix = mix * 6364136223846793005ul + i; sum += 1.0 / i; }
        static unsigned long firstMix; static double firstSum;
        if (!rounds++) { firstMix = mix; firstSum = sum; }
        check(mix == firstMix && sum == firstSum);
    }

    // A read under SA_RESTART survives the timer; one without returns EINTR.
    int ends[2];
    check(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) { usleep(30000); check(write(ends[1], "x", 1) == 1); _exit(0); }
    char c = 0;
    check(read(ends[0], &c, 1) == 1 && c == 'x');
    int status;
    check(waitpid(child, &status, 0) == child && status == 0);
    alarmAction.sa_flags = 0;
    check(sigaction(SIGALRM, &alarmAction, NULL) == 0);
    check(read(ends[0], &c, 1) == -1 && errno == EINTR);
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, NULL);

    // Blocked signals wait; sigsuspend lets one in.
    signal(SIGUSR1, onUser);
    sigset_t set, old, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    sigpending(&pending);
    check(users == 0 && sigismember(&pending, SIGUSR1) == 1);
    check(sigsuspend(&old) == -1 && errno == EINTR && users == 1);
    sigprocmask(SIG_SETMASK, &old, NULL);

    signal(SIGUSR2, onJump);
    if (sigsetjmp(back, 1) == 0) { raise(SIGUSR2); check(0); }

    static volatile int done;
    pthread_t thread;
    check(pthread_create(&thread, NULL, target, (void *)&done) == 0);
    for (int i = 0; i < 20; i++) { check(pthread_kill(thread, SIGUSR1) == 0); usleep(500); }
    done = 1;
    pthread_join(thread, NULL);
    check(users > 1);

    child = fork();
    if (child == 0) { signal(SIGSEGV, SIG_DFL); *(volatile int *)16 = 1; _exit(0); }
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    child = fork();
    if (child == 0) { for (;;) pause(); }
    kill(child, SIGKILL);
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    puts("signals ok");
    return 0;
}
