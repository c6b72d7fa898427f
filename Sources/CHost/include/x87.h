// x87 instructions on registers in memory, executed by the host's x87: bit-exact in results, exceptions and condition codes.
// Stack, tags and stack faults are handled here; the host only ever sees operands.
//
// Functions have the shape of generated code's helpers: (state block, a, b, c). They use general registers and the x87
// only, so that a caller need not save vector registers. A function that raises the pending exception (#MF) or that must
// not fall through stores an exit kind at `helperExit` of the state block, as helpers do.
//
// a: bits 2:0 operation, 5:3 destination or source ST(i), 8:6 source ST(i), bit 9 pop, bit 10 pop twice,
//    bits 31:16 opcode for FOP.
// c: linear address of the instruction.
#pragma once
#include <stdint.h>

/// What is at `X86Layout.x87Registers` in the state block.
struct guise_x87 {
    struct { uint64_t significand; uint16_t exponent; uint16_t unused[3]; } r[8];
    uint16_t control, status;
    uint8_t tags, unused;
    uint16_t opcode;
    uint64_t ip, dp;
    uint16_t selectors[4];
    /// Control word to opcode as they will be once a store has succeeded; bytes 8 and 9 of what it stores.
    uint64_t next, wide;
};

/// Offsets and numbers that both sides must agree on; a test compares them.
enum {
    guise_x87_offset = 256, guise_x87_pc = 512, guise_x87_helper_exit = 548,
    guise_x87_exit_lookup = 1, guise_x87_exit_exception = 80
};

#define GUISE_X87(name) uint64_t guise_x87_##name(void *_Nonnull state, uint64_t a, uint64_t b, uint64_t c)

/// add mul com comp sub subr div divr (the order of D8 /0…7) on registers; com and comp write nothing.
GUISE_X87(arithmetic);
/// The same with an operand from memory in b: a bits 12:11: 0 single, 1 double, 2 i32, 3 i16 precision.
GUISE_X87(arithmetic_memory);
/// Operation 0 FUCOM, 1 FCOMI, 2 FUCOMI; b: EFLAGS; returns EFLAGS.
GUISE_X87(compare);
/// One operand or two, no memory; the operation is the low six bits of D9 C0…FF, b the low byte.
GUISE_X87(unary);
/// Loads b: operation 0 single, 1 double, 2 extended with sign and exponent in bits 47:32 of a, 3 integer, 4 ST(i).
GUISE_X87(load);
/// The value a store will write, operation 0 single, 1 double, 2 extended, 3 i16, 4 i32, 5 i64, 6 BCD; bit 11: truncate.
/// `next` and `wide` receive the rest. b: address of the next instruction, where it leaves for when nothing is stored.
GUISE_X87(store);
/// Operation 0 FST ST(i), 1 FXCH, 2 FFREE, 3 FINCSTP, 4 FDECSTP, 5 FCMOV (b: condition holds), 6 FNOP.
GUISE_X87(move);
/// Operation 0 FLDCW (b), 1 FNCLEX, 2 FNINIT, 3 FWAIT.
GUISE_X87(control);
/// FBLD: b bytes 0…7, bits 47:32 of a bytes 8 and 9.
GUISE_X87(load_bcd);
