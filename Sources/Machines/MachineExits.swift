// What a machine does when a hart leaves guest code for it: crashes here, the rest by the board.

import Devices
import GuestMemory

extension Machine: HartSupervisor {
    func handle(_ exit: VCPUExit, of hart: Hart) -> HartAction {
        switch exit {
        case .halted, .kicked: return .resume
        case .shutdown(let reason):
            crash("\(kind.processorName) \(hart.cpu.hartID) stopped: \(reason)")
            return .stopped
        case .environmentCall, .hostToTarget: return board.handle(exit, of: hart)
        }
    }

    /// The guest can go no further.
    private func crash(_ what: String) {
        environment.message(what)
        switch configuration.onCrash {
        case .stop: power(.fail(code: 1))
        case .reset: power(.reset)
        case .suspend: suspendAfterCrash()
        }
    }
}

extension BoardKind {
    /// What a vCPU is called in messages.
    var processorName: String {
        switch self {
        case .virt: "Hart"
        case .microvm: "Processor"
        }
    }
}
