// memcpy, memmove, memset, memcmp, strlen and a byte loop, over sizes from 7 bytes to 1 MiB at odd offsets.
// Usage: memcpy [ITERATIONS]. Self check: copies compare equal.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t from[1 << 20 | 64], to[1 << 20 | 64];
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile move)(void *, const void *, size_t) = memmove;
static void *(*volatile fill)(void *, int, size_t) = memset;
static size_t (*volatile length)(const char *) = strlen;

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 100;
    static const size_t sizes[] = { 7, 31, 64, 255, 1024, 4096, 65536, 1 << 20 };
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof from; i++) from[i] = (uint8_t)(i * 17 + (i >> 8)) | 1;
    for (long n = 0; n < iterations; n++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            size_t size = sizes[s], repeats = (1 << 20) / size / (size < 1024 ? 4 : 1);
            if (!repeats) repeats = 1;
            for (size_t r = 0; r < repeats; r++) {
                size_t a = r & 7, b = (r >> 3) & 7;
                copy(to + a, from + b, size);
                sum += to[a + size - 1];
            }
            move(to + 3, to, size);
            fill(to + size, (int)n, 16);
            copy(to, from, size);
            if (memcmp(to, from, size)) { printf("memcpy: the copy differs\n"); return 1; }
        }
        for (size_t i = 0; i < 65536; i++) to[i] = (uint8_t)(from[i] ^ to[i + 1]);
        to[70000] = 0;
        copy(to, from, 70000);
        sum += length((const char *)to);
    }
    printf("memcpy %ld %016llx\n", iterations, (unsigned long long)sum);
    return 0;
}
