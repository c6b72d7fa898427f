// The images of x87 and vector state in memory: environment, FSAVE, FXSAVE, XSAVE.
//
// Source: AMD APM volume 2, 11.4 and 11.5; Intel SDM volume 1, 8.1.10, 10.5, 13.4 to 13.8.

import Translator

extension X86State {
    @inline(__always) private func u16(_ offset: Int) -> UInt16 { base.load(fromByteOffset: offset, as: UInt16.self) }
    @inline(__always) private func setU16(_ offset: Int, _ value: UInt16) {
        base.storeBytes(of: value, toByteOffset: offset, as: UInt16.self)
    }

    private var x87Top: Int { Int(u16(X86Layout.x87Status) >> 11 & 7) }
    private var x87Tags: UInt8 {
        get { base.load(fromByteOffset: X86Layout.x87Tags, as: UInt8.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: X86Layout.x87Tags, as: UInt8.self) }
    }

    /// Offset of ST(i).
    private func stack(_ index: Int) -> Int { X86Layout.x87Registers + ((x87Top + index) & 7) * 16 }

    /// The initial state of FNINIT.
    func resetX87() {
        setU16(X86Layout.x87Control, 0x37F)
        setU16(X86Layout.x87Status, 0)
        x87Tags = 0
        setU16(X86Layout.x87Opcode, 0)
        self[X86Layout.x87InstructionPointer] = 0
        self[X86Layout.x87DataPointer] = 0
    }

    /// Writes the control word and makes the summary bits fit.
    private func setX87(control: UInt16, status: UInt16) {
        let control = control & 0x1F7F | 0x40
        let pending = status & ~control & 0x3F != 0
        setU16(X86Layout.x87Control, control)
        setU16(X86Layout.x87Status, status & 0x7F7F | (pending ? 0x8080 : 0))
    }

    /// The tag word of 16 bits: two for each register, 0 valid, 1 zero, 2 special, 3 empty.
    var fullX87Tags: UInt16 {
        (0..<8).reduce(0) { word, number in
            let place = X86Layout.x87Registers + number * 16
            let significand = self[place], exponent = u16(place + 8) & 0x7FFF
            let tag: UInt16 = x87Tags >> number & 1 == 0 ? 3 : exponent == 0 && significand == 0 ? 1
                : exponent == 0x7FFF || significand >> 63 == 0 ? 2 : 0
            return word | tag << UInt16(number * 2)
        }
    }

    private func setFullX87Tags(_ word: UInt16) {
        x87Tags = (0..<8).reduce(0) { tags, number in tags | (word >> UInt16(number * 2) & 3 == 3 ? 0 : 1 << number) }
    }

    // MARK: environment

