// Runs one experiment on the host's processor, in the interpreter and in generated code, on the same addresses.

import CHost
import CX86Native
import Glibc
import IR
import Synchronization
import Testing
import TranslatedCPU
@testable import GuestX86
@testable import Translator

/// Memory for experiments, and the executors. Instances are independent and each is used by one thread at a time.
final class X86Harness {
    /// One page of code and `dataSize` bytes of data below 4 GiB, each with unmapped pages around.
    let code: UInt64
    let data: UInt64
    static let dataSize = 8192
    private static let codeSize = 4096
    /// Where RSP and memory operands best point.
    var middle: UInt64 { data + UInt64(Self.dataSize / 2) }

    static let names = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"]

    private static let nextRegion = Atomic<Int>(0)
    private static let firstRegion: UInt64 = 0x2000_0000
    private static let regionSize: UInt64 = 0x10_0000

    let front: X86Front
    private let block: UnsafeMutableRawPointer
    private let interpreter: Interpreter
    private let builder: Builder

    init(front: X86Front = X86Front(features: .all)) throws {
        self.front = front
        let region = Self.firstRegion
            + UInt64(Self.nextRegion.wrappingAdd(1, ordering: .relaxed).oldValue) * Self.regionSize
        code = region + 0x10000
        data = region + 0x40000
        for (address, size) in [(code, Self.codeSize), (data, Self.dataSize)] {
            let wanted = UnsafeMutableRawPointer(bitPattern: UInt(address))
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
            let mapped = mmap(wanted, size, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0)
            try #require(mapped == wanted, "no memory at \(address)")
        }
        block = .allocate(byteCount: StateLayout.size, alignment: 4096)
        interpreter = Interpreter(front: front, memory: .identity)
        builder = Builder(unit: Unit(), globals: front.globals)
        try #require(x86_native_install() == 0)
    }

    /// A CPU that runs generated code, and its state block.
    private var translated: GeneratedX86?

    deinit {
        munmap(UnsafeMutableRawPointer(bitPattern: UInt(code)), Self.codeSize)
        munmap(UnsafeMutableRawPointer(bitPattern: UInt(data)), Self.dataSize)
        block.deallocate()
    }

