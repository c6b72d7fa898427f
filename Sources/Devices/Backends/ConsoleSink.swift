// Where a console's output goes.

/// Takes a console's output.
public protocol ConsoleSink: AnyObject {
    /// Takes bytes in the order of the calls. Callable on any thread; must not wait for the guest.
    func write(_ bytes: UnsafeRawBufferPointer)
    /// Whether more output is welcome now. After a no, whoever owns the sink calls `VirtioConsole.outputReady`.
    var hasRoom: Bool { get }
}

extension ConsoleSink {
    public var hasRoom: Bool { true }
}