    /// FNSTENV and FNSAVE: 14 or 28 bytes, then the registers.
    func saveEnvironment(_ image: StateImage, _ address: UInt64, _ memory: HelperMemory) throws(X86Fault) {
        var bytes = StateBuffer(count: 108)
        let isReal = !mode.has(Mode.protected) || mode.has(Mode.virtual8086)
        let ip = self[X86Layout.x87InstructionPointer], dp = self[X86Layout.x87DataPointer]
        let opcode = u16(X86Layout.x87Opcode)
        let control = u16(X86Layout.x87Control), status = u16(X86Layout.x87Status)
        if image.isNarrow {
            bytes.put(control, 0)
            bytes.put(status, 2)
            bytes.put(fullX87Tags, 4)
            bytes.put(UInt16(truncatingIfNeeded: ip), 6)
            bytes.put(isReal ? UInt16(truncatingIfNeeded: ip >> 4) & 0xF000 | opcode : 0, 8)
            bytes.put(UInt16(truncatingIfNeeded: dp), 10)
            bytes.put(isReal ? UInt16(truncatingIfNeeded: dp >> 4) & 0xF000 : 0, 12)
        } else {
            bytes.put(UInt32(control) | 0xFFFF_0000, 0)
            bytes.put(UInt32(status) | 0xFFFF_0000, 4)
            bytes.put(UInt32(fullX87Tags) | 0xFFFF_0000, 8)
            if isReal {
                bytes.put(UInt32(UInt16(truncatingIfNeeded: ip)) | 0xFFFF_0000, 12)
                bytes.put(UInt32(truncatingIfNeeded: ip >> 4) & 0x0FFF_F000 | UInt32(opcode), 16)
                bytes.put(UInt32(UInt16(truncatingIfNeeded: dp)) | 0xFFFF_0000, 20)
                bytes.put(UInt32(truncatingIfNeeded: dp >> 4) & 0x0FFF_F000, 24)
            } else {
                bytes.put(UInt32(truncatingIfNeeded: ip), 12)
                bytes.put(UInt32(opcode) << 16, 16)
                bytes.put(UInt32(truncatingIfNeeded: dp), 20)
                bytes.put(0xFFFF_0000 as UInt32, 24)
            }
        }
        let size = image.isNarrow ? 14 : 28
        guard image.kind == .all else {
            try bytes.write(memory, address, size)
            setX87(control: control | 0x3F, status: status)
            return
        }
        for index in 0..<8 {
            bytes.put(self[stack(index)], size + index * 10)
            bytes.put(u16(stack(index) + 8), size + index * 10 + 8)
        }
        try bytes.write(memory, address, size + 80)
        resetX87()
    }

    /// FLDENV and FRSTOR.
    func loadEnvironment(_ image: StateImage, _ address: UInt64, _ memory: HelperMemory) throws(X86Fault) {
        let isReal = !mode.has(Mode.protected) || mode.has(Mode.virtual8086)
        let size = image.isNarrow ? 14 : 28
        var bytes = StateBuffer(count: 108)
        try bytes.read(memory, address, image.kind == .all ? size + 80 : size)
        let step = image.isNarrow ? 2 : 4
        setX87(control: bytes.u16(0), status: bytes.u16(step))
        setFullX87Tags(bytes.u16(2 * step))
        if image.isNarrow {
            let upper = isReal ? UInt64(bytes.u16(8) & 0xF000) << 4 : 0
            self[X86Layout.x87InstructionPointer] = UInt64(bytes.u16(6)) | upper
            self[X86Layout.x87DataPointer] = UInt64(bytes.u16(10)) | (isReal ? UInt64(bytes.u16(12) & 0xF000) << 4 : 0)
            if isReal { setU16(X86Layout.x87Opcode, bytes.u16(8) & 0x7FF) }
        } else if isReal {
            self[X86Layout.x87InstructionPointer] = UInt64(bytes.u16(12)) | UInt64(bytes.u32(16) & 0x0FFF_F000) << 4
            self[X86Layout.x87DataPointer] = UInt64(bytes.u16(20)) | UInt64(bytes.u32(24) & 0x0FFF_F000) << 4
            setU16(X86Layout.x87Opcode, bytes.u16(16) & 0x7FF)
        } else {
            self[X86Layout.x87InstructionPointer] = UInt64(bytes.u32(12))
            self[X86Layout.x87DataPointer] = UInt64(bytes.u32(20))
            setU16(X86Layout.x87Opcode, bytes.u16(18) & 0x7FF)
        }
        guard image.kind == .all else { return }
        for index in 0..<8 {
            self[stack(index)] = bytes.u64(size + index * 10)
            setU16(stack(index) + 8, bytes.u16(size + index * 10 + 8))
        }
    }

    // MARK: FXSAVE

    private var vectorCount: Int { mode.is64 ? 16 : 8 }

