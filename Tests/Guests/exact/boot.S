// Boot sector for emulators that know no Multiboot: loads 127 sectors behind it to 1 MiB and jumps to `start`, the first
// byte behind the Multiboot header, in flat 32-bit protected mode.
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7c00, %sp
    mov $packet, %si
    mov $0x42, %ah
    mov $0x80, %dl
    int $0x13
    mov $0x2401, %ax            // A20
    int $0x15
    cli
    lgdt table
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmp $8, $2f
    .code32
2:  mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $0x7c00, %esp
    mov $0x10000, %esi
    mov $0x100000, %edi
    mov $127 * 128, %ecx
    rep movsl
    xor %eax, %eax              // .bss
    mov $0x40000, %ecx
    rep stosl
    mov $0x100010, %eax
    jmp *%eax
    .align 8
packet: .byte 16, 0
    .word 127, 0, 0x1000
    .quad 1
gdt: .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
table: .word 23
    .long gdt
    .org 510
    .word 0xaa55
