// See x87.h. Spec: AMD64 Architecture Programmer's Manual vol. 5, 6; Intel SDM vol. 1, 8.
//
// The host's x87 runs with the guest's control word, so an unmasked exception leaves its operands as the guest must see
// them; the exception is collected and cleared before the host would deliver it. Masked exceptions are left set in the host
// as long as the guest has them too: clearing is the slowest of all.
#include "x87.h"
#include <stddef.h>

#if !defined(__x86_64__)
#error "x87.c is written for x86-64 hosts"
#endif

// Generated code calls these without saving vector registers, which what a sanitizer adds would use.
#if defined(__clang__)
#define PLAIN target("general-regs-only"), disable_sanitizer_instrumentation
#else
#define PLAIN target("general-regs-only")
#endif
#define HELPER(name) __attribute__((PLAIN)) GUISE_X87(name)
#define INLINE static inline __attribute__((always_inline, PLAIN))

enum {
    invalid = 1, denormal = 2, zero_divide = 4, exceptions = 0x3F, stack_fault = 0x40, summary = 0x80,
    c0 = 0x100, c1 = 0x200, c2 = 0x400, c3 = 0x4000, conditions = c0 | c1 | c2 | c3, busy = 0x8000,
    default_control = 0x37F, top_shift = 11
};

typedef struct guise_x87 x87;
typedef __typeof__(((x87 *)0)->r[0]) reg;

INLINE x87 *of(void *state) { return (x87 *)((char *)state + guise_x87_offset); }
INLINE unsigned top(const x87 *s) { return s->status >> top_shift & 7; }
INLINE reg *st(x87 *s, unsigned i) { return &s->r[(top(s) + i) & 7]; }
INLINE int is_empty(const x87 *s, unsigned i) { return !(s->tags >> ((top(s) + i) & 7) & 1); }
INLINE void set_full(x87 *s, unsigned i) { s->tags |= (uint8_t)(1u << ((top(s) + i) & 7)); }
INLINE void set_empty(x87 *s, unsigned i) { s->tags &= (uint8_t)~(1u << ((top(s) + i) & 7)); }
INLINE void move_top(x87 *s, unsigned by) {
    s->status = (uint16_t)((s->status & ~0x3800) | ((s->status + (by << top_shift)) & 0x3800));
}
INLINE void pop(x87 *s) {
    set_empty(s, 0);
    move_top(s, 1);
}
INLINE void set_default_nan(reg *r) {
    r->significand = 0xC000000000000000;
    r->exponent = 0xFFFF;
}

INLINE uint64_t leave(void *state, uint32_t kind) {
    *(uint32_t *)((char *)state + guise_x87_helper_exit) = kind;
    return 0;
}

// Beginning of a waiting instruction that is not a control instruction.
#define WAIT_AND_NOTE                                                                                                 \
    x87 *s = of(state);                                                                                               \
    if (__builtin_expect(s->status & summary, 0)) return leave(state, guise_x87_exit_exception);                      \
    s->opcode = (uint16_t)(a >> 16 & 0x7FF);                                                                          \
    s->ip = c;

INLINE void update_summary(x87 *s) {
    if (s->status & ~s->control & exceptions) s->status |= summary | busy;
    else s->status &= (uint16_t) ~(summary | busy);
}

// Stack underflow (C1 = 0) or overflow (C1 = 1). Returns whether the masked response is to be given.
INLINE int stack_exception(x87 *s, int is_overflow) {
    s->status = (uint16_t)((s->status & ~c1) | invalid | stack_fault | (is_overflow ? c1 : 0));
    update_summary(s);
    return s->control & invalid;
}

INLINE uint16_t host_status(void) {
    uint16_t sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw));
    return sw;
}

INLINE void enter(const x87 *s) {
    if (__builtin_expect(host_status() & exceptions & ~s->status, 0)) __asm__ volatile("fnclex");
    if (__builtin_expect(s->control != default_control, 0)) __asm__ volatile("fldcw %0" : : "m"(s->control));
}

