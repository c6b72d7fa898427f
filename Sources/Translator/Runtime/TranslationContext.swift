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

/// The link by which generated code was left, to be patched once its target is known.
public struct PendingExit {
    /// `.max` when it was not left by a link.
    var link: UInt32
    /// When the link existed: after a flush its number may belong to another.
    var epoch: UInt32
    /// Not left by a link.
    public static var none: PendingExit { PendingExit(link: .max, epoch: 0) }
    /// Whether the code was not left by a link.
    @inline(__always) public var isNone: Bool { link == .max }
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
    let unit = Unit()
    let builder: Builder
    let generator: CodeGenerator
    /// The chunk in use, how many flushes there had been when it was taken, and what is free of it.
    private var chunk = -1
    private var chunkFlushes: UInt32 = 0
    private(set) var position = 0
    private var chunkEnd = 0
    /// End of the chunk's pages that are known to be present.
    private var filledEnd = 0
    private var nextUnit = 0
    private var nextLink = 0
    private let enterCode: @convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> Void
    private let interpreter: Interpreter?
    private let logsBlocks: Bool
    /// Receives the guest address of units entered from outside, when asked for.
    public var blockLog: ((UInt64, UInt32) -> Void)?
    /// Statistics: units and guest instructions translated.
    public private(set) var unitsTranslated = 0
    public private(set) var instructionsTranslated = 0

    /// Regions made.
    private var regions = 0
    /// Cycles spent on regions, made or not, when statistics are on.
    private var regionCycles: UInt64 = 0
    func noteRegion(isMade: Bool, since began: UInt64) {
        if isMade { regions += 1 }
        if runtime.options.statistics { regionCycles &+= guise_cycles() &- began }
    }
    /// How often each loop's count was used up.
    var loopsCounted: [UInt64: UInt32] = [:]
    /// The code that ran last was left before its first instruction, because an exit was requested.
    public private(set) var wasLeftAtStart = false
    /// The code that ran last was left by a helper that has moved pc or changed the mode.
    public private(set) var wasLeftByHelper = false

    /// Cycles of the host's time stamp counter spent translating, and in how many guest instructions, when statistics are on.
    private var cycles: UInt64 = 0
    private var instructionsMeasured = 0
    /// When measuring began, by the time stamp counter and in nanoseconds.
    private let firstLook = (cycles: guise_cycles(), nanoseconds: TranslationContext.nowNanoseconds())
    /// Whoever takes longer for a unit was interrupted: others that want the processor do not count.
    private static let interruptedCycles: UInt64 = 1 << 19

    /// Worst-case code bytes per IR operation and per unit, used to leave room in a chunk.
    static let bytesPerOperation = 160
    static let spareBytes = 1024

