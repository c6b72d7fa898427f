// Raw system calls, the interruptible call stub, the host's signal handler and clone for Linux guests.
// glibc's signal functions are not used: they hide signals 32 and 33, which belong to the guest.
#define _GNU_SOURCE
#include "guest_thread.h"
#include "guest_access.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static __thread struct guise_thread *self;
static int (*fault_hook)(int, void *, void *);
static void (*interrupt_hook)(void *);

// glibc registers an area for restartable sequences in every thread, which the kernel then reads and writes whenever the
// thread is scheduled. Nothing here uses it.
static void unregister_rseq(void) {
#ifdef RSEQ_SIG
    if (__rseq_size == 0) return;
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    syscall(SYS_rseq, area, 32, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
#endif
}

void guise_thread_bind(struct guise_thread *thread) {
    self = thread;
    if (thread) unregister_rseq();
}
struct guise_thread *guise_thread_current(void) { return self; }
void guise_set_fault_hook(int (*hook)(int, void *, void *)) { fault_hook = hook; }
void guise_set_interrupt_hook(void (*hook)(void *)) { interrupt_hook = hook; }

int guise_take_bit(uint64_t *word, int signal) {
    uint64_t bit = 1ull << (signal - 1);
    return (__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST) & bit) != 0;
}

// guise_safe_begin..guise_safe_end is the window in which the call has not happened yet. A kernel that restarts a
// call after a handler puts the program counter back on the syscall instruction, which is inside.
extern const char guise_safe_begin[], guise_safe_end[], guise_safe_abandon[], guise_restorer[];
extern const char guise_compat_begin[], guise_compat_end[], guise_compat_abandon[];
__asm__(
    ".text\n"
    ".globl guise_syscall\n.type guise_syscall,@function\n.p2align 4\nguise_syscall:\n"
    "mov %rdi, %rax\n"
    "mov %rsi, %rdi\n"
    "mov %rdx, %rsi\n"
    "mov %rcx, %rdx\n"
    "mov %r8, %r10\n"
    "mov %r9, %r8\n"
    "mov 8(%rsp), %r9\n"
    "syscall\n"
    "ret\n"
    ".globl guise_safe_syscall\n.type guise_safe_syscall,@function\n.p2align 4\nguise_safe_syscall:\n"
    "mov %rdi, %r11\n"
    "mov %rsi, %rax\n"
    "mov %rdx, %rdi\n"
    "mov %rcx, %rsi\n"
    "mov %r8, %rdx\n"
    "mov %r9, %r10\n"
    "mov 8(%rsp), %r8\n"
    "mov 16(%rsp), %r9\n"
    "guise_safe_begin:\n"
    "cmpq $0, (%r11)\n"
    "jne guise_safe_abandon\n"
    "syscall\n"
    "guise_safe_end:\n"
    "ret\n"
    "guise_safe_abandon:\n"
    "mov $-512, %rax\n"
    "ret\n"
    // The same by the host's 32-bit entry.
    ".globl guise_safe_compat_syscall\n.type guise_safe_compat_syscall,@function\n.p2align 4\n"
    "guise_safe_compat_syscall:\n"
    "push %rbx\n"
    "push %rbp\n"
    "mov %rdi, %r11\n"
    "mov %esi, %eax\n"
    "mov %edx, %ebx\n"
    "mov %r8d, %edx\n"
    "mov %r9d, %esi\n"
    "mov 24(%rsp), %edi\n"
    "mov 32(%rsp), %ebp\n"
    "guise_compat_begin:\n"
    "cmpq $0, (%r11)\n"
    "jne guise_compat_abandon\n"
    "int $0x80\n"
    "guise_compat_end:\n"
    "cltq\n"
    "1: pop %rbp\n"
    "pop %rbx\n"
    "ret\n"
    "guise_compat_abandon:\n"
    "mov $-512, %rax\n"
    "jmp 1b\n"
    ".p2align 4\nguise_restorer:\n"
    "mov $15, %eax\n" // rt_sigreturn
    "syscall\n"
    // (rdi args, rsi size, rdx entry, rcx argument)
    ".globl guise_clone3\n.type guise_clone3,@function\n.p2align 4\nguise_clone3:\n"
    "mov %rdx, %r8\n"
    "mov %rcx, %r9\n"
    "mov $435, %eax\n"
    "syscall\n"
    "jmp guise_cloned\n"
    // (rdi flags, rsi stack, rdx parent_tid, rcx child_tid, r8 entry, r9 argument); r8 would be TLS: not given.
    ".globl guise_clone\n.type guise_clone,@function\n.p2align 4\nguise_clone:\n"
    "mov %rcx, %r10\n"
    "mov $56, %eax\n"
    "syscall\n"
    "guise_cloned:\n"
    "test %rax, %rax\n"
    "jnz 1f\n"
    "test %r8, %r8\n"
    "jz 1f\n"
    "xor %ebp, %ebp\n"
    "and $-16, %rsp\n"
    "mov %r9, %rdi\n"
    "call *%r8\n"
    "mov %eax, %edi\n"
    "mov $60, %eax\n"
    "syscall\n"
    "hlt\n"
    "1: ret\n");

#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003

struct donor {
    struct guise_storage *storage;
    int ready;
};

