// A Dhrystone-like mix: records copied through pointers, short procedures with by-reference results,
// string copies and comparisons, enumerations, two-dimensional arrays. Own code.
// Usage: dhrymix [ITERATIONS]. Self check: the closed form of the counters at the end.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum colour { red, green, blue, white };
struct record {
    struct record *link;
    enum colour colour;
    int number;
    char name[31];
};
static struct record *global, *nextGlobal;
static int counter, odd;
static char lastChar;
static int vector[50], grid[50][50];

#define separate __attribute__((noinline))

static separate void addSeven(int a, int b, int *out) { *out = a + 2 + b; }
static separate enum colour mapColour(enum colour in) {
    switch (in) {
    case red: return blue;
    case green: return counter > 100 ? red : white;
    case blue: return green;
    default: return white;
    }
}
static separate void fillArrays(int *v, int (*g)[50], int at, int value) {
    int index = at + 5;
    v[index] = value;
    v[index + 1] = v[index];
    v[index + 30] = index;
    for (int i = index; i <= index + 1; i++) g[index][i] = index;
    g[index][index - 1] += 1;
    g[index + 20][index] = v[index];
}
static separate char pick(char a, char b) { if (a != b) return a; lastChar = a; return b; }
static separate int compareNames(const char *a, const char *b) {
    int i = 2;
    char c = 0;
    while (i <= 2) if (pick(a[i], b[i + 1]) == a[i]) { c = 'A'; i++; }
    if (c >= 'W' && c < 'Z') i = 7;
    if (c == 'R') return 1;
    if (strcmp(a, b) > 0) { counter += i + 7 - i - 6; return 1; }
    return 0;
}
static separate void finish(struct record *r) { r->number = 5; r->colour = mapColour(r->colour); }
static separate void copyRecord(struct record *r) {
    struct record *next = r->link;
    *next = *r;
    next->number = 5;
    r->number = next->number;
    next->link = r->link;
    finish(next);
    if (next->colour == blue) { next->number = 6; addSeven(next->number, 10, &next->number); } else *r = *next;
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 10000000;
    struct record one, two;
    char nameA[31], nameB[31];
    int a = 0, b = 0, c = 0;
    uint32_t mix = 2166136261u;
    global = &one; nextGlobal = &two;
    one.link = &two; one.colour = red; one.number = 40;
    strcpy(one.name, "GUISE PROGRAM, SOME STRING");
    strcpy(nameA, "GUISE PROGRAM, 1'ST STRING");
    for (long i = 0; i < iterations; i++) {
        a = 2; b = 3;
        strcpy(nameB, (i & 1) ? "GUISE PROGRAM, 2'ND STRING" : "GUISE PROGRAM, 0'TH STRING");
        odd += compareNames(nameA, nameB);
        while (a < b) { c = 5 * a - b; addSeven(a, b, &c); a++; }
        fillArrays(vector, grid, a, c);
        one.colour = red;
        copyRecord(global);
        for (char ch = 'A'; ch <= 'C'; ch++) if (pick(ch, 'C') == ch) b++;
        b = b * a; a = b / c; b = 7 * (b - c) - a;
        mix = (mix ^ (uint32_t)(a + b * 3 + c * 5 + nextGlobal->number)) * 16777619u;
    }
    if (odd != (iterations + 1) / 2 || grid[8][7] != iterations || two.number != 18 || strcmp(two.name, one.name)) {
        printf("dhrymix: wrong state odd=%d grid=%d number=%d\n", odd, grid[8][7], two.number);
        return 1;
    }
    printf("dhrymix %ld %08x\n", iterations, mix);
    return 0;
}
