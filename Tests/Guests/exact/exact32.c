// 16- and 32-bit instructions at all privileges, in virtual-8086 and real mode: each snippet runs in every context it is
// for and says how it ended, with which registers and memory. The log is the same on every processor of the kind modelled.
#include "machine.h"

struct State {
    u32 eax, ecx, edx, ebx, esp, ebp, esi, edi, eip;
    u16 ss, ds, es, fs, gs, cs;
    u32 vector, error, cr2, eflags;
};
_Static_assert(__builtin_offsetof(struct State, ss) == 36 && __builtin_offsetof(struct State, vector) == 48
               && __builtin_offsetof(struct State, eflags) == 60, "start32.S knows the offsets");

extern void execute(void), executeReal(void), doubleFault(void);
extern char stubs[], realStubs[], realCode[], realCodeEnd[], realStack[], realFlags[];
struct State in, out;
u32 frame;
u8 ownStack;
// DS ES FS GS to be loaded before the IRET; virtual-8086 mode takes its own from the frame.
u16 segments[4];

// MARK: tables

enum { code0 = 0x08, data0 = 0x10, code3 = 0x1b, data3 = 0x23, realCodeSelector = 0x28, realData = 0x30, code16 = 0x38,
       data16 = 0x40, code16_3 = 0x4b, data16_3 = 0x53, expandDown3 = 0x5b, small3 = 0x63, readOnly3 = 0x6b,
       executeOnly3 = 0x73, absent3 = 0x7b, conforming0 = 0x80, ldtSelector = 0x88, taskMain = 0x90, taskFault = 0x98,
       gate3 = 0xa3, gate16_3 = 0xab, taskGate3 = 0xb3, gateTarget = 0xb8, taskOther = 0xc0, gateAbsent3 = 0xcb,
       expandDownBig3 = 0xd3, task16 = 0xd8, gateSame3 = 0xe3 };
enum { realBase = 0x50000, scratch = 0x20000, scratchSize = 0x10000, codeAt = scratch, stackTop = 0xf000, dataAt = 0x8000 };

static u64 gdt[32] __attribute__((aligned(16)));
static u64 ldt[4];
static u64 idt[64] __attribute__((aligned(16)));
struct Table { u16 limit; u32 base; } __attribute__((packed));
struct Table protectedIDT = {sizeof idt - 1, (u32)idt};
struct Task {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi, es, cs, ss, ds, fs,
        gs, ldt;
    u16 trap, map;
    u8 redirection[32], ports[33];
} __attribute__((packed));
static struct Task mainTask, faultTask, otherTask;
static u8 trapStack[4096] __attribute__((aligned(16))), faultStack[1024] __attribute__((aligned(16))),
    otherStack[1024] __attribute__((aligned(16)));

