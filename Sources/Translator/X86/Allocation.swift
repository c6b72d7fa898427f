// Register allocation while emitting: where each value is, and how it moves.

import IR

extension CodeGenerator {
    @inline(__always) func root(_ value: ValueID) -> ValueID { (values + Int(value)).pointee.root }

    /// Marks one use of a value as emitted; frees its places after the last.
    @inline(__always) func consume(_ value: ValueID) { consumeRoot(root(value)) }

    /// As above, for a value that has code of its own.
    @inline(__always) func consumeRoot(_ root: ValueID) {
        let place = values + Int(root)
        place.pointee.remaining &-= 1
        guard place.pointee.remaining == 0 else { return }
        if place.pointee.kind == ValuePlace.Kind.register {
            releaseRegister(root)
        } else if place.pointee.kind == ValuePlace.Kind.spill {
            freeSpill(root, place.pointee.location)
        }
        place.pointee.kind = ValuePlace.Kind.none
    }

    /// Takes a value out of its temporary, keeping nothing but a spill slot's freedom.
    @inline(__always)
    func releaseRegister(_ value: ValueID) {
        let place = values + Int(value)
        let owners = unit.instructions[Int(value)].type.inVectorRegister ? floatOwner : owner
        owners[Int(place.pointee.location)] = .none
        if place.pointee.backup == ValuePlace.Kind.spill { freeSpill(value, place.pointee.backupLocation) }
        place.pointee.backup = ValuePlace.Kind.none
    }

    /// Vectors have spill slots of their own, which are wider.
    @inline(never) private func freeSpill(_ value: ValueID, _ slot: UInt8) {
        if unit.instructions[Int(value)].type == .v128 {
            freeVectorSpills |= 1 << UInt32(slot)
        } else {
            freeSpills |= 1 << UInt32(slot)
        }
    }

    /// True when the operation being emitted is the last user of the value's register.
    @inline(__always) func dies(_ value: ValueID, uses: UInt32 = 1) -> Bool {
        let place = values + Int(root(value))
        return place.pointee.kind == ValuePlace.Kind.register && place.pointee.remaining <= uses
    }

    // MARK: defining

    /// Records that operation `index` left its result in temporary `register`.
    @inline(__always)
    func define(_ index: Int, _ register: UInt8) {
        let place = values + index
        if place.pointee.remaining == 0 { return }
        place.pointee.kind = ValuePlace.Kind.register
        place.pointee.location = register
        place.pointee.backup = ValuePlace.Kind.none
        let owners = unit.instructions[index].type.inVectorRegister ? floatOwner : owner
        owners[Int(register)] = ValueID(truncatingIfNeeded: index)
    }

    /// Records the result, which is either in the home of `global` (direct) or in a temporary.
    @inline(__always) func define(_ index: Int, _ register: UInt8, direct global: Int) {
        if global < 0 {
            define(index, register)
        } else {
            let place = values + index
            place.pointee.kind = ValuePlace.Kind.home
            place.pointee.location = UInt8(truncatingIfNeeded: global)
            globalValue[global] = ValueID(truncatingIfNeeded: index)
        }
    }

