// Native execution by signals; see native.h.
#define _GNU_SOURCE
#include "native.h"
#include "guest_access.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { fxsave_size = 512, header = 512, ymm_high_offset = 576, saved_limit = 16384 };
enum { magic_offset = 464, size_offset = 480 };
static const uint32_t magic1 = 0x46505853;

static __thread struct x86_native_case *current;
static __thread int entering;
static __thread gregset_t host_gregs;
static __thread uint8_t host_fp[saved_limit];
static __thread int has_stack;
static const int signals[] = {SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV};
static struct sigaction before[65];
static x86_native_hook fault_hook;

void x86_native_set_hook(x86_native_hook hook) { fault_hook = hook; }

static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

// Bytes of the frame's floating point state: all of XSAVE where there is one.
static uint32_t fp_size(const uint8_t *fp) {
    uint32_t magic, size;
    memcpy(&magic, fp + magic_offset, 4);
    memcpy(&size, fp + size_offset, 4);
    if (magic != magic1 || size < fxsave_size || size > saved_limit) return fxsave_size;
    return size;
}

static void enter(ucontext_t *u) {
    greg_t *g = u->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)u->uc_mcontext.fpregs;
    struct x86_native_case *c = current;
    memcpy(host_gregs, g, sizeof host_gregs);
    uint32_t size = fp_size(fp);
    memcpy(host_fp, fp, size);
    for (int i = 0; i < 16; i++) g[order[i]] = (greg_t)c->gpr[i];
    g[REG_RIP] = (greg_t)c->rip;
    g[REG_EFL] = (greg_t)((c->rflags & 0x200CD5) | 0x202);
    g[REG_CSGSFS] = (greg_t)(((uint64_t)g[REG_CSGSFS] & ~0xFFFFull) | c->cs);
    memcpy(fp, c->fxsave, 416);
    if (size > ymm_high_offset + 256) {
        uint64_t used;
        memcpy(&used, fp + header, 8);
        used |= 3;
        if (c->has_ymm) {
            used |= 4;
            memcpy(fp + ymm_high_offset, c->ymm_high, 256);
        }
        memcpy(fp + header, &used, 8);
    }
}

static void leave(int signal, siginfo_t *info, ucontext_t *u) {
    greg_t *g = u->uc_mcontext.gregs;
    uint8_t *fp = (uint8_t *)u->uc_mcontext.fpregs;
    struct x86_native_case *c = current;
    for (int i = 0; i < 16; i++) c->gpr[i] = (uint64_t)g[order[i]];
    c->rip = (uint64_t)g[REG_RIP];
    c->rflags = (uint64_t)g[REG_EFL];
    uint32_t size = fp_size(fp);
    uint64_t used = 3;
    if (size > header + 8) memcpy(&used, fp + header, 8);
    // Components in their initial state are not written to the frame, but the kernel fills in the x87 and SSE parts.
    memcpy(c->fxsave, fp, 416);
    if (size > ymm_high_offset + 256) {
        if (used & 4) memcpy(c->ymm_high, fp + ymm_high_offset, 256);
        else memset(c->ymm_high, 0, 256);
        if (!(used & 2)) memset(c->fxsave + 160, 0, 256);
    }
    c->signal = signal;
    c->vector = (uint64_t)g[REG_TRAPNO];
    c->error = (uint64_t)g[REG_ERR];
    c->address = c->vector == 14 ? (uint64_t)g[REG_CR2] : (uint64_t)(uintptr_t)info->si_addr;
    memcpy(g, host_gregs, sizeof host_gregs);
    memcpy(fp, host_fp, size);
}

static void handler(int signal, siginfo_t *info, void *context) {
    ucontext_t *u = context;
    if (current && entering) {
        entering = 0;
        enter(u);
        return;
    }
    if (current) {
        leave(signal, info, u);
        current = 0;
        return;
    }
    if (guise_fixup_fault(context)) return;
    greg_t *g = u->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)g[REG_RIP];
    int vector = (int)g[REG_TRAPNO];
    uint64_t address = vector == 14 ? (uint64_t)g[REG_CR2] : (uint64_t)(uintptr_t)info->si_addr;
    if (fault_hook && fault_hook(&rip, (uint64_t)g[REG_RBP], address, (g[REG_ERR] & 2) != 0, (uint64_t)g[REG_EFL], vector)) {
        g[REG_RIP] = (greg_t)rip;
        g[REG_EFL] &= ~(greg_t)0x400;
        return;
    }
    const struct sigaction *old = &before[signal];
    if (old->sa_flags & SA_SIGINFO && old->sa_sigaction && old->sa_sigaction != handler) {
        old->sa_sigaction(signal, info, context);
    } else {
        struct sigaction fallback;
        memset(&fallback, 0, sizeof fallback);
        fallback.sa_handler = SIG_DFL;
        sigaction(signal, &fallback, 0);
    }
}

int x86_native_install(void) {
    if (!has_stack) {
        stack_t stack;
        memset(&stack, 0, sizeof stack);
        stack.ss_size = 1 << 16;
        stack.ss_sp = mmap(0, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, 0)) return -1;
        has_stack = 1;
    }
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction now, ours;
        if (sigaction(signals[i], 0, &now)) return -1;
        if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == handler) continue;
        before[signals[i]] = now;
        memset(&ours, 0, sizeof ours);
        ours.sa_sigaction = handler;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        if (sigaction(signals[i], &ours, 0)) return -1;
    }
    return 0;
}

int x86_native_run(struct x86_native_case *c) {
    if (x86_native_install()) return -1;
    uint16_t ds, es, flat = 0x2B;
    __asm__ volatile("mov %%ds, %0\nmov %%es, %1" : "=r"(ds), "=r"(es));
    __asm__ volatile("mov %0, %%ds\nmov %0, %%es" : : "r"(flat));
    current = c;
    entering = 1;
    __asm__ volatile("int3" ::: "memory", "cc");
    __asm__ volatile("mov %0, %%ds\nmov %1, %%es" : : "r"(ds), "r"(es));
    return 0;
}
