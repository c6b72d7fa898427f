// Snippets of exact32.c: T(contexts, flags compared, assembler text). Each ends at INT3 when nothing else ends it.
// 0x8d5 are the six status flags; fewer where a manual leaves some undefined.

// MARK: arithmetic, sizes, BCD
T(255, 0x8d5, "add %al, %ah"); T(31, 0x8d5, "add %ax, %bx"); T(31, 0x8d5, "adc %eax, %ecx"); T(31, 0x8d5, "sbb $-1, %cx");
T(31, 0x8d5, "cmp %edx, %eax"); T(31, 0x8d5, "neg %cx"); T(31, 0x8d5, "inc %ax; dec %ecx"); T(31, 0x8d5, "xadd %ax, %cx");
T(31, 0x8d5, "cmpxchg %cx, %dx"); T(31, 0x8d5, "cmpxchg %ecx, (%bx)"); T(255, 0, "cmpxchg8b (%bx)");
T(159, 0x8c5, "mov $0x9a, %al; daa"); T(159, 0x8c5, "mov $0xff, %al; das"); T(159, 0x11, "mov $0x0f, %ax; aaa");
T(159, 0x11, "mov $0x105, %ax; aas"); T(159, 0xc4, "mov $0x7b, %al; aam"); T(159, 0xc4, "mov $0x0307, %ax; aad");
T(159, 0, "aam $0"); T(159, 0xc4, "mov $0xfe, %al; aam $16"); T(159, 0xc4, "mov $0x1203, %ax; aad $16");
T(159, 0, "cbtw; cwtd"); T(159, 0, "cwtl; cltd"); T(159, 0, "xor %cx, %cx; div %cx"); T(159, 0, "mov $2, %cx; mov $1, %dx; div %cx");
T(159, 0, "mov $0x80, %ah; mov $0, %al; mov $-1, %cl; idiv %cl"); 
T(159, 0x801, "mul %cx"); T(159, 0x801, "imul %ecx"); T(159, 0x801, "imul $-3, %dx, %ax");
T(159, 0x0c5, "shl $3, %al"); T(159, 0x0c5, "shr $9, %ax"); T(159, 0x0c5, "sar $31, %eax"); T(159, 1, "rcl $3, %cx"); T(159, 1, "rcr $17, %ax");
T(159, 1, "rol $8, %al"); T(159, 0x8c5, "shl $1, %ecx"); T(159, 0x0c5, "shld $5, %ax, %cx"); T(159, 0x0c5, "shrd $5, %eax, %ecx");
T(159, 1, "bt %ax, (%bx)"); T(159, 1, "mov $-9, %ax; bts %ax, (%bx)"); T(159, 1, "btr $13, %ecx"); T(159, 0x40, "bsf %dx, %ax"); T(159, 0x40, "bsr %edx, %eax");
T(159, 0, "sahf"); T(159, 0x8d5, "lahf"); T(159, 0x8d5, "cmc; std"); T(159, 0, "xlat"); T(159, 0, "mov $0x7f, %bx; bswap %ecx");
T(159, 0, "lea 0x1234(%bx,%si), %eax"); T(159, 0, "lea -1(%ebp,%ecx,4), %dx"); T(159, 0, "movzbl %ah, %edx; movsbw %cl, %ax");

