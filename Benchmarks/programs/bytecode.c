// A stack-machine interpreter (computed jumps through a switch) that runs a sieve with nested loops.
// Usage: bytecode [ITERATIONS]. Self check: the number of primes below 8192.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum op { push, load, store, loadAt, storeAt, add, sub, mul, less, jump, jumpIfNot, halt };
enum { limit = 8192, primes = 1028 };
static int64_t memory[limit + 16];
static int code[256], at;

static void emit(enum op o, int argument) { code[at++] = o; code[at++] = argument; }

// Variables i, j, count live in memory cells 0..2; the sieve begins at cell 16.
static void program(void) {
    enum { i = 0, j = 1, count = 2, base = 16 };
    emit(push, 2); emit(store, i);
    int outer = at;
    emit(load, i); emit(push, limit); emit(less, 0);
    int leaveOuter = at; emit(jumpIfNot, 0);
    emit(load, i); emit(loadAt, base); emit(push, 1); emit(less, 0);
    int composite = at; emit(jumpIfNot, 0);
    emit(load, count); emit(push, 1); emit(add, 0); emit(store, count);
    emit(load, i); emit(push, 2); emit(mul, 0); emit(store, j);
    int inner = at;
    emit(load, j); emit(push, limit); emit(less, 0);
    int leaveInner = at; emit(jumpIfNot, 0);
    emit(push, 1); emit(load, j); emit(storeAt, base);
    emit(load, j); emit(load, i); emit(add, 0); emit(store, j);
    emit(jump, inner);
    code[leaveInner + 1] = at;
    code[composite + 1] = at;
    emit(load, i); emit(push, 1); emit(add, 0); emit(store, i);
    emit(jump, outer);
    code[leaveOuter + 1] = at;
    emit(halt, 0);
}

static uint64_t run(void) {
    int64_t stack[32], *top = stack;
    const int *pc = code;
    uint64_t steps = 0;
    for (;;) {
        int o = pc[0], argument = pc[1];
        pc += 2; steps++;
        switch ((enum op)o) {
        case push: *top++ = argument; break;
        case load: *top++ = memory[argument]; break;
        case store: memory[argument] = *--top; break;
        case loadAt: top[-1] = memory[argument + top[-1]]; break;
        case storeAt: top -= 2; memory[argument + top[1]] = top[0]; break;
        case add: top--; top[-1] += top[0]; break;
        case sub: top--; top[-1] -= top[0]; break;
        case mul: top--; top[-1] *= top[0]; break;
        case less: top--; top[-1] = top[-1] < top[0]; break;
        case jump: pc = code + argument; break;
        case jumpIfNot: if (!*--top) pc = code + argument; break;
        case halt: return steps;
        }
    }
}

int main(int argc, char **argv) {
    long iterations = argc > 1 ? atol(argv[1]) : 200;
    uint64_t steps = 0;
    program();
    for (long i = 0; i < iterations; i++) {
        memset(memory, 0, sizeof memory);
        steps += run();
        if (memory[2] != primes) { printf("bytecode: %lld primes, want %d\n", (long long)memory[2], primes); return 1; }
    }
    printf("bytecode %ld %llu\n", iterations, (unsigned long long)steps);
    return 0;
}
