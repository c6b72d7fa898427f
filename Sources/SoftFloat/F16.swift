// binary16 as a format to convert to and from (x86 F16C).
//
// Spec: IEEE 754-2019 §3.6 (binary16), §5.4.2. Absent: arithmetic, which no guest instruction has.

/// Conversions of binary16 bit patterns. Every one obeys `env` and adds the exceptions it meets to `env.flags`.
public enum F16 {
    /// The F16 bit pattern `a` as binary32: exact.
    public static func toF32(_ a: UInt16, _ env: inout FloatEnvironment) -> UInt32 {
        UInt32(truncatingIfNeeded: Arithmetic<Binary32>.convert(UInt64(a), from: Binary16.self, &env))
    }

    /// The F32 bit pattern `a`, rounded; a NaN follows `env.nanRule`.
    public static func fromF32(_ a: UInt32, _ env: inout FloatEnvironment) -> UInt16 {
        UInt16(truncatingIfNeeded: Arithmetic<Binary16>.convert(UInt64(a), from: Binary32.self, &env))
    }
}
