// What x86 programs alone can ask of Linux: segments, frames with the extended state, traps, the vsyscall page, and the
// old calls of i386.
#include "probe.h"
#include <setjmp.h>
#include <ucontext.h>
#include <asm/ldt.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <cpuid.h>

#ifdef __x86_64__
#define FSAVE_SIZE 0
#define MODIFY_LDT_REFUSED (refused == (unsigned)-EINVAL) // an int in the lower half of RAX
#else
#define FSAVE_SIZE 112
#define MODIFY_LDT_REFUSED (refused == -1 && errno == EINVAL)
#endif
static sigjmp_buf back;
static int code, signal_number; static void *address; static unsigned long long trap_number, error_code, cr2;
static void on_fault(int s, siginfo_t *i, void *u) {
    ucontext_t *c = u;
    signal_number = s; code = i->si_code; address = i->si_addr;
    trap_number = (unsigned long)c->uc_mcontext.gregs[REG_TRAPNO]; error_code = (unsigned long)c->uc_mcontext.gregs[REG_ERR];
#ifdef __x86_64__
    cr2 = c->uc_mcontext.gregs[REG_CR2];
#else
    cr2 = c->uc_mcontext.cr2;
#endif
    siglongjmp(back, 1);
}

// A handler that looks at the frame's extended state and changes it.
static int frame_good; static unsigned char seen[32];
static void on_state(int s, siginfo_t *i, void *u) {
    (void)s; (void)i;
    ucontext_t *c = u;
    unsigned char *p = (unsigned char *)c->uc_mcontext.fpregs;
    p += FSAVE_SIZE;
    unsigned *software = (unsigned *)(p + 464);
    frame_good = ((uintptr_t)p & 63) == 0 && software[0] == 0x46505853 && (c->uc_flags & 1)
        && *(unsigned *)(p + software[4]) == 0x46505845 && software[1] == software[4] + 4 + FSAVE_SIZE && (software[2] & 7) == 7;
    memcpy(seen, p + 160 + 3 * 16, 16);
    memcpy(seen + 16, p + 576 + 3 * 16, 16);
    p[160 + 3 * 16] = 99; p[576 + 3 * 16] = 98;
    *(unsigned long long *)(p + 512) |= 4; // the upper halves are in use
    __asm__ volatile("vpxor %%xmm3, %%xmm3, %%xmm3\n\tvpcmpeqd %%ymm4, %%ymm4, %%ymm4" ::: "memory");
}

