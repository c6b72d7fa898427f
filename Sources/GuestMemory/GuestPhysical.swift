// Address kinds. A bare UInt64 never crosses an API as an address.

/// A guest-physical address.
public struct GuestPhysical: Hashable, Comparable, Sendable {
    public var value: UInt64
    @inlinable public init(_ value: UInt64) { self.value = value }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
    @inlinable public static func + (a: Self, offset: UInt64) -> Self { Self(a.value &+ offset) }
}

/// A guest-virtual address.
public struct GuestVirtual: Hashable, Comparable, Sendable {
    public var value: UInt64
    @inlinable public init(_ value: UInt64) { self.value = value }
    @inlinable public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
    @inlinable public static func + (a: Self, offset: UInt64) -> Self { Self(a.value &+ offset) }
}
