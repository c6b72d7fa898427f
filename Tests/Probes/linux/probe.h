// What every probe uses: one line "ok NAME" or "FAIL NAME" per claim, and "done" at the end.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// What differs between the guests: machine, end of user space, places, and code: return 42, an undefined instruction, a
// breakpoint.
#if defined __riscv
#define MACHINE "riscv64"
#define SPACE_END ((uintptr_t)1 << 38)
#define OUTSIDE ((void *)(1ul << 40))
#define FREE_HINT ((char *)0x2000000000)
#define HUGE_LENGTH (1ul << 60)
#define LARGE_LENGTH (100ul << 30)
#define RETURN_CONSTANT(n) {0x13, 0x05, (n) << 4 & 0xff, (n) >> 4, 0x67, 0x80, 0, 0} // li a0, n; ret
#define CONTEXT_PC(u) ((u)->uc_mcontext.__gregs[REG_PC])
#define UNDEFINED __asm__ volatile(".word 0")
#define BREAKPOINT __asm__ volatile("ebreak")
#define UNDEFINED_CODE ILL_ILLOPC
#define BREAKPOINT_CODE TRAP_BRKPT
// Sends itself a signal with d in a floating point register.
#define SIGNAL_WITH(d, s)                                                                                             \
    do {                                                                                                              \
        register double kept_ __asm__("fs3") = d;                                                                     \
        __asm__ volatile("" : "+f"(kept_));                                                                           \
        raise(s);                                                                                                     \
        __asm__ volatile("" : "+f"(kept_));                                                                           \
        d = kept_;                                                                                                    \
    } while (0)
#elif defined __x86_64__
#define MACHINE "x86_64"
#define SPACE_END ((uintptr_t)1 << 47)
#define OUTSIDE ((void *)(1ul << 47))
#define FREE_HINT ((char *)0x2000000000)
#define HUGE_LENGTH (1ul << 60)
#define LARGE_LENGTH (100ul << 30)
#define RETURN_CONSTANT(n) {0xb8, (n), 0, 0, 0, 0xc3, 0, 0} // mov $n, %eax; ret
#define CONTEXT_PC(u) ((u)->uc_mcontext.gregs[REG_RIP])
#define UNDEFINED __asm__ volatile("ud2")
#define BREAKPOINT __asm__ volatile("int3")
#define UNDEFINED_CODE ILL_ILLOPN
#define BREAKPOINT_CODE SI_KERNEL
#define SIGNAL_WITH(d, s)                                                                                             \
    do {                                                                                                              \
        long call_ = SYS_kill;                                                                                        \
        __asm__ volatile("movsd %0, %%xmm7\n\tsyscall\n\tmovsd %%xmm7, %0"                                             \
                         : "+m"(d), "+a"(call_)                                                                       \
                         : "D"((long)getpid()), "S"((long)(s)) : "rcx", "r11", "xmm7", "memory");                                             \
    } while (0)
#else
#define MACHINE "i686"
#define SPACE_END ((uintptr_t)0xffffe000)
#define OUTSIDE ((void *)0xfffff000)
#define FREE_HINT ((char *)0x90000000)
#define HUGE_LENGTH 0xfffff000ul
#define LARGE_LENGTH (1ul << 30)
#define RETURN_CONSTANT(n) {0xb8, (n), 0, 0, 0, 0xc3, 0, 0}
#define CONTEXT_PC(u) ((u)->uc_mcontext.gregs[REG_EIP])
#define UNDEFINED __asm__ volatile("ud2")
#define BREAKPOINT __asm__ volatile("int3")
#define UNDEFINED_CODE ILL_ILLOPN
#define BREAKPOINT_CODE SI_KERNEL
#define SIGNAL_WITH(d, s)                                                                                             \
    do {                                                                                                              \
        long call_ = SYS_kill;                                                                                        \
        __asm__ volatile("movsd %0, %%xmm7\n\tint $0x80\n\tmovsd %%xmm7, %0"                                             \
                         : "+m"(d), "+a"(call_)                                                                       \
                         : "b"(getpid()), "c"(s) : "memory");                                             \
    } while (0)
#endif

// sigaction as the kernel has it; programs for x86_64 must bring the code that returns from a handler.
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
#ifndef __riscv
    void *restorer;
#endif
    uint64_t mask __attribute__((packed, aligned(4)));
};
#ifdef __x86_64__
__asm__(".text\nprobe_restorer: mov $15, %eax\nsyscall\n");
extern char probe_restorer[];
#define RESTORER_FLAG 0x04000000
#define RESTORER .restorer = probe_restorer
#else
#define RESTORER_FLAG 0
#define RESTORER
#endif

static int failures;
#define CHECK(name, condition)                                                                                        \
    do {                                                                                                              \
        int good_ = (condition);                                                                                      \
        if (!good_) failures++;                                                                                       \
        printf("%s %s%s%s\n", good_ ? "ok" : "FAIL", name, good_ ? "" : ": " #condition " errno ",                    \
               good_ ? "" : strerror(errno));                                                                         \
        fflush(stdout);                                                                                               \
    } while (0)
// Whoever runs the probe may have blocked or ignored signals.
static inline void begin(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
}
static inline int finish(void) {
    printf("done\n");
    fflush(stdout);
    return failures != 0;
}
static inline void msleep(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {}
}
static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
