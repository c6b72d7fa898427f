// Each instruction stands between two loads of MXCSR in one asm statement, so that no compiler can move it.
#include "hostfloat.h"

#if defined(__x86_64__)

int guise_hostfloat_has(guise_hostfloat_op op) {
    switch (op) {
    case GUISE_HOSTFLOAT_MADD: case GUISE_HOSTFLOAT_MSUB:
    case GUISE_HOSTFLOAT_NMADD: case GUISE_HOSTFLOAT_NMSUB:
        return __builtin_cpu_supports("fma") != 0;
    case GUISE_HOSTFLOAT_TO_U32: case GUISE_HOSTFLOAT_TO_U64:
    case GUISE_HOSTFLOAT_FROM_U32: case GUISE_HOSTFLOAT_FROM_U64:
        return __builtin_cpu_supports("avx512f") != 0;
    case GUISE_HOSTFLOAT_RINT: case GUISE_HOSTFLOAT_NEARBY:
        return __builtin_cpu_supports("sse4.1") != 0;
    default:
        return op < GUISE_HOSTFLOAT_COUNT;
    }
}

// x is the first operand and the result of vector instructions, g the result of those that write an integer
// register.
#define RUN(instruction)                                                                                    \
    __asm__ volatile("ldmxcsr %[control]\n\t" instruction "\n\tstmxcsr %[after]\n\tldmxcsr %[saved]"        \
                     : [x] "+x"(x), [g] "+r"(g), [after] "=m"(after)                                        \
                     : [y] "x"(y), [z] "x"(z), [control] "m"(mxcsr), [saved] "m"(saved), [a] "r"(a)         \
                     : "cc", "memory");                                                                     \
    break
#define GENERAL(instruction) is_general = 1; RUN(instruction)
// The flags go through the stack below the red zone.
#define FLAGS(instruction) \
    GENERAL(instruction "\n\tleaq -128(%%rsp), %%rsp\n\tpushfq\n\tpopq %q[g]\n\tleaq 128(%%rsp), %%rsp")

#define DEFINE(name, s, other)                                                                              \
    guise_hostfloat_result name(guise_hostfloat_op op, uint32_t mxcsr, uint64_t a, uint64_t b, uint64_t c) {\
        typedef uint64_t vector __attribute__((vector_size(16)));                                           \
        vector x = {a, 0}, y = {b, 0}, z = {c, 0};                                                          \
        uint64_t g = 0;                                                                                     \
        uint32_t after = 0, saved;                                                                          \
        int is_general = 0;                                                                                 \
        __asm__ volatile("stmxcsr %0" : "=m"(saved));                                                       \
        switch (op) {                                                                                       \
        case GUISE_HOSTFLOAT_ADD: RUN("add" s " %[y], %[x]");                                               \
        case GUISE_HOSTFLOAT_SUB: RUN("sub" s " %[y], %[x]");                                               \
        case GUISE_HOSTFLOAT_MUL: RUN("mul" s " %[y], %[x]");                                               \
        case GUISE_HOSTFLOAT_DIV: RUN("div" s " %[y], %[x]");                                               \
        case GUISE_HOSTFLOAT_MIN: RUN("min" s " %[y], %[x]");                                               \
        case GUISE_HOSTFLOAT_MAX: RUN("max" s " %[y], %[x]");                                               \
        case GUISE_HOSTFLOAT_SQRT: RUN("sqrt" s " %[x], %[x]");                                             \
        case GUISE_HOSTFLOAT_MADD: RUN("vfmadd132" s " %[y], %[z], %[x]");                                  \
        case GUISE_HOSTFLOAT_MSUB: RUN("vfmsub132" s " %[y], %[z], %[x]");                                  \
        case GUISE_HOSTFLOAT_NMADD: RUN("vfnmsub132" s " %[y], %[z], %[x]");                                \
        case GUISE_HOSTFLOAT_NMSUB: RUN("vfnmadd132" s " %[y], %[z], %[x]");                                \
        case GUISE_HOSTFLOAT_UCOMI: FLAGS("ucomi" s " %[y], %[x]");                                         \
        case GUISE_HOSTFLOAT_COMI: FLAGS("comi" s " %[y], %[x]");                                           \
        case GUISE_HOSTFLOAT_CONVERT: RUN("cvt" s "2" other " %[x], %[x]");                                 \
        case GUISE_HOSTFLOAT_TO_I32: GENERAL("cvt" s "2si %[x], %k[g]");                                    \
        case GUISE_HOSTFLOAT_TO_I64: GENERAL("cvt" s "2si %[x], %q[g]");                                    \
        case GUISE_HOSTFLOAT_TO_U32: GENERAL("vcvt" s "2usi %[x], %k[g]");                                  \
        case GUISE_HOSTFLOAT_TO_U64: GENERAL("vcvt" s "2usi %[x], %q[g]");                                  \
        case GUISE_HOSTFLOAT_FROM_I32: RUN("cvtsi2" s "l %k[a], %[x]");                                     \
        case GUISE_HOSTFLOAT_FROM_I64: RUN("cvtsi2" s "q %q[a], %[x]");                                     \
        case GUISE_HOSTFLOAT_FROM_U32: RUN("vcvtusi2" s "l %k[a], %[x], %[x]");                             \
        case GUISE_HOSTFLOAT_FROM_U64: RUN("vcvtusi2" s "q %q[a], %[x], %[x]");                             \
        case GUISE_HOSTFLOAT_RINT: RUN("round" s " $4, %[x], %[x]");                                        \
        case GUISE_HOSTFLOAT_NEARBY: RUN("round" s " $12, %[x], %[x]");                                     \
        default: break;                                                                                     \
        }                                                                                                   \
        guise_hostfloat_result result = {is_general ? g : x[0], after};                                     \
        return result;                                                                                      \
    }

DEFINE(guise_hostfloat_f32, "ss", "sd")
DEFINE(guise_hostfloat_f64, "sd", "ss")

uint32_t guise_host_rcp(uint32_t a) {
    uint32_t result;
    __asm__("movd %1, %%xmm0\n\trcpss %%xmm0, %%xmm0\n\tmovd %%xmm0, %0" : "=r"(result) : "r"(a) : "xmm0");
    return result;
}

uint32_t guise_host_rsqrt(uint32_t a) {
    uint32_t result;
    __asm__("movd %1, %%xmm0\n\trsqrtss %%xmm0, %%xmm0\n\tmovd %%xmm0, %0" : "=r"(result) : "r"(a) : "xmm0");
    return result;
}

#else

int guise_hostfloat_has(guise_hostfloat_op op) { (void)op; return 0; }
uint32_t guise_host_rcp(uint32_t a) { (void)a; return 0; }
uint32_t guise_host_rsqrt(uint32_t a) { (void)a; return 0; }

guise_hostfloat_result guise_hostfloat_f32(guise_hostfloat_op op, uint32_t mxcsr, 
                                           uint64_t a, uint64_t b, uint64_t c) {
    (void)op; (void)a; (void)b; (void)c;
    guise_hostfloat_result result = {0, mxcsr};
    return result;
}

guise_hostfloat_result guise_hostfloat_f64(guise_hostfloat_op op, uint32_t mxcsr, 
                                           uint64_t a, uint64_t b, uint64_t c) {
    return guise_hostfloat_f32(op, mxcsr, a, b, c);
}

#endif