    /// - Parameter state: a zeroed block of `StateLayout.size` bytes; owned by the caller.
    public init(runtime: TranslationRuntime, state: UnsafeMutableRawPointer) {
        self.runtime = runtime
        self.state = state
        builder = Builder(unit: unit, globals: runtime.front.globals)
        generator = CodeGenerator(front: runtime.front, unit: unit, thunks: runtime.thunks,
                                  options: CodeGeneratorOptions(identityMemory: runtime.options.identityMemory,
                                                                registersInMemory: runtime.options.registersInMemory,
                                                                exactFlags: runtime.options.exactFlags))
        let enter = runtime.cache.executable + (runtime.thunks.enter - runtime.cache.writable)
        enterCode = unsafeBitCast(enter, to: (@convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> Void).self)
        logsBlocks = runtime.options.logBlocks
        interpreter = runtime.options.interpret
            ? Interpreter(front: runtime.front, memory: runtime.interpreterMemory) : nil
        member = RuntimeMember(state: state)
        TranslationRuntime.clearJumpCache(state)
        state.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
        state.storeBytes(of: 0x1F80, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        for slot in 0..<StateLayout.loopCountCount {
            state.storeBytes(of: runtime.options.loopCount, toByteOffset: StateLayout.loopCounts + slot * 4, as: UInt32.self)
        }
        runtime.join(member)
    }

    /// Must be called when the vCPU is gone.
    public func retire() { runtime.leave(member) }

    // MARK: translating

    /// A unit already translated, or `.noUnit`. Only inside (`arrive`).
    @inline(__always)
    public func existing(start: UInt64, context: UInt32, mode: UInt32) -> UnitIndex {
        runtime.lookup(start: start, context: context, mode: mode)
    }

    /// Translates the unit at a guest address that `existing` did not find. Inside when it returns, outside when it throws.
    /// - Parameters:
    ///   - context: identity of the guest page mapping, 0 for programs.
    ///   - page: page number under which the unit can be invalidated.
    ///   - code: the guest bytes.
    ///   - seen: the epoch in which `context` was obtained.
    ///   - second: for an instruction that straddles two pages of a machine.
    ///   - isChecked: the unit compares its guest bytes with those it was made from whenever it is entered, and leaves with
    ///     `codeChanged` when they differ; it ends with its first write to memory. Programs only.
    ///   - link: the link that led here, `.max` for none; it is patched to the unit, unless it is of another epoch.
    public func unit(start: UInt64, mode: UInt32, context: UInt32, page: UInt64, code: GuestCode, limit: Int,
                     seen: UInt32, second: SecondPage?, link: PendingExit = .none, isChecked: Bool = false)
        throws(TranslationFailure) -> UnitIndex {
        // Code under way counts as running code: a flush must not give its chunk to others meanwhile.
        guard arrive(seen: seen) else { throw .flushed }
        let began = runtime.options.statistics ? guise_cycles() : 0, instructionsBefore = instructionsTranslated
        defer { if runtime.options.statistics { measure(since: began, instructionsBefore) } }
        do throws(TranslationFailure) {
            return try translate(start, mode, context, page, code, limit, seen, second, link, isChecked)
        } catch {
            depart()
            throw error
        }
    }

    private func translate(_ start: UInt64, _ mode: UInt32, _ context: UInt32, _ page: UInt64, _ code: GuestCode,
                           _ limit: Int, _ seen: UInt32, _ second: SecondPage?,
                           _ link: PendingExit, _ isChecked: Bool) throws(TranslationFailure) -> UnitIndex {
        var limit = min(limit, runtime.options.unitLimit)
        let toBoundary = 0x1000 - Int(start & 0xFFF)
        var available = second == nil ? min(code.available, toBoundary) : code.available
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
            if isChecked { liftChecked(start, mode, code, available, limit) }
            assert(Verifier.problems(in: unit, globals: runtime.front.globals,
                                     helperCount: runtime.front.helpers.count).isEmpty)
            DeadCode.eliminate(unit, globalCount: generator.globalCount, pinned: generator.globalIsPinned)
            let room = runtime.options.interpret ? 0 : unit.count * Self.bytesPerOperation + Self.spareBytes
            if room > CodeCache.chunkSize {
                limit = max(1, limit / 2)
                continue
            }
            try makeRoom(room, seen)
            if runtime.options.interpret { break }
            let tlbMode = runtime.front.tlbMode(mode: mode)
            generator.countsLoops = runtime.options.loopCount > 0 && limit > 1 && !isChecked
            if generator.generate(at: runtime.cache.writable + position, tlbMode: tlbMode, entryCheck: second) { break }
            precondition(limit > 1, "one guest instruction did not fit the code generator's tables")
            limit = max(1, limit / 2)
        }
        let index = UnitIndex(nextUnit)
        unitsTranslated &+= 1
        instructionsTranslated &+= unit.guestInstructionCount
        finish(context: context, contentHash: Self.hash(code.bytes, unit.byteLength))
        let made: UnitIndex
        if runtime.options.interpret {
            made = runtime.publish(index, ir: Unit(copying: unit), page: page, secondPage: second?.page)
        } else {
            let isCurrent = link.link != .max && link.epoch == seen
            made = runtime.publish(index, page: page, secondPage: second?.page,
                                   link: isCurrent ? (Int(link.link), context) : nil)
        }
        made == index ? keep() : discard()
        return made
    }

    /// The unit being made, once it is published.
    var nextIndex: UnitIndex { UnitIndex(nextUnit) }

