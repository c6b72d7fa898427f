// Which conversion a 32-bit call needs: a row, a function, or none. A call that is not named here means the same in 32
// and 64 bits.

import Glibc

extension CompatRow {
    /// The row of a call whose structures alone differ; nil: none.
    static func of(_ call: SystemCall) -> CompatRow? {
        switch call {
        // Descriptors, with offsets of 64 bits in two registers
        case .readv, .writev: CompatRow(call, "dv")
        case .preadv, .pwritev: CompatRow(call, "dvo")
        case .preadv2, .pwritev2: CompatRow(call, "dvo0d")
        case .vmsplice: CompatRow(call, "dvd")
        case .process_vm_readv, .process_vm_writev: CompatRow(call, "dvvd")
        case .process_madvise: CompatRow(call, "dvdd")
        case .pread64, .pwrite64: CompatRow(call, "dddo")
        case .truncate, .ftruncate: CompatRow(call, "ds")
        case .truncate64: CompatRow(.truncate, "do")
        case .ftruncate64: CompatRow(.ftruncate, "do")
        case .fallocate: CompatRow(call, "ddoo")
        case .sync_file_range: CompatRow(call, "dood")
        case .readahead: CompatRow(call, "dod")
        case .fadvise64: CompatRow(call, "dodd")
        case .fadvise64_64: CompatRow(.fadvise64, "dood")
        case .fanotify_mark: CompatRow(call, "ddodd")
        case .sendfile: CompatRow(call, "dd1=d")
        case .sendfile64: CompatRow(.sendfile, "dddd")
        // Times
        case .times: CompatRow(call, "4>")
        case .gettimeofday: CompatRow(call, "2>d")
        case .settimeofday: CompatRow(call, "2<d")
        case .setitimer: CompatRow(call, "d4<4>")
        case .getitimer: CompatRow(call, "d4>")
        case .nanosleep: CompatRow(call, "2<2!")
        case .clock_nanosleep: CompatRow(call, "dd2<2!")
        case .clock_nanosleep_time64: CompatRow(.clock_nanosleep, "ddqd")
        case .clock_gettime, .clock_getres, .sched_rr_get_interval: CompatRow(call, "d2>")
        case .clock_settime: CompatRow(call, "d2<")
        case .clock_gettime64: CompatRow(.clock_gettime, "dd")
        case .clock_getres_time64: CompatRow(.clock_getres, "dd")
        case .clock_settime64: CompatRow(.clock_settime, "dq")
        case .clock_adjtime64: CompatRow(.clock_adjtime, "dd")
        case .sched_rr_get_interval_time64: CompatRow(.sched_rr_get_interval, "dd")
        case .timer_settime, .timerfd_settime: CompatRow(call, "dd4<4>")
        case .timer_gettime, .timerfd_gettime: CompatRow(call, "d4>")
        case .timer_settime64: CompatRow(.timer_settime, "ddyd")
        case .timerfd_settime64: CompatRow(.timerfd_settime, "ddyd")
        case .timer_gettime64: CompatRow(.timer_gettime, "dd")
        case .timerfd_gettime64: CompatRow(.timerfd_gettime, "dd")
        case .utime: CompatRow(call, "d2<")
        case .utimes: CompatRow(call, "d4<")
        case .futimesat: CompatRow(call, "dd4<")
        case .utimensat: CompatRow(call, "dd4<d")
        case .utimensat_time64: CompatRow(.utimensat, "ddyd")
        // Waiting
        case .wait4: CompatRow(call, "dddI+")
        case .ppoll: CompatRow(call, "dd2=dd")
        case .ppoll_time64: CompatRow(.ppoll, "ddQdd")
        case .epoll_pwait2: CompatRow(call, "dddqdd")
        case .futex_waitv: CompatRow(call, "dddqd")
        case .futex_wait: CompatRow(call, "ddddqd")
        case .semtimedop: CompatRow(call, "ddd2<")
        case .semtimedop_time64: CompatRow(.semtimedop, "dddq")
        case .mq_open: CompatRow(call, "ddd8<")
        case .mq_timedsend, .mq_timedreceive: CompatRow(call, "dddd2<")
        case .mq_timedsend_time64: CompatRow(.mq_timedsend, "ddddq")
        case .mq_timedreceive_time64: CompatRow(.mq_timedreceive, "ddddq")
        case .mq_getsetattr: CompatRow(call, "d8<8>")
        // Processes
        case .getrusage: CompatRow(call, "dI>")
        case .setrlimit: CompatRow(call, "dl")
        default: nil
        }
    }
}

extension GuestThread {
    /// Executes one system call of a 32-bit program.
    func performCompat(_ call: SystemCall, _ a: CallArguments) -> CallResult {
        if call == .rt_sigreturn { return signalReturn() }
        if call == .sigreturn { return oldSignalReturn() }
        if call == .socketcall { return socketCall(a) }
        if call == .ipc { return .value(interprocess(a)) }
        if let row = CompatRow.of(call) { return performRow(row, a) }
        if let result = compatFile(call, a) ?? compatProcess(call, a) ?? compatSignal(call, a) ?? compatSocket(call, a)
            ?? compatInterprocess(call, a) {
            return .value(result)
        }
        switch call {
        // Memory the kernel places itself, where a 32-bit program cannot reach it; vm86 and arrays of addresses.
        case .io_setup, .io_submit, .io_getevents, .io_pgetevents, .io_pgetevents_time64, .io_destroy, .io_cancel,
            .move_pages, .vm86, .vm86old, .ustat:
            return .value(failure(ENOSYS))
        default: return perform(call, a)
        }
    }

    /// A shared call with a host buffer among its arguments; its value.
    func inner(_ call: SystemCall, _ a: CallArguments) -> Int {
        guard case .value(let result) = perform(call, a) else { return failure(ENOSYS) }
        return result
    }
}

/// A host pointer as an argument.
func argument(_ pointer: UnsafeMutableRawPointer?) -> UInt64 { UInt64(UInt(bitPattern: pointer)) }

/// The low 32 bits as a signed number, extended.
func signed(_ value: UInt64) -> UInt64 { UInt64(bitPattern: Int64(Int32(truncatingIfNeeded: value))) }
