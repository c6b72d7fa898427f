// What all vCPUs (or guest threads) of one guest share: the code cache, the table of units, the links between them.
//
// One lock guards the tables; generating code happens outside it, each thread in its own chunk. Units die by
// invalidation (their guest bytes changed) or by a flush (the cache is full). A dead unit's memory is reused only by a
// flush, which first waits until every thread has left generated code.

import CHost
import Glibc
import Host
import IR

/// How generated code is made.
public struct TranslationOptions: Sendable {
    /// Guest addresses are host addresses.
    public var identityMemory: Bool
    /// Keep every guest register in memory: slower, an oracle.
    public var registersInMemory = false
    /// Condition codes that processors do not agree on are as IR defines them on every host: slower, for comparisons.
    public var exactFlags = false
    /// Guest instructions per unit at most; 1 single-steps.
    public var unitLimit = 64
    /// Size of the code cache in bytes.
    public var cacheSize = 64 << 20
    /// How often a loop is entered before it becomes a region; 0 for never.
    public var loopCount: UInt32 = 20_000
    /// Measure the cost of translating.
    public var statistics = false
    /// Execute the IR of units directly instead of generating code.
    public var interpret = false
    /// Call for every unit about to run from outside (`--log blocks`).
    public var logBlocks = false

    public init(identityMemory: Bool) { self.identityMemory = identityMemory }
}

/// A vCPU as the runtime sees it: where its state block is.
final class RuntimeMember {
    let state: UnsafeMutableRawPointer
    /// Non-zero while the member runs generated code.
    let inside: UnsafeMutablePointer<UInt32>
    init(state: UnsafeMutableRawPointer) {
        self.state = state
        inside = .allocate(capacity: 16) // its own cache line
        inside.initialize(repeating: 0, count: 16)
    }
    deinit { inside.deallocate() }
}

/// Shared translation state of one guest.
public final class TranslationRuntime: @unchecked Sendable {
    public let front: GuestFront
    public let options: TranslationOptions
    let cache: CodeCache
    let thunks: Thunks
    let helperTable: UnsafeMutablePointer<HelperFunction>
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let table: UnitTable
    /// The units of each guest page number (physical for machines).
    private var pages = PageTable()
    /// Units that also depend on a second guest page, by that page's number.
    private var straddlers: [UInt64: [UnitIndex]] = [:]
    private var members: [RuntimeMember] = []
    /// Called during a flush, while no thread runs generated code; set once before the first vCPU runs.
    public var flushed: (() -> Void)?
    /// Raised at the start of every flush and at its end, so that it is odd while one is under way: then nobody goes inside.
    /// What was found in another epoch must be looked up again.
    let epoch: UnsafeMutablePointer<UInt32>
    /// How often the cache has been emptied: chunks taken before belong to nobody.
    let flushes: UnsafeMutablePointer<UInt32>
    private var flushing = false
    private var forkCopy: UnsafeMutablePointer<UInt8>?
    /// The IR of each unit when interpreting, by unit index; retained.
    private let interpreted: UnsafeMutablePointer<Unmanaged<Unit>?>
    /// How the interpreter reaches memory.
    let interpreterMemory: InterpreterMemory
    /// Chunks whose units are interpreted at most.
    private static let interpretedChunks = 16
    private static let interpretedLimit = interpretedChunks * CodeCache.unitsPerChunk

