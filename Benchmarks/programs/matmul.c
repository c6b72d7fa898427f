// Matrix multiplication in doubles, 160 by 160, row by row. Usage: matmul [ITERATIONS].
// Self check: A times a permutation only moves columns.
#include <stdio.h>
#include <stdlib.h>

enum { n = 160 };
static double a[n][n], b[n][n], c[n][n], p[n][n];

static __attribute__((noinline)) void multiply(double (*restrict out)[n], double (*x)[n], double (*y)[n]) {
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) out[i][j] = 0;
        for (int k = 0; k < n; k++) {
            double f = x[i][k];
            for (int j = 0; j < n; j++) out[i][j] += f * y[k][j];
        }
    }
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 20;
    double sum = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            // Small integers: every product and sum is exact, contracted or not.
            a[i][j] = (i * 3 + j * 7) % 32 - 16;
            b[i][j] = (i * 5 + j * 11) % 32 - 16;
            p[i][j] = (i + 1) % n == j;
        }
    for (long r = 0; r < iterations; r++) {
        multiply(c, a, b);
        for (int i = 0; i < n; i++) sum += c[i][(i + r) % n];
        a[r % n][r % n] += 1;
    }
    multiply(c, a, p);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (c[i][(j + 1) % n] != a[i][j]) { printf("matmul: the permuted product is wrong\n"); return 1; }
    printf("matmul %ld %.1f\n", iterations, sum);
    return 0;
}
