// What the lifter makes of words: unit ends, modes, reserved encodings; every row's unit is well-formed.

import IR
import Testing
import Translator
@testable import GuestRISCV

private final class Lifting {
    let front = RISCVFront()
    let builder: Builder
    init() { builder = Builder(unit: Unit(), globals: front.globals) }

    @discardableResult
    func lift(_ bytes: [UInt8], mode: Mode = .program(frm: 0), limit: Int = 64) -> LiftResult {
        builder.begin(start: 0x1000, mode: mode.rawValue, rounding: front.rounding(mode: mode.rawValue))
        return bytes.withUnsafeBytes {
            front.lift(builder, start: 0x1000, mode: mode.rawValue, code: $0.baseAddress!, available: $0.count, limit: limit)
        }
    }

    @discardableResult
    func lift(_ words: UInt32..., mode: Mode = .program(frm: 0), limit: Int = 64) -> LiftResult {
        lift(words.flatMap { word in
            (0..<(word & 3 == 3 ? 4 : 2)).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) }
        }, mode: mode, limit: limit)
    }

    var operations: [Instruction] { (0..<builder.unit.count).map { builder.unit.instructions[$0] } }
    var last: Instruction { operations[builder.unit.count - 1] }
    func first(_ opcode: Opcode) -> Instruction? { operations.first { $0.opcode == opcode } }
    var isIllegal: Bool { last.opcode == .raise && UInt32(last.aux) == ExitKind.illegalInstruction.rawValue }
    var exit: ExitKind? { last.opcode == .raise ? ExitKind(rawValue: UInt32(last.aux)) : nil }
}

private func word(_ name: String, _ fields: [String: Int]) -> UInt32 {
    rows.encode(rows.row(named: name)!, fields.mapValues { UInt64(bitPattern: Int64($0)) })
}

private func system(_ privilege: Privilege, float: Mode.FloatUnit = .usable, frm: UInt32 = 0) -> Mode {
    Mode(frm: frm, privilege: privilege, float: float, data: .physical, fetchPaging: false)
}

@Suite struct LifterTests {
    @Test func `units of random words of every row are well-formed in every mode`() {
        let lifting = Lifting()
        var generator = SeededGenerator(state: 41)
        let modes = [Mode.program(frm: 0), .program(frm: 4), .program(frm: 7), system(.user), system(.machine),
                     system(.supervisor, float: .off), system(.supervisor, float: .clean)]
        for row in rows.rows.indices {
            for mode in modes {
                let words = (0..<4).map { _ in rows.randomWord(row, using: &generator) }
                lifting.lift(words[0], words[1], words[2], words[3], mode: mode)
                let problems = Verifier.problems(in: lifting.builder.unit, globals: lifting.front.globals,
                                                 helperCount: lifting.front.helpers.count)
                #expect(problems.isEmpty, "\(rows.name(row)): \(problems)")
                #expect(lifting.last.opcode.isTerminator)
            }
        }
    }

    @Test func `words of no row are illegal instructions at their address`() {
        let lifting = Lifting()
        for half: UInt32 in 0...0xFFFF where half & 3 != 3 && decode(half) == rows.noRow {
            lifting.lift(half)
            if !lifting.isIllegal { Issue.record("\(half)") }
        }
        lifting.lift(word("addi", ["rd": 1]), 0xFFFF_FFFF)
        #expect(lifting.isIllegal && lifting.last.imm == 0x1004)
    }

    @Test func `hints do nothing`() {
        let lifting = Lifting()
        for hint in [word("addi", [:]), word("slli", ["rs1": 3]), word("sub", ["rs1": 3, "rs2": 4]), word("lui", ["upper": 4096]),
                     word("c.li", ["imm": 5]), word("c.mv", ["rs2": 7]), word("c.add", ["rs2": 7]), word("c.lui", ["upper6": 4096]),
                     word("pause", [:]), word("max", ["rs1": 3, "rs2": 4]), word("c.nop", [:]), word("c.addi", ["imm": 3])] {
            lifting.lift(hint)
            #expect(!lifting.operations.contains { $0.opcode == .set || $0.opcode == .raise })
        }
    }

    @Test func `a load to x0 still loads`() {
        let lifting = Lifting()
        lifting.lift(word("ld", ["rs1": 5, "imm": 8]))
        #expect(lifting.first(.load)?.imm == 8)
        #expect(lifting.first(.set) == nil)
    }

    @Test func `a unit ends where its bytes or its limit end`() {
        let lifting = Lifting()
        let addi = word("addi", ["rd": 1, "rs1": 1, "imm": 1])
        #expect(lifting.lift([0x13]) == .needsMoreBytes)
        #expect(lifting.lift([0x13, 0x05, 0x15]) == .needsMoreBytes)
        #expect(lifting.lift([0x05, 0x05, 0x13, 0x05]) == .complete)
        #expect(lifting.last.opcode == .jump && lifting.last.imm == 0x1002)
        #expect(lifting.builder.unit.byteLength == 2)
        lifting.lift(addi, addi, addi, limit: 2)
        #expect(lifting.last.opcode == .jump && lifting.last.imm == 0x1008)
        #expect(lifting.builder.unit.guestInstructionCount == 2)
    }

