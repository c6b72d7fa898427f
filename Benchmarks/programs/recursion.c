// Calls and returns: Fibonacci, Ackermann, Tak, and N queens by backtracking. Usage: recursion [ITERATIONS].
// Self check: the known values.
#include <stdio.h>
#include <stdlib.h>

#define separate __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls")))
static separate int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
static separate int ackermann(int m, int n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}
static separate int tak(int x, int y, int z) {
    return y >= x ? z : tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}
static separate int queens(unsigned all, unsigned columns, unsigned left, unsigned right) {
    if (columns == all) return 1;
    int found = 0;
    for (unsigned free = all & ~(columns | left | right); free;) {
        unsigned bit = free & -free;
        free ^= bit;
        found += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return found;
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 20, sum = 0;
    for (long i = 0; i < iterations; i++) {
        int f = fibonacci(27), a = ackermann(2, 300), t = tak(16, 10, 4), q = queens(511, 0, 0, 0);
        if (f != 196418 || a != 603 || t != 5 || q != 352) {
            printf("recursion: wrong result %d %d %d %d\n", f, a, t, q);
            return 1;
        }
        sum += f + a + t + q;
    }
    printf("recursion %ld %ld\n", iterations, sum);
    return 0;
}
