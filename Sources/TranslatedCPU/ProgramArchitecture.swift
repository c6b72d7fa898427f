// What the engine of programs must know about a guest architecture beyond its front.

import GuestRISCV
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

    /// RV64GC.
    public static func riscv64() -> ProgramArchitecture {
        ProgramArchitecture(front: RISCVFront(), hasInstructionFence: true, unitBytesMax: 64 * 4) {
            RISCVState($0).resetForProgram(pc: 0)
        }
    }
}
