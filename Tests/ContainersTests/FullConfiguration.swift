// A config.json with every field that the runtime honours, for tests that change one at a time.

@testable import Containers
import JSON

enum FullConfiguration {
    static let text = """
        {
          "ociVersion": "1.3.0",
          "root": {"path": "rootfs", "readonly": true},
          "hostname": "box", "domainname": "example",
          "annotations": {"org.example": "yes"},
          "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "hidepid=2"]},
            {"destination": "/data", "source": "data", "options": ["rbind", "ro"],
             "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 5, "size": 1}]}
          ],
          "process": {
            "terminal": true, "consoleSize": {"height": 24, "width": 80},
            "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4]},
            "args": ["sh"], "env": ["PATH=/bin"], "cwd": "/",
            "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "inheritable": ["CAP_CHOWN"],
                             "permitted": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}],
            "noNewPrivileges": true, "apparmorProfile": "profile", "selinuxLabel": "label", "oomScoreAdj": 10,
            "scheduler": {"policy": "SCHED_DEADLINE", "nice": 1, "priority": 0, "flags": ["SCHED_FLAG_RESET_ON_FORK"],
                          "runtime": 1, "deadline": 2, "period": 3},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
            "execCPUAffinity": {"initial": "0", "final": "0-1"}
          },
          "hooks": {
            "prestart": [{"path": "/a", "args": ["a"], "env": ["A=b"], "timeout": 1}],
            "createRuntime": [{"path": "/a"}], "createContainer": [{"path": "/a"}], "startContainer": [{"path": "/a"}],
            "poststart": [{"path": "/a"}], "poststop": [{"path": "/a"}]
          },
          "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network", "path": "/n"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                           {"type": "user"}, {"type": "cgroup"}, {"type": "time"}],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            "timeOffsets": {"monotonic": {"secs": -1, "nanosecs": 5}},
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 0, "gid": 0}],
            "netDevices": {"eth0": {"name": "eth1"}},
            "cgroupsPath": "/a/b",
            "sysctl": {"net.core.somaxconn": "256"},
            "seccomp": {
              "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
              "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/l", "listenerMetadata": "m",
              "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                            "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}]
            },
            "rootfsPropagation": "slave", "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "mountLabel": "label",
            "personality": {"domain": "LINUX32"},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
            "resources": {
              "devices": [{"allow": false, "type": "c", "major": 1, "minor": 2, "access": "rw"}],
              "memory": {"limit": 1, "reservation": 2, "swap": 3, "kernel": 4, "kernelTCP": 5, "swappiness": 6,
                         "disableOOMKiller": true, "useHierarchy": true, "checkBeforeUpdate": true},
              "cpu": {"shares": 1, "quota": 2, "burst": 3, "period": 4, "realtimeRuntime": 5, "realtimePeriod": 6, "cpus": "0",
                      "mems": "0", "idle": 1},
              "pids": {"limit": 5},
              "blockIO": {"weight": 10, "leafWeight": 11, "weightDevice": [{"major": 1, "minor": 2, "weight": 3, "leafWeight": 4}],
                          "throttleReadBpsDevice": [{"major": 1, "minor": 2, "rate": 3}],
                          "throttleWriteBpsDevice": [{"major": 1, "minor": 2, "rate": 3}],
                          "throttleReadIOPSDevice": [{"major": 1, "minor": 2, "rate": 3}],
                          "throttleWriteIOPSDevice": [{"major": 1, "minor": 2, "rate": 3}]},
              "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
              "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
              "rdma": {"mlx5_1": {"hcaHandles": 1, "hcaObjects": 2}},
              "unified": {"memory.high": "100"}
            }
          }
        }
        """

    static let value = try! JSONReader.read(Array(text.utf8))

    static func configuration(_ value: JSONValue = value) throws -> Configuration {
        try Configuration(document: Array(value.text().utf8))
    }
}

/// A member or an element on the way to a value.
enum Step: Hashable {
    case key(String), index(Int)
}

extension JSONValue {
    /// Every value inside, with the way to it.
    var paths: [[Step]] {
        switch self {
        case .object(let members): [[]] + members.flatMap { member in member.value.paths.map { [.key(member.key)] + $0 } }
        case .array(let elements): [[]] + elements.enumerated().flatMap { index, element in element.paths.map { [.index(index)] + $0 } }
        default: [[]]
        }
    }

    /// The value with another one, or none, at the end of the way.
    func replacing(_ path: ArraySlice<Step>, with value: JSONValue?) -> JSONValue {
        guard let step = path.first else { return value ?? .null }
        switch (self, step) {
        case (.object(var members), .key(let key)):
            let index = members.firstIndex { $0.key == key } ?? members.endIndex
            if index == members.endIndex { members.append(JSONMember(key: key, value: .null)) }
            if path.count == 1, value == nil {
                members.remove(at: index)
            } else {
                members[index].value = members[index].value.replacing(path.dropFirst(), with: value)
            }
            return .object(members)
        case (.array(var elements), .index(let index)):
            elements[index] = elements[index].replacing(path.dropFirst(), with: value)
            return .array(elements)
        default: return self
        }
    }
}

/// As errors write it.
func written(_ path: some Sequence<Step>) -> String {
    path.reduce(into: "") { text, step in
        switch step {
        case .key(let key): text += text.isEmpty ? key : ".\(key)"
        case .index(let index): text += "[\(index)]"
        }
    }
}
