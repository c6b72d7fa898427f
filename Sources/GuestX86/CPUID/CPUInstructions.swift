// From what a model announces to the rows of the instruction set it executes.

extension CPUModel {
    /// The features of rows that exist on this model; all others are #UD.
    public var instructions: X86FeatureSet {
        var set = X86FeatureSet(.i386)
        for (feature, row) in Self.rows where features.contains(feature) { set.insert(row) }
        // One needs either, or is part of another.
        if features.contains(.sse) { set.insert(.mmxExtensions) }
        if features.contains(.threednow) || features.contains(.lm) { set.insert(.prefetchw) }
        return set
    }

    /// Monitorx and the supervisor state of XSAVES are on no model.
    private static let rows: [(CPUFeature, X86Feature)] = [
        (.i486, .i486), (.cpuid, .cpuid), (.tsc, .tsc), (.msr, .msr), (.cx8, .cx8), (.rdpmc, .rdpmc), (.cmov, .cmov),
        (.sep, .sep), (.nopl, .nopl), (.lm, .longMode), (.syscall, .syscall), (.lahf_lm, .lahf64), (.fpu, .x87),
        (.mmx, .mmx), (.threednow, .threeDNow), (.threednowext, .threeDNowExtensions), (.mmxext, .mmxExtensions),
        (.fxsr, .fxsr), (.sse, .sse), (.sse2, .sse2), (.sse3, .sse3), (.ssse3, .ssse3), (.sse4_1, .sse41),
        (.sse4_2, .sse42), (.aes, .aes), (.pclmulqdq, .pclmulqdq), (.sha, .sha), (.avx, .avx), (.avx2, .avx2),
        (.fma, .fma), (.f16c, .f16c), (.bmi1, .bmi1), (.bmi2, .bmi2), (.adx, .adx), (.movbe, .movbe),
        (.popcnt, .popcnt), (.abm, .lzcnt), (.rdrand, .rdrand), (.rdseed, .rdseed), (.fsgsbase, .fsgsbase),
        (.xsave, .xsave), (.xsaveopt, .xsaveopt), (.xsavec, .xsavec), (.cx16, .cx16), (.rdtscp, .rdtscp),
        (.rdpid, .rdpid), (.invpcid, .invpcid), (.clflush, .clflush), (.clflushopt, .clflushopt), (.clwb, .clwb),
        (.wbnoinvd, .wbnoinvd), (.clzero, .clzero), (.monitor, .monitor), (.smap, .smap),
        (.threednowprefetch, .prefetchw),
    ]
}