    /// The pinned global that the result of `index` is about to be written to, so that it can be computed in place;
    /// -1 when there is none. The old value of that global has been moved out of the way if it is needed after `index`.
    func directTarget(_ index: Int) -> Int {
        let instructions = unit.instructions, count = unit.count
        let operation = instructions + index
        var value = ValueID(truncatingIfNeeded: index)
        var next = index &+ 1
        while next < count {
            let following = instructions + next
            switch following.pointee.opcode {
            case .dead, .constant: break
            case .flagsOf where next == emittedFlags: break
            case .set where following.pointee.type == .flags: break
            case .truncate, .zeroExtend:
                guard following.pointee.a == value, unit.uses[Int(value)] == 1,
                      following.pointee.opcode == .truncate || instructions[Int(value)].type == .i1 else { return -1 }
                value = ValueID(truncatingIfNeeded: next)
            case .set:
                guard following.pointee.a == value else { return -1 }
                let global = Int(truncatingIfNeeded: following.pointee.imm)
                guard pin[global] != Self.noRegister,
                      globalIsFloat[global] == operation.pointee.type.inVectorRegister else { return -1 }
                let old = globalValue[global]
                if old != .none, (values + Int(old)).pointee.remaining > 0 {
                    var usesHere: UInt32 = 0
                    if operation.pointee.a != .none && root(operation.pointee.a) == old { usesHere &+= 1 }
                    if operation.pointee.b != .none && root(operation.pointee.b) == old { usesHere &+= 1 }
                    if operation.pointee.c != .none && root(operation.pointee.c) == old { usesHere &+= 1 }
                    if (values + Int(old)).pointee.remaining > usesHere { retire(global, except: .none) }
                }
                return global
            default: return -1
            }
            next &+= 1
        }
        return -1
    }

    /// Moves the value living in a global's home elsewhere if it is still needed, because the home is about to change.
    @inline(__always)
    func retire(_ global: Int, except newValue: ValueID) {
        let old = globalValue[global]
        globalValue[global] = .none
        if old != .none, (values + Int(old)).pointee.remaining > 0 { moveHome(global, old, except: newValue) }
    }

    private func moveHome(_ global: Int, _ old: ValueID, except newValue: ValueID) {
        let place = values[Int(old)]
        if place.kind == ValuePlace.Kind.home && Int(place.location) == global {
            guard old != newValue || place.remaining > 1 else { return }
            if globalIsFloat[global] {
                let register = allocateFloat()
                loadFloatHome(register, global)
                values[Int(old)].kind = ValuePlace.Kind.register
                values[Int(old)].location = register
                values[Int(old)].backup = ValuePlace.Kind.none
                floatOwner[Int(register)] = old
                floatLocked |= 1 &<< UInt32(register)
            } else {
                let register = allocate()
                loadHome(register, global)
                values[Int(old)].kind = ValuePlace.Kind.register
                values[Int(old)].location = register
                values[Int(old)].backup = ValuePlace.Kind.none
                owner[Int(register)] = old
                locked |= 1 &<< UInt32(register)
            }
        } else if place.kind == ValuePlace.Kind.register && place.backup == ValuePlace.Kind.home
                    && Int(place.backupLocation) == global {
            values[Int(old)].backup = ValuePlace.Kind.none
        }
    }

    private func loadHome(_ register: UInt8, _ global: Int) {
        if pin[global] != Self.noRegister {
            asm.mov(register, pin[global])
        } else {
            asm.load(register, .state(Int(globalOffset[global])))
        }
    }

    private func loadFloatHome(_ register: UInt8, _ global: Int) {
        if pin[global] != Self.noRegister {
            asm.vmovaps(register, pin[global])
        } else {
            asm.vectorLoad(register, .state(Int(globalOffset[global])), size: globalIsVector[global] ? 16 : 8)
        }
    }

    // MARK: temporaries

    /// The integer temporaries in order: rax, rcx, rdx, rsi.
    @inline(__always) static func temporary(_ index: UInt8) -> UInt8 { index == 3 ? GPR.rsi : index }

    /// How many operations earlier a value that needs no store goes than one that does.
    @inline(__always) private func evictionBonus(_ value: ValueID) -> Int {
        values[Int(value)].backup != ValuePlace.Kind.none ? 8 : 0
    }