// MARK: stack
T(255, 0, "push %ax; pop %cx"); T(255, 0, "push %eax; pop %ecx"); T(255, 0, "pushw $-2; pushl $-3; push $7"); T(255, 0, "push %sp; pop %ax"); T(255, 0, "push %esp; pop %eax");
T(255, 0, "push %cs; push %ds; push %fs; pushw %gs"); T(255, 0, "pusha; popal"); T(255, 0, "pushal; popa"); T(255, 0, "pushw (%bx); popw 2(%bx)"); T(255, 0, "popl (%bx)");
T(255, 0, "enter $16, $0"); T(255, 0, "enterw $16, $3"); T(255, 0, "enterl $8, $2"); T(255, 0, "enter $0, $31"); T(122, 0, "mov $0x8100, %bp; leavew"); T(122, 0, "leavel");
T(94, 0, "mov $1, %esp; push %ax"); T(94, 0, "mov $2, %esp; push %eax"); T(94, 0, "mov $0, %esp; pushw %ax"); T(94, 0, "mov $0xffff, %esp; pop %ax"); T(94, 0, "mov $6, %esp; pusha");
T(94, 0, "mov $0xfffe, %esp; popl %eax"); T(90, 0, "mov $4, %esp; enter $0, $4"); T(90, 0, "mov $0x1fffe, %esp; push %ax"); T(90, 0, "mov $0x12345678, %esp; push %ax");

// MARK: strings and loops, both address sizes
T(255, 0, "mov $5, %ecx; rep movsb"); T(254, 0, "mov $3, %ecx; .byte 0x67; rep movsl"); T(254, 0, "mov $3, %ecx; .byte 0x67; rep movsw"); T(255, 0, "std; mov $4, %ecx; rep stosw");
T(254, 0, "mov $4, %ecx; mov $0xfffe, %edi; rep stosb"); T(254, 0, "mov $4, %ecx; mov $0xfffe, %edi; .byte 0x67; rep stosw"); T(254, 0, "mov $4, %ecx; mov $0xfffe, %edi; .byte 0x67; rep stosl");
T(254, 0x8d5, "mov $9, %ecx; repe cmpsb"); T(254, 0x8d5, "mov $9, %ecx; repne scasb"); T(254, 0, "mov $3, %ecx; rep lodsw"); T(254, 0x8d5, "xor %ecx, %ecx; repe cmpsb"); T(254, 0, "cs; lodsl");
T(14, 0, "mov $0x10000, %ecx; .byte 0x67; rep stosb"); T(254, 0, "mov $0xffff, %esi; lodsw"); T(254, 0, "mov $0xffff, %si; .byte 0x67; lodsw"); T(254, 0, "mov $2, %ecx; mov $0x1, %edi; std; .byte 0x67; rep stosw");
T(255, 0, "mov $3, %ecx; 1: inc %dx; loop 1b"); T(255, 0, "mov $0x10002, %ecx; 1: inc %dx; .byte 0x67; loop 1b"); T(255, 0, "mov $2, %ecx; 1: inc %dx; .byte 0x67; loop 1b");
T(255, 0, "mov $0x10000, %ecx; .byte 0x67; jcxz 1f; inc %dx; 1:"); T(255, 0, "mov $0x10000, %ecx; .byte 0x67; jecxz 1f; inc %dx; 1:"); T(255, 0, "mov $3, %ecx; 1: cmp $2, %cl; loope 1b"); T(255, 0, "mov $3, %ecx; 1: cmp $2, %cl; loopne 1b");
T(255, 0, "movb 0xffff, %al"); T(254, 0, "mov $0x10000, %ebx; mov (%ebx), %al"); T(254, 0, "mov $0xfffd, %ebx; mov (%ebx), %eax"); T(254, 0, "mov $0xfffd, %bx; mov %eax, (%bx)"); T(254, 0, "mov $-1, %ebp; mov (%ebp), %al");

// MARK: near transfers
T(254, 0, "jmp 1f; hlt; 1:"); T(254, 0, "mov $0x19003, %eax; .byte 0x66, 0xff, 0xe0"); T(254, 0, "mov $0x19003, %eax; jmp *%eax"); T(254, 0, "call 1f; 1: pop %ax"); T(94, 0, "mov $1, %esp; call 1f; 1:");
T(254, 0, "mov $0x10000, %eax; push %eax; retl"); T(254, 0, "mov $0x10009, %eax; call *%eax");

