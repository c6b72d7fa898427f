// What stays true about a machine's start for as long as it runs; part of a suspend file.

import SavedState

/// The part of a boot plan that the harts must know.
struct BootFacts: Equatable {
    /// Whether the machine answers SBI calls itself.
    var suppliesSBI = true
    /// HTIF mailbox of a bare-metal program.
    var toHost: UInt64?

    init() {}

    init(_ plan: BootPlan) {
        suppliesSBI = plan.suppliesSBI
        toHost = plan.toHost
    }

    func save(to writer: inout StateWriter) {
        writer.section("boot", version: 1) { writer in
            writer.put(suppliesSBI)
            writer.put(toHost != nil)
            writer.put(toHost ?? 0)
        }
    }

    init(from reader: inout StateReader) throws {
        try reader.section("boot", newest: 1) { reader, _ in
            suppliesSBI = try reader.getBool()
            let present = try reader.getBool()
            let address: UInt64 = try reader.get()
            toHost = present ? address : nil
        }
    }
}
