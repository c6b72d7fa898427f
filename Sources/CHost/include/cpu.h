// What the host CPU can do, and ordering primitives Swift lacks.
#pragma once
// 1 when the host has AVX, FMA, BMI1, BMI2 and LZCNT (the x86-64-v3 level).
int guise_cpu_has_v3(void);
// Bit 0: AES; bit 1: PCLMULQDQ; bit 2: SHA.
int guise_cpu_vector_features(void);
