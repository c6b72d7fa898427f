// A device tree in memory: nodes, properties and phandles, as a board describes itself.
//
// Spec: Devicetree Specification 0.4, §2. Encoding is FlattenedDeviceTree.swift.

/// One node of a device tree. Children and properties keep their order.
public final class DeviceTreeNode {
    /// Node name with its unit address, such as `serial@10000000`; empty for the root.
    public let name: String
    public private(set) var properties: [(name: String, value: [UInt8])] = []
    public private(set) var children: [DeviceTreeNode] = []

    public init(_ name: String) { self.name = name }

    /// Adds a child and returns it.
    @discardableResult
    public func add(_ name: String, _ body: (DeviceTreeNode) -> Void = { _ in }) -> DeviceTreeNode {
        let child = DeviceTreeNode(name)
        children.append(child)
        body(child)
        return child
    }

    /// Sets a property to raw bytes, replacing one of the same name.
    public func set(_ name: String, bytes: [UInt8]) {
        if let index = properties.firstIndex(where: { $0.name == name }) {
            properties[index].value = bytes
        } else {
            properties.append((name, bytes))
        }
    }

    /// Sets an empty property (a truth).
    public func set(_ name: String) { set(name, bytes: []) }

    /// Sets a list of strings.
    public func set(_ name: String, _ strings: String...) { set(name, strings: strings) }

    /// Sets a list of strings.
    public func set(_ name: String, strings: [String]) { set(name, bytes: strings.flatMap { Array($0.utf8) + [0] }) }

    /// Sets 32-bit cells.
    public func set(_ name: String, _ cells: UInt32...) { set(name, cells: cells) }

    /// Sets 32-bit cells.
    public func set(_ name: String, cells: [UInt32]) {
        set(name, bytes: cells.flatMap { cell in withUnsafeBytes(of: cell.bigEndian) { Array($0) } })
    }

    /// Sets 64-bit values, each two cells (`reg` under #address-cells = #size-cells = 2).
    public func set(_ name: String, wide values: UInt64...) {
        set(name, bytes: values.flatMap { value in withUnsafeBytes(of: value.bigEndian) { Array($0) } })
    }

    /// Makes the node a phandle target.
    public func set(phandle: UInt32) { set("phandle", phandle) }

    /// The child of a name, or nil.
    public func child(_ name: String) -> DeviceTreeNode? { children.first { $0.name == name } }

    /// The bytes of a property, or nil.
    public func property(_ name: String) -> [UInt8]? { properties.first { $0.name == name }?.value }
}

/// A whole tree.
public final class DeviceTree {
    public let root = DeviceTreeNode("")
    /// Memory the operating system must leave alone.
    public var reservations: [(start: UInt64, sizeBytes: UInt64)] = []
    /// The hart that starts the operating system.
    public var bootCPU: UInt32 = 0
    private var lastPhandle: UInt32 = 0

    public init() {}

    /// A phandle nobody has yet.
    public func makePhandle() -> UInt32 {
        lastPhandle += 1
        return lastPhandle
    }
}
