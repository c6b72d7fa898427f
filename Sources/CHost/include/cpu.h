// What the host CPU can do, and ordering primitives Swift lacks.
#pragma once
// 1 when the host has AVX, FMA, BMI1, BMI2 and LZCNT (the x86-64-v3 level).
int guise_cpu_has_v3(void);
// 1 when AMD made the host's processor.
int guise_cpu_is_amd(void);
// Bit 0: AES; bit 1: PCLMULQDQ; bit 2: SHA.
int guise_cpu_vector_features(void);
// The processor's time stamp counter; 0 where there is none.
static inline unsigned long long guise_cycles(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}
