// An open-addressing hash table from strings to counts, and one from integers with deletion (backward shift).
// Usage: hashtable [ITERATIONS]. Self check: sizes and lookups against arithmetic.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { slots = 1 << 16, keys = 40000 };
struct entry { uint64_t key; uint64_t value; };
static struct entry table[slots];
static char words[4096][12];
static struct { const char *word; uint32_t hash, count; } index_[8192];

static uint64_t mix(uint64_t x) { x ^= x >> 33; x *= 0xff51afd7ed558ccdull; x ^= x >> 33; return x; }

static struct entry *find(uint64_t key) {
    size_t at = mix(key) & (slots - 1);
    while (table[at].key && table[at].key != key) at = (at + 1) & (slots - 1);
    return &table[at];
}
static void erase(struct entry *e) {
    size_t hole = (size_t)(e - table), at = hole;
    for (;;) {
        at = (at + 1) & (slots - 1);
        if (!table[at].key) break;
        size_t home = mix(table[at].key) & (slots - 1);
        if (((at - home) & (slots - 1)) >= ((at - hole) & (slots - 1))) { table[hole] = table[at]; hole = at; }
    }
    table[hole].key = 0;
}

static uint32_t hashWord(const char *p) { uint32_t h = 5381; while (*p) h = h * 33 ^ (uint8_t)*p++; return h; }
static uint32_t *count(const char *word) {
    uint32_t h = hashWord(word);
    for (size_t at = h & 8191;; at = (at + 1) & 8191) {
        if (!index_[at].word) { index_[at].word = word; index_[at].hash = h; return &index_[at].count; }
        if (index_[at].hash == h && !strcmp(index_[at].word, word)) return &index_[at].count;
    }
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 60;
    uint64_t sum = 0;
    for (int i = 0; i < 4096; i++) sprintf(words[i], "w%05d", i * 7919 % 100003);
    for (long n = 0; n < iterations; n++) {
        memset(table, 0, sizeof table);
        for (uint64_t i = 1; i <= keys; i++) { struct entry *e = find(i * 77); e->key = i * 77; e->value = i ^ (uint64_t)n; }
        for (uint64_t i = 1; i <= keys; i += 3) erase(find(i * 77));
        uint64_t left = 0;
        for (uint64_t i = 1; i <= keys; i++) {
            struct entry *e = find(i * 77);
            int gone = i % 3 == 1;
            if (gone != !e->key || (!gone && e->value != (i ^ (uint64_t)n))) { printf("hashtable: wrong entry\n"); return 1; }
            if (!gone) { left++; sum = mix(sum + e->value); }
        }
        if (left != keys - (keys + 2) / 3) { printf("hashtable: wrong size\n"); return 1; }
        uint32_t state = (uint32_t)n;
        for (int i = 0; i < 60000; i++) { state = state * 1664525u + 1013904223u; *count(words[state >> 20]) += 1; }
    }
    uint64_t total = 0;
    for (int i = 0; i < 4096; i++) total += *count(words[i]);
    if (total != (uint64_t)iterations * 60000) { printf("hashtable: words lost\n"); return 1; }
    printf("hashtable %ld %016llx\n", iterations, (unsigned long long)sum);
    return 0;
}
