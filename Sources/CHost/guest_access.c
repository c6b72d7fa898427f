// Fault-tolerant access to guest memory: x86-64 assembly with a table of (instruction, failure exit) pairs.
#define _GNU_SOURCE
#include "guest_access.h"
#include <ucontext.h>

#if !defined(__x86_64__)
#error "guest_access.c is written for x86-64 hosts"
#endif

// One row per instruction that may fault: offset of the instruction, of the exit, and the register (as an index
// into gregs) that holds the guest address, for faults that report none (non-canonical addresses).
struct fixup {
    int32_t at;
    int32_t exit;
    int32_t base;
    int32_t writes;
};
extern const struct fixup guise_fixups[], guise_fixups_end[];

#define STR_(x) #x
#define STR(x) STR_(x)
#define FIXUP(at, exit, base, writes)                                                                                 \
    ".pushsection .rodata.guise_fixups,\"a\"\n"                                                                       \
    ".long " at " - guise_fixups, " exit " - guise_fixups, " STR(base) ", " STR(writes) "\n"                          \
    ".popsection\n"
#define FUNCTION(name) ".globl " name "\n.type " name ",@function\n.p2align 4\n" name ":\n"
// gregs indices of the x86-64 ucontext (fixed by the kernel ABI).
#define GREG_RDI 8
#define GREG_RSI 9

__asm__(
    ".pushsection .rodata.guise_fixups,\"a\"\n"
    ".p2align 2\n.globl guise_fixups\nguise_fixups:\n"
    ".popsection\n"
    ".text\n"
    FUNCTION("guise_copy_in")
    "mov %rdx, %rcx\n"
    "1: rep movsb\n"
    "2: mov %rcx, %rax\n"
    "ret\n" FIXUP("1b", "2b", GREG_RSI, 0)
    FUNCTION("guise_copy_out")
    "mov %rdx, %rcx\n"
    "1: rep movsb\n"
    "2: mov %rcx, %rax\n"
    "ret\n" FIXUP("1b", "2b", GREG_RDI, 1)
    FUNCTION("guise_string_length")
    "xor %eax, %eax\n"
    "3: cmp %rsi, %rax\n"
    "jae 4f\n"
    "1: cmpb $0, (%rdi)\n"
    "je 4f\n"
    "inc %rdi\n"
    "inc %rax\n"
    "jmp 3b\n"
    "2: mov $-1, %rax\n"
    "4: ret\n" FIXUP("1b", "2b", GREG_RDI, 0)
    // The shared failure exit of the routines that return an int.
    "guise_access_failed: mov $-1, %eax\nret\n"
    FUNCTION("guise_load1") "1: movzbl (%rdi), %eax\nmov %rax, (%rsi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 0)
    FUNCTION("guise_load2") "1: movzwl (%rdi), %eax\nmov %rax, (%rsi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 0)
    FUNCTION("guise_load4") "1: movl (%rdi), %eax\nmov %rax, (%rsi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 0)
    FUNCTION("guise_load8") "1: movq (%rdi), %rax\nmov %rax, (%rsi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 0)
    FUNCTION("guise_store1") "1: movb %sil, (%rdi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_store2") "1: movw %si, (%rdi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_store4") "1: movl %esi, (%rdi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_store8") "1: movq %rsi, (%rdi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    // (rdi address, rsi low, rdx high): one host store, so that a fault on the second page leaves the first untouched
    FUNCTION("guise_store16") "movq %rsi, %xmm0\nmovq %rdx, %xmm1\npunpcklqdq %xmm1, %xmm0\n"
    "1: movups %xmm0, (%rdi)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    // (rdi address, rsi expected, rdx desired, rcx out)
    FUNCTION("guise_cas1") "mov %rsi, %rax\n1: lock cmpxchgb %dl, (%rdi)\nmovzbl %al, %eax\nmov %rax, (%rcx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_cas2") "mov %rsi, %rax\n1: lock cmpxchgw %dx, (%rdi)\nmovzwl %ax, %eax\nmov %rax, (%rcx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_cas4") "mov %esi, %eax\n1: lock cmpxchgl %edx, (%rdi)\nmov %eax, %eax\nmov %rax, (%rcx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_cas8") "mov %rsi, %rax\n1: lock cmpxchgq %rdx, (%rdi)\nmov %rax, (%rcx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    // (rdi address, rsi expected[2], rdx desired[2], rcx old[2])
    FUNCTION("guise_cas16")
    "push %rbx\n"
    "mov %rcx, %r8\n"
    "mov (%rdx), %rbx\n"
    "mov 8(%rdx), %rcx\n"
    "mov (%rsi), %rax\n"
    "mov 8(%rsi), %rdx\n"
    "1: lock cmpxchg16b (%rdi)\n"
    "mov %rax, (%r8)\n"
    "mov %rdx, 8(%r8)\n"
    "pop %rbx\n"
    "xor %eax, %eax\n"
    "ret\n"
    "2: pop %rbx\nmov $-1, %eax\nret\n" FIXUP("1b", "2b", GREG_RDI, 1)
    // (rdi address, rsi value, rdx out)
    FUNCTION("guise_xchg1") "1: xchgb %sil, (%rdi)\nmovzbl %sil, %esi\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_xchg2") "1: xchgw %si, (%rdi)\nmovzwl %si, %esi\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_xchg4") "1: xchgl %esi, (%rdi)\nmov %esi, %esi\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_xchg8") "1: xchgq %rsi, (%rdi)\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_xadd1") "1: lock xaddb %sil, (%rdi)\nmovzbl %sil, %esi\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_xadd2") "1: lock xaddw %si, (%rdi)\nmovzwl %si, %esi\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_xadd4") "1: lock xaddl %esi, (%rdi)\nmov %esi, %esi\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    FUNCTION("guise_xadd8") "1: lock xaddq %rsi, (%rdi)\nmov %rsi, (%rdx)\nxor %eax, %eax\nret\n"
    FIXUP("1b", "guise_access_failed", GREG_RDI, 1)
    // x86 string instructions, repeated: (rdi destination, rsi source or value, rdx count, ecx backward); the count left.
