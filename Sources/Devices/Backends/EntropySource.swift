// Where random bytes come from.

import CHost
import Glibc

/// A source of random bytes.
public protocol EntropySource: AnyObject {
    /// Fills the whole buffer.
    func fill(_ buffer: UnsafeMutableRawBufferPointer)
}

/// The host kernel's random number generator.
public final class HostEntropy: EntropySource {
    public init() {}

    public func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < buffer.count {
            // SAFETY: done < buffer.count, so the buffer is not empty and the range lies inside it.
            let count = guise_getrandom(buffer.baseAddress! + done, UInt(buffer.count - done))
            precondition(count > 0 || errno == EINTR, "getrandom fails only when interrupted")
            if count > 0 { done += count }
        }
    }
}
