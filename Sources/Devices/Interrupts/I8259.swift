// The two 8259A interrupt controllers of a PC, cascaded at input 2, with the edge/level control registers.
//
// Spec: Intel 8259A data sheet (231468-003): initialization and operation command words, fully nested, rotating, special
// mask, automatic EOI and poll modes; Intel 82371AB (PIIX4) §7 for ELCR.
// Inputs are driven on any thread, so the pair has its own lock besides the bus's. A request that vanished before it was
// acknowledged gives the spurious vector of input 7, as on the chip. Absent: MCS-80/85 mode, buffered mode pins.

import Bus
import SavedState
import Synchronization

/// The pair. Its three register windows are `master`, `slave` and `edgeLevel`.
public final class I8259Pair: @unchecked Sendable {
    /// Bytes of the windows `master` and `slave`, and of `edgeLevel`.
    public static let sizeBytes: UInt64 = 2
    /// Inputs of both chips, the cascade included.
    public static let inputs = 16
    static let cascadeInput = 2
    /// IRQ 0, 1, 2, 8 and 13 are edge-triggered for ever.
    static let edgeOnly: UInt16 = 0x2107

    private let state = Mutex(State())
    private let output: InterruptLine

    struct State: Sendable {
        var chips = [I8259(isMaster: true), I8259(isMaster: false)]
        var asserted = false

        /// The slave's output is the master's input 2.
        mutating func cascade() {
            chips[0].setLine(cascadeInput, chips[1].wantsInterrupt)
        }
    }

    /// - Parameter output: INT of the master, to the processors' LINT0 or INTR.
    public init(output: InterruptLine) { self.output = output }

    /// The input of IRQ 0…15; IRQ 2 is the cascade and leads nowhere.
    public func line(_ irq: Int) -> InterruptLine {
        precondition((0..<Self.inputs).contains(irq), "the PICs have inputs 0 to 15")
        guard irq != Self.cascadeInput else { return .unconnected }
        return InterruptLine { [unowned self] level in
            change { $0.chips[irq >> 3].setLine(irq & 7, level) }
        }
    }

    /// INTA: the vector of the interrupt that the processor takes now; the spurious vector when none waits any more.
    /// Callable on any thread.
    public func acknowledge() -> UInt8 {
        var vector: UInt8 = 0
        change { state in
            let input = state.chips[0].acknowledge()
            if input == Self.cascadeInput, state.chips[0].cascadeActive {
                vector = state.chips[1].vector(of: state.chips[1].acknowledge())
            } else {
                vector = state.chips[0].vector(of: input)
            }
        }
        return vector
    }

    /// The windows at ports 20h, A0h and 4D0h. State is saved with `master`.
    public var master: any MMIODevice { Window(self, .chip(0)) }
    public var slave: any MMIODevice { Window(self, .chip(1)) }
    public var edgeLevel: any MMIODevice { Window(self, .edgeLevel) }

    @discardableResult
    private func change<Result>(_ body: (inout State) -> Result) -> Result {
        state.withLock { state in
            let result = body(&state)
            state.cascade()
            let level = state.chips[0].wantsInterrupt
            if level != state.asserted {
                state.asserted = level
                output.set(level)
            }
            return result
        }
    }

    fileprivate enum Place { case chip(Int), edgeLevel }

    fileprivate func read(_ place: Place, _ offset: UInt64) -> UInt8 {
        change { state in
            switch place {
            case .chip(let index): state.chips[index].read(offset)
            case .edgeLevel: state.chips[Int(offset & 1)].edgeLevel
            }
        }
    }

    fileprivate func write(_ place: Place, _ offset: UInt64, _ value: UInt8) {
        change { state in
            switch place {
            case .chip(let index): state.chips[index].write(offset, value)
            case .edgeLevel:
                let fixed = UInt8(truncatingIfNeeded: Self.edgeOnly >> (8 * (offset & 1)))
                state.chips[Int(offset & 1)].edgeLevel = value & ~fixed
            }
        }
    }

    fileprivate func reset() {
        change { state in
            for index in state.chips.indices { state.chips[index].reset() }
        }
    }

    fileprivate func save(to writer: inout StateWriter) {
        let chips = state.withLock { $0.chips }
        writer.section("8259", version: 1) { writer in for chip in chips { chip.save(to: &writer) } }
    }

    fileprivate func restore(from reader: inout StateReader) throws {
        try reader.section("8259", newest: 1) { reader, _ in
            var chips = [I8259(isMaster: true), I8259(isMaster: false)]
            for index in chips.indices { try chips[index].restore(from: &reader) }
            let restored = chips
            change { $0.chips = restored }
        }
    }

