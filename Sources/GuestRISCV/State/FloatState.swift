// fcsr. The accrued exception flags live in two places that are read as one: the sticky bits of the host MXCSR image, where
// both executors leave what guest operations raise, and the flags field of the stored fcsr, which guest writes set.
//
// Spec: Volume I, "F" Extension, Floating-point control and status register; MXCSR: Intel SDM volume 1, 10.2.3.

import Translator

/// Bits of fcsr.
public enum FCSR {
    /// Accrued exceptions: NV, DZ, OF, UF, NX from bit 4 down.
    public static let flags: UInt32 = 0x1F
    public static let frmShift: UInt32 = 5
    /// All implemented bits.
    public static let mask: UInt32 = 0xFF
}

/// Bits of MXCSR.
enum MXCSR {
    static let stickyFlags: UInt32 = 0x3F
    static let invalid: UInt32 = 1, divideByZero: UInt32 = 4, overflow: UInt32 = 8, underflow: UInt32 = 16,
        precision: UInt32 = 32
    /// All exceptions masked, round to nearest.
    static let initial: UInt32 = 0x1F80
    static let roundingMask: UInt32 = 0x6000
    static let roundingShift: UInt32 = 13
}

extension RISCVState {
    /// The accrued exception flags.
    public var fflags: UInt32 {
        get {
            let host = mxcsr
            return storedFCSR & FCSR.flags
                | (host & MXCSR.invalid) << 4
                | (host & MXCSR.divideByZero) << 1
                | (host & MXCSR.overflow) >> 1
                | (host & MXCSR.underflow) >> 3
                | (host & MXCSR.precision) >> 5
        }
        nonmutating set {
            storedFCSR = storedFCSR & ~FCSR.flags | newValue & FCSR.flags
            mxcsr &= ~MXCSR.stickyFlags
        }
    }

    /// The dynamic rounding mode; values above 4 are reserved but kept.
    public var frm: UInt32 {
        get { storedFCSR >> FCSR.frmShift & 7 }
        nonmutating set {
            storedFCSR = storedFCSR & FCSR.flags | (newValue & 7) << FCSR.frmShift
            // MXCSR.RC: 0 nearest, 1 down, 2 up, 3 toward zero.
            let control: UInt32 = switch newValue & 7 {
            case 1: 3
            case 2: 1
            case 3: 2
            default: 0
            }
            mxcsr = mxcsr & ~MXCSR.roundingMask | control << MXCSR.roundingShift
            updateMode()
        }
    }

    /// Flags and rounding mode together.
    public var fcsr: UInt32 {
        get { frm << FCSR.frmShift | fflags }
        nonmutating set {
            fflags = newValue
            frm = newValue >> FCSR.frmShift
        }
    }
}