INLINE void finish(const x87 *s, uint16_t sw) {
    if (__builtin_expect(sw & summary, 0)) __asm__ volatile("fnclex");
    if (__builtin_expect(s->control != default_control, 0)) {
        static const uint16_t host = default_control;
        __asm__ volatile("fldcw %0" : : "m"(host));
    }
}

INLINE void host_load(const reg *r) { __asm__ volatile("fldt %0" : : "m"(*r)); }
INLINE void host_store(reg *r) {
    // FSTP of 80 bits leaves the bytes above alone.
    __asm__ volatile("fstpt %0" : "+m"(*r));
}
INLINE void host_drop(void) { __asm__ volatile("fstp %st(0)"); }
INLINE unsigned depth(uint16_t before, uint16_t after) { 
    return ((unsigned)(before >> top_shift) - (unsigned)(after >> top_shift)) & 7;
}

// Status of an operation into the guest's: exceptions add up, C1 (or all condition codes) are replaced.
INLINE void merge(x87 *s, uint16_t sw, unsigned replaced) {
    s->status = (uint16_t)((s->status & ~replaced) | (sw & (replaced | exceptions)));
    update_summary(s);
}

INLINE int is_prevented(const x87 *s, uint16_t sw) { return sw & ~s->control & (invalid | denormal | zero_divide); }

#define RUN(text) __asm__ volatile(text ::: "cc"); break
#define RUN_MEMORY(text, value) __asm__ volatile(text : : "m"(value) : "cc"); break

HELPER(arithmetic) {
    (void)b;
    WAIT_AND_NOTE
    unsigned operation = a & 7, destination = a >> 3 & 7, source = a >> 6 & 7;
    int is_comparison = (operation & 6) == 2;
    if (is_empty(s, destination) || is_empty(s, source)) {
        if (!stack_exception(s, 0)) {
            if (is_comparison) s->status |= c0 | c2 | c3;
            return 0;
        }
        if (is_comparison) {
            s->status |= c0 | c2 | c3;
        } else {
            set_default_nan(st(s, destination));
            set_full(s, destination);
        }
    } else {
        reg *to = st(s, destination);
        enter(s);
        host_load(st(s, source));
        host_load(to);
        switch (operation) {
        case 0: RUN("fadd %%st(1), %%st");
        case 1: RUN("fmul %%st(1), %%st");
        case 2: case 3: RUN("fcom %%st(1)");
        case 4: RUN(".byte 0xD8, 0xE1"); // fsub st, st(1)
        case 5: RUN(".byte 0xD8, 0xE9"); // fsubr
        case 6: RUN(".byte 0xD8, 0xF1"); // fdiv
        default: RUN(".byte 0xD8, 0xF9"); // fdivr
        }
        uint16_t sw = host_status();
        finish(s, sw);
        if (is_comparison) host_drop(); else host_store(to);
        host_drop();
        merge(s, sw, is_comparison ? conditions : c1);
        if (is_prevented(s, sw)) return 0;
    }
    if (a & 1 << 9) pop(s);
    if (a & 1 << 10) pop(s);
    return 0;
}

#define MEMORY(name, suffix, type)                                                                                    \
    INLINE void name(unsigned operation, uint64_t bits) {                                                             \
        type value = (type)bits;                                                                                      \
        switch (operation) {                                                                                          \
        case 0: RUN_MEMORY(suffix("add"), value);                                                                     \
        case 1: RUN_MEMORY(suffix("mul"), value);                                                                     \
        case 2: case 3: RUN_MEMORY(suffix("com"), value);                                                             \
        case 4: RUN_MEMORY(suffix("sub"), value);                                                                     \
        case 5: RUN_MEMORY(suffix("subr"), value);                                                                    \
        case 6: RUN_MEMORY(suffix("div"), value);                                                                     \
        default: RUN_MEMORY(suffix("divr"), value);                                                                   \
        }                                                                                                             \
    }
