// Register offsets and bits of the 16550A. Source: National Semiconductor PC16550D data sheet (1995), §8.

/// Names of the 16550's registers and bits.
public enum UART16550Register {
    /// RBR (read), THR (write), DLL (DLAB).
    static let data: UInt64 = 0
    /// IER, DLM (DLAB).
    static let interruptEnable: UInt64 = 1
    /// IIR (read), FCR (write).
    static let interruptIdentification: UInt64 = 2
    static let lineControl: UInt64 = 3
    static let modemControl: UInt64 = 4
    static let lineStatus: UInt64 = 5
    static let modemStatus: UInt64 = 6
    static let scratch: UInt64 = 7

    enum IER {
        static let receivedData: UInt8 = 1
        static let transmitterEmpty: UInt8 = 2
        static let lineStatus: UInt8 = 4
        static let modemStatus: UInt8 = 8
        static let all: UInt8 = 0xf
    }
    enum IIR {
        static let none: UInt8 = 0x1
        static let modemStatus: UInt8 = 0x0
        static let transmitterEmpty: UInt8 = 0x2
        static let receivedData: UInt8 = 0x4
        static let lineStatus: UInt8 = 0x6
        static let characterTimeout: UInt8 = 0xc
        static let fifosEnabled: UInt8 = 0xc0
    }
    enum FCR {
        static let enable: UInt8 = 0x01
        static let clearReceiver: UInt8 = 0x02
        static let clearTransmitter: UInt8 = 0x04
        static let dmaMode: UInt8 = 0x08
        static let triggerMask: UInt8 = 0xc0
        static let triggerShift: UInt8 = 6
    }
    enum LCR {
        static let wordLength: UInt8 = 0x03
        static let stopBits: UInt8 = 0x04
        static let parity: UInt8 = 0x08
        static let divisorLatch: UInt8 = 0x80
    }
    enum MCR {
        static let dtr: UInt8 = 0x01
        static let rts: UInt8 = 0x02
        static let out1: UInt8 = 0x04
        static let out2: UInt8 = 0x08
        static let loopback: UInt8 = 0x10
        static let all: UInt8 = 0x1f
    }
    enum LSR {
        static let dataReady: UInt8 = 0x01
        static let overrun: UInt8 = 0x02
        static let parityError: UInt8 = 0x04
        static let framingError: UInt8 = 0x08
        static let breakInterrupt: UInt8 = 0x10
        static let transmitterHoldingEmpty: UInt8 = 0x20
        static let transmitterEmpty: UInt8 = 0x40
        static let errorInFIFO: UInt8 = 0x80
        static let errors = overrun | parityError | framingError | breakInterrupt
    }
    enum MSR {
        static let deltaCTS: UInt8 = 0x01
        static let deltaDSR: UInt8 = 0x02
        static let trailingRI: UInt8 = 0x04
        static let deltaDCD: UInt8 = 0x08
        static let cts: UInt8 = 0x10
        static let dsr: UInt8 = 0x20
        static let ri: UInt8 = 0x40
        static let dcd: UInt8 = 0x80
    }
}
