// A 16550A UART: both FIFOs, interrupt priorities, loopback, character timeout.
//
// Spec: National Semiconductor PC16550D data sheet (1995), tables II to IV and §8.4 (FIFO interrupt modes).
// Transmission takes no time: a byte leaves as soon as the sink takes it; while the sink is full THRE stays clear.
// Reception never overruns: `receive` refuses bytes while the FIFO is full, as if flow control held the peer.
// Absent: DMA mode pins, parity and framing errors (no line to make them), stick parity, 5-bit words.

import Bus
import SavedState

/// Takes the bytes a serial port sends.
public protocol SerialOutput: AnyObject {
    /// Takes one byte, or returns false when full; `UART16550.outputReady` is then called once there is room.
    /// Called with the port's device lock held.
    func send(_ byte: UInt8) -> Bool
}

/// The UART. One byte per register, 8 registers.
public final class UART16550: MMIODevice {
    typealias Register = UART16550Register
    static let fifoDepth = 16
    /// Input clock of the baud generator, as in the device tree.
    public static let clockHz: UInt64 = 3_686_400

    private struct Character {
        var byte: UInt8
        /// LSR error bits that come with it.
        var errors: UInt8
    }

    private var receiver: [Character] = []
    private var transmitter: [UInt8] = []
    private var interruptEnable: UInt8 = 0
    private var fifoControl: UInt8 = 0
    private var lineControl: UInt8 = 0
    private var modemControl: UInt8 = 0
    private var modemStatus: UInt8 = 0
    private var overrun = false
    private var scratch: UInt8 = 0
    private var divisor: UInt16 = 0
    private var transmitterEmptyPending = false
    private var timeoutPending = false
    private var timeoutDeadline: UInt64?

    private let interrupt: InterruptLine
    private let output: any SerialOutput
    private let clock: GuestClock
    private let timer: DeadlineTimer
    private let inputWanted: @Sendable () -> Void

    /// - Parameters:
    ///   - timer: drives `timerFired`, for the character timeout.
    ///   - inputWanted: called when the receiver has room again after `receive` refused a byte.
    public init(interrupt: InterruptLine, output: any SerialOutput, clock: GuestClock, timer: DeadlineTimer,
                inputWanted: @escaping @Sendable () -> Void = {}) {
        self.interrupt = interrupt
        self.output = output
        self.clock = clock
        self.timer = timer
        self.inputWanted = inputWanted
        modemStatus = modemInputs
    }

    // MARK: The line side; callers hold the device lock

    /// How many bytes `receive` takes now.
    public var receiveSpace: Int {
        modemControl & Register.MCR.loopback != 0 ? 0 : max(0, receiverDepth - receiver.count)
    }

    /// A byte arrives. Returns false, taking nothing, when there is no room.
    public func receive(_ byte: UInt8) -> Bool {
        guard receiveSpace > 0 else { refusedInput = true; return false }
        accept(Character(byte: byte, errors: 0))
        return true
    }

    /// A break condition arrives. Returns false when there is no room.
    public func receiveBreak() -> Bool {
        guard receiveSpace > 0 else { refusedInput = true; return false }
        accept(Character(byte: 0, errors: Register.LSR.breakInterrupt))
        return true
    }

    /// Takes up to `limit` received bytes, as firmware that polls the port would.
    public func takeReceived(limit: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < limit, !receiver.isEmpty { bytes.append(readReceiver()) }
        return bytes
    }

    /// The sink has room again.
    public func outputReady() { drainTransmitter() }

    /// The deadline given to the timer may have come.
    public func timerFired() {
        guard let deadline = timeoutDeadline else { return }
        guard clock.ticks >= deadline else { return timer.set(deadlineTicks: deadline) }
        timeoutDeadline = nil
        timeoutPending = fifosEnabled && !receiver.isEmpty
        updateInterrupt()
    }

    private var refusedInput = false

    // MARK: Registers

    public func read(offset: UInt64, size: Int) -> UInt64 {
        guard size == 1 else { return 0 }
        switch offset {
        case Register.data:
            return UInt64(divisorLatchAccess ? UInt8(truncatingIfNeeded: divisor) : readReceiver())
        case Register.interruptEnable:
            return UInt64(divisorLatchAccess ? UInt8(divisor >> 8) : interruptEnable)
        case Register.interruptIdentification:
            let source = interruptSource
            if source == Register.IIR.transmitterEmpty {
                transmitterEmptyPending = false
                updateInterrupt()
            }
            return UInt64(source | (fifosEnabled ? Register.IIR.fifosEnabled : 0))
        case Register.lineControl: return UInt64(lineControl)
        case Register.modemControl: return UInt64(modemControl)
        case Register.lineStatus:
            let status = lineStatus
            overrun = false
            if !receiver.isEmpty { receiver[0].errors = 0 }
            updateInterrupt()
            return UInt64(status)
        case Register.modemStatus:
            let status = modemStatus
            modemStatus &= 0xf0
            updateInterrupt()
            return UInt64(status)
        case Register.scratch: return UInt64(scratch)
        default: return 0
        }
    }

