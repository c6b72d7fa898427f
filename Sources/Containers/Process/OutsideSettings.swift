// What is set for a container's process from outside, because only the runtime has the privilege for it.

import CContainerInit
import Glibc
import Host

enum OutsideSettings {
    /// Its chance to be killed when memory ends: proc_pid_oom_score_adj(5). Lowering takes CAP_SYS_RESOURCE; a value that is
    /// the process's already takes nothing.
    static func setOOMScore(_ adjustment: Int32?, of pid: Int32) throws {
        guard let adjustment else { return }
        do {
            try HostFiles.write("\(adjustment)", to: "/proc/\(pid)/oom_score_adj")
        } catch {
            throw RuntimeError("process.oomScoreAdj: \(error)")
        }
    }

    /// Resource limits of a process in another user namespace.
    static func setLimits(_ limits: [ProcessConfiguration.ResourceLimit], of pid: Int32) throws {
        for (index, limit) in limits.enumerated() {
            guard guise_prlimit(pid, limit.resource, limit.soft, limit.hard) == 0 else {
                throw RuntimeError("process.rlimits[\(index)]: \(HostError("prlimit", limit.name))")
            }
        }
    }
}