    /// Writes parts of the first 512 bytes: bit 0 x87, bit 1 XMM registers; MXCSR with either of bits 1 and 2.
    func writeFXSave(_ bytes: inout StateBuffer, isWide: Bool, parts: UInt64) {
        if parts & 1 != 0 {
            bytes.put(u16(X86Layout.x87Control), 0)
            bytes.put(u16(X86Layout.x87Status), 2)
            bytes.put(UInt16(x87Tags), 4)
            bytes.put(u16(X86Layout.x87Opcode), 6)
            let ip = self[X86Layout.x87InstructionPointer], dp = self[X86Layout.x87DataPointer]
            if isWide {
                bytes.put(ip, 8)
                bytes.put(dp, 16)
            } else {
                bytes.put(ip & 0xFFFF_FFFF, 8)
                bytes.put(dp & 0xFFFF_FFFF, 16)
            }
            for index in 0..<8 {
                bytes.put(self[stack(index)], 32 + index * 16)
                bytes.put(UInt64(u16(stack(index) + 8)), 40 + index * 16)
            }
        }
        if parts & 6 != 0 {
            bytes.put(self[word: StateLayout.guestMXCSR], 24)
            bytes.put(Self.mxcsrMask, 28)
        }
        if parts & 2 != 0 {
            for number in 0..<vectorCount {
                bytes.put(self[X86Layout.xmm(number)], 160 + number * 16)
                bytes.put(self[X86Layout.xmm(number) + 8], 168 + number * 16)
            }
        }
    }

    func readX87(_ bytes: StateBuffer, isWide: Bool) {
        setX87(control: bytes.u16(0), status: bytes.u16(2))
        x87Tags = UInt8(truncatingIfNeeded: bytes.u16(4))
        setU16(X86Layout.x87Opcode, bytes.u16(6) & 0x7FF)
        self[X86Layout.x87InstructionPointer] = isWide ? bytes.u64(8) : UInt64(bytes.u32(8))
        self[X86Layout.x87DataPointer] = isWide ? bytes.u64(16) : UInt64(bytes.u32(16))
        for index in 0..<8 {
            self[stack(index)] = bytes.u64(32 + index * 16)
            setU16(stack(index) + 8, bytes.u16(40 + index * 16))
        }
    }

    func readVectors(_ bytes: StateBuffer) {
        for number in 0..<vectorCount {
            self[X86Layout.xmm(number)] = bytes.u64(160 + number * 16)
            self[X86Layout.xmm(number) + 8] = bytes.u64(168 + number * 16)
        }
    }

    // MARK: XSAVE

    /// EDX:EAX and XCR0: the components asked for.
    private var requestedComponents: UInt64 {
        (self[X86Layout.register(2)] << 32 | self[X86Layout.register(0)] & 0xFFFF_FFFF) & xcr0 & 7
    }

    /// Components that are not in their initial configuration.
    private var usedComponents: UInt64 {
        var used: UInt64 = 0
        let isInitial = u16(X86Layout.x87Control) == 0x37F && u16(X86Layout.x87Status) == 0 && x87Tags == 0
            && u16(X86Layout.x87Opcode) == 0 && self[X86Layout.x87InstructionPointer] == 0
            && self[X86Layout.x87DataPointer] == 0
            && (0..<8).allSatisfy { self[X86Layout.x87Registers + $0 * 16] == 0 && u16(X86Layout.x87Registers + $0 * 16 + 8) == 0 }
        if !isInitial { used |= 1 }
        if (0..<32).contains(where: { self[X86Layout.xmm(0) + $0 * 8] != 0 }) { used |= 2 }
        if (0..<32).contains(where: { self[X86Layout.ymmHigh(0) + $0 * 8] != 0 }) { used |= 4 }
        return used
    }

    private func checkExtended() throws(X86Fault) {
        if isSystem && cr4 & CR4.osxsave == 0 { throw .invalidOpcode }
    }

    private static let headerOffset = 512, upperOffset = 576, upperSize = 256

    /// XSAVE, XSAVEOPT, XSAVEC, XSAVES.
    func saveExtended(_ image: StateImage, _ address: UInt64, _ memory: HelperMemory) throws(X86Fault) {
        try checkExtended()
        let requested = requestedComponents, used = usedComponents
        let isCompact = image.kind == .xsavec
        let written = image.kind == .xsave ? requested : requested & used
        // In the compact form the upper halves follow the header as well: no other component comes before them.
        let size = requested & 4 != 0 ? Self.upperOffset + Self.upperSize : Self.upperOffset
        var bytes = StateBuffer(count: Self.upperOffset + Self.upperSize)
        try memory.probeWrite(address, size)
        try bytes.read(memory, address, size)
        // MXCSR goes with SSE or AVX, whether they are in their initial configuration or not.
        writeFXSave(&bytes, isWide: image.isWide, parts: written | (requested & 6 != 0 && !isCompact ? 4 : 0))
        if isCompact && requested & 2 != 0 {
            bytes.put(self[word: StateLayout.guestMXCSR], 24)
            bytes.put(Self.mxcsrMask, 28)
        }
        if written & 4 != 0 {
            for number in 0..<vectorCount {
                bytes.put(self[X86Layout.ymmHigh(number)], Self.upperOffset + number * 16)
                bytes.put(self[X86Layout.ymmHigh(number) + 8], Self.upperOffset + number * 16 + 8)
            }
        }
        let before = isCompact ? 0 : bytes.u64(Self.headerOffset) & ~requested
        bytes.put(before | used & requested, Self.headerOffset)
        if isCompact { bytes.put(requested | 1 << 63, Self.headerOffset + 8) }
        try bytes.write(memory, address, size)
    }

    /// XRSTOR, XRSTORS.
    func loadExtended(_ image: StateImage, _ address: UInt64, _ memory: HelperMemory, next: UInt64) throws(X86Fault) {
        try checkExtended()
        let requested = requestedComponents
        var bytes = StateBuffer(count: Self.upperOffset + Self.upperSize)
        try bytes.read(memory, address, Self.upperOffset)
        let present = bytes.u64(Self.headerOffset), format = bytes.u64(Self.headerOffset + 8)
        let isCompact = format >> 63 != 0
        guard present & ~xcr0 == 0, isCompact || format == 0 && image.kind == .xsave else { throw .generalProtection }
        if isCompact {
            guard format & ~(1 << 63) & ~xcr0 == 0, present & ~format == 0 else { throw .generalProtection }
        }
        for offset in stride(from: isCompact ? 16 : 16, to: isCompact ? 64 : 24, by: 8) {
            guard bytes.u64(Self.headerOffset + offset) == 0 else { throw .generalProtection }
        }
        let loaded = requested & present
        if loaded & 4 != 0 {
            var upper = StateBuffer(count: Self.upperSize)
            try upper.read(memory, address &+ UInt64(Self.upperOffset), Self.upperSize)
            for offset in stride(from: 0, to: Self.upperSize, by: 8) { bytes.put(upper.u64(offset), Self.upperOffset + offset) }
        }
        let hasMXCSR = isCompact ? loaded & 2 != 0 : requested & 6 != 0
        let mxcsr = hasMXCSR ? bytes.u32(24) : requested & 2 != 0 ? Self.mxcsrInitialImage : self[word: StateLayout.guestMXCSR]
        guard mxcsr & ~Self.mxcsrMask == 0 else { throw .generalProtection }
        if requested & 1 != 0 {
            if present & 1 != 0 {
                readX87(bytes, isWide: image.isWide)
            } else {
                resetX87()
                for number in 0..<8 {
                    self[X86Layout.x87Registers + number * 16] = 0
                    setU16(X86Layout.x87Registers + number * 16 + 8, 0)
                }
            }
        }
        if requested & 2 != 0 { readVectors(present & 2 != 0 ? bytes : StateBuffer(count: 512)) }
        if requested & 4 != 0 {
            for number in 0..<vectorCount {
                self[X86Layout.ymmHigh(number)] = present & 4 != 0 ? bytes.u64(Self.upperOffset + number * 16) : 0
                self[X86Layout.ymmHigh(number) + 8] = present & 4 != 0 ? bytes.u64(Self.upperOffset + number * 16 + 8) : 0
            }
        }
        setMXCSR(mxcsr, next: next)
    }

    private static let mxcsrInitialImage: UInt32 = 0x1F80
}
