// What the translator needs to know about a guest architecture. One implementation per front target.

import IR

/// A function generated code may call: state block, three arguments; sees and may change all guest registers.
/// To leave the unit it stores an `ExitKind` at `StateLayout.helperExit` (and, if that kind is `lookup`, the new pc at
/// `StateLayout.pc`; otherwise pc becomes the address of the current guest instruction).
public typealias HelperFunction = @convention(c) (UnsafeMutableRawPointer, UInt64, UInt64, UInt64) -> UInt64

/// How a guest answers NaN results and float to integer overflow.
public enum FloatRules: Sendable {
    /// Every NaN result is the canonical NaN; conversions saturate, NaN converts to the maximum.
    case riscv
    /// The first NaN operand wins, the default NaN is negative; conversions yield the integer indefinite.
    case x86
}

/// What a lift ended with.
public enum LiftResult: Sendable {
    case complete
    /// The first instruction needs bytes beyond `available`.
    case needsMoreBytes
}

/// A guest architecture as seen by the translator.
public protocol GuestFront: AnyObject {
    /// Guest registers; the index is the global's number in IR.
    var globals: [Global] { get }
    /// Integer globals worth a host register, most used first.
    var integerPins: [Int] { get }
    /// Floating point globals worth a host register, most used first.
    var floatPins: [Int] { get }
    /// Helpers by index of IR `call`.
    var helpers: [HelperFunction] { get }
    var floatRules: FloatRules { get }
    /// Whether a helper uses nothing but general registers and the x87, and neither reads nor writes globals that are
    /// pinned: then registers need not go through the state block.
    func isLight(helper: Int) -> Bool

    /// Which rounding the mode word says the guest's rounding register holds.
    func rounding(mode: UInt32) -> Rounding
    /// Which data TLB set (0 ..< StateLayout.tlbModes) accesses made in this mode use.
    func tlbMode(mode: UInt32) -> Int

    /// Lifts instructions from `code`, which holds the guest bytes at guest address `start`, into `builder.unit`.
    ///
    /// Stops after a terminator, at `limit` instructions, or when the next instruction is not completely within
    /// `available` bytes, ending the unit with a jump to it. `builder.begin` has been called.
    func lift(_ builder: Builder, start: UInt64, mode: UInt32, code: UnsafeRawPointer, available: Int,
              limit: Int) -> LiftResult
}

extension GuestFront {
    public func isLight(helper: Int) -> Bool { false }
}
