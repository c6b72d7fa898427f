// Models of processors: the words of --cpu, and answers of CPUID that agree with one another.

import Testing
@testable import GuestX86

@Suite struct SystemCPUIDTests {
    private func leaf(_ model: CPUModel, _ leaf: UInt32, _ subleaf: UInt32 = 0,
                      _ context: CPUIDContext = CPUIDContext()) -> CPUIDResult {
        model.cpuid(leaf: leaf, subleaf: subleaf, context)
    }

    @Test(arguments: CPUModel.names)
    func `every model is closed under what its features need`(_ name: String) throws {
        let model = try CPUModel(name)
        for feature in model.features.elements {
            let alone = try CPUModel("386,+\(feature.name)")
            let missing = alone.features.subtracting(model.features).elements.map(\.name)
            #expect(missing.isEmpty, "\(name) lacks \(missing), which \(feature.name) needs")
        }
    }

    @Test func `features are added with what they need and taken with what needs them`() throws {
        #expect(try CPUModel("x86-64-v3,-sse4_2").features.contains(.avx) == false)
        #expect(try CPUModel("pentium,+avx2").features.contains(.sse4_2))
        let plain = try CPUModel("X86-64-V3 , +SHA,-rdtscp")
        #expect(plain.features.contains(.sha) && !plain.features.contains(.rdtscp))
        #expect(throws: CPUModelError.unknownModel("z80")) { try CPUModel("z80") }
        #expect(throws: CPUModelError.unknownModel("")) { try CPUModel("") }
        #expect(throws: CPUModelError.unknownFeature("+frob")) { try CPUModel("max,+frob") }
        #expect(throws: CPUModelError.unknownFeature("sse2")) { try CPUModel("max,sse2") }
        #expect(throws: CPUModelError.unknownFeature("")) { try CPUModel("max,") }
        #expect(throws: CPUModelError.conflict(removed: "avx", added: "avx2")) { try CPUModel("max,-avx,+avx2") }
        #expect(throws: CPUModelError.conflict(removed: "avx", added: "avx2")) { try CPUModel("x86-64-v1,+avx2,-avx") }
    }

    @Test func `names of features are distinct and found again`() {
        for feature in CPUFeature.allCases { #expect(CPUFeature(name: feature.name) == feature) }
        #expect(CPUFeature(name: "3dnow") == .threednow && CPUFeature(name: "SSE4.1") == .sse4_1
                && CPUFeature(name: "lzcnt") == .abm)
    }

    @Test func `the levels of the psABI have their bits`() throws {
        let v1 = leaf(try CPUModel("x86-64-v1"), 1)
        #expect(v1.edx & (1 << 0 | 1 << 8 | 1 << 15 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26) == 1 << 0 | 1 << 8
                | 1 << 15 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26)
        let v2 = leaf(try CPUModel("x86-64-v2"), 1).ecx
        let level2: UInt32 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23
        #expect(v2 & level2 == level2 && v1.ecx & level2 == 0)
        let v3 = try CPUModel("x86-64-v3")
        let level3: UInt32 = 1 << 12 | 1 << 22 | 1 << 26 | 1 << 28 | 1 << 29
        #expect(leaf(v3, 1).ecx & level3 == level3 && v2 & level3 == 0)
        #expect(leaf(v3, 7).ebx & (1 << 3 | 1 << 5 | 1 << 8) == 1 << 3 | 1 << 5 | 1 << 8)
        #expect(leaf(v3, 0x8000_0001).ecx & (1 << 5 | 1) == 1 << 5 | 1)
    }

    @Test(arguments: CPUModel.names)
    func `leaves agree`(_ name: String) throws {
        let model = try CPUModel(name)
        var context = CPUIDContext()
        context.processorCount = 16
        context.processor = 5
        let basic = leaf(model, 0, 0, context), one = leaf(model, 1, 0, context)
        #expect(one.eax == model.signature && one.ebx >> 24 == 5)
        #expect((one.edx >> 28 & 1 != 0) == model.features.contains(.ht))
        for beyond in [basic.eax + 1, 0x2000_0000, 0x7FFF_FFFF] {
            #expect(leaf(model, beyond, 0, context) == CPUIDResult())
        }
        let extended = leaf(model, 0x8000_0000, 0, context)
        if extended.eax != 0 {
            #expect(leaf(model, extended.eax + 1, 0, context) == CPUIDResult())
            let first = leaf(model, 0x8000_0001, 0, context)
            if model.features.contains(.lm) {
                let sizes = leaf(model, 0x8000_0008, 0, context)
                #expect(sizes.eax & 0xFF == 48 && sizes.eax >> 8 & 0xFF == (model.features.contains(.la57) ? 57 : 48))
                #expect(first.edx & 1 << 29 != 0 && first.edx & 0x3FF == one.edx & 0x3FF)
                if model.features.contains(.cmp_legacy) { #expect(sizes.ecx == 4 << 12 | 15) }
            }
        }
        // Leaf D: sizes follow XCR0 and the offsets of the components.
        if model.features.contains(.xsave) {
            for xcr0: UInt64 in [1, 3, 7] {
                context.xcr0 = xcr0
                let size = leaf(model, 0xD, 0, context)
                #expect(size.eax == 7 && size.ecx == 832 && size.ebx == (xcr0 & 4 != 0 ? 832 : 576))
            }
            #expect(leaf(model, 0xD, 2, context) == CPUIDResult(eax: 256, ebx: 576))
        }
    }

    @Test func `the hypervisor tells of KVM and the frequency`() throws {
        let model = try CPUModel("x86-64-v3")
        var context = CPUIDContext()
        context.tscFrequency = 2_400_000_000
        #expect(leaf(model, 0x4000_0000, 0, context)
                == CPUIDResult(eax: 0x4000_0010, ebx: 0x4B4D_564B, ecx: 0x564B_4D56, edx: 0x4D))
        #expect(leaf(model, 0x4000_0001, 0, context).eax == 0x0100_000A
                && leaf(model, 0x4000_0010, 0, context).eax == 2_400_000)
        let bare = try CPUModel("x86-64-v3,-hypervisor")
        #expect(leaf(bare, 0x4000_0000) == CPUIDResult() && leaf(bare, 1).ecx >> 31 == 0)
    }

    @Test func `CPUID follows CR4 and the APIC base`() throws {
        let p = try Processor("max")
        func features() -> (UInt64, UInt64) {
            p.state.setRegister(0, 1)
            p.state.setRegister(1, 0)
            p.state.cpuid()
            return (p.state.register(1), p.state.register(2))
        }
        #expect(features().0 >> 27 & 1 == 0 && features().1 >> 9 & 1 == 1)
        try p.state.writeControl(4, CR4.osxsave)
        try p.state.writeMSR(MSR.apicBase, APICBase.address | APICBase.bootstrap)
        #expect(features().0 >> 27 & 1 == 1 && features().1 >> 9 & 1 == 0)
    }

    @Test func `what CPUID does not tell of is no instruction`() throws {
        let old = try CPUModel("486").instructions
        #expect(old.contains(.i486) && !old.contains(.cpuid) && !old.contains(.sse) && !old.contains(.cmov))
        let v1 = try CPUModel("x86-64-v1").instructions
        #expect(v1.contains(.longMode) && v1.contains(.sse2) && !v1.contains(.sse3) && !v1.contains(.threeDNow)
                && v1.contains(.mmxExtensions))
    }
}