    /// - Throws: `HostError` when memory cannot be had.
    public init(front: GuestFront, options: TranslationOptions, slowLoad: HelperFunction, slowStore: HelperFunction,
                slowPointer: HelperFunction) throws {
        self.front = front
        self.options = options
        interpreted = .allocate(capacity: options.interpret ? Self.interpretedLimit : 1)
        interpreted.initialize(repeating: nil, count: options.interpret ? Self.interpretedLimit : 1)
        interpreterMemory = options.identityMemory ? .identity
            : .callbacks(load: slowLoad, store: slowStore, pointer: slowPointer)
        cache = try CodeCache(size: options.cacheSize)
        table = UnitTable(units: cache.units)
        let helpers = front.helpers
        helperTable = .allocate(capacity: max(1, helpers.count))
        for (index, helper) in helpers.enumerated() { (helperTable + index).initialize(to: helper) }
        func address(_ function: HelperFunction) -> UInt64 { UInt64(UInt(bitPattern: unsafeBitCast(function, to: Int.self))) }
        let targets = ThunkTargets(slowLoad: address(slowLoad), slowStore: address(slowStore),
                                   slowPointer: address(slowPointer),
                                   softFloat: address({ softFloatThunk($0, $1, $2, $3) }),
                                   helpers: UInt64(UInt(bitPattern: helperTable)))
        thunks = Thunks(front: front, at: cache.writable, targets: targets,
                        registersInMemory: options.registersInMemory)
        cache.reserveStart(thunks.end - cache.writable)
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        flushes = .allocate(capacity: 1)
        flushes.initialize(to: 0)
        epoch = .allocate(capacity: 16)
        epoch.initialize(repeating: 0, count: 16)
    }

    deinit {
        dropInterpreted()
        interpreted.deallocate()
        pages.deallocate()
        helperTable.deallocate()
        pthread_mutex_destroy(lock)
        lock.deallocate()
        epoch.deallocate()
        flushes.deallocate()
    }

    // MARK: membership

    /// Whether a host address lies in generated code. Safe in a signal handler.
    public func containsCode(_ address: UInt64) -> Bool { cache.contains(address) }

    /// Guest address of the instruction a host address belongs to. Safe in a signal handler.
    public func guestPC(hostAddress: UInt64) -> UInt64? { cache.guestPC(at: hostAddress) }
    /// The same, and whether the guest's condition codes are in the host's flags register there; then the handler stores
    /// them with `StateLayout.storeStatusFlags`.
    public func guestPosition(hostAddress: UInt64) -> (pc: UInt64, flagsInHost: Bool)? {
        cache.guestPosition(at: hostAddress)
    }

    /// Where a fault handler sends a thread whose state fields it has filled in.
    public var faultExitAddress: UInt64 {
        UInt64(UInt(bitPattern: cache.executable + (thunks.faultExit - cache.writable)))
    }

    func join(_ member: RuntimeMember) {
        pthread_mutex_lock(lock)
        members.append(member)
        pthread_mutex_unlock(lock)
    }

    func leave(_ member: RuntimeMember) {
        pthread_mutex_lock(lock)
        members.removeAll { $0 === member }
        pthread_mutex_unlock(lock)
    }

    /// Before a fork: takes the lock, so that no other thread holds it in the child, and copies the cache.
    public func prepareFork() {
        pthread_mutex_lock(lock)
        forkCopy = try? cache.copyForFork()
    }

    /// After a fork, in the parent.
    public func finishForkInParent() {
        if let forkCopy { cache.dropCopy(forkCopy) }
        forkCopy = nil
        pthread_mutex_unlock(lock)
    }

    /// After a fork, in the child, whose only thread is the caller with state block `state`.
    /// - Throws: `HostError` when there was no memory for the copy.
    public func finishForkInChild(state: UnsafeMutableRawPointer) throws {
        pthread_mutex_init(lock, nil)
        // A flush that another thread had begun is nobody's now; its tables are still as they were.
        flushing = false
        guise_store32(epoch, (epoch.pointee &+ 1) & ~1)
        members.removeAll { $0.state != state }
        guard let copy = forkCopy else { throw HostError("mmap", "code cache of the child", errno: ENOMEM) }
        forkCopy = nil
        try cache.adopt(copy)
    }

    // MARK: lookup

    /// The unit for a guest address, if it has been translated. The caller is inside.
    @inline(__always)
    func lookup(start: UInt64, context: UInt32, mode: UInt32) -> UnitIndex { table.find(start, context, mode) }

