// The emulator's own open files, kept out of the guest's sight: at the top of the descriptor table, spared by
// close_range, moved when the guest wants their number. Usually there are none; a log file is one.

import Glibc

/// Descriptors of the emulator in a guest process.
final class OwnDescriptors {
    private(set) var numbers: [Int32] = []
    private var moved: [(from: Int32, to: Int32)] = []
    /// Our own executable, kept open once /proc may vanish from view.
    private(set) var executable: Int32 = -1
    /// Called with (old, new) when a descriptor had to move.
    var onMove: ((Int32, Int32) -> Void)?

    /// Moves a descriptor to the top of the table and remembers it; returns its number.
    func adopt(_ fd: Int32) -> Int32 {
        let top = OwnDescriptors.place(fd)
        if top != fd { _ = hostCall(.close, Int(fd)) }
        numbers.append(top)
        return top
    }

    /// Whether a guest's descriptor argument names one of ours.
    func isOwn(_ fd: UInt64) -> Bool {
        !numbers.isEmpty && numbers.contains(Int32(truncatingIfNeeded: fd))
    }

    /// Moves ours away from a number the guest is about to use.
    func makeRoom(_ fd: UInt64) {
        guard isOwn(fd) else { return }
        let old = Int32(truncatingIfNeeded: fd)
        let new = OwnDescriptors.place(old)
        guard new != old, let i = numbers.firstIndex(of: old) else { return }
        numbers[i] = new
        if executable == old { executable = new }
        onMove?(old, new)
    }

    /// Opens our executable for later execve calls, before the guest changes what /proc/self/exe reaches.
    func keepExecutable() {
        guard executable < 0 else { return }
        let fd = hostCall(.openat, at: currentDirectory, path: "/proc/self/exe", Int(0o10000000 | O_CLOEXEC))
        if fd >= 0 { executable = adopt(Int32(fd)) }
    }

    /// close_range around ours.
    func closeRange(_ a: CallArguments, _ thread: GuestThread) -> Int {
        guard !numbers.isEmpty else { return thread.pass(.close_range, a) }
        let first = a.a0 & 0xffff_ffff, last = a.a1 & 0xffff_ffff
        guard first <= last else { return failure(EINVAL) }
        var from = first
        for own in numbers.map({ UInt64($0) }).sorted() where own >= first && own <= last {
            if own > from {
                let r = hostCall(.close_range, Int(from), Int(own - 1), Int(bitPattern: a.a2))
                if r < 0 { return r }
            }
            from = own + 1
        }
        return from <= last ? hostCall(.close_range, Int(from), Int(last), Int(bitPattern: a.a2)) : 0
    }

    /// A free number near the top of the table for a copy of `fd`, close-on-exec; `fd` itself when there is none.
    private static func place(_ fd: Int32) -> Int32 {
        var limit = rlimit()
        _ = withUnsafeMutablePointer(to: &limit) {
            hostCall(.prlimit64, 0, Int(RLIMIT_NOFILE.rawValue), 0, Int(bitPattern: $0))
        }
        let top = Int(min(limit.rlim_cur, 4096))
        for distance in [16, 64, 256, top] where top >= distance {
            let r = hostCall(.fcntl, Int(fd), Int(F_DUPFD_CLOEXEC), top - distance)
            if r >= 0 { return Int32(r) }
        }
        return fd
    }
}
