// Rows of the privileged instructions.
//
// Spec: The RISC-V Instruction Set Manual, Volume II, version 20240411. Absent: Svinval, the hypervisor extension.

extension RISCVRows {
    static let system: StaticString = """
    @ System Trap-return instructions (Volume II)
    mret 001100000010 00000 000 00000 1110011 ; ; system
    sret 000100000010 00000 000 00000 1110011 ; ; system
    @ System Wait for interrupt (Volume II)
    wfi 000100000101 00000 000 00000 1110011 ; ; system
    @ System Supervisor memory-management fence (Volume II)
    sfence.vma 0001001 rs2 rs1 000 00000 1110011 ; rs1,rs2 ; system
    """
}
