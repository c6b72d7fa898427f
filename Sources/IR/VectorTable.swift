// One row per vector operation, in the order of the cases: name, result, operands, form, prefix, map, opcode, W,
// attributes. Types: v vector, i and q 32- and 64-bit integer, f flags. Attributes: m MXCSR, i immediate byte, r no memory
// operand with this meaning, a AES, p PCLMULQDQ, s SHA.
//
// Spec: AMD64 Architecture Programmer's Manual vol. 4 and 6 (encodings).

/// The rows, and what is read from them.
public enum VectorTable {
    /// Signatures by raw value of the operation.
    public static let signatures: UnsafePointer<VectorSignature> = parse()
    /// Calls `body` with each operation and its name in UTF-8, which is static.
    public static func forEachName(_ body: (VectorOperation, UnsafeBufferPointer<UInt8>) -> Void) {
        var reader = RowReader(rows)
        for operation in VectorOperation.allCases { body(operation, reader.name()) }
    }

    /// The names in the rows, for checking them against the cases.
    public static let names: [String] = rows.description.split(separator: "\n").map { line in
        String(line.split(separator: " ")[0])
    }

    static let rows: StaticString = """
    zero             v -    zero   -   0F    57 0 -
    addps            v vv   rvm    -   0F    58 0 m
    addpd            v vv   rvm    66  0F    58 0 m
    addss            v vv   rvm    F3  0F    58 0 m
    addsd            v vv   rvm    F2  0F    58 0 m
    mulps            v vv   rvm    -   0F    59 0 m
    mulpd            v vv   rvm    66  0F    59 0 m
    mulss            v vv   rvm    F3  0F    59 0 m
    mulsd            v vv   rvm    F2  0F    59 0 m
    subps            v vv   rvm    -   0F    5C 0 m
    subpd            v vv   rvm    66  0F    5C 0 m
    subss            v vv   rvm    F3  0F    5C 0 m
    subsd            v vv   rvm    F2  0F    5C 0 m
    minps            v vv   rvm    -   0F    5D 0 m
    minpd            v vv   rvm    66  0F    5D 0 m
    minss            v vv   rvm    F3  0F    5D 0 m
    minsd            v vv   rvm    F2  0F    5D 0 m
    divps            v vv   rvm    -   0F    5E 0 m
    divpd            v vv   rvm    66  0F    5E 0 m
    divss            v vv   rvm    F3  0F    5E 0 m
    divsd            v vv   rvm    F2  0F    5E 0 m
    maxps            v vv   rvm    -   0F    5F 0 m
    maxpd            v vv   rvm    66  0F    5F 0 m
    maxss            v vv   rvm    F3  0F    5F 0 m
    maxsd            v vv   rvm    F2  0F    5F 0 m
    sqrtps           v v    rm     -   0F    51 0 m
    sqrtpd           v v    rm     66  0F    51 0 m
    sqrtss           v vv   rvm    F3  0F    51 0 m
    sqrtsd           v vv   rvm    F2  0F    51 0 m
    rcpps            v v    rm     -   0F    53 0 -
    rcpss            v vv   rvm    F3  0F    53 0 -
    rsqrtps          v v    rm     -   0F    52 0 -
    rsqrtss          v vv   rvm    F3  0F    52 0 -
    andps            v vv   rvm    -   0F    54 0 -
    andnps           v vv   rvm    -   0F    55 0 -
    orps             v vv   rvm    -   0F    56 0 -
    xorps            v vv   rvm    -   0F    57 0 -
    cmpps            v vv   rvm    -   0F    C2 0 mi
    cmppd            v vv   rvm    66  0F    C2 0 mi
    cmpss            v vv   rvm    F3  0F    C2 0 mi
    cmpsd            v vv   rvm    F2  0F    C2 0 mi
    ucomiss          f vv   rmf    -   0F    2E 0 m
    ucomisd          f vv   rmf    66  0F    2E 0 m
    comiss           f vv   rmf    -   0F    2F 0 m
    comisd           f vv   rmf    66  0F    2F 0 m
    shufps           v vv   rvm    -   0F    C6 0 i
    shufpd           v vv   rvm    66  0F    C6 0 i
    unpcklps         v vv   rvm    -   0F    14 0 -
    unpckhps         v vv   rvm    -   0F    15 0 -
    unpcklpd         v vv   rvm    66  0F    14 0 -
    unpckhpd         v vv   rvm    66  0F    15 0 -
    movss            v vv   rvm    F3  0F    10 0 r
    movsd            v vv   rvm    F2  0F    10 0 r
    movhlps          v vv   rvm    -   0F    12 0 r
    cvtps2pd         v v    rm     -   0F    5A 0 m
    cvtpd2ps         v v    rm     66  0F    5A 0 m
    cvtdq2ps         v v    rm     -   0F    5B 0 m
    cvtps2dq         v v    rm     66  0F    5B 0 m
    cvttps2dq        v v    rm     F3  0F    5B 0 m
    cvtpd2dq         v v    rm     F2  0F    E6 0 m
    cvttpd2dq        v v    rm     66  0F    E6 0 m
    cvtdq2pd         v v    rm     F3  0F    E6 0 -
    cvtss2sd         v vv   rvm    F3  0F    5A 0 m
    cvtsd2ss         v vv   rvm    F2  0F    5A 0 m
    cvtsi2ss32       v vi   rvg    F3  0F    2A 0 m
    cvtsi2ss64       v vq   rvg    F3  0F    2A 1 m
    cvtsi2sd32       v vi   rvg    F2  0F    2A 0 -
    cvtsi2sd64       v vq   rvg    F2  0F    2A 1 m
    cvtss2si32       i v    gm     F3  0F    2D 0 m
    cvtss2si64       q v    gm     F3  0F    2D 1 m
    cvttss2si32      i v    gm     F3  0F    2C 0 m
    cvttss2si64      q v    gm     F3  0F    2C 1 m
    cvtsd2si32       i v    gm     F2  0F    2D 0 m
    cvtsd2si64       q v    gm     F2  0F    2D 1 m
    cvttsd2si32      i v    gm     F2  0F    2C 0 m
    cvttsd2si64      q v    gm     F2  0F    2C 1 m
    movmskps         i v    gm     -   0F    50 0 -
    movmskpd         i v    gm     66  0F    50 0 -
    haddpd           v vv   rvm    66  0F    7C 0 m
    haddps           v vv   rvm    F2  0F    7C 0 m
    hsubpd           v vv   rvm    66  0F    7D 0 m
    hsubps           v vv   rvm    F2  0F    7D 0 m
    addsubpd         v vv   rvm    66  0F    D0 0 m
    addsubps         v vv   rvm    F2  0F    D0 0 m
    movsldup         v v    rm     F3  0F    12 0 -
    movshdup         v v    rm     F3  0F    16 0 -
    movddup          v v    rm     F2  0F    12 0 -
    blendps          v vv   rvm    66  0F3A  0C 0 i
    blendpd          v vv   rvm    66  0F3A  0D 0 i
    blendvps         v vvv  rvmr   66  0F3A  4A 0 -
    blendvpd         v vvv  rvmr   66  0F3A  4B 0 -
    pblendvb         v vvv  rvmr   66  0F3A  4C 0 -
    dpps             v vv   rvm    66  0F3A  40 0 mi
    dppd             v vv   rvm    66  0F3A  41 0 mi
    roundps          v v    rm     66  0F3A  08 0 mi
    roundpd          v v    rm     66  0F3A  09 0 mi
    roundss          v vv   rvm    66  0F3A  0A 0 mi
    roundsd          v vv   rvm    66  0F3A  0B 0 mi
    insertps         v vv   rvm    66  0F3A  21 0 ir
    vpermilps        v vv   rvm    66  0F38  0C 0 -
    vpermilpd        v vv   rvm    66  0F38  0D 0 -
    vtestps          f vv   rmf    66  0F38  0E 0 -
    vtestpd          f vv   rmf    66  0F38  0F 0 -
    ptest            f vv   rmf    66  0F38  17 0 -
    fmaddps          v vvv  fma    66  0F38  98 0 mi
    fmaddpd          v vvv  fma    66  0F38  98 1 mi
    fmaddss          v vvv  fma    66  0F38  99 0 mi
    fmaddsd          v vvv  fma    66  0F38  99 1 mi
    fmsubps          v vvv  fma    66  0F38  9A 0 mi
    fmsubpd          v vvv  fma    66  0F38  9A 1 mi
    fmsubss          v vvv  fma    66  0F38  9B 0 mi
    fmsubsd          v vvv  fma    66  0F38  9B 1 mi
    fnmaddps         v vvv  fma    66  0F38  9C 0 mi
    fnmaddpd         v vvv  fma    66  0F38  9C 1 mi
    fnmaddss         v vvv  fma    66  0F38  9D 0 mi
    fnmaddsd         v vvv  fma    66  0F38  9D 1 mi
    fnmsubps         v vvv  fma    66  0F38  9E 0 mi
    fnmsubpd         v vvv  fma    66  0F38  9E 1 mi
    fnmsubss         v vvv  fma    66  0F38  9F 0 mi
    fnmsubsd         v vvv  fma    66  0F38  9F 1 mi
    fmaddsubps       v vvv  fma    66  0F38  96 0 mi
    fmaddsubpd       v vvv  fma    66  0F38  96 1 mi
    fmsubaddps       v vvv  fma    66  0F38  97 0 mi
    fmsubaddpd       v vvv  fma    66  0F38  97 1 mi
    cvtph2ps         v v    rm     66  0F38  13 0 m
    cvtps2ph         v v    mr     66  0F3A  1D 0 mi
    pand             v vv   rvm    66  0F    DB 0 -
    pandn            v vv   rvm    66  0F    DF 0 -
    por              v vv   rvm    66  0F    EB 0 -
    pxor             v vv   rvm    66  0F    EF 0 -
    paddb            v vv   rvm    66  0F    FC 0 -
    paddw            v vv   rvm    66  0F    FD 0 -
    paddd            v vv   rvm    66  0F    FE 0 -
    paddq            v vv   rvm    66  0F    D4 0 -
    psubb            v vv   rvm    66  0F    F8 0 -
    psubw            v vv   rvm    66  0F    F9 0 -
    psubd            v vv   rvm    66  0F    FA 0 -
    psubq            v vv   rvm    66  0F    FB 0 -
    paddsb           v vv   rvm    66  0F    EC 0 -
    paddsw           v vv   rvm    66  0F    ED 0 -
    paddusb          v vv   rvm    66  0F    DC 0 -
    paddusw          v vv   rvm    66  0F    DD 0 -
    psubsb           v vv   rvm    66  0F    E8 0 -
    psubsw           v vv   rvm    66  0F    E9 0 -
    psubusb          v vv   rvm    66  0F    D8 0 -
    psubusw          v vv   rvm    66  0F    D9 0 -
    pmulhw           v vv   rvm    66  0F    E5 0 -
    pmulhuw          v vv   rvm    66  0F    E4 0 -
    pmullw           v vv   rvm    66  0F    D5 0 -
    pmuludq          v vv   rvm    66  0F    F4 0 -
    pmaddwd          v vv   rvm    66  0F    F5 0 -
    psadbw           v vv   rvm    66  0F    F6 0 -
    pavgb            v vv   rvm    66  0F    E0 0 -
    pavgw            v vv   rvm    66  0F    E3 0 -
    pminub           v vv   rvm    66  0F    DA 0 -
    pmaxub           v vv   rvm    66  0F    DE 0 -
    pminsw           v vv   rvm    66  0F    EA 0 -
    pmaxsw           v vv   rvm    66  0F    EE 0 -
    pcmpeqb          v vv   rvm    66  0F    74 0 -
    pcmpeqw          v vv   rvm    66  0F    75 0 -
    pcmpeqd          v vv   rvm    66  0F    76 0 -
    pcmpgtb          v vv   rvm    66  0F    64 0 -
    pcmpgtw          v vv   rvm    66  0F    65 0 -
    pcmpgtd          v vv   rvm    66  0F    66 0 -
    psllw            v vv   rvm    66  0F    F1 0 -
    pslld            v vv   rvm    66  0F    F2 0 -
    psllq            v vv   rvm    66  0F    F3 0 -
    psrlw            v vv   rvm    66  0F    D1 0 -
    psrld            v vv   rvm    66  0F    D2 0 -
    psrlq            v vv   rvm    66  0F    D3 0 -
    psraw            v vv   rvm    66  0F    E1 0 -
    psrad            v vv   rvm    66  0F    E2 0 -
    packsswb         v vv   rvm    66  0F    63 0 -
    packssdw         v vv   rvm    66  0F    6B 0 -
    packuswb         v vv   rvm    66  0F    67 0 -
    punpcklbw        v vv   rvm    66  0F    60 0 -
    punpcklwd        v vv   rvm    66  0F    61 0 -
    punpckldq        v vv   rvm    66  0F    62 0 -
    punpcklqdq       v vv   rvm    66  0F    6C 0 -
    punpckhbw        v vv   rvm    66  0F    68 0 -
    punpckhwd        v vv   rvm    66  0F    69 0 -
    punpckhdq        v vv   rvm    66  0F    6A 0 -
    punpckhqdq       v vv   rvm    66  0F    6D 0 -
    psllwImmediate   v v    vm6    66  0F    71 0 i
    pslldImmediate   v v    vm6    66  0F    72 0 i
    psllqImmediate   v v    vm6    66  0F    73 0 i
    psrlwImmediate   v v    vm2    66  0F    71 0 i
    psrldImmediate   v v    vm2    66  0F    72 0 i
    psrlqImmediate   v v    vm2    66  0F    73 0 i
    psrawImmediate   v v    vm4    66  0F    71 0 i
    psradImmediate   v v    vm4    66  0F    72 0 i
    pslldq           v v    vm7    66  0F    73 0 i
    psrldq           v v    vm3    66  0F    73 0 i
    pshufd           v v    rm     66  0F    70 0 i
    pshufhw          v v    rm     F3  0F    70 0 i
    pshuflw          v v    rm     F2  0F    70 0 i
    pmovmskb         i v    gm     66  0F    D7 0 -
    pinsrb           v vi   rvg    66  0F3A  20 0 i
    pinsrw           v vi   rvg    66  0F    C4 0 i
    pinsrd           v vi   rvg    66  0F3A  22 0 i
    pinsrq           v vq   rvg    66  0F3A  22 1 i
    pextrb           i v    mg     66  0F3A  14 0 i
    pextrw           i v    gm     66  0F    C5 0 i
    pextrd           i v    mg     66  0F3A  16 0 i
    pextrq           q v    mg     66  0F3A  16 1 i
    pshufb           v vv   rvm    66  0F38  00 0 -
    phaddw           v vv   rvm    66  0F38  01 0 -
    phaddd           v vv   rvm    66  0F38  02 0 -
    phaddsw          v vv   rvm    66  0F38  03 0 -
    pmaddubsw        v vv   rvm    66  0F38  04 0 -
    phsubw           v vv   rvm    66  0F38  05 0 -
    phsubd           v vv   rvm    66  0F38  06 0 -
    phsubsw          v vv   rvm    66  0F38  07 0 -
    psignb           v vv   rvm    66  0F38  08 0 -
    psignw           v vv   rvm    66  0F38  09 0 -
    psignd           v vv   rvm    66  0F38  0A 0 -
    pmulhrsw         v vv   rvm    66  0F38  0B 0 -
    pmuldq           v vv   rvm    66  0F38  28 0 -
    pcmpeqq          v vv   rvm    66  0F38  29 0 -
    packusdw         v vv   rvm    66  0F38  2B 0 -
    pcmpgtq          v vv   rvm    66  0F38  37 0 -
    pminsb           v vv   rvm    66  0F38  38 0 -
    pminsd           v vv   rvm    66  0F38  39 0 -
    pminuw           v vv   rvm    66  0F38  3A 0 -
    pminud           v vv   rvm    66  0F38  3B 0 -
    pmaxsb           v vv   rvm    66  0F38  3C 0 -
    pmaxsd           v vv   rvm    66  0F38  3D 0 -
    pmaxuw           v vv   rvm    66  0F38  3E 0 -
    pmaxud           v vv   rvm    66  0F38  3F 0 -
    pmulld           v vv   rvm    66  0F38  40 0 -
    pabsb            v v    rm     66  0F38  1C 0 -
    pabsw            v v    rm     66  0F38  1D 0 -
    pabsd            v v    rm     66  0F38  1E 0 -
    phminposuw       v v    rm     66  0F38  41 0 -
    pmovsxbw         v v    rm     66  0F38  20 0 -
    pmovsxbd         v v    rm     66  0F38  21 0 -
    pmovsxbq         v v    rm     66  0F38  22 0 -
    pmovsxwd         v v    rm     66  0F38  23 0 -
    pmovsxwq         v v    rm     66  0F38  24 0 -
    pmovsxdq         v v    rm     66  0F38  25 0 -
    pmovzxbw         v v    rm     66  0F38  30 0 -
    pmovzxbd         v v    rm     66  0F38  31 0 -
    pmovzxbq         v v    rm     66  0F38  32 0 -
    pmovzxwd         v v    rm     66  0F38  33 0 -
    pmovzxwq         v v    rm     66  0F38  34 0 -
    pmovzxdq         v v    rm     66  0F38  35 0 -
    vpbroadcastb     v v    rm     66  0F38  78 0 -
    vpbroadcastw     v v    rm     66  0F38  79 0 -
    vpbroadcastd     v v    rm     66  0F38  58 0 -
    vpbroadcastq     v v    rm     66  0F38  59 0 -
    palignr          v vv   rvm    66  0F3A  0F 0 i
    pblendw          v vv   rvm    66  0F3A  0E 0 i
    mpsadbw          v vv   rvm    66  0F3A  42 0 i
    vpsllvd          v vv   rvm    66  0F38  47 0 -
    vpsllvq          v vv   rvm    66  0F38  47 1 -
    vpsrlvd          v vv   rvm    66  0F38  45 0 -
    vpsrlvq          v vv   rvm    66  0F38  45 1 -
    vpsravd          v vv   rvm    66  0F38  46 0 -
    pcmpistri        i vv   string 66  0F3A  63 0 i
    pcmpistriFlags   f vv   string 66  0F3A  63 0 i
    pcmpistrm        v vv   string 66  0F3A  62 0 i
    pcmpestri        i vvi  string 66  0F3A  61 0 i
    pcmpestriFlags   f vvi  string 66  0F3A  61 0 i
    pcmpestrm        v vvi  string 66  0F3A  60 0 i
    crc32b           i ii   crc    F2  0F38  F0 0 -
    crc32w           i ii   crc    66  0F38  F1 0 -
    crc32d           i ii   crc    F2  0F38  F1 0 -
    crc32q           q qq   crc    F2  0F38  F1 1 -
    aesenc           v vv   rvm    66  0F38  DC 0 a
    aesenclast       v vv   rvm    66  0F38  DD 0 a
    aesdec           v vv   rvm    66  0F38  DE 0 a
    aesdeclast       v vv   rvm    66  0F38  DF 0 a
    aesimc           v v    rm     66  0F38  DB 0 a
    aeskeygenassist  v v    rm     66  0F3A  DF 0 ai
    pclmulqdq        v vv   rvm    66  0F3A  44 0 pi
    sha1rnds4        v vv   sha    -   0F3A  CC 0 si
    sha1nexte        v vv   sha    -   0F38  C8 0 s
    sha1msg1         v vv   sha    -   0F38  C9 0 s
    sha1msg2         v vv   sha    -   0F38  CA 0 s
    sha256msg1       v vv   sha    -   0F38  CC 0 s
    sha256msg2       v vv   sha    -   0F38  CD 0 s
    sha256rnds2      v vvv  sha    -   0F38  CB 0 s
    """

    private static func parse() -> UnsafePointer<VectorSignature> {
        let count = VectorOperation.allCases.count
        let table = UnsafeMutablePointer<VectorSignature>.allocate(capacity: count)
        var reader = RowReader(rows)
        for index in 0..<count { (table + index).initialize(to: reader.row()) }
        return UnsafePointer(table)
    }
}

/// Reads the rows byte by byte: this happens once in every process, so it must not cost string objects.
private struct RowReader {
    private let text: UnsafePointer<UInt8>
    private let count: Int
    private var at = 0

    init(_ rows: StaticString) {
        text = rows.utf8Start
        count = rows.utf8CodeUnitCount
    }

    /// The next word.
    private mutating func word() -> UnsafeBufferPointer<UInt8> {
        while at < count && text[at] <= 0x20 { at += 1 }
        let start = at
        while at < count && text[at] > 0x20 { at += 1 }
        return UnsafeBufferPointer(start: text + start, count: at - start)
    }

    private static func type(_ letter: UInt8) -> ValueType {
        switch letter {
        case UInt8(ascii: "v"): .v128
        case UInt8(ascii: "i"): .i32
        case UInt8(ascii: "q"): .i64
        case UInt8(ascii: "f"): .flags
        default: .void
        }
    }

    private static func hex(_ word: UnsafeBufferPointer<UInt8>) -> UInt8 {
        word.reduce(0) { $0 << 4 | ($1 >= 0x41 ? $1 &- 0x37 : $1 &- 0x30) }
    }