    /// Completes code and record of the unit generated at `position`, so that it can be published.
    func finish(context: UInt32, contentHash: UInt64) {
        let cache = runtime.cache
        var record = UnitRecord(unit: unit, contentHash: contentHash, context: context, codeOffset: UInt32(position))
        if !runtime.options.interpret {
            generator.emitLinkStubs(firstLink: nextLink, cache: cache)
            let codeLength = generator.asm.at - (cache.writable + position)
            generator.copySideTable(to: cache.writable + sideTableStart(codeLength))
            record.codeLength = UInt32(codeLength)
            record.sideTableCount = UInt16(generator.sideTable.count)
        }
        (cache.units + nextUnit).initialize(to: record)
        // Whoever finds the unit may fault in it at once, so its code must be known to be a unit's before.
        cache.setUnitCount(nextUnit + 1, ofChunk: chunk)
    }

    private func sideTableStart(_ codeLength: Int) -> Int { (position + codeLength + 3) & ~3 }

    /// The unit that `finish` completed has been published: its memory and records are taken.
    func keep() {
        if !runtime.options.interpret {
            let codeLength = Int(runtime.cache.units[nextUnit].codeLength), tableBytes = generator.sideTable.count * 4
            position = (sideTableStart(codeLength) + tableBytes + CodeCache.granule - 1) & ~(CodeCache.granule - 1)
            nextLink += generator.pendingLinks.count
        }
        nextUnit += 1
    }

    /// The unit that `finish` completed was not needed.
    func discard() { runtime.cache.setUnitCount(nextUnit, ofChunk: chunk) }

