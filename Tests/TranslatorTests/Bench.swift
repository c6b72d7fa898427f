// What the translator's tests run units on: eight integer and four float registers, a state block, a scratch buffer,
// and a fault handler for accesses that are meant to fail.

import CHost
import Glibc
import IR
@testable import Translator

/// Registers x0…x7 (i64), f0…f3 (f64) of the test guest.
enum TestGuest {
    static let integerCount = 8
    static let floatCount = 4
    static let globals: [Global] =
        (0..<integerCount).map { Global(name: "x\($0)", type: .i64, offset: StateLayout.integerGlobals + $0 * 8) }
        + (0..<floatCount).map { Global(name: "f\($0)", type: .f64, offset: StateLayout.floatGlobals + $0 * 8) }
        + [Global(name: "flags", type: .flags, offset: StateLayout.statusFlags)]
    /// Number of the first float global.
    static let f0 = integerCount
    /// Number of the global of condition codes.
    static let flags = integerCount + floatCount
}

/// A zeroed state block with its registers as Swift sees them.
final class TestState {
    let block: UnsafeMutableRawPointer

    init() {
        block = .allocate(byteCount: StateLayout.size, alignment: 4096)
        block.initializeMemory(as: UInt8.self, repeating: 0, count: StateLayout.size)
        block.storeBytes(of: UInt64.max, toByteOffset: StateLayout.reservationAddress, as: UInt64.self)
        mxcsr = 0x1F80
    }

    deinit { block.deallocate() }

    /// A global by number.
    subscript(global: Int) -> UInt64 {
        get { block.load(fromByteOffset: TestGuest.globals[global].offset, as: UInt64.self) }
        set { block.storeBytes(of: newValue, toByteOffset: TestGuest.globals[global].offset, as: UInt64.self) }
    }

    var pc: UInt64 { block.load(fromByteOffset: StateLayout.pc, as: UInt64.self) }
    var exitAddress: UInt64 { block.load(fromByteOffset: StateLayout.exitAddress, as: UInt64.self) }
    var exitAccess: UInt32 { block.load(fromByteOffset: StateLayout.exitAccess, as: UInt32.self) }
    var exitKind: UInt32 { block.load(fromByteOffset: StateLayout.exitKind, as: UInt32.self) }
    var reservation: UInt64 { block.load(fromByteOffset: StateLayout.reservationAddress, as: UInt64.self) }
    var mxcsr: UInt32 {
        get { block.load(fromByteOffset: StateLayout.guestMXCSR, as: UInt32.self) }
        set { block.storeBytes(of: newValue, toByteOffset: StateLayout.guestMXCSR, as: UInt32.self) }
    }
}

/// Builds a unit with the builder and runs it in the interpreter.
final class Bench {
    let unit = Unit(capacity: 16)
    let builder: Builder
    let state = TestState()
    let interpreter: Interpreter
    /// Address of every unit built here.
    static let start: UInt64 = 0x10000
    /// Where `finish` jumps to.
    static let end: UInt64 = 0x20000

    init(helpers: [HelperFunction] = [], memory: InterpreterMemory = .identity) {
        builder = Builder(unit: unit, globals: TestGuest.globals)
        interpreter = Interpreter(globals: TestGuest.globals, helpers: helpers, floatRules: .riscv, memory: memory)
    }

    /// Builds and runs a unit that ends with a jump to `Bench.end` unless it ends by itself.
    @discardableResult
    func run(rounding: Rounding = .nearestEven, eliminate: Bool = false, _ build: (Builder) -> Void) -> ExitKind {
        builder.begin(start: Self.start, mode: 0, rounding: rounding)
        builder.instruction(Self.start)
        build(builder)
        if unit.count == 0 || !unit.instructions[unit.count - 1].opcode.isTerminator { builder.jump(Self.end) }
        if eliminate { DeadCode.eliminate(unit, globalCount: TestGuest.globals.count) }
        return interpreter.run(unit, state: state.block)
    }

    /// The value of an i64 expression over the registers.
    func evaluate(rounding: Rounding = .nearestEven, _ build: (Builder) -> ValueID) -> Int64 {
        run(rounding: rounding) { $0.set(7, build($0)) }
        return Int64(bitPattern: state[7])
    }
}

