/* A kernel of its own for the board microvm, started by PVH or Multiboot: says on the debug console (port 0xe9) what it
   finds, and ends the machine through the debug exit (ports 0x501…) with the number behind `status=` on its command line.
   Nothing in it is newer than a 386, so that it runs on every processor model.
   gcc -m32 -c bare.S; ld -m elf_i386 -Ttext 0x100000 [-e start] */
    .intel_syntax noprefix
    .set console, 0xe9
    .set debugExit, 0x501

    .section .note.Xen, "a", @note
    .long 4, 4, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long pvh

    .text
#ifdef MULTIBOOT
    .long 0x1badb002, 3, -(0x1badb002 + 3)
#endif
    .globl start
start:
    cmp eax, 0x2badb002
    jne wrong
    mov ebp, [ebx + 16]             /* command line */
    mov esp, offset stack
    mov esi, offset multibootText
    call print
    jmp common
pvh:
    cmp dword ptr [ebx], 0x336ec578
    jne wrong
    mov ebp, [ebx + 24]
    mov esp, offset stack
    mov esi, offset pvhText
    call print
common:
    lgdt [table]
    lidt [interrupts]
    mov eax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    jmp 8:reloaded
reloaded:
    /* Handlers of #DE and #UD: 32-bit interrupt gates. */
    mov eax, offset divided
    mov edi, offset gates
    call gate
    mov eax, offset undefined
    mov edi, offset gates + 6 * 8
    call gate

    mov esi, offset alignmentText
    mov ecx, 1 << 18                /* AC: a 486 can change it */
    call flag
    mov esi, offset identificationText
    mov ecx, 1 << 21                /* ID: CPUID is there */
    call flag
    mov esi, offset exchangeText    /* xadd ecx, ecx: a 486 has it */
    mov edi, offset tryExchange
    call try
    mov esi, offset compareText     /* cmpxchg8b: a Pentium has it */
    mov edi, offset tryCompare
    call try
    mov esi, offset moveText        /* cmov: a Pentium Pro has it */
    mov edi, offset tryMove
    call try

    mov dword ptr [caught], 0
    mov dword ptr [resume], offset afterDivision
    xor ecx, ecx
    mov eax, 1
    cdq
    div ecx
afterDivision:
    cmp dword ptr [caught], 1
    jne wrong
    mov esi, offset divisionText
    call print

    /* The number behind `status=`. */
    mov esi, ebp
    call print
    mov esi, offset newline
    call print
    mov esi, ebp
search:
    cmp dword ptr [esi], 0x74617473     /* stat */
    jne more
    cmp dword ptr [esi + 3], 0x3d737574 /* tus= */
    je found
more:
    cmp byte ptr [esi], 0
    je wrong
    inc esi
    jmp search
found:
    add esi, 7
    xor eax, eax
digit:
    movzx ecx, byte ptr [esi]
    sub ecx, 48
    cmp ecx, 9
    ja leave
    imul eax, eax, 10
    add eax, ecx
    inc esi
    jmp digit
wrong:
    mov eax, 127
leave:
    mov dx, debugExit
    out dx, eax
halt:
    cli
    hlt
    jmp halt

/* Prints ESI and yes or no: whether the bits ECX of EFLAGS can be changed. */
flag:
    pushfd
    pop eax
    mov edx, eax
    xor eax, ecx
    push eax
    popfd
    pushfd
    pop eax
    push edx
    popfd
    xor eax, edx
    and eax, ecx
    jmp answer

/* Prints ESI and yes or no: whether EDI can be called without #UD. */
try:
    mov dword ptr [caught], 0
    mov dword ptr [resume], offset tried
    mov [savedStack], esp
    call edi
tried:
    mov esp, [savedStack]
    mov eax, [caught]
    xor eax, 1
answer:
    push eax
    call print
    pop eax
    mov esi, offset yesText
    test eax, eax
    jnz print
    mov esi, offset noText

print:
    lodsb
    test al, al
    jz printed
    out console, al
    jmp print
printed:
    ret

gate:
    mov [edi], ax
    mov word ptr [edi + 2], 8
    mov word ptr [edi + 4], 0x8e00
    shr eax, 16
    mov [edi + 6], ax
    ret

divided:
undefined:
    mov dword ptr [caught], 1
    push eax
    mov eax, [resume]
    mov [esp + 4], eax
    pop eax
    iretd

tryExchange:
    .byte 0x0f, 0xc1, 0xc9
    ret
tryCompare:
    mov edi, offset gates + 2040
    .byte 0x0f, 0xc7, 0x0f
    ret
tryMove:
    .byte 0x0f, 0x44, 0xc1
    ret

    .data
multibootText: .asciz "started by multiboot\n"
pvhText: .asciz "started by pvh\n"
alignmentText: .asciz "AC "
identificationText: .asciz "ID "
exchangeText: .asciz "XADD "
compareText: .asciz "CMPXCHG8B "
moveText: .asciz "CMOV "
divisionText: .asciz "a division by zero was caught\n"
yesText: .asciz "yes\n"
noText: .asciz "no\n"
newline: .asciz "\n"
    .balign 8
descriptors: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
table: .word 23
    .long descriptors
interrupts: .word 2047
    .long gates
caught: .long 0
resume: .long 0
savedStack: .long 0
    .bss
    .balign 16
gates: .skip 2048
    .skip 4096
stack:
