// The harness itself: what the processor does to known instructions.

import Testing
@testable import GuestX86

@Suite struct HarnessTests {
    @Test func `the processor adds in 64-bit and 32-bit code`() throws {
        let harness = try X86Harness()
        for is64 in [true, false] {
            var experiment = X86Case(code: [0x01, 0xC8], is64: is64) // add eax, ecx
            experiment.before.general[0] = 0xFFFF_FFFF_FFFF_FFFF
            experiment.before.general[1] = 2
            let outcome = try harness.native(experiment)
            #expect(outcome.vector == 3 && outcome.pc == harness.code + 3)
            #expect(outcome.registers.general[0] == 1)
            #expect(outcome.registers.flags == EFlags.cf | EFlags.af)
        }
    }

    @Test func `faults are reported with vector and address`() throws {
        let harness = try X86Harness()
        var experiment = X86Case(code: [0x89, 0x08]) // mov [rax], ecx
        experiment.before.general[0] = harness.data - 8
        let outcome = try harness.native(experiment)
        #expect(outcome.vector == 14 && outcome.address == harness.data - 8 && outcome.isWrite)
        #expect(outcome.pc == harness.code)
        #expect(try harness.native(X86Case(code: [0x0F, 0x0B])).vector == 6)
        #expect(try harness.native(X86Case(code: [0xF7, 0xF1])).vector == 0) // div ecx
    }

    @Test func `vector and x87 registers go in and come out`() throws {
        let harness = try X86Harness()
        var experiment = X86Case(code: [0xC5, 0xFC, 0x28, 0xC1]) // vmovaps ymm0, ymm1
        experiment.before.xmm = (0..<256).map { UInt8($0) }
        experiment.before.ymmHigh = (0..<256).map { UInt8(255 - $0) }
        experiment.before.tags = 0xFF
        experiment.before.stack = (0..<128).map { $0 & 15 < 10 ? UInt8($0) : 0 }
        let outcome = try harness.native(experiment)
        var expected = experiment.before
        expected.xmm.replaceSubrange(0..<16, with: expected.xmm[16..<32])
        expected.ymmHigh.replaceSubrange(0..<16, with: expected.ymmHigh[16..<32])
        #expect(outcome.registers == expected)
    }
}
