// One thread's translating tools: lifts guest code to IR, optimises, generates machine code into the thread's own chunk
// of the cache, and publishes the unit; and runs generated code.

import CHost
import Glibc
import IR

/// Guest bytes to translate from.
public struct GuestCode {
    /// Host address of the byte at the unit's start.
    public var bytes: UnsafeRawPointer
    /// How many bytes may be read there.
    public var available: Int
    public init(bytes: UnsafeRawPointer, available: Int) {
        self.bytes = bytes
        self.available = available
    }
}

/// The second page of an instruction that straddles two pages of a machine.
public struct SecondPage {
    /// Offset in the state block of its instruction TLB slot, and the identity that must be found there.
    public var itlbOffset: Int
    public var identity: UInt32
    /// Page number it can be invalidated by.
    public var page: UInt64
    public init(itlbOffset: Int, identity: UInt32, page: UInt64) {
        self.itlbOffset = itlbOffset
        self.identity = identity
        self.page = page
    }
}

/// Why a unit could not be made.
public enum TranslationFailure: Error {
    /// The first instruction continues beyond the bytes given.
    case needsMoreBytes
    /// The cache is full; it has been flushed and the caller must start over.
    case flushed
}

/// A thread's access to a `TranslationRuntime`.
public final class TranslationContext {
    public let runtime: TranslationRuntime
    /// The vCPU's state block, `StateLayout.size` bytes.
    public let state: UnsafeMutableRawPointer
    let member: RuntimeMember
    private let unit = Unit()
    private let builder: Builder
    private let generator: CodeGenerator
    private var position = 0
    private var chunkEnd = 0
    private var chunkEpoch: UInt32 = 0
    private let enterCode: @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> Void
    private let interpreter: Interpreter?
    private let logsBlocks: Bool
    /// Receives the guest address of units entered from outside, when asked for.
    public var blockLog: ((UInt64, UInt32) -> Void)?
    /// Statistics: units and guest instructions translated.
    public private(set) var unitsTranslated = 0
    public private(set) var instructionsTranslated = 0

    /// Time spent translating, when statistics are on.
    private var nanoseconds: UInt64 = 0

    /// Worst-case code bytes per IR operation and per unit, used to leave room in a chunk.
    private static let bytesPerOperation = 160
    private static let spareBytes = 1024

