// The engine of one machine: what its vCPUs share. RAM, devices, translations, the identities of code pages, and
// bringing the vCPUs to a halt together. Which pages hold code is in CodePages.swift.

import Bus
import CHost
import Glibc
import GuestMemory
import Translator

/// A page of code as some privilege sees it: the key of its identity.
struct CodePage: Hashable {
    var virtualPage: UInt64
    var physicalPage: UInt64
    /// What of the mode decides which fetches are allowed, see `MachineCPU.view`.
    var view: UInt32
    /// Physical page of the second half of a straddling instruction, or all ones.
    var secondPhysicalPage: UInt64 = .max
}

/// Shared by all vCPUs of a machine.
public final class MachineEngine: @unchecked Sendable {
    public let ram: GuestRAM
    public let bus: Bus
    /// The architecture of the vCPUs.
    public let front: any GuestFront
    let runtime: TranslationRuntime
    let options: EngineOptions
    /// Guest-physical address of the HTIF mailbox, if any.
    let toHost: GuestPhysical?
    let code: CodePages
    let regions: RegionCompiler
    private(set) var cpus: [MachineCPU] = []
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var identities: [CodePage: UInt32] = [:]
    /// What each identity stands for; fixed until a flush, so readers need no lock.
    let codePages: UnsafeMutablePointer<CodePage>
    static let identityLimit = 1 << 18

    /// - Throws: `EngineError` or `HostError`.
    public init(front: any GuestFront, options: EngineOptions, ram: GuestRAM, bus: Bus, toHost: GuestPhysical?) throws {
        if options.engine == .translate && guise_cpu_has_v3() == 0 { throw EngineError.hostTooOld }
        let options = try options.withDebugEnvironment()
        self.options = options
        self.front = front
        self.ram = ram
        self.bus = bus
        self.toHost = toHost
        let translation = options.translation(
            identityMemory: false, interpret: options.engine == .interpret || guise_cpu_has_v3() == 0)
        runtime = try TranslationRuntime(front: front, options: translation, slowLoad: machineSlowLoad,
                                         slowStore: machineSlowStore, slowPointer: machineSlowPointer)
        code = try CodePages(ram: ram, runtime: runtime)
        regions = RegionCompiler(runtime: runtime)
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        codePages = .allocate(capacity: Self.identityLimit)
        runtime.flushed = { [unowned self] in forgetIdentities() }
        ram.codeWritten = { [unowned self] offset, length in code.wasWritten(offset: offset, length: length) }
    }

    deinit {
        HostTraps.remove(runtime)
        codePages.deallocate()
        pthread_mutex_destroy(lock)
        lock.deallocate()
    }

    func join(_ cpu: MachineCPU) {
        pthread_mutex_lock(lock)
        cpus.append(cpu)
        pthread_mutex_unlock(lock)
    }

    /// The identity of a code page; nil when there are too many and the caller must flush.
    func identity(_ page: CodePage) -> UInt32? {
        pthread_mutex_lock(lock)
        defer { pthread_mutex_unlock(lock) }
        if let known = identities[page] { return known }
        let fresh = identities.count + 1
        guard fresh < Self.identityLimit else { return nil }
        (codePages + fresh).initialize(to: page)
        identities[page] = UInt32(fresh)
        return UInt32(fresh)
    }

    /// During a flush: nobody runs generated code.
    private func forgetIdentities() {
        pthread_mutex_lock(lock)
        identities.removeAll(keepingCapacity: true)
        for cpu in cpus { memset(cpu.state + StateLayout.itlb, 0, StateLayout.itlbCount * 4) }
        pthread_mutex_unlock(lock)
    }

    /// Marks a page as holding code, before its bytes are read for translation: from now on writes to it are noticed.
    ///
    /// Another vCPU may have looked into its TLB before the mark and not yet have stored. Nobody waits for it: it is asked
    /// to come out, and when all have been out, what was translated meanwhile is compared with memory again (`settle`).
    func protectCode(physicalPage: UInt64, by cpu: MachineCPU) {
        guard code.mark(physicalPage) else { return }
        pthread_mutex_lock(lock)
        for cpu in cpus { cpu.tlb.protect(physicalPage: physicalPage) }
        if cpus.count > 1 {
            var running: UInt64 = 0
            for (number, other) in cpus.enumerated() where other !== cpu && other.isRunning {
                running |= 1 << UInt64(number & 63)
                other.askToSettle()
            }
            if running != 0 { unsettled.append((physicalPage, running)) }
        }
        pthread_mutex_unlock(lock)
    }

    /// Pages that became code, and the vCPUs that may have a store to them under way.
    private var unsettled: [(page: UInt64, waitingFor: UInt64)] = []

    /// A vCPU is outside generated code: its stores have happened.
    func settle(_ cpu: MachineCPU) {
        pthread_mutex_lock(lock)
        var ready: [UInt64] = []
        if let number = cpus.firstIndex(where: { $0 === cpu }) {
            for index in unsettled.indices { unsettled[index].waitingFor &= ~(1 << UInt64(number & 63)) }
            ready = unsettled.filter { $0.waitingFor == 0 }.map(\.page)
            unsettled.removeAll { $0.waitingFor == 0 }
        }
        pthread_mutex_unlock(lock)
        for page in ready { code.verify(page) }
    }
}
