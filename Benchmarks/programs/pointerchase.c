// Dependent loads through a random cycle of 64-byte nodes: 4 MiB, then 16 KiB. Usage: pointerchase [ITERATIONS].
// Self check: a full turn comes back to its start.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node { struct node *next; uint64_t value; char padding[48]; };
enum { big = 65536, small = 256 };
static struct node nodes[big];
static uint32_t order[big];

static void shuffle(uint32_t n) {
    uint64_t state = 12345;
    for (uint32_t i = 0; i < n; i++) { order[i] = i; nodes[i].value = i; }
    for (uint32_t i = n - 1; i > 0; i--) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        uint32_t j = (uint32_t)(state >> 33) % (i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (uint32_t i = 0; i < n; i++) nodes[order[i]].next = &nodes[order[(i + 1) % n]];
}

static uint64_t walk(uint32_t steps) {
    struct node *at = nodes;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < steps; i++) { sum = sum * 3 + at->value; at = at->next; }
    if (at != nodes) { printf("pointerchase: the cycle is broken\n"); exit(1); }
    return sum;
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 100;
    uint64_t sum = 0;
    shuffle(big);
    for (long i = 0; i < iterations; i++) sum += walk(big);
    shuffle(small);
    for (long i = 0; i < iterations; i++) sum += walk(small * 4096);
    printf("pointerchase %ld %016llx\n", iterations, (unsigned long long)sum);
    return 0;
}
