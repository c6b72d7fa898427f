// A storm of processes: a tree of forks in which every node has threads running when it forks, and every leaf execs
// this program anew. Usage: storm [ROUNDS]. Prints `storm ok`.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop;
static void *spin(void *unused) {
    unsigned long *count = malloc(sizeof *count);
    (void)unused;
    while (!stop) { (*count)++; free(malloc(64 + *count % 512)); usleep(100); }
    free(count);
    return NULL;
}

static int tree(char *self, int depth) {
    pid_t children[2];
    if (depth == 0) {
        execl(self, self, "--leaf", (char *)0);
        _exit(126);
    }
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) _exit(tree(self, depth - 1));
        if (children[i] < 0) return 1;
    }
    int bad = 0;
    for (int i = 0; i < 2; i++) {
        int status;
        bad |= waitpid(children[i], &status, 0) != children[i] || !WIFEXITED(status) || WEXITSTATUS(status) != (depth == 1 ? 9 : 0);
    }
    return bad;
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--leaf")) return 9;
    int rounds = argc > 1 ? atoi(argv[1]) : 5;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) if (pthread_create(&threads[i], NULL, spin, NULL)) return 2;
    for (int i = 0; i < rounds; i++) if (tree(argv[0], 3)) { puts("storm: a child failed"); return 1; }
    stop = 1;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    puts("storm ok");
    return 0;
}