    private var codePointer: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: UInt(code))! }
    private var dataPointer: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: UInt(data))! }

    private func prepare(_ experiment: X86Case) {
        let int3: Int32 = 0xCC
        memset(codePointer, int3, Self.codeSize)
        experiment.code.withUnsafeBytes { (codePointer + experiment.offset).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        memset(dataPointer, 0, Self.dataSize)
        if !experiment.data.isEmpty {
            experiment.data.withUnsafeBytes { dataPointer.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
        }
    }

    private func collectData() -> [UInt8] { Array(UnsafeRawBufferPointer(start: dataPointer, count: Self.dataSize)) }

    // MARK: the processor

    private static let int3: Int = 3, pageFault = 14, generalProtection = 13
    static let comparedFlags = EFlags.status | EFlags.df

    func native(_ experiment: X86Case) throws -> X86Outcome {
        prepare(experiment)
        var native = x86_native_case()
        withUnsafeMutableBytes(of: &native.gpr) { gpr in
            experiment.before.general.withUnsafeBytes { gpr.copyMemory(from: $0) }
        }
        native.rip = code + UInt64(experiment.offset)
        native.rflags = UInt64(experiment.before.flags)
        native.cs = experiment.is64 ? 0x33 : 0x23
        native.has_ymm = 1
        withUnsafeMutableBytes(of: &native.fxsave) { FXSaveImage.write(experiment.before, $0.baseAddress!) }
        withUnsafeMutableBytes(of: &native.ymm_high) { high in
            experiment.before.ymmHigh.withUnsafeBytes { high.copyMemory(from: $0) }
        }
        try #require(x86_native_run(&native) == 0)
        var outcome = X86Outcome()
        withUnsafeBytes(of: &native.fxsave) { FXSaveImage.read(&outcome.registers, $0.baseAddress!) }
        withUnsafeBytes(of: &native.ymm_high) { outcome.registers.ymmHigh = Array($0) }
        withUnsafeBytes(of: &native.gpr) { outcome.registers.general = Array($0.assumingMemoryBound(to: UInt64.self)) }
        outcome.registers.flags = UInt32(truncatingIfNeeded: native.rflags) & Self.comparedFlags
        outcome.vector = Int(native.vector)
        outcome.pc = native.rip
        if outcome.vector == Self.pageFault {
            outcome.address = native.address
            outcome.isWrite = native.error & 2 != 0
        }
        outcome.data = collectData()
        return outcome
    }

    // MARK: our executors

    /// Puts the registers of an experiment into a state block that is otherwise fit to run.
    private func load(_ experiment: X86Case, _ block: UnsafeMutableRawPointer) {
        let state = X86State(block)
        let before = experiment.before
        for number in 0..<16 { state.setRegister(number, before.general[number]) }
        // As in every process, interrupts are enabled.
        state.eflags = before.flags | EFlags.interrupt
        state.xcr0 = XCR0.x87 | XCR0.sse | XCR0.avx
        state.mode = experiment.is64 ? .program64 : .program32
        if before.mxcsr & 0x1F80 != 0x1F80 { state.mode = Mode(rawValue: state.mode.rawValue | Mode.simdTraps) }
        before.xmm.withUnsafeBytes { (block + X86Layout.xmm(0)).copyMemory(from: $0.baseAddress!, byteCount: 256) }
        before.ymmHigh.withUnsafeBytes { (block + X86Layout.ymmHigh(0)).copyMemory(from: $0.baseAddress!, byteCount: 256) }
        block.storeBytes(of: before.mxcsr, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        block.storeBytes(of: before.control, toByteOffset: X86Layout.x87Control, as: UInt16.self)
        block.storeBytes(of: before.status, toByteOffset: X86Layout.x87Status, as: UInt16.self)
        block.storeBytes(of: before.tags, toByteOffset: X86Layout.x87Tags, as: UInt8.self)
        let top = Int(before.status >> 11 & 7)
        before.stack.withUnsafeBytes { stack in
            for number in 0..<8 {
                (block + X86Layout.x87Registers + ((number + top) & 7) * 16)
                    .copyMemory(from: stack.baseAddress! + number * 16, byteCount: 10)
            }
        }
        state.pc = code + UInt64(experiment.offset)
    }

    private func collect(_ kind: ExitKind, _ block: UnsafeMutableRawPointer) -> X86Outcome {
        let state = X86State(block)
        var outcome = X86Outcome()
        outcome.registers.general = (0..<16).map(state.register)
        outcome.registers.flags = state.eflags & Self.comparedFlags
        outcome.registers.xmm = Array(UnsafeRawBufferPointer(start: block + X86Layout.xmm(0), count: 256))
        outcome.registers.ymmHigh = Array(UnsafeRawBufferPointer(start: block + X86Layout.ymmHigh(0), count: 256))
        outcome.registers.mxcsr = block.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self)
        outcome.registers.control = block.load(fromByteOffset: X86Layout.x87Control, as: UInt16.self)
        outcome.registers.status = block.load(fromByteOffset: X86Layout.x87Status, as: UInt16.self)
        outcome.registers.tags = block.load(fromByteOffset: X86Layout.x87Tags, as: UInt8.self)
        let top = Int(outcome.registers.status >> 11 & 7)
        for number in 0..<8 {
            let source = block + X86Layout.x87Registers + ((number + top) & 7) * 16
            outcome.registers.stack.withUnsafeMutableBytes {
                ($0.baseAddress! + number * 16).copyMemory(from: source, byteCount: 10)
            }
        }
        outcome.pc = state.pc
        describe(kind, &outcome, block)
        outcome.data = collectData()
        return outcome
    }

    /// The exception an exit stands for.
    private func describe(_ kind: ExitKind, _ outcome: inout X86Outcome, _ block: UnsafeMutableRawPointer) {
        let address = block.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self)
        if let vector = kind.exceptionVector {
            outcome.vector = vector
        } else if kind == .memoryFault {
            let isCanonical = UInt64(bitPattern: Int64(bitPattern: address << 16) >> 16) == address
            outcome.vector = isCanonical ? Self.pageFault : Self.generalProtection
            if isCanonical {
                outcome.address = address
                outcome.isWrite = block.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self) == 1
            }
        } else if kind == .misaligned {
            outcome.vector = Self.generalProtection
        }
        if outcome.vector == Self.pageFault, kind.exceptionVector != nil {
            outcome.address = X86State(block).cr2
            outcome.isWrite = address & 2 != 0
        }
    }

    /// Runs units made by the front until something other than the next unit is wanted.
    /// - Parameter run: executes `builder.unit` on the state block.
    private func run(_ experiment: X86Case, unitLimit: Int, _ run: (Unit, UnsafeMutableRawPointer) throws -> ExitKind) rethrows
        -> X86Outcome {
        prepare(experiment)
        memset(block, 0, StateLayout.size)
        load(experiment, block)
        let state = X86State(block)
        for _ in 0..<10_000 {
            let start = state.pc, mode = state.mode.rawValue
            guard start >= code, start < code + UInt64(Self.codeSize) else {
                var outcome = collect(.none, block)
                outcome.vector = Self.pageFault
                outcome.address = start
                return outcome
            }
            builder.begin(start: start, mode: mode, rounding: front.rounding(mode: mode))
            _ = front.lift(builder, start: start, mode: mode, code: UnsafeRawPointer(bitPattern: UInt(start))!,
                           available: Int(code) + Self.codeSize - Int(start), limit: unitLimit)
            block.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
            let kind = try run(builder.unit, block)
            block.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
            if kind != .lookup, kind != .link, kind != .none { return collect(kind, block) }
        }
        return collect(.none, block)
    }

    func interpreted(_ experiment: X86Case, unitLimit: Int = 64, eliminatesDeadCode: Bool = false) -> X86Outcome {
        run(experiment, unitLimit: unitLimit) { unit, block in
            if eliminatesDeadCode { DeadCode.eliminate(unit, globalCount: front.globals.count) }
            return interpreter.run(unit, state: block)
        }
    }

    /// Runs generated code.
    /// - Parameter registersInMemory: the oracle mode of the generator; the choice of the first call stays.
    func generated(_ experiment: X86Case, registersInMemory: Bool = false) throws -> X86Outcome {
        if translated == nil {
            translated = try GeneratedX86(front: front, code: code, size: Self.codeSize, registersInMemory: registersInMemory)
        }
        guard let translated else { preconditionFailure("just made") }
        prepare(experiment)
        let registers = translated.cpu.registers
        load(experiment, registers)
        switch translated.run() {
        case let .exception(vector, errorCode):
            registers.storeBytes(of: errorCode, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
            return collect(.exception(vector), registers)
        case let .memoryFault(address, access):
            registers.storeBytes(of: address, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
            registers.storeBytes(of: access.rawValue, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
            return collect(.memoryFault, registers)
        case .misaligned: return collect(.misaligned, registers)
        default: return collect(.none, registers)
        }
    }

    /// The IR of the first unit, for messages.
    func text(_ experiment: X86Case) -> String {
        prepare(experiment)
        let mode = (experiment.is64 ? Mode.program64 : .program32).rawValue
        let start = code + UInt64(experiment.offset)
        builder.begin(start: start, mode: mode, rounding: .nearestEven)
        _ = front.lift(builder, start: start, mode: mode, code: UnsafeRawPointer(codePointer + experiment.offset),
                       available: Self.codeSize - experiment.offset, limit: 64)
        return Printer.print(builder.unit, globals: front.globals)
    }
}

/// The x87 and SSE state as FXSAVE64 lays it out.
enum FXSaveImage {
    static func write(_ registers: X86Registers, _ image: UnsafeMutableRawPointer) {
        memset(image, 0, 512)
        image.storeBytes(of: registers.control, as: UInt16.self)
        image.storeBytes(of: registers.status, toByteOffset: 2, as: UInt16.self)
        image.storeBytes(of: registers.tags, toByteOffset: 4, as: UInt8.self)
        image.storeBytes(of: registers.mxcsr, toByteOffset: 24, as: UInt32.self)
        registers.stack.withUnsafeBytes { (image + 32).copyMemory(from: $0.baseAddress!, byteCount: 128) }
        registers.xmm.withUnsafeBytes { (image + 160).copyMemory(from: $0.baseAddress!, byteCount: 256) }
    }

    static func read(_ registers: inout X86Registers, _ image: UnsafeRawPointer) {
        registers.control = image.load(as: UInt16.self)
        registers.status = image.load(fromByteOffset: 2, as: UInt16.self)
        registers.tags = image.load(fromByteOffset: 4, as: UInt8.self)
        registers.mxcsr = image.load(fromByteOffset: 24, as: UInt32.self)
        registers.stack = Array(UnsafeRawBufferPointer(start: image + 32, count: 128))
        for number in 0..<8 { for byte in 10..<16 { registers.stack[number * 16 + byte] = 0 } }
        registers.xmm = Array(UnsafeRawBufferPointer(start: image + 160, count: 256))
    }
}
