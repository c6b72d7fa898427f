// Hidden parts of the segment registers, and what they allow.
//
// Spec: Intel SDM vol. 3 3.4.3, 5.3 (limits), 5.5 (types); AMD APM vol. 2 4.8, 4.12.

import Translator

/// A segment register with its hidden part.
public struct SegmentCache: Equatable, Sendable {
    public var selector: UInt16
    /// See `SegmentAttributes`.
    public var attributes: UInt32
    /// In bytes, granularity applied: the last valid offset (expand-up).
    public var limit: UInt32
    public var base: UInt64

    public init(selector: UInt16 = 0, attributes: UInt32 = 0, limit: UInt32 = 0, base: UInt64 = 0) {
        self.selector = selector
        self.attributes = attributes
        self.limit = limit
        self.base = base
    }

    @inline(__always) func has(_ bit: UInt32) -> Bool { attributes & bit != 0 }
    @inline(__always) var dpl: UInt32 { attributes >> SegmentAttributes.dplShift & 3 }
    var isCode: Bool { has(SegmentAttributes.code) && has(SegmentAttributes.nonSystem) }

    /// Base 0, limit 4 GiB, read-write, growing up.
    var isFlatData: Bool { base == 0 && isWideData }

    /// Any base, limit 4 GiB, read-write, growing up.
    var isWideData: Bool {
        limit == .max && attributes & SegmentAttributes.null == 0
            && attributes & (SegmentAttributes.code | SegmentAttributes.expandDown | SegmentAttributes.writable)
            == SegmentAttributes.writable
    }

    /// Whether `size` bytes (at least 1) at `offset` lie within the limit.
    func covers(_ offset: UInt64, _ size: UInt64) -> Bool {
        let last = offset &+ size &- 1
        if attributes & (SegmentAttributes.code | SegmentAttributes.expandDown) == SegmentAttributes.expandDown {
            let top: UInt64 = has(SegmentAttributes.big) ? 0xFFFF_FFFF : 0xFFFF
            return offset > UInt64(limit) && last <= top && offset <= last
        }
        return last <= UInt64(limit) && offset <= last
    }
}

/// How data of a segment is accessed.
public enum DataUse: UInt64, Sendable {
    case read, write
}

extension X86State {
    // MARK: hidden parts

    func baseOffset(_ segment: Int) -> Int {
        switch segment {
        case SystemSegment.ldtr: SystemLayout.ldtrBase
        case SystemSegment.tr: SystemLayout.trBase
        default: X86Layout.segmentBase(segment)
        }
    }

    /// A segment register by its number, 0…5 as `Segment`, LDTR 6, TR 7.
    public func segment(_ number: Int) -> SegmentCache {
        let number = number & 7
        return SegmentCache(selector: self[half: SystemLayout.selector(number)],
                            attributes: self[word: SystemLayout.attributes(number)],
                            limit: self[word: SystemLayout.limit(number)], base: self[baseOffset(number)])
    }

    /// A segment register.
    public func segment(_ segment: Segment) -> SegmentCache { self.segment(segment.rawValue) }

    /// Replaces a segment register without any check. After a change of CS or of a data segment `updateMode` must
    /// follow.
    public func setSegment(_ number: Int, _ cache: SegmentCache) {
        let number = number & 7
        self[half: SystemLayout.selector(number)] = cache.selector
        self[word: SystemLayout.attributes(number)] = cache.attributes
        self[word: SystemLayout.limit(number)] = cache.limit
        self[baseOffset(number)] = cache.base
    }

    /// See `setSegment(Int…)`.
    public func setSegment(_ segment: Segment, _ cache: SegmentCache) { setSegment(segment.rawValue, cache) }

    /// The selector of a segment register, LDTR or TR.
    public func selector(_ segment: Int) -> UInt16 { self[half: SystemLayout.selector(segment & 7)] }

    // MARK: checks

    /// Checks an access of `size` bytes by an instruction and gives its linear address.
    /// - Parameters:
    ///   - segment: 0…5.
    ///   - offset: already truncated to the address size.
    ///   - size: in bytes, 1…4096.
    /// - Throws: #SS(0) for the stack segment, #GP(0) for the others.
    public func checkSegment(_ segment: Int, offset: UInt64, size: UInt64,
                             _ access: DataUse) throws(X86Fault) -> UInt64 {
        if is64BitCode {
            let linear = segment >= 4 ? offset &+ self[X86Layout.segmentBase(segment)] : offset
            guard isCanonical(linear), isCanonical(linear &+ size &- 1) else {
                throw segment == Segment.ss.rawValue ? .stack : .generalProtection
            }
            return linear
        }
        return try checkCached(self.segment(segment), offset: offset, size: size, access,
                               fault: segment == Segment.ss.rawValue ? .stack : .generalProtection)
    }

    /// The same for a segment outside 64-bit code that need not be loaded yet.
    func checkCached(_ cache: SegmentCache, offset: UInt64, size: UInt64, _ access: DataUse,
                     fault: X86Fault) throws(X86Fault) -> UInt64 {
        guard cache.attributes & SegmentAttributes.null == 0, cache.covers(offset, size) else { throw fault }
        // Real mode checks limits, not types.
        if usesDescriptors {
            switch access {
            case .read:
                guard cache.attributes & (SegmentAttributes.code | SegmentAttributes.readable) != SegmentAttributes.code
                else { throw fault }
            case .write:
                guard cache.attributes & (SegmentAttributes.code | SegmentAttributes.writable)
                    == SegmentAttributes.writable
                else { throw fault }
            }
        }
        return (cache.base &+ offset) & 0xFFFF_FFFF
    }

