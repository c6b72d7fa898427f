// The shapes of floating point instructions, for both precisions.
//
// Exception flags accumulate while the IR operations execute (FloatState.swift); NaN results are canonical by the
// executors' RISC-V rules. Single precision values are NaN-boxed in their registers.
//
// Spec: Volume I, "F" and "D" extensions.

import IR
import Translator

enum Precision {
    case single, double
    var type: ValueType { self == .single ? .f32 : .f64 }
}

extension Lifter {
    // MARK: conditions every instruction has

    /// False, with the unit ended, when floating point is off or must be marked dirty first.
    mutating func floatReady() -> Bool {
        if mode.floatBits == 0 { return true }
        if mode.float == .clean {
            // The helper leaves for this instruction again, in the mode where the unit is dirty.
            call(.markFloatDirty, k(Int64(bitPattern: pc)))
            raise(.lookup, pc)
        } else {
            illegal()
        }
        return false
    }

    /// The rounding an instruction with field `rm` uses, or nil, with the unit ended, when it cannot execute.
    mutating func floatReady(rm: UInt32) -> Rounding? {
        let effective = rm == 7 ? mode.frm : rm
        guard effective <= 4, mode.floatBits != Mode.FloatUnit.off.rawValue else {
            illegal()
            return nil
        }
        guard floatReady() else { return nil }
        if effective == mode.frm, effective < 4 { return .dynamic }
        return Rounding(rawValue: UInt8(effective))
    }

    @inline(__always)
    private func f(_ register: Int, _ precision: Precision) -> ValueID {
        precision == .single ? s(register) : d(register)
    }

    @inline(__always)
    private func setF(_ register: Int, _ value: ValueID, _ precision: Precision) {
        if precision == .single { setS(register, value) } else { setD(register, value) }
    }

    // MARK: memory

    mutating func loadS(_ fd: Int, _ base: Int, _ displacement: Int64) {
        guard floatReady() else { return }
        setS(fd, b.load(x(base), displacement, Memory.u32, .f32))
    }

    mutating func loadD(_ fd: Int, _ base: Int, _ displacement: Int64) {
        guard floatReady() else { return }
        setD(fd, b.load(x(base), displacement, Memory.u64, .f64))
    }

    /// Stores the low bits as they are, boxed or not.
    mutating func storeS(_ source: Int, _ base: Int, _ displacement: Int64) {
        guard mode.float != .off else { return illegal() }
        b.store(x(base), displacement, b.truncate(b.convert(.bitcast, d(source), to: .i64), .i32), Memory.u32)
    }

    mutating func storeD(_ source: Int, _ base: Int, _ displacement: Int64) {
        guard mode.float != .off else { return illegal() }
        b.store(x(base), displacement, d(source), Memory.u64)
    }

    // MARK: arithmetic

    mutating func arithmetic(_ opcode: Opcode, _ i: Word, _ precision: Precision) {
        guard let rounding = floatReady(rm: i.rm) else { return }
        setF(i.rd, b.float(opcode, f(i.rs1, precision), f(i.rs2, precision), rounding: rounding), precision)
    }

    mutating func squareRoot(_ i: Word, _ precision: Precision) {
        guard let rounding = floatReady(rm: i.rm) else { return }
        setF(i.rd, b.float(.floatSquareRoot, f(i.rs1, precision), rounding: rounding), precision)
    }

    mutating func fused(_ i: Word, _ precision: Precision, negateProduct: Bool, negateAddend: Bool) {
        guard let rounding = floatReady(rm: i.rm) else { return }
        let result = b.multiplyAdd(f(i.rs1, precision), f(i.rs2, precision), f(i.rs3, precision),
                                   negateProduct: negateProduct, negateAddend: negateAddend, rounding: rounding)
        setF(i.rd, result, precision)
    }

    mutating func extremum(_ opcode: Opcode, _ i: Word, _ precision: Precision) {
        guard floatReady() else { return }
        setF(i.rd, b.float(opcode, f(i.rs1, precision), f(i.rs2, precision)), precision)
    }

    // MARK: bits, comparisons

    /// - Parameter same: what the operation amounts to when both operands are one register; nil for a move.
    mutating func signInjection(_ opcode: Opcode, same: Opcode?, _ i: Word, _ precision: Precision) {
        guard floatReady() else { return }
        let first = f(i.rs1, precision)
        if i.rs1 != i.rs2 {
            setF(i.rd, b.float(opcode, first, f(i.rs2, precision)), precision)
        } else {
            setF(i.rd, same.map { b.float($0, first) } ?? first, precision)
        }
    }

    mutating func floatCompare(_ condition: FloatCondition, _ i: Word, _ precision: Precision) {
        guard floatReady() else { return }
        let holds = b.floatCompare(condition, f(i.rs1, precision), f(i.rs2, precision))
        setX(i.rd, b.zeroExtend(holds, .i64))
    }

    mutating func classify(_ i: Word, _ precision: Precision) {
        guard floatReady() else { return }
        setX(i.rd, b.convert(.floatClassify, f(i.rs1, precision), to: .i64))
    }

    // MARK: conversions

    /// 32-bit results are sign-extended, unsigned ones too.
    mutating func toInteger(_ opcode: Opcode, _ type: ValueType, _ i: Word, _ precision: Precision) {
        guard let rounding = floatReady(rm: i.rm) else { return }
        setX(i.rd, b.signExtend(b.convert(opcode, f(i.rs1, precision), to: type, rounding: rounding), .i64))
    }

    mutating func fromInteger(_ opcode: Opcode, _ type: ValueType, _ i: Word, _ precision: Precision) {
        guard var rounding = floatReady(rm: i.rm) else { return }
        // 32 bits always fit a double, so no rounding needs to be set up.
        if type == .i32, precision == .double { rounding = .dynamic }
        setF(i.rd, b.convert(opcode, b.truncate(x(i.rs1), type), to: precision.type, rounding: rounding), precision)
    }
}