#define SINGLE(name) "f" name "s %0"
#define DOUBLE(name) "f" name "l %0"
#define INT32(name) "fi" name "l %0"
#define INT16(name) "fi" name "s %0"
MEMORY(single, SINGLE, uint32_t)
MEMORY(twice, DOUBLE, uint64_t)
MEMORY(int32, INT32, uint32_t)
MEMORY(int16, INT16, uint16_t)

HELPER(arithmetic_memory) {
    WAIT_AND_NOTE
    unsigned operation = a & 7;
    int is_comparison = (operation & 6) == 2;
    if (is_empty(s, 0)) {
        if (is_comparison) s->status |= c0 | c2 | c3;
        if (!stack_exception(s, 0)) return 0;
        if (!is_comparison) {
            set_default_nan(st(s, 0));
            set_full(s, 0);
        }
    } else {
        reg *to = st(s, 0);
        enter(s);
        host_load(to);
        switch (a >> 11 & 3) {
        case 0: single(operation, b); break;
        case 1: twice(operation, b); break;
        case 2: int32(operation, b); break;
        default: int16(operation, b); break;
        }
        uint16_t sw = host_status();
        finish(s, sw);
        if (is_comparison) host_drop(); else host_store(to);
        merge(s, sw, is_comparison ? conditions : c1);
        if (is_prevented(s, sw)) return 0;
    }
    if (a & 1 << 9) pop(s);
    return 0;
}

HELPER(compare) {
    WAIT_AND_NOTE
    unsigned operation = a & 7, source = a >> 6 & 7;
    enum { carry = 1, parity = 4, auxiliary = 0x10, zero = 0x40, sign = 0x80, overflow = 0x800 };
    uint64_t flags = b & ~(uint64_t)(carry | parity | auxiliary | zero | sign | overflow);
    if (is_empty(s, 0) || is_empty(s, source)) {
        if (operation == 0) s->status |= c0 | c2 | c3;
        flags |= carry | parity | zero;
        if (!stack_exception(s, 0)) return operation == 0 ? b : flags;
    } else {
        uint8_t is_zero = 0, is_parity = 0, is_carry = 0;
        enter(s);
        host_load(st(s, source));
        host_load(st(s, 0));
        switch (operation) {
        case 0: RUN("fucom %%st(1)");
        case 1:
            __asm__ volatile("fcomi %%st(1), %%st" : "=@ccz"(is_zero), "=@ccp"(is_parity), "=@ccc"(is_carry));
            break;
        default:
            __asm__ volatile("fucomi %%st(1), %%st" : "=@ccz"(is_zero), "=@ccp"(is_parity), "=@ccc"(is_carry));
            break;
        }
        uint16_t sw = host_status();
        finish(s, sw);
        host_drop();
        host_drop();
        merge(s, sw, operation == 0 ? conditions : 0);
        flags |= (is_zero ? zero : 0) | (is_parity ? parity : 0) | (is_carry ? carry : 0);
        if (is_prevented(s, sw)) return operation == 0 ? b : flags;
    }
    if (a & 1 << 9) pop(s);
    if (a & 1 << 10) pop(s);
    return operation == 0 ? b : flags;
}

// Operands an instruction D9 D0…FF reads from the stack, and whether it pushes.
INLINE unsigned operand_count(unsigned opcode) {
    switch (opcode) {
    case 0xF1: case 0xF3: case 0xF5: case 0xF8: case 0xF9: case 0xFD: return 2;
    case 0xE8: case 0xE9: case 0xEA: case 0xEB: case 0xEC: case 0xED: case 0xEE: return 0;
    default: return 1;
    }
}

