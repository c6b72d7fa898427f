// mmap and its relatives: placement, protection, remapping, break, shared segments, files.
#include "probe.h"
#include <sys/shm.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/msg.h>
#include <setjmp.h>
#include <sys/uio.h>

static sigjmp_buf back;
static void on_fault(int s) { (void)s; siglongjmp(back, 1); }
static int faults(volatile char *p) { if (sigsetjmp(back, 1)) return 1; (void)*p; return 0; }
static int faults_writing(volatile char *p) { if (sigsetjmp(back, 1)) return 1; *p = *p; return 0; }
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

int main(void) {
    begin();
    signal(SIGSEGV, on_fault); signal(SIGBUS, on_fault);
    char *a = mmap(0, 10 * 4096, RW, ANON, -1, 0);
    CHECK("mmap is in user space", a != MAP_FAILED && (uintptr_t)a < SPACE_END);
    char *hint = FREE_HINT;
    CHECK("a free hint is honoured", mmap(hint, 4096, RW, ANON, -1, 0) == hint);
    char *other = mmap(hint, 4096, RW, ANON, -1, 0);
    CHECK("a taken hint is not", other != hint && other != MAP_FAILED);
    CHECK("NOREPLACE refuses", mmap(hint, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    hint[0] = 1;
    CHECK("FIXED replaces", mmap(hint, 4096, RW, ANON | MAP_FIXED, -1, 0) == hint && hint[0] == 0);
    CHECK("FIXED above user space is ENOMEM", mmap(OUTSIDE, 4096, RW, ANON | MAP_FIXED, -1, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK("a high hint is ignored", (uintptr_t)mmap(OUTSIDE, 4096, RW, ANON, -1, 0) < SPACE_END);
    CHECK("length 0 is EINVAL", mmap(0, 0, RW, ANON, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK("a huge length is ENOMEM", mmap(0, HUGE_LENGTH, RW, ANON, -1, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK("much without reserve", mmap(0, LARGE_LENGTH, PROT_NONE, ANON | MAP_NORESERVE, -1, 0) != MAP_FAILED);
    CHECK("a bad descriptor is EBADF", mmap(0, 4096, RW, MAP_PRIVATE, 999, 0) == MAP_FAILED && errno == EBADF);
    memset(a, 7, 10 * 4096);
    CHECK("mprotect takes writing away", mprotect(a + 4096, 4096, PROT_READ) == 0 && faults_writing(a + 4096) && !faults_writing(a));
    CHECK("mprotect none", mprotect(a + 8192, 4096, PROT_NONE) == 0 && faults(a + 8192));
    CHECK("and back", mprotect(a, 10 * 4096, RW) == 0 && a[8192] == 7 && !faults_writing(a + 4096));
    munmap(a + 5 * 4096, 4096);
    CHECK("munmap makes a hole", faults(a + 5 * 4096) && !faults(a + 6 * 4096) && !faults(a + 4 * 4096));
    CHECK("mprotect over a hole is ENOMEM", mprotect(a, 10 * 4096, PROT_READ) < 0 && errno == ENOMEM);
    CHECK("munmap of nothing is fine", munmap(a + 5 * 4096, 4096) == 0);
    CHECK("munmap unaligned is EINVAL", munmap(a + 1, 4096) < 0 && errno == EINVAL);
    char *m = mmap(0, 3 * 4096, RW, ANON, -1, 0); strcpy(m + 4096, "moved");
    char *wall = mmap(m + 3 * 4096, 4096, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0); (void)wall;
    char *g = mremap(m, 3 * 4096, 100 * 4096, MREMAP_MAYMOVE);
    CHECK("mremap moves to grow", g != MAP_FAILED && !strcmp(g + 4096, "moved") && faults(m));
    CHECK("mremap shrinks in place", mremap(g, 100 * 4096, 2 * 4096, 0) == g && faults(g + 2 * 4096) && !strcmp(g + 4096, "moved"));
    CHECK("mremap grows in place", mremap(g, 2 * 4096, 4 * 4096, 0) == g && g[3 * 4096] == 0);
    char *dst = mmap(0, 8 * 4096, PROT_NONE, ANON, -1, 0);
    CHECK("mremap to a fixed place", mremap(g, 4 * 4096, 4 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, dst) == dst && !strcmp(dst + 4096, "moved"));
    char *d = mremap(dst, 4 * 4096, 4 * 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    CHECK("mremap DONTUNMAP leaves zero pages", d != MAP_FAILED && !strcmp(d + 4096, "moved") && dst[4096] == 0);
    char *b0 = sbrk(0);
    CHECK("brk grows", sbrk(100000) == b0 && (b0[99999] = 1));
    CHECK("brk is page-rounded memory that is zero again after shrinking", brk(b0) == 0 && sbrk(200000) == b0 && b0[99999] == 0);
    int big = 1; for (int i = 0; i < 512; i++) if (sbrk(1 << 20) == (void *)-1) big = 0;
    CHECK("brk grows by 512 MB", big);
    CHECK("brk refuses nonsense", brk(OUTSIDE) < 0 && errno == ENOMEM);
    mprotect(a, 4096, RW);
    int fd = memfd_create("m", 0); ftruncate(fd, 8192);
    char *s1 = mmap(0, 8192, RW, MAP_SHARED, fd, 0), *s2 = mmap(0, 8192, PROT_READ, MAP_SHARED, fd, 0);
    strcpy(s1, "alias");
    char buf[16] = {0}; pread(fd, buf, 5, 0);
    CHECK("shared views agree", !strcmp(s2, "alias") && !strcmp(buf, "alias"));
    char *p = mmap(0, 4096, RW, MAP_PRIVATE, fd, 0); p[0] = 'X';
    CHECK("private views do not leak", s1[0] == 'a');
    CHECK("msync", msync(s1, 8192, MS_SYNC) == 0);
    char *sh = mmap(0, 4096, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t kid = fork(); if (!kid) { sh[0] = 9; a[0] = 100; _exit(0); } waitpid(kid, 0, 0);
    CHECK("shared anonymous memory crosses fork, private does not", sh[0] == 9 && a[0] == 7);
    char *z = mmap(0, 4096, RW, ANON, -1, 0); z[0] = 5;
    CHECK("MADV_DONTNEED zeroes", madvise(z, 4096, MADV_DONTNEED) == 0 && z[0] == 0);
    CHECK("unknown advice is EINVAL", madvise(z, 4096, 12345) < 0 && errno == EINVAL);
    z[0] = 5; madvise(z, 4096, MADV_WIPEONFORK);
    kid = fork(); if (!kid) _exit(z[0] == 0 ? 0 : 1); int st; waitpid(kid, &st, 0);
    CHECK("MADV_WIPEONFORK", st == 0);
    unsigned char vec[10];
    CHECK("mincore", mincore(z, 4096, vec) == 0 && (vec[0] & 1));
    int id = shmget(IPC_PRIVATE, 10000, 0600 | IPC_CREAT);
    char *sm = shmat(id, 0, 0);
    CHECK("shmat", sm != (void *)-1 && (uintptr_t)sm < SPACE_END && (sm[9999] = 3));
    struct shmid_ds ds;
    CHECK("shmctl", shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_segsz == 10000 && ds.shm_nattch == 1);
    char *sm2 = shmat(id, 0, SHM_RDONLY);
    CHECK("second attachment is the same memory, read-only", sm2[9999] == 3 && faults_writing(sm2));
    CHECK("shmdt", shmdt(sm) == 0 && faults(sm) && shmdt(sm2) == 0);
    shmctl(id, IPC_RMID, 0);
    int sem = semget(IPC_PRIVATE, 3, 0600);
    union { int val; struct semid_ds *buf; } un; struct semid_ds sd; un.buf = &sd;
    CHECK("semctl", semctl(sem, 0, IPC_STAT, un) == 0 && sd.sem_nsems == 3 && sd.sem_ctime > 1000000000);
    struct sembuf so = {1, 2, 0}; CHECK("semop", semop(sem, &so, 1) == 0 && semctl(sem, 1, GETVAL) == 2);
    semctl(sem, 0, IPC_RMID);
    int mq = msgget(IPC_PRIVATE, 0600); struct { long t; char x[8]; } mb = {4, "msg"}, mr;
    CHECK("message queues", msgsnd(mq, &mb, 8, 0) == 0 && msgrcv(mq, &mr, 8, 4, 0) == 8 && !strcmp(mr.x, "msg"));
    msgctl(mq, IPC_RMID, 0);
    struct iovec l = {buf, 5}, r = {s1, 5};
    CHECK("process_vm_readv on itself", process_vm_readv(getpid(), &l, 1, &r, 1, 0) == 5);
    int pp[2]; pipe(pp);
    char *edge = mmap(0, 8192, RW, ANON, -1, 0); munmap(edge + 4096, 4096);
    CHECK("write from a half-mapped buffer is short", pwrite(fd, edge + 4096 - 96, 200, 0) == 96);
    write(pp[1], "0123456789", 10);
    CHECK("read into read-only memory is EFAULT", read(pp[0], s2, 10) < 0 && errno == EFAULT);
    CHECK("a bad path pointer is EFAULT", open((char *)16, O_RDONLY) < 0 && errno == EFAULT);
    CHECK("a bad stat buffer is EFAULT", syscall(SYS_fstat, 0, 16) < 0 && errno == EFAULT);
    // 65536 pieces stay manageable
    char *many = mmap(0, 4000 * 4096, RW, ANON, -1, 0); int fine = 1;
    for (int i = 0; i < 4000; i += 2) if (mprotect(many + i * 4096, 4096, PROT_READ)) fine = 0;
    CHECK("thousands of regions", fine && munmap(many, 4000 * 4096) == 0);
    char *x = mmap(0, 4096, RW | PROT_EXEC, ANON, -1, 0);
    unsigned char code[] = RETURN_CONSTANT(42), code2[] = RETURN_CONSTANT(43), code3[] = RETURN_CONSTANT(44);
    memcpy(x, code, 8); __builtin___clear_cache(x, x + 8);
    CHECK("code written at run time", ((int (*)(void))x)() == 42);
    memcpy(x, code2, 8); __builtin___clear_cache(x, x + 8);
    CHECK("and rewritten", ((int (*)(void))x)() == 43);
    mmap(x, 4096, RW | PROT_EXEC, ANON | MAP_FIXED, -1, 0);
    memcpy(x, code3, 8); __builtin___clear_cache(x, x + 8);
    CHECK("and mapped over", ((int (*)(void))x)() == 44);
    return finish();
}