    public func write(offset: UInt64, size: Int, value: UInt64) {
        guard size == 1 else { return }
        let byte = UInt8(truncatingIfNeeded: value)
        switch offset {
        case Register.data:
            if divisorLatchAccess { divisor = divisor & 0xff00 | UInt16(byte) } else { transmit(byte) }
        case Register.interruptEnable:
            if divisorLatchAccess { divisor = divisor & 0xff | UInt16(byte) << 8 } else { setInterruptEnable(byte) }
        case Register.interruptIdentification: setFIFOControl(byte)
        case Register.lineControl: lineControl = byte
        case Register.modemControl:
            let wasLoopback = modemControl & Register.MCR.loopback != 0
            modemControl = byte & Register.MCR.all
            updateModemStatus()
            if wasLoopback { drainTransmitter(); offerRoom() }
        case Register.scratch: scratch = byte
        default: return
        }
        updateInterrupt()
    }

    public func reset() {
        receiver.removeAll()
        transmitter.removeAll()
        interruptEnable = 0
        fifoControl = 0
        lineControl = 0
        modemControl = 0
        modemStatus = modemInputs
        overrun = false
        scratch = 0
        divisor = 0
        transmitterEmptyPending = false
        disarmTimeout()
        updateInterrupt()
        offerRoom()
    }

    // MARK: Saved state

    public func save(to writer: inout StateWriter) {
        writer.section("16550", version: 1) { writer in
            writer.put(each: receiver) { writer, character in
                writer.put(character.byte)
                writer.put(character.errors)
            }
            writer.put(bytes: transmitter)
            for register in [interruptEnable, fifoControl, lineControl, modemControl, modemStatus, scratch] {
                writer.put(register)
            }
            writer.put(divisor)
            writer.put(overrun)
            writer.put(transmitterEmptyPending)
            writer.put(timeoutPending)
            writer.put(timeoutDeadline != nil)
            writer.put(timeoutDeadline ?? 0)
        }
    }

    public func restore(from reader: inout StateReader) throws {
        try reader.section("16550", newest: 1) { reader, _ in
            receiver = try reader.getEach(limit: Self.fifoDepth) { reader in
                Character(byte: try reader.get(), errors: try reader.get(UInt8.self) & Register.LSR.errors)
            }
            transmitter = try reader.getBytes()
            guard transmitter.count <= Self.fifoDepth else {
                throw StateError.invalid(section: "16550", reason: "\(transmitter.count) bytes in the transmitter")
            }
            interruptEnable = try reader.get(UInt8.self) & Register.IER.all
            fifoControl = try reader.get()
            lineControl = try reader.get()
            modemControl = try reader.get(UInt8.self) & Register.MCR.all
            modemStatus = try reader.get()
            scratch = try reader.get()
            divisor = try reader.get()
            overrun = try reader.getBool()
            transmitterEmptyPending = try reader.getBool()
            timeoutPending = try reader.getBool()
            let armed = try reader.getBool()
            let deadline: UInt64 = try reader.get()
            timeoutDeadline = armed ? deadline : nil
            timer.set(deadlineTicks: timeoutDeadline)
            refusedInput = true
            updateInterrupt()
        }
    }

    // MARK: Receiver

    private var fifosEnabled: Bool { fifoControl & Register.FCR.enable != 0 }
    private var divisorLatchAccess: Bool { lineControl & Register.LCR.divisorLatch != 0 }
    private var receiverDepth: Int { fifosEnabled ? Self.fifoDepth : 1 }
    private var triggerLevel: Int {
        fifosEnabled ? [1, 4, 8, 14][Int(fifoControl >> Register.FCR.triggerShift)] : 1
    }

    private func accept(_ character: Character) {
        receiver.append(character)
        timeoutPending = false
        armTimeout()
        updateInterrupt()
    }

    private func readReceiver() -> UInt8 {
        guard !receiver.isEmpty else { return 0 }
        let byte = receiver.removeFirst().byte
        timeoutPending = false
        if receiver.isEmpty { disarmTimeout() } else { armTimeout() }
        updateInterrupt()
        offerRoom()
        return byte
    }

    private func offerRoom() {
        guard refusedInput, receiveSpace > 0 else { return }
        refusedInput = false
        inputWanted()
    }

    /// Four character times without a byte in or out raise the timeout interrupt (§8.4.2).
    private func armTimeout() {
        guard fifosEnabled else { return }
        let bits = UInt64(lineControl & Register.LCR.wordLength) + 5 + 1
            + (lineControl & Register.LCR.parity != 0 ? 1 : 0) + (lineControl & Register.LCR.stopBits != 0 ? 2 : 1)
        let bitTicks = UInt64(max(divisor, 1)) &* 16 &* clock.frequencyHz / Self.clockHz
        let deadline = clock.ticks &+ 4 &* bits &* bitTicks
        timeoutDeadline = deadline
        timer.set(deadlineTicks: deadline)
    }