    /// Lifts again what has just been lifted, up to its first write to memory, behind a comparison of its guest bytes.
    private func liftChecked(_ start: UInt64, _ mode: UInt32, _ code: GuestCode, _ available: Int,
                             _ longest: Int) {
        var limit = 0
        search: for index in 0..<unit.count {
            switch unit.instructions[index].opcode {
            case .instruction: limit += 1
            case .store, .storeConditional, .atomic, .compareExchange, .call: break search
            default: break
            }
        }
        limit = min(limit, longest)
        let rounding = runtime.front.rounding(mode: mode)
        builder.begin(start: start, mode: mode, rounding: rounding)
        _ = runtime.front.lift(builder, start: start, mode: mode, code: code.bytes, available: available, limit: limit)
        let length = unit.byteLength
        builder.begin(start: start, mode: mode, rounding: rounding)
        builder.instruction(start)
        var offset = 0
        while offset < length {
            let size = length - offset >= 8 ? 3 : length - offset >= 4 ? 2 : length - offset >= 2 ? 1 : 0
            let (type, expected): (ValueType, Int64) = switch size {
            case 3: (.i64, code.bytes.loadUnaligned(fromByteOffset: offset, as: Int64.self))
            case 2: (.i32, Int64(code.bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
            case 1: (.i16, Int64(code.bytes.loadUnaligned(fromByteOffset: offset, as: Int16.self)))
            default: (.i8, Int64(code.bytes.load(fromByteOffset: offset, as: Int8.self)))
            }
            let found = builder.load(builder.constant(Int64(bitPattern: start)), Int64(offset),
                                     MemoryFormat(sizeLog2: size), type)
            builder.raiseIf(.notEqual, found, builder.constant(expected, type),
                            code: UInt8(ExitKind.codeChanged.rawValue))
            offset += 1 << size
        }
        _ = runtime.front.lift(builder, start: start, mode: mode, code: code.bytes, available: available, limit: limit)
    }

    /// Sees to `room` bytes of code in the thread's chunk and to the records that may be needed; throws when the cache
    /// had to be flushed.
    @inline(__always)
    func makeRoom(_ room: Int, _ seen: UInt32) throws(TranslationFailure) {
        if chunkFlushes == guise_load32(runtime.flushes) && chunk >= 0 && position + room <= chunkEnd
            && nextUnit < (chunk + 1) * CodeCache.unitsPerChunk
            && nextLink + unit.count <= (chunk + 1) * CodeCache.linksPerChunk {
            if position + room > filledEnd && filledEnd < chunkEnd {
                filledEnd = runtime.cache.fill(from: filledEnd, atLeast: room, chunkEnd: chunkEnd)
            }
            return
        }
        let fresh = runtime.takeChunk()
        guard fresh >= 0 else {
            flush(seen: seen)
            throw .flushed
        }
        chunk = fresh
        chunkFlushes = guise_load32(runtime.flushes)
        position = runtime.cache.offset(ofChunk: fresh)
        chunkEnd = position + CodeCache.chunkSize
        filledEnd = chunkEnd
        // The first chunk is all that a small program needs, and little of it.
        if !runtime.options.interpret && fresh > 0 {
            filledEnd = runtime.cache.fill(from: position, atLeast: room, chunkEnd: chunkEnd)
            runtime.cache.fillRecords(ofChunk: fresh)
        }
        nextUnit = fresh * CodeCache.unitsPerChunk
        nextLink = fresh * CodeCache.linksPerChunk
    }

    private static func nowNanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    /// Counts what translating took. Not with a clock of the kernel: a system call before and after every unit costs more than
    /// many a unit, and slows down what follows.
    private func measure(since began: UInt64, _ instructionsBefore: Int) {
        let took = guise_cycles() &- began
        guard took < Self.interruptedCycles else { return }
        cycles &+= took
        instructionsMeasured += instructionsTranslated - instructionsBefore
    }

    private func microseconds(_ cycles: UInt64) -> Int {
        let elapsed = (cycles: guise_cycles() &- firstLook.cycles, nanoseconds: Self.nowNanoseconds() &- firstLook.nanoseconds)
        return elapsed.cycles == 0 ? 0 : Int(Double(cycles) * Double(elapsed.nanoseconds) / Double(elapsed.cycles) / 1000)
    }

    /// One line about what translating cost this thread, when statistics are on.
    public var statistics: String {
        let elapsed = (cycles: guise_cycles() &- firstLook.cycles, nanoseconds: Self.nowNanoseconds() &- firstLook.nanoseconds)
        let each = instructionsMeasured == 0 || elapsed.cycles == 0 ? 0
            : Double(cycles) * Double(elapsed.nanoseconds) / Double(elapsed.cycles) / Double(instructionsMeasured)
        return "\(unitsTranslated) units, \(instructionsTranslated) guest instructions translated, "
            + "\(Int(each * 10) / 10) ns each; \(regions) regions in \(microseconds(regionCycles)) us"
    }

    /// Whether guest code at `bytes` still is what a unit was made from.
    public func matches(_ unit: UnitIndex, _ bytes: UnsafeRawPointer) -> Bool {
        let record = runtime.cache.units[Int(unit)]
        return Self.hash(bytes, Int(record.guestByteLength)) == record.contentHash
    }

    /// A hash of guest code, to notice that it changed: FNV-1a over eight bytes at a time, then fewer.
    public static func hash(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        var index = 0
        while index &+ 8 <= count {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) &* 0x100_0000_01B3
            hash ^= hash >> 29
            index &+= 8
        }
        var rest: UInt64 = 0
        if count & 4 != 0 {
            rest = UInt64(bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self))
            index &+= 4
        }
        if count & 2 != 0 {
            rest = rest << 16 | UInt64(bytes.loadUnaligned(fromByteOffset: index, as: UInt16.self))
            index &+= 2
        }
        if count & 1 != 0 { rest = rest << 8 | UInt64(bytes.load(fromByteOffset: index, as: UInt8.self)) }
        return (hash ^ rest) &* 0x100_0000_01B3
    }

    // MARK: running

    /// Goes inside: until `run` or `depart`, what is found in the runtime's tables stays. False when there has been a
    /// flush since `seen` was read.
    @inline(__always)
    public func arrive(seen: UInt32) -> Bool {
        guise_exchange32(member.inside, 1)
        if guise_load32(runtime.epoch) == seen && seen & 1 == 0 { return true }
        depart()
        while !runtime.mayEnter() { sched_yield() }
        return false
    }

    /// Goes inside from the body of `exclusively`.
    public func arriveAlone() { guise_exchange32(member.inside, 1) }

    /// Goes outside without having run anything.
    @inline(__always) public func depart() { guise_release32(member.inside, 0) }