// MARK: flags and interrupts by privilege
T(255, 0x8d5, "pushf; pop %ax"); T(255, 0x8d5, "pushfl; pop %eax"); T(255, 0x8d5, "pushw $0x7fd5; popfw; pushfw; pop %ax; cld"); T(15, 0x8d5, "pushl $0x3f3ed5; popfl; pushfl; pop %eax; cld"); T(96, 0x8d5, "pushl $0x3f7ed5; popfl"); T(96, 0, "pushw $0x200; popfw; pushfw; pop %ax"); T(96, 0, "pushw $0x100; popfw; nop");
T(254, 0, "cli"); T(254, 0, "sti"); T(126, 0, "cli; pushfw; pop %ax"); T(126, 0, "sti; pushfw; pop %ax; cli; pushfw; pop %cx"); T(254, 0, "int $0x30"); T(254, 0, "int $0x33"); T(254, 0, "int $0x20"); T(254, 0, "int3"); T(254, 0, "mov $0x7f, %al; inc %al; into"); T(254, 0, "into"); T(254, 0, ".byte 0xf1");
T(122, 0, "int $0x80"); T(126, 0, "int $0x3a"); T(126, 0, "int $0x3b"); T(126, 0, "int $0x3c"); T(15, 0, "int $0x38"); T(122, 0, "in $0x42, %al; mov $0, %al"); T(122, 0, "in $0x43, %al"); T(122, 0, "in $0x42, %ax"); T(122, 0, "mov $0x1000, %dx; out %al, %dx"); T(122, 0, "mov $0x43, %dx; outsb"); T(122, 0, "mov $0x43, %dx; mov $3, %ecx; rep insb");
T(122, 0, "hlt"); T(122, 0, "clts"); T(122, 0, "invd"); T(122, 0, "mov %cr0, %eax"); T(122, 0, "mov %eax, %cr3"); T(122, 0, "mov %dr7, %eax"); T(122, 0, "rdmsr"); T(122, 0, "wrmsr"); T(122, 0, "lgdt (%bx)"); T(122, 0, "lmsw %ax"); T(122, 0, "ltr %ax"); T(122, 0, "lldt %ax"); T(112, 0, "invlpg (%bx)");
T(122, 0, "smsw %ax; and $0xf, %ax"); T(122, 0, "sldt %ax"); T(122, 0, "str %ax"); T(122, 0, "sgdt (%bx); movl $0, 2(%bx)"); T(122, 0, "mov %cr4, %eax"); T(255, 0, "ud2"); T(255, 0, ".byte 0x0f, 0xff, 0xc0"); T(255, 0, ".byte 0xf0, 0x89, 0x07"); T(255, 0, ".byte 0xf0, 0x01, 0xc0"); T(255, 0, ".byte 0xc6, 0xc8, 1"); T(255, 0, ".byte 0xfe, 0xd0"); T(255, 0, ".byte 0x8d, 0xc0"); T(255, 0, ".byte 0x8e, 0xc8"); T(255, 0, ".byte 0x8c, 0xf8"); T(255, 0, ".byte 0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90");
T(255, 0, "bound %ax, (%bx)"); T(255, 0, "movw $0, (%bx); movw $0x7fff, 2(%bx); mov $5, %ax; bound %ax, (%bx)"); T(255, 0, "mov $-1, %eax; bound %eax, (%bx)"); T(255, 0, ".byte 0x62, 0xc0");
T(255, 0x40, "arpl %ax, (%bx)"); T(15, 0x40, "mov $0x10, %ax; mov $3, %cx; arpl %cx, %ax"); T(15, 0x40, "mov $0x13, %ax; mov $2, %cx; arpl %cx, %ax");

