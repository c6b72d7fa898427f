// Between an x86 processor and its local APIC: what the processor asks of the APIC, and what the APIC may do to it.
//
// The APIC belongs to the board, which makes one per processor and gives it to the engine. It is not on the bus: its
// registers lie at the address in IA32_APIC_BASE for the processor itself only, each processor sees its own.
// Source: Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller".

/// The local APIC of one processor, as that processor sees it.
///
/// All functions are called on the processor's thread, without any lock; the APIC guards its state itself, because
/// timers, other processors and the I/O APIC change it meanwhile.
public protocol LocalInterruptController: AnyObject, Sendable {
    /// IA32_APIC_BASE: bits 11 (enabled), 10 (x2APIC), 8 (bootstrap processor), and the address of the registers from
    /// bit 12 on.
    var base: UInt64 { get }
    /// The task priority as CR8 holds it: bits 7…4 of TPR, 0…15. Writing may make an interrupt deliverable.
    var taskPriority: UInt8 { get set }
    /// Whether `acknowledge` would give a vector now: an IRR bit above the processor priority, or the external (8259)
    /// interrupt where LVT0 or a disabled APIC lets it through.
    var hasInterrupt: Bool { get }
    /// Takes the interrupt: moves it from IRR to ISR, or runs the 8259's acknowledge cycle. Called only when the
    /// processor accepts interrupts; nil when there is none any more.
    func acknowledge() -> UInt8?
    /// A memory access to the register page (offset 0…4095, any size and alignment). Called only while the APIC is
    /// enabled and not in x2APIC mode.
    func read(offset: Int, size: Int) -> UInt64
    func write(offset: Int, size: Int, value: UInt64)
    /// RDMSR of 1Bh, 6E0h (TSC deadline) or 800h…8FFh; nil raises #GP(0). The deadline is in ticks of the machine's
    /// clock: the processor converts from and to its own TSC.
    func readMSR(_ number: UInt32) -> UInt64?
    /// WRMSR of the same registers; false raises #GP(0).
    func writeMSR(_ number: UInt32, _ value: UInt64) -> Bool
    /// The processor received INIT: all registers but the APIC ID and IA32_APIC_BASE go back to reset values.
    func initialize()
}

/// A processor, as its local APIC sees it. Callable on any thread; nothing happens to the processor before its next
/// instruction boundary, and a halted or waiting processor is woken where needed.
public protocol InterruptTarget: AnyObject, Sendable {
    /// `hasInterrupt` may have become true.
    func interruptsChanged()
    /// A non-maskable interrupt arrived.
    func raiseNMI()
    /// INIT: the processor resets and, unless it is the bootstrap processor, waits for a start-up interrupt.
    func raiseINIT()
    /// SIPI: a processor that waits for it starts in real mode at `vector` × 4096; others ignore it.
    func startUp(vector: UInt8)
}
