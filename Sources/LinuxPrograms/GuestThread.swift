// One guest thread: its CPU, its signal state, and the loop that carries it between guest code and system calls.

import CHost
import Glibc
import TranslatedCPU

/// Dispositions of all signals. A table of its own per process, and per vfork child while that shares our memory.
typealias SignalActions = UnsafeMutablePointer<GuestSignalAction>

/// A guest thread on the host thread that made it.
final class GuestThread {
    let process: GuestProcess
    let cpu: UserCPU
    let registers: UnsafeMutableRawPointer
    let abi: any LinuxABI
    /// The host call behind each number of the guest's.
    private let calls: [SystemCall]
    /// Signal state shared with the host's signal handler.
    let state: UnsafeMutablePointer<guise_thread>
    var actions: SignalActions
    var alternateStack = AlternateStack()
    /// Mask of sigsuspend, ppoll and friends that was in force when the signal came.
    var temporaryMask: UInt64?
    /// Whether pages with translated code may be write-protected on the host, as the engine does without an instruction fence.
    let watchesWrites: Bool
    /// What the last fault was.
    var trap = TrapRecord()
    /// Word to clear and wake when the thread ends.
    var clearChildTID: UInt64 = 0
    /// Head of the robust futex list, as given to the kernel.
    var robustList: UInt64 = 0
    /// Set while this is a vfork child on its parent's memory: the stack the parent's host frames are on is untouchable.
    var isVforkChild = false
    /// Whether the host thread came from pthread_create, so that it ends by returning.
    var isSpawned = false
    /// Set when the thread has to leave its loop.
    private var ended = false

    init(process: GuestProcess, cpu: UserCPU, actions: SignalActions) {
        self.process = process
        self.cpu = cpu
        self.actions = actions
        registers = cpu.registers
        abi = process.abi
        calls = abi.calls
        watchesWrites = !process.engine.architecture.hasInstructionFence
        state = .allocate(capacity: 1)
        memset(state, 0, MemoryLayout<guise_thread>.size)
        let informationSize = (GuestThread.signalCount + 1) * 128
        state.pointee.info = .allocate(capacity: informationSize)
        state.pointee.info.initialize(repeating: 0, count: informationSize)
    }

    deinit {
        state.pointee.info.deallocate()
        state.deallocate()
    }

    /// Makes the record the one the host's handler uses on this thread.
    func bind() {
        state.pointee.cpu = registers
        guise_thread_bind(state)
    }

    /// Ends the loop of a thread that came from pthread_create.
    func finish() { ended = true }

    /// Runs guest code until the thread ends; a whole process ends by its last system call instead.
    func run() {
        while !ended {
            if state.pointee.pending != 0 { deliverSignals() }
            switch cpu.run() {
            case .systemCall: systemCall()
            case .interrupted: break
            case .memoryFault(let address, let access):
                memoryFault(address, access)
            case let exit:
                // An exception the ABI does not know cannot be the guest's doing; it dies as by the kernel's bad_trap.
                if let f = abi.fault(exit, self) { fault(f) } else { forceFatal(SIGSEGV) }
            }
        }
    }

    private func systemCall() {
        let number = abi.callNumber(registers)
        let arguments = abi.callArguments(registers)
        let call = number < UInt64(calls.count) ? calls[Int(number)] : .unassigned
        var result: CallResult
        if let log = process.log, log.systemCalls {
            log.enter(call, number, arguments)
            result = abi.perform(call, arguments, self)
            log.leave(call, number, arguments, result)
        } else {
            result = abi.perform(call, arguments, self)
        }
        // The kernel does not fault where a page with translated code is in its way.
        if watchesWrites, case .value(failure(EFAULT)) = result, process.engine.makeWritable(start: 0, length: .max) {
            result = abi.perform(call, arguments, self)
        }
        switch result {
        case .value(restartCall): break
        case .value(let value): abi.finishCall(registers, result: value)
        case .registersReplaced: break
        }
    }

    /// The signal for an access the host refused: by the guest's own map, not the host's.
    private func memoryFault(_ address: UInt64, _ access: MemoryAccess) {
        let mapErr: Int32 = 1, accErr: Int32 = 2, busAdrErr: Int32 = 2
        if access == .execute, abi.enterFixedCode(self) { return }
        let generalProtection = 13
        if address == unknownFaultAddress, let f = abi.fault(.exception(vector: generalProtection, errorCode: 0), self) {
            return fault(f)
        }
        func signal(_ number: Int32, _ code: Int32, isMapped: Bool) {
            fault(ProgramFault(
                signal: number, code: code, address: address,
                trap: abi.trap(access: access, address: address, isMapped: isMapped)))
        }
        guard let region = process.space.region(at: address) else { return signal(SIGSEGV, mapErr, isMapped: false) }
        let needed: PageProtection = access == .execute ? .execute : access == .write ? .write : .read
        if needed == .read ? region.protection.isEmpty : !region.protection.contains(needed) {
            return signal(SIGSEGV, accErr, isMapped: true)
        }
        if region.kind == .stack { return signal(SIGSEGV, mapErr, isMapped: false) }
        signal(SIGBUS, busAdrErr, isMapped: false)
    }
}

/// What a system call left.
enum CallResult {
    /// A value or -errno for the result register.
    case value(Int)
    /// The registers are new as a whole: sigreturn.
    case registersReplaced
}
