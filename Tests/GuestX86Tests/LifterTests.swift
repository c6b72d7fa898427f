// What the lifter makes of instructions: well-formed units in every mode, exceptions of the mode, ends of units.

import IR
import Testing
import Translator
@testable import GuestX86

private final class Lifting {
    let front = X86Front(features: .all)
    let builder: Builder
    init() { builder = Builder(unit: Unit(), globals: front.globals) }

    @discardableResult
    func lift(_ bytes: [UInt8], mode: Mode = .program64, start: UInt64 = 0x1000, limit: Int = 64) -> LiftResult {
        builder.begin(start: start, mode: mode.rawValue, rounding: .nearestEven)
        return bytes.withUnsafeBytes {
            front.lift(builder, start: start, mode: mode.rawValue, code: $0.baseAddress!, available: $0.count, limit: limit)
        }
    }

    var operations: [Instruction] { (0..<builder.unit.count).map { builder.unit.instructions[$0] } }
    var last: Instruction { operations[builder.unit.count - 1] }
    func first(_ opcode: Opcode) -> Instruction? { operations.first { $0.opcode == opcode } }
    /// The exception that the unit ends with.
    var vector: Int? { last.opcode == .raise ? ExitKind(rawValue: UInt32(last.aux))?.exceptionVector : nil }
    func exceptionIf(_ vector: UInt8) -> Bool {
        operations.contains { $0.opcode == .raiseIf && $0.imm == Int64(ExitKind.exception(Int(vector)).rawValue) }
    }
}

/// A mode of a machine.
private func machine(_ size: Mode.CodeSize, cpl: UInt32 = 0, _ bits: UInt32, segment: UInt32 = 0) -> Mode {
    Mode(rawValue: size.rawValue | cpl << 3 | Mode.system | bits | segment << Mode.codeSegmentShift)
}

@Suite struct LifterTests {
    private static let real = CodeSegmentTable.number(CodeSegment(base: 0xF0000, limit: 0xFFFF))

    private static let modes: [Mode] = [
        .program64, .program32,
        machine(.bits64, Mode.protected | Mode.flatData | Mode.sse | Mode.avx),
        machine(.bits64, cpl: 3, Mode.protected | Mode.flatData | Mode.alignment | Mode.noFPU | Mode.noSSE | Mode.sse),
        machine(.bits32, Mode.protected | Mode.stack32 | Mode.wideFS | Mode.sse),
        machine(.bits32, cpl: 3, Mode.protected | Mode.flatData | Mode.stack32, segment: UInt32(CodeSegmentTable.unnumbered)),
        machine(.bits16, 0, segment: real),
        machine(.bits16, cpl: 3, Mode.protected | Mode.virtual8086, segment: real),
        machine(.bits16, Mode.protected | Mode.stack32 | Mode.single | Mode.sse | Mode.avx),
    ]

    @Test(arguments: modes) func `units of random encodings of every row are well-formed`(mode: Mode) {
        let lifting = Lifting()
        var random = SeededGenerator(state: UInt64(mode.rawValue))
        for number in InstructionTable.rows.indices {
            let form = RandomInstruction(number, is64: mode.is64)
            for _ in 0..<3 {
                let bytes = form.attempt(&random) + [UInt8](repeating: 0x90, count: 16)
                lifting.lift(bytes, mode: mode, start: 0xF_1000, limit: 4)
                let problems = Verifier.problems(in: lifting.builder.unit, globals: lifting.front.globals,
                                                 helperCount: lifting.front.helpers.count)
                if !problems.isEmpty { Issue.record("\(form.row.name) \(bytes) \(mode): \(problems)") }
                if !lifting.last.opcode.isTerminator { Issue.record("\(form.row.name) does not end") }
            }
        }
    }

    @Test func `random bytes lift in every mode`() {
        let lifting = Lifting()
        var random = SeededGenerator(state: 9)
        for mode in Self.modes {
            for _ in 0..<400 {
                let bytes = (0..<32).map { _ in random.byte() }
                if lifting.lift(bytes, mode: mode) == .needsMoreBytes { continue }
                #expect(lifting.last.opcode.isTerminator)
                #expect(lifting.builder.unit.byteLength <= bytes.count)
            }
        }
    }

    @Test func `a unit ends where its bytes or its limit end`() {
        let lifting = Lifting()
        #expect(lifting.lift([0x48]) == .needsMoreBytes)
        #expect(lifting.lift([0x48, 0x81, 0xC0, 1, 0, 0]) == .needsMoreBytes)
        #expect(lifting.lift([0x90, 0x48, 0x81]) == .complete)
        #expect(lifting.last.opcode == .jump && lifting.last.imm == 0x1001 && lifting.builder.unit.byteLength == 1)
        lifting.lift([0x90, 0x90, 0x90], limit: 2)
        #expect(lifting.last.imm == 0x1002 && lifting.builder.unit.guestInstructionCount == 2)
        lifting.lift([0x90, 0x90], mode: Mode(rawValue: Mode.program64.rawValue | Mode.single))
        #expect(lifting.last.imm == 0x1001)
    }

    @Test func `branches lead out and units go on behind the first forward ones`() {
        let lifting = Lifting()
        lifting.lift([0x74, 0x10, 0x90, 0x75, 0x80])
        let exits = lifting.operations.filter { $0.opcode == .exitIfFlags }
        #expect(exits.map(\.imm) == [0x1012, 0xF85])
        #expect(lifting.last.opcode == .jump && lifting.last.imm == 0x1005)
    }

