import IR
import Testing

@Suite struct AccessGroupsTests {
    /// Leader and members by number, first byte of the range counted from the leader's, bytes, r or w.
    private func groups(_ text: String) throws -> [String] {
        let unit = try parsed("unit 0x10000\n" + text)
        #expect(Verifier.problems(in: unit, globals: Registers.all, helperCount: 4) == [])
        let groups = AccessGroups()
        groups.find(unit)
        var members: [Int: [Int]] = [:], kinds: [Int: String] = [:]
        for index in 0..<unit.count {
            guard let group = groups.group(of: index) else { continue }
            members[group.leader, default: []].append(index)
            kinds[group.leader] = "\(group.low) \(group.span) \(group.isWrite ? "w" : "r")"
            #expect(group.holder < group.leader)
        }
        return members.keys.sorted().map { "\(members[$0] ?? []) \(kinds[$0] ?? "")" }
    }

    static let goldens: [(claim: String, text: String, groups: [String])] = [
        ("loads and a store off one register", """
            instruction 0x10000
            %1 = get a0
            %2 = load.u64.i64 [%1 + 8]
            %3 = load.u32.i32 [%1 - 4]
            store.u64.i64 [%1 + 16], %2
            jump 0x10004
            """, ["[2, 3, 4] -12 28 w"]),
        ("pushes in a row", """
            instruction 0x10000
            %1 = get a0
            %2 = constant.i64 -8
            store.u64.i64 [%1 - 8], %1
            %4 = add.i64 %1, %2
            set a0, %4
            instruction 0x10001
            store.u64.i64 [%4 - 8], %2
            %8 = add.i64 %4, %2
            set a0, %8
            jump 0x10002
            """, ["[3, 7] -8 16 w"]),
        ("two bases", """
            instruction 0x10000
            %1 = get a0
            %2 = get a1
            instruction 0x10002
            %4 = load.u64.i64 [%1]
            %5 = load.u64.i64 [%2]
            store.u64.i64 [%2 + 8], %4
            store.u64.i64 [%1 + 8], %5
            jump 0x10004
            """, ["[4, 7] 0 16 w", "[5, 6] 0 16 w"]),
        ("a store behind an exit does not make loads need a writable page", """
            instruction 0x10000
            %1 = get a0
            %2 = load.u64.i64 [%1]
            %3 = load.u64.i64 [%1 + 8]
            exitIf.eq.i64 %2, %3 -> 0x10040
            instruction 0x10004
            store.u64.i64 [%1 + 16], %3
            store.u64.i64 [%1 + 24], %3
            jump 0x10008
            """, ["[2, 3] 0 16 r", "[6, 7] 0 16 w"]),
        ("calls, fences and atomic operations end a group", """
            instruction 0x10000
            %1 = get a0
            %2 = load.u64.i64 [%1]
            %3 = call 1(%2)
            %4 = load.u64.i64 [%1 + 8]
            fence.storeLoad
            %6 = load.u64.i64 [%1 + 16]
            %7 = atomic.add.u64.i64 [%1], %6
            %8 = load.u64.i64 [%1 + 24]
            jump 0x10004
            """, []),
        ("far apart is not together", """
            instruction 0x10000
            %1 = get a0
            %2 = load.u64.i64 [%1]
            %3 = load.u64.i64 [%1 + 249]
            %4 = load.u64.i64 [%1 + 256]
            jump 0x10004
            """, ["[3, 4] 0 15 r"]),
        ("32-bit sums share, but not with 64-bit ones above them", """
            instruction 0x10000
            %1 = get a0
            %2 = truncate.i32 %1
            %3 = constant.i32 4
            %4 = add.i32 %2, %3
            %5 = zeroExtend.i64 %4
            %6 = zeroExtend.i64 %2
            %7 = load.u64.i64 [%5]
            %8 = load.u64.i64 [%6]
            %9 = load.u64.i64 [%6 + 8]
            %10 = load.u64.i64 [%1 + 8]
            jump 0x10004
            """, ["[7, 8] -4 12 r"]),
    ]

    @Test(arguments: goldens.indices) func `accesses that share a check`(number: Int) throws {
        let golden = Self.goldens[number]
        #expect(try groups(golden.text) == golden.groups, "\(golden.claim)")
    }
}
