// A vCPU's state block with 16 MiB of RAM at 0, for tests of the privileged architecture.

import Translator
@testable import GuestX86

final class Processor {
    let block: UnsafeMutableRawPointer
    let state: X86State
    let ram: UnsafeMutableRawPointer
    let model: CPUModel
    static let ramSize = 16 << 20

    init(_ specification: String = "max,+la57") throws {
        model = try CPUModel(specification)
        block = .allocate(byteCount: StateLayout.size, alignment: 4096)
        block.initializeMemory(as: UInt8.self, repeating: 0, count: StateLayout.size)
        ram = .allocate(byteCount: Self.ramSize, alignment: 4096)
        ram.initializeMemory(as: UInt8.self, repeating: 0, count: Self.ramSize)
        state = X86State(block)
        block.storeBytes(of: ram, toByteOffset: StateLayout.context, as: UnsafeMutableRawPointer.self)
        state.physicalPointer = { state, address, length, _ in
            guard address <= UInt64(Processor.ramSize), length <= UInt64(Processor.ramSize) - address else {
                return nil
            }
            return state.load(fromByteOffset: StateLayout.context, as: UnsafeMutableRawPointer.self) + Int(address)
        }
        state.install(model)
        state.reset()
    }

    deinit {
        block.deallocate()
        ram.deallocate()
    }

    // MARK: memory

    func load<T: FixedWidthInteger>(_ address: UInt64, _: T.Type = T.self) -> T {
        (ram + Int(address)).loadUnaligned(as: T.self)
    }
    func store<T: FixedWidthInteger>(_ address: UInt64, _ value: T) {
        (ram + Int(address)).storeBytes(of: value, as: T.self)
    }

    // MARK: places

    static let gdt: UInt64 = 0x1000, ldt: UInt64 = 0x2000, idt: UInt64 = 0x3000, tss: UInt64 = 0x5000
    static let code: UInt64 = 0x10000, stack0: UInt64 = 0x20000, stack3: UInt64 = 0x30000

    /// Selectors of the standard table.
    static let code0: UInt16 = 0x08, data0: UInt16 = 0x10, code3: UInt16 = 0x1B, data3: UInt16 = 0x23
    static let code64: UInt16 = 0x28, tssSelector: UInt16 = 0x30, ldtSelector: UInt16 = 0x40
    static let code16: UInt16 = 0x50, data16: UInt16 = 0x58, code64User: UInt16 = 0x63, conforming: UInt16 = 0x68

    /// A segment or system descriptor. `type` with the S bit (0x10); `flags`: 8 G, 4 D/B, 2 L, 1 AVL.
    static func descriptor(base: UInt64 = 0, limit: UInt64 = 0xF_FFFF, type: UInt64, dpl: UInt64 = 0,
                           present: Bool = true,
                           flags: UInt64 = 0xC) -> UInt64 {
        let access = type | dpl << 5 | (present ? 0x80 : 0)
        return limit & 0xFFFF | (base & 0xFF_FFFF) << 16 | access << 40 | (limit >> 16 & 15) << 48 | flags << 52
            | (base >> 24 & 0xFF) << 56
    }

    /// A gate.
    static func gate(_ selector: UInt16, _ offset: UInt64, type: UInt64, dpl: UInt64 = 0, present: Bool = true,
                     count: UInt64 = 0) -> UInt64 {
        let access = type | dpl << 5 | (present ? 0x80 : 0)
        return offset & 0xFFFF | UInt64(selector) << 16 | count << 32 | access << 40 | (offset >> 16 & 0xFFFF) << 48
    }

    func setDescriptor(_ selector: UInt16, _ value: UInt64) {
        store((selector & 4 != 0 ? Self.ldt : Self.gdt) + UInt64(selector & ~7), value)
    }

    func descriptor(_ selector: UInt16) -> UInt64 {
        load((selector & 4 != 0 ? Self.ldt : Self.gdt) + UInt64(selector & ~7))
    }

    func setGate(_ vector: Int, _ value: UInt64) { store(Self.idt + UInt64(vector) * 8, value) }

    func setLongGate(_ vector: Int, _ selector: UInt16, _ offset: UInt64, type: UInt64 = 14, dpl: UInt64 = 0,
                     ist: UInt64 = 0) {
        store(Self.idt + UInt64(vector) * 16, Self.gate(selector, offset, type: type, dpl: dpl, count: ist))
        store(Self.idt + UInt64(vector) * 16 + 8, offset >> 32)
    }