    /// A free integer temporary, locked for this operation; evicts the one not used for longest when it must.
    func allocate() -> UInt8 {
        for index in UInt8(0)..<4 {
            let register = Self.temporary(index)
            if owner[Int(register)] == .none && locked & (1 &<< UInt32(register)) == 0 {
                locked |= 1 &<< UInt32(register)
                touched[Int(register)] = currentIndex
                return register
            }
        }
        var victim = Self.noRegister
        var oldest = Int.max
        for index in UInt8(0)..<4 {
            let register = Self.temporary(index)
            if locked & (1 &<< UInt32(register)) != 0 { continue }
            let age = touched[Int(register)] - evictionBonus(owner[Int(register)])
            if age < oldest {
                oldest = age
                victim = register
            }
        }
        guard victim != Self.noRegister else {
            failed = true
            return GPR.rax
        }
        evict(victim)
        locked |= 1 &<< UInt32(victim)
        touched[Int(victim)] = currentIndex
        return victim
    }

    /// Empties a temporary: its value moves to its backup or to a spill slot.
    func evict(_ register: UInt8) {
        let value = owner[Int(register)]
        guard value != .none else { return }
        owner[Int(register)] = .none
        let place = values[Int(value)]
        if place.backup != ValuePlace.Kind.none {
            values[Int(value)].kind = place.backup
            values[Int(value)].location = place.backupLocation
            values[Int(value)].backup = ValuePlace.Kind.none
            return
        }
        let slot = allocateSpill()
        asm.store(.state(StateLayout.spill + 8 * slot), register)
        values[Int(value)].kind = ValuePlace.Kind.spill
        values[Int(value)].location = UInt8(slot)
    }

    private func allocateVectorSpill() -> Int {
        guard freeVectorSpills != 0 else {
            failed = true
            return 0
        }
        let slot = freeVectorSpills.trailingZeroBitCount
        freeVectorSpills &= freeVectorSpills - 1
        return slot
    }

    /// Puts a value in a vector register into a spill slot of its width.
    private func spillFloat(_ value: ValueID, from register: UInt8) {
        let slot: Int
        if unit.instructions[Int(value)].type == .v128 {
            slot = allocateVectorSpill()
            asm.vectorStore(.state(StateLayout.vectorSpill + 16 * slot), register, size: 16)
        } else {
            slot = allocateSpill()
            asm.floatStore(.state(StateLayout.spill + 8 * slot), register, double: true)
        }
        values[Int(value)].kind = ValuePlace.Kind.spill
        values[Int(value)].location = UInt8(slot)
    }

    func allocateSpill() -> Int {
        guard freeSpills != 0 else {
            failed = true
            return 0
        }
        let slot = freeSpills.trailingZeroBitCount
        freeSpills &= freeSpills - 1
        return slot
    }

    /// Makes a particular temporary free and locks it, moving its value to another one if there is room.
    func claim(_ register: UInt8) {
        locked |= 1 &<< UInt32(register)
        let value = owner[Int(register)]
        guard value != .none else { return }
        for index in UInt8(0)..<4 {
            let other = Self.temporary(3 - index)
            guard owner[Int(other)] == .none, locked & (1 &<< UInt32(other)) == 0 else { continue }
            asm.mov(other, register)
            owner[Int(other)] = value
            touched[Int(other)] = touched[Int(register)]
            owner[Int(register)] = .none
            values[Int(value)].location = other
            return
        }
        evict(register)
    }

    func allocateFloat() -> UInt8 {
        for register in UInt8(0)..<4 where floatOwner[Int(register)] == .none
            && floatLocked & (1 &<< UInt32(register)) == 0 {
            floatLocked |= 1 &<< UInt32(register)
            floatTouched[Int(register)] = currentIndex
            return register
        }
        var victim = Self.noRegister
        var oldest = Int.max
        for register in UInt8(0)..<4 where floatLocked & (1 &<< UInt32(register)) == 0 {
            let age = floatTouched[Int(register)] - evictionBonus(floatOwner[Int(register)])
            if age < oldest {
                oldest = age
                victim = register
            }
        }
        guard victim != Self.noRegister else {
            failed = true
            return 0
        }
        evictFloat(victim)
        floatLocked |= 1 &<< UInt32(victim)
        floatTouched[Int(victim)] = currentIndex
        return victim
    }

