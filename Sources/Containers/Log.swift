// The runtime's own messages: --log, --log-format.

import Glibc
import Host
import JSON

/// Where messages go: standard error, or a file that engines read afterwards.
final class Log {
    private let file: Descriptor?
    private let isJSON: Bool
    private let isDebug: Bool

    /// - Parameter path: nil for standard error.
    init(path: String?, isJSON: Bool, isDebug: Bool) throws {
        file = try path.map { try HostFiles.open($0, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644) }
        self.isJSON = isJSON
        self.isDebug = isDebug
    }

    func error(_ message: String) {
        write(message, "error")
        // Who looks at the terminal hears of it too.
        if file != nil { fputs("guise-oci: \(message)\n", stderr) }
    }

    func warn(_ message: String) { write(message, "warning") }

    private func write(_ message: String, _ level: String) {
        let line: String
        if isJSON {
            line = JSONValue.members([
                ("msg", .string(message)), ("level", .string(level)), ("time", .string(Processes.timestamp())),
            ]).text()
        } else if file == nil {
            line = level == "error" ? "guise-oci: \(message)" : "guise-oci: \(level): \(message)"
        } else {
            line = "time=\"\(Processes.timestamp())\" level=\(level) msg=\(JSONValue.string(message).text())"
        }
        guard let file else {
            fputs(line + "\n", stderr)
            return
        }
        // A full disk must not hide the failure that is being told.
        try? HostFiles.writeAll(Array((line + "\n").utf8), to: file, name: "log")
    }
}
