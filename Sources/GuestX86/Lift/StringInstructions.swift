// MOVS STOS LODS SCAS CMPS INS OUTS. One iteration is made inline; a repeated one is a helper that does a bounded run
// (StringRun.swift) and leaves registers and flags as between two iterations, after which the instruction goes on or starts
// over at itself, so that interrupts and faults come where they do on a processor.
//
// Source: AMD APM volume 3, 1.2.6 and the instructions.

import IR
import Translator

enum StringInstructions {
    static func join(_ row: LiftTable) {
        row("movs") { $0.string(.move) }
        row("stos") { $0.string(.store) }
        row("lods") { $0.string(.load) }
        row("scas") { $0.string(.scan) }
        row("cmps") { $0.string(.compare) }
        row("ins") { $0.portString(.input) }
        row("outs") { $0.portString(.output) }
    }
}

/// A string instruction, packed into a helper argument.
struct StringOperation: RawRepresentable {
    enum Kind: UInt64 {
        case move, store, load, scan, compare, input, output
        var readsSource: Bool { self == .move || self == .load || self == .compare || self == .output }
        var usesDestination: Bool { self != .load && self != .output }
    }

    /// Bits 2:0 kind, 4:3 log2 of the element size, 8:5 address size, 11:9 source segment, 12 REPNE, 13 not repeated.
    let rawValue: UInt64
    init(rawValue: UInt64) { self.rawValue = rawValue }
    init(_ kind: Kind, size: Int, addressSize: Int, segment: Segment, whileNotEqual: Bool, isRepeated: Bool) {
        rawValue = kind.rawValue | UInt64(size.trailingZeroBitCount) << 3 | UInt64(addressSize) << 5
            | UInt64(segment.rawValue) << 9 | (whileNotEqual ? 1 << 12 : 0) | (isRepeated ? 0 : 1 << 13)
    }

    var kind: Kind { Kind(rawValue: rawValue & 7) ?? .load }
    var sizeLog2: UInt64 { rawValue >> 3 & 3 }
    /// Bytes of an element.
    var size: UInt64 { 1 << sizeLog2 }
    var addressSize: Int { Int(rawValue >> 5 & 15) }
    var segment: Segment { Segment(rawValue: Int(rawValue >> 9 & 7)) ?? .ds }
    var whileNotEqual: Bool { rawValue & 1 << 12 != 0 }
    var isRepeated: Bool { rawValue & 1 << 13 == 0 }
}

extension Lifter {
    private func operation(_ kind: StringOperation.Kind, _ size: Int) -> StringOperation {
        StringOperation(kind, size: size, addressSize: Int(i.addressSize), segment: dataSegment,
                        whileNotEqual: i.hasRepne, isRepeated: i.hasRep || i.hasRepne)
    }

    mutating func string(_ kind: StringOperation.Kind) {
        let size = size(kind == .load || kind == .scan ? 1 : 0)
        guard i.hasRep || i.hasRepne else { return iterate(kind, size) }
        let packed = operation(kind, size)
        let left = call(.string, k(Int64(bitPattern: packed.rawValue)))
        b.exitIf(.notEqual, left, k(0), target: pc)
        if kind == .move || kind == .store { endBehindWriting() }
    }

    /// Ends the unit: a helper may have written to what follows in it.
    mutating func endBehindWriting() { jump(next) }

    /// INS and OUTS: always a helper, which checks memory before it touches the port.
    mutating func portString(_ kind: StringOperation.Kind) {
        guard mode.has(Mode.system) else { return raise(ExceptionVector.generalProtection) }
        let packed = operation(kind, size(kind == .input ? 0 : 1))
        let left = call(.portString, k(Int64(bitPattern: packed.rawValue)))
        b.exitIf(.notEqual, left, k(0), target: pc)
        if kind == .input { endBehindWriting() }
    }

    private func iterate(_ kind: StringOperation.Kind, _ size: Int) {
        switch kind {
        case .move:
            let value = load(sourceAddress(size), size)
            store(destinationAddress(size, write: true), size, value)
            advance(GPR.rsi, size)
            advance(GPR.rdi, size)
        case .store:
            store(destinationAddress(size, write: true), size, register(GPR.rax, size))
            advance(GPR.rdi, size)
        case .load:
            let value = load(sourceAddress(size), size)
            setRegister(GPR.rax, size, value)
            advance(GPR.rsi, size)
        case .scan:
            let value = load(destinationAddress(size, write: false), size)
            setFlags(b.flags(.sub, register(GPR.rax, size), value))
            advance(GPR.rdi, size)
        default:
            // Read in this order, which decides between two faults.
            let right = load(destinationAddress(size, write: false), size), left = load(sourceAddress(size), size)
            setFlags(b.flags(.sub, left, right))
            advance(GPR.rsi, size)
            advance(GPR.rdi, size)
        }
    }

    private func sourceAddress(_ size: Int) -> X86Address {
        linear(dataSegment, truncated(register(GPR.rsi), Int(i.addressSize)), size: size, write: false)
    }

    /// ES whatever the prefix.
    private func destinationAddress(_ size: Int, write: Bool) -> X86Address {
        linear(.es, truncated(register(GPR.rdi), Int(i.addressSize)), size: size, write: write)
    }

    /// Moves an index register by an element, in the direction of DF.
    private func advance(_ number: Int, _ size: Int) {
        let width = Int(i.addressSize)
        let step = b.binary(.shiftLeft, b.get(X86Global.direction), k(Int64(size.trailingZeroBitCount)))
        setRegister(number, width, b.truncate(b.add(register(number), step), Self.type(width)))
    }
}
