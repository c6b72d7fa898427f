#define _GNU_SOURCE
#include "events.h"
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

int guise_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int guise_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK); }

int guise_timerfd_arm(int descriptor, uint64_t nanoseconds) {
    struct itimerspec when = {{0, 0}, {0, 0}};
    if (nanoseconds != UINT64_MAX) {
        if (nanoseconds == 0) nanoseconds = 1; // a zero it_value would disarm
        when.it_value.tv_sec = (time_t)(nanoseconds / 1000000000u);
        when.it_value.tv_nsec = (long)(nanoseconds % 1000000000u);
    }
    return timerfd_settime(descriptor, 0, &when, 0);
}

int guise_termination_signalfd(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    if (pthread_sigmask(SIG_BLOCK, &set, 0) != 0) return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int guise_signalfd_take(int descriptor) {
    struct signalfd_siginfo information;
    return read(descriptor, &information, sizeof information) == sizeof information ? (int)information.ssi_signo : 0;
}
