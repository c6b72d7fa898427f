#define _GNU_SOURCE
#include "threads.h"
#include <pthread.h>
#include <stdio.h>

void guise_thread_set_name(const char *name) {
    char cut[16];
    snprintf(cut, sizeof cut, "%s", name);
    pthread_setname_np(pthread_self(), cut);
}