// MARK: segments
T(254, 0, "xor %ax, %ax; mov %ax, %es; mov %es:(%bx), %al"); T(14, 0, "mov $3, %ax; mov %ax, %ds; mov (%bx), %al"); T(14, 0, "xor %ax, %ax; mov %ax, %ss"); T(14, 0, "mov $0x63, %ax; mov %ax, %es; mov %es:0xff, %al; mov %es:0x100, %al"); T(14, 0, "mov $0x63, %ax; mov %ax, %fs; mov %fs:0xfd, %eax"); T(14, 0, "mov $0x63, %ax; mov %ax, %gs; mov %ax, %gs:0xff");
T(14, 0, "mov $0x5b, %ax; mov %ax, %es; mov %es:0x1000, %al; mov %es:0xffe, %ax"); T(14, 0, "mov $0x5b, %ax; mov %ax, %es; mov %es:0xffff, %al; mov %es:0xffff, %ax"); T(14, 0, "mov $0xd3, %ax; mov %ax, %es; mov %es:0x19000, %al; mov %es:0, %al"); T(14, 0, "mov $0xd3, %ax; mov %ax, %es; mov $-1, %esi; mov %es:(%esi), %al; mov %es:(%esi), %ax");
T(14, 0, "mov $0x6b, %ax; mov %ax, %es; mov %es:(%bx), %al; mov %al, %es:(%bx)"); T(14, 0, "mov $0x6b, %ax; mov %ax, %ss"); T(14, 0, "mov $0x73, %ax; mov %ax, %es"); T(14, 0, "mov $0x7b, %ax; mov %ax, %es"); T(14, 0, "mov $0x7b, %ax; mov %ax, %ss"); T(14, 0, "mov $0x23, %ax; mov %ax, %ss; nop"); T(14, 0, "mov $0x20, %ax; mov %ax, %ss"); T(14, 0, "mov $0x10, %ax; mov %ax, %es"); T(14, 0, "mov $0xffff, %ax; mov %ax, %es"); T(14, 0, "mov $0x0f, %ax; mov %ax, %es; mov %es:(%bx), %cl"); T(14, 0, "mov $0x1f, %ax; mov %ax, %es"); T(14, 0, "mov $0x27, %ax; mov %ax, %es"); T(14, 0, "mov $0x83, %ax; mov %ax, %es; mov %es:(%bx), %cl"); T(14, 0, "mov $0x90, %ax; mov %ax, %es"); T(14, 0, "mov $0xa3, %ax; mov %ax, %es"); T(14, 0, "mov %ax, %cs:(%bx)"); T(14, 0, "mov %cs:(%bx), %ax");
T(255, 0, "movw $0x1234, (%bx); movw $0x2000, 2(%bx); .byte 0x66; lds (%bx), %ax"); T(240, 0, "movw $0x1234, (%bx); movw $0x2000, 2(%bx); les (%bx), %ax"); T(14, 0, "movw $0x1234, (%bx); movw $0x63, 2(%bx); lgsw (%bx), %ax"); T(14, 0, "movl $0x1234, (%bx); movw $0x7b, 4(%bx); lfsl (%bx), %eax"); T(14, 0, "mov $0xfffe, %bx; lesw (%bx), %ax"); T(14, 0, "pushw $0x63; popw %es"); T(14, 0, "push $0; popw %fs"); T(14, 0, "pushl $0x11110063; popl %gs");
T(15, 0x40, "mov $0x63, %ax; lsl %ax, %ecx"); T(15, 0x40, "mov $0x18, %ax; lar %ax, %ecx"); T(15, 0x40, "mov $0x10, %ax; lar %ax, %ecx"); T(15, 0x40, "mov $0x10, %ax; lsl %ax, %cx"); T(15, 0x40, "mov $0xa3, %ax; lar %ax, %ecx"); T(15, 0x40, "mov $0xa3, %ax; lsl %ax, %ecx"); T(15, 0x40, "mov $0x93, %ax; lar %ax, %ecx"); T(15, 0x40, "mov $0x8b, %ax; lsl %ax, %ecx"); T(15, 0x40, "xor %ax, %ax; lar %ax, %ecx"); T(15, 0x40, "mov $0xfffb, %ax; lsl %ax, %ecx"); T(15, 0x40, "mov $0x63, %ax; verr %ax"); T(15, 0x40, "mov $0x6b, %ax; verw %ax"); T(15, 0x40, "mov $0x73, %ax; verr %ax"); T(15, 0x40, "mov $0x83, %ax; verr %ax"); T(15, 0x40, "mov $0x7b, %ax; verr %ax"); T(15, 0x40, "mov $0x0b, %ax; verw %ax"); T(240, 0, "lar %ax, %ecx"); T(240, 0, "verr %ax"); T(240, 0, "sldt %ax");