INLINE void unary_host(unsigned opcode) {
    switch (opcode) {
    case 0xE0: RUN("fchs");
    case 0xE1: RUN("fabs");
    case 0xE4: RUN("ftst");
    case 0xE5: RUN("fxam");
    case 0xE8: RUN("fld1");
    case 0xE9: RUN("fldl2t");
    case 0xEA: RUN("fldl2e");
    case 0xEB: RUN("fldpi");
    case 0xEC: RUN("fldlg2");
    case 0xED: RUN("fldln2");
    case 0xEE: RUN("fldz");
    case 0xF0: RUN("f2xm1");
    case 0xF1: RUN("fyl2x");
    case 0xF2: RUN("fptan");
    case 0xF3: RUN("fpatan");
    case 0xF4: RUN("fxtract");
    case 0xF5: RUN("fprem1");
    case 0xF8: RUN("fprem");
    case 0xF9: RUN("fyl2xp1");
    case 0xFA: RUN("fsqrt");
    case 0xFB: RUN("fsincos");
    case 0xFC: RUN("frndint");
    case 0xFD: RUN("fscale");
    case 0xFE: RUN("fsin");
    default: RUN("fcos");
    }
}

// Condition codes an instruction replaces.
INLINE unsigned replaced_conditions(unsigned opcode) {
    switch (opcode) {
    case 0xE4: case 0xE5: case 0xF5: case 0xF8: return conditions;
    case 0xF2: case 0xFB: case 0xFE: case 0xFF: return c1 | c2;
    default: return c1;
    }
}

INLINE int is_unsupported(const reg *r) { return (r->exponent & 0x7FFF) && !(r->significand >> 63); }

// FPREM of operands that have no remainder: then C0 and C3 stay.
INLINE int has_no_remainder(const reg *x, const reg *y) {
    enum { special = 0x7FFF };
    return (x->exponent & special) == special || is_unsupported(x) || is_unsupported(y)
        || ((y->exponent & special) == special && y->significand << 1) || !(y->exponent & special || y->significand);
}

HELPER(unary) {
    WAIT_AND_NOTE
    unsigned opcode = (unsigned)b & 0xFF, count = operand_count(opcode);
    int pushes = count == 0 || opcode == 0xF2 || opcode == 0xF4 || opcode == 0xFB;
    int pops = opcode == 0xF1 || opcode == 0xF3 || opcode == 0xF9;
    if (opcode == 0xE5 && is_empty(s, 0)) { // FXAM of an empty register: C3 and C0, C1 the sign
        s->status = (uint16_t)((s->status & ~conditions) | c3 | c0 | (st(s, 0)->exponent & 0x8000 ? c1 : 0));
        return 0;
    }
    if ((count > 0 && is_empty(s, 0)) || (count > 1 && is_empty(s, 1))) {
        if (opcode == 0xE4) s->status |= c0 | c2 | c3;
        else s->status &= (uint16_t)~(replaced_conditions(opcode) & c2);
        if (!stack_exception(s, 0)) return 0;
        if (opcode == 0xE4) return 0;
        if (pops) pop(s);
        set_default_nan(st(s, 0));
        set_full(s, 0);
        if (pushes) {
            move_top(s, 7);
            set_default_nan(st(s, 0));
            set_full(s, 0);
        }
        return 0;
    }
    if (pushes && !is_empty(s, 7)) {
        s->status &= (uint16_t)~(replaced_conditions(opcode) & c2);
        if (!stack_exception(s, 1)) return 0;
        if (count) set_default_nan(st(s, 0));
        move_top(s, 7);
        set_default_nan(st(s, 0));
        set_full(s, 0);
        return 0;
    }
    unsigned replaced = replaced_conditions(opcode), cleared = 0;
    int is_remainder = opcode == 0xF5 || opcode == 0xF8;
    int has_none = is_remainder && has_no_remainder(st(s, 0), st(s, 1));
    enter(s);
    uint16_t before = host_status();
    if (count > 1) host_load(st(s, 1));
    if (count > 0) host_load(st(s, 0));
    unary_host(opcode);
    uint16_t sw = host_status();
    finish(s, sw);
    unsigned results = depth(before, sw);
    if (results > count) {
        move_top(s, 7);
        set_full(s, 0);
    } else if (results < count) {
        pop(s);
    }
    for (unsigned i = 0; i < results; i++) host_store(st(s, i));
    if (has_none || (is_remainder && is_prevented(s, sw))) replaced = 0, cleared = c1 | c2;
    s->status &= (uint16_t)~cleared;
    merge(s, sw, replaced);
    return 0;
}

