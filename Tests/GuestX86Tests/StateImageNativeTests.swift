// Instructions that move whole register sets, and masked and gathering moves, against the host's processor: FNSTENV, FNSAVE,
// FLDENV, FRSTOR, FXSAVE, XSAVE and their kin, MASKMOVDQU, MASKMOVQ, VMASKMOVPS, VPGATHERDD and theirs.
//
// Not compared: FIP, FDP, FOP and their selectors, which AMD processors keep only while an exception is pending; which
// components XSAVE finds in their initial configuration, which a processor need not know exactly; MXCSR_MASK, as the host has
// misaligned SSE accesses; where in its page a masked store faults.

import CHost
import Foundation
import Testing
@testable import GuestX86

@Suite(.enabled(if: guise_cpu_has_v3() != 0)) struct StateImageNativeTests {
    /// An instruction on [RDI], where its image lies, and what of the image is not compared.
    struct Image: CustomTestStringConvertible, Sendable {
        let name: String
        let code: [UInt8]
        /// Byte ranges of the image left out.
        let ignored: [Range<Int>]
        var testDescription: String { name }
    }

    static let pointers = [6..<8, 8..<24, 28..<32]
    static let saves: [Image] = [
        Image(name: "fnstenv", code: [0xD9, 0x37], ignored: [12..<28]),
        Image(name: "fnstenv 16", code: [0x66, 0xD9, 0x37], ignored: [6..<14]),
        Image(name: "fnsave", code: [0xDD, 0x37], ignored: [12..<28]),
        Image(name: "fnsave 16", code: [0x66, 0xDD, 0x37], ignored: [6..<14]),
        Image(name: "fxsave", code: [0x0F, 0xAE, 0x07], ignored: pointers),
        Image(name: "fxsave64", code: [0x48, 0x0F, 0xAE, 0x07], ignored: pointers),
        Image(name: "xsave", code: [0x0F, 0xAE, 0x27], ignored: pointers + [512..<520]),
        Image(name: "xsave64", code: [0x48, 0x0F, 0xAE, 0x27], ignored: pointers + [512..<520]),
        Image(name: "xsavec", code: [0x0F, 0xC7, 0x27], ignored: pointers + [512..<520]),
    ]
    /// Each is the save of an image, then the load of it into registers that have been changed.
    static let loads: [Image] = [
        Image(name: "fldenv", code: [0xD9, 0x37, 0xD9, 0xE8, 0xD9, 0x27], ignored: [12..<28]),
        Image(name: "frstor", code: [0xDD, 0x37, 0xD9, 0xE8, 0xDD, 0x27], ignored: [12..<28]),
        Image(name: "fxrstor", code: [0x0F, 0xAE, 0x07, 0x0F, 0x57, 0xC9, 0xDB, 0xE3, 0x0F, 0xAE, 0x0F], ignored: pointers),
        Image(name: "xrstor", code: [0x0F, 0xAE, 0x27, 0xC5, 0xFC, 0x77, 0xDB, 0xE3, 0x0F, 0xAE, 0x2F],
              ignored: pointers + [512..<520]),
        Image(name: "xrstor compact", code: [0x0F, 0xC7, 0x27, 0xC5, 0xFC, 0x77, 0xDB, 0xE3, 0x0F, 0xAE, 0x2F],
              ignored: pointers + [512..<520]),
    ]

    private static let imageOffset = 1024

    /// Random registers with nothing pending in the x87, RDI at the image and RAX, RDX a component mask of XSAVE.
    private func registers(_ random: inout SeededGenerator, _ harness: X86Harness) -> X86Registers {
        var registers = X86Registers()
        for number in 0..<16 { registers.general[number] = random.next() }
        registers.general[0] = random.pick([7, 3, 6, 5, 1, 2, 4])
        registers.general[2] = 0
        registers.general[4] = harness.middle + 2048
        registers.general[7] = harness.data + UInt64(Self.imageOffset)
        for index in 0..<256 {
            registers.xmm[index] = random.byte()
            registers.ymmHigh[index] = random.byte()
        }
        for register in 0..<8 {
            for byte in 0..<8 { registers.stack[register * 16 + byte] = random.byte() }
            registers.stack[register * 16 + 7] |= 0x80
            registers.stack[register * 16 + 8] = random.byte()
            registers.stack[register * 16 + 9] = random.pick([0x3F, 0x40, 0xBF, 0xC0])
        }
        registers.tags = random.byte()
        registers.control = UInt16(truncatingIfNeeded: random.next()) & 0xF00 | 0x7F
        registers.status = UInt16(truncatingIfNeeded: random.next()) & 0x7F3F
        registers.mxcsr = 0x1F80 | UInt32(truncatingIfNeeded: random.next()) & 0xE03F
        return registers
    }

    private func compare(_ image: Image, _ harness: X86Harness, _ experiment: X86Case) throws {
        var expected = try harness.native(experiment), actual = harness.interpreted(experiment)
        var translated = try harness.generated(experiment)
        func hide(_ outcome: inout X86Outcome) {
            outcome.address &= ~0xFFF
            for range in image.ignored {
                for index in range { outcome.data[Self.imageOffset + index] = 0 }
            }
            outcome.data.removeSubrange(0..<256)
        }
        hide(&expected)
        hide(&actual)
        hide(&translated)
        for (who, outcome) in [("interpreted", actual), ("translated", translated)] {
            let differences = expected.differences(from: outcome)
            if !differences.isEmpty {
                Issue.record("""
                    \(image.name) \(who), tags \(String(experiment.before.tags, radix: 16)) status \
                    \(String(experiment.before.status, radix: 16)) mask \(experiment.before.general[0]): \
                    \(differences.prefix(4).joined(separator: "; "))
                    """)
                return
            }
        }
    }

    @Test(arguments: saves + loads) func `register images are the processor's`(_ image: Image) throws {
        let harness = try X86Harness()
        var random = SeededGenerator(state: UInt64(image.code.count) &* 77 &+ 5)
        for _ in 0..<24 {
            var experiment = X86Case(code: image.code)
            experiment.before = registers(&random, harness)
            // XSAVEC may leave out what is in its initial configuration, so nothing is; what it leaves alone is zero.
            if image.name.hasSuffix("compact") || image.name == "xsavec" { experiment.before.general[0] = 7 }
            try compare(image, harness, experiment)
        }
    }

    /// Masked stores and gathers; RDI and the low numbers of the index registers are aimed at the data.
    static let moves: [Image] = [
        Image(name: "maskmovdqu", code: [0x66, 0x0F, 0xF7, 0xCA], ignored: []),
        Image(name: "vmaskmovdqu", code: [0xC5, 0xF9, 0xF7, 0xCA], ignored: []),
        Image(name: "maskmovq", code: [0x0F, 0xF7, 0xCA], ignored: []),
        Image(name: "vmaskmovps load", code: [0xC4, 0xE2, 0x6D, 0x2C, 0x0F], ignored: []),
        Image(name: "vmaskmovps store", code: [0xC4, 0xE2, 0x6D, 0x2E, 0x0F], ignored: []),
        Image(name: "vmaskmovpd store", code: [0xC4, 0xE2, 0x69, 0x2F, 0x0F], ignored: []),
        Image(name: "vpmaskmovq load", code: [0xC4, 0xE2, 0xED, 0x8C, 0x0F], ignored: []),
        Image(name: "vpmaskmovd store", code: [0xC4, 0xE2, 0x69, 0x8E, 0x0F], ignored: []),
        Image(name: "vpgatherdd", code: [0xC4, 0xE2, 0x6D, 0x90, 0x0C, 0xA7], ignored: []),
        Image(name: "vpgatherdq", code: [0xC4, 0xE2, 0xED, 0x90, 0x0C, 0xA7], ignored: []),
        Image(name: "vpgatherqd", code: [0xC4, 0xE2, 0x6D, 0x91, 0x0C, 0xA7], ignored: []),
        Image(name: "vpgatherqq", code: [0xC4, 0xE2, 0xE9, 0x91, 0x0C, 0x67], ignored: []),
        Image(name: "vgatherdps", code: [0xC4, 0xE2, 0x69, 0x92, 0x0C, 0xA7], ignored: []),
        Image(name: "vgatherqpd", code: [0xC4, 0xE2, 0xED, 0x93, 0x0C, 0x67], ignored: []),
    ]

    @Test(arguments: moves) func `masked and gathering moves are the processor's`(_ image: Image) throws {
        let harness = try X86Harness()
        var random = SeededGenerator(state: 99)
        for turn in 0..<24 {
            var experiment = X86Case(code: image.code)
            experiment.before = registers(&random, harness)
            experiment.before.status &= 0x3FFF & ~0x3800
            experiment.data = (0..<4096).map { _ in random.byte() }
            let isQuadword = image.name.hasPrefix("vpgatherq") || image.name.hasPrefix("vgatherq")
            // XMM4 is the index: small and signed.
            for lane in 0..<8 {
                let value = Int64(random.next() % 200) - 100, size = isQuadword ? 8 : 4
                for byte in 0..<size where lane * size + byte < 32 {
                    let place = lane * size + byte, bits = UInt8(truncatingIfNeeded: value >> Int64(8 * byte))
                    if place < 16 { experiment.before.xmm[64 + place] = bits } else { experiment.before.ymmHigh[48 + place] = bits }
                }
            }
            // At the end of the mapped data: lanes that are masked out are not touched.
            if turn & 3 == 3 && !image.name.contains("gather") {
                experiment.before.general[7] = harness.data + UInt64(X86Harness.dataSize) - 12
            }
            try compare(image, harness, experiment)
        }
    }
}
