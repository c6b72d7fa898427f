// Fixed pieces of machine code shared by all units of a cache: entry and exit, helper calls, slow memory accesses, the
// soft float call, and the constant pool. Generated once, at the start of the code cache.

import CHost
import IR

/// 16-byte constants of the pool.
enum FloatConstant: Int, CaseIterable {
    case sign64, sign32, magnitude64, magnitude32, upperOnes, canonical64, canonical32
    case two32Double, two63Double, two32Single, two63Single, minusOneDouble, minusOneSingle

    var bits: UInt64 {
        switch self {
        case .sign64: 0x8000_0000_0000_0000
        case .sign32: 0x8000_0000
        case .magnitude64: 0x7FFF_FFFF_FFFF_FFFF
        case .magnitude32: 0x7FFF_FFFF
        case .upperOnes: 0xFFFF_FFFF_0000_0000
        case .canonical64: 0x7FF8_0000_0000_0000
        case .canonical32: 0x7FC0_0000
        case .two32Double: (4294967296.0 as Double).bitPattern
        case .two63Double: (9223372036854775808.0 as Double).bitPattern
        case .two32Single: UInt64((4294967296.0 as Float).bitPattern)
        case .two63Single: UInt64((9223372036854775808.0 as Float).bitPattern)
        case .minusOneDouble: (-1.0 as Double).bitPattern
        case .minusOneSingle: UInt64((-1.0 as Float).bitPattern)
        }
    }
}

/// Addresses of host functions that thunks call.
struct ThunkTargets {
    /// (state, address, size) → value; sets `helperExit` on a fault.
    var slowLoad: UInt64
    /// (state, address, size, value).
    var slowStore: UInt64
    /// (state, address, size) → host pointer for an atomic access.
    var slowPointer: UInt64
    /// (state): operands and operation word in scratch, result to scratch.
    var softFloat: UInt64
    /// (state): operands and operation word in scratch, condition codes to scratch.
    var exactFlags = UInt64(UInt(bitPattern: unsafeBitCast(exactFlagsTarget, to: Int.self)))
    /// (state): operands and operation word in vectorScratch, result to vectorScratch.
    var vectorCall = UInt64(UInt(bitPattern: unsafeBitCast(vectorCallTarget, to: Int.self)))
    /// Table of the front's helpers.
    var helpers: UInt64
}

/// The fixed code. All addresses are in the writable view; relative distances equal those of the executable view.
final class Thunks {
    let start: UnsafeMutablePointer<UInt8>
    let hasFMA: Bool
    private(set) var end: UnsafeMutablePointer<UInt8>
    private let pins: [(global: Int, register: UInt8, offset: Int)]
    private let floatPins: [(register: UInt8, offset: Int, size: Int)]
    /// The front has vectors: calls that preserve registers preserve all of them.
    private let hasVectors: Bool
    private let needs: [Bool]
    private let pinTable: [UInt8]

    private(set) var enter: UnsafeMutablePointer<UInt8>
    /// rax = guest pc: look the unit up outside.
    private(set) var lookupExit: UnsafeMutablePointer<UInt8>
    /// eax = link index.
    private(set) var linkExit: UnsafeMutablePointer<UInt8>
    /// Called: leave for the start of the calling unit.
    private(set) var startExit: UnsafeMutablePointer<UInt8>
    /// Called: as `startExit`, with exit kind `hot`. Behind the call lie 32 bits, what to add to the unit's start to get
    /// the loop's.
    private(set) var hotExit: UnsafeMutablePointer<UInt8>
    /// rax = guest pc, ecx = exit kind.
    private(set) var raiseExit: UnsafeMutablePointer<UInt8>
    /// Entered by a signal handler: state fields are set already, registers are as the fault left them.
    private(set) var faultExit: UnsafeMutablePointer<UInt8>
    /// rax = guest pc: continue there through the jump cache.
    private(set) var jumpCacheLookup: UnsafeMutablePointer<UInt8>
    private(set) var helperCall: UnsafeMutablePointer<UInt8>
    /// As `helperCall`, for helpers that are light (`GuestFront.isLight`): registers stay where they are.
    private(set) var lightCall: UnsafeMutablePointer<UInt8>
    private let lightHelpers: [Bool]
    private(set) var softFloat: UnsafeMutablePointer<UInt8>
    private(set) var vectorCall: UnsafeMutablePointer<UInt8>
    private(set) var exactFlags: UnsafeMutablePointer<UInt8>
    /// By size, and behind those the ones that look into a set of the TLB first: by set, then size.
    private var slowLoads: [UnsafeMutablePointer<UInt8>] = []
    private var slowStores: [UnsafeMutablePointer<UInt8>] = []
    private var slowPointers: [UnsafeMutablePointer<UInt8>] = []
    private let constants: UnsafeMutablePointer<UInt8>
    /// 64 bytes: MXCSR's sticky bits to the order of `readFloatFlags`.
    let flagTable: UnsafeMutablePointer<UInt8>

