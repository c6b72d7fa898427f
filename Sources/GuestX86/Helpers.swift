// The functions generated code calls. Each sees all registers in the state block. One that must leave the unit stores an
// exit kind at `StateLayout.helperExit`: `exception(vector)` with the error code at `StateLayout.exitAddress` for a fault
// of the current instruction (nothing else may have changed), or `lookup` with the linear address at `StateLayout.pc`.
//
// Bodies: what needs system state is in State (`SystemHelpers.body`), the rest in Lift and its folders.
//
// Argument conventions: `next` is the linear address of the next instruction; `size` an operand size in bytes.

import CHost
import Translator

/// Index of a helper in `X86Front.helpers`, with its arguments.
public enum HelperIndex: Int, CaseIterable, Sendable {
    // MARK: segments and code addresses
    /// (SegmentRequest, offset): the linear address of a checked access; #SS or #GP.
    case linear
    /// (instruction pointer): #GP(0) unless it is within the limit of CS.
    case checkCode
    /// (segment): the selector of a segment register.
    case readSelector
    /// (segment, selector, next): loads a segment register other than CS, with all checks; for SS it starts an interrupt
    /// shadow. Does not leave except with a fault: the lifter ends the unit with `lookup` behind it.
    case loadSegment
    /// (selector | size << 16, offset, next): far jump, through gates and task switches; leaves for the target.
    case farJump
    /// (selector | size << 16, offset, next): far call; pushes, leaves for the target.
    case farCall
    /// (size, bytes to drop): far return; leaves for the target.
    case farReturn
    /// (vector | kind << 8, next), kind an `InterruptKind`: software interrupt; leaves for the handler. Machines only.
    case softwareInterrupt
    /// (size, next): IRET; leaves for the target.
    case interruptReturn
    /// (next) SYSCALL; (size) SYSRET; (next) SYSENTER; (size) SYSEXIT. Machines only; leave for the target.
    case systemCall, systemReturn, systemEnter, systemExit
    /// (SystemCallGate): notes how a program makes the system call that the lifter leaves for next.
    case programSystemCall

    // MARK: flags
    /// (size, next): PUSHF in virtual-8086 mode; pushes and moves the stack pointer.
    case pushFlags
    /// (value, size, next): POPF of a value already read from the stack: checks, writes EFLAGS as CPL and IOPL allow, moves
    /// the stack pointer by `size`; leaves for `next` when the mode word changed or an interrupt became possible.
    case popFlags
    /// (next): STI with all checks; leaves for `next` under an interrupt shadow when an interrupt or VIP is pending.
    case setInterruptFlag
    /// (next): CLI with all checks, where it is not known to be allowed.
    case clearInterruptFlag

    // MARK: registers of the system
    /// (number): a control register; #UD. (number, value, next): leaves for `next`.
    case readControl, writeControl
    /// (number), (number, value, next): likewise a debug register.
    case readDebug, writeDebug
    /// CLTS (next). LMSW (value, next). SMSW: CR0 (UMIP checked).
    case clearTaskSwitched, loadMachineStatus, storeMachineStatus
    /// (base, limit): LGDT, LIDT.
    case loadGDT, loadIDT
    /// (0 base, 1 limit; 0 GDTR, 1 IDTR): a part of GDTR or IDTR (UMIP checked).
    case readTableRegister
    /// (selector): LLDT, LTR. SLDT, STR: the selector (UMIP checked).
    case loadLDT, loadTask, storeLDT, storeTask
    /// (selector, size | 1 << 8 for LSL, old value): LAR, LSL: the destination's new value, ZF set in the flags.
    case loadAccess
    /// (selector, 0 VERR or 1 VERW): sets ZF in the flags.
    case verify
    /// RDMSR into EDX:EAX. WRMSR (next) from ECX, EDX:EAX; leaves when the mode word changed.
    case readMSR, writeMSR
    /// RDPMC into EDX:EAX.
    case readPerformanceCounter
    /// RDTSC, RDTSCP into EDX:EAX (and ECX); #GP by CR4.TSD.
    case readTSC, readTSCP
    /// RDPID: TSC_AUX.
    case readTSCAuxiliary
    /// CPUID by EAX, ECX.
    case cpuid
    /// XGETBV by ECX. XSETBV (next).
    case readExtendedControl, writeExtendedControl
    /// RDRAND, RDSEED: a random number; CF is set by the lifter.
    case random
    /// (linear address, next): INVLPG. (type, linear address of the descriptor, next): INVPCID.
    case invalidatePage, invalidateContext
    /// (next): HLT; `X86State.activity` becomes `halted` and the unit is left for `next`.
    case halt
    /// MONITOR (linear address, ECX, EDX). MWAIT (next, EAX, ECX).
    case monitor, monitorWait
    /// SWAPGS.
    case swapGS
    /// (0 FS, 1 GS): base for RDFSBASE (CR4.FSGSBASE checked). (0 or 1, value): WRFSBASE.
    case readSegmentBase, writeSegmentBase
    /// (0 or 1, next): CLAC, STAC; leaves for `next`.
    case setAccessCheck
    /// WBINVD, INVD, WBNOINVD: nothing but the check.
    case invalidateCaches