HELPER(load) {
    WAIT_AND_NOTE
    unsigned operation = a & 7;
    reg value;
    if (operation == 4) {
        unsigned source = a >> 6 & 7;
        if (is_empty(s, source)) { // comes before an overflow
            if (!stack_exception(s, 0)) return 0;
            move_top(s, 7);
            set_default_nan(st(s, 0));
            set_full(s, 0);
            return 0;
        }
        value = *st(s, source);
    }
    if (!is_empty(s, 7)) {
        if (!stack_exception(s, 1)) return 0;
        move_top(s, 7);
        set_default_nan(st(s, 0));
        return 0;
    }
    s->status &= (uint16_t)~c1;
    switch (operation) {
    case 0: case 1: {
        enter(s);
        uint16_t before = host_status();
        uint32_t narrow = (uint32_t)b;
        if (operation == 0) __asm__ volatile("flds %0" : : "m"(narrow)); else __asm__ volatile("fldl %0" : : "m"(b));
        uint16_t sw = host_status();
        finish(s, sw);
        merge(s, sw, c1);
        if (depth(before, sw) == 0) return 0;
        host_store(&value);
        break;
    }
    case 2:
        value.significand = b;
        value.exponent = (uint16_t)(a >> 32);
        break;
    case 3:
        __asm__ volatile("fildll %0" : : "m"(b));
        host_store(&value);
        break;
    default: break;
    }
    move_top(s, 7);
    reg *to = st(s, 0);
    to->significand = value.significand;
    to->exponent = value.exponent;
    set_full(s, 0);
    return 0;
}

HELPER(load_bcd) {
    WAIT_AND_NOTE
    if (!is_empty(s, 7)) {
        if (!stack_exception(s, 1)) return 0;
        move_top(s, 7);
        set_default_nan(st(s, 0));
        return 0;
    }
    struct { uint64_t low; uint16_t high; } bcd = {b, (uint16_t)(a >> 32)};
    s->status &= (uint16_t)~c1;
    move_top(s, 7);
    reg *to = st(s, 0);
    __asm__ volatile("fbld %1\n\tfstpt %0" : "+m"(*to) : "m"(bcd));
    set_full(s, 0);
    return 0;
}

HELPER(store) {
    x87 *s = of(state);
    if (__builtin_expect(s->status & summary, 0)) return leave(state, guise_x87_exit_exception);
    unsigned operation = a & 7;
    // What will be seen once the bytes are in memory; built aside, because the store may fault.
    x87 after = {.control = s->control, .status = s->status, .tags = s->tags, .opcode = (uint16_t)(a >> 16 & 0x7FF)};
    struct { uint64_t low; uint16_t high; } value = {0, 0};
    if (is_empty(s, 0)) {
        if (!stack_exception(&after, 0)) goto nothing;
        switch (operation) {
        case 0: value.low = 0xFFC00000; break;
        case 1: value.low = 0xFFF8000000000000; break;
        case 2: value.low = 0xC000000000000000, value.high = 0xFFFF; break;
        case 3: value.low = 0x8000; break;
        case 4: value.low = 0x80000000; break;
        case 5: value.low = 0x8000000000000000; break;
        default: value.low = 0xC000000000000000, value.high = 0xFFFF; break;
        }
    } else if (operation == 2) {
        value.low = st(s, 0)->significand;
        value.high = st(s, 0)->exponent;
        after.status &= (uint16_t)~c1;
    } else {
        enter(s);
        uint16_t before = host_status();
        host_load(st(s, 0));
        // SSE3's FISTTP is a control word away from FISTP.
        if (a & 1 << 11) {
            uint16_t truncating = s->control | 0xC00;
            __asm__ volatile("fldcw %0" : : "m"(truncating));
        }
        switch (operation) {
        case 0: __asm__ volatile("fstps %0" : "=m"(value)); break;
        case 1: __asm__ volatile("fstpl %0" : "=m"(value)); break;
        case 3: __asm__ volatile("fistps %0" : "=m"(value)); break;
        case 4: __asm__ volatile("fistpl %0" : "=m"(value)); break;
        case 5: __asm__ volatile("fistpll %0" : "=m"(value)); break;
        default: __asm__ volatile("fbstp %0" : "=m"(value)); break;
        }
        uint16_t sw = host_status();
        finish(s, sw);
        if (a & 1 << 11) {
            static const uint16_t host = default_control;
            __asm__ volatile("fldcw %0" : : "m"(host));
        }
        merge(&after, sw, c1);
        if (depth(before, sw) != 0) {
            host_drop();
            goto nothing;
        }
    }
    s->ip = c;
    if (a & 1 << 9) pop(&after);
    s->next = (uint64_t)after.control | (uint64_t)after.status << 16 | (uint64_t)after.tags << 32 | (uint64_t)after.opcode << 48;
    s->wide = value.high;
    return value.low;
nothing:
    s->ip = c;
    s->status = after.status;
    s->opcode = after.opcode;
    *(uint64_t *)((char *)state + guise_x87_pc) = b;
    return leave(state, guise_x87_exit_lookup);
}