    func slowLoad(sizeLog2: Int, set: Int) -> UnsafeMutablePointer<UInt8> { slowLoads[5 + set * 5 + sizeLog2] }
    func slowStore(sizeLog2: Int, set: Int) -> UnsafeMutablePointer<UInt8> { slowStores[5 + set * 5 + sizeLog2] }
    func slowPointer(sizeLog2: Int) -> UnsafeMutablePointer<UInt8> { slowPointers[sizeLog2] }
    func hostHas(_ need: VectorSignature.Need) -> Bool { needs[Int(need.rawValue)] }
    func isLight(helper: Int) -> Bool { lightHelpers[helper] }
    func pinOf(global: Int) -> UInt8 { pinTable[global] }
    func constant(_ constant: FloatConstant) -> UnsafeMutablePointer<UInt8> { constants + constant.rawValue * 16 }

    init(front: GuestFront, at destination: UnsafeMutablePointer<UInt8>, targets: ThunkTargets, registersInMemory: Bool) {
        start = destination
        constants = destination
        hasFMA = guise_cpu_has_v3() != 0
        var table = [UInt8](repeating: CodeGenerator.noRegister, count: front.globals.count)
        var pins: [(global: Int, register: UInt8, offset: Int)] = []
        var floatPins: [(register: UInt8, offset: Int, size: Int)] = []
        if !registersInMemory {
            for (global, register) in zip(front.integerPins, CodeGenerator.pinnableIntegers) {
                pins.append((global, register, front.globals[global].offset))
                table[global] = register
            }
            for (global, register) in zip(front.floatPins, CodeGenerator.pinnableFloats) {
                let size = front.globals[global].type == .v128 ? 16 : 8
                floatPins.append((register, front.globals[global].offset, size))
                table[global] = register
            }
        }
        self.pins = pins
        self.floatPins = floatPins
        hasVectors = front.globals.contains { $0.type == .v128 }
        let features = guise_cpu_vector_features()
        needs = [true, features & 1 != 0, features & 2 != 0, features & 4 != 0]
        pinTable = table
        lightHelpers = front.helpers.indices.map { front.isLight(helper: $0) }
        enter = start
        lookupExit = start
        linkExit = start
        startExit = start
        hotExit = start
        raiseExit = start
        faultExit = start
        jumpCacheLookup = start
        helperCall = start
        lightCall = start
        softFloat = start
        vectorCall = start
        exactFlags = start
        end = start
        for constant in FloatConstant.allCases {
            let slot = UnsafeMutableRawPointer(start + constant.rawValue * 16)
            slot.storeBytes(of: constant.bits, as: UInt64.self)
            slot.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
        }
        flagTable = start + FloatConstant.allCases.count * 16
        for bits in 0..<64 { flagTable[bits] = UInt8(truncatingIfNeeded: FloatEvaluation.flags(mxcsr: UInt32(bits))) }
        var asm = Assembler(at: flagTable + 64)
        emitExits(&asm)
        emitHelperCall(&asm, targets)
        emitLightCall(&asm, targets)
        softFloat = emitPreservingCall(&asm, target: targets.softFloat, arguments: 0, size: 0, result: false)
        vectorCall = emitPreservingCall(&asm, target: targets.vectorCall, arguments: 0, size: 0, result: false)
        exactFlags = emitPreservingCall(&asm, target: targets.exactFlags, arguments: 0, size: 0, result: false)
        for size in 0..<5 {
            slowLoads.append(emitPreservingCall(&asm, target: targets.slowLoad, arguments: 1, size: size, result: true))
            slowStores.append(emitPreservingCall(&asm, target: targets.slowStore, arguments: 2, size: size, result: false))
            slowPointers.append(emitPreservingCall(&asm, target: targets.slowPointer, arguments: 1, size: size, result: true))
        }
        for set in 0..<StateLayout.tlbModes {
            for size in 0..<5 {
                slowLoads.append(emitQuickAccess(&asm, size: size, set: set, isWrite: false, otherwise: slowLoads[size]))
                slowStores.append(emitQuickAccess(&asm, size: size, set: set, isWrite: true, otherwise: slowStores[size]))
            }
        }
        asm.align(CodeCache.granule)
        end = asm.at
    }

