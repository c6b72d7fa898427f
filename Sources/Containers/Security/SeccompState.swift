// What goes to a seccomp listener's socket along with the listener: config-linux.md, "The Container Process State".

import CContainerInit
import Glibc
import Host
import JSON

enum SeccompState {
    /// An empty file in memory, to be filled once the process's number is known.
    static func file() throws -> Descriptor {
        let file = Descriptor(guise_memfd("state"))
        guard file.number >= 0 else { throw HostError("memfd_create", "state") }
        return file
    }

    /// Replaces what the file holds.
    static func write(
        _ record: ContainerRecord, _ seccomp: Seccomp, pid: Int32, status: ContainerStatus, to file: Descriptor
    ) throws {
        let state = JSONValue.members([
            ("ociVersion", .string(record.ociVersion)), ("fds", .array([.string("seccompFd")])), ("pid", .integer(pid)),
            ("metadata", .string(seccomp.listenerMetadata)), ("state", record.ociState(status, pid: record.pid == 0 ? pid : record.pid)),
        ])
        ftruncate(file.number, 0)
        lseek(file.number, 0, SEEK_SET)
        try HostFiles.writeAll(Array(state.text().utf8), to: file, name: "state")
    }
}
