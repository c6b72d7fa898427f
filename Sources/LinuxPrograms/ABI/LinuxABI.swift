// What one guest architecture fixes about Linux: numbers, layouts, bits. Everything else is shared.
// A new architecture is one more type with this protocol and one row in `linuxABIs`.

import TranslatedCPU

/// Arguments of a system call.
struct CallArguments {
    var a0: UInt64 = 0, a1: UInt64 = 0, a2: UInt64 = 0, a3: UInt64 = 0, a4: UInt64 = 0, a5: UInt64 = 0
}

/// A signal's disposition as the guest set it.
struct GuestSignalAction {
    /// 0 default, 1 ignore, otherwise the handler's address.
    var handler: UInt64 = 0
    var flags: UInt64 = 0
    var mask: UInt64 = 0
    /// Return address for the handler, on architectures whose programs supply one.
    var restorer: UInt64 = 0
}

/// The host's struct stat (x86-64 layout), the neutral form that ABIs convert from.
struct FileStatus {
    var device: UInt64 = 0, inode: UInt64 = 0, links: UInt64 = 0
    var mode: UInt32 = 0, owner: UInt32 = 0, group: UInt32 = 0, padding: UInt32 = 0
    var special: UInt64 = 0
    var size: Int64 = 0, blockSize: Int64 = 0, blocks: Int64 = 0
    var accessSeconds: Int64 = 0, accessNanoseconds: Int64 = 0
    var modifySeconds: Int64 = 0, modifyNanoseconds: Int64 = 0
    var changeSeconds: Int64 = 0, changeNanoseconds: Int64 = 0
    var reserved0: Int64 = 0, reserved1: Int64 = 0, reserved2: Int64 = 0
}

/// The alternate signal stack as sigaltstack(2) describes it.
struct AlternateStack {
    var base: UInt64 = 0
    var flags: Int32 = 2
    var padding: UInt32 = 0
    var size: UInt64 = 0
    static let disabled: Int32 = 2
    static let onStack: Int32 = 1
    static let autoDisarm: Int32 = Int32(bitPattern: 0x8000_0000)
}

/// What a signal frame keeps besides the registers.
struct SignalFrame {
    var signal: Int
    /// 128 bytes of siginfo.
    var info: UnsafeRawPointer
    var action: GuestSignalAction
    /// Mask to restore on return.
    var mask: UInt64
    var stack: AlternateStack
    /// Where the frame's top may be.
    var top: UInt64
    /// Return address when the program supplies none.
    var trampoline: UInt64
    /// What the thread's last fault was.
    var trap = TrapRecord()
}

/// A thread's last fault in the architecture's own terms; frames of some architectures show it. Linux keeps it between
/// signals.
struct TrapRecord: Equatable {
    /// x86: the exception's vector.
    var number: UInt64 = 0
    /// x86: its error code.
    var error: UInt64 = 0
    /// x86: CR2.
    var address: UInt64 = 0
}

/// A signal that an instruction of the guest's caused.
struct ProgramFault: Equatable {
    var signal: Int32
    /// si_code.
    var code: Int32
    /// si_addr.
    var address: UInt64
    /// nil: the record stays as it was.
    var trap: TrapRecord?

    /// si_code of signals without details.
    static let kernelCode: Int32 = 0x80
}

/// The ABI of Linux on one guest architecture.
protocol LinuxABI {
    /// The architecture for the engine.
    func makeArchitecture() -> ProgramArchitecture
    /// uname's machine.
    var machine: String { get }
    /// AT_PLATFORM, or nil.
    var platform: String? { get }
    /// ELF header values this architecture's programs carry.
    var elfMachine: UInt16 { get }
    /// Programs are 64-bit ones of a processor that need not be one.
    var needsLongMode: Bool { get }
    /// Bytes of a pointer and of a long: 4 or 8.
    var pointerSize: Int { get }
    /// Where a position-independent program goes when there is room.
    var pieBase: UInt64 { get }
    /// Bytes behind a program that are left to brk.
    var heapWindow: UInt64 { get }
    /// Bytes below the stack pointer that belong to the interrupted function.
    var redZone: UInt64 { get }
    /// AT_HWCAP and AT_HWCAP2.
    var hardwareCapabilities: (UInt64, UInt64) { get }
    /// AT_MINSIGSTKSZ.
    var minimumSignalStack: UInt64 { get }
    /// First address above user space.
    var addressLimit: UInt64 { get }
    /// Guest number to call.
    var calls: [SystemCall] { get }
    /// Directory for cross-built interpreters and libraries on Debian hosts.
    var crossRoot: String { get }
    /// Size and data offset of struct epoll_event.
    var epollEventLayout: (size: Int, dataOffset: Int) { get }
    /// Whether the times of struct semid64_ds are followed by padding, as on x86 alone.
    var semaphoreTimesArePadded: Bool { get }
    /// Code of the page a handler returns to.
    var trampolineCode: [UInt8] { get }
    /// /proc/cpuinfo for so many CPUs.
    func processorDescription(count: Int) -> String

