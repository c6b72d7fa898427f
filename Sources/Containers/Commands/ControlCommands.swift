// `list`, `ps`, `pause`, `resume`.

import Glibc
import Host
import JSON

/// A command of a format option and no more.
final class FormatOption {
    var isJSON = false, isQuiet = false

    var option: Arguments.Option {
        .init("--format", "-f", value: "FORMAT", "table or json") {
            guard $0 == "table" || $0 == "json" else { throw RuntimeError("--format is table or json, not '\($0)'") }
            self.isJSON = $0 == "json"
        }
    }
}

struct ListCommand: RuntimeCommand {
    static let verb = "list"
    static let usage = "[OPTIONS]"
    static let abstract = "prints all containers"
    private let format = FormatOption()
    var options: [Arguments.Option] {
        [format.option, .init(flag: "--quiet", "-q", help: "only the ids") { format.isQuiet = true }]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        try line.end()
        var rows: [(record: ContainerRecord, status: ContainerStatus)] = []
        for id in try runtime.store.ids() {
            // One that goes away meanwhile, or that was never made to the end, is not listed.
            guard let directory = try? runtime.store.open(id, isLocked: false), let record = try? directory.record() else { continue }
            rows.append((record, directory.status(of: record)))
        }
        if format.isQuiet {
            for row in rows { print(row.record.id) }
        } else if format.isJSON {
            print(JSONValue.array(rows.map { row in
                .members([
                    ("ociVersion", .string(row.record.ociVersion)), ("id", .string(row.record.id)),
                    ("pid", row.status == .stopped ? .unsigned(0) : .integer(row.record.pid)),
                    ("status", .string(row.status.rawValue)), ("bundle", .string(row.record.bundle)),
                    ("rootfs", .string(row.record.rootfs)), ("created", .string(row.record.created)),
                    ("annotations", row.record.annotations.isEmpty ? nil : .strings(row.record.annotations)),
                    ("owner", .string(UserName.of(row.record.owner))),
                ])
            }).text())
        } else {
            let table = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]] + rows.map { row in
                [row.record.id, row.status == .stopped ? "0" : "\(row.record.pid)", row.status.rawValue, row.record.bundle,
                 row.record.created, UserName.of(row.record.owner)]
            }
            print(Table.text(table))
        }
        return 0
    }
}

enum UserName {
    /// The name by /etc/passwd, or the number.
    static func of(_ uid: UInt32) -> String {
        for line in (HostFiles.line("/etc/passwd") ?? "").split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 2, UInt32(fields[2]) == uid { return String(fields[0]) }
        }
        return "#\(uid)"
    }
}

enum Table {
    /// Columns as wide as their widest cell.
    static func text(_ rows: [[String]]) -> String {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].utf8.count }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.utf8.count + 2)
            }.joined()
        }.joined(separator: "\n")
    }
}

struct ProcessesCommand: RuntimeCommand {
    static let verb = "ps"
    static let usage = "[OPTIONS] ID"
    static let abstract = "prints the processes of a container"
    private let format = FormatOption()
    var options: [Arguments.Option] { [format.option] }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        // Options of ps(1), which other runtimes hand on: the columns here are always the same.
        _ = line.all()
        let directory = try runtime.store.open(id, isLocked: false)
        guard let record = try directory.record() else { throw RuntimeError("Container '\(id)' was never created to the end; delete it") }
        let cgroup = ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups)
        guard !cgroup.parts.isEmpty else { throw RuntimeError("Container '\(id)' has no cgroup that would tell its processes") }
        let pids = cgroup.processes()
        if format.isJSON {
            print(JSONValue.array(pids.map { .integer($0) }).text())
            return 0
        }
        let rows = pids.map { pid -> [String] in
            let words = (try? HostFiles.read("/proc/\(pid)/cmdline")) ?? []
            let command = words.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
            return ["\(pid)", command.isEmpty ? "[\(HostFiles.line("/proc/\(pid)/comm") ?? "")]" : command]
        }
        print(Table.text([["PID", "COMMAND"]] + rows))
        return 0
    }
}

struct PauseCommand: RuntimeCommand {
    static let verb = "pause"
    static let usage = "ID"
    static let abstract = "stops all processes of a container where they are"
    var options: [Arguments.Option] { [] }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        try Pause.set(true, try line.next("The container's id"), runtime)
        return 0
    }
}

struct ResumeCommand: RuntimeCommand {
    static let verb = "resume"
    static let usage = "ID"
    static let abstract = "lets the processes of a paused container go on"
    var options: [Arguments.Option] { [] }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        try Pause.set(false, try line.next("The container's id"), runtime)
        return 0
    }
}

enum Pause {
    static func set(_ isPaused: Bool, _ id: String, _ runtime: OCIRuntime) throws {
        let directory = try runtime.store.open(id)
        guard let record = try directory.record() else { throw RuntimeError("Container '\(id)' was never created to the end; delete it") }
        let status = directory.status(of: record)
        guard isPaused ? status == .running || status == .created : status == .paused else {
            throw RuntimeError("Container '\(id)' cannot be \(isPaused ? "paused" : "resumed"): it is \(status.rawValue)")
        }
        try ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups).setFrozen(isPaused)
    }
}
