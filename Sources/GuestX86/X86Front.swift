// x86 as the translator sees it: 16-, 32- and 64-bit code by the mode word.

import IR
import Translator

/// The x86 front of one processor model.
public final class X86Front: GuestFront {
    public let globals: [Global]
    public let integerPins: [Int]
    public let floatPins: [Int] = (0..<12).map(X86Global.xmm)
    public let helpers: [HelperFunction]
    public var floatRules: FloatRules { .x86 }
    /// What the model has; rows of other features are #UD.
    public let features: X86FeatureSet
    private let table: LiftTable
    let decoder: X86Decoder

    /// Registers worth a host register, by how often compiled code uses them.
    static let pinned = [GPR.rax, GPR.rcx, GPR.rdx, GPR.rdi, GPR.rsi, GPR.rbx, GPR.rsp, GPR.rbp, 8, 9, 12, 13, 10, 14, 11, 15]
    static let registerNames = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"]

    /// - Parameter features: what the processor model has.
    public init(features: X86FeatureSet) {
        self.features = features
        globals = Self.makeGlobals()
        integerPins = Self.pinned
        table = LiftTable()
        decoder = X86Decoder(features: features)
        helpers = Self.makeHelpers()
    }

    deinit { table.deallocate() }

    /// The globals in the order of `X86Global`.
    private static func makeGlobals() -> [Global] {
        var globals: [Global] = []
        globals.reserveCapacity(X86Global.count)
        for (number, name) in registerNames.enumerated() {
            globals.append(Global(name: name, type: .i64, offset: X86Layout.register(number)))
        }
        globals.append(Global(name: "flags", type: .flags, offset: X86Layout.flags))
        for (segment, name) in ["es", "cs", "ss", "ds", "fs", "gs"].enumerated() {
            globals.append(Global(name: name + "_base", type: .i64, offset: X86Layout.segmentBase(segment)))
        }
        globals.append(Global(name: "direction", type: .i64, offset: X86Layout.direction))
        globals.append(Global(name: "scratch", type: .i64, offset: X86Layout.scratch))
        for number in 0..<16 {
            globals.append(Global(name: "xmm\(number)", type: .v128, offset: X86Layout.xmm(number)))
        }
        for number in 0..<16 {
            globals.append(Global(name: "ymm\(number)h", type: .v128, offset: X86Layout.ymmHigh(number)))
        }
        for number in 0..<8 {
            globals.append(Global(name: "mmx\(number)", type: .i64, offset: X86Layout.x87Registers + number * 16))
        }
        globals.append(Global(name: "eflags", type: .i32, offset: SystemLayout.eflags))
        globals.append(Global(name: "x87", type: .i64, offset: X86Layout.x87Control))
        for number in 0..<8 {
            globals.append(Global(name: "r\(number)_exponent", type: .i64, offset: X86Layout.x87Registers + number * 16 + 8))
        }
        globals.append(Global(name: "x87_ip", type: .i64, offset: X86Layout.x87InstructionPointer))
        globals.append(Global(name: "x87_dp", type: .i64, offset: X86Layout.x87DataPointer))
        globals.append(Global(name: "x87_next", type: .i64, offset: X86Layout.x87Next))
        globals.append(Global(name: "x87_wide", type: .i64, offset: X86Layout.x87Wide))
        return globals
    }

    /// MXCSR's rounding is not part of the mode: vector operations round as the host's MXCSR says, which is the guest's.
    public func rounding(mode: UInt32) -> Rounding { .nearestEven }

    public func isLight(helper: Int) -> Bool {
        switch HelperIndex(rawValue: helper) {
        case .x87Arithmetic, .x87ArithmeticMemory, .x87Compare, .x87Unary, .x87Load, .x87LoadBCD, .x87Store, .x87Move,
             .x87Control: true
        default: false
        }
    }

    public func tlbMode(mode: UInt32) -> Int { Int(Mode(rawValue: mode).data.rawValue) }

    public func lift(_ builder: Builder, start: UInt64, mode: UInt32, code: UnsafeRawPointer, available: Int,
                     limit: Int) -> LiftResult {
        let mode = Mode(rawValue: mode)
        let segment = mode.is64 ? CodeSegmentTable.flat : CodeSegmentTable.segment(mode.codeSegment)
        builder.unit.trapsFloats = mode.has(Mode.simdTraps)
        var lifter = Lifter(builder, mode: mode, code: segment, start: start, row: table.rows)
        let limit = mode.has(Mode.single) || segment == nil ? 1 : limit
        var offset = 0
        var count = 0
        lifting: while !lifter.ended {
            guard offset < available, count < limit else { break }
            let pc = lifter.next
            let fetched = Self.withinSegment(pc, available - offset, segment)
            // SAFETY: `code` holds `available` bytes, of which `offset` are used up.
            let bytes = (code + offset).assumingMemoryBound(to: UInt8.self)
            let outcome = decoder.decode(bytes, available: fetched, codeSize: mode.codeSize, into: &lifter.i)
            if case .needsMoreBytes = outcome, fetched == available - offset { break lifting }
            builder.instruction(pc)
            lifter.begin(pc, row: table.rows + Int(lifter.i.row))
            offset += Int(lifter.i.length)
            count += 1
            switch outcome {
            case .decoded: table.lift(&lifter)
            case .undefined: lifter.undefined()
            // Longer than 15 bytes, or beyond the limit of CS.
            case .tooLong, .needsMoreBytes: lifter.raise(ExceptionVector.generalProtection)
            }
        }
        if count == 0 { return .needsMoreBytes }
        if !lifter.ended { lifter.jump(lifter.next) }
        builder.unit.byteLength = offset
        return .complete
    }

    /// How many of `count` bytes at a linear address are within the limit of the code segment.
    private static func withinSegment(_ address: UInt64, _ count: Int, _ segment: CodeSegment?) -> Int {
        guard let segment, segment.limit != .max else { return count }
        let pointer = (address &- segment.base) & 0xFFFF_FFFF
        guard pointer <= UInt64(segment.limit) else { return 0 }
        return Int(min(UInt64(count), UInt64(segment.limit) &- pointer &+ 1))
    }
}
