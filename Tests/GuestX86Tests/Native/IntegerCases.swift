// Random experiments with integer instructions.

import Testing
@testable import GuestX86

/// Random experiments with integer rows.
struct IntegerCases {
    let harness: X86Harness
    let is64: Bool
    let decoder = X86Decoder()
    var random: SeededGenerator
    var turn = 0
    private var reports = 0

    init(_ harness: X86Harness, is64: Bool, seed: UInt64 = 1) {
        self.harness = harness
        self.is64 = is64
        random = SeededGenerator(state: seed)
    }

    mutating func run(_ rows: [Int], _ repetitions: Int, _ executor: (X86Case, Int) throws -> X86Outcome) throws {
        for number in rows {
            let form = RandomInstruction(number, is64: is64)
            guard form.isPossible else { continue }
            var wrong = 0
            for _ in 0..<repetitions where wrong < 2 {
                guard let (experiment, decoded) = experiment(form) else { continue }
                if UndefinedFlags.isIncomparable(form.row.name, decoded, experiment.before) { continue }
                let undefined = UndefinedFlags.mask(form.row.name, decoded, experiment.before)
                if try !compare(experiment, form.row.name, undefined: undefined, executor) { wrong += 1 }
            }
        }
    }

    /// Runs an experiment on the processor and an executor; false, and an issue, when they differ.
    @discardableResult
    mutating func compare(_ experiment: X86Case, _ name: String, undefined: UInt32 = 0,
                          _ executor: (X86Case, Int) throws -> X86Outcome) throws -> Bool {
        turn += 1
        let expected = try harness.native(experiment)
        let differences = expected.differences(from: try executor(experiment, turn), undefined: undefined)
        if differences.isEmpty { return true }
        report(name, experiment, differences)
        return false
    }

    /// An experiment with one instruction of a row.
    private mutating func experiment(_ form: RandomInstruction) -> (X86Case, X86Instruction)? {
        guard let (bytes, decoded) = form.encode(decoder, &random) else { return nil }
        var experiment = X86Case(code: bytes, is64: is64)
        for register in 0..<(is64 ? 16 : 8) {
            experiment.before.general[register] = random.operand() & (is64 ? .max : 0xFFFF_FFFF)
        }
        experiment.before.flags = UInt32(truncatingIfNeeded: random.next()) & EFlags.status
        // Around the target lie random numbers.
        let place = Int(random.next() % 4000) + 2048
        experiment.data = [UInt8](repeating: 0, count: place - 64)
        for _ in 0..<16 { withUnsafeBytes(of: random.operand()) { experiment.data += $0 } }
        experiment.before.general[GPR.rsp] = harness.middle
        let name = form.row.name
        if name == "leave" { experiment.before.general[GPR.rbp] = harness.middle + 64 }
        if name == "xlat" { experiment.before.general[GPR.rbx] = harness.middle }
        if name.hasPrefix("bt"), form.row.operands.1.kind == .register, decoded.isMemory {
            experiment.before.general[Int(decoded.reg)] = UInt64(bitPattern: Int64(Int16(truncatingIfNeeded: random.next())) / 4)
            if !is64 { experiment.before.general[Int(decoded.reg)] &= 0xFFFF_FFFF }
            if decoded.reg == UInt8(bitPattern: decoded.base) || decoded.reg == UInt8(bitPattern: decoded.index) { return nil }
        }
        let aligned = name == "cmpxchg16b" ? UInt64(place) & ~15 : UInt64(place)
        guard name == "lea" || harness.aim(decoded, &experiment.before, at: harness.data + aligned, is64: is64) else { return nil }
        if name == "xlat", decoded.addressSize == 2 { return nil }
        return (experiment, decoded)
    }

    private mutating func report(_ name: String, _ experiment: X86Case, _ differences: [String]) {
        reports += 1
        if reports > 25 { return }
        let bytes = experiment.code.map { String($0, radix: 16) }.joined(separator: " ")
        let registers = (0..<16).map { "\(X86Harness.names[$0])=\(String(experiment.before.general[$0], radix: 16))" }
        Issue.record("""
        \(name) \(bytes) \(is64 ? "64" : "32"), processor and we:
        \(differences.joined(separator: "\n"))
        before: \(registers.joined(separator: " ")) flags=\(String(experiment.before.flags, radix: 16))
        """)
    }
}

extension IntegerCases {
    /// Data all alike, and with repetitions near and far.
    private static let patterns: [[UInt8]] = [
        [UInt8](repeating: 0x5A, count: X86Harness.dataSize),
        (0..<X86Harness.dataSize).map { UInt8($0 & 7) },
        (0..<X86Harness.dataSize).map { UInt8(truncatingIfNeeded: $0 &* 7) },
    ]

