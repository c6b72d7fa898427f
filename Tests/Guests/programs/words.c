// words SEED COUNT: executes random instruction words one at a time, between registers and memory that are set up anew for
// each, and prints for each how it ended and a hash of all registers and memory: what one executor says, all must say.
// Compile with -static -mno-relax -fno-stack-protector: gp and tp are garbage while a word runs.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

static uint64_t state;
static uint64_t next(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

// Every jump and branch from the middle lands inside; all of it but the word under test is C.EBREAK.
enum { codeSize = 4 << 20, codeMiddle = 2 << 20, scratchSize = 16384 };
static char *code, *scratch;

struct registers {
    uint64_t x[32], f[32], fcsr;
};
struct registers before __attribute__((used));
struct registers after;
int ended;
uint64_t endPC;
// What the C code needs back: sp, gp, tp.
uint64_t kept[3] __attribute__((used));
extern char resumed[];

// Loads everything from `before` and goes to the address in a0, where x30 and x31 are loaded and the word follows.
void enter(void *code);
asm(".text\n.option norelax\n.globl enter\nenter:\n"
    "addi sp, sp, -208\n"
    "sd ra, 0(sp)\n sd s0, 8(sp)\n sd s1, 16(sp)\n sd s2, 24(sp)\n sd s3, 32(sp)\n sd s4, 40(sp)\n sd s5, 48(sp)\n sd s6, 56(sp)\n"
    "sd s7, 64(sp)\n sd s8, 72(sp)\n sd s9, 80(sp)\n sd s10, 88(sp)\n sd s11, 96(sp)\n"
    "fsd fs0, 104(sp)\n fsd fs1, 112(sp)\n fsd fs2, 120(sp)\n fsd fs3, 128(sp)\n fsd fs4, 136(sp)\n fsd fs5, 144(sp)\n"
    "fsd fs6, 152(sp)\n fsd fs7, 160(sp)\n fsd fs8, 168(sp)\n fsd fs9, 176(sp)\n fsd fs10, 184(sp)\n fsd fs11, 192(sp)\n"
    "lla t0, kept\n sd sp, 0(t0)\n sd gp, 8(t0)\n sd tp, 16(t0)\n"
    "lla t0, target\n sd a0, 0(t0)\n"
    "lla x31, before\n"
    "ld t0, 512(x31)\n fscsr t0\n"
    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n fld f\\n, (256+8*\\n)(x31)\n .endr\n"
    // The jump needs a register: x30 and x31 are loaded behind it.
    ".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29\n ld x\\n, (8*\\n)(x31)\n .endr\n"
    "lla x30, target\n ld x30, 0(x30)\n jr x30\n"
    ".globl resumed\nresumed:\n"
    "ld ra, 0(sp)\n ld s0, 8(sp)\n ld s1, 16(sp)\n ld s2, 24(sp)\n ld s3, 32(sp)\n ld s4, 40(sp)\n ld s5, 48(sp)\n ld s6, 56(sp)\n"
    "ld s7, 64(sp)\n ld s8, 72(sp)\n ld s9, 80(sp)\n ld s10, 88(sp)\n ld s11, 96(sp)\n"
    "fld fs0, 104(sp)\n fld fs1, 112(sp)\n fld fs2, 120(sp)\n fld fs3, 128(sp)\n fld fs4, 136(sp)\n fld fs5, 144(sp)\n"
    "fld fs6, 152(sp)\n fld fs7, 160(sp)\n fld fs8, 168(sp)\n fld fs9, 176(sp)\n fld fs10, 184(sp)\n fld fs11, 192(sp)\n"
    "addi sp, sp, 208\n ret\n"
    ".bss\n.balign 8\ntarget: .skip 8\n.text\n");

static void onSignal(int signal, siginfo_t *info, void *context) {
    (void)info;
    ucontext_t *u = context;
    for (int i = 1; i < 32; i++) after.x[i] = u->uc_mcontext.__gregs[i];
    for (int i = 0; i < 32; i++) after.f[i] = u->uc_mcontext.__fpregs.__d.__f[i];
    after.fcsr = u->uc_mcontext.__fpregs.__d.__fcsr;
    endPC = u->uc_mcontext.__gregs[0];
    ended = signal;
    u->uc_mcontext.__gregs[0] = (uint64_t)resumed;
    u->uc_mcontext.__gregs[2] = kept[0];
    u->uc_mcontext.__gregs[3] = kept[1];
    u->uc_mcontext.__gregs[4] = kept[2];
    u->uc_mcontext.__fpregs.__d.__fcsr = 0;
}

static uint64_t value(void) {
    static const uint64_t edges[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull};
    uint64_t r = next();
    switch (r % 8) {
    case 0: return edges[(r >> 8) % 9] + (r >> 32) % 3 - 1;
    case 1: case 2: return (uint64_t)scratch + 4096 + (r >> 8) % 8192 / 16 * 16;
    case 3: return (uint64_t)scratch + 4096 + (r >> 8) % 8192;
    case 4: return (uint64_t)code + codeMiddle + 4096 + (r >> 8) % 65536 / 2 * 2;
    case 5: return (uint64_t)(int32_t)next();
    default: return next();
    }
}

static uint64_t floatValue(void) {
    static const uint64_t edges[] = {0, 0x3ff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 0x7ff0000000000001, 0x000fffffffffffff,
                                     0x0010000000000000, 0x43e0000000000000, 0x41dfffffffc00000, 0x7fefffffffffffff};
    static const uint32_t singles[] = {0, 0x3f800000, 0x7f800000, 0x7fc00000, 0x7f800001, 0x007fffff, 0x00800000, 0x5f000000, 0x4f000000, 0x7f7fffff};
    uint64_t r = next();
    switch (r % 6) {
    case 0: return edges[(r >> 8) % 10] | (r >> 63) << 63;
    case 1: return 0xffffffff00000000 | singles[(r >> 8) % 10] | (r >> 63) << 31;
    case 2: return 0xffffffff00000000 | (uint32_t)next();
    case 3: return (next() & 0x800fffffffffffff) | (0x3f0 + (r >> 8) % 32) << 52;
    case 4: return 0xffffffff00000000 | (next() & 0x807fffff) | (120 + (r >> 8) % 16) << 23;
    default: return next();
    }
}

// Whether both sides have the same right to an answer: not system calls, counters, store conditionals (what takes a
// reservation away is the implementation's), and extensions that only one of them has.
static int isFair(uint32_t w) {
    uint32_t opcode = w & 0x7f, funct3 = w >> 12 & 7, funct7 = w >> 25, csr = w >> 20;
    if ((w & 3) != 3) return 1;
    if (opcode == 0x73) {
        if (funct3 == 0) return w == 0x00100073;
        return funct3 != 4 && (csr == 1 || csr == 2 || csr == 3);
    }
    if (opcode == 0x2f && w >> 27 == 3) return 0;
    if (opcode == 0x33 && ((funct7 == 5 && funct3 >= 1 && funct3 <= 3) || (funct7 == 7 && (funct3 == 5 || funct3 == 7)))) return 0;
    if (opcode == 0x0f) return funct3 == 0;
    // Vectors and half precision.
    if (opcode == 0x57) return 0;
    if ((opcode == 0x07 || opcode == 0x27) && funct3 != 2 && funct3 != 3) return 0;
    if (opcode == 0x53 && ((w >> 25 & 3) == 2 || funct7 == 0x20 || funct7 == 0x21)) return (w >> 20 & 31) < 2 && (w >> 25 & 3) != 2;
    if ((opcode == 0x43 || opcode == 0x47 || opcode == 0x4b || opcode == 0x4f) && (w >> 25 & 3) == 2) return 0;
    return 1;
}

// Whether a jump or branch may come back to the word or to what is before it, for ever.
static int comesBack(uint32_t w) {
    int32_t offset = 8;
    uint32_t opcode = w & 0x7f, compressed = (w & 3) | (w >> 13 & 7) << 2;
    if ((w & 3) != 3) {
        if (compressed == 0x15) // c.j
            offset = (int32_t)((w >> 12 & 1) << 11 | (w >> 8 & 1) << 10 | (w >> 9 & 3) << 8 | (w >> 6 & 1) << 7 | (w >> 7 & 1) << 6
                | (w >> 2 & 1) << 5 | (w >> 11 & 1) << 4 | (w >> 3 & 7) << 1) << 20 >> 20;
        if (compressed == 0x19 || compressed == 0x1d) // c.beqz, c.bnez
            offset = (int32_t)((w >> 12 & 1) << 8 | (w >> 5 & 3) << 6 | (w >> 2 & 1) << 5 | (w >> 10 & 3) << 3 | (w >> 3 & 3) << 1) << 23 >> 23;
    } else if (opcode == 0x6f) {
        offset = (int32_t)((w >> 31) << 20 | (w >> 12 & 0xff) << 12 | (w >> 20 & 1) << 11 | (w >> 21 & 0x3ff) << 1) << 11 >> 11;
    } else if (opcode == 0x63) {
        offset = (int32_t)((w >> 31) << 12 | (w >> 7 & 1) << 11 | (w >> 25 & 0x3f) << 5 | (w >> 8 & 15) << 1) << 19 >> 19;
    }
    return offset >= -8 && offset <= 0;
}

static uint32_t word(void) {
    static const uint8_t opcodes[] = {0x03, 0x07, 0x0f, 0x13, 0x17, 0x1b, 0x23, 0x27, 0x2f, 0x33, 0x37, 0x3b, 0x43, 0x47, 0x4b, 0x4f,
                                      0x53, 0x53, 0x53, 0x63, 0x67, 0x6f, 0x73, 0x33, 0x3b, 0x13, 0x1b, 0x2f};
    for (;;) {
        uint64_t r = next();
        uint32_t w = (uint32_t)(r >> 32);
        switch (r % 8) {
        case 0: break;
        case 1: case 2:
            w &= 0xffff;
            if ((w & 3) == 3) continue;
            break;
        default:
            w = (w & ~0x7fu) | opcodes[(r >> 8) % sizeof opcodes];
            // Real instructions are dense where funct7 has few bits.
            if (r >> 16 & 1) w &= (r >> 17 & 1) ? 0x41ffffff : 0x7dffffff;
        }
        if (isFair(w) && !comesBack(w)) return w;
    }
}

static uint64_t hash(const void *memory, size_t size, uint64_t h) {
    const uint64_t *p = memory;
    for (size_t i = 0; i < size / 8; i++) {
        h = (h ^ p[i]) * 0x100000001b3;
        h ^= h >> 29;
    }
    return h;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    uint64_t seed = strtoull(argv[1], 0, 0);
    unsigned count = (unsigned)atoi(argv[2]);
    alarm(120); // ends whoever does not end
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    // The same addresses everywhere: they show in registers.
    code = mmap((void *)0x2000000000, codeSize, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
    scratch = mmap((void *)0x2100000000, scratchSize, PROT_READ | PROT_WRITE, flags, -1, 0);
    void *stack = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED || scratch == MAP_FAILED || stack == MAP_FAILED) return 3;
    for (unsigned i = 0; i < codeSize; i += 2) memcpy(code + i, &(uint16_t){0x9002}, 2);
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = 1 << 16}, 0);
    struct sigaction action = {.sa_sigaction = onSignal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (int i = 0; i < 5; i++) sigaction((int[]){SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE}[i], &action, 0);
    for (unsigned index = 0; index < count; index++) {
        state = seed * 1000003 + index;
        next();
        for (int i = 1; i < 32; i++) before.x[i] = value();
        for (int i = 0; i < 32; i++) before.f[i] = floatValue();
        before.fcsr = next() & 0xff;
        if ((before.fcsr >> 5) > 4 && next() % 8) before.fcsr &= 0x1f;
        for (int i = 0; i < scratchSize; i += 8) memcpy(scratch + i, &(uint64_t){next()}, 8);
        uint32_t w = word();
        char *at = code + codeMiddle;
        // ld x30, 240(x31); ld x31, 248(x31)
        uint32_t sequence[2] = {8 * 30 << 20 | 31 << 15 | 3 << 12 | 30 << 7 | 0x03, 8 * 31 << 20 | 31 << 15 | 3 << 12 | 31 << 7 | 0x03};
        memcpy(at, sequence, 8);
        memcpy(at + 8, &w, (w & 3) == 3 ? 4 : 2);
        __builtin___clear_cache(at, at + 16);
        memset(&after, 0, sizeof after);
        ended = 0;
        enter(at);
        uint64_t h = hash(scratch, scratchSize, hash(&after, sizeof after, 1));
        printf("%u %0*x signal %d pc %llx %016llx\n", index, (w & 3) == 3 ? 8 : 4, w, ended, (unsigned long long)endPC, (unsigned long long)h);
        if (getenv("WORDS_SHOW") && (unsigned)atoi(getenv("WORDS_SHOW")) == index) {
            for (int i = 0; i < 32; i++)
                printf("x%d %016llx %016llx  f%d %016llx %016llx\n", i, (unsigned long long)before.x[i], (unsigned long long)after.x[i], i,
                       (unsigned long long)before.f[i], (unsigned long long)after.f[i]);
            printf("fcsr %llx %llx\n", (unsigned long long)before.fcsr, (unsigned long long)after.fcsr);
        }
        memcpy(at + 8, (uint16_t[]){0x9002, 0x9002}, 4);
    }
    return 0;
}
