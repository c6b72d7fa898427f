// Exceptions as values.
//
// Spec: Intel SDM vol. 3 6.3, 6.13, 6.15.

/// Exception vectors.
public enum ExceptionVector {
    public static let divide: UInt8 = 0, debug: UInt8 = 1, nmi: UInt8 = 2, breakpoint: UInt8 = 3, overflow: UInt8 = 4
    public static let bound: UInt8 = 5, invalidOpcode: UInt8 = 6, deviceNotAvailable: UInt8 = 7, doubleFault: UInt8 = 8
    public static let invalidTSS: UInt8 = 10, segmentNotPresent: UInt8 = 11, stack: UInt8 = 12
    public static let generalProtection: UInt8 = 13, pageFault: UInt8 = 14, x87: UInt8 = 16, alignment: UInt8 = 17
    public static let machineCheck: UInt8 = 18, simd: UInt8 = 19

    /// Whether the exception pushes an error code.
    public static func hasErrorCode(_ vector: UInt8) -> Bool { vector < 32 && 0x0022_7D00 >> UInt32(vector) & 1 != 0 }
    /// #DE #TS #NP #SS #GP: two of them make a double fault.
    static func isContributory(_ vector: UInt8) -> Bool { vector < 32 && 0x3C01 >> UInt32(vector) & 1 != 0 }
}

/// An exception of the kind that reports the instruction it belongs to.
public struct X86Fault: Error, Equatable, Sendable {
    public var vector: UInt8
    /// Pushed where the vector has one.
    public var errorCode: UInt32
    /// Linear address for CR2; of page faults only.
    public var address: UInt64

    public init(vector: UInt8, errorCode: UInt32 = 0, address: UInt64 = 0) {
        self.vector = vector
        self.errorCode = errorCode
        self.address = address
    }

    public static let invalidOpcode = X86Fault(vector: ExceptionVector.invalidOpcode)
    public static let generalProtection = X86Fault(vector: ExceptionVector.generalProtection)
    public static let stack = X86Fault(vector: ExceptionVector.stack)
    public static let deviceNotAvailable = X86Fault(vector: ExceptionVector.deviceNotAvailable)

    /// #GP with a selector's index as error code.
    static func generalProtection(_ selector: UInt16, external: Bool = false) -> X86Fault {
        X86Fault(vector: ExceptionVector.generalProtection, selector: selector, external: external)
    }

    /// A fault whose error code names a selector.
    init(vector: UInt8, selector: UInt16, external: Bool = false) {
        self.init(vector: vector, errorCode: UInt32(selector & ~3) | (external ? Self.external : 0))
    }

    /// Bit 0 of an error code with a selector: an event from outside the program.
    static let external: UInt32 = 1
    /// Bit 1: the index is one of the IDT.
    static let idt: UInt32 = 2
}

/// Bits of a page fault's error code.
public enum PageFaultError {
    public static let present: UInt32 = 1, write: UInt32 = 2, user: UInt32 = 4, reserved: UInt32 = 8, fetch: UInt32 = 16
}