    private static let calleeSaved: [UInt8] = [GPR.rbx, GPR.rbp, GPR.r12, GPR.r13, GPR.r14, GPR.r15]

    private func storePins(_ asm: inout Assembler) {
        for pin in pins { asm.store(.state(pin.offset), pin.register) }
        for pin in floatPins { asm.vectorStore(.state(pin.offset), pin.register, size: pin.size) }
    }

    private func loadPins(_ asm: inout Assembler) {
        for pin in pins { asm.load(pin.register, .state(pin.offset)) }
        for pin in floatPins { asm.vectorLoad(pin.register, .state(pin.offset), size: pin.size) }
    }

    /// stmxcsr (3) or ldmxcsr (2).
    private func mxcsr(_ asm: inout Assembler, store: Bool, _ offset: Int) {
        asm.op0F(0xAE, wide: false, store ? 3 : 2, .state(offset))
    }

    private func emitExits(_ asm: inout Assembler) {
        // enter(rdi: state block, rsi: code)
        asm.align(16)
        enter = asm.at
        for register in Self.calleeSaved { asm.push(register) }
        asm.lea(GPR.rbp, .mem(GPR.rdi, Int32(StateLayout.bias)))
        asm.store(.state(StateLayout.entryStack), GPR.rsp)
        asm.lea(GPR.rax, .mem(GPR.rsp, -Int32(Self.returnStackBytes)))
        asm.store(.state(StateLayout.stackLimit), GPR.rax)
        mxcsr(&asm, store: true, StateLayout.hostMXCSR)
        mxcsr(&asm, store: false, StateLayout.guestMXCSR)
        loadPins(&asm)
        asm.jmpIndirect(.reg(GPR.rsi))

        asm.align(16)
        faultExit = asm.at
        storePins(&asm)
        mxcsr(&asm, store: true, StateLayout.guestMXCSR)
        mxcsr(&asm, store: false, StateLayout.hostMXCSR)
        let tail = asm.at
        asm.load(GPR.rsp, .state(StateLayout.entryStack))
        for register in Self.calleeSaved.reversed() { asm.pop(register) }
        asm.ret()

        asm.align(16)
        jumpCacheLookup = asm.at
        asm.mov(GPR.rcx, GPR.rax, wide: false)
        asm.alu(ALU.and, .reg(GPR.rcx), immediate: Int32((StateLayout.jumpCacheCount - 1) * 2), wide: false)
        asm.load(GPR.rdx, .state(StateLayout.jumpSalt))
        asm.alu(ALU.xor, GPR.rdx, .reg(GPR.rax))
        let tag = Int32(StateLayout.jumpCache - StateLayout.bias)
        asm.alu(ALU.cmp, GPR.rdx, .indexed(GPR.rbp, GPR.rcx, scale: 3, tag))
        let miss = asm.jcc(CC.ne)
        asm.jmpIndirect(.indexed(GPR.rbp, GPR.rcx, scale: 3, tag + 8))
        Assembler.patch(miss, to: asm.at)
        lookupExit = asm.at
        asm.store(.state(StateLayout.pc), GPR.rax)
        asm.storeImmediate(.state(StateLayout.exitKind), Int32(ExitKind.lookup.rawValue), wide: false)
        asm.jmp(to: faultExit)

        asm.align(16)
        linkExit = asm.at
        asm.store(.state(StateLayout.exitLink), GPR.rax, wide: false)
        asm.storeImmediate(.state(StateLayout.exitKind), Int32(ExitKind.link.rawValue), wide: false)
        asm.jmp(to: faultExit)

        for kind in [ExitKind.unitStart, .hot] {
            asm.align(16)
            if kind == .hot { hotExit = asm.at } else { startExit = asm.at }
            asm.pop(GPR.rax)
            asm.store(.state(StateLayout.exitHostPC), GPR.rax)
            asm.storeImmediate(.state(StateLayout.exitKind), Int32(kind.rawValue), wide: false)
            asm.jmp(to: faultExit)
        }

        asm.align(16)
        raiseExit = asm.at
        asm.store(.state(StateLayout.pc), GPR.rax)
        asm.store(.state(StateLayout.exitKind), GPR.rcx, wide: false)
        asm.jmp(to: faultExit)
        helperTail = tail
    }

    private var helperTail: UnsafeMutablePointer<UInt8>?

    /// Host stack a unit's calls may use before the return stack is reset.
    static let returnStackBytes = 32 * 1024

