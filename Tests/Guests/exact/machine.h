// What the programs of this directory share: output at port 0xe9, the end, numbers.
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

static inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 value; asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }

static inline void put(const char *text) {
    for (; *text; text++) outb(0xe9, *text);
}

static inline void hex(u64 value, int digits) {
    while (digits--) outb(0xe9, "0123456789abcdef"[value >> (4 * digits) & 15]);
}

static inline void show(const char *name, u64 value, int digits) {
    outb(0xe9, ' ');
    put(name);
    outb(0xe9, '=');
    hex(value, digits);
}

// The end: isa-debug-exit, and what Bochs takes for it.
static inline void finish(void) {
    put("end\n");
    outb(0xf4, 0);
    for (const char *c = "Shutdown"; *c; c++) outb(0x8900, *c);
    for (;;) asm volatile("cli; hlt");
}

static inline u32 random32(u32 *seed) {
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8 ^ *seed << 13;
}

void *memset(void *p, int value, __SIZE_TYPE__ count) {
    for (u8 *at = p; count--; at++) *at = value;
    return p;
}
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count) {
    u8 *at = to;
    for (const u8 *f = from; count--;) *at++ = *f++;
    return to;
}
