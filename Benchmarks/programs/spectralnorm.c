// Spectral norm of the infinite matrix A(i,j) = 1/((i+j)(i+j+1)/2+i+1), by power iteration: division in doubles.
// Usage: spectralnorm [SIZE]. Self check: the norm converges to 1.2742.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double element(int i, int j) { return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1); }

static void times(int n, const double *in, double *out, int transposed) {
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++) sum += (transposed ? element(j, i) : element(i, j)) * in[j];
        out[i] = sum;
    }
}

int main(int argc, char **argv) {
    int n = argc > 1 ? atoi(argv[1]) : 800;
    double *u = malloc(sizeof *u * n), *v = malloc(sizeof *v * n), *t = malloc(sizeof *t * n), uv = 0, vv = 0;
    for (int i = 0; i < n; i++) u[i] = 1;
    for (int i = 0; i < 10; i++) {
        times(n, u, t, 0); times(n, t, v, 1);
        times(n, v, t, 0); times(n, t, u, 1);
    }
    for (int i = 0; i < n; i++) { uv += u[i] * v[i]; vv += v[i] * v[i]; }
    double norm = sqrt(uv / vv);
    if (!(fabs(norm - 1.2742) < 1e-3)) { printf("spectralnorm: %.9f is wrong\n", norm); return 1; }
    printf("spectralnorm %d %.9f\n", n, norm);
    return 0;
}
