// Switches for finding faults in the translator itself, from the environment variable GUISE_DEBUG: a comma-separated list of
//   memory-registers   keep every guest register in memory
//   exact-flags        undefined x86 condition codes as AMD's processors leave them, on every host
//   single-step        one guest instruction per unit
//   code-cache=SIZE    size of the code cache, with suffix K, M or G (a tiny one evicts all the time)
//   loop-count=N       loops become regions when entered N times; 0 for never
//   statistics         say at the end of each vCPU or guest thread what translating cost
//   dump-code=FILE     write the generated code to FILE and an index to FILE.units at the end of each of them
// They change no guest-visible behaviour that an architecture defines. See docs/debugging.md.

import Glibc
import Translator

/// A word in GUISE_DEBUG that means nothing.
public struct DebugOptionError: Error, CustomStringConvertible {
    let word: String
    public var description: String {
        "GUISE_DEBUG: '\(word)' is not one of memory-registers, exact-flags, single-step, code-cache=SIZE, loop-count=N, statistics, dump-code=FILE"
    }
}

extension EngineOptions {
    /// Options as asked for, changed as GUISE_DEBUG says.
    func withDebugEnvironment() throws -> EngineOptions {
        guard let value = getenv("GUISE_DEBUG") else { return self }
        var options = self
        for word in String(cString: value).split(separator: ",") {
            switch word {
            case "memory-registers": options.registersInMemory = true
            case "exact-flags": options.exactFlags = true
            case "single-step": options.singleStep = true
            case "statistics": options.statistics = true
            case _ where word.hasPrefix("dump-code="): options.codeDump = String(word.dropFirst("dump-code=".count))
            case _ where word.hasPrefix("loop-count="):
                guard let count = UInt32(word.dropFirst("loop-count=".count)) else { throw DebugOptionError(word: String(word)) }
                options.loopCount = count
            case _ where word.hasPrefix("code-cache="):
                guard let size = Self.size(word.dropFirst("code-cache=".count)), size >= 1 << 19, size <= 1 << 30 else {
                    throw DebugOptionError(word: String(word))
                }
                options.cacheSize = size
            default: throw DebugOptionError(word: String(word))
            }
        }
        return options
    }

    private static func size(_ text: Substring) -> Int? {
        let scale = switch text.last {
        case "K": 10
        case "M": 20
        case "G": 30
        default: 0
        }
        guard let number = Int(scale == 0 ? text : text.dropLast()), number > 0, number < 1 << 31 else { return nil }
        return (number << scale) & ~4095
    }

    /// The translator's options.
    func translation(identityMemory: Bool, interpret: Bool) -> TranslationOptions {
        var translation = TranslationOptions(identityMemory: identityMemory)
        translation.interpret = interpret
        translation.registersInMemory = registersInMemory
        translation.exactFlags = exactFlags
        translation.unitLimit = singleStep ? 1 : 64
        translation.cacheSize = cacheSize
        translation.logBlocks = logBlock != nil
        translation.statistics = statistics
        if let loopCount { translation.loopCount = loopCount }
        if singleStep { translation.loopCount = 0 }
        return translation
    }
}
