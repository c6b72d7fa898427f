// Where RISC-V control state lies in the front area of the state block.

import Translator

/// Byte offsets from the start of the state block.
enum FrontLayout {
    /// UInt32 frm and the flags written by the guest.
    static let fcsr = StateLayout.floatStatus
    /// UInt32 privilege level.
    static let privilege = StateLayout.front + 4
    /// UInt32; 1 when the privileged architecture is present, 0 in Linux programs.
    static let system = StateLayout.front + 8
    /// Function pointers of the engine or 0, see Hooks.swift.
    static let readTime = StateLayout.front + 16
    static let flushTranslations = StateLayout.front + 24
    static let timerChanged = StateLayout.front + 32
    /// UInt64 each from here on. Interrupt lines and software-set pending bits; both atomic.
    static let interruptLines = StateLayout.front + 64
    static let mip = StateLayout.front + 72
    static let mstatus = StateLayout.front + 80
    static let mie = StateLayout.front + 88
    static let medeleg = StateLayout.front + 96
    static let mideleg = StateLayout.front + 104
    static let mtvec = StateLayout.front + 112
    static let mscratch = StateLayout.front + 120
    static let mepc = StateLayout.front + 128
    static let mcause = StateLayout.front + 136
    static let mtval = StateLayout.front + 144
    static let mcounteren = StateLayout.front + 152
    static let menvcfg = StateLayout.front + 160
    static let mhartid = StateLayout.front + 168
    static let stvec = StateLayout.front + 176
    static let sscratch = StateLayout.front + 184
    static let sepc = StateLayout.front + 192
    static let scause = StateLayout.front + 200
    static let stval = StateLayout.front + 208
    static let scounteren = StateLayout.front + 216
    static let senvcfg = StateLayout.front + 224
    static let satp = StateLayout.front + 232
    static let stimecmp = StateLayout.front + 240
    /// Added to the counters the host provides.
    static let cycleOffset = StateLayout.front + 248
    static let instretOffset = StateLayout.front + 256
    /// 16 × UInt8.
    static let pmpcfg = StateLayout.front + 272
    /// 16 × UInt64.
    static let pmpaddr = StateLayout.front + 288
    static let end = StateLayout.front + 416
}
