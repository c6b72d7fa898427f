// Code that is written, run, rewritten and run again, with fence.i where there is one; through one mapping and through two; and garbage
// that must raise SIGILL. Usage: selfmodify. Prints `selfmodify ok`.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;
static void onIllegal(int number) { siglongjmp(back, number); }

#ifdef __riscv
#define FENCE __asm__ volatile("fence.i" ::: "memory")
#define UNDEFINED 0
static void emit(uint32_t *code, int value) {
    code[0] = (uint32_t)value << 20 | 0x513;    // addi a0, zero, value
    code[1] = 0x8067;                           // ret
}
#else
#define FENCE __asm__ volatile("" ::: "memory")  // x86 needs none
#define UNDEFINED 0x0b0f  // ud2
static void emit(uint32_t *code, int value) {
    code[0] = (uint32_t)value << 8 | 0xb8;       // mov $value, %eax: five bytes
    code[1] = (uint32_t)value >> 24 | 0xc300;    // ret
}
#endif

int main(void) {
    uint32_t *volatile code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1000; i++) {
        emit(code, i);
        FENCE;
        if (((int (*)(void))code)() != i) { printf("selfmodify: stale code at %d\n", i); return 1; }
    }
    int file = memfd_create("code", 0);
    if (file < 0 || ftruncate(file, 4096)) return 2;
    uint32_t *write = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    int (*run)(void) = (int (*)(void))mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    for (int i = 0; i < 100; i++) {
        emit(write, i + 500);
        __builtin___clear_cache((char *)run, (char *)run + 4096);
        if (run() != i + 500) { printf("selfmodify: stale code through two mappings at %d\n", i); return 1; }
    }
    // Replacing the mapping replaces the code.
    code = mmap(code, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    emit(code, 7);
    __builtin___clear_cache((char *)code, (char *)code + 4096);
    if (((int (*)(void))code)() != 7) { puts("selfmodify: stale code after mmap"); return 1; }
    signal(SIGILL, onIllegal);
    signal(SIGSEGV, onIllegal);
    code[0] = UNDEFINED;
    __builtin___clear_cache((char *)code, (char *)code + 4096);
    int number = sigsetjmp(back, 1);
    if (number == 0) { ((void (*)(void))code)(); return 1; }
    if (number != SIGILL) { printf("selfmodify: signal %d instead of SIGILL\n", number); return 1; }
    mprotect(code, 4096, PROT_READ | PROT_WRITE);
    number = sigsetjmp(back, 1);
    if (number == 0) { ((void (*)(void))code)(); return 1; }
    if (number != SIGSEGV) { printf("selfmodify: signal %d instead of SIGSEGV\n", number); return 1; }
    puts("selfmodify ok");
    return 0;
}
