// Where a named machine can be found: ${XDG_RUNTIME_DIR:-/tmp/guise-UID}/guise/NAME, private to its user.
//
// The directory holds `lock` (held while the machine lives, so a name is taken or free without guessing) and `control`
// (the control socket). It is removed when the machine ends; what a crash leaves behind is taken over.

import Glibc
import Host

/// A named machine's directory, held by its supervisor.
final class StateDirectory {
    let path: String
    private let lockDescriptor: Int32
    private var isRemoved = false

    /// The directory of a name, whether or not it exists.
    static func path(of name: String) -> String { root + "/" + name }

    /// The control socket of a name.
    static func controlSocket(of name: String) -> String { path(of: name) + "/control" }

    private static var root: String { (runtimeDirectory ?? ownDirectory) + "/guise" }

    /// The user's runtime directory, as the login manager made it.
    private static var runtimeDirectory: String? {
        guard let directory = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }), directory.hasPrefix("/") else {
            return nil
        }
        return directory
    }

    private static var ownDirectory: String { "/tmp/guise-\(getuid())" }

    /// Takes a name.
    /// - Throws: `MachineError` when a machine of that name runs, `HostError` when the directory cannot be had.
    init(name: String) throws {
        try MachineConfiguration.check(name: name)
        if Self.runtimeDirectory == nil { try Self.make(Self.ownDirectory) }
        for directory in [Self.root, Self.path(of: name)] { try Self.make(directory) }
        let path = Self.path(of: name)
        let descriptor = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw HostError("open", path + "/lock") }
        // The fields are set last: an object that never held the name must not give it up when it goes.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw MachineError("--name \(name)", "a machine of that name is running",
                               advice: "choose another name, or end that machine first")
        }
        self.path = path
        lockDescriptor = descriptor
    }

    deinit { remove() }

    /// Gives the name up.
    func remove() {
        guard !isRemoved else { return }
        isRemoved = true
        unlink(path + "/control")
        unlink(path + "/lock")
        rmdir(path)
        close(lockDescriptor)
    }

    /// A directory of ours that only we may enter. /tmp is everyone's, so an existing one is looked at closely.
    private static func make(_ directory: String) throws {
        if mkdir(directory, 0o700) != 0, errno != EEXIST { throw HostError("mkdir", directory) }
        var information = stat()
        guard lstat(directory, &information) == 0 else { throw HostError("lstat", directory) }
        guard information.st_mode & S_IFMT == S_IFDIR, information.st_uid == getuid(),
              information.st_mode & 0o022 == 0 else {
            throw MachineError(directory, "not a directory of yours that others cannot write",
                               advice: "set XDG_RUNTIME_DIR to one")
        }
    }
}
