// Registers and bits of the local APIC. Source: Intel SDM volume 3, tables 11-1 and 11-6, §11.4 to §11.12.

/// Register numbers: MMIO offset / 16, or MSR number - 800h.
enum APICRegister {
    static let id = 0x02, version = 0x03, taskPriority = 0x08, arbitrationPriority = 0x09, processorPriority = 0x0a
    static let endOfInterrupt = 0x0b, remoteRead = 0x0c, logicalDestination = 0x0d, destinationFormat = 0x0e
    static let spurious = 0x0f, inService = 0x10, triggerMode = 0x18, request = 0x20, errorStatus = 0x28
    static let commandLow = 0x30, commandHigh = 0x31
    /// Local vector entries: timer, thermal, performance, LINT0, LINT1, error.
    static let firstLocalVector = 0x32, lastLocalVector = 0x37
    static let initialCount = 0x38, currentCount = 0x39, divide = 0x3e, selfIPI = 0x3f
    static let count = 0x40
}

/// IA32_APIC_BASE.
enum APICBase {
    static let msr: UInt32 = 0x1b
    static let bootstrap: UInt64 = 1 << 8
    static let x2APIC: UInt64 = 1 << 10
    static let enabled: UInt64 = 1 << 11
    static let addressMask: UInt64 = 0x000f_ffff_ffff_f000
    static let resetAddress: UInt64 = 0xfee0_0000
}

/// MSRs beside the base.
enum APICMSR {
    static let deadline: UInt32 = 0x6e0
    static let first: UInt32 = 0x800
    static let last: UInt32 = 0x8ff
}

/// ESR.
enum APICError {
    static let sendIllegalVector: UInt32 = 1 << 5
    static let receiveIllegalVector: UInt32 = 1 << 6
    static let illegalRegister: UInt32 = 1 << 7
}

/// Bits of the local vector table.
enum LocalVector {
    static let timer = 0, thermal = 1, performance = 2, lint0 = 3, lint1 = 4, error = 5
    static let count = 6
    static let vectorMask: UInt32 = 0xff
    static let deliveryShift: UInt32 = 8
    static let remoteIRR: UInt32 = 1 << 14
    static let levelTriggered: UInt32 = 1 << 15
    static let masked: UInt32 = 1 << 16
    static let timerModeShift: UInt32 = 17
    /// Bits software can write, by entry.
    static let writable: [UInt32] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff]
}

/// ICR.
enum InterruptCommand {
    static let writable: UInt32 = 0x000c_cfff
    static let logical: UInt32 = 1 << 11
    static let assert: UInt32 = 1 << 14
    static let levelTriggered: UInt32 = 1 << 15
    static let shorthandShift: UInt32 = 18
    enum Shorthand {
        static let none: UInt32 = 0, toSelf: UInt32 = 1, all: UInt32 = 2, allButSelf: UInt32 = 3
    }
}

/// SVR.
enum SpuriousVector {
    static let softwareEnabled: UInt32 = 1 << 8
    static let writable: UInt32 = 0x1ff
    static let reset: UInt32 = 0xff
}

/// 256 bits, one for every vector.
struct VectorSet: Equatable, Sendable {
    var words = SIMD8<UInt32>(repeating: 0)

    subscript(_ vector: UInt8) -> Bool {
        get { words[Int(vector >> 5)] >> UInt32(vector & 31) & 1 != 0 }
        set {
            let bit: UInt32 = 1 << UInt32(vector & 31)
            if newValue { words[Int(vector >> 5)] |= bit } else { words[Int(vector >> 5)] &= ~bit }
        }
    }

    /// The highest vector in the set.
    var highest: UInt8? {
        for index in (0..<8).reversed() where words[index] != 0 {
            return UInt8(index * 32 + 31 - words[index].leadingZeroBitCount)
        }
        return nil
    }
}
