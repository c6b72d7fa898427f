// Runs guest instructions natively: all registers are loaded by returning from a signal handler, and collected by the
// next signal, which the instruction raises itself or the int3 behind it.
#pragma once
#include <stdint.h>

/// Registers before, and after. The order of gpr is that of the encoding.
struct x86_native_case {
    uint64_t gpr[16];
    uint64_t rip;
    uint64_t rflags;
    /// 0x33 for 64-bit code, 0x23 for 32-bit code (all addresses below 4 GiB then).
    uint64_t cs;
    /// Image of FXSAVE64: x87, MXCSR at 24, XMM at 160.
    uint8_t fxsave[512];
    /// Upper halves of YMM0…15; used when `has_ymm`.
    uint8_t ymm_high[256];
    uint32_t has_ymm;
    // What stopped it.
    int32_t signal;
    /// Exception vector and error code as the processor gave them; CR2 or what the kernel reports.
    uint64_t vector, error, address;
};

/// Runs from c->rip until a signal; the handlers of this process for SIGILL SIGTRAP SIGBUS SIGFPE SIGSEGV are ours from
/// the first call on and hand other signals to those before. Returns 0, or -1 when handlers cannot be installed.
int x86_native_run(struct x86_native_case *c);

/// Called for faults that are not from `x86_native_run`; returns 1 when it has dealt with one by changing the context:
/// (instruction pointer to change, rbp, address, is a write, eflags, vector).
typedef int (*x86_native_hook)(uint64_t *rip, uint64_t rbp, uint64_t address, int write, uint64_t eflags, int vector);
void x86_native_set_hook(x86_native_hook hook);

/// Installs the handlers and this thread's alternate stack. Returns 0, or -1.
int x86_native_install(void);
