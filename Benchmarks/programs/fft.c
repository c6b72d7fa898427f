// Radix-2 complex FFT of 4096 points in doubles and its inverse. Usage: fft [ITERATIONS].
// Self check: the inverse restores the signal within 1e-9.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { n = 4096, bits = 12 };
static double re[n], im[n], original[n], cosines[n / 2], sines[n / 2];

static void transform(int inverse) {
    for (unsigned i = 0; i < n; i++) {
        unsigned j = 0;
        for (int b = 0; b < bits; b++) j |= (i >> b & 1) << (bits - 1 - b);
        if (j > i) { double t = re[i]; re[i] = re[j]; re[j] = t; t = im[i]; im[i] = im[j]; im[j] = t; }
    }
    for (int half = 1; half < n; half *= 2) {
        int stride = n / (2 * half);
        for (int base = 0; base < n; base += 2 * half)
            for (int k = 0; k < half; k++) {
                double c = cosines[k * stride], s = inverse ? sines[k * stride] : -sines[k * stride];
                int lo = base + k, hi = lo + half;
                double tr = re[hi] * c - im[hi] * s, ti = re[hi] * s + im[hi] * c;
                re[hi] = re[lo] - tr; im[hi] = im[lo] - ti;
                re[lo] += tr; im[lo] += ti;
            }
    }
    if (inverse) for (int i = 0; i < n; i++) { re[i] /= n; im[i] /= n; }
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 200;
    double power = 0;
    for (int i = 0; i < n / 2; i++) { cosines[i] = cos(2 * M_PI * i / n); sines[i] = sin(2 * M_PI * i / n); }
    for (int i = 0; i < n; i++) { original[i] = sin(i * 0.1) + 0.5 * cos(i * 0.37) + (i % 7) * 0.125; re[i] = original[i]; }
    for (long r = 0; r < iterations; r++) {
        transform(0);
        power = 0;
        for (int i = 0; i < n; i++) power += re[i] * re[i] + im[i] * im[i];
        transform(1);
        for (int i = 0; i < n; i++) im[i] = 0;
    }
    for (int i = 0; i < n; i++)
        if (!(fabs(re[i] - original[i]) < 1e-9)) { printf("fft: the inverse differs at %d\n", i); return 1; }
    printf("fft %ld %.6f\n", iterations, power / n);
    return 0;
}