    /// Bits of a linear address in long mode: 48 or 57.
    var linearBits: UInt64 { cr4 & CR4.la57 != 0 ? 57 : 48 }

    /// Whether the upper bits of a linear address repeat its sign bit.
    @inline(__always) public func isCanonical(_ address: UInt64) -> Bool {
        let unused = 64 &- linearBits
        return UInt64(bitPattern: Int64(bitPattern: address &<< unused) &>> Int64(unused)) == address
    }

    // MARK: mode word

    /// The mode word of the running code.
    public var mode: Mode {
        get { Mode(rawValue: self[word: StateLayout.mode]) }
        nonmutating set { self[word: StateLayout.mode] = newValue.rawValue }
    }

    /// Recomputes the mode word after a change of anything it is made of.
    public func updateMode() {
        var mode = isSystem ? systemMode : programMode
        if self[word: StateLayout.guestMXCSR] & X86State.mxcsrMasks != X86State.mxcsrMasks {
            mode = Mode(rawValue: mode.rawValue | Mode.simdTraps)
        }
        self.mode = mode
    }

    private var programMode: Mode {
        let flags = systemFlags
        let extra = (flags & EFlags.tf != 0 ? Mode.single : 0) | (flags & EFlags.ac != 0 ? Mode.alignment : 0)
        if is64BitCode { return Mode(rawValue: Mode.program64.rawValue | extra) }
        let flat = segment(.ds).isFlatData && segment(.es).isFlatData && segment(.ss).isFlatData
        return Mode(rawValue: Mode.program32.rawValue & (flat ? .max : ~Mode.flatData) | wideSegments | extra)
    }

    /// Bits of FS and GS that need no check outside 64-bit code.
    private var wideSegments: UInt32 {
        (segment(.fs).isWideData ? Mode.wideFS : 0) | (segment(.gs).isWideData ? Mode.wideGS : 0)
    }

    private var systemMode: Mode {
        var bits = Mode.system
        let cs = self[word: SystemLayout.attributes(Segment.cs.rawValue)]
        if is64BitCode {
            bits |= Mode.CodeSize.bits64.rawValue | Mode.flatData | Mode.stack32
            if self.cr4 & CR4.la57 != 0 { bits |= Mode.wideAddresses }
        } else {
            if cs & SegmentAttributes.big != 0 { bits |= Mode.CodeSize.bits32.rawValue }
            if self[word: SystemLayout.attributes(Segment.ss.rawValue)] & SegmentAttributes.big != 0 {
                bits |= Mode.stack32
            }
            if segment(.ds).isFlatData && segment(.es).isFlatData && segment(.ss).isFlatData { bits |= Mode.flatData }
            bits |= wideSegments | self[word: SystemLayout.codeSegment] << Mode.codeSegmentShift
        }
        let flags = systemFlags, cr0 = cr0, cr4 = cr4
        bits |= cpl << 3
        if cr0 & CR0.pe != 0 { bits |= Mode.protected }
        if flags & EFlags.vm != 0 { bits |= Mode.virtual8086 }
        bits |= dataAccess.rawValue << 8
        if isSingle { bits |= Mode.single }
        if cr0 & (CR0.ts | CR0.em) != 0 { bits |= Mode.noFPU }
        if cr0 & CR0.ts != 0 { bits |= Mode.noSSE }
        if cr4 & CR4.osfxsr != 0 && cr0 & CR0.em == 0 { bits |= Mode.sse }
        let allowsAVX = cr0 & CR0.pe != 0 && flags & EFlags.vm == 0
        if allowsAVX && cr4 & CR4.osxsave != 0 && xcr0 & XCR0.avx != 0 { bits |= Mode.avx }
        if cpl == 3 && cr0 & CR0.am != 0 && flags & EFlags.ac != 0 { bits |= Mode.alignment }
        return Mode(rawValue: bits)
    }

    /// Which data TLB instructions of the current mode use.
    private var dataAccess: Mode.DataAccess {
        if !isPaging { return .physical }
        if cpl == 3 { return .user }
        return cr4 & CR4.smap != 0 && systemFlags & EFlags.ac != 0 ? .supervisorUserMemory : .supervisor
    }

    /// Whether instructions must be executed one at a time: single step, a shadow, breakpoints.
    private var isSingle: Bool {
        systemFlags & EFlags.tf != 0 || self[word: SystemLayout.interruptShadow] != 0
            || self[SystemLayout.dr7] & DebugBits.enables != 0 || self[word: SystemLayout.pendingDebug] != 0
    }

    /// Looks up the number of the code segment anew; after CS or EFER.LMA changed. Call `updateMode` next.
    public func updateCodeSegment() {
        let cs = segment(.cs)
        self[word: SystemLayout.codeSegment] = is64BitCode ? 0
            : CodeSegmentTable.number(CodeSegment(base: cs.base & 0xFFFF_FFFF, limit: cs.limit))
    }
}
