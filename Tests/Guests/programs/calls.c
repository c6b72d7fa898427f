// calls SEED CHILDREN CALLS: children that make random system calls with arguments that mean harm. A child may end as it
// likes, but not by a signal that only a fault of the emulator explains. Run it in a directory of its own, without power
// over anything: in a user and process namespace.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;
static uint64_t next(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

// Not called: what reaches other processes or the whole machine, what replaces this program, and what loads registers
// from garbage, after which any end is right.
static const int forbidden[] = {
    SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_reboot, SYS_rt_sigreturn, SYS_vhangup,
    SYS_swapon, SYS_swapoff, SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_setdomainname,
    SYS_sethostname, SYS_init_module, SYS_delete_module, SYS_finit_module, SYS_syslog, SYS_acct, SYS_mount, SYS_umount2,
    SYS_pivot_root, SYS_chroot, SYS_setns, SYS_ptrace, SYS_execve, SYS_execveat, SYS_exit_group, SYS_exit, SYS_setpriority,
    SYS_close_range, SYS_sync, SYS_syncfs, SYS_process_vm_writev,
#ifdef SYS_pidfd_send_signal
    SYS_pidfd_send_signal,
#endif
#ifdef SYS_process_madvise
    SYS_process_madvise,
#endif
#ifdef SYS_kexec_load
    SYS_kexec_load,
#endif
#ifdef SYS_clone3
    SYS_clone3,
#endif
#ifdef SYS_vfork
    SYS_vfork,
#endif
#ifdef SYS_fork
    SYS_fork,
#endif
#ifdef SYS_sigreturn
    SYS_sigreturn,
#endif
#ifdef SYS_umount
    SYS_umount,
#endif
#ifdef SYS_stime
    SYS_stime,
#endif
#ifdef SYS_ipc
    SYS_ipc,
#endif
#ifdef SYS_uselib
    SYS_uselib,
#endif
    SYS_clone,
#ifdef __x86_64__
    335, 336, // uretprobe and uprobe of newer kernels: SIGILL
#endif
};

// Calls that change mappings: not on this program's own code and stack, without which it cannot go on.
static const int mapping[] = {
    SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk, SYS_remap_file_pages, SYS_shmat, SYS_mlock,
#ifdef SYS_mmap
    SYS_mmap,
#endif
#ifdef SYS_mmap2
    SYS_mmap2,
#endif
#ifdef SYS_pkey_mprotect
    SYS_pkey_mprotect,
#endif
};

static int isIn(const int *list, unsigned count, int number) {
    for (unsigned i = 0; i < count; i++)
        if (list[i] == number) return 1;
    return 0;
}
#define COUNT(list) (sizeof(list) / sizeof *(list))

static char *scratch, *readOnly, *edge;
enum { scratchSize = 1 << 16 };
static const char *names[] = {"a", "b", "dir", "dir/c", "", ".", "missing/x", "/proc/self/maps", "/proc/self/fd/3", "dir/b"};

static uintptr_t hostile(void) {
    static const uint64_t places[] = {
        0, 1, 0xfff, 0x1000, 0x7fffffff, 0x80000000, 0xfffff000, 0xffffffff, 0x100000000, 0x555555554000, 0x55555fffffff,
        0x7f0000000000, 0x7ffff7ff0000, 0x7fffffffe000, 0x7ffffffff000, 0x800000000000, 0x3ffffff000, 0x4000000000,
        0xffff800000000000, 0xffffffffff600000, 0xfffffffffffff000, 0xffffffffffffffff, 0x8000000000000000, 0x7fffffffffffffff,
    };
    return (uintptr_t)places[next() % COUNT(places)] + (next() % 4 ? 0 : next() % 64);
}

static long argument(int position, int number) {
    uint64_t r = next();
    switch (r % 24) {
    case 0: return 0;
    case 1: return -1;
    case 2: return (long)(r >> 8 & 15);
    case 3: return (long)(r >> 8 & 4095);
    case 4: return (long)(1ull << (r >> 8 & 63));
    case 5: return (long)(r >> 8);
    case 6: return (long)next();
    case 7: case 8: return (long)hostile();
    case 9: return (long)(uintptr_t)(edge + 4096 - (r >> 8) % 40);
    case 10: return (long)(uintptr_t)(readOnly + (r >> 8) % 4096);
    case 11: return (long)((r >> 8 & 0xffff) * 4096);
    case 12: case 13: return (long)(uintptr_t)names[(r >> 8) % COUNT(names)];
    case 14: return (long)(hostile() & ~4095ul);
    case 15: return isIn(mapping, COUNT(mapping), number) ? (long)hostile() : (long)(uintptr_t)&number;
    default:
        // Descriptors first, then pointers.
        if (position == 0 && r >> 8 & 1) return (long)(3 + (r >> 16) % 24);
        return (long)(uintptr_t)(scratch + (r >> 8) % (scratchSize - 256));
    }
}

// What pointers lead to: numbers and pointers as those above.
static void fill(void) {
    for (int i = 0; i < 64; i++) {
        long value = argument(1, 0);
        size_t at = next() % (scratchSize - 8);
        if (next() % 4) at &= ~7ul;
        memcpy(scratch + at, &value, next() & 1 ? 8 : 4);
    }
}

static void child(unsigned calls) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    scratch = mmap(0, scratchSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    readOnly = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    edge = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    int pair[2];
    if (pipe(pair) || open("a", O_RDWR | O_CREAT, 0600) < 0 || open(".", O_RDONLY) < 0) _exit(2);
    for (unsigned call = 0; call < calls; call++) {
        if (call % 16 == 0) fill();
        int number = (int)(next() % 470);
        if (isIn(forbidden, COUNT(forbidden), number)) continue;
        long a[6];
        for (int i = 0; i < 6; i++) a[i] = argument(i, number);
        // What the parent hears, and the emulator's own words, go through these.
        if ((number == SYS_close || number == SYS_dup3 || number == SYS_dup || number == SYS_fcntl) && (unsigned long)a[0] < 3) continue;
        if (number == SYS_dup3 && (unsigned)a[1] < 3) continue;
#ifdef SYS_dup2
        if (number == SYS_dup2 && (unsigned)a[1] < 3) continue;
#endif
        if ((number == SYS_setrlimit || number == SYS_prlimit64) && next() % 8) continue;
        if (getenv("CALLS_TRACE"))
            fprintf(stderr, "%d(%lx, %lx, %lx, %lx, %lx, %lx)\n", number, a[0], a[1], a[2], a[3], a[4], a[5]);
        syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    uint64_t seed = strtoull(argv[1], 0, 0);
    unsigned children = (unsigned)atoi(argv[2]), calls = (unsigned)atoi(argv[3]), suspicious = 0, killed = 0;
    mkdir("dir", 0700);
    for (unsigned i = 0; i < children; i++) {
        state = seed + i;
        next();
        pid_t pid = fork();
        if (pid == 0) child(calls);
        if (pid < 0) return 3;
        int status = 0, waited = 0;
        while (waitpid(pid, &status, WNOHANG) == 0) {
            // It waits for something, as it may: it has had its time.
            if (++waited == 250) {
                kill(pid, SIGKILL);
                killed++;
            }
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, 0);
        }
        int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        if (signal == SIGILL || signal == SIGTRAP || signal == SIGABRT) {
            printf("seed %llu: the child ended by signal %d\n", (unsigned long long)(seed + i), signal);
            suspicious++;
        }
    }
    printf("%u children, %u suspicious\n", children, suspicious);
    fprintf(stderr, "%u killed\n", killed);
    return suspicious != 0;
}
