// The operations on 128-bit vectors: each is an x86 SIMD instruction's meaning on values. One table gives the shape for the
// verifier, the generator and the interpreter.

/// A vector operation.
public enum VectorOperation: UInt16, CaseIterable, Sendable {
    /// a & b on all bits.
    case and
}
