// Runs hooks in the runtime's namespaces: prestart, createRuntime, poststart, poststop.

import CContainerInit
import Glibc
import Host
import JSON

enum HookRunner {
    /// Runs hooks in order, each with the state on its standard input.
    /// - Throws: `RuntimeError` naming the first that fails; those after it do not run.
    static func run(_ hooks: [Hook], _ point: String, state: JSONValue) throws {
        guard !hooks.isEmpty else { return }
        let input = try stateFile(state)
        for (index, hook) in hooks.enumerated() {
            if let failure = run(hook, input: input) { throw RuntimeError("hooks.\(point)[\(index)]: \(hook.path): \(failure)") }
        }
    }

    /// A file in memory that holds the state.
    static func stateFile(_ state: JSONValue) throws -> Descriptor {
        let file = Descriptor(guise_memfd("state"))
        guard file.number >= 0 else { throw HostError("memfd_create", "state") }
        try HostFiles.writeAll(Array(state.text().utf8), to: file, name: "state")
        return file
    }

    /// Why the hook failed, or nil.
    private static func run(_ hook: Hook, input: Descriptor) -> String? {
        lseek(input.number, 0, SEEK_SET)
        let pid = withCStrings(hook.arguments) { arguments in
            withCStrings(hook.environment) { guise_spawn_hook(hook.path, arguments, $0, input.number) }
        }
        guard pid > 0 else { return String(cString: strerror(errno)) }
        var status: Int32 = 0
        guard guise_wait_hook(pid, Int32(hook.timeoutSeconds), &status) == 0 else {
            return errno == ETIMEDOUT ? "killed after its timeout of \(hook.timeoutSeconds) s" : String(cString: strerror(errno))
        }
        if status == 0 { return nil }
        return status & 0x7F == 0 ? "exit status \(status >> 8 & 0xFF)" : "killed by signal \(status & 0x7F)"
    }
}

/// Calls `body` with a null-terminated array of C strings.
func withCStrings<Result>(_ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result) -> Result {
    let copies: [UnsafeMutablePointer<CChar>?] = strings.map { strdup($0) } + [nil]
    defer { for copy in copies { free(copy) } }
    return copies.withUnsafeBufferPointer { body($0.baseAddress!) }
}