/// Memory for tests: readable and writable pages followed by one that faults.
final class ScratchMemory {
    let base: UnsafeMutableRawPointer
    static let size = 8192

    init() {
        FaultHandler.install
        base = mmap(nil, Self.size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        mprotect(base + Self.size, 4096, PROT_NONE)
    }

    deinit { munmap(base, Self.size + 4096) }

    var address: UInt64 { UInt64(UInt(bitPattern: base)) }
    /// First address that faults.
    var hole: UInt64 { address + UInt64(Self.size) }

    func load<T>(_ offset: Int, as type: T.Type) -> T { base.loadUnaligned(fromByteOffset: offset, as: type) }
    func store<T>(_ value: T, _ offset: Int) { base.storeBytes(of: value, toByteOffset: offset, as: T.self) }
}

/// The process's SIGSEGV handler while tests run: what the engines install, reduced to the access routines and to the
/// one piece of generated code that is running.
enum FaultHandler {
    struct Running {
        var cache: Unmanaged<CodeCache>?
        /// Executable address of the thunk that leaves generated code.
        var faultExit: UInt64
    }

    /// There is one of these, so generated code runs under `exclusively`.
    static let running: UnsafeMutablePointer<Running> = {
        let running = UnsafeMutablePointer<Running>.allocate(capacity: 1)
        running.initialize(to: Running(cache: nil, faultExit: 0))
        return running
    }()

    private static let lock: UnsafeMutablePointer<pthread_mutex_t> = {
        let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        return lock
    }()

    /// Runs `body`, which enters the code of `cache`, while no other test's code runs.
    static func exclusively(_ cache: CodeCache, faultExit: UInt64, _ body: () -> Void) {
        pthread_mutex_lock(lock)
        running.pointee = Running(cache: Unmanaged.passUnretained(cache), faultExit: faultExit)
        body()
        pthread_mutex_unlock(lock)
    }

    /// Offset of `uc_mcontext.gregs` in the x86-64 ucontext, and indices in it.
    private static let gregs = 40
    private static let rbp = 10, rip = 16, efl = 17, err = 19, cr2 = 22
    private static let errWrite: UInt64 = 2

    static let install: Void = {
        _ = running
        var action = sigaction()
        action.sa_flags = SA_SIGINFO
        action.__sigaction_handler.sa_sigaction = { signal, _, context in
            if guise_fixup_fault(context) != 0 { return }
            if let context, FaultHandler.leave(context) { return }
            var fallback = sigaction()
            fallback.__sigaction_handler.sa_handler = SIG_DFL
            sigaction(signal, &fallback, nil)
        }
        sigaction(SIGSEGV, &action, nil)
        sigaction(SIGBUS, &action, nil)
    }()

    /// Turns a fault in generated code into a memory exit.
    private static func leave(_ context: UnsafeMutableRawPointer) -> Bool {
        let registers = (context + gregs).assumingMemoryBound(to: UInt64.self)
        guard let cache = running.pointee.cache?._withUnsafeGuaranteedRef({ $0 }),
              cache.contains(registers[rip]), let position = cache.guestPosition(at: registers[rip]),
              let block = UnsafeMutableRawPointer(bitPattern: UInt(registers[rbp]) - UInt(StateLayout.bias))
        else { return false }
        if position.flagsInHost { StateLayout.storeStatusFlags(block, eflags: registers[efl]) }
        block.storeBytes(of: position.pc, toByteOffset: StateLayout.pc, as: UInt64.self)
        block.storeBytes(of: ExitKind.memoryFault.rawValue, toByteOffset: StateLayout.exitKind, as: UInt32.self)
        block.storeBytes(of: registers[cr2], toByteOffset: StateLayout.exitAddress, as: UInt64.self)
        block.storeBytes(of: registers[err] & errWrite == 0 ? 0 : 1, toByteOffset: StateLayout.exitAccess,
                         as: UInt32.self)
        registers[rip] = running.pointee.faultExit
        return true
    }
}
