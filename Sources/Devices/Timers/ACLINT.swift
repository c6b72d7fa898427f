// The core-local interruptor: software interrupts and the machine timer of every hart.
//
// Spec: RISC-V ACLINT 1.0-rc4, §2 (MTIMER) and §3 (MSWI), in the SiFive CLINT arrangement: MSWI at 0, MTIMECMP at 0x4000,
// MTIME at 0xBFF8. Absent: SSWI (its place in a CLINT is reserved).

import Bus
import SavedState

/// The outputs towards one hart.
public struct ACLINTHart: Sendable {
    /// MSIP.
    public let software: InterruptLine
    /// MTIP.
    public let timer: InterruptLine
    /// Drives `timerFired` for this hart.
    public let deadline: DeadlineTimer

    public init(software: InterruptLine, timer: InterruptLine, deadline: DeadlineTimer) {
        self.software = software
        self.timer = timer
        self.deadline = deadline
    }
}

/// The device. 4- and 8-byte accesses.
public final class ACLINT: MMIODevice {
    /// Size of the register window.
    public static let sizeBytes: UInt64 = 0x10000
    static let softwareBase: UInt64 = 0
    static let compareBase: UInt64 = 0x4000
    static let timeOffset: UInt64 = 0xbff8
    /// Harts the register layout has room for (the last MTIMECMP slot is MTIME).
    public static let hartsMax = 4095

    private let harts: [ACLINTHart]
    private let clock: GuestClock
    private var compare: [UInt64]
    private var software: [Bool]

    public init(harts: [ACLINTHart], clock: GuestClock) {
        precondition((1...Self.hartsMax).contains(harts.count), "ACLINT hart count")
        self.harts = harts
        self.clock = clock
        compare = Array(repeating: .max, count: harts.count)
        software = Array(repeating: false, count: harts.count)
    }

    /// The deadline of a hart may have come. Called with the device lock held.
    public func timerFired(hart: Int) {
        guard harts.indices.contains(hart) else { return }
        updateTimer(hart)
    }

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard size == 4 || size == 8 else { return 0 }
        if size == 8 { return UInt64(word(offset)) | UInt64(word(offset &+ 4)) << 32 }
        return UInt64(word(offset))
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        if offset < Self.compareBase {
            setSoftware(offset, UInt32(truncatingIfNeeded: value))
            if size == 8 { setSoftware(offset &+ 4, UInt32(truncatingIfNeeded: value >> 32)) }
        } else if let hart = compareHart(offset) {
            compare[hart] = merge(compare[hart], offset, size, value)
            updateTimer(hart)
        } else if offset & ~7 == Self.timeOffset {
            clock.set(ticks: merge(clock.ticks, offset, size, value))
            for hart in harts.indices { updateTimer(hart) }
        }
    }

    /// MTIME is left alone: the clock belongs to the machine.
    public func reset() {
        for hart in harts.indices {
            compare[hart] = .max
            software[hart] = false
            harts[hart].software.set(false)
            updateTimer(hart)
        }
    }

    public func save(to writer: inout StateWriter) {
        writer.section("aclint", version: 1) { writer in
            writer.put(each: harts.indices) { writer, hart in
                writer.put(compare[hart])
                writer.put(software[hart])
            }
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("aclint", newest: 1) { reader, _ in
            let saved = try reader.getEach(limit: harts.count) { (try $0.get(UInt64.self), try $0.getBool()) }
            guard saved.count == harts.count else {
                throw StateError.invalid(section: "aclint", reason: "\(saved.count) harts, not \(harts.count)")
            }
            for hart in harts.indices {
                (compare[hart], software[hart]) = saved[hart]
                harts[hart].software.set(software[hart])
                updateTimer(hart)
            }
        }
    }

    private func word(_ offset: UInt64) -> UInt32 {
        let shift = offset & 4 == 0 ? UInt64(0) : 32
        if offset < Self.compareBase {
            let hart = Int(offset / 4)
            return hart < harts.count && software[hart] ? 1 : 0
        }
        if let hart = compareHart(offset) { return UInt32(truncatingIfNeeded: compare[hart] >> shift) }
        if offset & ~7 == Self.timeOffset { return UInt32(truncatingIfNeeded: clock.ticks >> shift) }
        return 0
    }

    private func compareHart(_ offset: UInt64) -> Int? {
        guard offset >= Self.compareBase, offset < Self.timeOffset else { return nil }
        let hart = Int((offset - Self.compareBase) / 8)
        return hart < harts.count ? hart : nil
    }

    private func merge(_ old: UInt64, _ offset: UInt64, _ size: Int, _ value: UInt64) -> UInt64 {
        if size == 8 { return value }
        guard size == 4 else { return old }
        return offset & 4 == 0 ? old & ~0xffff_ffff | value & 0xffff_ffff : old & 0xffff_ffff | value << 32
    }

    private func setSoftware(_ offset: UInt64, _ value: UInt32) {
        let hart = Int(offset / 4)
        guard hart < harts.count else { return }
        software[hart] = value & 1 != 0
        harts[hart].software.set(software[hart])
    }

    private func updateTimer(_ hart: Int) {
        let due = clock.ticks >= compare[hart]
        harts[hart].timer.set(due)
        harts[hart].deadline.set(deadlineTicks: due || compare[hart] == .max ? nil : compare[hart])
    }
}
