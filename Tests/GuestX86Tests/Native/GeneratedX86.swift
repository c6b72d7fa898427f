// Generated code for experiments: an engine for programs whose guest is one page of code.

import CX86Native
import GuestX86
import Synchronization
@testable import TranslatedCPU
@testable import Translator

/// An engine and its CPU.
final class GeneratedX86 {
    let engine: UserEngine
    let cpu: UserCPU
    private let code: UInt64, size: Int

    init(front: X86Front, code: UInt64, size: Int, registersInMemory: Bool) throws {
        var options = EngineOptions()
        options.engine = .translate
        options.registersInMemory = registersInMemory
        options.cacheSize = 8 << 20
        // The page of code is replaced from outside, which is declared each time.
        let architecture = ProgramArchitecture(front: front, hasInstructionFence: true, unitBytesMax: 64 * 15) {
            X86State($0).mode = .program64
        }
        engine = try UserEngine(architecture: architecture, options: options)
        engine.executableBytes = { $0 >= code && $0 < code + UInt64(size) ? Int(code) + size - Int($0) : 0 }
        cpu = try engine.makeCPU()
        self.code = code
        self.size = size
        Self.engines.withLock { $0.append(engine) }
        x86_native_set_hook { rip, rbp, address, isWrite, eflags, vector in
            guard let rip else { return 0 }
            return GeneratedX86.redirect(rip, rbp, address, isWrite != 0, eflags, Int(vector)) ? 1 : 0
        }
    }

    deinit { cpu.retire() }

    func run() -> UserExit {
        engine.codeChanged(start: code, length: UInt64(size))
        return cpu.run()
    }

    /// Engines live as long as the process: faults are looked up in them.
    private static let engines = Mutex<[UserEngine]>([])

    /// What the engine's own fault handler does, for many engines.
    private static func redirect(_ rip: UnsafeMutablePointer<UInt64>, _ rbp: UInt64, _ address: UInt64, _ isWrite: Bool,
                                 _ eflags: UInt64, _ vector: Int) -> Bool {
        for engine in engines.withLock({ $0 }) where engine.runtime.containsCode(rip.pointee) {
            guard let position = engine.runtime.guestPosition(hostAddress: rip.pointee),
                  let state = UnsafeMutableRawPointer(bitPattern: UInt(rbp) &- UInt(StateLayout.bias)) else { return false }
            if position.flagsInHost { StateLayout.storeStatusFlags(state, eflags: eflags) }
            // Non-canonical addresses are #GP, which has no address.
            let pageFault = 14
            let kind: ExitKind = vector == pageFault ? .memoryFault : .exception(vector)
            state.storeBytes(of: position.pc, toByteOffset: StateLayout.pc, as: UInt64.self)
            state.storeBytes(of: kind.rawValue, toByteOffset: StateLayout.exitKind, as: UInt32.self)
            // As programs report #GP: at an address that nothing can be mapped at.
            let generalProtection = 13
            let place = vector == generalProtection ? 1 << 63 : address
            state.storeBytes(of: place, toByteOffset: StateLayout.exitAddress, as: UInt64.self)
            state.storeBytes(of: isWrite ? 1 : 0, toByteOffset: StateLayout.exitAccess, as: UInt32.self)
            rip.pointee = engine.runtime.faultExitAddress
            return true
        }
        return false
    }
}