// MARK: far transfers
T(14, 0, "ljmp $0x1b, $0x9000"); T(14, 0, "ljmp $0x4b, $0x9000"); T(14, 0, "ljmp $0x08, $0x9000"); T(14, 0, "ljmp $0x83, $0x9000"); T(14, 0, "ljmp $0x23, $0"); T(14, 0, "ljmp $0, $0"); T(14, 0, "ljmp $0x1b, $0x9001"); T(14, 0, "ljmp $0x1f, $0"); T(14, 0, "ljmp $0xfffb, $0"); T(14, 0, "ljmp $0x7b, $0"); T(14, 0, "ljmpl $0x1b, $0x10001"); T(14, 0, "lcall $0x1b, $0x9000"); T(14, 0, "lcall $0x83, $0x9000"); T(14, 0, "lcallw $0x4b, $0x9000"); T(14, 0, "lcalll $0x4b, $0x9000");
T(10, 0, "pushl $0x11111111; pushl $0x22222222; lcall $0xa3, $0"); T(10, 0, "lcall $0xab, $0"); T(10, 0, "ljmp $0xa3, $0"); T(10, 0, "lcall $0xcb, $0"); T(10, 0, "lcall $0xe3, $0"); T(10, 0, "lcall $0xb3, $0"); T(10, 0, "ljmp $0xb3, $0"); T(10, 0, "lcall $0x93, $0"); T(10, 0, "lcall $0xc3, $0"); T(10, 0, "lcall $0xdb, $0"); T(10, 0, "lcall $0x8b, $0"); T(5, 0, "lcall $0xc0, $0"); T(5, 0, "lcall $0xb3, $0"); T(5, 0, "lcall $0x90, $0"); T(5, 0, "lcall $0xd8, $0");
T(10, 0, "pushl $0x1b; pushl $0x9000; lretl"); T(10, 0, "pushw $0x4b; pushw $0x9000; lretw $4"); T(10, 0, "pushl $0x08; pushl $0x9000; lretl"); T(10, 0, "pushl $0x83; pushl $0x9000; lretl"); T(10, 0, "pushl $0; pushl $0; lretl"); T(4, 0, "pushw $0x53; pushw $0x7000; pushw $0x4b; pushw $0x9000; lretw"); T(4, 0, "pushw $0x53; pushw $0x7000; pushw $0x4b; pushw $0x9000; lretw $2"); T(4, 0, "pushw $0x40; pushw $0x7000; pushw $0x4b; pushw $0x9000; lretw"); T(1, 0, "pushl $0x23; pushl $0x7000; pushl $0x1b; pushl $0x9000; lretl"); T(1, 0, "pushl $0x23; pushl $0x7000; pushl $0x13246; pushl $0x1b; pushl $0x9000; iretl"); T(1, 0, "pushl $0x2000; pushl $0x2000; pushl $0x2000; pushl $0x2000; pushl $0x2000; pushl $0x7000; pushl $0x23002; pushl $0x12000; pushl $0x19000; iretl"); T(1, 0, "pushl $0x4002; popfl; iretl"); T(10, 0, "pushl $0x1b7fd7; pushl $0x1b; pushl $0x9000; iretl; "); T(10, 0, "pushw $0x7ed7; pushw $0x4b; pushw $0x9000; iretw"); T(10, 0, "pushl $0x2; pushl $0x08; pushl $0; iretl");
T(240, 0, "ljmp $0x2900, $0x10"); T(240, 0, "pushw $0x3246; pushw $0x2900; pushw $0; iretw"); T(240, 0, "pushw $0x2900; pushw $0; lretw"); T(240, 0, "lcall $0x2900, $0x20"); T(112, 0, "pushl $0x3246; pushl $0x2900; pushl $0; iretl"); T(96, 0, "pushw $0x0346; pushw $0x2900; pushw $0; iretw");

