// Device rules under v2: a BPF program of type CGROUP_DEVICE. bpf(2), Documentation/bpf.

import CContainerInit
import Glibc
import Host

/// A program that decides like the rules: the last one that matches wins, and without one access is denied only if some rule
/// denied everything before.
struct DeviceProgram: Equatable {
    /// struct bpf_insn, 8 bytes each.
    private(set) var instructions: [UInt64] = []

    private static func instruction(_ code: UInt8, _ destination: UInt8, _ source: UInt8, _ offset: Int16, _ value: Int32) -> UInt64 {
        UInt64(code) | UInt64(source << 4 | destination) << 8 | UInt64(UInt16(bitPattern: offset)) << 16
            | UInt64(UInt32(bitPattern: value)) << 32
    }

    /// struct bpf_cgroup_dev_ctx: access_type (access << 16 | type), major, minor.
    init(rules: [DeviceRule]) {
        typealias I = DeviceProgram
        // r2 type, r3 access, r4 major, r5 minor.
        instructions = [
            I.instruction(0x61, 2, 1, 0, 0), I.instruction(0x54, 2, 0, 0, 0xFFFF),
            I.instruction(0x61, 3, 1, 0, 0), I.instruction(0x74, 3, 0, 0, 16),
            I.instruction(0x61, 4, 1, 4, 0), I.instruction(0x61, 5, 1, 8, 0),
        ]
        // The last rule is asked first. A rule for everything decides whatever is left.
        for rule in rules.reversed() {
            var body: [UInt64] = []
            let mask = (rule.access.contains("m") ? 1 : 0) | (rule.access.contains("r") ? 2 : 0) | (rule.access.contains("w") ? 4 : 0)
            let isForAll = rule.type == "a" && rule.major == nil && rule.minor == nil && mask == 7
            if !isForAll {
                // Each comparison jumps behind the rule; the distance is filled in below.
                if rule.type != "a" { body.append(I.instruction(0x55, 2, 0, 0, rule.type == "b" ? 1 : 2)) }
                if mask != 7 {
                    // An allowing rule must cover all that is asked for, a denying one any of it.
                    body.append(I.instruction(0xBC, 1, 3, 0, 0))
                    body.append(I.instruction(0x54, 1, 0, 0, Int32(mask)))
                    body.append(rule.isAllowed ? I.instruction(0x5D, 1, 3, 0, 0) : I.instruction(0x15, 1, 0, 0, 0))
                }
                if let major = rule.major { body.append(I.instruction(0x55, 4, 0, 0, Int32(truncatingIfNeeded: major))) }
                if let minor = rule.minor { body.append(I.instruction(0x55, 5, 0, 0, Int32(truncatingIfNeeded: minor))) }
            }
            body.append(I.instruction(0xB7, 0, 0, 0, rule.isAllowed ? 1 : 0))
            body.append(I.instruction(0x95, 0, 0, 0, 0))
            for index in body.indices where [0x55, 0x5D, 0x15].contains(UInt8(truncatingIfNeeded: body[index])) {
                body[index] |= UInt64(UInt16(body.count - index - 1)) << 16
            }
            instructions += body
            if isForAll { return }
        }
        instructions += [I.instruction(0xB7, 0, 0, 0, 1), I.instruction(0x95, 0, 0, 0, 0)]
    }

    /// Loads the program and attaches it to a v2 cgroup.
    func attach(to directory: String) throws {
        let file = try HostFiles.open(directory, O_RDONLY | O_DIRECTORY)
        let result = instructions.withUnsafeBufferPointer {
            guise_attach_device_program(file.number, $0.baseAddress!, UInt32($0.count))
        }
        guard result == 0 else { throw HostError("bpf", directory) }
    }
}
