// The engine of one machine: what its vCPUs share. RAM, devices, translations, and the identities of code pages.

import Bus
import CHost
import Glibc
import GuestMemory
import GuestRISCV
import Translator

/// A page of code as some privilege sees it: the key of its identity.
struct CodePage: Hashable {
    var virtualPage: UInt64
    var physicalPage: UInt64
    /// Privilege and paging bits of the mode word.
    var view: UInt32
    /// Physical page of the second half of a straddling instruction, or all ones.
    var secondPhysicalPage: UInt64 = .max
}

/// Shared by all vCPUs of a machine.
public final class MachineEngine: @unchecked Sendable {
    public let ram: GuestRAM
    public let bus: Bus
    let runtime: TranslationRuntime
    let front: RISCVFront
    let options: EngineOptions
    /// Guest-physical address of the HTIF mailbox, if any.
    let toHost: GuestPhysical?
    private var cpus: [MachineCPU] = []
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var identities: [CodePage: UInt32] = [:]
    /// What each identity stands for; fixed until a flush, so readers need no lock.
    let codePages: UnsafeMutablePointer<CodePage>
    static let identityLimit = 1 << 18

    /// - Throws: `EngineError` or `HostError`.
    public init(options: EngineOptions, ram: GuestRAM, bus: Bus, toHost: GuestPhysical?) throws {
        if options.engine == .translate && guise_cpu_has_v3() == 0 { throw EngineError.hostTooOld }
        let options = try options.withDebugEnvironment()
        self.options = options
        self.ram = ram
        self.bus = bus
        self.toHost = toHost
        front = RISCVFront()
        let translation = options.translation(
            identityMemory: false, interpret: options.engine == .interpret || guise_cpu_has_v3() == 0)
        runtime = try TranslationRuntime(front: front, options: translation, slowLoad: machineSlowLoad,
                                         slowStore: machineSlowStore, slowPointer: machineSlowPointer)
        lock = .allocate(capacity: 1)
        pthread_mutex_init(lock, nil)
        codePages = .allocate(capacity: Self.identityLimit)
        runtime.flushed = { [unowned self] in forgetIdentities() }
        ram.codeWritten = { [unowned self] offset, length in codeWritten(offset: offset, length: length) }
    }

    deinit {
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
    func protectCode(physicalPage: UInt64) {
        let index = Int((physicalPage &- ram.start.value) >> 12)
        guard ram.codePages[index] == 0 else { return }
        pthread_mutex_lock(lock)
        ram.codePages[index] = 1
        for cpu in cpus { cpu.tlb.protect(physicalPage: physicalPage) }
        pthread_mutex_unlock(lock)
    }

    /// Somebody wrote to a page that holds code.
    private func codeWritten(offset: UInt64, length: UInt64) {
        runtime.invalidate(start: ram.start.value &+ offset, length: length)
        for page in (offset >> 12)...((offset &+ length &- 1) >> 12) where page < ram.sizeBytes >> 12 {
            ram.codePages[Int(page)] = 0
        }
    }
}