    /// - Parameter state: a zeroed block of `StateLayout.size` bytes; owned by the caller.
    public init(runtime: TranslationRuntime, state: UnsafeMutableRawPointer) {
        self.runtime = runtime
        self.state = state
        builder = Builder(unit: unit, globals: runtime.front.globals)
        generator = CodeGenerator(front: runtime.front, unit: unit, thunks: runtime.thunks,
                                  options: CodeGeneratorOptions(identityMemory: runtime.options.identityMemory,
                                                                registersInMemory: runtime.options.registersInMemory))
        let enter = runtime.cache.executable + (runtime.thunks.enter - runtime.cache.writable)
        enterCode = unsafeBitCast(enter, to: (@convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> Void).self)
        logsBlocks = runtime.options.logBlocks
        interpreter = runtime.options.interpret
            ? Interpreter(front: runtime.front, memory: runtime.interpreterMemory) : nil
        member = RuntimeMember(state: state)
        TranslationRuntime.clearJumpCache(state)
        state.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
        state.storeBytes(of: 0x1F80, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        runtime.join(member)
    }

    /// Must be called when the vCPU is gone.
    public func retire() { runtime.leave(member) }

    // MARK: translating

    /// A unit already translated, or `.noUnit`.
    @inline(__always)
    public func existing(start: UInt64, context: UInt32, mode: UInt32) -> UnitIndex {
        runtime.lookup(start: start, context: context, mode: mode)
    }

    /// Translates the unit at a guest address that `existing` did not find.
    /// - Parameters:
    ///   - context: identity of the guest page mapping, 0 for programs.
    ///   - page: page number under which the unit can be invalidated.
    ///   - code: fetches the guest bytes; called only on a miss.
    ///   - seen: the epoch in which `context` was obtained.
    ///   - second: for an instruction that straddles two pages of a machine.
    @inline(__always)
    public func unit(start: UInt64, mode: UInt32, context: UInt32, page: UInt64, code: GuestCode, limit: Int,
              seen: UInt32, second: SecondPage?) throws(TranslationFailure) -> UnitIndex {
        return try translate(start: start, mode: mode, context: context, page: page, code: code, limit: limit,
                             seen: seen, second: second)
    }

    private func translate(start: UInt64, mode: UInt32, context: UInt32, page: UInt64, code: GuestCode, limit: Int,
                           seen: UInt32, second: SecondPage?) throws(TranslationFailure) -> UnitIndex {
        // Code under way counts as running code: a flush must not give its chunk to others meanwhile.
        guise_exchange32(member.inside, 1)
        defer { guise_store32(member.inside, 0) }
        guard guise_load32(runtime.epoch) == seen else { throw .flushed }
        var limit = min(limit, runtime.options.unitLimit)
        let cache = runtime.cache
        let toBoundary = 0x1000 - Int(start & 0xFFF)
        var available = second == nil ? min(code.available, toBoundary) : code.available
        let began = runtime.options.statistics ? Self.nowNanoseconds() : 0
        defer { if runtime.options.statistics { nanoseconds += Self.nowNanoseconds() - began } }
        while true {
            builder.begin(start: start, mode: mode, rounding: runtime.front.rounding(mode: mode))
            if runtime.front.lift(builder, start: start, mode: mode, code: code.bytes, available: available,
                                  limit: limit) == .needsMoreBytes {
                // An instruction that straddles two pages of a program is a unit of its own.
                guard runtime.options.identityMemory, available == toBoundary, code.available > available else {
                    throw .needsMoreBytes
                }
                available = min(code.available, 16)
                limit = 1
                continue
            }
            assert(Verifier.problems(in: unit, globals: runtime.front.globals,
                                     helperCount: runtime.front.helpers.count).isEmpty)
            DeadCode.eliminate(unit, globalCount: generator.globalCount, pinned: generator.globalIsPinned)
            if runtime.options.interpret { break }
            let room = unit.count * Self.bytesPerOperation + Self.spareBytes
            if room > CodeCache.chunkSize {
                limit = max(1, limit / 2)
                continue
            }
            if chunkEpoch != seen || position + room > chunkEnd {
                let chunk = runtime.takeChunk()
                guard chunk >= 0 else {
                    flush(seen: seen)
                    throw .flushed
                }
                position = chunk
                chunkEnd = chunk + CodeCache.chunkSize
                chunkEpoch = seen
            }
            let tlbMode = runtime.front.tlbMode(mode: mode)
            if generator.generate(at: cache.writable + position, tlbMode: tlbMode, entryCheck: second) { break }
            precondition(limit > 1, "one guest instruction did not fit the code generator's tables")
            limit = max(1, limit / 2)
        }
        if runtime.options.interpret {
            return try publishIR(start, mode, context, page, code, seen, second)
        }
        guard let reserved = runtime.reserve(links: generator.pendingLinks.count) else {
            flush(seen: seen)
            throw .flushed
        }
        generator.emitLinkStubs(firstLink: reserved.link, cache: cache, unitIndex: reserved.unit)
        let codeLength = generator.asm.at - (cache.writable + position)
        let tableStart = (position + codeLength + 3) & ~3
        let table = UnsafeMutableRawPointer(cache.writable + tableStart)
            .bindMemory(to: UInt32.self, capacity: generator.sideTable.count)
        for (index, entry) in generator.sideTable.enumerated() { table[index] = entry }
        let record = UnitRecord(
            start: start, context: context, mode: mode, codeOffset: UInt32(position), codeLength: UInt32(codeLength),
            sideTableCount: UInt32(generator.sideTable.count), guestByteLength: UInt32(unit.byteLength),
            firstLink: UInt32(reserved.link), linkCount: UInt32(generator.pendingLinks.count), incoming: .max,
            pageNext: .noUnit, dead: 0,
            contentHash: Self.hash(code.bytes, unit.byteLength))
        let end = tableStart + generator.sideTable.count * 4
        position = (end + CodeCache.granule - 1) & ~(CodeCache.granule - 1)
        unitsTranslated += 1
        instructionsTranslated += unit.guestInstructionCount
        guard guise_load32(runtime.epoch) == seen else { throw .flushed }
        return runtime.publish(reserved.unit, record, page: page, secondPage: second?.page)
    }

    /// Publishes a copy of the unit's IR for the interpreter.
    private func publishIR(_ start: UInt64, _ mode: UInt32, _ context: UInt32, _ page: UInt64, _ code: GuestCode,
                           _ seen: UInt32, _ second: SecondPage?) throws(TranslationFailure) -> UnitIndex {
        guard let reserved = runtime.reserve(links: 0) else {
            flush(seen: seen)
            throw .flushed
        }
        let record = UnitRecord(start: start, context: context, mode: mode, codeOffset: 0, codeLength: 0,
                                sideTableCount: 0, guestByteLength: UInt32(unit.byteLength), firstLink: 0, linkCount: 0,
                                incoming: .max, pageNext: .noUnit, dead: 0,
                                contentHash: Self.hash(code.bytes, unit.byteLength))
        unitsTranslated += 1
        instructionsTranslated += unit.guestInstructionCount
        return runtime.publish(reserved.unit, record, ir: Unit(copying: unit), page: page, secondPage: second?.page)
    }

    private static func nowNanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    /// One line about what translating cost this thread, when statistics are on.
    public var statistics: String {
        let each = instructionsTranslated == 0 ? 0 : Double(nanoseconds) / Double(instructionsTranslated)
        return "\(unitsTranslated) units, \(instructionsTranslated) guest instructions translated, "
            + "\(Int(each * 10) / 10) ns each"
    }

    /// Whether guest code at `bytes` still is what a unit was made from.
    public func matches(_ unit: UnitIndex, _ bytes: UnsafeRawPointer) -> Bool {
        let record = runtime.cache.units[Int(unit)]
        return Self.hash(bytes, Int(record.guestByteLength)) == record.contentHash
    }

    /// A hash of guest code, to notice that it changed: FNV-1a over eight bytes at a time, then single ones.
    public static func hash(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        var index = 0
        while index + 8 <= count {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) &* 0x100_0000_01B3
            hash ^= hash >> 29
            index += 8
        }
        for index in index..<count {
            hash = (hash ^ UInt64(bytes.load(fromByteOffset: index, as: UInt8.self))) &* 0x100_0000_01B3
        }
        return hash
    }