static u64 segment(u32 base, u32 limit, u32 type) {
    // type: bits 7:0 access byte, 11:8 flags G D L AVL
    return (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(type & 0xff) << 40 | (u64)(limit >> 16 & 15) << 48
        | (u64)(type >> 8 & 15) << 52 | (u64)(base >> 24) << 56;
}

static u64 gate(u16 selector, u32 offset, u32 type, u32 count) {
    return (offset & 0xffff) | (u64)selector << 16 | (u64)count << 32 | (u64)type << 40 | (u64)(offset >> 16) << 48;
}

// Behind call gates: at ring 0, or at the same ring.
asm(".globl gateCode, gateCode16, taskCode\n"
    "gateCode: int $0x30\n"
    "gateCode16: int $0x31\n"
    "taskCode: mov $0x10, %ax\n mov %ax, %ds\n incl taskCount\n iret\n jmp taskCode");
extern char gateCode[], gateCode16[], taskCode[];
u32 taskCount;

static void setUp(void) {
    gdt[1] = segment(0, 0xfffff, 0xc9b);
    gdt[2] = segment(0, 0xfffff, 0xc93);
    gdt[3] = segment(scratch, 0xffff, 0x4fb);
    gdt[4] = segment(scratch, 0xffff, 0x4f3);
    gdt[5] = segment(realBase, 0xffff, 0x09b);
    gdt[6] = segment(0, 0xffff, 0x093);
    gdt[7] = segment(scratch, 0xffff, 0x09b);
    gdt[8] = segment(scratch, 0xffff, 0x093);
    gdt[9] = segment(scratch, 0xffff, 0x0fb);
    gdt[10] = segment(scratch, 0xffff, 0x0f3);
    gdt[11] = segment(scratch, 0x0fff, 0x0f7);
    gdt[12] = segment(scratch + 0x1000, 0x00ff, 0x4f3);
    gdt[13] = segment(scratch, 0xffff, 0x4f1);
    gdt[14] = segment(scratch, 0xffff, 0x4f9);
    gdt[15] = segment(scratch, 0xffff, 0x473);
    gdt[16] = segment(scratch, 0xffff, 0x49f);
    gdt[17] = segment((u32)ldt, sizeof ldt - 1, 0x082);
    gdt[18] = segment((u32)&mainTask, sizeof mainTask - 1, 0x089);
    gdt[19] = segment((u32)&faultTask, 0x67, 0x089);
    gdt[20] = gate(gateTarget, (u32)gateCode, 0xec, 2);
    gdt[21] = gate(gateTarget, 0x9000, 0xe4, 3);
    gdt[22] = gate(taskOther, 0, 0xe5, 0);
    gdt[23] = segment(0, 0xfffff, 0xc9b);
    gdt[24] = segment((u32)&otherTask, 0x67, 0x0e9);
    gdt[25] = gate(gateTarget, (u32)gateCode, 0x6c, 0);
    gdt[26] = segment(scratch, 0x0fff, 0x4f7);
    gdt[27] = segment((u32)&otherTask, 0x2b, 0x0e1);
    gdt[28] = gate(code3 & ~3, dataAt, 0xec, 1);
    ldt[1] = segment(scratch, 0xffff, 0x4f3);
    ldt[2] = segment(scratch, 0xffff, 0x4fb);
    for (int v = 0; v < 64; v++) idt[v] = gate(code0, (u32)stubs + 16 * v, v >= 0x30 || v == 3 || v == 4 ? 0xee : 0x8e, 0);
    idt[8] = gate(taskFault, 0, 0x85, 0);
    idt[0x38] = gate(taskOther, 0, 0xe5, 0);
    idt[0x39] = gate(code16 & ~3, 0, 0xe6, 0);
    idt[0x3a] = gate(absent3, 0, 0xee, 0);
    idt[0x3b] = gate(code0, 0, 0x6e, 0);
    idt[0x3c] = gate(data0, 0, 0xee, 0);
    struct Table table = {sizeof gdt - 1, (u32)gdt};
    asm volatile("lgdt %0; lidt %1; ljmp $8, $1f; 1: mov $0x10, %%eax; mov %%eax, %%ds; mov %%eax, %%es; mov %%eax, %%ss;"
                 "mov %%eax, %%fs; mov %%eax, %%gs" : : "m"(table), "m"(protectedIDT) : "eax");
    u32 cr4 = 0x600, cr0;
    asm volatile("mov %0, %%cr4" : : "r"(cr4));
    asm volatile("mov %%cr0, %0; and $~6, %0; or $0x22, %0; mov %0, %%cr0; fninit" : "=&r"(cr0));
    mainTask.ss0 = data0;
    mainTask.esp0 = (u32)trapStack + sizeof trapStack;
    mainTask.map = __builtin_offsetof(struct Task, ports);
    faultTask.eip = (u32)doubleFault;
    faultTask.cs = code0;
    faultTask.ss = faultTask.ds = faultTask.es = faultTask.fs = faultTask.gs = data0;
    asm volatile("ltr %w0; lldt %w1" : : "r"(taskMain), "r"(ldtSelector));
    outb(0x21, 0xff); // interrupts of a BIOS's timer would arrive as exceptions
    outb(0xa1, 0xff);
    memcpy((void *)realBase, realCode, realCodeEnd - realCode);
}

// MARK: contexts

enum { ring0 = 1, ring3 = 2, ring0_16 = 4, ring3_16 = 8, vm = 16, vm0 = 32, vme = 64, real = 128,
       user = ring3 | ring3_16, wide = ring0 | ring3, narrow = ring0_16 | ring3_16 | vm | real,
       prot = wide | ring0_16 | ring3_16, all = prot | vm | real, plain = all };
static const char *const contextNames[] = {"r0", "r3", "r0.16", "r3.16", "vm", "vm0", "vme", "real"};

struct Snippet { u32 contexts, flags; const u8 *start16, *end16, *start32, *end32; const char *text; };
extern const struct Snippet firstSnippet[], lastSnippet[];

// A snippet in both code sizes: contexts, flags that are compared, text.
#define T(contexts, flags, text)                                                                              \
    asm(".pushsection .rodata\n771: .code16\n" text "\n772:\n773: .code32\n" text "\n774:\n775: .asciz \"" text "\"\n"  \
        ".popsection\n.pushsection .snippets, \"a\"\n.long " STRING(contexts) ", " STRING(flags)                    \
        ", 771b, 772b, 773b, 774b, 775b\n.popsection")
#define STRING(x) STRING2(x)
#define STRING2(x) #x

static void reset(void) {
    u32 seed = 7;
    u32 words = scratchSize / 4, *to = (u32 *)scratch;
    asm volatile("rep stosl" : "+c"(words), "+D"(to) : "a"(0) : "memory");
    for (u32 at = dataAt; at < dataAt + 0x400; at += 4) *(u32 *)(scratch + at) = random32(&seed);
    memset((void *)0x9000, 0xcc, 64);
    memset((void *)(scratch + 0x9000), 0xcc, 64);
    memset((void *)(scratch + scratchSize), 0xcc, 64);
    memset((void *)(scratch + 0x19000), 0xcc, 64);
    memset((void *)0x700, 0, 64);
    gdt[18] = segment((u32)&mainTask, sizeof mainTask - 1, 0x08b);
    gdt[19] = segment((u32)&faultTask, 0x67, 0x089);
    gdt[24] = segment((u32)&otherTask, 0x67, 0x0e9);
    memset(mainTask.redirection, 0, 32);
    mainTask.redirection[0x33 / 8] |= 1 << (0x33 & 7);
    memset(mainTask.ports, 0xff, 33);
    mainTask.ports[0x42 / 8] &= ~(1 << (0x42 & 7));
    faultTask.eip = (u32)doubleFault;
    faultTask.eflags = 2;
    faultTask.esp = (u32)faultStack + sizeof faultStack - 16;
    otherTask = (struct Task){.eip = (u32)taskCode, .cs = code0, .ss = data0, .ds = data0, .es = data0, .fs = data0, .gs = data0,
                              .esp = (u32)otherStack + sizeof otherStack, .eflags = 2, .map = 0x68};
    taskCount = 0;
    asm volatile("mov %%cr0, %0; and $~0xc, %0; mov %0, %%cr0; fninit" : "=&r"(seed));
    memset(&out, 0, sizeof out);
}

static void prepare(int context) {
    in = (struct State){.eax = 0x80010203, .ecx = 0x11223304, .edx = 0x00000042, .ebx = dataAt, .esp = stackTop,
                        .ebp = dataAt + 0x40, .esi = dataAt + 0x80, .edi = dataAt + 0xc0, .eip = 0, .eflags = 0x202 | 0x8d5};
    switch (1 << context) {
    case ring0: in.cs = code0, in.ss = in.ds = in.es = in.fs = in.gs = data0; break;
    case ring3: in.cs = code3, in.ss = in.ds = in.es = in.fs = in.gs = data3; break;
    case ring0_16: in.cs = code16, in.ss = in.ds = in.es = in.fs = in.gs = data16; break;
    case ring3_16: in.cs = code16_3, in.ss = in.ds = in.es = in.fs = in.gs = data16_3; break;
    default: in.cs = in.ss = in.ds = in.es = in.fs = in.gs = scratch >> 4; break;
    }
    if (1 << context == ring0) {
        in.ebx += scratch, in.ebp += scratch, in.esi += scratch, in.edi += scratch, in.esp += scratch, in.eip = codeAt;
    }
    if (1 << context & (vm | vm0 | vme)) in.eflags |= 0x20000 | (1 << context == vm ? 0x3000 : 0);
    if (1 << context == ring0 || 1 << context == ring0_16) in.eflags &= ~0x200;
    if (1 << context == real) in.eflags &= ~0x200;
}

static void go(int context) {
    u32 cr4 = 0x600 | (1 << context == vme ? 1 : 0);
    asm volatile("mov %0, %%cr4" : : "r"(cr4));
    // A BIOS has left vectors that differ.
    u32 *vectors = (u32 *)0;
    asm("" : "+r"(vectors));
    for (int v = 0; v < 256; v++) vectors[v] = 0x29000000;
    if (1 << context == real) {
        u32 *r = (u32 *)0x600;
        r[0] = in.eax, r[1] = in.ecx, r[2] = in.edx, r[3] = in.ebx, r[4] = in.ebp, r[5] = in.esi, r[6] = in.edi;
        u16 *s = (u16 *)(r + 7);
        s[0] = in.gs, s[1] = in.fs, s[2] = in.es, s[3] = in.ds;
        u8 *base = (u8 *)realBase;
        *(u16 *)(base + (realStack - realCode)) = in.esp;
        *(u16 *)(base + (realStack - realCode) + 2) = in.ss;
        *(u16 *)(base + (realFlags - realCode)) = in.eflags;
        for (int v = 0; v < 64; v++) vectors[v] = realBase << 12 | (realStubs - realCode + 8 * v);
        executeReal();
        u32 *w = (u32 *)0x700;
        u16 *h = (u16 *)0x720;
        out = (struct State){.eax = w[0], .ecx = w[1], .edx = w[2], .ebx = w[3], .esp = w[4], .ebp = w[5], .esi = w[6],
                             .edi = w[7], .eip = h[2], .ss = h[8], .ds = h[0], .es = h[5], .fs = h[6], .gs = h[7],
                             .cs = h[3], .vector = h[1], .eflags = h[4]};
        return;
    }
    static u32 own[16];
    u16 *s = segments;
    int isVirtual = 1 << context & (vm | vm0 | vme);
    s[0] = isVirtual ? 0 : in.ds, s[1] = isVirtual ? 0 : in.es, s[2] = isVirtual ? 0 : in.fs, s[3] = isVirtual ? 0 : in.gs;
    u32 *f;
    if (1 << context == ring0 || 1 << context == ring0_16) {
        u32 base = 1 << context == ring0_16 ? scratch : 0;
        f = (u32 *)(in.esp + base - 12);
        f[0] = in.eip, f[1] = in.cs, f[2] = in.eflags;
        frame = in.esp - 12;
        ownStack = 1;
    } else {
        f = own;
        f[0] = in.eip, f[1] = in.cs, f[2] = in.eflags, f[3] = in.esp, f[4] = in.ss;
        f[5] = in.es, f[6] = in.ds, f[7] = in.fs, f[8] = in.gs;
        frame = (u32)f;
        ownStack = 0;
    }
    execute();
    asm volatile("ltr %w0" : : "r"((gdt[18] = segment((u32)&mainTask, sizeof mainTask - 1, 0x089), taskMain)));
    asm volatile("pushf; andl $~0x4000, (%%esp); popf" ::: "cc");
    asm volatile("lldt %w0" : : "r"(ldtSelector));
}

static void report(int context, u32 flags) {
    show("v", out.vector, 2);
    if (out.vector >= 10 && out.vector <= 14 || out.vector == 17) show("e", out.error, 4);
    show("ip", out.eip - in.eip, 4);
    if (out.cs != in.cs) show("cs", out.cs, 4);
    static const char *const names[] = {"a", "c", "d", "b", "sp", "bp", "si", "di"};
    if (out.vector != 8) {
        u32 *before = &in.eax, *after = &out.eax;
        for (int n = 0; n < 8; n++) {
            u32 value = after[n];
            if (n == 4 && (1 << context & (ring0_16 | ring3_16 | real))) value &= 0xffff;
            if (value != before[n]) show(names[n], value, 8);
        }
        u16 *s = &in.ss, *t = &out.ss;
        static const char *const names16[] = {"ss", "ds", "es", "fs", "gs"};
        for (int n = 0; n < 5; n++) if (s[n] != t[n]) show(names16[n], t[n], 4);
        show("f", out.eflags & (flags | 0x3ff300) & (1 << context & real ? 0xffff : ~0), 6);
    }
    u32 sum = 0;
    // The stack below the pointer holds what exceptions of ring 0 pushed.
    for (u32 at = 0; at < scratchSize; at += 4) {
        if (at == 0x200) at = 0x7800; // where snippets write
        if (at == 0x8800) at = 0xe800;
        if (at >= stackTop - 0x100 && at < stackTop && 1 << context & (ring0 | ring0_16 | real)) continue;
        sum = (sum << 1 | sum >> 31) + *(u32 *)(scratch + at);
    }
    show("m", sum, 8);
    if (taskCount) show("tasks", taskCount, 2);
    put("\n");
}

static void runSnippet(const struct Snippet *s) {
    for (int context = 0; context < 8; context++) {
        if (!(s->contexts >> context & 1)) continue;
        int is32 = 1 << context & wide;
        reset();
        const u8 *start = is32 ? s->start32 : s->start16, *end = is32 ? s->end32 : s->end16;
        memset((void *)codeAt, 0xcc, 64);
        memcpy((void *)codeAt, start, end - start);
        prepare(context);
        go(context);
        put(contextNames[context]);
        put(": ");
        put(s->text);
        put(" |");
        report(context, s->flags);
    }
}

// MARK: random bytes

// One instruction of random bytes under TF. Flags that a processor may leave as it likes are not compared, and
// instructions that are not the same everywhere are not made.
static int isExcluded(const u8 *code, int context) {
    static const u8 segmentLoads[] = {0x07, 0x17, 0x1f, 0x8e, 0xc4, 0xc5, 0x9a, 0xea, 0xca, 0xcb, 0xcf, 0xcd};
    for (int at = 0; at < 8; at++) {
        if (code[at] == 0x0f || code[at] >= 0xd8 && code[at] <= 0xdf) return 1;
        for (u32 n = 0; n < sizeof segmentLoads; n++) if (code[at] == segmentLoads[n]) return 1;
        // I/O where it is allowed, undocumented opcodes, HLT, LOCK: emulators differ in the order of #UD and others.
        if (context == 7 && (code[at] >= 0xe4 && code[at] <= 0xe7 || code[at] >= 0xec && code[at] <= 0xef
                             || code[at] >= 0x6c && code[at] <= 0x6f)) return 1;
        if (code[at] == 0xf1 || code[at] == 0xd6 || code[at] == 0xf4 || code[at] == 0xf0 || code[at] == 0x82 || code[at] == 0x69 || code[at] == 0x6b) return 1;
        if (code[at] == 0xd5 || code[at] == 0xd4 || code[at] == 0xfa || code[at] == 0xfb) return 1;
    }
    return 0;
}

static void randomBytes(int context, u32 count) {
    u32 seed = 12345 + context;
    for (u32 turn = 0; turn < count; turn++) {
        reset();
        u8 code[8];
        do {
            for (int at = 0; at < 8; at++) code[at] = random32(&seed) >> 11;
        } while (isExcluded(code, context));
        memset((void *)codeAt, 0xcc, 64);
        memcpy((void *)codeAt, code, 8);
        prepare(context);
        in.eax = random32(&seed);
        in.ecx = random32(&seed) & 0x8000ffff;
        in.edx = 0x1043; // no port
        in.eflags |= 0x100;
        go(context);
        put(contextNames[context]);
        put(" random");
        for (int at = 0; at < 8; at++) outb(0xe9, ' '), hex(code[at], 2);
        put(" |");
        report(context, 0);
    }
}

#include "snippets32.h"

void main(void) {
    setUp();
    static const int contexts[] = {1, 3, 4, 7};
    for (int n = 0; n < 4; n++) randomBytes(contexts[n], 400);
    for (const struct Snippet *s = firstSnippet; s < lastSnippet; s++) runSnippet(s);
    finish();
}
