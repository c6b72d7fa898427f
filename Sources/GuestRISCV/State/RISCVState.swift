// A typed view of a vCPU's state block: registers, control registers, and the mode word made from them.
//
// Spec: Volume I and Volume II, version 20240411.

import Translator

/// The architectural state of one hart. A value of this type is only a pointer; copies see the same state.
public struct RISCVState {
    // SAFETY: `base` points to a state block of StateLayout.size bytes that outlives the value; its owner guarantees
    // that no other thread uses the block, but for the words documented as atomic.
    /// The state block.
    public let base: UnsafeMutableRawPointer

    public init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    subscript(offset: Int) -> UInt64 {
        get { base.load(fromByteOffset: offset, as: UInt64.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: offset, as: UInt64.self) }
    }

    @inline(__always)
    subscript(word offset: Int) -> UInt32 {
        get { base.load(fromByteOffset: offset, as: UInt32.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: offset, as: UInt32.self) }
    }

    // MARK: registers

    /// The program counter; valid outside generated code.
    public var pc: UInt64 {
        get { self[StateLayout.pc] }
        nonmutating set { self[StateLayout.pc] = newValue }
    }

    /// Integer register 0 … 31.
    public func x(_ register: Int) -> UInt64 {
        register == 0 ? 0 : self[StateLayout.integerGlobals + (register - 1) * 8]
    }

    /// Writes integer register 0 … 31; writes of x0 are dropped.
    public func setX(_ register: Int, _ value: UInt64) {
        if register != 0 { self[StateLayout.integerGlobals + (register - 1) * 8] = value }
    }

    /// Bits of floating point register 0 … 31.
    public func f(_ register: Int) -> UInt64 { self[StateLayout.floatGlobals + register * 8] }

    /// Writes the bits of floating point register 0 … 31.
    public func setF(_ register: Int, _ value: UInt64) { self[StateLayout.floatGlobals + register * 8] = value }

    // MARK: mode

    /// The mode word of the running code.
    public var mode: Mode {
        get { Mode(rawValue: self[word: StateLayout.mode]) }
        nonmutating set { self[word: StateLayout.mode] = newValue.rawValue }
    }

    /// True when the privileged architecture is present.
    public var isSystem: Bool { self[word: FrontLayout.system] != 0 }

    /// Recomputes the mode word after a change of anything it is made of.
    public func updateMode() {
        mode = isSystem ? systemMode : .program(frm: frm)
    }

    // MARK: floating point control, see FloatState.swift

    var storedFCSR: UInt32 {
        get { self[word: FrontLayout.fcsr] }
        nonmutating set { self[word: FrontLayout.fcsr] = newValue }
    }

    var mxcsr: UInt32 {
        get { self[word: StateLayout.guestMXCSR] }
        nonmutating set { self[word: StateLayout.guestMXCSR] = newValue }
    }

    // MARK: reset

    /// Clears all architectural state and puts the hart where a Linux program starts. Registers are zero.
    public func resetForProgram(pc: UInt64) {
        clear()
        self.pc = pc
        updateMode()
    }

    /// Zeroes registers and the front area, keeping the hooks and the interrupt lines: other threads drive those at any
    /// time, and their level is not the hart's to forget.
    func clear() {
        base.advanced(by: StateLayout.integerGlobals).initializeMemory(as: UInt8.self, repeating: 0, count: 31 * 8)
        base.advanced(by: StateLayout.floatGlobals).initializeMemory(as: UInt8.self, repeating: 0, count: 32 * 8)
        let hooks = (self[FrontLayout.readTime], self[FrontLayout.flushTranslations], self[FrontLayout.timerChanged])
        let lines = FrontLayout.interruptLines - StateLayout.front, behind = lines + MemoryLayout<UInt64>.size
        base.advanced(by: StateLayout.front).initializeMemory(as: UInt8.self, repeating: 0, count: lines)
        base.advanced(by: StateLayout.front + behind)
            .initializeMemory(as: UInt8.self, repeating: 0, count: StateLayout.frontSize - behind)
        (self[FrontLayout.readTime], self[FrontLayout.flushTranslations], self[FrontLayout.timerChanged]) = hooks
        self[word: FrontLayout.fcsr] = 0
        mxcsr = MXCSR.initial
        self[StateLayout.reservationAddress] = .max
    }
}