    /// Remembers a unit in the jump cache, unless it has died meanwhile.
    @inline(__always)
    public func remember(_ unit: UnitIndex, seen: UInt32) { runtime.remember(unit, state: state, seen: seen) }

    // MARK: running

    /// Guest address a link leads to.
    public func linkTarget(_ link: UInt32) -> UInt64 { runtime.cache.links[Int(link)].target }

    /// Patches a link to a unit.
    public func link(_ link: UInt32, to unit: UnitIndex, identity: UInt32, seen: UInt32) {
        runtime.link(Int(link), to: unit, identity: identity, seen: seen)
    }

    /// Empties the cache because a table of the engine is full.
    public func flush(seen: UInt32) {
        // Two threads that both want to flush must not wait for each other.
        guise_store32(member.inside, 0)
        runtime.flush(by: member, seen: seen)
    }

    /// Empties the cache and gives its memory back to the host, unless little is in it.
    public func trim() {
        guard runtime.cacheBytesUsed > TranslationRuntime.trimWorthBytes else { return }
        guise_store32(member.inside, 0)
        runtime.flush(by: member, seen: epoch, releasing: true)
    }

    /// The epoch in which a unit is about to be looked up; pass it to `enter`.
    @inline(__always) public var epoch: UInt32 { guise_load32(runtime.epoch) }

    /// Runs generated code from a unit's entry until it leaves. False when a flush came between.
    @inline(__always)
    public func enter(_ unit: UnitIndex, seen: UInt32) -> Bool {
        guise_exchange32(member.inside, 1)
        guard guise_load32(runtime.epoch) == seen else {
            guise_store32(member.inside, 0)
            while !runtime.mayEnter() { sched_yield() }
            return false
        }
        if logsBlocks { blockLog?(runtime.cache.units[Int(unit)].start, runtime.cache.units[Int(unit)].mode) }
        if let interpreter {
            if let ir = runtime.ir(unit) { _ = interpreter.run(ir, state: state) }
            // The interpreter has put the right pc in place already.
            state.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
        } else {
            enterCode(state, runtime.entry(unit))
        }
        member.inside.pointee = 0
        return true
    }
}