    /// eax = helper index; rsi, rdx, rcx = arguments; result in rax. All guest registers go through the state block.
    private func emitHelperCall(_ asm: inout Assembler, _ targets: ThunkTargets) {
        asm.align(16)
        helperCall = asm.at
        storePins(&asm)
        mxcsr(&asm, store: true, StateLayout.guestMXCSR)
        mxcsr(&asm, store: false, StateLayout.hostMXCSR)
        asm.mov(GPR.rbx, GPR.rsp)
        asm.load(GPR.r8, .mem(GPR.rsp))
        asm.store(.state(StateLayout.exitHostPC), GPR.r8)
        asm.storeImmediate(.state(StateLayout.helperExit), 0, wide: false)
        asm.alu(ALU.and, .reg(GPR.rsp), immediate: -16)
        asm.lea(GPR.rdi, .mem(GPR.rbp, -Int32(StateLayout.bias)))
        asm.movImmediate(GPR.r8, Int64(bitPattern: targets.helpers))
        asm.callIndirect(.indexed(GPR.r8, GPR.rax, scale: 3, 0))
        asm.mov(GPR.rsp, GPR.rbx)
        asm.load(GPR.rcx, .state(StateLayout.helperExit), wide: false)
        asm.test(GPR.rcx, GPR.rcx, wide: false)
        let leave = asm.jcc(CC.ne)
        mxcsr(&asm, store: false, StateLayout.guestMXCSR)
        loadPins(&asm)
        asm.ret()
        Assembler.patch(leave, to: asm.at)
        asm.store(.state(StateLayout.exitKind), GPR.rcx, wide: false)
        if let helperTail { asm.jmp(to: helperTail) }
    }

    /// eax = helper index; rsi, rdx, rcx = arguments; result in rax. Keeps vector registers, MXCSR and everything pinned.
    private func emitLightCall(_ asm: inout Assembler, _ targets: ThunkTargets) {
        asm.align(16)
        lightCall = asm.at
        let saved: [UInt8] = [GPR.rdi, GPR.r8, GPR.r9, GPR.r10, GPR.r11, GPR.rbx]
        for register in saved { asm.push(register) }
        asm.load(GPR.r8, .mem(GPR.rsp, Int32(saved.count * 8)))
        asm.store(.state(StateLayout.exitHostPC), GPR.r8)
        asm.storeImmediate(.state(StateLayout.helperExit), 0, wide: false)
        asm.mov(GPR.rbx, GPR.rsp)
        asm.alu(ALU.and, .reg(GPR.rsp), immediate: -16)
        asm.lea(GPR.rdi, .mem(GPR.rbp, -Int32(StateLayout.bias)))
        asm.movImmediate(GPR.r8, Int64(bitPattern: targets.helpers))
        asm.callIndirect(.indexed(GPR.r8, GPR.rax, scale: 3, 0))
        asm.mov(GPR.rsp, GPR.rbx)
        for register in saved.reversed() { asm.pop(register) }
        asm.alu(ALU.cmp, .state(StateLayout.helperExit), immediate: 0, wide: false)
        let leave = asm.jcc(CC.ne)
        asm.ret()
        Assembler.patch(leave, to: asm.at)
        asm.load(GPR.rax, .state(StateLayout.helperExit), wide: false)
        asm.store(.state(StateLayout.exitKind), GPR.rax, wide: false)
        asm.jmp(to: faultExit)
    }

