// fork, exec and wait of a small program: itself as child. Usage: forkexec [COUNT].
// GUISE_BENCH_EXEC names a program put before the child's path, for peers that cannot exec a guest file by
// themselves (qemu-user without binfmt_misc). Self check: every child's exit status.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "--child")) return atoi(argv[2]) & 0x7f;
    long count = argc > 1 ? atol(argv[1]) : 100, sum = 0;
    const char *prefix = getenv("GUISE_BENCH_EXEC");
    for (long i = 0; i < count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%ld", i);
        pid_t child = fork();
        if (child == 0) {
            if (prefix) execl(prefix, prefix, argv[0], "--child", number, (char *)0);
            else execl(argv[0], argv[0], "--child", number, (char *)0);
            perror("exec");
            _exit(126);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != (i & 0x7f)) {
            printf("forkexec: child %ld failed\n", i);
            return 1;
        }
        sum += WEXITSTATUS(status);
    }
    printf("forkexec %ld %ld\n", count, sum);
    return 0;
}
