// What a processor model lacks is undefined, or means what the opcode meant before.

import Testing
@testable import GuestX86

@Suite struct FeatureTests {
    private func name(_ bytes: [UInt8], _ features: X86FeatureSet) -> String? {
        var i = X86Instruction()
        let outcome = X86Decoder(features: features).decode(bytes, available: bytes.count, codeSize: .bits32, into: &i)
        return outcome == .decoded ? InstructionTable.rows[Int(i.row)].name : nil
    }

    @Test func `an 80386 knows neither BSWAP nor CPUID nor CMOV`() {
        let features = X86FeatureSet(.i386)
        for bytes: [UInt8] in [[0x0F, 0xC8], [0x0F, 0xA2], [0x0F, 0x44, 0xC1], [0x0F, 0x31], [0x0F, 0x6F, 0xC1],
                               [0xD9, 0xE8], [0x0F, 0x1F, 0xC0], [0xC5, 0xF8, 0x77], [0xF3, 0x0F, 0xB8, 0xC1],
                               [0x0F, 0x05]] {
            #expect(name(bytes, features) == nil)
        }
        #expect(name([0x0F, 0xBC, 0xC1], features) == "bsf" && name([0xF3, 0x90], features) == "pause")
    }

    @Test func `TZCNT and LZCNT are BSF and BSR on older processors, WBNOINVD is WBINVD`() {
        #expect(name([0xF3, 0x0F, 0xBC, 0xC1], X86FeatureSet(.i386)) == "bsf")
        #expect(name([0xF3, 0x0F, 0xBD, 0xC1], X86FeatureSet(.i386, .bmi1)) == "bsr")
        #expect(name([0xF3, 0x0F, 0xBC, 0xC1], .all) == "tzcnt" && name([0xF3, 0x0F, 0xBD, 0xC1], .all) == "lzcnt")
        #expect(name([0xF3, 0x0F, 0x09], X86FeatureSet(.i386, .i486)) == "wbinvd")
    }

    @Test func `VEX forms of AES need AVX too, those on general registers do not`() {
        let aes: [UInt8] = [0xC4, 0xE2, 0x71, 0xDC, 0xC2], andn: [UInt8] = [0xC4, 0xE2, 0x70, 0xF2, 0xC2]
        #expect(name(aes, X86FeatureSet(.aes)) == nil && name(aes, X86FeatureSet(.aes, .avx)) == "vaesenc")
        #expect(name(andn, X86FeatureSet(.bmi1)) == "andn")
        let wide: [UInt8] = [0xC5, 0xF5, 0xFC, 0xC2]
        #expect(name(wide, X86FeatureSet(.avx)) == nil && name(wide, X86FeatureSet(.avx, .avx2)) == "vpaddb")
    }

    @Test func `FCMOV needs x87 and CMOV`() {
        #expect(name([0xDA, 0xC1], X86FeatureSet(.x87)) == nil && name([0xDA, 0xC1], X86FeatureSet(.cmov)) == nil)
        #expect(name([0xDA, 0xC1], X86FeatureSet(.x87, .cmov)) == "fcmovb")
    }

    @Test func `every feature has a row and a name`() {
        let used = Set(InstructionTable.rows.map(\.feature))
        for feature in X86Feature.allCases {
            #expect(used.contains(feature), "no row needs \(feature)")
            #expect("\(feature)" == feature.name.description)
            #expect(X86FeatureSet.all.contains(feature))
        }
    }
}
