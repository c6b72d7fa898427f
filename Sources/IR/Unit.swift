// A translation unit: one entry, a straight run of operations with side exits, one terminator. A region has several such
// runs, each behind a `block`, and is still entered at its start only. Reused from unit to unit, so that translating
// allocates nothing.

/// The operations of one unit, plus what executors need to know about each value.
public final class Unit {
    /// Guest address of the first instruction.
    public var start: UInt64 = 0
    /// What the lifter assumed beyond the bytes: privilege, paging, rounding, …; meaning belongs to the front.
    public var mode: UInt32 = 0
    /// The rounding the guest's register holds while this unit runs; executors may rely on it for `Rounding.dynamic`.
    public var rounding: Rounding = .nearestEven
    /// The guest has unmasked floating point exceptions: vector operations that report in MXCSR may fault. Set by the
    /// front after `Builder.begin`.
    public var trapsFloats = false
    /// Guest bytes covered, counted from `start`.
    public var byteLength = 0
    /// Guest instructions lifted.
    public var guestInstructionCount = 0

    /// Whether the unit has a jump backward or an indirect one, so that it can be part of a loop; filled by the
    /// builder or `DeadCode`.
    public var isLooping = false

    /// Where the last jump backward found by `DeadCode` leads, which is not a call; all ones when there is none.
    public var loopTarget = UInt64.max

    /// A `block` of a region.
    public struct Block: BitwiseCopyable {
        /// Guest address, and position of the operation.
        public var address: UInt64, index: Int
    }
    /// The blocks of a region in program order; empty for a straight run.
    public private(set) var blocks: [Block] = []

    /// Starts a block.
    public func appendBlock(_ address: UInt64) {
        blocks.append(Block(address: address, index: count))
        append(Instruction(.block, .void, imm: Int64(bitPattern: address)))
    }

    /// Number of the block of a region that starts at a guest address; -1 when there is none.
    @inline(__always)
    public func block(at address: UInt64) -> Int {
        blocks.isEmpty ? -1 : blocks.firstIndex { $0.address == address } ?? -1
    }

    /// The operations; valid up to `count`.
    @inlinable public var instructions: UnsafeMutablePointer<Instruction> { storedInstructions }
    /// How often each value is used by a later operation; filled by `DeadCode`. Of operations without a value that must
    /// stay, it is not 0.
    @inlinable public var uses: UnsafeMutablePointer<UInt16> { storedUses }
    @inlinable public var count: Int { storedCount }
    @inlinable public var capacity: Int { storedCapacity }

    /// `DeadCode.removable`, at hand.
    let removable = DeadCode.removable

    /// The builder has counted the uses; those of a write of a register that nobody can see are 0.
    var isCounted = false

    // What fronts append to without a call.
    @usableFromInline var storedUses: UnsafeMutablePointer<UInt16>
    @usableFromInline var storedInstructions: UnsafeMutablePointer<Instruction>
    @usableFromInline var storedCount = 0
    @usableFromInline var storedCapacity: Int

    public init(capacity: Int = 2048) {
        storedCapacity = capacity
        storedInstructions = .allocate(capacity: capacity)
        storedUses = .allocate(capacity: capacity + Self.usesPadding)
    }

    /// Counts behind the last one that `DeadCode` may write to.
    private static let usesPadding = 4

    /// A copy with no room to grow, for keeping.
    public convenience init(copying other: Unit) {
        self.init(capacity: max(1, other.count))
        reset(start: other.start, mode: other.mode, rounding: other.rounding)
        trapsFloats = other.trapsFloats
        byteLength = other.byteLength
        guestInstructionCount = other.guestInstructionCount
        isLooping = other.isLooping
        instructions.update(from: other.instructions, count: other.count)
        uses.update(from: other.uses, count: other.count)
        storedCount = other.count
        loopTarget = other.loopTarget
        blocks = other.blocks
    }

    deinit {
        instructions.deallocate()
        uses.deallocate()
    }

    /// Empties the unit for another translation.
    public func reset(start: UInt64, mode: UInt32, rounding: Rounding) {
        self.start = start
        self.mode = mode
        self.rounding = rounding
        trapsFloats = false
        byteLength = 0
        guestInstructionCount = 0
        storedCount = 0
        isCounted = false
        if !blocks.isEmpty { blocks.removeAll(keepingCapacity: true) }
    }

    /// True for operations that either fault or go on.
    @inline(__always)
    public func onlyFaults(_ instruction: Instruction) -> Bool {
        instruction.opcode.onlyFaults || trapsFloats && instruction.opcode == .vector && instruction.hasEffect
    }

    /// Appends an operation and returns the value it defines. Behind a builder's back it
    /// ends the builder's counting of uses.
    @discardableResult
    public func append(_ instruction: Instruction) -> ValueID {
        isCounted = false
        reserve()
        return appendCounted(instruction)
    }

    /// Most operations that may be appended between two calls of `reserve`.
    @usableFromInline static let reserve = 1024

    /// Makes room for the operations of one guest instruction.
    @inlinable @inline(__always)
    func reserve() {
        if storedCount &+ Self.reserve > storedCapacity { grow() }
    }

    /// There must be room (`reserve`): a function that may call another to get it saves registers for that every time.
    @inlinable @inline(__always) @discardableResult
    func appendCounted(_ instruction: Instruction, uses: UInt16 = 0) -> ValueID {
        let index = storedCount
        precondition(index < storedCapacity)
        (storedInstructions + index).initialize(to: instruction)
        (storedUses + index).initialize(to: uses)
        storedCount = index &+ 1
        return ValueID(truncatingIfNeeded: index)
    }

    @inline(never) @usableFromInline
    func grow() {
        let larger = capacity * 2 + Self.reserve
        let newInstructions = UnsafeMutablePointer<Instruction>.allocate(capacity: larger)
        let newUses = UnsafeMutablePointer<UInt16>.allocate(capacity: larger + Self.usesPadding)
        newInstructions.update(from: instructions, count: count)
        newUses.update(from: uses, count: count)
        instructions.deallocate()
        uses.deallocate()
        storedInstructions = newInstructions
        storedUses = newUses
        storedCapacity = larger
    }
}