    func evictFloat(_ register: UInt8) {
        let value = floatOwner[Int(register)]
        guard value != .none else { return }
        floatOwner[Int(register)] = .none
        let place = values[Int(value)]
        if place.backup != ValuePlace.Kind.none {
            values[Int(value)].kind = place.backup
            values[Int(value)].location = place.backupLocation
            values[Int(value)].backup = ValuePlace.Kind.none
            return
        }
        spillFloat(value, from: register)
    }

    // MARK: operands

    /// The host register holding a value (temporary or pinned), loading it if need be. Locks temporaries.
    @inline(__always)
    func integerRegister(_ value: ValueID) -> UInt8 {
        let root = root(value)
        let place = values + Int(root)
        if place.pointee.kind == ValuePlace.Kind.home {
            let host = pin[Int(place.pointee.location)]
            if host != Self.noRegister { return host }
        } else if place.pointee.kind == ValuePlace.Kind.register {
            let register = place.pointee.location
            locked |= 1 &<< UInt32(register)
            touched[Int(register)] = currentIndex
            return register
        }
        return loadedRegister(root)
    }

    /// A temporary into which a value has been loaded from where it is.
    private func loadedRegister(_ root: ValueID) -> UInt8 {
        let place = values[Int(root)]
        let register = allocate()
        switch place.kind {
        case ValuePlace.Kind.constant: asm.movImmediate(register, unit.instructions[Int(root)].imm)
        case ValuePlace.Kind.home: asm.load(register, .state(Int(globalOffset[Int(place.location)])))
        case ValuePlace.Kind.spill: asm.load(register, .state(StateLayout.spill + 8 * Int(place.location)))
        default: failed = true
        }
        let loaded = values + Int(root)
        loaded.pointee.kind = ValuePlace.Kind.register
        loaded.pointee.location = register
        loaded.pointee.backup = place.kind
        loaded.pointee.backupLocation = place.location
        owner[Int(register)] = root
        return register
    }

    /// A value as a register or memory operand; constants are loaded into a temporary.
    @inline(__always)
    func integerOperand(_ value: ValueID) -> RM {
        let place = values + Int(root(value))
        if place.pointee.kind == ValuePlace.Kind.home {
            let host = pin[Int(place.pointee.location)]
            return host != Self.noRegister ? .reg(host) : .state(Int(globalOffset[Int(place.pointee.location)]))
        }
        if place.pointee.kind == ValuePlace.Kind.spill {
            return .state(StateLayout.spill + 8 * Int(place.pointee.location))
        }
        return .reg(integerRegister(value))
    }

    /// The value as a sign-extended 32-bit immediate, if it is such a constant.
    @inline(__always) func immediate32(_ value: ValueID) -> Int32? {
        let operation = unit.instructions + Int(value)
        guard operation.pointee.opcode == .constant else { return nil }
        let small = Int32(truncatingIfNeeded: operation.pointee.imm)
        return Int64(small) == operation.pointee.imm ? small : nil
    }

    /// True when the value already lies in host register `register`.
    @inline(__always) func isIn(_ value: ValueID, _ register: UInt8) -> Bool {
        let place = values + Int(root(value))
        switch place.pointee.kind {
        case ValuePlace.Kind.register: return place.pointee.location == register
        case ValuePlace.Kind.home: return pin[Int(place.pointee.location)] == register
        default: return false
        }
    }

    /// Copies a value into a host register without changing where it lives.
    func moveInto(_ register: UInt8, _ value: ValueID, wide: Bool = true) {
        let root = Int(self.root(value))
        let place = values[root]
        switch place.kind {
        case ValuePlace.Kind.register: if place.location != register { asm.mov(register, place.location, wide: wide) }
        case ValuePlace.Kind.constant: asm.movImmediate(register, unit.instructions[root].imm)
        case ValuePlace.Kind.home:
            let host = pin[Int(place.location)]
            if host == Self.noRegister {
                asm.load(register, .state(Int(globalOffset[Int(place.location)])), wide: wide)
            } else if host != register {
                asm.mov(register, host, wide: wide)
            }
        case ValuePlace.Kind.spill: asm.load(register, .state(StateLayout.spill + 8 * Int(place.location)), wide: wide)
        default: failed = true
        }
    }

