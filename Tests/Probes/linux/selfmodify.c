// x86 programs that write to their own code, in every way there is.
#include "probe.h"

typedef int (*function)(void);
static int wrong;

static void claim(const char *name, int holds) {
    printf("%s %s\n", holds ? "ok" : "FAIL", name);
    if (!holds) wrong = 1;
}

int main(void) {
    unsigned char *p = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3}; // mov eax, n; ret
    int sum = 0;
    for (int i = 0; i < 200; i++) {
        code[1] = i;
        memcpy(p, code, 6);
        sum += ((function)p)();
    }
    claim("a function is rewritten again and again", sum == 199 * 100);

    // mov byte [next + 1], n; next: mov eax, 7; ret
    unsigned char self[] = {0xc6, 5, 1, 0, 0, 0, 42, 0xb8, 7, 0, 0, 0, 0xc3};
    sum = 0;
    for (int i = 0; i < 40; i++) {
        self[6] = i;
        memcpy(p + 100, self, sizeof self);
        sum += ((function)(p + 100))();
    }
    claim("a store shows in the next instruction", sum == 39 * 20);

    int ends[2];
    pipe(ends);
    code[1] = 9;
    memcpy(p + 4096, code, 6);
    int before = ((function)(p + 4096))();
    code[1] = 11;
    write(ends[1], code, 6);
    int count = read(ends[0], p + 4096, 6);
    claim("the kernel writes code", before == 9 && count == 6 && ((function)(p + 4096))() == 11);

    int file = memfd_create("code", 0);
    ftruncate(file, 4096);
    unsigned char *writable = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    function executable = (function)mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    sum = 0;
    for (int i = 0; i < 10; i++) {
        code[1] = i;
        memcpy(writable, code, 6);
        sum += executable();
    }
    claim("code is written through another mapping", sum == 45);

    mprotect(p, 4096, PROT_READ | PROT_EXEC);
    before = ((function)p)();
    mprotect(p, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    code[1] = 3;
    memcpy(p, code, 6);
    claim("protection changes between runs", before == 199 && ((function)p)() == 3);
    puts("done");
    return wrong;
}
