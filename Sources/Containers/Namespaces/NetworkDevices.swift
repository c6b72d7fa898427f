// Moves network devices into a container: config-linux.md, "Network devices". rtnetlink(7).

import CContainerInit
import Glibc
import Host

enum NetworkDevices {
    /// Moves each device by name and gives it its name in the container. Permanent global addresses stay; the device is up.
    static func move(_ devices: [(host: String, container: String)], to pid: Int32) throws {
        guard !devices.isEmpty else { return }
        let target = try HostFiles.open("/proc/\(pid)/ns/net", O_RDONLY)
        for device in devices {
            guard guise_move_network_device(device.host, device.container, target.number) == 0 else {
                throw RuntimeError("linux.netDevices.\(device.host): \(HostError("RTM_NEWLINK", device.host))")
            }
        }
    }
}
