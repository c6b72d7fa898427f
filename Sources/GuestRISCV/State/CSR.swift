// Numbers and names of control and status registers.
//
// Spec: Volume II, Control and Status Registers, CSR listing. Listed are those this hart has; absent are debug and trace
// (tselect, tdata, dcsr), the hypervisor and vector registers, Smepmp, Zkr, Smstateen and the AIA.

/// A CSR number, 12 bits.
public struct CSR: Hashable, Sendable {
    public let number: UInt16
    @inline(__always) public init(_ number: UInt16) { self.number = number & 0xFFF }

    /// The lowest privilege that may access the register.
    var privilegeBits: UInt16 { number >> 8 & 3 }
    var isReadOnly: Bool { number >> 10 == 3 }

    static let fflags = CSR(0x001), frm = CSR(0x002), fcsr = CSR(0x003)
    static let cycle = CSR(0xC00), time = CSR(0xC01), instret = CSR(0xC02)
    static let sstatus = CSR(0x100), sie = CSR(0x104), stvec = CSR(0x105), scounteren = CSR(0x106)
    static let senvcfg = CSR(0x10A), sscratch = CSR(0x140), sepc = CSR(0x141), scause = CSR(0x142), stval = CSR(0x143)
    static let sip = CSR(0x144), stimecmp = CSR(0x14D), satp = CSR(0x180)
    static let mstatus = CSR(0x300), misa = CSR(0x301), medeleg = CSR(0x302), mideleg = CSR(0x303), mie = CSR(0x304)
    static let mtvec = CSR(0x305), mcounteren = CSR(0x306), menvcfg = CSR(0x30A), mcountinhibit = CSR(0x320)
    static let mscratch = CSR(0x340), mepc = CSR(0x341), mcause = CSR(0x342), mtval = CSR(0x343), mip = CSR(0x344)
    static let mcycle = CSR(0xB00), minstret = CSR(0xB02)
    static let mvendorid = CSR(0xF11), marchid = CSR(0xF12), mimpid = CSR(0xF13), mhartid = CSR(0xF14)
    static let mconfigptr = CSR(0xF15)

    private static let names: [CSR: String] = [
        fflags: "fflags", frm: "frm", fcsr: "fcsr", cycle: "cycle", time: "time", instret: "instret",
        sstatus: "sstatus", sie: "sie", stvec: "stvec", scounteren: "scounteren", senvcfg: "senvcfg",
        sscratch: "sscratch", sepc: "sepc", scause: "scause", stval: "stval", sip: "sip", stimecmp: "stimecmp",
        satp: "satp", mstatus: "mstatus", misa: "misa", medeleg: "medeleg", mideleg: "mideleg", mie: "mie",
        mtvec: "mtvec", mcounteren: "mcounteren", menvcfg: "menvcfg", mcountinhibit: "mcountinhibit",
        mscratch: "mscratch", mepc: "mepc", mcause: "mcause", mtval: "mtval", mip: "mip", mcycle: "mcycle",
        minstret: "minstret", mvendorid: "mvendorid", marchid: "marchid", mimpid: "mimpid", mhartid: "mhartid",
        mconfigptr: "mconfigptr",
    ]

    /// The manual's name, or the number in hexadecimal.
    public var name: String {
        if let name = Self.names[self] { return name }
        switch number {
        case 0x3A0...0x3AF: return "pmpcfg\(number - 0x3A0)"
        case 0x3B0...0x3EF: return "pmpaddr\(number - 0x3B0)"
        case 0xC03...0xC1F: return "hpmcounter\(number - 0xC00)"
        case 0xB03...0xB1F: return "mhpmcounter\(number - 0xB00)"
        case 0x323...0x33F: return "mhpmevent\(number - 0x320)"
        default: return "0x" + String(number, radix: 16)
        }
    }
}