    private func disarmTimeout() {
        timeoutPending = false
        guard timeoutDeadline != nil else { return }
        timeoutDeadline = nil
        timer.set(deadlineTicks: nil)
    }

    // MARK: Transmitter

    private func transmit(_ byte: UInt8) {
        transmitterEmptyPending = false
        if modemControl & Register.MCR.loopback != 0 {
            if receiver.count < receiverDepth { accept(Character(byte: byte, errors: 0)) } else { overrun = true }
            transmitterEmptyPending = true
            return
        }
        // A byte written to a full FIFO is lost on the chip as well.
        guard transmitter.count < (fifosEnabled ? Self.fifoDepth : 1) else { return }
        transmitter.append(byte)
        drainTransmitter()
    }

    private func drainTransmitter() {
        guard modemControl & Register.MCR.loopback == 0 else { return }
        var sent = 0
        while sent < transmitter.count, output.send(transmitter[sent]) { sent += 1 }
        guard sent > 0 else { return }
        transmitter.removeFirst(sent)
        if transmitter.isEmpty { transmitterEmptyPending = true }
        updateInterrupt()
    }

    // MARK: Control and status

    private func setInterruptEnable(_ byte: UInt8) {
        let newlyEnabled = byte & ~interruptEnable
        interruptEnable = byte & Register.IER.all
        if newlyEnabled & Register.IER.transmitterEmpty != 0, transmitter.isEmpty { transmitterEmptyPending = true }
    }

    private func setFIFOControl(_ byte: UInt8) {
        let toggled = (byte ^ fifoControl) & Register.FCR.enable != 0
        if byte & Register.FCR.enable != 0 {
            fifoControl = byte & (Register.FCR.enable | Register.FCR.dmaMode | Register.FCR.triggerMask)
        } else {
            fifoControl = 0
        }
        if toggled || byte & Register.FCR.clearReceiver != 0 {
            receiver.removeAll()
            disarmTimeout()
            offerRoom()
        }
        if toggled || byte & Register.FCR.clearTransmitter != 0 {
            if !transmitter.isEmpty { transmitterEmptyPending = true }
            transmitter.removeAll()
        }
    }

    private var lineStatus: UInt8 {
        var status: UInt8 = overrun ? Register.LSR.overrun : 0
        if let first = receiver.first { status |= Register.LSR.dataReady | first.errors }
        if transmitter.isEmpty { status |= Register.LSR.transmitterHoldingEmpty | Register.LSR.transmitterEmpty }
        if fifosEnabled, receiver.contains(where: { $0.errors != 0 }) { status |= Register.LSR.errorInFIFO }
        return status
    }

    /// Modem inputs: a peer that is always ready, or the outputs fed back in loopback.
    private var modemInputs: UInt8 {
        guard modemControl & Register.MCR.loopback != 0 else {
            return Register.MSR.cts | Register.MSR.dsr | Register.MSR.dcd
        }
        var inputs: UInt8 = 0
        if modemControl & Register.MCR.rts != 0 { inputs |= Register.MSR.cts }
        if modemControl & Register.MCR.dtr != 0 { inputs |= Register.MSR.dsr }
        if modemControl & Register.MCR.out1 != 0 { inputs |= Register.MSR.ri }
        if modemControl & Register.MCR.out2 != 0 { inputs |= Register.MSR.dcd }
        return inputs
    }

    private func updateModemStatus() {
        let inputs = modemInputs
        let changed = (inputs ^ modemStatus) & 0xf0
        var deltas: UInt8 = 0
        if changed & Register.MSR.cts != 0 { deltas |= Register.MSR.deltaCTS }
        if changed & Register.MSR.dsr != 0 { deltas |= Register.MSR.deltaDSR }
        if changed & Register.MSR.ri != 0, inputs & Register.MSR.ri == 0 { deltas |= Register.MSR.trailingRI }
        if changed & Register.MSR.dcd != 0 { deltas |= Register.MSR.deltaDCD }
        modemStatus = inputs | modemStatus & 0x0f | deltas
    }

    /// The IIR code of the pending, enabled source of the highest priority (table III).
    private var interruptSource: UInt8 {
        if interruptEnable & Register.IER.lineStatus != 0,
           overrun || receiver.first.map({ $0.errors != 0 }) == true { return Register.IIR.lineStatus }
        if interruptEnable & Register.IER.receivedData != 0 {
            if receiver.count >= triggerLevel { return Register.IIR.receivedData }
            if timeoutPending { return Register.IIR.characterTimeout }
        }
        if interruptEnable & Register.IER.transmitterEmpty != 0, transmitterEmptyPending {
            return Register.IIR.transmitterEmpty
        }
        if interruptEnable & Register.IER.modemStatus != 0, modemStatus & 0x0f != 0 { return Register.IIR.modemStatus }
        return Register.IIR.none
    }

    private func updateInterrupt() { interrupt.set(interruptSource != Register.IIR.none) }
}
