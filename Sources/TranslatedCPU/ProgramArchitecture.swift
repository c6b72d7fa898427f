// What the engine of programs must know about a guest architecture beyond its front.

import GuestRISCV
import GuestX86
import Translator

/// An architecture that Linux programs can have.
public struct ProgramArchitecture {
    /// Its front; one per engine.
    public let front: any GuestFront
    /// Whether changed code is only executed behind an instruction fence. Without one, writes to code are noticed when they
    /// happen.
    public let hasInstructionFence: Bool
    /// Bytes one unit may be made from: its instructions at their longest.
    public let unitBytesMax: Int
    /// Bits added to the mode word of a unit that must hold one instruction only; 0 where that never happens.
    public let singleMode: UInt32
    /// Gives a zeroed state block the registers a program starts with, pc excepted.
    public let reset: (UnsafeMutableRawPointer) -> Void

    public init(front: any GuestFront, hasInstructionFence: Bool, unitBytesMax: Int, singleMode: UInt32 = 0,
                reset: @escaping (UnsafeMutableRawPointer) -> Void) {
        self.front = front
        self.hasInstructionFence = hasInstructionFence
        self.unitBytesMax = unitBytesMax
        self.singleMode = singleMode
        self.reset = reset
    }

    /// x86: 64-bit programs, or 32-bit ones on the same processor.
    /// - Parameter model: the processor programs see; kept as long as the architecture.
    public static func x86(is64: Bool, model: CPUModel = .max) -> ProgramArchitecture {
        ProgramArchitecture(front: X86Front(features: model.instructions), hasInstructionFence: false,
                            unitBytesMax: 64 * 15, singleMode: Mode.single) {
            X86State($0).install(model)
            X86State($0).resetForProgram(is64: is64, pc: 0)
        }
    }

    /// RV64GC.
    public static func riscv64() -> ProgramArchitecture {
        ProgramArchitecture(front: RISCVFront(), hasInstructionFence: true, unitBytesMax: 64 * 4) {
            RISCVState($0).resetForProgram(pc: 0)
        }
    }
}
