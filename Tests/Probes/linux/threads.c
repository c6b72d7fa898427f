// Threads, futexes, robust and priority-inheriting mutexes, thread-local storage, exits.
#include "probe.h"
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <semaphore.h>

static __thread int tls = 5;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static long counter;
static void *count_up(void *n) {
    tls = (int)(long)n;
    for (int i = 0; i < 5000; i++) {
        pthread_mutex_lock(&m);
        counter++;
        pthread_mutex_unlock(&m);
        __atomic_add_fetch((long *)&m + 8, 0, __ATOMIC_SEQ_CST);
    }
    return (void *)(long)(tls == (int)(long)n);
}
static pthread_mutex_t robust;
static void *lock_and_die(void *unused) { (void)unused; pthread_mutex_lock(&robust); return 0; }
static void *sleeper(void *unused) { (void)unused; for (;;) pause(); }
static int cancelled;
static void cleanup(void *unused) { (void)unused; cancelled = 1; }
static void *cancel_me(void *unused) {
    (void)unused;
    pthread_cleanup_push(cleanup, 0);
    for (;;) sleep(1);
    pthread_cleanup_pop(0);
    return 0;
}
static void *quick(void *p) { return p; }
static void *exit_group_later(void *unused) { (void)unused; msleep(30); exit(9); }
static void *exec_from_thread(void *unused) { (void)unused; char *a[] = {"probe", "exec-target", 0}; execv("/proc/self/exe", a); return 0; }
static pthread_cond_t cv = PTHREAD_COND_INITIALIZER; static int ready;
static void *signaller(void *u) { (void)u; msleep(10); pthread_mutex_lock(&m); ready = 1; pthread_cond_broadcast(&cv); pthread_mutex_unlock(&m); return 0; }
static void *fork_in_thread(void *u) {
    (void)u; pid_t p = fork();
    if (p == 0) { pthread_t t; if (pthread_create(&t, 0, quick, (void *)1)) _exit(1); void *r; pthread_join(t, &r); _exit(r == (void *)1 ? 11 : 2); }
    int s; waitpid(p, &s, 0); return (void *)(long)(WIFEXITED(s) && WEXITSTATUS(s) == 11);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "exec-target")) _exit(getpid() == syscall(SYS_gettid) ? 13 : 1);
    pthread_t t[8];
    void *result;
    begin();
    for (long i = 0; i < 8; i++) pthread_create(&t[i], 0, count_up, (void *)i);
    int tls_good = 1;
    for (int i = 0; i < 8; i++) { pthread_join(t[i], &result); tls_good &= result == (void *)1; }
    CHECK("a mutex counts right under contention", counter == 40000);
    CHECK("thread-local storage is per thread", tls_good && tls == 5);
    int many = 1;
    for (int i = 0; i < 300; i++) { if (pthread_create(&t[0], 0, quick, (void *)(long)i)) { many = 0; break; } pthread_join(t[0], &result); many &= result == (void *)(long)i; }
    CHECK("300 threads one after the other", many);
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &a);
    pthread_create(&t[0], 0, lock_and_die, 0);
    pthread_join(t[0], 0);
    struct timespec soon; clock_gettime(CLOCK_REALTIME, &soon); soon.tv_sec += 2;
    CHECK("a robust mutex survives its thread", pthread_mutex_timedlock(&robust, &soon) == EOWNERDEAD);
    pthread_mutex_consistent(&robust); pthread_mutex_unlock(&robust);
    pthread_mutex_t *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_setpshared(&a, 1);
    pthread_mutex_init(shared, &a);
    if (fork() == 0) { pthread_mutex_lock(shared); _exit(0); }
    wait(0);
    clock_gettime(CLOCK_REALTIME, &soon); soon.tv_sec += 2;
    CHECK("a robust mutex survives its process", pthread_mutex_timedlock(shared, &soon) == EOWNERDEAD);
    pthread_mutexattr_init(&a); pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
    pthread_mutex_t pi; CHECK("a PI mutex", pthread_mutex_init(&pi, &a) == 0 && pthread_mutex_lock(&pi) == 0 && pthread_mutex_unlock(&pi) == 0);
    pthread_create(&t[0], 0, signaller, 0);
    pthread_mutex_lock(&m); while (!ready) pthread_cond_wait(&cv, &m); pthread_mutex_unlock(&m); pthread_join(t[0], 0);
    CHECK("a condition variable", ready);
    pthread_create(&t[0], 0, cancel_me, 0); msleep(20); pthread_cancel(t[0]); pthread_join(t[0], &result);
    CHECK("cancellation", result == PTHREAD_CANCELED && cancelled);
    pthread_create(&t[0], 0, fork_in_thread, 0); pthread_join(t[0], &result);
    CHECK("fork in a thread, threads in the child", result == (void *)1);
    uint32_t word = 1; struct timespec ms = {0, 10000000};
    CHECK("futex wait times out", syscall(SYS_futex, &word, FUTEX_WAIT, 1, &ms, 0, 0) < 0 && errno == ETIMEDOUT);
    CHECK("futex wait notices another value", syscall(SYS_futex, &word, FUTEX_WAIT, 2, &ms, 0, 0) < 0 && errno == EAGAIN);
    CHECK("membarrier", syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) >= 0);
    sem_t sem; sem_init(&sem, 0, 0); clock_gettime(CLOCK_REALTIME, &soon); soon.tv_nsec = 0;
    CHECK("sem_timedwait", sem_timedwait(&sem, &soon) < 0 && errno == ETIMEDOUT);
    pid_t p = fork();
    if (p == 0) { pthread_create(&t[0], 0, exit_group_later, 0); pthread_exit(0); }
    int s; waitpid(p, &s, 0);
    CHECK("the main thread may end first", WIFEXITED(s) && WEXITSTATUS(s) == 9);
    p = fork();
    if (p == 0) { for (int i = 0; i < 3; i++) pthread_create(&t[i], 0, sleeper, 0); msleep(10); _exit(6); }
    waitpid(p, &s, 0);
    CHECK("exit_group ends sleeping threads", WIFEXITED(s) && WEXITSTATUS(s) == 6);
    p = fork();
    if (p == 0) { pthread_create(&t[0], 0, exec_from_thread, 0); pause(); }
    waitpid(p, &s, 0);
    CHECK("execve from a thread takes over the process", WIFEXITED(s) && WEXITSTATUS(s) == 13);
    pthread_attr_t attr; void *base; size_t size;
    pthread_getattr_np(pthread_self(), &attr); pthread_attr_getstack(&attr, &base, &size);
    CHECK("pthread_getattr_np finds the stack", (char *)&size > (char *)base && (char *)&size < (char *)base + size);
    return finish();
}
