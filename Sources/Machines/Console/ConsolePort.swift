// The virtio console of a machine: connects the device with a host endpoint, as the board's UART is connected with its own.

import Devices
import GuestMemory

/// A virtio console's device and its port on the host.
final class ConsolePort {
    let device: VirtioConsole
    let port: SerialPort

    init(_ port: SerialPort) {
        self.port = port
        device = VirtioConsole(sink: PortSink(port))
        // Weak: the device holds the port through its sink.
        port.deliver = { [weak device] bytes in device?.receive(bytes) ?? 0 }
        port.outputReady = { [weak device] in device?.outputReady() }
        device.inputWanted = { [weak port] in port?.inputWanted() }
    }

    /// The device behind virtio-pci.
    var function: PCIFunctionFactory {
        { [device] ram in
            let transport = VirtioPCI(device: device, ram: ram)
            _ = try DeviceWorker(core: transport.core)
            return transport
        }
    }

    /// The device behind virtio-mmio, on a thread of its own so that output is not copied on a vCPU.
    var slot: VirtioSlotFactory {
        { [device] ram, interrupt in
            let transport = VirtioMMIO(device: device, ram: ram, interrupt: interrupt)
            _ = try DeviceWorker(core: transport.core)
            return transport
        }
    }
}

private final class PortSink: ConsoleSink {
    private let port: SerialPort
    init(_ port: SerialPort) { self.port = port }
    func write(_ bytes: UnsafeRawBufferPointer) { port.append(bytes) }
    var hasRoom: Bool { port.hasRoom }
}