// MARK: shadows, single step, debug registers
T(14, 0, "mov %ss, %cx; pushfw; orw $0x100, %ss:-2(%esp)"); T(5, 0, "pushfl; pop %eax; or $0x100, %eax; push %eax; popfl; nop; nop"); T(26, 0, "pushfw; pop %ax; or $0x100, %ax; push %ax; popfw; nop; nop"); T(90, 0, "pushfw; pop %ax; or $0x100, %ax; mov %ss, %cx; push %ax; popfw; mov %cx, %ss; nop; nop"); T(26, 0, "pushfw; pop %ax; or $0x100, %ax; push %ax; popfw; int $0x30"); T(26, 0, "pushfw; pop %ax; or $0x100, %ax; push %ax; popfw; int3"); T(26, 0, "pushfw; pop %ax; or $0x100, %ax; push %ax; mov $3, %ecx; popfw; rep movsb"); T(26, 0, "pushfw; pop %ax; or $0x100, %ax; push %ax; popfw; ud2");

// MARK: x87 and absent state
T(31, 0, "fldpi; fstpt (%bx); fnstsw %ax"); T(31, 0, "fldz; fld1; fdivp; fnstsw %ax"); T(31, 0, "fldz; fstpl (%bx); fstps (%bx); fnstsw %ax"); T(95, 0, "fninit; fldl2e; fistpl (%bx)"); T(5, 0, "mov %cr0, %eax; or $8, %al; mov %eax, %cr0; xor %eax, %eax; fnop"); T(1, 0, "mov %cr0, %ebx; lea 4(%ebx), %eax; mov %eax, %cr0; mov %ebx, %edx; fld1"); T(31, 0, "pushw $0x37b; mov %sp, %bx; fldcw %ss:(%bx); fldz; fld1; fdivp; fwait"); T(31, 0, "fninit; emms; movd %eax, %mm1; movd %mm1, %edx; emms"); T(31, 0, "pxor %xmm0, %xmm0; movaps %xmm0, (%bx)"); T(31, 0, "movaps %xmm0, 4(%bx)");

// MARK: debug registers; last, as QEMU 7.2 crashes on them
T(4, 0, "mov $0x20020, %eax; mov %eax, %dr0; mov $0x2, %eax; mov %eax, %dr7; nop; .skip 24, 0x90; xor %eax, %eax; mov %eax, %dr7"); T(5, 0, "mov $0x29000, %eax; mov %eax, %dr0; mov $0x10002, %eax; mov %eax, %dr7; movb $1, (%ebx); xor %eax, %eax; mov %eax, %dr7"); T(5, 0, "xor %eax, %eax; mov %eax, %dr7; mov %eax, %dr6; mov %dr6, %ecx; mov %dr7, %edx"); T(5, 0, "mov $0x2000, %eax; mov %eax, %dr7; mov %dr0, %ecx"); T(5, 0, "mov $-1, %eax; mov %eax, %dr6; mov %dr6, %ecx; xor %eax, %eax; mov %eax, %dr6"); T(5, 0, "mov %cr4, %eax; or $8, %al; mov %eax, %cr4; mov %dr4, %eax"); T(5, 0, "mov %dr4, %eax; mov %dr5, %ecx");
