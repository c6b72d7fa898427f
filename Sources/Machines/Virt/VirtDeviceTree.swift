// The device tree of the `virt` board, from the same constants as the bus.
//
// Spec: Devicetree Specification 0.4; Linux bindings riscv/cpus.yaml, interrupt-controller/sifive,plic-1.0.0.yaml,
// timer/sifive,clint.yaml, virtio/mmio.yaml, pci/host-generic-pci.yaml, power/reset/syscon-*.yaml, rtc/google,goldfish-rtc.yaml.

import Devices
import GuestMemory

/// What the device tree says about the harts.
public struct HartDescription: Equatable, Sendable {
    /// `riscv,isa`, canonical order.
    public var isa: String
    /// `riscv,isa-base`.
    public var base: String
    /// `riscv,isa-extensions`.
    public var extensions: [String]
    /// `mmu-type`.
    public var mmu: String

    /// - Parameters:
    ///   - singleLetters: the single-letter extensions in canonical order, such as `imafdc`.
    ///   - named: the multi-letter extensions in canonical order.
    public init(singleLetters: String, named: [String], mmu: String) {
        isa = (["rv64" + singleLetters] + named).joined(separator: "_")
        base = "rv64i"
        extensions = singleLetters.map(String.init) + named
        self.mmu = mmu
    }

    /// RV64GC with the extensions of this project's harts.
    public static let standard = HartDescription(
        singleLetters: "imafdc",
        named: ["zicntr", "zicond", "zicsr", "zifencei", "zihpm", "zba", "zbb", "zbs", "sstc"], mmu: "riscv,sv48")
}

/// What the boot loader tells the operating system.
public struct ChosenNode: Equatable, Sendable {
    public var bootArguments = ""
    public var initrd: Range<UInt64>?
    /// Seed for the guest's random generator, or empty for none.
    public var randomSeed: [UInt8] = []

    public init(bootArguments: String = "", initrd: Range<UInt64>? = nil, randomSeed: [UInt8] = []) {
        self.bootArguments = bootArguments
        self.initrd = initrd
        self.randomSeed = randomSeed
    }
}

extension VirtBoard {
    /// Describes the board and how it was started.
    public func deviceTree(harts description: HartDescription = .standard, chosen: ChosenNode,
                           timebaseHz: UInt64) -> DeviceTree {
        let tree = DeviceTree()
        let root = tree.root
        root.set("#address-cells", 2)
        root.set("#size-cells", 2)
        root.set("compatible", "guise,virt", "riscv-virtio")
        root.set("model", "Guise virt")

        let uartName = "serial@" + hex(VirtMap.uart)
        root.add("chosen") { node in
            if !chosen.bootArguments.isEmpty { node.set("bootargs", chosen.bootArguments) }
            node.set("stdout-path", "/soc/" + uartName)
            if let initrd = chosen.initrd {
                node.set("linux,initrd-start", wide: initrd.lowerBound)
                node.set("linux,initrd-end", wide: initrd.upperBound)
            }
            if !chosen.randomSeed.isEmpty { node.set("rng-seed", bytes: chosen.randomSeed) }
        }
        root.add("aliases") { $0.set("serial0", "/soc/" + uartName) }
        root.add("memory@" + hex(VirtMap.ram)) { node in
            node.set("device_type", "memory")
            node.set("reg", wide: ram.start.value, ram.sizeBytes)
        }

        let controllers = (0..<hartCount).map { _ in tree.makePhandle() }
        addCPUs(root, description, controllers, timebaseHz)
        let plic = tree.makePhandle(), test = tree.makePhandle()
        for (name, value) in [("poweroff", SiFiveTest.pass), ("reboot", SiFiveTest.reset)] {
            root.add(name) { node in
                node.set("compatible", "syscon-" + name)
                node.set("regmap", test)
                node.set("offset", 0)
                node.set("value", value)
            }
        }
        root.add("soc") { soc in
            soc.set("#address-cells", 2)
            soc.set("#size-cells", 2)
            soc.set("compatible", "simple-bus")
            soc.set("ranges")
            addChips(soc, controllers, plic: plic, test: test)
            addPCI(soc, plic: plic)
        }
        return tree
    }

    private func hex(_ address: GuestPhysical) -> String { String(address.value, radix: 16) }

    private func addCPUs(_ root: DeviceTreeNode, _ description: HartDescription, _ controllers: [UInt32],
                         _ timebaseHz: UInt64) {
        root.add("cpus") { cpus in
            cpus.set("#address-cells", 1)
            cpus.set("#size-cells", 0)
            cpus.set("timebase-frequency", UInt32(timebaseHz))
            for (hart, phandle) in controllers.enumerated() {
                cpus.add("cpu@" + String(hart, radix: 16)) { cpu in
                    cpu.set("device_type", "cpu")
                    cpu.set("reg", UInt32(hart))
                    cpu.set("status", "okay")
                    cpu.set("compatible", "riscv")
                    cpu.set("riscv,isa", description.isa)
                    cpu.set("riscv,isa-base", description.base)
                    cpu.set("riscv,isa-extensions", strings: description.extensions)
                    cpu.set("mmu-type", description.mmu)
                    cpu.add("interrupt-controller") { node in
                        node.set("#interrupt-cells", 1)
                        node.set("#address-cells", 0)
                        node.set("interrupt-controller")
                        node.set("compatible", "riscv,cpu-intc")
                        node.set(phandle: phandle)
                    }
                }
            }
        }
    }