    private final class Window: MMIODevice {
        let pair: I8259Pair
        let place: Place
        init(_ pair: I8259Pair, _ place: Place) {
            self.pair = pair
            self.place = place
        }
        private var carriesState: Bool { if case .chip(0) = place { true } else { false } }
        func read(offset: UInt64, size: Int) -> UInt64 { UInt64(pair.read(place, offset)) }
        func write(offset: UInt64, size: Int, value: UInt64) {
            pair.write(place, offset, UInt8(truncatingIfNeeded: value))
        }
        func reset() { if carriesState { pair.reset() } }
        func save(to writer: inout StateWriter) { if carriesState { pair.save(to: &writer) } }
        func restore(from reader: inout StateReader) throws { if carriesState { try pair.restore(from: &reader) } }
    }
}

/// One 8259A.
struct I8259: Sendable {
    /// Initialization command word 1.
    private enum ICW1 {
        static let needsICW4: UInt8 = 0x01
        static let single: UInt8 = 0x02
        static let levelTriggered: UInt8 = 0x08
        static let begin: UInt8 = 0x10
    }
    private enum ICW4 {
        static let automaticEOI: UInt8 = 0x02
        static let specialFullyNested: UInt8 = 0x10
    }
    /// Operation command words 2 and 3.
    private enum OCW {
        static let isThree: UInt8 = 0x08
        static let readSelect: UInt8 = 0x02
        static let readInService: UInt8 = 0x01
        static let poll: UInt8 = 0x04
        static let maskSelect: UInt8 = 0x40
        static let specialMask: UInt8 = 0x20
    }
    /// The command in bits 7:5 of OCW2.
    private enum EOI {
        static let clearAutomaticRotation: UInt8 = 0
        static let nonSpecific: UInt8 = 1
        static let specific: UInt8 = 3
        static let setAutomaticRotation: UInt8 = 4
        static let rotateNonSpecific: UInt8 = 5
        static let setPriority: UInt8 = 6
        static let rotateSpecific: UInt8 = 7
    }
    static let spuriousInput = 7

    let isMaster: Bool
    private var lines: UInt8 = 0
    private var request: UInt8 = 0
    private var inService: UInt8 = 0
    private var mask: UInt8 = 0
    private var vectorBase: UInt8 = 0
    /// The input of lowest priority.
    private var lowest: UInt8 = 7
    private var readsInService = false
    private var polls = false
    private var specialMask = false
    private var automaticEOI = false
    private var rotatesOnAutomaticEOI = false
    private var specialFullyNested = false
    private var levelTriggered = false
    private var needsICW4 = false
    private var single = false
    /// The command word expected next at the odd port: 0 none, else 2…4.
    private var expected: UInt8 = 0
    /// ELCR: bit set for a level-triggered input.
    var edgeLevel: UInt8 = 0

    init(isMaster: Bool) { self.isMaster = isMaster }

    private var levels: UInt8 { levelTriggered ? 0xff : edgeLevel }

    /// Whether the last acknowledge of input 2 stands for the slave.
    var cascadeActive: Bool { isMaster && !single }

    mutating func setLine(_ input: Int, _ level: Bool) {
        let bit: UInt8 = 1 << UInt8(input)
        if level {
            if lines & bit == 0 { request |= bit }
            lines |= bit
        } else {
            lines &= ~bit
            // An edge request needs its input high until it is acknowledged (231468, "Edge and level triggered modes").
            request &= ~bit
        }
    }

    private var pendingRequests: UInt8 { (request | lines & levels) & ~mask }

    /// The unmasked request that may interrupt now, by priority, or nil.
    private var candidate: Int? {
        let requests = pendingRequests
        guard requests != 0 else { return nil }
        let blocking = specialMask ? inService & ~mask : inService
        for step in 1...8 {
            let input = Int((lowest &+ UInt8(step)) & 7), bit: UInt8 = 1 << UInt8(input)
            if requests & bit != 0 {
                // In special fully nested mode a slave in service may interrupt again.
                let nested = specialFullyNested && isMaster && input == I8259Pair.cascadeInput
                if blocking & bit == 0 || nested { return input }
            }
            if blocking & bit != 0, !specialMask { return nil }
        }
        return nil
    }

    var wantsInterrupt: Bool { expected == 0 && candidate != nil }

