// The processor that x86 programs find: the auxiliary vector, /proc/cpuinfo and CPUID tell of one model.
// Format of /proc/cpuinfo: the kernel's arch/x86/kernel/cpu/proc.c; names of features: arch/x86/include/asm/cpufeatures.h.

import Glibc
import GuestX86

/// What CPUID tells programs, for the auxiliary vector and /proc/cpuinfo.
enum X86Processor {
    /// The model of this process.
    // SAFETY: set by `choose` while the process has one thread and no program yet.
    nonisolated(unsafe) private(set) static var model = CPUModel.max

    /// Makes the model that `--cpu` names the one of this process; empty: `max`.
    /// - Throws: `CPUModelError`.
    static func choose(_ specification: String) throws {
        model = specification.isEmpty ? CPUModel.max : try CPUModel(specification)
    }

    /// What the kernel would set XCR0 to; 0 without XSAVE.
    static var extendedState: UInt64 {
        guard model.features.contains(.xsave) else { return 0 }
        return XCR0.x87 | XCR0.sse | (model.features.contains(.avx) ? XCR0.avx : 0)
    }

    private static var context: CPUIDContext {
        var context = CPUIDContext()
        context.isXSAVEEnabled = extendedState != 0
        context.xcr0 = extendedState
        return context
    }

    private static func leaf(_ number: UInt32) -> CPUIDResult { model.cpuid(leaf: number, subleaf: 0, context) }

    /// Leaf 1 EDX, which is AT_HWCAP.
    static var leaf1EDX: UInt32 { leaf(1).edx }
    static var hasLongMode: Bool { model.features.contains(.lm) }
    static var hasFSGSBase: Bool { model.features.contains(.fsgsbase) }

    /// Names that Linux has for our features, where they differ; empty: not a flag of /proc/cpuinfo.
    private static let names: [CPUFeature: String] = [
        .sse3: "pni", .sha: "sha_ni", .invtsc: "constant_tsc nonstop_tsc", .i486: "", .rdpmc: "",
    ]

    private static func text(_ words: [UInt32]) -> String {
        let bytes = words.flatMap { word in (0..<4).map { (i: Int) in UInt8(truncatingIfNeeded: word >> UInt32(8 * i)) } }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// /proc/cpuinfo.
    static func description(count: Int) -> String {
        let zero = leaf(0), one = leaf(1), sizes = leaf(0x8000_0008).eax
        let vendor = text([zero.ebx, zero.edx, zero.ecx])
        let brand = text([0x8000_0002 as UInt32, 0x8000_0003, 0x8000_0004].flatMap { n in
            let r = leaf(n)
            return [r.eax, r.ebx, r.ecx, r.edx] as [UInt32]
        })
        let extended = one.eax >> 20 & 0xff, base = one.eax >> 8 & 15
        let family = base == 15 ? base + extended : base
        let number = one.eax >> 4 & 15 | (base == 15 || base == 6 ? one.eax >> 12 & 0xf0 : 0)
        let flags = model.features.elements.map { names[$0] ?? $0.name }.filter { !$0.isEmpty }.joined(separator: " ")
        return (0..<count).map { (n: Int) -> String in
            """
            processor\t: \(n)
            vendor_id\t: \(vendor)
            cpu family\t: \(family)
            model\t\t: \(number)
            model name\t: \(brand)
            stepping\t: \(one.eax & 15)
            cpu MHz\t\t: 1000.000
            physical id\t: 0
            siblings\t: \(count)
            core id\t\t: \(n)
            cpu cores\t: \(count)
            apicid\t\t: \(n)
            initial apicid\t: \(n)
            fpu\t\t: yes
            fpu_exception\t: yes
            cpuid level\t: \(zero.eax)
            wp\t\t: yes
            flags\t\t: \(flags)
            bugs\t\t:
            bogomips\t: 2000.00
            clflush size\t: \((one.ebx >> 8 & 0xff) * 8)
            cache_alignment\t: 64
            address sizes\t: \(sizes & 0xff) bits physical, \(sizes >> 8 & 0xff) bits virtual
            power management:


            """
        }.joined()
    }
}
