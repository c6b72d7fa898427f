// Writes a setup plan: the steps that the C interpreter carries out in the container's process (container_plan.h).

import CContainerInit

/// A plan that grows step by step.
struct SetupPlan {
    /// For readers of `description` and tests: what each step is.
    private(set) var steps: [guise_step] = []
    /// Strings and bytes, from the header's end on.
    private var pool: [UInt8] = []
    private var known: [String: UInt32] = [:]
    private var environment: (offset: UInt32, count: UInt32) = (0, 0)
    /// How many steps go on in a new process so far.
    private(set) var cloneCount = 0

    private static let headerSize = MemoryLayout<guise_plan_header>.size

    /// Where a text stands; the empty one needs no place.
    mutating func text(_ text: String) -> UInt32 {
        if text.isEmpty { return 0 }
        if let offset = known[text] { return offset }
        let offset = UInt32(Self.headerSize + pool.count)
        pool.append(contentsOf: text.utf8)
        pool.append(0)
        known[text] = offset
        return offset
    }

    /// Where strings stand one after the other.
    mutating func list(_ texts: [String]) -> UInt32 {
        let offset = UInt32(Self.headerSize + pool.count)
        for text in texts {
            pool.append(contentsOf: text.utf8)
            pool.append(0)
        }
        return offset
    }

    /// Where bytes stand, aligned to 8.
    mutating func bytes(_ bytes: [UInt8]) -> UInt32 {
        while (Self.headerSize + pool.count) % 8 != 0 { pool.append(0) }
        let offset = UInt32(Self.headerSize + pool.count)
        pool.append(contentsOf: bytes)
        return offset
    }

    /// The environment that `guise_op_find` reads PATH from.
    mutating func setEnvironment(_ variables: [String]) { environment = (list(variables), UInt32(variables.count)) }

    /// Appends a step. `label` is what its errors name.
    mutating func add(
        _ operation: guise_operation, _ label: String, flags: UInt32 = 0, a: UInt64 = 0, b: UInt64 = 0, c: UInt64 = 0,
        text first: String = "", text3 third: String = "", text4 fourth: String = "",
        list texts: [String]? = nil, list3 texts3: [String]? = nil, bytes data: [UInt8]? = nil
    ) {
        var step = guise_step()
        step.operation = operation.rawValue
        step.flags = flags
        (step.a, step.b, step.c) = (a, b, c)
        step.label = text(label)
        step.text = text(first)
        step.text3 = texts3.map { list($0) } ?? text(third)
        step.text4 = text(fourth)
        if let texts { step.text2 = list(texts) }
        if let data { step.text2 = bytes(data) }
        if operation == guise_op_clone { cloneCount += 1 }
        steps.append(step)
    }

    /// Appends a step with one more text, where `list` and `bytes` are not used.
    mutating func add(_ operation: guise_operation, _ label: String, flags: UInt32 = 0, text first: String, second: String) {
        add(operation, label, flags: flags, text: first)
        setLast(second: second)
    }

    /// Sets the last step's second text.
    mutating func setLast(second: String) { steps[steps.count - 1].text2 = text(second) }

    /// Sets the last step's fourth place to a number instead of a text.
    mutating func setLast(number: UInt32) { steps[steps.count - 1].text4 = number }

    /// The plan as the interpreter maps it.
    func encoded() -> [UInt8] {
        var size = Self.headerSize + pool.count
        size += (8 - size % 8) % 8
        let start = size
        size += steps.count * MemoryLayout<guise_step>.stride
        var header = guise_plan_header()
        header.magic = UInt32(guise_plan_magic)
        header.size = UInt32(size + 1)
        header.steps = UInt32(start)
        header.step_count = UInt32(steps.count)
        header.environment = environment.offset
        header.environment_count = environment.count
        var result: [UInt8] = []
        result.reserveCapacity(size + 1)
        withUnsafeBytes(of: header) { result.append(contentsOf: $0) }
        result.append(contentsOf: pool)
        while result.count < start { result.append(0) }
        steps.withUnsafeBytes { result.append(contentsOf: $0) }
        // Strings are read up to a NUL, so the plan ends with one.
        result.append(0)
        return result
    }
}
