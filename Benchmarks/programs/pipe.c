// Ping-pong of one word between two processes over two pipes. Usage: pipe [ROUNDS].
// Self check: each answer is the question plus one.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    long rounds = argc > 1 ? atol(argv[1]) : 50000;
    int there[2], back[2];
    uint64_t value = 0, answer = 0;
    if (pipe(there) || pipe(back)) { perror("pipe"); return 1; }
    pid_t child = fork();
    if (child == 0) {
        close(there[1]); close(back[0]);
        while (read(there[0], &value, sizeof value) == sizeof value) {
            value++;
            if (write(back[1], &value, sizeof value) != sizeof value) _exit(1);
        }
        _exit(0);
    }
    close(there[0]); close(back[1]);
    for (long i = 0; i < rounds; i++) {
        if (write(there[1], &value, sizeof value) != sizeof value || read(back[0], &answer, sizeof answer) != sizeof answer
            || answer != value + 1) { printf("pipe: wrong answer\n"); return 1; }
        value = answer * 3;
    }
    close(there[1]);
    int status;
    if (waitpid(child, &status, 0) != child || status) { printf("pipe: the child failed\n"); return 1; }
    printf("pipe %ld %016llx\n", rounds, (unsigned long long)value);
    return 0;
}
