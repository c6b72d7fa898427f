// RV64GC with Zba, Zbb, Zbs and Zicond as the translator sees it.

import IR
import ISA
import Translator

/// The RISC-V front.
public final class RISCVFront: GuestFront {
    public let globals: [Global]
    public let integerPins: [Int]
    public let floatPins: [Int]
    public let helpers: [HelperFunction]
    public var floatRules: FloatRules { .riscv }

    /// The instruction set, for disassembly.
    public let instructionSet: InstructionSet
    private let table: LiftTable

    /// Registers worth a host register, by how often compiled code uses them.
    /// a5 a4 a0 a3 sp a2 a1 s0 s1 a6 a7 s2 ra t1 s3
    static let pinnedIntegers = [15, 14, 10, 13, 2, 12, 11, 8, 9, 16, 17, 18, 1, 6, 19]
    /// fa5 fa4 fa0 fa3 fa1 fa2 ft0 fa6 fa7 ft1 fs0 fs1
    static let pinnedFloats = [15, 14, 10, 13, 11, 12, 0, 16, 17, 1, 8, 9]

    /// Number of the global of an integer register, 1 … 31.
    public static func global(x register: Int) -> Int { register - 1 }
    /// Number of the global of a floating point register, 0 … 31.
    public static func global(f register: Int) -> Int { Lifter.floatBase + register }

    public init() {
        instructionSet = RISCVRows.make()
        table = LiftTable(instructionSet)
        var globals: [Global] = []
        globals.reserveCapacity(63)
        for register in 1..<32 {
            globals.append(Global(name: RISCVRows.integerNames[register], type: .i64,
                                  offset: StateLayout.integerGlobals + (register - 1) * 8))
        }
        for register in 0..<32 {
            globals.append(Global(name: RISCVRows.floatNames[register], type: .f64,
                                  offset: StateLayout.floatGlobals + register * 8))
        }
        integerPins = Self.pinnedIntegers.map(Self.global(x:))
        floatPins = Self.pinnedFloats.map(Self.global(f:))
        self.globals = globals
        helpers = Self.makeHelpers()
    }

    deinit { table.deallocate() }

    /// The mode word of a Linux program with the given state block.
    public func userMode(_ state: UnsafeMutableRawPointer) -> UInt32 {
        Mode.program(frm: RISCVState(state).frm).rawValue
    }

    public func rounding(mode: UInt32) -> Rounding { Mode(rawValue: mode).rounding }

    public func tlbMode(mode: UInt32) -> Int { Int(Mode(rawValue: mode).data.rawValue) }

    public func lift(_ builder: Builder, start: UInt64, mode: UInt32, code: UnsafeRawPointer, available: Int,
                     limit: Int) -> LiftResult {
        var lifter = Lifter(b: builder, mode: Mode(rawValue: mode), pc: start, next: start)
        var offset = 0
        var count = 0
        let functions = table.functions
        while !lifter.ended {
            // SAFETY: `code` holds `available` bytes; every read is behind a check that its bytes are among them.
            guard available &- offset >= 2, count < limit else { break }
            var word = UInt32(code.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
            let row: Int
            if word & 3 == 3 {
                guard available &- offset >= 4 else { break }
                word = code.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                row = instructionSet.decode32(word)
                offset &+= 4
            } else {
                row = instructionSet.decode16(word)
                offset &+= 2
            }
            lifter.pc = lifter.next
            lifter.next = start &+ UInt64(truncatingIfNeeded: offset)
            builder.instruction(lifter.pc)
            functions[row](&lifter, Word(word))
            count &+= 1
        }
        if count == 0 { return .needsMoreBytes }
        if !lifter.ended { lifter.jump(lifter.next) }
        builder.unit.byteLength = offset
        return .complete
    }

    /// The instruction at the start of `code` in assembly, and its length; nil when it is not complete.
    public func disassemble(_ code: UnsafeRawBufferPointer, address: UInt64) -> (text: String, length: Int)? {
        guard code.count >= 2 else { return nil }
        let half = UInt32(code[0]) | UInt32(code[1]) << 8
        if half & 3 != 3 {
            return (instructionSet.disassemble(instructionSet.decode16(half), word: half, address: address), 2)
        }
        guard code.count >= 4 else { return nil }
        let word = half | UInt32(code[2]) << 16 | UInt32(code[3]) << 24
        return (instructionSet.disassemble(instructionSet.decode32(word), word: word, address: address), 4)
    }
}
