// LZ77 compression with a hash of four bytes and byte-oriented tokens, and decompression, of 256 KiB of
// generated text. Usage: lz [ITERATIONS]. Self check: the round trip restores the input.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { size = 262144, hashBits = 14, matchMin = 4 };
static uint8_t input[size], packed[size * 2], output[size + 64];
static uint32_t heads[1 << hashBits];

static uint32_t load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

static size_t putLength(uint8_t *out, size_t at, size_t extra) {
    while (extra >= 255) { out[at++] = 255; extra -= 255; }
    out[at++] = (uint8_t)extra;
    return at;
}

static size_t compress(const uint8_t *in, size_t n, uint8_t *out) {
    size_t at = 0, anchor = 0, i = 0;
    memset(heads, 0xff, sizeof heads);
    while (i + 12 < n) {
        uint32_t word = load32(in + i), slot = word * 2654435761u >> (32 - hashBits), candidate = heads[slot];
        heads[slot] = (uint32_t)i;
        if (candidate == UINT32_MAX || i - candidate > 65535 || load32(in + candidate) != word) { i++; continue; }
        size_t length = matchMin;
        while (i + length < n && in[candidate + length] == in[i + length]) length++;
        size_t literals = i - anchor, code = length - matchMin;
        out[at++] = (uint8_t)((literals < 15 ? literals : 15) << 4 | (code < 15 ? code : 15));
        if (literals >= 15) at = putLength(out, at, literals - 15);
        memcpy(out + at, in + anchor, literals);
        at += literals;
        out[at++] = (uint8_t)(i - candidate);
        out[at++] = (uint8_t)((i - candidate) >> 8);
        if (code >= 15) at = putLength(out, at, code - 15);
        i += length;
        anchor = i;
    }
    size_t literals = n - anchor;
    out[at++] = (uint8_t)((literals < 15 ? literals : 15) << 4);
    if (literals >= 15) at = putLength(out, at, literals - 15);
    memcpy(out + at, in + anchor, literals);
    return at + literals;
}

static size_t expand(const uint8_t *in, size_t n, uint8_t *out) {
    size_t at = 0, i = 0;
    while (i < n) {
        unsigned token = in[i++];
        size_t literals = token >> 4, length = (token & 15) + matchMin;
        if (literals == 15) { uint8_t b; do { b = in[i++]; literals += b; } while (b == 255); }
        memcpy(out + at, in + i, literals);
        at += literals; i += literals;
        if (i >= n) break;
        size_t distance = in[i] | (size_t)in[i + 1] << 8;
        i += 2;
        if ((token & 15) == 15) { uint8_t b; do { b = in[i++]; length += b; } while (b == 255); }
        for (size_t k = 0; k < length; k++, at++) out[at] = out[at - distance];
    }
    return at;
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 200;
    static const char *words[] = { "machine ", "guest ", "host ", "engine ", "trap ", "page ", "the ", "of ", "a ",
        "translated ", "and ", "device ", "interrupt ", "memory ", "runs ", "once\n" };
    uint32_t state = 7, sum = 2166136261u;
    for (size_t at = 0; at < size;) {
        state = state * 1103515245u + 12345u;
        const char *word = words[state >> 16 & 15];
        size_t length = strlen(word);
        if (length > size - at) length = size - at;
        memcpy(input + at, word, length);
        at += length;
        if ((state >> 20 & 7) == 0 && at < size) input[at++] = (uint8_t)(state >> 24);
    }
    size_t n = 0;
    for (long i = 0; i < iterations; i++) {
        input[i * 997 % size] ^= (uint8_t)i;
        n = compress(input, size, packed);
        if (expand(packed, n, output) != size || memcmp(input, output, size)) { printf("lz: round trip differs\n"); return 1; }
        sum = (sum ^ (uint32_t)n) * 16777619u;
    }
    for (size_t i = 0; i < n; i++) sum = (sum ^ packed[i]) * 16777619u;
    printf("lz %ld %zu %08x\n", iterations, n, sum);
    return 0;
}