    /// Lets a link jump straight to a unit, unless it is of another epoch; without a link, remembers the unit in the jump
    /// cache. Only inside.
    @inline(__always)
    public func connect(_ link: PendingExit, to unit: UnitIndex, identity: UInt32, seen: UInt32) {
        if link.link == .max {
            runtime.remember(unit, state: state)
        } else if link.epoch == seen {
            runtime.link(Int(link.link), to: unit, identity: identity)
        }
    }

    /// Code of the unit at a guest address, if the jump cache knows it under the current salt. Only inside.
    @inline(__always)
    public func remembered(_ start: UInt64) -> UnsafeRawPointer? {
        let slot = state + StateLayout.jumpCacheSlot(start)
        let salt = state.load(fromByteOffset: StateLayout.jumpSalt, as: UInt64.self)
        guard guise_load64(slot) == start ^ salt else { return nil }
        return slot.load(fromByteOffset: 8, as: UnsafeRawPointer?.self)
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

    /// The epoch in which a unit is about to be looked up; pass it to `arrive`.
    @inline(__always) public var epoch: UInt32 { guise_load32(runtime.epoch) }

    /// Runs a unit, and what it leads to, until generated code is left; outside when it returns. The pc in the state block
    /// is then right for every kind of exit.
    /// - Returns: the link that was taken, if the code was left by one.
    @inline(__always)
    public func run(_ unit: UnitIndex, seen: UInt32) -> PendingExit {
        if logsBlocks { blockLog?(runtime.cache.units[Int(unit)].start, runtime.cache.units[Int(unit)].mode) }
        if let interpreter {
            if let ir = runtime.ir(unit) { _ = interpreter.run(ir, state: state) }
            // The interpreter has put the right pc in place already.
            state.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
            depart()
            return .none
        }
        return run(UnsafeRawPointer(runtime.entry(unit)), seen: seen)
    }

    /// Generated code was left at the start of a unit: says which. While nothing can be flushed.
    private func leftAtStart(isHot: Bool) {
        let hostPC = state.load(fromByteOffset: StateLayout.exitHostPC, as: UInt64.self)
        let unit = runtime.cache.unit(at: hostPC &- 1)
        precondition(unit != .noUnit, "generated code was left from outside of all units")
        let start = runtime.cache.units[Int(unit)].start
        state.storeBytes(of: start, toByteOffset: StateLayout.pc, as: UInt64.self)
        guard isHot else {
            return state.storeBytes(of: ExitKind.lookup.rawValue, toByteOffset: StateLayout.exitKind, as: UInt32.self)
        }
        // SAFETY: hotExit's callers have four bytes behind the call.
        let distance = UnsafeRawPointer(bitPattern: UInt(hostPC)).unsafelyUnwrapped.loadUnaligned(as: Int32.self)
        state.storeBytes(of: start &+ UInt64(bitPattern: Int64(distance)), toByteOffset: StateLayout.exitAddress, as: UInt64.self)
    }

    /// Runs remembered code, as `run` does a unit.
    @inline(__always)
    public func run(_ code: UnsafeRawPointer, seen: UInt32) -> PendingExit {
        enterCode(state, code)
        // While nothing can be flushed: what the exit refers to is still there.
        var exit = PendingExit.none
        let kind = state.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self)
        let asked = state.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self)
        wasLeftByHelper = asked == ExitKind.lookup.rawValue
        wasLeftAtStart = kind == ExitKind.unitStart.rawValue
        if asked != 0 {
            state.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
            if kind != ExitKind.lookup.rawValue {
                let hostPC = state.load(fromByteOffset: StateLayout.exitHostPC, as: UInt64.self)
                if let pc = runtime.guestPC(hostAddress: hostPC &- 1) {
                    state.storeBytes(of: pc, toByteOffset: StateLayout.pc, as: UInt64.self)
                }
            }
        }
        if kind == ExitKind.link.rawValue {
            let link = state.load(fromByteOffset: StateLayout.exitLink, as: UInt32.self)
            exit = PendingExit(link: link, epoch: seen)
            state.storeBytes(of: runtime.cache.links[Int(link)].target, toByteOffset: StateLayout.pc, as: UInt64.self)
        } else if kind == ExitKind.unitStart.rawValue || kind == ExitKind.hot.rawValue {
            leftAtStart(isHot: kind == ExitKind.hot.rawValue)
        }
        depart()
        return exit
    }
}
