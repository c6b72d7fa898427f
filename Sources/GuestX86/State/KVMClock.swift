// The paravirtual clock of KVM: a page in which the guest finds how to turn its time stamp counter into nanoseconds.
//
// Spec: Linux Documentation/virt/kvm/x86/msr.rst, cpuid.rst. The page is written when the register is, and when the
// counter is set; in between nothing changes, since counter and clock are one.

import Glibc
import Translator

extension X86State {
    /// How ticks become nanoseconds: (ticks << shift) × multiplier >> 32; a negative shift goes to the right.
    static func clockScale(frequency: UInt64) -> (shift: Int8, multiplier: UInt32) {
        var scaled = max(frequency, 1), shift: Int8 = 0
        while scaled > 2_000_000_000 {
            scaled >>= 1
            shift -= 1
        }
        while scaled <= 1_000_000_000 {
            scaled <<= 1
            shift += 1
        }
        return (shift, UInt32(truncatingIfNeeded: (1_000_000_000 << 32) / scaled))
    }

    /// Nanoseconds that the engine's counter stands for.
    private func nanoseconds(ticks: UInt64) -> UInt64 {
        let product = ticks.multipliedFullWidth(by: 1_000_000_000)
        let frequency = max(self[SystemLayout.tscFrequency], 1)
        guard product.high < frequency else { return .max }
        return frequency.dividingFullWidth(product).quotient
    }

    /// Writes the 32 bytes of the clock page that MSR 4B564D01 names, when it is enabled. The engine calls it too
    /// after the counter has jumped (resume).
    public func updateSystemTime() {
        let register = self[SystemLayout.kvmSystemTime]
        guard register & 1 != 0 else { return }
        let page = register & ~3
        let (shift, multiplier) = Self.clockScale(frequency: self[SystemLayout.tscFrequency])
        let version = UInt32(truncatingIfNeeded: readBytes(page, 4)) & ~1
        // An odd version tells readers to wait.
        writeBytes(page, 4, UInt64(version &+ 1))
        // At counter 0 of the engine the time is 0.
        writeBytes(page &+ 8, 8, self[SystemLayout.tscOffset])
        writeBytes(page &+ 16, 8, 0)
        writeBytes(page &+ 24, 4, UInt64(multiplier))
        // Shift, flag "stable", padding.
        writeBytes(page &+ 28, 4, UInt64(UInt8(bitPattern: shift)) | 1 << 8)
        writeBytes(page, 4, UInt64(version &+ 2))
    }

    /// Writes the 12 bytes of wall clock that MSR 4B564D00 names: the date when the system time was 0.
    func writeWallClock() {
        let page = self[SystemLayout.kvmWallClock] & ~3
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let date = UInt64(bitPattern: Int64(now.tv_sec)) &* 1_000_000_000 &+ UInt64(bitPattern: Int64(now.tv_nsec))
        let start = date &- nanoseconds(ticks: rawTimeStampCounter)
        let version = UInt32(truncatingIfNeeded: readBytes(page, 4)) & ~1
        writeBytes(page, 4, UInt64(version &+ 1))
        writeBytes(page &+ 4, 4, start / 1_000_000_000)
        writeBytes(page &+ 8, 4, start % 1_000_000_000)
        writeBytes(page, 4, UInt64(version &+ 2))
    }

    /// Reads guest-physical memory that may cross a page.
    private func readBytes(_ address: UInt64, _ size: Int) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<size { value |= readPhysical(address &+ UInt64(index), 1) << UInt64(index * 8) }
        return value
    }

    private func writeBytes(_ address: UInt64, _ size: Int, _ value: UInt64) {
        if address & 0xFFF <= UInt64(4096 - size) { return writePhysical(address, size, value) }
        for index in 0..<size { writePhysical(address &+ UInt64(index), 1, value >> UInt64(index * 8) & 0xFF) }
    }
}
