// The mode word of programs.

import GuestX86
import Testing

@Suite struct ModeTests {
    @Test func programsAreUnprivilegedAndFlat() {
        #expect(Mode.program64.is64 && Mode.program64.privilege == 3 && Mode.program64.has(Mode.flatData))
        #expect(Mode.program32.codeSize == .bits32 && Mode.program32.has(Mode.stack32))
        #expect(!Mode.program64.has(Mode.system) && Mode.program32.codeSegment == 0)
    }
}
