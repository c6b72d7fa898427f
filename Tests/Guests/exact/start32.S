// Entry, executor and exception stubs of the 32-bit programs. Multiboot 1; everything flat at 1 MiB.
// `execute` leaves for a context by IRET and comes back through whichever vector ends the snippet.

    .code32
    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .globl start, execute, stubs, realStubs
start:
    mov $bootStack, %esp
    push $0
    popf
    call main
hang:
    hlt
    jmp hang

// void execute(void): registers from `in`, which `frame` points to the IRET frame of.
execute:
    pusha
    mov %esp, savedStack
    mov segments + 6, %gs
    mov segments + 4, %fs
    mov segments + 2, %es
    cmpb $0, ownStack
    je 1f
    mov in + 36, %ax        // ring 0: its stack holds the frame
    mov %ax, %ss
1:  mov frame, %esp
    mov in + 4, %ecx
    mov in + 8, %edx
    mov in + 12, %ebx
    mov in + 20, %ebp
    mov in + 24, %esi
    mov in + 28, %edi
    mov segments, %ds       // last
    mov %cs:in, %eax
    iret

// Frame: vector, error code, EIP, CS, EFLAGS, ESP, SS, and ES DS FS GS from virtual-8086 mode.
common:
    push %ds
    push %eax
    mov $0x10, %ax
    mov %ax, %ds
    pop %eax
    mov %eax, out
    pop %eax
    mov %ax, out + 38
    mov %es, out + 40
    mov %fs, out + 42
    mov %gs, out + 44
    mov %ss, out + 36
    mov %ecx, out + 4
    mov %edx, out + 8
    mov %ebx, out + 12
    mov %ebp, out + 20
    mov %esi, out + 24
    mov %edi, out + 28
    mov %cr2, %eax
    mov %eax, out + 56
    mov %esp, %ebx
    mov $0x10, %ax
    mov %ss:(%ebx), %ecx
    mov %ecx, out + 48
    mov %ss:4(%ebx), %ecx
    mov %ecx, out + 52
    mov %ss:8(%ebx), %ecx
    mov %ecx, out + 32
    mov %ss:12(%ebx), %ecx
    mov %cx, out + 46
    mov %ss:16(%ebx), %edx
    mov %edx, out + 60
    lea 20(%ebx), %esi
    test $0x20000, %edx
    jnz 2f
    test $3, %ecx
    jz 3f
    mov 20(%ebx), %esi
    mov 24(%ebx), %cx
    mov %cx, out + 36
    jmp 3f
2:  mov 20(%ebx), %esi
    mov 24(%ebx), %cx
    mov %cx, out + 36
    mov 28(%ebx), %cx
    mov %cx, out + 40
    mov 32(%ebx), %cx
    mov %cx, out + 38
    mov 36(%ebx), %cx
    mov %cx, out + 42
    mov 40(%ebx), %cx
    mov %cx, out + 44
3:  mov %esi, out + 16
    mov %ax, %ss
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov savedStack, %esp
    cld
    popa
    ret

    .globl doubleFault
doubleFault:                // the task of vector 8: its error code is on its stack
    movl $8, out + 48
    pop out + 52
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov savedStack, %esp
    cld
    popa
    ret

    .align 16
stubs:
    vector = 0
    .rept 64
    .align 16
    .if (0x27d00 >> vector) & 1         // those with an error code
    push $vector
    .else
    push $0
    push $vector
    .endif
    jmp common
    vector = vector + 1
    .endr

// Real mode: `executeReal` goes there and back. The code of this part is copied to `realBase` and runs with CS = 0x5000.
    .globl executeReal, realCode, realCodeEnd, realReturn
executeReal:
    pusha
    mov %esp, savedStack
    lidt realIDT
    ljmp $0x28, $(1f - realCode)
realReturn:
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov savedStack, %esp
    lidt protectedIDT
    cld
    popa
    ret
realIDT:
    .word 0x3ff
    .long 0

    .code16
realCode:
1:  mov $0x30, %ax          // 64 KiB segments
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov %cr0, %eax
    and $~1, %al
    mov %eax, %cr0
    ljmp $0x5000, $(2f - realCode)
2:  xor %ax, %ax
    mov %ax, %ss
    mov $0x600, %esp       // 0x600: registers in execute's order, then the IRET frame
    popl %eax
    popl %ecx
    popl %edx
    popl %ebx
    popl %ebp
    popl %esi
    popl %edi
    pop %gs
    pop %fs
    pop %es
    pop %ds
    mov %cs:realStack - realCode, %sp
    mov %cs:realStack - realCode + 2, %ss
    pushw %cs:realFlags - realCode
    pushw $0x2000
    pushw $0
    iretw
    .globl realStack, realFlags
realStack: .word 0, 0
realFlags: .word 0
    .globl realStubs
    .align 8
realStubs:
    vector = 0
    .rept 64
    .align 8
    pushw $vector
    jmp realCommon
    vector = vector + 1
    .endr
realCommon:                 // vector, IP, CS, FLAGS; saved from 0x700 on
    push %ds
    push %ax
    xor %ax, %ax
    mov %ax, %ds
    popw 0x700
    popw 0x720
    popw 0x722             // vector
    popw 0x724             // IP
    popw 0x726
    popw 0x728
    shrl $16, %eax
    mov %ax, 0x702
    mov %ecx, 0x704
    mov %edx, 0x708
    mov %ebx, 0x70c
    mov %esp, 0x710
    mov %ebp, 0x714
    mov %esi, 0x718
    mov %edi, 0x71c
    mov %es, 0x72a
    mov %fs, 0x72c
    mov %gs, 0x72e
    mov %ss, 0x730
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $realReturn
realCodeEnd:
    .code32

    .bss
    .align 16
    .skip 16384
bootStack:
    .globl savedStack
savedStack: .skip 4
