// Physical memory protection: 16 entries with a granularity of one 4 KiB page, so that a page is either wholly inside an
// entry or wholly outside and permissions can be cached per page.
//
// Spec: Volume II, Physical Memory Protection. Grain G = 10: NA4 does not exist, the low bits of pmpaddr read as the manual
// prescribes. Absent: Smepmp.

import Translator

enum PMP {
    static let count = 16
    static let read: UInt8 = 1, write: UInt8 = 2, execute: UInt8 = 4
    static let matchShift: UInt8 = 3, match: UInt8 = 3 << 3
    static let off: UInt8 = 0, topOfRange: UInt8 = 1 << 3, na4: UInt8 = 2 << 3, napot: UInt8 = 3 << 3
    static let locked: UInt8 = 0x80
    static let writable: UInt8 = read | write | execute | match | locked
    /// pmpaddr holds bits 55:2 of an address.
    static let addressMask: UInt64 = (1 << 54) - 1
    /// Bits of pmpaddr below the granularity.
    static let grain: UInt64 = 10
    static let grainMask: UInt64 = (1 << grain) - 1
}

/// What may be done to a page.
public struct PagePermissions: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let read = PagePermissions(rawValue: 1)
    public static let write = PagePermissions(rawValue: 2)
    public static let execute = PagePermissions(rawValue: 4)
    public static let all: PagePermissions = [.read, .write, .execute]
}

extension RISCVState {
    func pmpConfiguration(_ entry: Int) -> UInt8 { base.load(fromByteOffset: FrontLayout.pmpcfg + entry, as: UInt8.self) }

    func setPMPConfiguration(_ entry: Int, _ value: UInt8) {
        base.storeBytes(of: value, toByteOffset: FrontLayout.pmpcfg + entry, as: UInt8.self)
    }

    private func pmpAddress(_ entry: Int) -> UInt64 { self[FrontLayout.pmpaddr + entry * 8] }

    // MARK: CSR access

    /// Eight entries' configuration; `first` is 0 or 8.
    func readPMPConfiguration(from first: Int) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(pmpConfiguration(first + $1)) << UInt64($1 * 8) }
    }

    func writePMPConfiguration(from first: Int, _ value: UInt64) {
        for index in 0..<8 {
            let entry = first + index, old = pmpConfiguration(entry)
            if old & PMP.locked != 0 { continue }
            var new = UInt8(truncatingIfNeeded: value >> UInt64(index * 8)) & PMP.writable
            // NA4 cannot be selected; writing without reading is reserved.
            if new & PMP.match == PMP.na4 { new = new & ~PMP.match | old & PMP.match }
            if new & (PMP.read | PMP.write) == PMP.write { new &= ~PMP.write }
            setPMPConfiguration(entry, new)
        }
        flushTranslations?(base, 0, 1)
    }

    /// The low bits read as ones in NAPOT entries and as zeros in others, which is how software finds the granularity.
    func readPMPAddress(_ entry: Int) -> UInt64 {
        let value = pmpAddress(entry)
        return pmpConfiguration(entry) & PMP.match == PMP.napot
            ? value | PMP.grainMask >> 1
            : value & ~PMP.grainMask
    }

    func writePMPAddress(_ entry: Int, _ value: UInt64) {
        if pmpConfiguration(entry) & PMP.locked != 0 { return }
        // A locked top-of-range entry locks the address below it, too.
        if entry + 1 < PMP.count {
            let above = pmpConfiguration(entry + 1)
            if above & PMP.locked != 0, above & PMP.match == PMP.topOfRange { return }
        }
        self[FrontLayout.pmpaddr + entry * 8] = value & PMP.addressMask
        flushTranslations?(base, 0, 1)
    }

    // MARK: check

    /// What code of a privilege may do to the 4 KiB page around a physical address.
    public func pmpPermissions(physical: UInt64, privilege: Privilege) -> PagePermissions {
        // Bits 55:2 of the page's first byte; the granularity makes the rest irrelevant.
        if physical >> 56 != 0 { return [] }
        let address = physical >> 2 & ~PMP.grainMask
        for entry in 0..<PMP.count {
            let configuration = pmpConfiguration(entry)
            let matches: Bool
            switch configuration & PMP.match {
            case PMP.topOfRange:
                let bottom = entry == 0 ? 0 : pmpAddress(entry - 1) & ~PMP.grainMask
                matches = address >= bottom && address < pmpAddress(entry) & ~PMP.grainMask
            case PMP.napot:
                let value = pmpAddress(entry) | PMP.grainMask >> 1
                // Trailing ones and the zero above them are inside the region.
                let inside = value ^ (value &+ 1)
                matches = (address ^ value) & ~inside & PMP.addressMask == 0
            default:
                matches = false
            }
            guard matches else { continue }
            if privilege == .machine, configuration & PMP.locked == 0 { return .all }
            return PagePermissions(rawValue: configuration & (PMP.read | PMP.write | PMP.execute))
        }
        return privilege == .machine ? .all : []
    }
}