    @Test(arguments: [
        (0, 1, JumpKind.return), (0, 5, .return), (0, 10, .jump), (1, 10, .call), (5, 10, .call), (1, 1, .call), (1, 5, .call),
        (10, 1, .return), (10, 11, .jump),
    ])
    func `jalr follows the hint table`(_ rd: Int, _ rs1: Int, _ kind: JumpKind) {
        let lifting = Lifting()
        lifting.lift(word("jalr", ["rd": rd, "rs1": rs1]))
        #expect(lifting.last.opcode == .jumpIndirect)
        #expect(JumpKind(rawValue: lifting.last.aux) == kind)
    }

    @Test func `branches leave to the target and go on behind`() {
        let lifting = Lifting()
        lifting.lift(word("bltu", ["rs1": 3, "rs2": 4, "target": -32]))
        #expect(lifting.first(.exitIf)?.imm == 0xFE0)
        #expect(lifting.last.opcode == .jump && lifting.last.imm == 0x1004)
        lifting.lift(word("bgeu", ["rs1": 3, "rs2": 3, "target": 64]))
        #expect(lifting.first(.exitIf) == nil)
        #expect(lifting.last.imm == 0x1040)
    }

    @Test func `rounding is dynamic when it is what the register holds`() {
        let lifting = Lifting()
        func rounding(_ rm: Int, frm: UInt32) -> Rounding? {
            lifting.lift(word("fadd.d", ["rm": rm]), mode: .program(frm: frm))
            return lifting.first(.floatAdd).flatMap { Rounding(rawValue: $0.aux) }
        }
        #expect(rounding(7, frm: 0) == .dynamic)
        #expect(rounding(7, frm: 3) == .dynamic)
        #expect(rounding(2, frm: 2) == .dynamic)
        #expect(rounding(2, frm: 0) == .down)
        #expect(rounding(7, frm: 4) == .nearestMaxMagnitude)
        #expect(rounding(4, frm: 0) == .nearestMaxMagnitude)
        #expect(rounding(0, frm: 4) == .nearestEven)
        #expect(rounding(0, frm: 7) == .nearestEven)
        for (rm, frm): (Int, UInt32) in [(5, 0), (6, 0), (7, 5), (7, 6), (7, 7)] {
            #expect(rounding(rm, frm: frm) == nil)
            #expect(lifting.isIllegal)
        }
    }

    @Test func `floating point that is off is illegal and clean asks to be marked first`() {
        let lifting = Lifting()
        for instruction in [word("fadd.d", [:]), word("fsgnj.s", [:]), word("fld", ["rs1": 2]), word("c.fsd", [:]),
                            word("fmv.x.d", [:]), word("fsw", ["rs1": 2])] {
            lifting.lift(instruction, mode: system(.user, float: .off))
            #expect(lifting.isIllegal)
            #expect(lifting.first(.load) == nil && lifting.first(.store) == nil)
        }
        lifting.lift(word("fadd.d", [:]), mode: system(.user, float: .clean))
        #expect(lifting.first(.call)?.imm == Int64(HelperIndex.markFloatDirty.rawValue))
        #expect(lifting.first(.floatAdd) == nil && lifting.exit == .lookup && lifting.last.imm == 0x1000)
        lifting.lift(word("fsd", ["rs1": 2]), mode: system(.user, float: .clean))
        #expect(lifting.first(.store) != nil)
    }

    @Test func `privileged instructions are illegal below their privilege and in programs`() {
        let lifting = Lifting()
        for (name, lowest): (String, Privilege) in [("mret", .machine), ("sret", .supervisor), ("wfi", .supervisor),
                                                    ("sfence.vma", .supervisor)] {
            lifting.lift(word(name, [:]))
            #expect(lifting.isIllegal)
            for privilege in [Privilege.user, .supervisor, .machine] {
                lifting.lift(word(name, [:]), mode: system(privilege))
                #expect(lifting.isIllegal == (privilege.rawValue < lowest.rawValue), "\(name) \(privilege)")
            }
        }
    }

    @Test func `fences order stores before loads only when asked`() {
        let lifting = Lifting()
        for (pred, succ, storeLoad) in [(3, 3, true), (1, 2, true), (2, 3, false), (3, 1, false), (4, 8, true), (15, 15, true)] {
            lifting.lift(word("fence", ["pred": pred, "succ": succ]))
            #expect(lifting.first(.fence)?.aux == (storeLoad ? FenceKind.storeLoad : .compiler).rawValue)
        }
        lifting.lift(word("fence.tso", [:]))
        #expect(lifting.first(.fence)?.aux == FenceKind.compiler.rawValue)
        lifting.lift(word("fence.i", [:]))
        #expect(lifting.exit == .instructionFence && lifting.last.imm == 0x1004)
    }

    @Test func `environment instructions report their own address`() {
        let lifting = Lifting()
        for (name, kind): (String, ExitKind) in [("ecall", .systemCall), ("ebreak", .breakpoint), ("c.ebreak", .breakpoint)] {
            lifting.lift(word("addi", ["rd": 1]), word(name, [:]))
            #expect(lifting.exit == kind && lifting.last.imm == 0x1004)
        }
    }
}
