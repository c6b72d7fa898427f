// System calls and signals on behalf of a Linux guest: what must be exact to the instruction.
// The record below is one guest thread's signal state; the host's signal handler writes it, the thread reads it.
#pragma once
#include <stdint.h>

/// A call that did not happen because a signal waits: deliver it, then execute the guest's instruction again.
enum { guise_restart = -512 };

/// Signal state of a guest thread. Only the thread itself and signal handlers on it touch the record.
struct guise_thread {
    /// Signals caught and not yet delivered; bit n-1 for signal n. While it is not 0 the host blocks all signals.
    uint64_t pending;
    /// SIGSEGV, SIGBUS and SIGFPE that were sent (not caused) while the guest blocks them; the host never blocks these.
    uint64_t held;
    /// The guest's signal mask as the guest sees it.
    uint64_t blocked;
    /// What the handler gives to the request-exit hook; 0: no guest CPU to interrupt yet.
    void *cpu;
    /// siginfo of the caught signals: 65 records of 128 bytes, by number.
    unsigned char *info;
};

/// Makes `thread` the record of the calling host thread (0: none).
void guise_thread_bind(struct guise_thread *thread);
/// The record of the calling host thread.
struct guise_thread *guise_thread_current(void);
/// Takes a bit out of `pending` or `held`; nonzero when it was set.
int guise_take_bit(uint64_t *word, int signal);

/// A system call as it is: the result, or -errno.
long guise_syscall(long number, long a0, long a1, long a2, long a3, long a4, long a5);
/// The same, unless a caught signal waits in *pending, or arrives before the kernel is entered, or the kernel wants the
/// call repeated after a handler: then guise_restart.
long guise_safe_syscall(uint64_t *pending, long number, long a0, long a1, long a2, long a3, long a4, long a5);

/// The same with the number and the structures of i386, on a host for which guise_has_compat_calls() is not 0.
long guise_safe_compat_syscall(uint64_t *pending, long number, long a0, long a1, long a2, long a3, long a4, long a5);

/// clone3(2). The child calls entry(argument) on the stack named in `args` and exits with its result;
/// with entry == 0 it returns 0 like fork (args->stack must then be 0).
long guise_clone3(const void *args, unsigned long size, int (*entry)(void *), void *argument);
/// clone(2) in the host's argument order, with the same two forms of child.
long guise_clone(unsigned long flags, void *stack_top, int *parent_tid, int *child_tid, int (*entry)(void *), void *argument);
/// Host thread storage and stack that belong to no running thread.
struct guise_storage {
    uint64_t thread_pointer;
    uint64_t stack_bottom;
    uint64_t stack_top;
};
/// Makes storage by starting a pthread that leaves at once without giving it back. Returns 0, or an errno.
int guise_make_storage(struct guise_storage *storage);
/// clone3 of a process that shares our memory: the child takes `thread_pointer` over before it calls entry(argument).
long guise_clone3_sharing(const void *args, unsigned long size, uint64_t thread_pointer, int (*entry)(void *), void *argument);
/// glibc's fork(): allocator locks are consistent in the child. Returns the pid, 0 in the child, or -errno.
long guise_fork(void);

/// How the host treats a signal.
enum guise_disposition { guise_default = 0, guise_ignore = 1, guise_catch = 2 };
/// Sets the host's disposition; `flags` are the SA_ bits handed on to the kernel. Returns 0 or -errno.
long guise_set_disposition(int signal, int disposition, unsigned long flags);
/// Reads the host's disposition: guise_default, guise_ignore, or guise_catch for any handler.
int guise_get_disposition(int signal);

/// Hooks, set once before guest code runs. Both run inside signal handlers.
/// The fault hook returns nonzero when it redirected the context.
void guise_set_fault_hook(int (*hook)(int signal, void *info, void *context));
void guise_set_interrupt_hook(void (*hook)(void *cpu));

/// A lock of one word that is not tied to a thread identity, so that it survives fork and vfork.
void guise_lock(uint32_t *word);
void guise_unlock(uint32_t *word);
