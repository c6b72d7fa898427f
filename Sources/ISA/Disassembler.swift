// Prints words in assembly from the operand templates of their rows.

extension InstructionSet {
    /// The assembly form of `word`, which `decode16` or `decode32` found to be `row`: name, a tab, operands.
    public func disassemble(_ row: Int, word: UInt32, address: UInt64) -> String {
        guard row < rows.count else { return ".word\t0x" + String(word, radix: 16) }
        let layouts = layout(row)
        var result = name(row)
        for layout in layouts {
            if case .suffix = layout.field.style { result += format(layout.field.style, layout.extract(word)) }
        }
        var template = Substring(operands(row))
        if !template.isEmpty { result += "\t" }
        while let character = template.first {
            let name = template.prefix { $0.isASCII && isNameByte($0.asciiValue ?? 0) }
            if name.isEmpty {
                result.append(character)
                template.removeFirst()
                continue
            }
            template.removeFirst(name.count)
            if let layout = layouts.first(where: { $0.field.name.description == name }) {
                let operand = print(layout, word, address)
                // An operand that prints as nothing (a default rounding mode) takes its comma with it.
                if operand.isEmpty, result.last == "," { result.removeLast() }
                result += operand
            } else {
                result += name
            }
        }
        return result
    }

    private func print(_ layout: FieldLayout, _ word: UInt32, _ address: UInt64) -> String {
        switch layout.field.style {
        case .signed: return String(layout.extractSigned(word))
        case .unsigned: return String(layout.extract(word))
        case .relative:
            return "0x" + String(address &+ UInt64(bitPattern: layout.extractSigned(word)), radix: 16)
        case .register, .custom: return format(layout.field.style, layout.extract(word))
        case .suffix, .ignored: return ""
        }
    }
}
