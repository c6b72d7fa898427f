// Which devices a container may use: `linux.resources.devices`, v1's devices controller.

import Host

extension DeviceRule {
    /// What every container may use besides its rules: config-linux.md, "Default Devices", and making nodes of any device, which
    /// gives no access to it. Not 5:1: that is the host's console, while /dev/console of a container is a terminal of its own.
    static let defaults: [DeviceRule] = [
        DeviceRule(true, "c", nil, nil, "m"), DeviceRule(true, "b", nil, nil, "m"),
        DeviceRule(true, "c", 1, 3), DeviceRule(true, "c", 1, 5), DeviceRule(true, "c", 1, 7), DeviceRule(true, "c", 1, 8),
        DeviceRule(true, "c", 1, 9), DeviceRule(true, "c", 5, 0), DeviceRule(true, "c", 5, 2),
        DeviceRule(true, "c", 136, nil),
    ]

    /// The line that v1's files take.
    var line: String {
        if type == "a" { return "a" }
        func number(_ value: Int64?) -> String { value.map(String.init) ?? "*" }
        return "\(type) \(number(major)):\(number(minor)) \(access)"
    }
}

extension ContainerCgroup {
    /// Puts the rules, and after them the defaults, in force.
    /// - Parameter isPrivileged: a user namespace may not change device rules; its kernel forbids making nodes anyway.
    func applyDevices(_ rules: [DeviceRule], isPrivileged: Bool) throws {
        guard !rules.isEmpty, isPrivileged else { return }
        if let part = part(of: "devices") {
            for rule in rules + DeviceRule.defaults {
                // v1 knows no type "any" with numbers: it becomes two rules.
                let lines = rule.type == "a" && (rule.major != nil || rule.minor != nil)
                    ? ["c", "b"].map { DeviceRule(rule.isAllowed, $0, rule.major, rule.minor, rule.access).line } : [rule.line]
                for line in lines {
                    try HostFiles.write(line, to: part.directory + (rule.isAllowed ? "/devices.allow" : "/devices.deny"))
                }
            }
            return
        }
        if let unified {
            try DeviceProgram(rules: rules + DeviceRule.defaults).attach(to: unified.directory)
        }
    }
}