    /// The standard tables: flat segments of rings 0 and 3, 16-bit segments, a 32-bit TSS with a ring 0 stack, an LDT.
    func makeTables() {
        setDescriptor(Self.code0, Self.descriptor(type: 0x1A))
        setDescriptor(Self.data0, Self.descriptor(type: 0x12))
        setDescriptor(Self.code3, Self.descriptor(type: 0x1A, dpl: 3))
        setDescriptor(Self.data3, Self.descriptor(type: 0x12, dpl: 3))
        setDescriptor(Self.code64, Self.descriptor(type: 0x1A, flags: 0xA))
        setDescriptor(Self.tssSelector, Self.descriptor(base: Self.tss, limit: 0x2067, type: 9, flags: 0))
        setDescriptor(Self.ldtSelector, Self.descriptor(base: Self.ldt, limit: 0xFFF, type: 2, flags: 0))
        setDescriptor(Self.code16, Self.descriptor(limit: 0xFFFF, type: 0x1A, flags: 0))
        setDescriptor(Self.data16, Self.descriptor(limit: 0xFFFF, type: 0x12, flags: 0))
        setDescriptor(Self.code64User, Self.descriptor(type: 0x1A, dpl: 3, flags: 0xA))
        setDescriptor(Self.conforming, Self.descriptor(type: 0x1E))
        state[SystemLayout.gdtrBase] = Self.gdt
        state[word: SystemLayout.gdtrLimit] = 0xFFF
        state[SystemLayout.idtrBase] = Self.idt
        state[word: SystemLayout.idtrLimit] = 0xFFF
        store(Self.tss + 4, UInt32(Self.stack0))
        store(Self.tss + 8, UInt32(Self.data0))
    }

    /// 32-bit protected mode without paging, at ring 0 or 3.
    func enterProtected(ring: UInt32 = 0) throws {
        makeTables()
        state.startProtected(rip: UInt32(Self.code), code: Self.code0, data: Self.data0)
        try state.loadTaskRegister(Self.tssSelector)
        try state.loadLDT(Self.ldtSelector)
        state.setRegister(X86State.rsp, Self.stack0 - 0x1000)
        if ring != 0 { try enterRing3() }
    }

    private func enterRing3() throws {
        for value in [UInt32(Self.data3), UInt32(Self.stack3), 0x202, UInt32(Self.code3), UInt32(Self.code)] {
            push32(value)
        }
        try state.interruptReturn(size: 4, next: 0)
    }

    func push32(_ value: UInt32) {
        let pointer = state.register(X86State.rsp) - 4
        store(pointer, value)
        state.setRegister(X86State.rsp, pointer)
    }

    func push64(_ value: UInt64) {
        let pointer = state.register(X86State.rsp) - 8
        store(pointer, value)
        state.setRegister(X86State.rsp, pointer)
    }

    /// Root of tables that map the first GiB one to one as a user page of 1 GiB.
    static let root: UInt64 = 0x8000

    /// Long mode at ring 0 or 3 in 64-bit code; memory is mapped one to one.
    func enterLong(ring: UInt32 = 0) throws {
        makeTables()
        store(Self.root, Self.root + 0x1000 | 7)
        store(Self.root + 0x1000, UInt64(0x87))
        store(Self.gdt + UInt64(Self.tssSelector), Self.descriptor(base: Self.tss, limit: 0x2067, type: 9, flags: 0))
        store(Self.gdt + UInt64(Self.tssSelector) + 8, UInt64(0))
        store(Self.tss + 4, Self.stack0)
        state.startLong(rip: Self.code, cr3: Self.root, code: Self.code64, data: Self.data0)
        try state.loadTaskRegister(Self.tssSelector)
        state.setRegister(X86State.rsp, Self.stack0 - 0x1000)
        if ring != 0 {
            for value in [UInt64(Self.data3), Self.stack3, 0x202, UInt64(Self.code64User), Self.code] { push64(value) }
            try state.interruptReturn(size: 8, next: 0)
        }
    }

    /// The fault a piece of work raises, or nil.
    func fault(_ work: (X86State) throws(X86Fault) -> Void) -> X86Fault? {
        do throws(X86Fault) {
            try work(state)
            return nil
        } catch {
            return error
        }
    }

    /// All bytes of the state block before the tables: equal exactly when nothing has changed.
    var image: [UInt8] { Array(UnsafeRawBufferPointer(start: block, count: StateLayout.itlb)) }
}

/// #GP and its like with a selector.
func selectorFault(_ vector: UInt8, _ selector: UInt16) -> X86Fault { X86Fault(vector: vector, selector: selector) }
