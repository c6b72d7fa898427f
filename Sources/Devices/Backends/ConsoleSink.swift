// Where a console's output goes.

/// Takes a console's output.
public protocol ConsoleSink: AnyObject {
    /// Takes bytes in the order of the calls. Callable on any thread; must not wait for the guest.
    func write(_ bytes: UnsafeRawBufferPointer)
}
