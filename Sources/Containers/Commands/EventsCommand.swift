// `events`: statistics of a container as runc prints them, one JSON document a line.

import Glibc
import Host
import JSON

struct EventsCommand: RuntimeCommand {
    static let verb = "events"
    static let usage = "[OPTIONS] ID"
    static let abstract = "prints the statistics of a container, again and again or once"
    private final class Values { var isOnce = false, seconds = 5 }
    private let values = Values()
    var options: [Arguments.Option] {
        [
            .init(flag: "--stats", help: "once") { values.isOnce = true },
            .init("--interval", value: "SECONDS", "time between two; 5 if not given") {
                let text = $0.hasSuffix("s") ? String($0.dropLast()) : $0
                values.seconds = try number(text, "--interval")
                guard (1...86400).contains(values.seconds) else { throw RuntimeError("--interval must lie between 1 and 86400 seconds") }
            },
        ]
    }

    func run(_ line: inout Arguments, _ runtime: OCIRuntime) throws -> Int32 {
        let id = try line.next("The container's id")
        try line.end()
        var killsBefore: UInt64?
        while true {
            let directory = try runtime.store.open(id, isLocked: false)
            guard let record = try directory.record(), directory.status(of: record) != .stopped else {
                if killsBefore != nil { return 0 }
                throw RuntimeError("Container '\(id)' has no statistics: it is stopped")
            }
            let statistics = CgroupStatistics(ContainerCgroup(layout: CgroupLayout.ofHost(), directories: record.cgroups))
            let kills = statistics.oomKills
            if let before = killsBefore, kills > before { show("oom", id, nil) }
            killsBefore = kills
            show("stats", id, statistics.json)
            if values.isOnce { return 0 }
            fflush(stdout)
            sleep(UInt32(values.seconds))
        }
    }

    private func show(_ type: String, _ id: String, _ data: JSONValue?) {
        print(JSONValue.members([("type", .string(type)), ("id", .string(id)), ("data", data)]).text())
    }
}
