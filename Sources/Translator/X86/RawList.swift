// A list in raw memory, emptied and filled again for every unit: no reference counts, no checks of uniqueness.

/// A growing list of trivial elements. Whoever owns it deallocates it.
struct RawList<Element: BitwiseCopyable> {
    private(set) var elements: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        elements = .allocate(capacity: capacity)
    }

    func deallocate() { elements.deallocate() }

    @inline(__always)
    mutating func append(_ element: Element) {
        if count == capacity { grow() }
        (elements + count).initialize(to: element)
        count &+= 1
    }

    @inline(__always) mutating func removeAll() { count = 0 }

    @inline(__always)
    subscript(index: Int) -> Element {
        get { elements[index] }
        nonmutating _modify { yield &elements[index] }
    }

    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        larger.update(from: elements, count: count)
        elements.deallocate()
        elements = larger
        capacity *= 2
    }
}
