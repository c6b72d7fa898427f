// What the words in `mounts[].options` mean: config.md, "Linux mount options", and mount(8).

/// Options of one mount, sorted by what they apply to.
struct MountOptions: Equatable {
    /// MOUNT_ATTR_… bits to set and to clear on the mount itself, and on it and all below (the r… options).
    var set: UInt64 = 0, clear: UInt64 = 0, setRecursive: UInt64 = 0, clearRecursive: UInt64 = 0
    /// Flags of mount(2) that belong to the file system.
    var superblock: UInt64 = 0
    /// A bind, with what is mounted below the source or without.
    var isBind = false, isRecursiveBind = false
    /// Only changes what is mounted there already.
    var isRemount = false
    /// MS_SHARED and others with their own MS_REC, in order.
    var propagations: [UInt64] = []
    /// Copies what the target held into the new tmpfs.
    var copiesUp = false
    /// The user namespace's maps apply to the bind, and to what is below.
    var isIDMapped = false, isIDMappedRecursively = false
    /// A last symbolic link of the source is bound, and of the target mounted on, itself.
    var keepsSourceLink = false, keepsTargetLink = false
    /// What the file system itself has to understand.
    var data: [String] = []

    static let readOnly: UInt64 = 1, noSetID: UInt64 = 2, noDevices: UInt64 = 4, noExecute: UInt64 = 8
    static let atimeMask: UInt64 = 0x70, noAccessTime: UInt64 = 0x10, strictAccessTime: UInt64 = 0x20
    static let noDirectoryAccessTime: UInt64 = 0x80, noSymlinkFollow: UInt64 = 0x20_0000

    /// MS_… of mount(2).
    static let synchronous: UInt64 = 16, directorySync: UInt64 = 128, mandatoryLocks: UInt64 = 64, lazyTime: UInt64 = 1 << 25
    static let silent: UInt64 = 1 << 15, versionCounter: UInt64 = 1 << 23
    static let recursive: UInt64 = 1 << 14

    /// The attribute a word sets, and the ones it clears first.
    private static let attributes: [(word: String, set: UInt64, clear: UInt64)] = [
        ("ro", readOnly, 0), ("rw", 0, readOnly), ("nosuid", noSetID, 0), ("suid", 0, noSetID),
        ("nodev", noDevices, 0), ("dev", 0, noDevices), ("noexec", noExecute, 0), ("exec", 0, noExecute),
        ("noatime", noAccessTime, atimeMask), ("atime", 0, atimeMask), ("relatime", 0, atimeMask),
        ("norelatime", 0, atimeMask), ("strictatime", strictAccessTime, atimeMask), ("nostrictatime", 0, atimeMask),
        ("nodiratime", noDirectoryAccessTime, 0), ("diratime", 0, noDirectoryAccessTime),
        ("nosymfollow", noSymlinkFollow, 0), ("symfollow", 0, noSymlinkFollow),
    ]
    /// A file system's flag: its fsconfig word and whether it is set.
    private static let superblockWords: [(word: String, flag: UInt64, isSet: Bool)] = [
        ("sync", synchronous, true), ("async", synchronous, false), ("dirsync", directorySync, true),
        ("mand", mandatoryLocks, true), ("nomand", mandatoryLocks, false), ("lazytime", lazyTime, true),
        ("nolazytime", lazyTime, false), ("silent", silent, true), ("loud", silent, false),
        ("iversion", versionCounter, true), ("noiversion", versionCounter, false),
    ]
    private static let propagationWords: [(word: String, flag: UInt64)] = [
        ("unbindable", 1 << 17), ("private", 1 << 18), ("slave", 1 << 19), ("shared", 1 << 20),
    ]

    /// Every word that is understood, for `features`.
    static let known: [String] = (attributes.map(\.word) + attributes.map { "r" + $0.word }
        + superblockWords.map(\.word) + propagationWords.map(\.word) + propagationWords.map { "r" + $0.word }
        + ["bind", "rbind", "remount", "defaults", "tmpcopyup", "idmap", "ridmap", "src-nofollow", "dest-nofollow"]).sorted()

    /// Sorts the options.
    /// - Throws: `ConfigurationError` inside `options[N]` for one that contradicts.
    init(_ options: [String]) throws(ConfigurationError) {
        for option in options { apply(option) }
    }

    private mutating func apply(_ option: String) {
        if let entry = Self.attributes.first(where: { $0.word == option }) {
            clear |= entry.clear
            set = set & ~entry.clear | entry.set
            clear = clear & ~entry.set | (entry.set & Self.atimeMask != 0 ? Self.atimeMask : 0)
            return
        }
        if option.hasPrefix("r"), let entry = Self.attributes.first(where: { "r" + $0.word == option }) {
            clearRecursive |= entry.clear
            setRecursive = setRecursive & ~entry.clear | entry.set
            clearRecursive = clearRecursive & ~entry.set | (entry.set & Self.atimeMask != 0 ? Self.atimeMask : 0)
            return
        }
        if let entry = Self.superblockWords.first(where: { $0.word == option }) {
            superblock = entry.isSet ? superblock | entry.flag : superblock & ~entry.flag
            return
        }
        if let entry = Self.propagationWords.first(where: { $0.word == option || "r" + $0.word == option }) {
            propagations.append(option.hasPrefix("r") ? entry.flag | Self.recursive : entry.flag)
            return
        }
        switch option {
        case "bind": isBind = true
        case "rbind": (isBind, isRecursiveBind) = (true, true)
        case "remount": isRemount = true
        case "defaults", "": break
        case "tmpcopyup": copiesUp = true
        case "idmap": isIDMapped = true
        case "ridmap": (isIDMapped, isIDMappedRecursively) = (true, true)
        case "src-nofollow": keepsSourceLink = true
        case "dest-nofollow": keepsTargetLink = true
        // mount(8)'s own words for mount programs and fstab.
        case "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev", "nofail": break
        default: data.append(option)
        }
    }

    /// The words for fsconfig of a new file system.
    var fileSystemWords: [String] {
        var words = data
        if superblock & Self.synchronous != 0 { words.append("sync") }
        if superblock & Self.directorySync != 0 { words.append("dirsync") }
        if superblock & Self.lazyTime != 0 { words.append("lazytime") }
        if superblock & Self.mandatoryLocks != 0 { words.append("mand") }
        return words
    }

    /// The flags of mount(2) for a remount.
    var remountFlags: UInt64 {
        // Of a bind only the mount itself changes; the file system may be the host's.
        var flags = isBind ? 4096 : superblock
        for (attribute, flag) in [(Self.readOnly, 1), (Self.noSetID, 2), (Self.noDevices, 4), (Self.noExecute, 8),
                                  (Self.noDirectoryAccessTime, 2048), (Self.noSymlinkFollow, 256)] as [(UInt64, UInt64)]
        where set & attribute != 0 { flags |= flag }
        switch set & Self.atimeMask {
        case Self.noAccessTime: flags |= 1024
        case Self.strictAccessTime: flags |= 1 << 24
        default: if clear & Self.atimeMask != 0 { flags |= 1 << 21 }
        }
        return flags
    }
}
