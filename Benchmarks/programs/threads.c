// Four threads that share counters under a mutex, an atomic, and a queue with a condition variable.
// Usage: threads [ITERATIONS]. Self check: nothing is lost.
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { workers = 4, depth = 64 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t notEmpty = PTHREAD_COND_INITIALIZER, notFull = PTHREAD_COND_INITIALIZER;
static uint64_t counter, queue[depth], taken;
static unsigned head, count;
static atomic_ullong atomicSum;
static long iterations;

static uint64_t work(uint64_t x) {
    for (int i = 0; i < 20; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; }
    return x;
}

static void *worker(void *argument) {
    uint64_t x = (uintptr_t)argument + 1;
    for (long i = 0; i < iterations; i++) {
        x = work(x);
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        atomic_fetch_add(&atomicSum, x & 0xff);
        if (i % 64 == 0) {
            pthread_mutex_lock(&lock);
            while (count == depth) pthread_cond_wait(&notFull, &lock);
            queue[(head + count++) % depth] = 1;
            pthread_cond_signal(&notEmpty);
            pthread_mutex_unlock(&lock);
        }
    }
    return (void *)(uintptr_t)x;
}

static void *drain(void *unused) {
    (void)unused;
    long want = workers * ((iterations + 63) / 64);
    for (long i = 0; i < want; i++) {
        pthread_mutex_lock(&lock);
        while (!count) pthread_cond_wait(&notEmpty, &lock);
        taken += queue[head];
        head = (head + 1) % depth;
        count--;
        pthread_cond_signal(&notFull);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(int argc, char **argv) {
    iterations = argc > 1 ? atol(argv[1]) : 400000;
    pthread_t threads[workers], drainer;
    uint64_t sum = 0;
    if (pthread_create(&drainer, NULL, drain, NULL)) { perror("pthread_create"); return 1; }
    for (uintptr_t i = 0; i < workers; i++)
        if (pthread_create(&threads[i], NULL, worker, (void *)i)) { perror("pthread_create"); return 1; }
    for (int i = 0; i < workers; i++) { void *result; pthread_join(threads[i], &result); sum ^= (uintptr_t)result; }
    pthread_join(drainer, NULL);
    if (counter != (uint64_t)(workers * iterations) || taken != (uint64_t)(workers * ((iterations + 63) / 64))) {
        printf("threads: lost updates, %llu\n", (unsigned long long)counter);
        return 1;
    }
    printf("threads %ld %016llx %llu\n", iterations, (unsigned long long)sum, (unsigned long long)atomicSum);
    return 0;
}