#define MOVE(n, s)                                                                                                    \
    FUNCTION("guise_movs" #n) "test %ecx, %ecx\nmov %rdx, %rcx\njz 1f\nstd\n1: rep movs" s "\n"                       \
    "2: cld\nmov %rcx, %rax\nret\n" FIXUP("1b", "2b", GREG_RSI, 0)
#define FILL(n, s)                                                                                                    \
    FUNCTION("guise_stos" #n) "mov %rsi, %rax\ntest %ecx, %ecx\nmov %rdx, %rcx\njz 1f\nstd\n1: rep stos" s "\n"       \
    "2: cld\nmov %rcx, %rax\nret\n" FIXUP("1b", "2b", GREG_RDI, 1)
    // (rdi, rsi, rdx count, rcx in and out: EFLAGS with DF), until equal or not equal; the count left.
#define COMPARE(n, s, how)                                                                                            \
    FUNCTION("guise_cmps_" how #n) "mov %rcx, %r8\nmov %rdx, %rcx\npush (%r8)\npopfq\n1: " how " cmps" s "\n"         \
    "2: pushfq\npop (%r8)\ncld\nmov %rcx, %rax\nret\n" FIXUP("1b", "2b", GREG_RSI, 0)                                \
    FUNCTION("guise_scas_" how #n) "mov %rcx, %r8\nmov %rsi, %rax\nmov %rdx, %rcx\npush (%r8)\npopfq\n"               \
    "1: " how " scas" s "\n2: pushfq\npop (%r8)\ncld\nmov %rcx, %rax\nret\n" FIXUP("1b", "2b", GREG_RDI, 0)
    MOVE(1, "b") MOVE(2, "w") MOVE(4, "l") MOVE(8, "q") FILL(1, "b") FILL(2, "w") FILL(4, "l") FILL(8, "q")
    COMPARE(1, "b", "repe") COMPARE(2, "w", "repe") COMPARE(4, "l", "repe") COMPARE(8, "q", "repe")
    COMPARE(1, "b", "repne") COMPARE(2, "w", "repne") COMPARE(4, "l", "repne") COMPARE(8, "q", "repne")
    FUNCTION("guise_has_compat_calls")
    "push %rbx\n"
    "mov $20, %eax\n" // getpid
    "1: int $0x80\n"
    "mov $1, %eax\n"
    "pop %rbx\n"
    "ret\n"
    "2: xor %eax, %eax\npop %rbx\nret\n" FIXUP("1b", "2b", GREG_RDI, 0)
    ".pushsection .rodata.guise_fixups,\"a\"\n"
    ".globl guise_fixups_end\nguise_fixups_end:\n"
    ".popsection\n");

#define DECLARE(name, ...) int name##1(__VA_ARGS__), name##2(__VA_ARGS__), name##4(__VA_ARGS__), name##8(__VA_ARGS__)
DECLARE(guise_load, uint64_t, uint64_t *);
DECLARE(guise_store, uint64_t, uint64_t);
DECLARE(guise_cas, uint64_t, uint64_t, uint64_t, uint64_t *);
DECLARE(guise_xchg, uint64_t, uint64_t, uint64_t *);
DECLARE(guise_xadd, uint64_t, uint64_t, uint64_t *);
int guise_cas16(uint64_t, const uint64_t *, const uint64_t *, uint64_t *);

// An unknown size is the caller's mistake; it reads as a fault rather than as a crash.
#define BY_SIZE(name, ...)                                                                                            \
    switch (size) {                                                                                                   \
    case 1: return name##1(__VA_ARGS__);                                                                              \
    case 2: return name##2(__VA_ARGS__);                                                                              \
    case 4: return name##4(__VA_ARGS__);                                                                              \
    case 8: return name##8(__VA_ARGS__);                                                                              \
    default: return -1;                                                                                               \
    }

int guise_load(uint64_t address, int size, uint64_t *out) { BY_SIZE(guise_load, address, out) }
int guise_store(uint64_t address, int size, uint64_t value) { BY_SIZE(guise_store, address, value) }
int guise_cmpxchg(uint64_t address, int size, uint64_t expected, uint64_t desired, uint64_t *old) {
    BY_SIZE(guise_cas, address, expected, desired, old)
}
int guise_exchange(uint64_t address, int size, uint64_t value, uint64_t *old) { BY_SIZE(guise_xchg, address, value, old) }
int guise_fetch_add(uint64_t address, int size, uint64_t value, uint64_t *old) { BY_SIZE(guise_xadd, address, value, old) }
int guise_cmpxchg16(uint64_t address, const uint64_t expected[2], const uint64_t desired[2], uint64_t old[2]) {
    if (address & 15) return -1;
    return guise_cas16(address, expected, desired, old);
}

typedef unsigned long string_move(uint64_t, uint64_t, unsigned long, int);
typedef unsigned long string_compare(uint64_t, uint64_t, unsigned long, uint64_t *);
string_move guise_movs1, guise_movs2, guise_movs4, guise_movs8, guise_stos1, guise_stos2, guise_stos4, guise_stos8;
string_compare guise_cmps_repe1, guise_cmps_repe2, guise_cmps_repe4, guise_cmps_repe8, guise_cmps_repne1, guise_cmps_repne2,
    guise_cmps_repne4, guise_cmps_repne8, guise_scas_repe1, guise_scas_repe2, guise_scas_repe4, guise_scas_repe8,
    guise_scas_repne1, guise_scas_repne2, guise_scas_repne4, guise_scas_repne8;

unsigned long guise_string_move(uint64_t dst, uint64_t src, unsigned long count, int size_log2, int backward) {
    static string_move *const moves[] = {guise_movs1, guise_movs2, guise_movs4, guise_movs8};
    return moves[size_log2 & 3](dst, src, count, backward);
}

unsigned long guise_string_fill(uint64_t dst, uint64_t value, unsigned long count, int size_log2, int backward) {
    static string_move *const fills[] = {guise_stos1, guise_stos2, guise_stos4, guise_stos8};
    return fills[size_log2 & 3](dst, value, count, backward);
}

unsigned long guise_string_compare(uint64_t dst, uint64_t src, unsigned long count, int size_log2, int while_equal,
                                   uint64_t *flags) {
    static string_compare *const compares[] = {guise_cmps_repne1, guise_cmps_repne2, guise_cmps_repne4, guise_cmps_repne8,
                                               guise_cmps_repe1,  guise_cmps_repe2,  guise_cmps_repe4,  guise_cmps_repe8};
    return compares[(size_log2 & 3) + (while_equal ? 4 : 0)](dst, src, count, flags);
}

unsigned long guise_string_scan(uint64_t dst, uint64_t value, unsigned long count, int size_log2, int while_equal,
                                uint64_t *flags) {
    static string_compare *const scans[] = {guise_scas_repne1, guise_scas_repne2, guise_scas_repne4, guise_scas_repne8,
                                            guise_scas_repe1,  guise_scas_repe2,  guise_scas_repe4,  guise_scas_repe8};
    return scans[(size_log2 & 3) + (while_equal ? 4 : 0)](dst, value, count, flags);
}

static __thread uint64_t fault_address;
static __thread int fault_was_write;
static __thread unsigned long fault_count;

uint64_t guise_last_fault_address(void) { return fault_address; }
int guise_last_fault_was_write(void) { return fault_was_write; }
unsigned long guise_fault_count(void) { return fault_count; }

int guise_fixup_fault(void *context) {
    greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
    intptr_t pc = (intptr_t)gregs[REG_RIP];
    intptr_t table = (intptr_t)guise_fixups;
    for (const struct fixup *f = guise_fixups; f < guise_fixups_end; f++) {
        if (table + f->at != pc) continue;
        enum { page_fault = 14 };
        fault_address = (uint64_t)(gregs[REG_TRAPNO] == page_fault ? gregs[REG_CR2] : gregs[f->base]);
        enum { write_access = 2 };
        fault_was_write = gregs[REG_TRAPNO] == page_fault ? (gregs[REG_ERR] & write_access) != 0 : f->writes;
        fault_count++;
        gregs[REG_RIP] = (greg_t)(table + f->exit);
        gregs[REG_EFL] &= ~(greg_t)0x400; // DF: the C ABI wants it clear
        return 1;
    }
    return 0;
}
