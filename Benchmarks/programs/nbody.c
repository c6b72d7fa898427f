// Gravity of the Sun and four planets, symplectic steps in double precision. Usage: nbody [STEPS].
// Self check: energy is conserved. Ten digits are printed, since contracted multiply-adds change later ones.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { bodies = 5 };
static double x[bodies][3] = { {0}, {4.84, -1.16, -0.10}, {8.34, 4.12, -0.40}, {12.89, -15.11, -0.22}, {15.37, -25.91, 0.17} };
static double v[bodies][3] = { {0}, {0.606, 2.81, -0.02}, {-1.01, 1.82, 0.008}, {1.08, 0.868, -0.010}, {0.979, 0.594, -0.034} };
static double m[bodies] = { 39.478, 0.03769, 0.01128, 0.001723, 0.002033 };

static double energy(void) {
    double e = 0;
    for (int i = 0; i < bodies; i++) {
        e += 0.5 * m[i] * (v[i][0] * v[i][0] + v[i][1] * v[i][1] + v[i][2] * v[i][2]);
        for (int j = i + 1; j < bodies; j++) {
            double dx = x[i][0] - x[j][0], dy = x[i][1] - x[j][1], dz = x[i][2] - x[j][2];
            e -= m[i] * m[j] / sqrt(dx * dx + dy * dy + dz * dz);
        }
    }
    return e;
}

static void step(double dt) {
    for (int i = 0; i < bodies; i++)
        for (int j = i + 1; j < bodies; j++) {
            double dx = x[i][0] - x[j][0], dy = x[i][1] - x[j][1], dz = x[i][2] - x[j][2];
            double square = dx * dx + dy * dy + dz * dz, pull = dt / (square * sqrt(square));
            v[i][0] -= dx * m[j] * pull; v[i][1] -= dy * m[j] * pull; v[i][2] -= dz * m[j] * pull;
            v[j][0] += dx * m[i] * pull; v[j][1] += dy * m[i] * pull; v[j][2] += dz * m[i] * pull;
        }
    for (int i = 0; i < bodies; i++)
        for (int k = 0; k < 3; k++) x[i][k] += dt * v[i][k];
}

int main(int argc, char **argv) {
    long steps = argc > 1 ? atol(argv[1]) : 500000;
    double before = energy();
    for (long i = 0; i < steps; i++) step(0.001);
    double after = energy();
    if (!(fabs(after - before) < 1e-4)) { printf("nbody: energy drifts from %.9f to %.9f\n", before, after); return 1; }
    printf("nbody %ld %.7f\n", steps, after);
    return 0;
}