int main(void) {
    begin();
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    for (int s = 0, list[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}; s < 5; s++) sigaction(list[s], &sa, 0);

    volatile int zero = 0, one;
    char *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    one = *(volatile char *)page;
    if (!sigsetjmp(back, 1)) page[5] = 1;
    CHECK("a write to a read-only page: vector 14, error 7, CR2", trap_number == 14 && error_code == 7 && cr2 == (uintptr_t)page + 5);
    if (!sigsetjmp(back, 1)) one = *(volatile int *)16;
    CHECK("a read of nothing: error 4", trap_number == 14 && error_code == 4 && cr2 == 16);
    one = 1;
    if (!sigsetjmp(back, 1)) one = one / zero;
    CHECK("division by zero is FPE_INTDIV", signal_number == SIGFPE && code == FPE_INTDIV && trap_number == 0 && address != 0);
    CHECK("CR2 stays from the page fault before", cr2 == 16);
    if (!sigsetjmp(back, 1)) __asm__ volatile("hlt");
    CHECK("a privileged instruction is SIGSEGV by the kernel, without address", signal_number == SIGSEGV && code == SI_KERNEL && address == 0 && trap_number == 13);
    if (!sigsetjmp(back, 1)) __asm__ volatile("int $0x81");
    CHECK("an unknown interrupt is vector 13, error 40a", signal_number == SIGSEGV && trap_number == 13 && error_code == 0x81 * 8 + 2);
    if (!sigsetjmp(back, 1)) __asm__ volatile("int3");
    CHECK("int3 is SIGTRAP by the kernel", signal_number == SIGTRAP && code == SI_KERNEL && trap_number == 3);
    if (!sigsetjmp(back, 1)) __asm__ volatile("ud2");
    CHECK("ud2 is ILL_ILLOPN", signal_number == SIGILL && code == ILL_ILLOPN && trap_number == 6);
    if (!sigsetjmp(back, 1)) {
        unsigned mxcsr = 0x1d80; // division by zero is not masked
        __asm__ volatile("ldmxcsr %0\n\tpxor %%xmm0, %%xmm0\n\tpcmpeqd %%xmm1, %%xmm1\n\tpslld $25, %%xmm1\n\tpsrld $2, %%xmm1\n\tdivss %%xmm0, %%xmm1" ::"m"(mxcsr) : "memory");
    }
    CHECK("an unmasked SSE exception is FPE_FLTDIV", signal_number == SIGFPE && code == FPE_FLTDIV && trap_number == 19);
    unsigned fresh = 0; __asm__ volatile("stmxcsr %0" : "=m"(fresh)); // siglongjmp leaves the handler's own
    CHECK("handlers start with the default MXCSR", fresh == 0x1f80);
    if (!sigsetjmp(back, 1)) {
        unsigned short control = 0x37b;
        __asm__ volatile("fldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait\n\tfninit" ::"m"(control));
    }
    CHECK("an unmasked x87 exception is FPE_FLTDIV", signal_number == SIGFPE && code == FPE_FLTDIV && trap_number == 16);
    __asm__ volatile("fninit");

    struct sigaction st = {.sa_sigaction = on_state, .sa_flags = SA_SIGINFO}; sigaction(SIGUSR1, &st, 0);
    static unsigned char in[32] = {1, 2, 3}, out[32]; in[16] = 44;
    long number = SYS_kill;
#ifdef __x86_64__
    __asm__ volatile("vmovdqu %1, %%ymm3\n\tsyscall\n\tvmovdqu %%ymm3, %0" : "=m"(out), "+m"(in), "+a"(number) : "D"((long)getpid()), "S"((long)SIGUSR1) : "rcx", "r11", "memory");
#else
    __asm__ volatile("vmovdqu %1, %%ymm3\n\tint $0x80\n\tvmovdqu %%ymm3, %0" : "=m"(out), "+m"(in), "+a"(number) : "b"(getpid()), "c"(SIGUSR1) : "memory");
#endif
    CHECK("the frame has the extended state with Linux's marks", frame_good);
    CHECK("both halves of a register are in it", !memcmp(seen, in, 32));
    CHECK("what the handler puts there is restored, its own registers are not", out[0] == 99 && out[1] == 2 && out[16] == 98 && out[17] == 0);

    long refused;
    struct user_desc ld = {.entry_number = 7, .base_addr = 0, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1};
    static unsigned table[64]; unsigned short selector = 7 << 3 | 7, fs;
    CHECK("modify_ldt writes an entry", syscall(SYS_modify_ldt, 0x11, &ld, sizeof ld) == 0 && syscall(SYS_modify_ldt, 0, table, sizeof table) >= 64 && table[14] == 0xffff);
    CHECK("and refuses what is not one", (ld.entry_number = 9000, refused = syscall(SYS_modify_ldt, 0x11, &ld, sizeof ld), MODIFY_LDT_REFUSED));
    __asm__ volatile("mov %%fs, %0" : "=r"(fs));
#ifdef __x86_64__
    unsigned long base = 0, tls; __asm__("mov %%fs:0, %0" : "=r"(tls));
    CHECK("arch_prctl gives FS base", syscall(SYS_arch_prctl, 0x1003, &base) == 0 && base == tls && fs == 0);
    static long word = 77; long got;
    CHECK("and sets GS base", syscall(SYS_arch_prctl, 0x1001, &word) == 0 && ({ __asm__("mov %%gs:0, %0" : "=r"(got)); got == 77; }));
    CHECK("but not to the kernel's half", syscall(SYS_arch_prctl, 0x1001, 1ul << 63) < 0 && errno == EPERM);
    __asm__ volatile("mov %0, %%es\n\tmov %%es, %1" : "+r"(selector), "=r"(fs));
    CHECK("LDT selectors can be loaded", fs == selector);
    __asm__ volatile("mov %0, %%es" ::"r"(0));
    if (!sigsetjmp(back, 1)) one = *(volatile int *)0x8000000000000000;
    CHECK("a non-canonical address is vector 13", signal_number == SIGSEGV && code == SI_KERNEL && address == 0 && trap_number == 13);
    long (*vsyscall_time)(long *) = (void *)0xffffffffff600400; long t = 0, t2 = time(0);
    CHECK("the vsyscall page tells the time", (t = vsyscall_time(0)) >= t2 && t <= t2 + 2);
    struct timeval tv = {0}; int (*vsyscall_day)(struct timeval *, void *) = (void *)0xffffffffff600000;
    CHECK("and the time of day", vsyscall_day(&tv, 0) == 0 && tv.tv_sec >= t2);
    // The red zone: a leaf's bytes below the stack pointer outlive a handler.
    unsigned long red, want = 0x1122334455667788; long nr = SYS_kill;
    __asm__ volatile("mov %2, -120(%%rsp)\n\tsyscall\n\tmov -120(%%rsp), %0" : "=&r"(red), "+a"(nr) : "r"(want), "D"((long)getpid()), "S"((long)SIGUSR1) : "rcx", "r11", "memory");
    CHECK("the red zone survives a signal", red == want);
    unsigned long rcx, r11, after; nr = SYS_getpid;
    __asm__ volatile("syscall\n\t1: lea 1b(%%rip), %2" : "+a"(nr), "=c"(rcx), "=&r"(after) : : "r11", "memory");
    __asm__ volatile("mov %%r11, %0" : "=r"(r11));
    CHECK("syscall leaves the return address in RCX", rcx == after);
    unsigned long by_old_gate = 20; __asm__ volatile("int $0x80" : "+a"(by_old_gate) : : "r8", "r9", "r10", "r11", "memory");
    CHECK("INT 80 takes numbers of i386", by_old_gate == (unsigned long)getpid());
    CHECK("32-bit mappings on request", (uintptr_t)mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x40, -1, 0) < 1ul << 31);
