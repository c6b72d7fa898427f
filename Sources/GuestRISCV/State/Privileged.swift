// stub
extension RISCVState {
    var systemMode: Mode { .program(frm: frm) }
    func markFloatDirty() {}
    func mret() -> Bool { false }
    func sret() -> Bool { false }
    var mayWait: Bool { false }
    func fenceVMA(address: UInt64?) -> Bool { false }
}
