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

// Signals that end the process through a fault or abort. Handlers that someone else installed stay; they decide.
static const int fatal[] = {SIGABRT, SIGILL, SIGTRAP, SIGFPE, SIGSEGV, SIGBUS};

static void die(int number) {
    guise_terminal_restore();
    raise(number); // SA_RESETHAND put the default back
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
            struct sigaction old;
            if (sigaction(fatal[index], 0, &old) != 0 || old.sa_handler != SIG_DFL) continue;
            struct sigaction action = {0};
            action.sa_handler = die;
            action.sa_flags = SA_RESETHAND | SA_NODEFER;
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
