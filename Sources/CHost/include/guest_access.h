// Touching guest memory from the emulator's own code, where the guest may have unmapped it.
// Every routine survives a fault: the SIGSEGV/SIGBUS handler calls guise_fixup_fault() first, which moves the
// program counter to the routine's failure exit. No routine allocates, locks or uses more than registers.
#pragma once
#include <stdint.h>

/// Copies n bytes from guest memory; returns the number of bytes NOT copied (0: all of them).
unsigned long guise_copy_in(void *dst, const void *src, unsigned long n);
/// Copies n bytes to guest memory; returns the number of bytes NOT copied (0: all of them).
unsigned long guise_copy_out(void *dst, const void *src, unsigned long n);
/// Length of the guest's zero-terminated string, at most `limit`; -1 when it runs into unreadable memory.
/// A result equal to `limit` means that no terminator was found.
long guise_string_length(const void *src, unsigned long limit);

/// Loads 1, 2, 4 or 8 bytes, zero-extended. Returns 0, or -1 on a fault (then *out is untouched).
int guise_load(uint64_t address, int size, uint64_t *out);
/// Stores the low 1, 2, 4 or 8 bytes. Returns 0, or -1 on a fault (then nothing was stored).
int guise_store(uint64_t address, int size, uint64_t value);
/// Stores 16 bytes. Returns 0, or -1 on a fault (then nothing was stored).
int guise_store16(uint64_t address, uint64_t low, uint64_t high);
/// Atomic compare-and-exchange of 1, 2, 4 or 8 bytes; *old receives what memory held (zero-extended).
/// Returns 0 whether or not the values were equal (compare *old), or -1 on a fault.
int guise_cmpxchg(uint64_t address, int size, uint64_t expected, uint64_t desired, uint64_t *old);
/// The 16-byte form, address 16-aligned: pairs are {low, high}. Returns as guise_cmpxchg().
int guise_cmpxchg16(uint64_t address, const uint64_t expected[2], const uint64_t desired[2], uint64_t old[2]);
/// Atomic exchange, and, or, xor, add: the old value goes to *old. Returns 0, or -1 on a fault.
int guise_exchange(uint64_t address, int size, uint64_t value, uint64_t *old);
int guise_fetch_add(uint64_t address, int size, uint64_t value, uint64_t *old);

/// x86 string instructions under REP on guest memory: `count` elements of 1 << size_log2 bytes, upwards or (`backward`)
/// downwards. Return the elements NOT done; not 0 after a fault, or where a comparison has ended it.
unsigned long guise_string_move(uint64_t dst, uint64_t src, unsigned long count, int size_log2, int backward);
/// See guise_string_move().
unsigned long guise_string_fill(uint64_t dst, uint64_t value, unsigned long count, int size_log2, int backward);
/// CMPS and SCAS under REPE (`while_equal`) or REPNE. *flags: EFLAGS before with DF, status flags after.
/// guise_fault_count() tells a fault from a comparison that has ended it.
unsigned long guise_string_compare(uint64_t dst, uint64_t src, unsigned long count, int size_log2, int while_equal,
                                   uint64_t *flags);
/// See guise_string_compare().
unsigned long guise_string_scan(uint64_t dst, uint64_t value, unsigned long count, int size_log2, int while_equal,
                                uint64_t *flags);
/// How many routines of this file have failed on this thread: compared before and after, it tells whether one has.
unsigned long guise_fault_count(void);
/// 1 when the host's kernel takes i386 system calls (INT 80), else 0. Needs the fault handler in place.
int guise_has_compat_calls(void);

/// First faulting address of the last failed routine on this thread.
uint64_t guise_last_fault_address(void);
/// Nonzero when that fault was a write.
int guise_last_fault_was_write(void);

/// From a SIGSEGV or SIGBUS handler: 1 when the fault was in a routine above and the context was redirected.
int guise_fixup_fault(void *ucontext);
