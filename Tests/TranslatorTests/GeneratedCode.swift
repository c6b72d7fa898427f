// Runs units as x86-64 code without an engine: one unit at the front of a small code cache, its links unlinked, its
// faults caught. For comparison with the interpreter, and for listings.

import CHost
import Glibc
import IR
@testable import Translator

/// The test guest as a front; it lifts nothing.
final class TestFront: GuestFront {
    let globals: [Global]
    let integerPins: [Int]
    let floatPins: [Int]
    let helpers: [HelperFunction]
    let floatRules = FloatRules.riscv

    init(integerPins: [Int], floatPins: [Int], helpers: [HelperFunction], globals: [Global] = TestGuest.globals) {
        self.globals = globals
        self.integerPins = integerPins
        self.floatPins = floatPins
        self.helpers = helpers
    }

    func rounding(mode: UInt32) -> Rounding { .nearestEven }
    func tlbMode(mode: UInt32) -> Int { 0 }
    func lift(_ builder: Builder, start: UInt64, mode: UInt32, code: UnsafeRawPointer, available: Int,
              limit: Int) -> LiftResult { .needsMoreBytes }
}

/// A code generator with room for one unit.
final class GeneratedCode {
    let cache: CodeCache
    let thunks: Thunks
    private(set) var generator: CodeGenerator
    private let front: TestFront
    private let helperTable: UnsafeMutablePointer<HelperFunction>
    private let position: Int

    /// - Parameters:
    ///   - pinned: globals in host registers; the others live in the state block.
    ///   - memory: identity, or the slow paths behind a soft TLB that starts out empty.
    ///   - globals: the guest's registers.
    ///   - exactFlags: condition codes that processors do not agree on are computed out of line.
    init(pinned: [Int], helpers: [HelperFunction] = [], memory: InterpreterMemory = .identity,
         globals: [Global] = TestGuest.globals, exactFlags: Bool = false) throws {
        cache = try CodeCache(size: 1 << 20)
        let front = TestFront(integerPins: pinned.filter { !globals[$0].type.inVectorRegister && globals[$0].type != .flags },
                              floatPins: pinned.filter { globals[$0].type.inVectorRegister }, helpers: helpers,
                              globals: globals)
        self.front = front
        helperTable = .allocate(capacity: max(1, helpers.count))
        for (index, helper) in helpers.enumerated() { (helperTable + index).initialize(to: helper) }
        func address(_ function: HelperFunction) -> UInt64 {
            UInt64(UInt(bitPattern: unsafeBitCast(function, to: Int.self)))
        }
        var slow: [HelperFunction] = Array(repeating: { _, _, _, _ in 0 }, count: 3)
        var identity = true
        if case let .callbacks(load, store, pointer) = memory {
            slow = [load, store, pointer]
            identity = false
        }
        let targets = ThunkTargets(slowLoad: address(slow[0]), slowStore: address(slow[1]), slowPointer: address(slow[2]),
                                   softFloat: address({ softFloatThunk($0, $1, $2, $3) }),
                                   helpers: UInt64(UInt(bitPattern: helperTable)))
        thunks = Thunks(front: front, at: cache.writable, targets: targets, registersInMemory: pinned.isEmpty)
        generator = CodeGenerator(front: front, unit: Unit(capacity: 1), thunks: thunks,
                                  options: CodeGeneratorOptions(identityMemory: identity,
                                                                registersInMemory: pinned.isEmpty, exactFlags: exactFlags))
        cache.reserveStart(thunks.end - cache.writable)
        position = cache.offset(ofChunk: 0)
        FaultHandler.install
    }

    deinit { helperTable.deallocate() }

    /// Optimises the unit and makes code of it; nil when the generator declines.
    func generate(_ unit: Unit) -> (start: UnsafeMutablePointer<UInt8>, count: Int)? {
        DeadCode.eliminate(unit, globalCount: generator.globalCount, pinned: generator.globalIsPinned)
        generator = CodeGenerator(front: front, unit: unit, thunks: thunks, options: generator.options)
        let start = cache.writable + position
        guard generator.generate(at: start, tlbMode: 0, entryCheck: nil) else { return nil }
        let end = generator.asm.at
        generator.emitLinkStubs(firstLink: 0, cache: cache)
        let length = generator.asm.at - start
        let tableStart = (position + length + 3) & ~3
        generator.copySideTable(to: cache.writable + tableStart)
        var record = UnitRecord(unit: unit, contentHash: 0, context: 0, codeOffset: UInt32(position))
        record.codeLength = UInt32(length)
        record.sideTableCount = UInt16(generator.sideTable.count)
        (cache.units + 0).initialize(to: record)
        cache.setUnitCount(1, ofChunk: 0)
        return (start, end - start)
    }

    /// Runs the unit made last, and says how it ended as the interpreter would.
    func enter(_ state: TestState) -> ExitKind {
        memset(state.block + StateLayout.jumpCache, 0xFF, StateLayout.size - StateLayout.jumpCache)
        state.block.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
        let entry = cache.executable + (thunks.enter - cache.writable)
        let enter = unsafeBitCast(entry, to: (@convention(c) (UnsafeMutableRawPointer, UnsafeRawPointer) -> Void).self)
        let faultExit = UInt64(UInt(bitPattern: cache.executable + (thunks.faultExit - cache.writable)))
        FaultHandler.exclusively(cache, faultExit: faultExit) { enter(state.block, cache.executable + position) }
        func setPC(_ pc: UInt64) { state.block.storeBytes(of: pc, toByteOffset: StateLayout.pc, as: UInt64.self) }
        if state.exitKind == ExitKind.unitStart.rawValue {
            setPC(cache.units[0].start)
            return .lookup
        }
        guard let kind = ExitKind(rawValue: state.exitKind) else { return .none }
        if kind == .link {
            setPC(cache.links[Int(state.block.load(fromByteOffset: StateLayout.exitLink, as: UInt32.self))].target)
            return .lookup
        }
        let requested = state.block.load(fromByteOffset: StateLayout.helperExit, as: UInt32.self)
        if requested != 0 && kind != .lookup {
            let returnAddress = state.block.load(fromByteOffset: StateLayout.exitHostPC, as: UInt64.self)
            setPC(cache.guestPC(at: returnAddress &- 1) ?? 0)
        }
        return kind
    }
}