HELPER(move) {
    WAIT_AND_NOTE
    unsigned operation = a & 7, i = a >> 3 & 7;
    switch (operation) {
    case 0: // FST
        if (is_empty(s, 0)) {
            if (a & 1 << 11) { // the alias D9 /3 does not see an empty register
                s->status &= (uint16_t)~c1;
                pop(s);
                return 0;
            }
            if (!stack_exception(s, 0)) return 0;
            set_default_nan(st(s, i));
        } else {
            s->status &= (uint16_t)~c1;
            reg from = *st(s, 0), *to = st(s, i);
            to->significand = from.significand;
            to->exponent = from.exponent;
        }
        set_full(s, i);
        if (a & 1 << 9) pop(s);
        break;
    case 1: { // FXCH
        if (is_empty(s, 0) || is_empty(s, i)) {
            if (!stack_exception(s, 0)) return 0;
            if (is_empty(s, 0)) set_default_nan(st(s, 0));
            if (is_empty(s, i)) set_default_nan(st(s, i));
            set_full(s, 0);
            set_full(s, i);
        } else {
            s->status &= (uint16_t)~c1;
        }
        reg *x = st(s, 0), *y = st(s, i);
        uint64_t significand = x->significand;
        uint16_t exponent = x->exponent;
        x->significand = y->significand;
        x->exponent = y->exponent;
        y->significand = significand;
        y->exponent = exponent;
        break;
    }
    case 2: // FFREE
        s->status &= (uint16_t)~c1;
        set_empty(s, i);
        if (a & 1 << 9) pop(s);
        break;
    case 3:
        s->status &= (uint16_t)~c1;
        move_top(s, 1);
        break;
    case 4:
        s->status &= (uint16_t)~c1;
        move_top(s, 7);
        break;
    case 5: // FCMOV
        if (is_empty(s, 0) || is_empty(s, i)) {
            if (!stack_exception(s, 0)) return 0;
            set_default_nan(st(s, 0));
            set_full(s, 0);
        } else {
            if (b) {
                reg from = *st(s, i), *to = st(s, 0);
                to->significand = from.significand;
                to->exponent = from.exponent;
            }
        }
        break;
    default: break;
    }
    return 0;
}

HELPER(control) {
    x87 *s = of(state);
    (void)c;
    switch (a & 7) {
    case 0:
        if (s->status & summary) return leave(state, guise_x87_exit_exception);
        s->control = (uint16_t)((b & 0x1F7F) | 0x40);
        update_summary(s);
        break;
    case 1: s->status &= 0x7F00; break;
    case 2:
        s->control = default_control;
        s->status = 0;
        s->tags = 0;
        s->opcode = 0;
        s->ip = s->dp = 0;
        break;
    default:
        if (s->status & summary) return leave(state, guise_x87_exit_exception);
        break;
    }
    return 0;
}
