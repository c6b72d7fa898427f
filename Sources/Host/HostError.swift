// Host failures: a typed error that names the call, the object and the errno behind it.

import Glibc

/// A host call that failed.
public struct HostError: Error, CustomStringConvertible {
    /// The system call or library function.
    public let call: String
    /// What it was applied to, as the user would name it.
    public let object: String
    /// The errno it left.
    public let errno: Int32

    public init(_ call: String, _ object: String, errno: Int32 = Glibc.errno) {
        self.call = call
        self.object = object
        self.errno = errno
    }

    public var description: String { "\(object): \(call): \(String(cString: strerror(errno)))" }
}
