// Regions: a loop that has been entered often becomes one unit with all its blocks.
//
// A unit that jumps backward within its page counts how often it is entered (`CodeGenerator.emitLoopCount`). When the count
// is used up the engine asks for a region that starts where the jump leads. Its blocks are those that can be reached from
// there within the page by direct jumps and lead back there; other exits leave the region as they leave any unit.
//
// In a program a region is made by the thread that runs the loop: its process is the guest's alone. A machine has a thread
// that prepares regions; the vCPU that counted publishes them.

import CHost
import IR

extension TranslationContext {
    /// Most blocks of a region.
    private static let blockLimit = 32
    /// How far behind its start a region reaches, in bytes.
    public static let regionReach = 2048

    /// Makes a region of the loop that starts at a guest address, in place of the unit there. Outside before and after.
    /// - Parameters: as those of `unit`; `code` ends with the page at the latest.
    /// - Returns: the region; `.noUnit` when the loop is none or too long, there is one already, or the cache is full.
    public func region(start: UInt64, mode: UInt32, context: UInt32, page: UInt64, code: GuestCode,
                       seen: UInt32) -> UnitIndex {
        guard arrive(seen: seen) else { return .noUnit }
        defer { depart() }
        let made = makeUnlessKnown(start, mode, context, code, seen)
        return made != .noUnit && runtime.publishRegion(made, page: page) ? made : .noUnit
    }

    /// Makes a region as `region` does, but nobody can find it before `publish`. Outside before and after.
    public func prepareRegion(start: UInt64, mode: UInt32, context: UInt32, code: GuestCode, seen: UInt32) -> UnitIndex {
        guard arrive(seen: seen) else { return .noUnit }
        defer { depart() }
        return makeUnlessKnown(start, mode, context, code, seen)
    }

    /// Publishes a region that was prepared in this epoch, perhaps by another thread. Inside.
    /// - Returns: false when there is a region already.
    public func publish(region: UnitIndex, page: UInt64) -> Bool { runtime.publishRegion(region, page: page) }

    private func makeUnlessKnown(_ start: UInt64, _ mode: UInt32, _ context: UInt32, _ code: GuestCode,
                                 _ seen: UInt32) -> UnitIndex {
        guard !runtime.options.interpret else { return .noUnit }
        let began = guise_cycles()
        let known = existing(start: start, context: context, mode: mode)
        if known != .noUnit, runtime.cache.units[Int(known)].isRegion { return .noUnit }
        do throws(TranslationFailure) {
            let made = try makeRegion(start, mode, context, code, seen)
            noteRegion(isMade: made != .noUnit, since: began)
            return made
        } catch {
            return .noUnit
        }
    }

    /// A loop's count, kept at `address`, is used up: starts another. Whether it is time to try to make a region: the first
    /// time, and again after twice as many counts each time, since the loop may be one that cannot be or one that has been
    /// and was dropped.
    public func wantsRegion(start: UInt64, context: UInt32, countedAt address: UInt64) -> Bool {
        state.storeBytes(of: runtime.options.loopCount, toByteOffset: StateLayout.loopCount(address), as: UInt32.self)
        if loopsCounted.count >= Self.loopsKnown { loopsCounted.removeAll(keepingCapacity: true) }
        let times = (loopsCounted[start ^ UInt64(context) << 48] ?? 0) &+ 1
        loopsCounted[start ^ UInt64(context) << 48] = times
        return times & (times &- 1) == 0
    }

    /// Loops whose counts are remembered at most.
    private static let loopsKnown = 4096

    private func makeRegion(_ start: UInt64, _ mode: UInt32, _ context: UInt32, _ code: GuestCode, _ seen: UInt32) throws(TranslationFailure) -> UnitIndex {
        let code = GuestCode(bytes: code.bytes, available: min(code.available, Self.regionReach, 0x1000 - Int(start & 0xFFF)))
        let blocks = loop(at: start, mode, code)
        guard !blocks.isEmpty, lift(blocks, mode, code) else { return .noUnit }
        assert(Verifier.problems(in: unit, globals: runtime.front.globals, helperCount: runtime.front.helpers.count).isEmpty)
        DeadCode.eliminate(unit, globalCount: generator.globalCount, pinned: generator.globalIsPinned)
        let room = unit.count * Self.bytesPerOperation + Self.spareBytes
        guard room <= CodeCache.chunkSize else { return .noUnit }
        try makeRoom(room, seen)
        generator.countsLoops = false
        guard generator.generate(at: runtime.cache.writable + position, tlbMode: runtime.front.tlbMode(mode: mode),
                                 entryCheck: nil) else { return .noUnit }
        let index = nextIndex
        finish(context: context, contentHash: Self.hash(code.bytes, unit.byteLength))
        keep()
        return index
    }

    /// The addresses of the blocks from which `start` can be reached again, ascending; empty when it cannot from itself.
    private func loop(at start: UInt64, _ mode: UInt32, _ code: GuestCode) -> [UInt64] {
        var found: [UInt64] = [start], edges: [(from: UInt64, to: UInt64)] = []
        var next = 0
        while next < found.count {
            let address = found[next]
            next += 1
            let offset = Int(address - start)
            builder.begin(start: address, mode: mode, rounding: runtime.front.rounding(mode: mode))
            guard runtime.front.lift(builder, start: address, mode: mode, code: code.bytes + offset,
                                     available: code.available - offset, limit: 64) == .complete else { continue }
            for index in 0..<unit.count {
                guard let target = successor(index), target >= start, target - start < UInt64(code.available) else { continue }
                if !found.contains(target) {
                    guard found.count < Self.blockLimit else { continue }
                    found.append(target)
                }
                edges.append((address, target))
            }
        }
        var members: Set<UInt64> = []
        var isGrowing = true
        while isGrowing {
            isGrowing = false
            for edge in edges where !members.contains(edge.from) && (edge.to == start || members.contains(edge.to)) {
                members.insert(edge.from)
                isGrowing = true
            }
        }
        return members.contains(start) ? members.sorted() : []
    }

    /// Where an operation may lead to by a direct jump, or come back to after a call.
    private func successor(_ index: Int) -> UInt64? {
        let instruction = unit.instructions[index]
        switch instruction.opcode {
        case .exitIf, .exitIfFlags: return UInt64(bitPattern: instruction.imm)
        case .jump where instruction.aux == JumpKind.jump.rawValue: return UInt64(bitPattern: instruction.imm)
        case .jump, .jumpIndirect:
            guard instruction.c != .none else { return nil }
            return UInt64(bitPattern: unit.instructions[Int(instruction.c)].imm)
        default: return nil
        }
    }

    /// Lifts the blocks, in ascending order of their addresses, each as far as the next, into one unit.
    private func lift(_ blocks: [UInt64], _ mode: UInt32, _ code: GuestCode) -> Bool {
        let start = blocks[0]
        builder.begin(start: start, mode: mode, rounding: runtime.front.rounding(mode: mode))
        var length = 0
        for (number, address) in blocks.enumerated() {
            let offset = Int(address - start)
            let end = number + 1 < blocks.count ? Int(blocks[number + 1] - start) : code.available
            builder.block(address)
            guard runtime.front.lift(builder, start: address, mode: mode, code: code.bytes + offset,
                                     available: end - offset, limit: 64) == .complete else { return false }
            length = max(length, offset + unit.byteLength)
        }
        unit.byteLength = length
        return true
    }
}