    private func addChips(_ soc: DeviceTreeNode, _ controllers: [UInt32], plic: UInt32, test: UInt32) {
        soc.add("test@" + hex(VirtMap.test)) { node in
            node.set("compatible", "sifive,test1", "sifive,test0", "syscon")
            node.set("reg", wide: VirtMap.test.value, SiFiveTest.sizeBytes)
            node.set(phandle: test)
        }
        soc.add("rtc@" + hex(VirtMap.rtc)) { node in
            node.set("compatible", "google,goldfish-rtc")
            node.set("reg", wide: VirtMap.rtc.value, GoldfishRTC.sizeBytes)
            node.set("interrupts", UInt32(VirtMap.rtcSource))
            node.set("interrupt-parent", plic)
        }
        soc.add("clint@" + hex(VirtMap.aclint)) { node in
            node.set("compatible", "sifive,clint0", "riscv,clint0")
            node.set("reg", wide: VirtMap.aclint.value, ACLINT.sizeBytes)
            node.set("interrupts-extended", cells: controllers.flatMap {
                [$0, UInt32(InterruptBit.machineSoftware), $0, UInt32(InterruptBit.machineTimer)]
            })
        }
        soc.add("interrupt-controller@" + hex(VirtMap.plic)) { node in
            node.set("compatible", "sifive,plic-1.0.0", "riscv,plic0")
            node.set("reg", wide: VirtMap.plic.value, VirtMap.plicSizeBytes)
            node.set("#interrupt-cells", 1)
            node.set("#address-cells", 0)
            node.set("interrupt-controller")
            node.set("interrupts-extended", cells: controllers.flatMap {
                [$0, UInt32(InterruptBit.machineExternal), $0, UInt32(InterruptBit.supervisorExternal)]
            })
            node.set("riscv,ndev", UInt32(VirtMap.plicSources - 1))
            node.set(phandle: plic)
        }
        soc.add("serial@" + hex(VirtMap.uart)) { node in
            node.set("compatible", "ns16550a")
            node.set("reg", wide: VirtMap.uart.value, VirtMap.uartSizeBytes)
            node.set("clock-frequency", UInt32(UART16550.clockHz))
            node.set("interrupts", UInt32(VirtMap.uartSource))
            node.set("interrupt-parent", plic)
        }
        for slot in 0..<occupiedSlots {
            let address = VirtMap.virtio + UInt64(slot) * VirtMap.virtioSlotSizeBytes
            soc.add("virtio_mmio@" + hex(address)) { node in
                node.set("compatible", "virtio,mmio")
                node.set("reg", wide: address.value, VirtMap.virtioSlotSizeBytes)
                node.set("interrupts", UInt32(VirtMap.firstVirtioSource + slot))
                node.set("interrupt-parent", plic)
            }
        }
    }

    private static let pciSpaceIO: UInt32 = 0x0100_0000
    private static let pciSpaceMemory32: UInt32 = 0x0200_0000
    private static let pciSpaceMemory64: UInt32 = 0x0300_0000

    private func addPCI(_ soc: DeviceTreeNode, plic: UInt32) {
        soc.add("pci@" + hex(VirtMap.pciECAM)) { node in
            node.set("compatible", "pci-host-ecam-generic")
            node.set("device_type", "pci")
            node.set("reg", wide: VirtMap.pciECAM.value, VirtMap.pciECAMSizeBytes)
            node.set("#address-cells", 3)
            node.set("#size-cells", 2)
            node.set("#interrupt-cells", 1)
            node.set("linux,pci-domain", 0)
            node.set("bus-range", 0, 255)
            node.set("dma-coherent")
            let high = VirtMap.pciHigh(ramSizeBytes: ram.sizeBytes).value
            func range(_ space: UInt32, _ bus: UInt64, _ address: UInt64, _ size: UInt64) -> [UInt32] {
                [space] + [bus, address, size].flatMap { [UInt32($0 >> 32), UInt32(truncatingIfNeeded: $0)] }
            }
            node.set("ranges", cells: range(Self.pciSpaceIO, 0, VirtMap.pciIO.value, VirtMap.pciIOSizeBytes)
                + range(Self.pciSpaceMemory32, VirtMap.pciMemory.value, VirtMap.pciMemory.value, VirtMap.pciMemorySizeBytes)
                + range(Self.pciSpaceMemory64, high, high, VirtMap.pciHighSizeBytes))
            // The swizzle repeats every four devices: mask the device number to its low two bits.
            node.set("interrupt-map-mask", 3 << 11, 0, 0, 7)
            var map: [UInt32] = []
            for device in 0..<4 {
                for pin in 1...4 {
                    let source = VirtMap.firstPCISource + PCIHostBridge.swizzle(device: device, pin: pin)
                    map += [UInt32(device << 11), 0, 0, UInt32(pin), plic, UInt32(source)]
                }
            }
            node.set("interrupt-map", cells: map)
        }
    }
}
