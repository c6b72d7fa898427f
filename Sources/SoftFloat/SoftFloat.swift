// IEEE 754 binary floating point computed with integers only: bit-exact results and exception flags
// on every host.
//
// Spec: IEEE Std 754-2019. Where the standard leaves a choice (NaN payloads, tininess, out-of-range integers,
// minima), the choice is a value in FloatEnvironment, with presets for RISC-V, x86 SSE and Arm. Written from
// the standard; the host's floating point unit is never used.
//
// How it is built
//   F32, F64           what callers use: one concrete function per operation on raw bit patterns
//   FloatEnvironment   rounding mode, sticky flags and the rules of the guest; passed inout, eight bytes
//   Arithmetic<Format> the operations, written once and specialised per format inside this module
//   Unpacked           an operand taken apart: sign, kind, exponent, significand (leading one at bit 63)
//   round              the only way back: an exact (or jammed) 128-bit significand becomes bits and flags
// Every operation forms the infinitely precise result in at most 128 bits, the lowest of which is sticky
// ("jammed": one if anything below it was nonzero), and rounds once. Nothing allocates, traps or loops more
// than 64 times, whatever the operands: they come from a guest.
//
// Adding a format: bfloat16 needs a FloatFormat and a file of entry points, as f16 has. The x87 extended
// format also needs an unpack and a pack for its explicit leading bit, division and square root with more
// quotient bits than the 64 made here, and a rounding precision that differs from the format. f128 needs a
// 128-bit significand in Unpacked and a wider product; round and sum already work on 128 bits.
//
// Absent: traps (a front compares flags before and after), remainder and other x87 functions, decimal
// formats, reciprocal estimates, modular conversion to integers (Zfa FCVTMOD), Arm's flush-to-zero (its flags differ from x86's) and default FPCR.AH
// behaviour. Sign operations (negate, absolute value, copy sign) and NaN boxing are bit operations and belong
// to the fronts.