#else
    unsigned short gs; __asm__ volatile("mov %%gs, %0" : "=r"(gs));
    CHECK("the thread's segment is entry 12", gs == (12 << 3 | 3) && fs == 0);
    struct user_desc ta = {.entry_number = -1, .base_addr = (unsigned)table, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1, .useable = 1};
    table[1] = 4711; unsigned got;
    CHECK("set_thread_area finds a free entry", syscall(SYS_set_thread_area, &ta) == 0 && ta.entry_number == 13);
    selector = 13 << 3 | 3;
    __asm__ volatile("mov %1, %%fs\n\tmov %%fs:4, %0" : "=r"(got) : "r"(selector));
    CHECK("and FS reaches it", got == 4711);
    ta.base_addr += 4; syscall(SYS_set_thread_area, &ta); __asm__ volatile("mov %%fs:0, %0" : "=r"(got));
    CHECK("a change is seen at once", got == 4711 && ({ struct user_desc r = {.entry_number = 13}; syscall(SYS_get_thread_area, &r) == 0 && r.base_addr == ta.base_addr; }));
    ta.entry_number = 6;
    CHECK("entries of 32-bit kernels are not there", syscall(SYS_set_thread_area, &ta) < 0 && errno == EINVAL);
    if (!sigsetjmp(back, 1)) __asm__ volatile("into" ::: "cc"); // no overflow: no trap
    __asm__ volatile("mov %0, %%fs" ::"r"(0));
    // calls that only i386 has
    int sv[2]; unsigned long args[4] = {AF_UNIX, SOCK_STREAM, 0, (unsigned long)sv};
    CHECK("socketcall", syscall(SYS_socketcall, 8, args) == 0 && write(sv[0], "x", 1) == 1);
    fd_set in_set; FD_ZERO(&in_set); FD_SET(sv[1], &in_set); struct timeval wait = {2, 0};
    unsigned long sel[5] = {sv[1] + 1, (unsigned long)&in_set, 0, 0, (unsigned long)&wait};
    CHECK("old select", syscall(82, sel) == 1 && FD_ISSET(sv[1], &in_set) && wait.tv_sec <= 2);
    unsigned long map[6] = {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}; char *m = (char *)syscall(90, map);
    CHECK("old mmap", (unsigned long)m < 0xfffff000 && (m[4095] = 1));
    unsigned short uids[3] = {7, 7, 7};
    CHECK("16-bit identities", syscall(24) == (getuid() > 65535 ? 65534 : getuid()) && syscall(165, uids, uids + 1, uids + 2) == 0 && uids[1] == (unsigned short)geteuid());
    char name[400] = {0}; CHECK("old uname", syscall(109, name) == 0 && !strcmp(name, "Linux") && syscall(59, name) == 0 && !strcmp(name, "Linux"));
    int p[2]; unsigned long old_mask = 0; sigset_t now; pipe(p);
    CHECK("sgetmask and ssetmask", syscall(SYS_ssetmask, 1 << (SIGUSR2 - 1)) >= 0 && syscall(SYS_sgetmask) == 1 << (SIGUSR2 - 1) && syscall(SYS_sigprocmask, SIG_SETMASK, &old_mask, 0) == 0 && sigprocmask(0, 0, &now) == 0 && !sigismember(&now, SIGUSR2));
    long long where = -1; int fd = memfd_create("x", 0);
    CHECK("_llseek beyond 4 GiB", syscall(SYS__llseek, fd, 1, 16, &where, SEEK_SET) == 0 && where == 0x100000010);
    CHECK("lseek cuts it to 32 bits", syscall(SYS_lseek, fd, 0, SEEK_CUR) == 16);
    long id = syscall(SYS_ipc, 23, 0, 8192, 01600, 0, 0), at = 0;
    CHECK("ipc attaches a segment", id >= 0 && syscall(SYS_ipc, 21, id, 0, &at, 0, 0) == 0 && (*(int *)at = 5) && syscall(SYS_ipc, 22, 0, 0, 0, at) == 0 && syscall(SYS_ipc, 24, id, 0, 0, 0) == 0);
    struct { int seconds, microseconds; } tv32; long long tv64[2];
    CHECK("times of 32 and 64 bits agree", syscall(SYS_gettimeofday, &tv32, 0) == 0 && syscall(403, 0, tv64) == 0 && tv64[0] - tv32.seconds <= 1);
#endif
    if (!sigsetjmp(back, 1)) {
#ifdef __x86_64__
        __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop" ::: "memory", "cc");
#else
        __asm__ volatile("pushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\tnop\n\tnop" ::: "memory", "cc");
#endif
    }
    CHECK("a single step is TRAP_TRACE", signal_number == SIGTRAP && code == TRAP_TRACE && trap_number == 1);
    return finish();
}