    mutating func acknowledge() -> Int {
        guard let input = candidate else { return Self.spuriousInput }
        let bit: UInt8 = 1 << UInt8(input)
        request &= ~bit
        if automaticEOI {
            if rotatesOnAutomaticEOI { lowest = UInt8(input) }
        } else {
            inService |= bit
        }
        return input
    }

    func vector(of input: Int) -> UInt8 { vectorBase | UInt8(input) }

    mutating func read(_ offset: UInt64) -> UInt8 {
        if polls {
            polls = false
            guard candidate != nil else { return 0 }
            return 0x80 | UInt8(acknowledge())
        }
        if offset & 1 != 0 { return mask }
        return readsInService ? inService : request | lines & levels
    }

    mutating func write(_ offset: UInt64, _ value: UInt8) {
        if offset & 1 != 0 { return writeData(value) }
        if value & ICW1.begin != 0 { return initialize(value) }
        if value & OCW.isThree != 0 { return writeOCW3(value) }
        writeOCW2(value)
    }

    private mutating func initialize(_ value: UInt8) {
        // The edge sense is reset: an input must rise again to be noticed.
        request = 0
        inService = 0
        mask = 0
        lowest = 7
        readsInService = false
        polls = false
        specialMask = false
        automaticEOI = false
        rotatesOnAutomaticEOI = false
        specialFullyNested = false
        needsICW4 = value & ICW1.needsICW4 != 0
        single = value & ICW1.single != 0
        levelTriggered = value & ICW1.levelTriggered != 0
        expected = 2
    }

    private mutating func writeData(_ value: UInt8) {
        switch expected {
        case 2:
            vectorBase = value & 0xf8
            expected = !single ? 3 : needsICW4 ? 4 : 0
        case 3: expected = needsICW4 ? 4 : 0
        case 4:
            automaticEOI = value & ICW4.automaticEOI != 0
            specialFullyNested = value & ICW4.specialFullyNested != 0
            expected = 0
        default: mask = value
        }
    }

    private mutating func writeOCW3(_ value: UInt8) {
        if value & OCW.poll != 0 { polls = true }
        if value & OCW.readSelect != 0 { readsInService = value & OCW.readInService != 0 }
        if value & OCW.maskSelect != 0 { specialMask = value & OCW.specialMask != 0 }
    }

    private mutating func writeOCW2(_ value: UInt8) {
        let level = value & 7
        switch value >> 5 {
        case EOI.clearAutomaticRotation: rotatesOnAutomaticEOI = false
        case EOI.setAutomaticRotation: rotatesOnAutomaticEOI = true
        case EOI.nonSpecific, EOI.rotateNonSpecific:
            for step in 1...8 {
                let input = (lowest &+ UInt8(step)) & 7, bit: UInt8 = 1 << input
                guard inService & bit != 0, !specialMask || mask & bit == 0 else { continue }
                inService &= ~bit
                if value >> 5 == EOI.rotateNonSpecific { lowest = input }
                break
            }
        case EOI.specific, EOI.rotateSpecific:
            inService &= ~(1 << level)
            if value >> 5 == EOI.rotateSpecific { lowest = level }
        case EOI.setPriority: lowest = level
        default: break
        }
    }

    /// Lines keep the level their devices drive.
    mutating func reset() {
        let levels = lines
        self = I8259(isMaster: isMaster)
        lines = levels
    }

    func save(to writer: inout StateWriter) {
        for byte in [lines, request, inService, mask, vectorBase, lowest, expected, edgeLevel] { writer.put(byte) }
        for flag in [readsInService, polls, specialMask, automaticEOI, rotatesOnAutomaticEOI, specialFullyNested,
                     levelTriggered, needsICW4, single] { writer.put(flag) }
    }

    mutating func restore(from reader: inout StateReader) throws {
        lines = try reader.get()
        request = try reader.get()
        inService = try reader.get()
        mask = try reader.get()
        vectorBase = try reader.get(UInt8.self) & 0xf8
        lowest = try reader.get(UInt8.self) & 7
        expected = try reader.get()
        guard expected == 0 || (2...4).contains(expected) else {
            throw StateError.invalid(section: "8259", reason: "initialization word \(expected)")
        }
        edgeLevel = try reader.get()
        readsInService = try reader.getBool()
        polls = try reader.getBool()
        specialMask = try reader.getBool()
        automaticEOI = try reader.getBool()
        rotatesOnAutomaticEOI = try reader.getBool()
        specialFullyNested = try reader.getBool()
        levelTriggered = try reader.getBool()
        needsICW4 = try reader.getBool()
        single = try reader.getBool()
    }
}
