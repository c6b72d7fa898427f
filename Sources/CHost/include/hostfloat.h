// Single floating point instructions of the host, with chosen control bits: what SoftFloat's tests compare
// with. Only x86-64 hosts have them; elsewhere guise_hostfloat_has says no to everything.
#pragma once
#include <stdint.h>

typedef enum {
    GUISE_HOSTFLOAT_ADD, GUISE_HOSTFLOAT_SUB, GUISE_HOSTFLOAT_MUL, GUISE_HOSTFLOAT_DIV, GUISE_HOSTFLOAT_MIN,
    GUISE_HOSTFLOAT_MAX, GUISE_HOSTFLOAT_SQRT,
    // a * b + c and its three relatives, in the order RISC-V names them: fmadd, fmsub, fnmadd, fnmsub.
    GUISE_HOSTFLOAT_MADD, GUISE_HOSTFLOAT_MSUB, GUISE_HOSTFLOAT_NMADD, GUISE_HOSTFLOAT_NMSUB,
    // EFLAGS bits CF (less), PF (unordered) and ZF (equal); quiet and signalling.
    GUISE_HOSTFLOAT_UCOMI, GUISE_HOSTFLOAT_COMI,
    // To the other format.
    GUISE_HOSTFLOAT_CONVERT,
    GUISE_HOSTFLOAT_TO_I32, GUISE_HOSTFLOAT_TO_I64, GUISE_HOSTFLOAT_TO_U32, GUISE_HOSTFLOAT_TO_U64,
    // Integer in the low bits of a, to this format.
    GUISE_HOSTFLOAT_FROM_I32, GUISE_HOSTFLOAT_FROM_I64, GUISE_HOSTFLOAT_FROM_U32, GUISE_HOSTFLOAT_FROM_U64,
    // To an integral value by the current mode, raising inexact or not.
    GUISE_HOSTFLOAT_RINT, GUISE_HOSTFLOAT_NEARBY,
    GUISE_HOSTFLOAT_COUNT
} guise_hostfloat_op;

typedef struct { uint64_t bits; uint32_t mxcsr; } guise_hostfloat_result;

/// Whether the host has an instruction for `op`.
int guise_hostfloat_has(guise_hostfloat_op op);
/// Runs `op` on binary32 operands with MXCSR set to `mxcsr`; returns the result and MXCSR afterwards.
guise_hostfloat_result guise_hostfloat_f32(guise_hostfloat_op op, uint32_t mxcsr, 
                                           uint64_t a, uint64_t b, uint64_t c);
/// Runs `op` on binary64 operands with MXCSR set to `mxcsr`; returns the result and MXCSR afterwards.
guise_hostfloat_result guise_hostfloat_f64(guise_hostfloat_op op, uint32_t mxcsr, 
                                           uint64_t a, uint64_t b, uint64_t c);
/// The host's RCPSS and RSQRTSS estimates of a binary32 operand; 0 on other hosts.
uint32_t guise_host_rcp(uint32_t a);
uint32_t guise_host_rsqrt(uint32_t a);
