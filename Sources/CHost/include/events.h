// Event descriptors that Swift's Glibc module does not show.
#pragma once
#include <stdint.h>

// A non-blocking, close-on-exec eventfd at zero, or -1.
int guise_eventfd(void);
// A non-blocking, close-on-exec timerfd on CLOCK_MONOTONIC, or -1.
int guise_timerfd(void);
// Arms a timerfd to expire once after `nanoseconds` (0 is at once); UINT64_MAX disarms. Returns 0 or -1.
int guise_timerfd_arm(int descriptor, uint64_t nanoseconds);
// Blocks SIGTERM, SIGHUP, SIGINT and SIGQUIT in the calling thread and returns a non-blocking signalfd for them, or -1.
int guise_termination_signalfd(void);
// The number of one signal read from that descriptor, or 0 when none waits.
int guise_signalfd_take(int descriptor);