    private static func equal(_ word: UnsafeBufferPointer<UInt8>, _ name: StaticString) -> Bool {
        word.count == name.utf8CodeUnitCount && word.indices.allSatisfy { word[$0] == name.utf8Start[$0] }
    }

    /// The name of the next row, and on to the one after it.
    mutating func name() -> UnsafeBufferPointer<UInt8> {
        let name = word()
        while at < count && text[at] != 0x0A { at += 1 }
        return name
    }

    mutating func row() -> VectorSignature {
        _ = word()
        let result = Self.type(word()[0])
        let operands = word()
        let formName = word()
        guard let form = VectorForm.names.firstIndex(where: { Self.equal(formName, $0) }),
              let form = VectorForm(rawValue: UInt8(form)) else { preconditionFailure("a vector row has an unknown form") }
        let prefix: UInt8 = switch Self.hex(word()) {
        case 0x66: 1
        case 0xF3: 2
        case 0xF2: 3
        default: 0
        }
        let map = word()
        let opcode = Self.hex(word())
        let w = word()[0] == UInt8(ascii: "1")
        let attributes = word()
        func has(_ letter: Unicode.Scalar) -> Bool { attributes.contains(UInt8(ascii: letter)) }
        func operand(_ index: Int) -> ValueType { index < operands.count ? Self.type(operands[index]) : .void }
        return VectorSignature(
            result: result, a: operand(0), b: operand(1), c: operand(2), form: form, prefix: prefix,
            map: map.count == 2 ? 1 : map[2] == UInt8(ascii: "3") && map[3] == UInt8(ascii: "8") ? 2 : 3,
            opcode: opcode, w: w, usesMXCSR: has("m"), hasImmediate: has("i"), onlyRegisters: has("r"),
            needs: has("a") ? .aes : has("p") ? .pclmul : has("s") ? .sha : .nothing)
    }
}
