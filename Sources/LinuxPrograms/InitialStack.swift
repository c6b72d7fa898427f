// The stack a new program finds: strings, auxiliary vector, environment, arguments.
// Source: System V ABI, "Process Initialization"; kernel fs/binfmt_elf.c create_elf_tables for the order.

import Glibc

/// What goes on the first stack, and where it went.
struct InitialStack {
    var arguments: [[UInt8]]
    var environment: [[UInt8]]
    /// The path execve was given.
    var executablePath: [UInt8]

    /// Address ranges for /proc/self/{cmdline,environ,auxv} and stat.
    struct Layout {
        var stackPointer: UInt64 = 0
        var arguments: Range<UInt64> = 0..<0
        var environment: Range<UInt64> = 0..<0
        var auxiliary: [UInt8] = []
    }

    private enum Aux {
        static let null: UInt64 = 0, phdr: UInt64 = 3, phent: UInt64 = 4, phnum: UInt64 = 5, pagesz: UInt64 = 6
        static let base: UInt64 = 7, flags: UInt64 = 8, entry: UInt64 = 9, uid: UInt64 = 11, euid: UInt64 = 12
        static let gid: UInt64 = 13, egid: UInt64 = 14, platform: UInt64 = 15, hwcap: UInt64 = 16, clktck: UInt64 = 17
        static let secure: UInt64 = 23, random: UInt64 = 25, hwcap2: UInt64 = 26, execfn: UInt64 = 31
        static let minsigstksz: UInt64 = 51
    }

    /// Writes everything below `top`; nil when it does not fit the mapped stack.
    func write(below top: UInt64, program: LoadedProgram, abi: any LinuxABI) -> Layout? {
        var layout = Layout()
        var strings: [UInt8] = []
        // Offsets from the start of the string block, which ends 8 zero bytes below the top.
        func place(_ list: [[UInt8]]) -> [Int] {
            list.map { text in
                let at = strings.count
                strings += text
                strings.append(0)
                return at
            }
        }
        let argumentOffsets = place(arguments)
        let argumentEnd = strings.count
        let environmentOffsets = place(environment)
        let environmentEnd = strings.count
        let nameOffset = place([executablePath])[0]
        strings += [UInt8](repeating: 0, count: 8)
        let stringBase = top &- UInt64(strings.count)
        layout.arguments = stringBase..<(stringBase + UInt64(argumentEnd))
        layout.environment = (stringBase + UInt64(argumentEnd))..<(stringBase + UInt64(environmentEnd))

        var below = ByteBuilder()
        let platform: [UInt8] = abi.platform.map { Array($0.utf8) + [0] } ?? []
        let randomAddress = (stringBase &- 16) & ~15
        let platformAddress = (randomAddress &- UInt64(platform.count)) & ~15
        var random = [UInt8](repeating: 0, count: 16)
        _ = random.withUnsafeMutableBytes { hostCall(.getrandom, Int(bitPattern: $0.baseAddress!), 16, 0) }

        let id: (SystemCall) -> UInt64 = { UInt64(hostCall($0)) }
        let (uid, euid, gid, egid) = (id(.getuid), id(.geteuid), id(.getgid), id(.getegid))
        var auxiliary: [(UInt64, UInt64)] = [
            (Aux.hwcap, abi.hardwareCapabilities.0), (Aux.pagesz, pageSize), (Aux.clktck, 100),
            (Aux.phdr, program.headers), (Aux.phent, abi.pointerSize == 8 ? 56 : 32), (Aux.phnum, program.headerCount),
            (Aux.base, program.interpreterBase), (Aux.flags, 0), (Aux.entry, program.entry),
            (Aux.uid, uid), (Aux.euid, euid), (Aux.gid, gid), (Aux.egid, egid),
            (Aux.secure, uid != euid || gid != egid ? 1 : 0), (Aux.random, randomAddress),
            (Aux.hwcap2, abi.hardwareCapabilities.1), (Aux.execfn, stringBase + UInt64(nameOffset)),
            (Aux.minsigstksz, abi.minimumSignalStack),
        ]
        if !platform.isEmpty { auxiliary.append((Aux.platform, platformAddress)) }
        auxiliary.append((Aux.null, 0))

        func add(_ value: UInt64) {
            if abi.pointerSize == 8 { below.add(value) } else { below.add(UInt32(truncatingIfNeeded: value)) }
        }
        add(UInt64(arguments.count))
        for offset in argumentOffsets { add(stringBase + UInt64(offset)) }
        add(0)
        for offset in environmentOffsets { add(stringBase + UInt64(offset)) }
        add(0)
        let auxiliaryStart = below.bytes.count
        for (key, value) in auxiliary {
            add(key)
            add(value)
        }
        layout.auxiliary = Array(below.bytes[auxiliaryStart...])
        layout.stackPointer = (platformAddress &- UInt64(below.bytes.count)) & ~15
        guard Guest.write(strings, at: stringBase), Guest.write(random, at: randomAddress),
            Guest.write(platform, at: platformAddress), Guest.write(below.bytes, at: layout.stackPointer)
        else { return nil }
        return layout
    }
}
