// Sorting with callbacks: the C library's qsort over records with three comparison functions, and bsearch.
// Usage: qsort [ITERATIONS]. Self check: order, and every key is found.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct item { uint32_t key; int32_t weight; char name[16]; };
enum { items = 20000 };
static struct item table[items];

static int byKey(const void *a, const void *b) {
    uint32_t x = ((const struct item *)a)->key, y = ((const struct item *)b)->key;
    return x < y ? -1 : x > y;
}
static int byWeight(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    return x->weight != y->weight ? (x->weight < y->weight ? -1 : 1) : byKey(a, b);
}
static int byName(const void *a, const void *b) {
    int order = strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
    return order ? order : byKey(a, b);
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 40;
    int (*orders[3])(const void *, const void *) = { byKey, byWeight, byName };
    uint32_t state = 99, sum = 2166136261u;
    for (int i = 0; i < items; i++) {
        state = state * 1664525u + 1013904223u;
        // An odd multiplier is a bijection, so keys are distinct and every order is total.
        table[i].key = (uint32_t)i * 2654435761u;
        table[i].weight = (int32_t)(state >> 22) - 512;
        for (int k = 0; k < 12; k++) table[i].name[k] = (char)('a' + (state >> (k * 2)) % 3);
    }
    for (long i = 0; i < iterations; i++) {
        for (int o = 0; o < 3; o++) {
            qsort(table, items, sizeof table[0], orders[o]);
            for (int k = 1; k < items; k++)
                if (orders[o](&table[k - 1], &table[k]) >= 0) { printf("qsort: not sorted\n"); return 1; }
            sum = (sum ^ table[(i * 31 + o) % items].key) * 16777619u;
        }
        qsort(table, items, sizeof table[0], byKey);
        for (uint32_t k = 0; k < items; k++) {
            struct item want = { .key = k * 2654435761u };
            if (!bsearch(&want, table, items, sizeof table[0], byKey)) { printf("qsort: key lost\n"); return 1; }
        }
    }
    printf("qsort %ld %08x\n", iterations, sum);
    return 0;
}