    /// Puts a living unit into a vCPU's jump cache. The caller is inside, and is that vCPU's thread.
    func remember(_ unit: UnitIndex, state: UnsafeMutableRawPointer) {
        guard !options.interpret else { return }
        let record = cache.units + Int(unit)
        let start = record.pointee.start
        let slot = state + StateLayout.jumpCacheSlot(start)
        let salt = state.load(fromByteOffset: StateLayout.jumpSalt, as: UInt64.self)
        slot.storeBytes(of: UInt64(UInt(bitPattern: entry(unit))), toByteOffset: 8, as: UInt64.self)
        guise_store64(slot, start ^ salt)
        // Whoever drops a unit marks it first and empties the slots then: one of the two stores comes last.
        if guise_load32(Self.deadField(record)) != 0 { guise_store64(slot, StateLayout.emptyJumpTag(slot - state)) }
    }

    @inline(__always) private static func deadField(_ record: UnsafeMutablePointer<UnitRecord>) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(record) + (MemoryLayout<UnitRecord>.offset(of: \.dead) ?? 0)
    }

    /// Executable entry of a unit.
    @inline(__always) func entry(_ unit: UnitIndex) -> UnsafeMutablePointer<UInt8> {
        cache.code(cache.units[Int(unit)].codeOffset)
    }

    // MARK: making units

    /// Takes a fresh chunk; -1 when the cache is full.
    func takeChunk() -> Int {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return cache.takeChunk(limit: options.interpret ? Self.interpretedChunks : .max)
    }

    /// Publishes the IR of a unit to be interpreted.
    func publish(_ index: UnitIndex, ir: Unit, page: UInt64, secondPage: UInt64?) -> UnitIndex {
        interpreted[Int(index)]?.release()
        interpreted[Int(index)] = .passRetained(ir)
        return publish(index, page: page, secondPage: secondPage, link: nil)
    }

    /// The IR of a unit; the caller keeps a flush away by being inside.
    @inline(__always) func ir(_ unit: UnitIndex) -> Unit? { interpreted[Int(unit)]?.takeUnretainedValue() }

    private func dropInterpreted() {
        guard options.interpret else { return }
        for index in 0..<Self.interpretedLimit {
            interpreted[index]?.release()
            interpreted[index] = nil
        }
    }

    /// Publishes a finished unit, whose record is complete. If another thread was faster, its unit is returned instead.
    /// - Parameter link: the link by which the unit was reached, to be patched to it.
    func publish(_ index: UnitIndex, page: UInt64, secondPage: UInt64?, link: (index: Int, identity: UInt32)?) -> UnitIndex {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        let record = cache.units + Int(index)
        let unit = table.findOrInsert(index)
        if unit == index {
            record.pointee.pageNext = pages.exchange(page, index)
            if let secondPage { straddlers[secondPage, default: []].append(index) }
        }
        if let link { connect(link.index, unit, link.identity) }
        return unit
    }

    /// Publishes a region in the place of the unit for its first block: jumps to that lead to the region from now on, and
    /// whoever is in it comes to the region with the next round. The caller is inside.
    /// - Returns: false when there is a region already.
    func publishRegion(_ index: UnitIndex, page: UInt64) -> Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        let record = cache.units + Int(index)
        let existing = table.find(record.pointee.start, record.pointee.context, record.pointee.mode)
        if existing != .noUnit {
            if cache.units[Int(existing)].isRegion { return false }
            table.remove(existing)
        }
        record.pointee.pageNext = pages.exchange(page, index)
        table.insert(index)
        if existing != .noUnit { moveIncoming(from: existing, to: index) }
        // The old unit stays good for who has its address; slots of the jump cache are filled anew.
        let slot = StateLayout.jumpCacheSlot(record.pointee.start)
        for member in members { guise_store64(member.state + slot, StateLayout.emptyJumpTag(slot)) }
        return true
    }

    /// Lets every link to a unit lead to another of the same key. The lock is held.
    private func moveIncoming(from old: UnitIndex, to new: UnitIndex) {
        let target = cache.units + Int(new)
        var index = cache.units[Int(old)].incoming
        while index != .max {
            let link = cache.links + Int(index)
            let next = link.pointee.nextIncoming
            link.pointee.destination = new
            link.pointee.nextIncoming = target.pointee.incoming
            target.pointee.incoming = index
            patch(link.pointee.patchOffset, to: target.pointee.codeOffset)
            index = next
        }
        cache.units[Int(old)].incoming = .max
    }

    // MARK: linking

    /// Lets a link jump straight to a unit. The caller has been inside since before it looked the unit up.
    /// - Parameter identity: for a link to another page of a machine, the page identity its stub must find in the
    ///   instruction TLB.
    func link(_ linkIndex: Int, to unit: UnitIndex, identity: UInt32) {
        pthread_mutex_lock(lock)
        connect(linkIndex, unit, identity)
        pthread_mutex_unlock(lock)
    }

    /// The lock is held.
    private func connect(_ linkIndex: Int, _ unit: UnitIndex, _ identity: UInt32) {
        let link = cache.links + linkIndex, target = cache.units + Int(unit)
        guard target.pointee.dead == 0, link.pointee.destination == .noUnit else { return }
        link.pointee.destination = unit
        link.pointee.nextIncoming = target.pointee.incoming
        target.pointee.incoming = UInt32(truncatingIfNeeded: linkIndex)
        patch(link.pointee.patchOffset, to: target.pointee.codeOffset)
        let check = link.pointee.pageCheckOffset
        if check != 0 { guise_store32(cache.writable + Int(check), identity) }
    }

    private func patch(_ offset: UInt32, to target: UInt32) {
        let displacement = Int32(truncatingIfNeeded: Int(target) - Int(offset) - 4)
        // The release of the lock, which follows, makes it seen.
        guise_release32(cache.writable + Int(offset), UInt32(bitPattern: displacement))
    }

    /// Makes every jump to a unit go outside again. The lock must be held.
    private func unlinkIncoming(_ unit: UnitIndex) {
        var index = cache.units[Int(unit)].incoming
        while index != .max {
            let link = cache.links + Int(index)
            if link.pointee.pageCheckOffset != 0 {
                guise_store32(cache.writable + Int(link.pointee.pageCheckOffset), UInt32.max)
            }
            patch(link.pointee.patchOffset, to: link.pointee.stubOffset)
            link.pointee.destination = .noUnit
            let next = link.pointee.nextIncoming
            link.pointee.nextIncoming = .max
            index = next
        }
        cache.units[Int(unit)].incoming = .max
    }

    // MARK: invalidation

    /// Drops every unit that overlaps a byte range.
    /// - Parameter page: translates to the page numbers units were published under.
    public func invalidate(start: UInt64, length: UInt64) {
        guard length > 0 else { return }
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        guard pages.count > 0 || !straddlers.isEmpty else { return }
        let firstPage = start >> 12, lastPage = (start &+ (length - 1)) >> 12
        if lastPage - firstPage > UInt64(pages.count) {
            pages.forEach { page, head in
                if page >= firstPage && page <= lastPage { dropList(&head) }
            }
            for page in straddlers.keys where page >= firstPage && page <= lastPage { dropStraddlers(page) }
        } else {
            for page in firstPage...lastPage {
                if !straddlers.isEmpty { dropStraddlers(page) }
                var head = pages[page]
                if head != .noUnit {
                    dropList(&head)
                    _ = pages.exchange(page, .noUnit)
                }
            }
        }
        // A program's unit that starts on the page before may reach into this one.
        if options.identityMemory, firstPage > 0 {
            var index = pages[firstPage - 1]
            while index != .noUnit {
                let record = cache.units[Int(index)]
                if record.dead == 0, (record.start & 0xFFF) + UInt64(record.guestByteLength) > 0x1000 { drop(index) }
                index = record.pageNext
            }
        }
    }

    /// Drops the units of a machine's page that overlap the bytes first…last of it.
    /// - Parameter left: called with offset and length of each unit that stays.
    public func invalidate(page: UInt64, first: UInt64, last: UInt64, left: (UInt64, UInt64) -> Void) {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        // The second parts of straddling instructions lie at the page's beginning.
        if first < 16, !straddlers.isEmpty { dropStraddlers(page) }
        var index = pages[page]
        var living = UnitIndex.noUnit
        while index != .noUnit {
            let record = cache.units + Int(index)
            let next = record.pointee.pageNext
            let offset = record.pointee.start & 0xFFF, length = UInt64(max(1, record.pointee.guestByteLength))
            if record.pointee.dead == 0 {
                if offset <= last && first < offset + length {
                    drop(index)
                } else {
                    record.pointee.pageNext = living
                    living = index
                    left(offset, length)
                }
            }
            index = next
        }
        if straddlers[page] != nil { left(0, 16) }
        if pages[page] != living { _ = pages.exchange(page, living) }
    }

    /// Drops the units of a machine's page whose guest bytes have changed.
    /// - Parameter hash: returns the current hash of a byte range, given by address and length; nil drops the unit.
    public func verify(page: UInt64, _ hash: (UInt64, Int) -> UInt64?) {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        if !straddlers.isEmpty { dropStraddlers(page) }
        var index = pages[page]
        while index != .noUnit {
            let record = cache.units[Int(index)]
            if record.dead == 0, hash(record.start, Int(record.guestByteLength)) != record.contentHash { drop(index) }
            index = record.pageNext
        }
    }

    /// What the unit was made from whose code contains a host address: guest address, bytes, page identity.
    public func origin(ofCodeAt hostAddress: UInt64) -> (start: UInt64, length: UInt64, context: UInt32)? {
        let unit = cache.unit(at: hostAddress)
        return unit == .noUnit ? nil : origin(of: unit)
    }

    /// What a unit was made from: guest address, bytes, page identity.
    public func origin(of unit: UnitIndex) -> (start: UInt64, length: UInt64, context: UInt32) {
        let record = cache.units[Int(unit)]
        return (record.start, UInt64(max(1, record.guestByteLength)), record.context)
    }

    private func dropStraddlers(_ page: UInt64) {
        if let units = straddlers.removeValue(forKey: page) { for unit in units { drop(unit) } }
    }

    /// Drops every unit of a page's list and empties it.
    private func dropList(_ head: inout UnitIndex) {
        while head != .noUnit {
            drop(head)
            head = cache.units[Int(head)].pageNext
        }
    }

    /// Whether the unit whose code contains a host address was made from guest bytes on a page. Safe in a signal handler.
    public func isUnit(at hostAddress: UInt64, onPage page: UInt64) -> Bool {
        let unit = cache.unit(at: hostAddress)
        guard unit != .noUnit else { return false }
        let record = cache.units[Int(unit)]
        let last = record.start &+ UInt64(max(1, record.guestByteLength)) &- 1
        return record.start >> 12 <= page && page <= last >> 12
    }

    /// Units published under a page: whether there are any.
    public func hasUnits(page: UInt64) -> Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return pages[page] != .noUnit
    }

    private func drop(_ index: UnitIndex) {
        let record = cache.units + Int(index)
        guard record.pointee.dead == 0 else { return }
        guise_store32(Self.deadField(record), 1)
        unlinkIncoming(index)
        table.remove(index)
        let slot = StateLayout.jumpCacheSlot(record.pointee.start)
        for member in members { guise_store64(member.state + slot, StateLayout.emptyJumpTag(slot)) }
    }

    /// Drops the units whose guest bytes no longer hash to what was translated (programs; an instruction fence).
    /// - Parameter read: returns the current hash of a byte range, or nil when it cannot be read.
    public func verifyAll(_ hash: (UInt64, Int) -> UInt64?) {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        pages.forEach { _, head in
            var index = head
            var living = false
            while index != .noUnit {
                let record = cache.units[Int(index)]
                if record.dead == 0 {
                    if hash(record.start, Int(record.guestByteLength)) == record.contentHash {
                        living = true
                    } else {
                        drop(index)
                    }
                }
                index = record.pageNext
            }
            if !living { head = .noUnit }
        }
    }

    // MARK: flush

    /// Less than this is not worth translating again.
    static let trimWorthBytes = 2 << 20

    /// Bytes of the cache that chunks have been taken from.
    var cacheBytesUsed: Int {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return cache.chunkCount * CodeCache.chunkSize
    }

    /// Empties the cache. Called by a thread outside generated code; waits for the others to come out.
    /// - Parameter releasing: also gives the memory back to the host.
    func flush(by caller: RuntimeMember, seen: UInt32, releasing: Bool = false) {
        pthread_mutex_lock(lock)
        if flushing || epoch.pointee != seen {
            pthread_mutex_unlock(lock)
            while true {
                pthread_mutex_lock(lock)
                let busy = flushing
                pthread_mutex_unlock(lock)
                if !busy { return }
                sched_yield()
            }
        }
        flushing = true
        guise_store32(epoch, epoch.pointee &+ 1)
        let others = members.filter { $0 !== caller }
        for other in others { guise_store32(other.state + StateLayout.exitRequest, 1) }
        pthread_mutex_unlock(lock)
        for other in others {
            while guise_load32(other.inside) != 0 { sched_yield() }
        }
        pthread_mutex_lock(lock)
        dropInterpreted()
        table.removeAll()
        pages.removeAll()
        straddlers.removeAll()
        flushed?()
        cache.takeBack(releasing: releasing)
        guise_store32(flushes, flushes.pointee &+ 1)
        for member in members { Self.clearJumpCache(member.state) }
        guise_store32(epoch, epoch.pointee &+ 1)
        flushing = false
        pthread_mutex_unlock(lock)
    }

    /// Runs `body` while no other thread is inside. The caller is outside; the body may go in with `arriveAlone`, but must
    /// not translate.
    /// - Returns: nil, without having run it, when there has been a flush since `seen` was read.
    public func exclusively<Result>(by caller: TranslationContext, seen: UInt32, _ body: () -> Result) -> Result? {
        while true {
            pthread_mutex_lock(lock)
            if !flushing { break }
            pthread_mutex_unlock(lock)
            sched_yield()
        }
        guard epoch.pointee == seen else {
            pthread_mutex_unlock(lock)
            return nil
        }
        flushing = true
        // Whoever is about to go in notices by the epoch; what they have looked up stays good.
        guise_store32(epoch, epoch.pointee &+ 1)
        let others = members.filter { $0 !== caller.member }
        for other in others { guise_store32(other.state + StateLayout.exitRequest, 1) }
        pthread_mutex_unlock(lock)
        for other in others {
            while guise_load32(other.inside) != 0 { sched_yield() }
        }
        let result = body()
        pthread_mutex_lock(lock)
        guise_store32(epoch, epoch.pointee &+ 1)
        flushing = false
        pthread_mutex_unlock(lock)
        return result
    }

    /// False while a flush is under way; nobody may go in.
    func mayEnter() -> Bool {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        return !flushing
    }

    /// Empties a vCPU's jump cache.
    public static func clearJumpCache(_ state: UnsafeMutableRawPointer) {
        memset(state + StateLayout.jumpCache, 0, StateLayout.jumpCacheCount * 16)
        let first = StateLayout.jumpCache
        state.storeBytes(of: StateLayout.emptyJumpTag(first), toByteOffset: first, as: UInt64.self)
    }

    /// Writes the used part of the cache to `path`, and to `path`.units its address and one line per living unit (cache
    /// offset, length, guest address, mode; hexadecimal). For `Scripts/profile-code.py`.
    public func dumpCode(to path: String) {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        guard let image = fopen(path, "w"), let index = fopen(path + ".units", "w") else { return }
        fwrite(cache.writable, 1, cache.end, image)
        fputs(String(UInt(bitPattern: cache.executable), radix: 16) + "\n", index)
        cache.forEachUnit { unit in
            let record = cache.units[Int(unit)]
            guard record.dead == 0 else { return }
            let line = [UInt64(record.codeOffset), UInt64(record.codeLength), record.start, UInt64(record.mode)]
                .map { String($0, radix: 16) }.joined(separator: " ")
            fputs(line + "\n", index)
        }
        fclose(image)
        fclose(index)
    }
}
