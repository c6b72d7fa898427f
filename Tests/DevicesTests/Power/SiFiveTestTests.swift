import Synchronization
import Testing
@testable import Devices

@Suite struct SiFiveTestTests {
    final class Events: Sendable { let list = Mutex<[PowerEvent]>([]) }

    @Test(arguments: [(0x5555, PowerEvent.powerOff), (0x7777, .reset), (0x7_3333, .fail(code: 7))] as [(UInt64, PowerEvent)])
    func `each command ends the machine in its way`(value: UInt64, event: PowerEvent) {
        let events = Events()
        let device = SiFiveTest { event in events.list.withLock { $0.append(event) } }
        device.write(offset: 0, size: 4, value: value)
        device.write(offset: 4, size: 4, value: value)
        device.write(offset: 0, size: 1, value: value)
        device.write(offset: 0, size: 4, value: 0x1234)
        #expect(events.list.withLock { $0 } == [event])
    }

    @Test func `random accesses do no harm`() throws {
        let device = SiFiveTest { _ in }
        fuzz(device, windowSizeBytes: SiFiveTest.sizeBytes, seed: 5)
        try expectRoundTrip(device, SiFiveTest { _ in })
    }
}
