// The virtio devices of a configuration: which slot gets what.

/// Makes virtio devices.
public enum VirtioBackends {
    /// One factory per slot: disks in order, then shares.
    /// - Throws: `MachineError` for a device that cannot be had.
    public static func make(_ configuration: MachineConfiguration) throws -> [VirtioSlotFactory] {
        if let disk = configuration.disks.first {
            throw MachineError("--disk \(disk.path)", "no virtio block device is built into this program")
        }
        if let share = configuration.shares.first {
            throw MachineError("--share \(share.directory)=\(share.tag)", "no 9p share is built into this program")
        }
        return []
    }
}
