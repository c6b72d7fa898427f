// How interrupt messages find their processors: I/O APIC redirections, message-signalled interrupts and IPIs.
//
// Spec: Intel SDM volume 3, §11.6.2 (destinations), §11.11 (MSI); AMD64 APM volume 2, §16.5, §16.12.
// Lock order: a device, the I/O APIC, a local APIC. A local APIC calls out only with its own lock released.

import Synchronization

/// An interrupt on its way to one or more local APICs.
public struct APICMessage: Equatable, Sendable {
    /// The delivery mode field of ICR, redirection entries, local vector entries and MSI data.
    public enum Delivery: UInt8, Sendable {
        case fixed = 0, lowestPriority = 1, management = 2, nonMaskable = 4, initialize = 5, startUp = 6, external = 7
    }

    /// A physical ID or a set of logical ones.
    public var destination: UInt32
    /// Destination is a set of logical IDs instead of one physical ID.
    public var isLogical: Bool
    public var delivery: Delivery
    public var vector: UInt8
    /// Level-triggered: its end is told to the I/O APIC.
    public var isLevel: Bool
    /// The destination has 32 bits (x2APIC), so that FFh is not everybody.
    public var isWide: Bool

    public init(destination: UInt32, isLogical: Bool, delivery: Delivery, vector: UInt8, isLevel: Bool = false,
                isWide: Bool = false) {
        self.destination = destination
        self.isLogical = isLogical
        self.delivery = delivery
        self.vector = vector
        self.isLevel = isLevel
        self.isWide = isWide
    }

    /// What a write of `data` to a message address means; nil for an address that is no local APIC's or a reserved
    /// delivery mode.
    public init?(messageAddress address: UInt64, data: UInt32) {
        guard address >> 20 == 0xfee, let delivery = Delivery(rawValue: UInt8(data >> 8 & 7)) else { return nil }
        self.init(destination: UInt32(address >> 12 & 0xff), isLogical: address & 4 != 0, delivery: delivery,
                  vector: UInt8(truncatingIfNeeded: data), isLevel: data >> 15 & 1 != 0)
    }
}

/// Connects local APICs with each other and with whoever sends messages.
public final class APICBus: @unchecked Sendable {
    // SAFETY (Sendable): both lists are set up before the machine runs.
    private var processors: [LocalAPIC] = []
    private var endOfInterrupt: [@Sendable (UInt8) -> Void] = []
    /// Where the last lowest-priority interrupt went: the search begins behind it.
    private let rotation = Atomic<Int>(0)

    public init() {}

    /// Adds a processor. Before the machine runs.
    func join(_ apic: LocalAPIC) { processors.append(apic) }

    /// Registers a listener for ends of level-triggered interrupts by vector. Before the machine runs.
    public func onEndOfInterrupt(_ body: @escaping @Sendable (UInt8) -> Void) { endOfInterrupt.append(body) }

    func broadcastEnd(_ vector: UInt8) { for listener in endOfInterrupt { listener(vector) } }

    /// Delivers a message. Callable on any thread.
    /// - Returns: whether any local APIC took it.
    @discardableResult
    public func send(_ message: APICMessage) -> Bool {
        if message.delivery == .lowestPriority {
            guard let target = lowestPriority(message) else { return false }
            return target.receive(message)
        }
        var taken = false
        for apic in processors where apic.matches(message) {
            if apic.receive(message) { taken = true }
        }
        return taken
    }

    /// Delivers to everybody, or everybody but one.
    func broadcast(_ message: APICMessage, except sender: LocalAPIC?) {
        for apic in processors where apic !== sender { apic.receive(message) }
    }

    private func lowestPriority(_ message: APICMessage) -> LocalAPIC? {
        let first = rotation.load(ordering: .relaxed)
        var best: (index: Int, priority: UInt8)?
        for step in processors.indices {
            let index = (first &+ 1 &+ step) % processors.count
            let apic = processors[index]
            guard apic.matches(message), let priority = apic.arbitrationPriority else { continue }
            if best.map({ priority < $0.priority }) ?? true { best = (index, priority) }
        }
        guard let best else { return nil }
        rotation.store(best.index, ordering: .relaxed)
        return processors[best.index]
    }
}
