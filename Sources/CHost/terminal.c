#define _GNU_SOURCE
#include "terminal.h"
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static int terminal;
static atomic_int raw;

void guise_terminal_restore(void) {
    int yes = 1;
    int before = errno;
    if (atomic_compare_exchange_strong(&raw, &yes, 0)) tcsetattr(terminal, TCSANOW, &saved);
    errno = before;
}

// Signals that end the process through a fault or abort. Whoever handles them otherwise (a backtracer) comes after us,
// except for memory faults, which another handler may well survive.
static const int fatal[] = {SIGABRT, SIGILL, SIGTRAP, SIGFPE, SIGSEGV, SIGBUS};
static struct sigaction previous[sizeof fatal / sizeof fatal[0]];

static void die(int number, siginfo_t *information, void *context) {
    (void)context;
    guise_terminal_restore();
    for (unsigned index = 0; index < sizeof fatal / sizeof fatal[0]; index++)
        if (fatal[index] == number) sigaction(number, &previous[index], 0);
    // A fault repeats itself when the handler returns; a signal that was sent does not.
    if (number == SIGABRT || information->si_code <= 0) raise(number);
}

int guise_terminal_raw(int descriptor) {
    static int prepared;
    if (atomic_load(&raw)) { errno = EBUSY; return -1; }
    if (tcgetattr(descriptor, &saved) != 0) return -1;
    terminal = descriptor;
    if (!prepared) {
        prepared = 1;
        atexit(guise_terminal_restore);
        for (unsigned index = 0; index < sizeof fatal / sizeof fatal[0]; index++) {
            struct sigaction action = {0};
            if (sigaction(fatal[index], 0, &previous[index]) != 0) continue;
            int isMemory = fatal[index] == SIGSEGV || fatal[index] == SIGBUS;
            if (isMemory && previous[index].sa_handler != SIG_DFL) continue;
            action.sa_sigaction = die;
            action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
            sigaction(fatal[index], &action, 0);
        }
    }
    struct termios wanted = saved;
    cfmakeraw(&wanted);
    wanted.c_oflag |= OPOST | ONLCR; // host messages still begin at the left margin
    wanted.c_cc[VMIN] = 1;
    wanted.c_cc[VTIME] = 0;
    atomic_store(&raw, 1);
    if (tcsetattr(descriptor, TCSANOW, &wanted) != 0) { atomic_store(&raw, 0); return -1; }
    return 0;
}