    @Test func `calls and returns are told to the predictor`() {
        let lifting = Lifting()
        lifting.lift([0xE8, 0x10, 0, 0, 0])
        #expect(lifting.last.opcode == .jump && JumpKind(rawValue: lifting.last.aux) == .call && lifting.last.imm == 0x1015)
        lifting.lift([0xC3])
        #expect(lifting.last.opcode == .jumpIndirect && JumpKind(rawValue: lifting.last.aux) == .return)
        lifting.lift([0xFF, 0xD0])
        #expect(JumpKind(rawValue: lifting.last.aux) == .call)
    }

    @Test func `sixteen bytes and code beyond the limit are a general protection fault`() {
        let lifting = Lifting()
        lifting.lift([UInt8](repeating: 0x66, count: 15) + [0x90])
        #expect(lifting.vector == 13)
        let mode = machine(.bits16, 0, segment: Self.real)
        lifting.lift([0x05, 1, 2, 3], mode: mode, start: 0xFFFFE)
        #expect(lifting.vector == 13)
        lifting.lift([0x90, 0x90, 0x90], mode: mode, start: 0xFFFFE)
        #expect(lifting.vector == 13 && lifting.builder.unit.guestInstructionCount == 3)
    }

    @Test func `16-bit branches wrap within the segment`() {
        let lifting = Lifting()
        lifting.lift([0xEB, 0x7E], mode: machine(.bits16, 0, segment: Self.real), start: 0xFFFF0)
        #expect(lifting.last.opcode == .jump && lifting.last.imm == 0xF0070)
    }

    @Test func `programs may not touch ports, interrupts or the processor`() {
        let lifting = Lifting()
        let forbidden: [[UInt8]] = [[0xE4, 1], [0xEF], [0x6C], [0xFA], [0xFB], [0xF4], [0x0F, 0x20, 0xC0], [0x0F, 0x30],
                                    [0x0F, 0x01, 0x18]]
        for bytes in forbidden {
            lifting.lift(bytes)
            #expect(lifting.vector == 13, "\(bytes)")
        }
    }

    @Test func `programs leave for their system calls`() {
        let lifting = Lifting()
        let gates: [([UInt8], SystemCallGate)] = [([0x0F, 0x05], .syscall), ([0xCD, 0x80], .interrupt80),
                                                  ([0x0F, 0x34], .sysenter)]
        for (bytes, gate) in gates {
            lifting.lift([0x90] + bytes)
            let call = lifting.first(.call)
            #expect(call?.imm == Int64(HelperIndex.programSystemCall.rawValue))
            #expect(call.map { lifting.operations[Int($0.a)].imm } == Int64(gate.rawValue))
            #expect(lifting.last.aux == UInt8(ExitKind.systemCall.rawValue) && lifting.last.imm == 0x1001)
        }
    }

    @Test func `what a model lacks is undefined or means what it did before`() {
        var features = X86FeatureSet.all
        features.remove(.lzcnt)
        features.remove(.movbe)
        let front = X86Front(features: features)
        let builder = Builder(unit: Unit(), globals: front.globals)
        func lift(_ bytes: [UInt8]) -> [Instruction] {
            builder.begin(start: 0, mode: Mode.program64.rawValue, rounding: .nearestEven)
            _ = bytes.withUnsafeBytes {
                front.lift(builder, start: 0, mode: Mode.program64.rawValue, code: $0.baseAddress!, available: $0.count, limit: 1)
            }
            return (0..<builder.unit.count).map { builder.unit.instructions[$0] }
        }
        #expect(lift([0x0F, 0x38, 0xF0, 0x00]).last?.opcode == .raise)
        // LZCNT becomes BSR, which subtracts the count from 31.
        #expect(lift([0xF3, 0x0F, 0xBD, 0xC1]).contains { $0.opcode == .sub })
    }

    @Test func `divisions behind a sign extension are made inline`() {
        let lifting = Lifting()
        lifting.lift([0x48, 0x99, 0x48, 0xF7, 0xF9]) // cqo; idiv rcx
        #expect(lifting.first(.call) == nil && lifting.first(.divideSigned) != nil && lifting.exceptionIf(0))
        lifting.lift([0x31, 0xD2, 0x48, 0xF7, 0xF1]) // xor edx, edx; div rcx
        #expect(lifting.first(.call) == nil && lifting.first(.divideUnsigned) != nil)
        lifting.lift([0x48, 0xF7, 0xF1])
        #expect(lifting.first(.call) != nil)
    }

    @Test func `flat segments cost nothing and others are checked`() {
        let lifting = Lifting()
        let load: [UInt8] = [0x8B, 0x03] // mov eax, [ebx]
        lifting.lift(load, mode: .program32)
        #expect(lifting.first(.call) == nil)
        lifting.lift(load, mode: machine(.bits32, Mode.protected | Mode.stack32))
        #expect(lifting.first(.call)?.imm == Int64(HelperIndex.linear.rawValue))
        lifting.lift([0x65] + load, mode: Mode(rawValue: Mode.program32.rawValue | Mode.wideGS))
        #expect(lifting.first(.call) == nil && lifting.operations.contains {
            $0.opcode == .get && $0.imm == Int64(X86Global.segmentBase(.gs))
        })
        lifting.lift([0x65] + load, mode: .program32)
        #expect(lifting.first(.call) != nil)
    }
}