    /// A call that preserves every register. Arguments lie on the stack above the return address (address, then value);
    /// a result replaces the first.
    private func emitPreservingCall(_ asm: inout Assembler, target: UInt64, arguments: Int, size: Int,
                                    result: Bool) -> UnsafeMutablePointer<UInt8> {
        asm.align(16)
        let thunk = asm.at
        let saved: [UInt8] = [GPR.rax, GPR.rcx, GPR.rdx, GPR.rsi, GPR.rdi, GPR.r8, GPR.r9, GPR.r10, GPR.r11, GPR.rbx]
        for register in saved { asm.push(register) }
        let width = hasVectors ? 16 : 8
        asm.lea(GPR.rsp, .mem(GPR.rsp, -Int32(16 * width)))
        for register in UInt8(0)..<16 {
            asm.vectorStore(.mem(GPR.rsp, Int32(register) * Int32(width)), register, size: width)
        }
        let frame = Int32(16 * width + saved.count * 8)
        mxcsr(&asm, store: true, StateLayout.guestMXCSR)
        mxcsr(&asm, store: false, StateLayout.hostMXCSR)
        asm.load(GPR.rax, .mem(GPR.rsp, frame))
        asm.store(.state(StateLayout.exitHostPC), GPR.rax)
        asm.storeImmediate(.state(StateLayout.helperExit), 0, wide: false)
        if arguments > 0 { asm.load(GPR.rsi, .mem(GPR.rsp, frame + 8)) }
        if arguments > 1 { asm.load(GPR.rcx, .mem(GPR.rsp, frame + 16)) }
        asm.movImmediate(GPR.rdx, Int64(1 << size))
        asm.lea(GPR.rdi, .mem(GPR.rbp, -Int32(StateLayout.bias)))
        asm.mov(GPR.rbx, GPR.rsp)
        asm.alu(ALU.and, .reg(GPR.rsp), immediate: -16)
        asm.movImmediate(GPR.rax, Int64(bitPattern: target))
        asm.callIndirect(.reg(GPR.rax))
        asm.mov(GPR.rsp, GPR.rbx)
        if result { asm.store(.mem(GPR.rsp, frame + 8), GPR.rax) }
        mxcsr(&asm, store: false, StateLayout.guestMXCSR)
        for register in UInt8(0)..<16 {
            asm.vectorLoad(register, .mem(GPR.rsp, Int32(register) * Int32(width)), size: width)
        }
        asm.lea(GPR.rsp, .mem(GPR.rsp, Int32(16 * width)))
        for register in saved.reversed() { asm.pop(register) }
        asm.alu(ALU.cmp, .state(StateLayout.helperExit), immediate: 0, wide: false)
        let leave = asm.jcc(CC.ne)
        asm.ret()
        Assembler.patch(leave, to: asm.at)
        asm.load(GPR.rax, .state(StateLayout.helperExit), wide: false)
        asm.store(.state(StateLayout.exitKind), GPR.rax, wide: false)
        asm.jmp(to: faultExit)
        return thunk
    }

    /// An access that a check shared with others has refused may well be a hit by itself: looks into a set of the TLB
    /// before it calls. Operands as `emitPreservingCall`.
    private func emitQuickAccess(_ asm: inout Assembler, size: Int, set: Int, isWrite: Bool,
                                 otherwise: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
        asm.align(16)
        let thunk = asm.at
        let field = StateLayout.tlb + set * StateLayout.tlbCount * StateLayout.tlbEntrySize - StateLayout.bias
        // Above the two registers: return address, guest address, value.
        let address = RM.mem(GPR.rsp, 24), value = RM.mem(GPR.rsp, 32)
        asm.push(GPR.rax)
        asm.push(GPR.rcx)
        asm.load(GPR.rax, address)
        asm.rorx(GPR.rcx, .reg(GPR.rax), by: 7, wide: true)
        asm.alu(ALU.and, .reg(GPR.rcx), immediate: Int32((StateLayout.tlbCount - 1) * StateLayout.tlbEntrySize),
                wide: false)
        asm.alu(ALU.xor, GPR.rax, .indexed(GPR.rbp, GPR.rcx, scale: 0, Int32(field + (isWrite ? 8 : 0))))
        asm.alu(ALU.cmp, .reg(GPR.rax), immediate: Int32(4096 - (1 << size)))
        let miss = asm.jcc(CC.a)
        asm.load(GPR.rcx, .indexed(GPR.rbp, GPR.rcx, scale: 0, Int32(field + 16)))
        asm.alu(ALU.add, GPR.rcx, address)
        for half in 0..<(size == 4 ? 2 : 1) {
            let bytes = RM.mem(GPR.rcx, Int32(half * 8))
            let other = size == 4 ? RM.state(StateLayout.vectorScratch + half * 8) : isWrite ? value : address
            if isWrite {
                asm.load(GPR.rax, other)
                switch size {
                case 0: asm.op(0x88, wide: false, GPR.rax, bytes)
                case 1:
                    asm.byte(0x66)
                    asm.store(bytes, GPR.rax, wide: false)
                default: asm.store(bytes, GPR.rax, wide: size >= 3)
                }
            } else {
                switch size {
                case 0: asm.extend(0xB6, GPR.rax, bytes, wide: false)
                case 1: asm.extend(0xB7, GPR.rax, bytes, wide: false)
                default: asm.load(GPR.rax, bytes, wide: size >= 3)
                }
                asm.store(other, GPR.rax)
            }
        }
        asm.pop(GPR.rcx)
        asm.pop(GPR.rax)
        asm.ret()
        Assembler.patch(miss, to: asm.at)
        asm.pop(GPR.rcx)
        asm.pop(GPR.rax)
        asm.jmp(to: otherwise)
        return thunk
    }
}
