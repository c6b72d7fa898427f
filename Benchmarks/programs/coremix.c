// A CoreMark-like integer mix: linked-list find/reverse/sort, small integer matrices, a state machine
// over text, and a CRC that folds every result. Own code, no line from CoreMark.
// Usage: coremix [ITERATIONS]. Self check: all iterations from the same seed give the same CRC.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct node { struct node *next; int16_t key; int16_t tag; };
enum { nodes = 120, side = 12, textLength = 400 };
static struct node pool[nodes];
static int16_t ma[side][side], mb[side][side];
static int32_t mc[side][side];
static char text[textLength + 1];

static uint16_t crc16(uint16_t crc, uint16_t value) {
    for (int i = 0; i < 16; i++) {
        unsigned bit = (crc ^ value) & 1;
        crc >>= 1; value >>= 1;
        if (bit) crc ^= 0xA001;
    }
    return crc;
}

static uint32_t state;
static uint32_t draw(void) { state = state * 1664525u + 1013904223u; return state >> 8; }

static struct node *build(void) {
    for (int i = 0; i < nodes; i++) {
        pool[i].key = (int16_t)(draw() & 0x7fff);
        pool[i].tag = (int16_t)i;
        pool[i].next = i + 1 < nodes ? &pool[i + 1] : NULL;
    }
    return &pool[0];
}

static struct node *reverse(struct node *list) {
    struct node *done = NULL;
    while (list) { struct node *next = list->next; list->next = done; done = list; list = next; }
    return done;
}

static int compareKey(const struct node *a, const struct node *b) { return a->key - b->key; }
static int compareTag(const struct node *a, const struct node *b) { return a->tag - b->tag; }

static struct node *merge(struct node *a, struct node *b, int (*compare)(const struct node *, const struct node *)) {
    struct node head, *tail = &head;
    while (a && b) {
        if (compare(a, b) <= 0) { tail->next = a; a = a->next; } else { tail->next = b; b = b->next; }
        tail = tail->next;
    }
    tail->next = a ? a : b;
    return head.next;
}

static struct node *sort(struct node *list, int (*compare)(const struct node *, const struct node *)) {
    if (!list || !list->next) return list;
    struct node *slow = list, *fast = list->next;
    while (fast && fast->next) { slow = slow->next; fast = fast->next->next; }
    struct node *right = slow->next;
    slow->next = NULL;
    return merge(sort(list, compare), sort(right, compare), compare);
}

static uint16_t listWork(uint16_t crc) {
    struct node *list = build();
    for (int want = 0; want < 40; want++) {
        struct node *at = list;
        while (at && at->tag != want * 3) at = at->next;
        if (at) crc = crc16(crc, (uint16_t)at->key);
        list = reverse(list);
    }
    list = sort(list, compareKey);
    for (struct node *at = list; at; at = at->next) crc = crc16(crc, (uint16_t)at->tag);
    list = sort(list, compareTag);
    for (struct node *at = list; at && at->next; at = at->next) if (at->tag > at->next->tag) exit(1);
    return crc;
}

static uint16_t matrixWork(uint16_t crc) {
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) { ma[i][j] = (int16_t)(draw() & 0xff); mb[i][j] = (int16_t)(draw() & 0xff); }
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int32_t sum = 0;
            for (int k = 0; k < side; k++) sum += ma[i][k] * mb[k][j];
            mc[i][j] = sum;
        }
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int32_t v = mc[i][j];
            crc = crc16(crc, (uint16_t)((v >> 3) & 0x1f) * (uint16_t)((v >> 9) & 0x7f));
        }
    return crc;
}

enum state { start, sign, integer, point, fraction, exponent, bad, states };
static uint16_t stateWork(uint16_t crc) {
    static const char alphabet[] = "0123456789+-.eE, x";
    unsigned counts[states] = {0};
    for (int i = 0; i < textLength; i++) text[i] = alphabet[draw() % (sizeof alphabet - 1)];
    enum state s = start;
    for (const char *p = text; *p; p++) {
        char c = *p;
        int digit = c >= '0' && c <= '9';
        if (c == ',' || c == ' ') { counts[s]++; s = start; continue; }
        switch (s) {
        case start: s = digit ? integer : c == '+' || c == '-' ? sign : c == '.' ? point : bad; break;
        case sign: s = digit ? integer : c == '.' ? point : bad; break;
        case integer: if (!digit) s = c == '.' ? point : c == 'e' || c == 'E' ? exponent : bad; break;
        case point: s = digit ? fraction : bad; break;
        case fraction: if (!digit) s = c == 'e' || c == 'E' ? exponent : bad; break;
        case exponent: if (!digit && c != '+' && c != '-') s = bad; break;
        default: break;
        }
    }
    for (int i = 0; i < states; i++) crc = crc16(crc, (uint16_t)counts[i]);
    return crc;
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 6000;
    uint16_t first = 0, crc = 0;
    for (long i = 0; i < iterations; i++) {
        state = 42;
        crc = stateWork(matrixWork(listWork(0xffff)));
        if (i == 0) first = crc;
        if (crc != first) { printf("coremix: wrong crc %04x, want %04x\n", crc, first); return 1; }
    }
    printf("coremix %ld %04x\n", iterations, crc);
    return 0;
}