    func callNumber(_ registers: UnsafeMutableRawPointer) -> UInt64
    func callArguments(_ registers: UnsafeMutableRawPointer) -> CallArguments
    /// Stores a result and steps over the system-call instruction.
    func finishCall(_ registers: UnsafeMutableRawPointer, result: Int)
    func programCounter(_ registers: UnsafeMutableRawPointer) -> UInt64
    func stackPointer(_ registers: UnsafeMutableRawPointer) -> UInt64
    func setStackPointer(_ registers: UnsafeMutableRawPointer, _ value: UInt64)
    func setThreadPointer(_ registers: UnsafeMutableRawPointer, _ value: UInt64)
    /// What a program can see of its registers, and back into the same or another register file.
    func saveRegisters(_ registers: UnsafeMutableRawPointer) -> [UInt64]
    func restoreRegisters(_ registers: UnsafeMutableRawPointer, _ image: [UInt64])
    /// Registers at the start of a program.
    func start(_ registers: UnsafeMutableRawPointer, entry: UInt64, stack: UInt64)

    /// Makes tables of the process known to its first thread's registers.
    func adopt(_ registers: UnsafeMutableRawPointer, _ process: GuestProcess)

    /// Position of clone's TLS and child-tid arguments.
    func cloneArguments(_ a: CallArguments) -> (flags: UInt64, stack: UInt64, parent: UInt64, tls: UInt64, child: UInt64)
    func encode(_ status: FileStatus) -> [UInt8]
    func decodeAction(_ address: UInt64) -> GuestSignalAction?
    func encodeAction(_ action: GuestSignalAction, at address: UInt64) -> Bool
    /// Writes the frame and points the registers at the handler; false when the stack is not writable.
    func enterHandler(_ registers: UnsafeMutableRawPointer, _ frame: SignalFrame) -> Bool
    /// Reads back the frame a handler returns to; nil when it is not readable or not valid.
    func leaveHandler(_ registers: UnsafeMutableRawPointer) -> (mask: UInt64, stack: AlternateStack)?
    /// The signal for what the engine reports; nil: none of this architecture's exceptions.
    func fault(_ exit: UserExit, _ thread: GuestThread) -> ProgramFault?
    /// The record of an access that failed. `isMapped`: the page is there but does not allow it.
    func trap(access: MemoryAccess, address: UInt64, isMapped: Bool) -> TrapRecord?
    /// Executes what lies at an address outside user space that programs may call; false when there is nothing.
    func enterFixedCode(_ thread: GuestThread) -> Bool
    /// Performs one system call of this architecture, by default as it is.
    func perform(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> CallResult
    /// Calls only this architecture has; nil: no such call.
    func architectureCall(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> Int?
}

extension LinuxABI {
    var pointerSize: Int { 8 }
    var needsLongMode: Bool { false }
    var semaphoreTimesArePadded: Bool { false }
    var pieBase: UInt64 { (addressLimit / 3 * 2) & ~0xfff }
    var heapWindow: UInt64 { 16 << 30 }
    var redZone: UInt64 { 0 }
    func adopt(_ registers: UnsafeMutableRawPointer, _ process: GuestProcess) {}
    func trap(access: MemoryAccess, address: UInt64, isMapped: Bool) -> TrapRecord? { nil }
    func enterFixedCode(_ thread: GuestThread) -> Bool { false }
    func perform(_ call: SystemCall, _ a: CallArguments, _ thread: GuestThread) -> CallResult { thread.perform(call, a) }
}

/// The architectures whose programs can run.
let linuxABIs: [any LinuxABI] = [LinuxRISCV64(), LinuxX86_64(), LinuxI386()]
