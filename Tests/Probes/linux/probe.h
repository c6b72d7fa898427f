// What every probe uses: one line "ok NAME" or "FAIL NAME" per claim, and "done" at the end.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failures;
#define CHECK(name, condition)                                                                                        \
    do {                                                                                                              \
        int good_ = (condition);                                                                                      \
        if (!good_) failures++;                                                                                       \
        printf("%s %s%s%s\n", good_ ? "ok" : "FAIL", name, good_ ? "" : ": " #condition " errno ",                    \
               good_ ? "" : strerror(errno));                                                                         \
        fflush(stdout);                                                                                               \
    } while (0)
// Whoever runs the probe may have blocked or ignored signals.
static inline void begin(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, 0);
    for (int s = 1; s < 32; s++) signal(s, SIG_DFL);
}
static inline int finish(void) {
    printf("done\n");
    fflush(stdout);
    return failures != 0;
}
static inline void msleep(long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0 && errno == EINTR) {}
}
static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
