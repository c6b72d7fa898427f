// Measures what translating costs: translates all code of an ELF program once, unit behind unit, without running it.
//
//   translating FILE [ROUNDS]      FILE: a riscv64 or x86_64 program or library, not stripped of its section headers
//
// Prints the least of the rounds in nanoseconds and in cycles of the time stamp counter per guest instruction. Each round has
// a code cache of its own, so fresh pages of memory count. Units during which the thread was interrupted do not.

import CHost
import Glibc
import TranslatedCPU
import Translator

func fail(_ message: String) -> Never {
    fputs("translating: \(message)\n", stderr)
    exit(1)
}

/// The executable sections of a 64-bit little-endian ELF file, and its machine.
func code(of path: String) -> (machine: UInt16, sections: [(address: UInt64, bytes: UnsafeRawBufferPointer)]) {
    let descriptor = open(path, O_RDONLY)
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else { fail("cannot open \(path)") }
    let size = Int(status.st_size)
    guard let base = mmap(nil, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, descriptor, 0), base != MAP_FAILED, size >= 64
    else { fail("cannot map \(path)") }
    let file = UnsafeRawBufferPointer(start: base, count: size)
    func word<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: T.Type) -> T {
        guard offset >= 0, offset + MemoryLayout<T>.size <= size else { fail("\(path) is damaged") }
        return file.loadUnaligned(fromByteOffset: offset, as: T.self)
    }
    guard word(0, UInt32.self) == 0x464C_457F, word(4, UInt8.self) == 2 else { fail("\(path) is no 64-bit ELF file") }
    let table = Int(word(40, UInt64.self)), entrySize = Int(word(58, UInt16.self)), count = Int(word(60, UInt16.self))
    let sections = (0..<count).compactMap { number -> (address: UInt64, bytes: UnsafeRawBufferPointer)? in
        let entry = table + number * entrySize
        let isProgramBits = word(entry + 4, UInt32.self) == 1, isExecutable = word(entry + 8, UInt64.self) & 4 != 0
        let offset = Int(word(entry + 24, UInt64.self)), length = Int(word(entry + 32, UInt64.self))
        guard isProgramBits, isExecutable, offset >= 0, length > 4096, offset + length <= size else { return nil }
        return (word(entry + 16, UInt64.self), UnsafeRawBufferPointer(rebasing: file[offset..<offset + length]))
    }
    return (word(18, UInt16.self), sections)
}

let arguments = CommandLine.arguments
guard arguments.count >= 2 else { fail("usage: translating FILE [ROUNDS]") }
let rounds = arguments.count > 2 ? Int(arguments[2]) ?? 5 : 5
let (machine, sections) = code(of: arguments[1])
let architecture: ProgramArchitecture
switch machine {
case 243: architecture = .riscv64()
case 62: architecture = .x86(is64: true)
default: fail("\(arguments[1]) is neither riscv64 nor x86_64")
}
guard guise_cpu_has_v3() != 0 else { fail("the host's processor lacks AVX2, BMI or FMA") }

/// Units that took longer were interrupted.
let interruptedCycles: UInt64 = 1 << 19

func nowNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}

var least = Double.infinity, units = 0, instructions = 0
let began = (cycles: guise_cycles(), nanoseconds: nowNanoseconds())
for _ in 0..<rounds {
    let runtime: TranslationRuntime
    do {
        runtime = try TranslationRuntime(front: architecture.front, options: TranslationOptions(identityMemory: true),
                                         slowLoad: { _, _, _, _ in 0 }, slowStore: { _, _, _, _ in 0 },
                                         slowPointer: { _, _, _, _ in 0 })
    } catch { fail("\(error)") }
    guard let state = mmap(nil, StateLayout.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
          state != MAP_FAILED else { fail("no memory") }
    architecture.reset(state)
    let mode = state.load(fromByteOffset: StateLayout.mode, as: UInt32.self)
    let context = TranslationContext(runtime: runtime, state: state)
    var cycles: UInt64 = 0, measured = 0
    for (address, bytes) in sections {
        guard let base = bytes.baseAddress else { continue }
        var offset = 0
        while offset < bytes.count - 16 {
            let seen = context.epoch, before = context.instructionsTranslated
            let start = address &+ UInt64(offset)
            let from = guise_cycles()
            guard let unit = try? context.unit(start: start, mode: mode, context: 0, page: start >> 12,
                                               code: GuestCode(bytes: base + offset, available: bytes.count - offset),
                                               limit: 64, seen: seen, second: nil) else { break }
            let took = guise_cycles() &- from
            context.depart()
            offset += Int(runtime.origin(of: unit).length)
            guard took < interruptedCycles else { continue }
            cycles &+= took
            measured += context.instructionsTranslated - before
        }
    }
    units = context.unitsTranslated
    instructions = context.instructionsTranslated
    if measured > 0 { least = min(least, Double(cycles) / Double(measured)) }
    context.retire()
    munmap(state, StateLayout.size)
}
let frequency = Double(guise_cycles() &- began.cycles) / Double(nowNanoseconds() &- began.nanoseconds)
let nanoseconds = Int(least / frequency * 10 + 0.5)
print("\(arguments[1]): \(units) units, \(instructions) guest instructions, \(nanoseconds / 10).\(nanoseconds % 10) ns "
    + "(\(Int(least)) cycles) each, least of \(rounds)")
