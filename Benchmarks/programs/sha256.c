// SHA-256 (FIPS 180-4) over a 64 KiB buffer, chained. Usage: sha256 [ITERATIONS].
// Self check: the standard's "abc" vector.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t k[64], h0[8];
static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

// The constants are the first 32 fraction bits of cube and square roots of primes, found by integer search.
static uint32_t rootBits(unsigned prime, int power) {
    // Largest x with x^power <= prime * 2^(32*power), modulo 2^32.
    unsigned __int128 low = 0, high = (unsigned __int128)1 << 36;
    while (high - low > 1) {
        unsigned __int128 mid = (low + high) / 2;
        int fits;
        if (power == 2) fits = mid * mid <= (unsigned __int128)prime << 64;
        else {
            // Compare mid^3 with prime << 96 through the quotient: both stay below 2^128.
            unsigned __int128 square = mid * mid;
            unsigned __int128 top = (unsigned __int128)prime << 96;
            fits = square <= top / mid;
        }
        if (fits) low = mid; else high = mid;
    }
    return (uint32_t)low;
}

static void constants(void) {
    int n = 0;
    for (unsigned p = 2; n < 64; p++) {
        int isPrime = 1;
        for (unsigned d = 2; d * d <= p; d++) if (p % d == 0) isPrime = 0;
        if (!isPrime) continue;
        k[n] = rootBits(p, 3);
        if (n < 8) h0[n] = rootBits(p, 2);
        n++;
    }
}

static void block(uint32_t *h, const uint8_t *p) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], z = h[7];
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = z + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        z = g; g = f; f = e; e = d + t1; d = c; c = b; b = a; a = t1 + t2;
    }
    h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += z;
}

static void digest(const uint8_t *data, size_t size, uint32_t *h) {
    uint8_t tail[128] = {0};
    memcpy(h, h0, sizeof h0);
    size_t whole = size / 64, rest = size % 64, tailSize = rest < 56 ? 64 : 128;
    for (size_t i = 0; i < whole; i++) block(h, data + 64 * i);
    memcpy(tail, data + 64 * whole, rest);
    tail[rest] = 0x80;
    for (int i = 0; i < 8; i++) tail[tailSize - 1 - i] = (uint8_t)((uint64_t)size * 8 >> (8 * i));
    for (size_t i = 0; i < tailSize; i += 64) block(h, tail + i);
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 1000;
    static uint8_t data[65536];
    uint32_t h[8];
    constants();
    digest((const uint8_t *)"abc", 3, h);
    if (h[0] != 0xba7816bf || h[7] != 0xf20015ad) { printf("sha256: wrong digest of abc\n"); return 1; }
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(i * 131 >> 3);
    for (long i = 0; i < iterations; i++) { digest(data, sizeof data, h); memcpy(data + i % 1000 * 32, h, 32); }
    printf("sha256 %ld ", iterations);
    for (int i = 0; i < 8; i++) printf("%08x", h[i]);
    printf("\n");
    return 0;
}