    /// The vector register holding a float value.
    func floatRegister(_ value: ValueID) -> UInt8 {
        let root = Int(self.root(value))
        let place = values[root]
        switch place.kind {
        case ValuePlace.Kind.register:
            floatLocked |= 1 &<< UInt32(place.location)
            floatTouched[Int(place.location)] = currentIndex
            return place.location
        case ValuePlace.Kind.home:
            let host = pin[Int(place.location)]
            if host != Self.noRegister { return host }
        default: break
        }
        let register = allocateFloat()
        switch place.kind {
        case ValuePlace.Kind.constant:
            let scratch = allocate()
            asm.movImmediate(scratch, unit.instructions[root].imm)
            asm.vmovFromGPR(register, scratch, wide: true)
        case ValuePlace.Kind.home: loadFloatHome(register, Int(place.location))
        case ValuePlace.Kind.spill:
            if unit.instructions[root].type == .v128 {
                asm.vectorLoad(register, .state(StateLayout.vectorSpill + 16 * Int(place.location)), size: 16)
            } else {
                asm.floatLoad(register, .state(StateLayout.spill + 8 * Int(place.location)), double: true)
            }
        default: failed = true
        }
        values[root].kind = ValuePlace.Kind.register
        values[root].location = register
        values[root].backup = place.kind
        values[root].backupLocation = place.location
        floatOwner[Int(register)] = ValueID(root)
        return register
    }

    /// Moves every value that is still needed out of temporaries and out of globals' homes: before a call that may
    /// change any register.
    func evictEverything() {
        for index in UInt8(0)..<4 {
            let register = Self.temporary(index)
            dropHomeBackup(owner[Int(register)])
            evict(register)
        }
        for register in UInt8(0)..<4 {
            dropHomeBackup(floatOwner[Int(register)])
            evictFloat(register)
        }
        for global in 0..<globalCount { evictHome(global) }
    }

    /// The same before a call that keeps vector registers and what is pinned. The builder reads globals anew behind it, so
    /// what is still needed of their values goes elsewhere all the same.
    func evictForLightCall() {
        for index in UInt8(0)..<4 {
            let register = Self.temporary(index)
            dropHomeBackup(owner[Int(register)])
            evict(register)
        }
        for register in UInt8(0)..<4 { dropHomeBackup(floatOwner[Int(register)]) }
        for global in 0..<globalCount { evictHome(global) }
    }

    /// Moves the value in a global's home to a spill slot if it is still needed.
    private func evictHome(_ global: Int) {
        let value = globalValue[global]
        guard value != .none else { return }
        globalValue[global] = .none
        guard values[Int(value)].remaining > 0, values[Int(value)].kind == ValuePlace.Kind.home else { return }
        if globalIsFloat[global] {
            var register = pin[global]
            if register == Self.noRegister {
                evictFloat(0)
                register = 0
                loadFloatHome(register, global)
            }
            spillFloat(value, from: register)
        } else {
            let slot = allocateSpill()
            var register = pin[global]
            if register == Self.noRegister {
                register = GPR.rax
                loadHome(register, global)
            }
            asm.store(.state(StateLayout.spill + 8 * slot), register)
            values[Int(value)].kind = ValuePlace.Kind.spill
            values[Int(value)].location = UInt8(slot)
        }
    }

    private func dropHomeBackup(_ value: ValueID) {
        if value != .none && values[Int(value)].backup == ValuePlace.Kind.home {
            values[Int(value)].backup = ValuePlace.Kind.none
        }
    }
}