    /// Random general registers, flags and data.
    private mutating func blank(_ code: [UInt8]) -> X86Case {
        var experiment = X86Case(code: code, is64: is64)
        for register in 0..<(is64 ? 16 : 8) {
            experiment.before.general[register] = random.operand() & (is64 ? .max : 0xFFFF_FFFF)
        }
        experiment.before.flags = UInt32(truncatingIfNeeded: random.next()) & EFlags.status
        experiment.before.general[GPR.rsp] = harness.middle
        return experiment
    }

    /// A string instruction with any prefixes, short and long, overlapping or running out of the data.
    mutating func stringExperiment() -> X86Case {
        var code: [UInt8] = []
        if random.once(in: 4) { code.append(0x66) }
        if !random.once(in: 4) { code.append(random.pick([0xF2, 0xF3])) }
        if is64, random.once(in: 6) { code.append(0x67) }
        if is64, random.once(in: 2) { code.append(random.pick([0x48, 0x40])) }
        code.append(random.pick([0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF]))
        var experiment = blank(code)
        let bytes = UInt64(X86Harness.dataSize)
        experiment.data = random.pick(Self.patterns)
        if random.once(in: 3) { experiment.before.flags |= EFlags.df }
        let place = random.once(in: 5) ? random.pick([0, 3, bytes - 1, bytes - 8, bytes - 40, 4090]) : random.next() % bytes
        let near = place &+ (random.next() % 40) &- 20
        experiment.before.general[GPR.rsi] = harness.data &+ place
        experiment.before.general[GPR.rdi] = harness.data &+ (random.once(in: 2) ? near : random.next() % bytes)
        experiment.before.general[GPR.rcx] = random.once(in: 8) ? random.next() % 3000 : random.next() % 24
        if random.once(in: 3) {
            // Something to be found.
            experiment.before.general[GPR.rax] = UInt64(experiment.data[Int(place)]) &* 0x0101_0101_0101_0101
            if !is64 { experiment.before.general[GPR.rax] &= 0xFFFF_FFFF }
        }
        return experiment
    }

    /// A branch, call or return whose destination is in the page of code.
    mutating func controlExperiment() -> X86Case {
        let start = 2048
        // Not into the instruction itself: some would go on for ever.
        let distance = Int(random.next() % 100) + 16
        let target = start + (random.once(in: 2) ? distance : -distance)
        var code: [UInt8] = []
        let wantsPrefix = random.once(in: 10), kind = random.next() % 11
        // In 64-bit code Intel's processors ignore it before near branches, AMD's do not.
        if wantsPrefix, !is64 || UndefinedFlags.hostIsAMD || 7...9 ~= kind { code.append(0x66) }
        func near(_ opcode: [UInt8]) -> [UInt8] {
            let distance = Int32(target - start - code.count - opcode.count - 4)
            return opcode + withUnsafeBytes(of: distance) { Array($0) }
        }
        func short(_ opcode: UInt8) -> [UInt8] { [opcode, UInt8(truncatingIfNeeded: target - start - code.count - 2)] }
        let register = random.pick([0, 1, 2, 3, 5, 6, 7] as [UInt8])
        switch kind {
        case 0: code += short(0x70 | random.byte() & 15)
        case 1: code += near([0x0F, 0x80 | random.byte() & 15])
        case 2: code += short(random.pick([0xE0, 0xE1, 0xE2, 0xE3, 0xEB]))
        case 3: code += near([random.pick([0xE8, 0xE9])])
        case 4: code += [0xFF, random.pick([0xD0, 0xE0]) | register]
        case 5: code += [0xFF, random.pick([0x10, 0x20]) | 4, 0x24] // [rsp]
        case 6: code += [0xC3]
        case 7: code += [0x9C]
        case 8: code += [0x9D]
        case 9: code += [0xC8, random.byte(), random.byte() & 7, random.pick([0, 0, 1, 2, 5, 31, 33])]
        default: code += [0xC2, random.byte() & 31, 0]
        }
        var experiment = blank(code)
        experiment.offset = start
        if random.once(in: 2) { experiment.before.general[GPR.rcx] = random.next() % 3 }
        experiment.before.general[Int(register)] = harness.code + UInt64(target)
        experiment.data = [UInt8](repeating: 0, count: X86Harness.dataSize / 2)
        // POPF must not set TF.
        let top = kind == 8 ? random.next() & UInt64(EFlags.status | EFlags.df) | 0x202 : harness.code + UInt64(target)
        withUnsafeBytes(of: top) { experiment.data += $0 }
        if kind == 9 { experiment.before.general[GPR.rbp] = harness.middle + 256 + random.next() % 512 }
        return experiment
    }
}
