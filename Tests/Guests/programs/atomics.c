// Threads that hammer one cache line with every kind of atomic: adds, swaps, compare and swap in 32 and 64 bits,
// a spinlock, a ticket lock, message passing with release and acquire, and thread-local storage.
// Usage: atomics [ITERATIONS]. Prints `atomics ok`.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sched.h>

enum { workers = 4 };
static long iterations;
static struct {
    atomic_uint_least32_t add32, lock, next, serving;
    atomic_uint_least64_t add64, cas64, xor64, max64;
    uint64_t locked, ticketed;
} shared;
static _Thread_local uint64_t mine;
static struct { atomic_ulong ready; unsigned long data[8]; atomic_ulong taken; } mail;

static void *worker(void *argument) {
    uint64_t id = (uintptr_t)argument;
    for (long i = 0; i < iterations; i++) {
        atomic_fetch_add(&shared.add32, 1);
        atomic_fetch_add_explicit(&shared.add64, 3, memory_order_relaxed);
        atomic_fetch_xor(&shared.xor64, (uint64_t)1 << (id * 8 + i % 8));
        uint64_t old = atomic_load(&shared.cas64);
        while (!atomic_compare_exchange_weak(&shared.cas64, &old, old + 5)) {}
        old = atomic_load(&shared.max64);
        uint64_t want = (uint64_t)i * workers + id;
        while (old < want && !atomic_compare_exchange_strong(&shared.max64, &old, want)) {}
        while (atomic_exchange_explicit(&shared.lock, 1, memory_order_acquire)) sched_yield();
        shared.locked++;
        atomic_store_explicit(&shared.lock, 0, memory_order_release);
        uint32_t ticket = atomic_fetch_add(&shared.next, 1);
        while (atomic_load_explicit(&shared.serving, memory_order_acquire) != ticket) sched_yield();
        shared.ticketed++;
        atomic_store_explicit(&shared.serving, ticket + 1, memory_order_release);
        mine += i;
    }
    return mine == (uint64_t)iterations * (iterations - 1) / 2 ? NULL : (void *)1;
}

static void *sender(void *unused) {
    (void)unused;
    for (unsigned long i = 1; i <= (unsigned long)iterations; i++) {
        for (int k = 0; k < 8; k++) mail.data[k] = i * (k + 1);
        atomic_store_explicit(&mail.ready, i, memory_order_release);
        while (atomic_load_explicit(&mail.taken, memory_order_acquire) != i) sched_yield();
    }
    return NULL;
}
static void *receiver(void *unused) {
    (void)unused;
    for (unsigned long i = 1; i <= (unsigned long)iterations; i++) {
        while (atomic_load_explicit(&mail.ready, memory_order_acquire) != i) sched_yield();
        for (int k = 0; k < 8; k++) if (mail.data[k] != i * (k + 1)) return (void *)1;
        atomic_store_explicit(&mail.taken, i, memory_order_release);
    }
    return NULL;
}

int main(int argc, char **argv) {
    iterations = argc > 1 ? atol(argv[1]) : 20000;
    pthread_t threads[workers + 2];
    int bad = 0;
    for (uintptr_t i = 0; i < workers; i++) if (pthread_create(&threads[i], NULL, worker, (void *)i)) return 2;
    if (pthread_create(&threads[workers], NULL, sender, NULL) || pthread_create(&threads[workers + 1], NULL, receiver, NULL)) return 2;
    for (int i = 0; i < workers + 2; i++) { void *result; pthread_join(threads[i], &result); bad |= result != NULL; }
    uint64_t total = (uint64_t)workers * iterations;
    if (bad || shared.add32 != total || shared.add64 != total * 3 || shared.cas64 != total * 5 || shared.locked != total
        || shared.ticketed != total || shared.max64 != total - 1) {
        printf("atomics: wrong sums: bad %d add32 %u add64 %llu cas %llu locked %llu tickets %llu\n", bad, (unsigned)shared.add32,
            (unsigned long long)shared.add64, (unsigned long long)shared.cas64, (unsigned long long)shared.locked,
            (unsigned long long)shared.ticketed);
        return 1;
    }
    puts("atomics ok");
    return 0;
}
