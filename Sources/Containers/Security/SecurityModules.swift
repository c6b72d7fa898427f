// Which security modules the host's kernel has active. Labels for others cannot be honoured: they are told in a warning, as every
// engine writes them whether or not the module is there.

import Glibc

enum SecurityModules {
    /// SELinux with a policy.
    static var hasSELinux: Bool { access("/sys/fs/selinux/enforce", F_OK) == 0 }
    /// AppArmor, not switched off.
    static var hasAppArmor: Bool { HostFiles.line("/sys/module/apparmor/parameters/enabled") == "Y" }
}
