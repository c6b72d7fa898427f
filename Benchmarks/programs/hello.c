// A static hello: what it costs to start and end a program. Usage: hello.
#include <stdio.h>
int main(void) { puts("hello from the guest"); return 0; }