    // MARK: input and output
    /// (port, size): IN, the value. (port, size, value): OUT. Checks IOPL and the permission map.
    case portIn, portOut
    /// (StringOperation): INS and OUTS, repeated or not, as `string`.
    case portString

    // MARK: integer
    /// (StringOperation): a bounded run of a repeated string instruction; 1 when work is left, otherwise 0.
    case string
    /// (divisor, DivideOperation): divides the double-width accumulator; #DE.
    case divide
    /// (BCD operation, immediate): DAA DAS AAA AAS AAM AAD on AX and the flags; #DE.
    case decimal
    /// (linear address, 0 or the next): CMPXCHG16B on RAX RDX RBX RCX and ZF.
    case compareExchange16
    /// (crc, value, size in bytes): CRC32.
    case crc32
    /// (value, mask, 0 PDEP or 1 PEXT).
    case depositBits

    // MARK: vectors
    /// (linear address, size): a fault unless all of it can be written.
    case probeWrite
    /// (linear address, bits 3:0 source, 7:4 mask, bit 8 MMX): MASKMOVDQU, MASKMOVQ.
    case maskedStore
    /// (linear address, MaskedMove): VMASKMOVPS and its kin.
    case maskedMove
    /// (base + displacement, Gather): VGATHERDPS and its kin.
    case gather
    /// (destination, source, suffix): 3DNow! arithmetic, the value.
    case threeDNow
    /// The guest's MXCSR. (value, next): LDMXCSR; leaves for `next` when the mode word changed.
    case readMXCSR, writeMXCSR

    // MARK: x87
    /// See x87.h: (operation and operands, value, address of the instruction).
    case x87Arithmetic, x87ArithmeticMemory, x87Compare, x87Unary, x87Load, x87LoadBCD, x87Store, x87Move, x87Control
    /// (linear address, StateImage, next): FNSTENV, FLDENV, FNSAVE, FRSTOR; FXSAVE, XSAVE and their kin. Those that load
    /// leave for `next` when the mode word changed.
    case saveImage, loadImage
}

/// What raised a software interrupt; the second argument's meaning of `HelperIndex.softwareInterrupt`.
public enum InterruptKind: UInt64, Sendable {
    /// INT n: CPL is checked against the gate, IOPL in virtual-8086 mode.
    case interrupt
    /// INT3 and INTO: CPL is checked.
    case trap
    /// INT1 (ICEBP): nothing is checked.
    case debug
}

extension X86Front {
    static func makeHelpers() -> [HelperFunction] {
        HelperIndex.allCases.map { index in
            switch index {
            case .programSystemCall: programSystemCallHelper
            case .string, .portString: stringHelper
            case .compareExchange16: compareExchange16Helper
            case .divide: divideHelper
            case .decimal: decimalHelper
            case .crc32: crc32Helper
            case .depositBits: depositBitsHelper
            case .probeWrite: probeWriteHelper
            case .maskedStore: maskedStoreHelper
            case .maskedMove: maskedMoveHelper
            case .gather: gatherHelper
            case .threeDNow: threeDNowHelper
            case .readMXCSR: readMXCSRHelper
            case .writeMXCSR: writeMXCSRHelper
            case .x87Arithmetic: guise_x87_arithmetic
            case .x87ArithmeticMemory: guise_x87_arithmetic_memory
            case .x87Compare: guise_x87_compare
            case .x87Unary: guise_x87_unary
            case .x87Load: guise_x87_load
            case .x87LoadBCD: guise_x87_load_bcd
            case .x87Store: guise_x87_store
            case .x87Move: guise_x87_move
            case .x87Control: guise_x87_control
            case .saveImage: saveImageHelper
            case .loadImage: loadImageHelper
            default: SystemHelpers.body(index)
            }
        }
    }
}

extension X86State {
    /// Asks the running unit to be left after the helper.
    func leave(_ kind: ExitKind) { self[word: StateLayout.helperExit] = kind.rawValue }

    /// Leaves for the linear address `pc`, under the current mode.
    func leave(to pc: UInt64) {
        self.pc = pc
        leave(.lookup)
    }

    /// Leaves with an exception of the current instruction.
    func leave(vector: UInt8, errorCode: UInt32 = 0) {
        self[StateLayout.exitAddress] = UInt64(errorCode)
        leave(.exception(Int(vector)))
    }
}

private let programSystemCallHelper: HelperFunction = { base, gate, _, _ in
    X86State(base)[StateLayout.exitAddress] = gate
    return 0
}