static void *donate(void *argument) {
    struct donor *d = argument;
    pthread_attr_t attributes;
    void *base = 0;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &base, &size);
        pthread_attr_destroy(&attributes);
    }
    d->storage->stack_bottom = (uint64_t)(uintptr_t)base;
    // What lies above this frame is glibc's.
    d->storage->stack_top = (uint64_t)(uintptr_t)__builtin_frame_address(0);
    guise_syscall(SYS_arch_prctl, ARCH_GET_FS, (long)&d->storage->thread_pointer, 0, 0, 0, 0);
    __atomic_store_n(&d->ready, 1, __ATOMIC_RELEASE);
    guise_syscall(SYS_futex, (long)&d->ready, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    for (;;) guise_syscall(SYS_exit, 0, 0, 0, 0, 0, 0);
}

int guise_make_storage(struct guise_storage *storage) {
    struct donor d = {.storage = storage};
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    int error = pthread_create(&thread, &attributes, donate, &d);
    pthread_attr_destroy(&attributes);
    if (error) return error;
    while (!__atomic_load_n(&d.ready, __ATOMIC_ACQUIRE))
        guise_syscall(SYS_futex, (long)&d.ready, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    return storage->stack_bottom ? 0 : ENOMEM;
}

struct sharing {
    uint64_t thread_pointer;
    int (*entry)(void *);
    void *argument;
    int taken;
};

static int enter_sharing(void *pointer) {
    struct sharing *s = pointer;
    guise_syscall(SYS_arch_prctl, ARCH_SET_FS, (long)s->thread_pointer, 0, 0, 0, 0);
    int (*entry)(void *) = s->entry;
    void *argument = s->argument;
    // The parent's frame that holds *s may go now.
    __atomic_store_n(&s->taken, 1, __ATOMIC_RELEASE);
    guise_syscall(SYS_futex, (long)&s->taken, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    return entry(argument);
}

long guise_clone3_sharing(const void *args, unsigned long size, uint64_t thread_pointer, int (*entry)(void *), void *argument) {
    struct sharing s = {thread_pointer, entry, argument, 0};
    long pid = guise_clone3(args, size, enter_sharing, &s);
    if (pid > 0)
        while (!__atomic_load_n(&s.taken, __ATOMIC_ACQUIRE))
            guise_syscall(SYS_futex, (long)&s.taken, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    return pid;
}

long guise_fork(void) {
    pid_t pid = fork();
    return pid < 0 ? -errno : pid;
}

// All signals but those that the emulator itself needs at any time.
#define EVERYTHING (~(1ull << (SIGSEGV - 1)) & ~(1ull << (SIGBUS - 1)) & ~(1ull << (SIGFPE - 1)))

struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    const void *restorer;
    uint64_t mask;
};
#define KERNEL_SA_RESTORER 0x04000000ul

static void on_signal(int signal, siginfo_t *info, void *context) {
    ucontext_t *uc = context;
    struct guise_thread *t = self;
    uint64_t bit = 1ull << (signal - 1);
    int is_fault = signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE;
    if (is_fault && info->si_code > 0) {
        if (fault_hook && fault_hook(signal, info, uc)) return;
        if (signal != SIGFPE && guise_fixup_fault(uc)) return;
        static const char message[] = "guise: internal error: the emulator itself faulted; this is a bug in guise\n";
        guise_syscall(SYS_write, 2, (long)message, sizeof message - 1, 0, 0, 0);
        guise_set_disposition(signal, guise_default, 0);
        return; // the instruction faults again and ends the process by this signal
    }
    if (!t) return;
    memcpy(t->info + 128 * signal, info, 128);
    if (is_fault && (t->blocked & bit)) {
        __atomic_fetch_or(&t->held, bit, __ATOMIC_SEQ_CST);
        return;
    }
    __atomic_fetch_or(&t->pending, bit, __ATOMIC_SEQ_CST);
    // No further signal on this thread until this one has become a guest frame.
    uint64_t everything = EVERYTHING;
    memcpy(&uc->uc_sigmask, &everything, sizeof everything);
    uintptr_t pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
    if (pc >= (uintptr_t)guise_safe_begin && pc < (uintptr_t)guise_safe_end)
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)guise_safe_abandon;
    if (pc >= (uintptr_t)guise_compat_begin && pc < (uintptr_t)guise_compat_end)
        uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)guise_compat_abandon;
    if (t->cpu && interrupt_hook) interrupt_hook(t->cpu);
}

long guise_set_disposition(int signal, int disposition, unsigned long flags) {
    struct kernel_sigaction action = {
        .handler = disposition == guise_catch ? (void *)on_signal : (void *)(uintptr_t)disposition,
        .flags = flags | KERNEL_SA_RESTORER | (disposition == guise_catch ? SA_SIGINFO : 0),
        .restorer = guise_restorer,
        .mask = EVERYTHING,
    };
    return guise_syscall(SYS_rt_sigaction, signal, (long)&action, 0, sizeof action.mask, 0, 0);
}

int guise_get_disposition(int signal) {
    struct kernel_sigaction action = {0};
    guise_syscall(SYS_rt_sigaction, signal, 0, (long)&action, sizeof action.mask, 0, 0);
    uintptr_t handler = (uintptr_t)action.handler;
    return handler <= guise_ignore ? (int)handler : guise_catch;
}

// 0 free, 1 taken, 2 taken and somebody waits.
void guise_lock(uint32_t *word) {
    uint32_t seen = 0;
    if (__atomic_compare_exchange_n(word, &seen, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
        guise_syscall(SYS_futex, (long)word, FUTEX_WAIT_PRIVATE, 2, 0, 0, 0);
}

void guise_unlock(uint32_t *word) {
    if (__atomic_exchange_n(word, 0, __ATOMIC_RELEASE) == 2)
        guise_syscall(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
