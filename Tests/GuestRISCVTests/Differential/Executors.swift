// Runs a random program to its first system call and returns its data: under QEMU, the IR interpreter or the engine.

import Foundation
import Glibc
import IR
import TranslatedCPU
import Translator
@testable import GuestRISCV

enum Executors {
    static let qemu = "/usr/bin/qemu-riscv64-static"
    static let hasQEMU = FileManager.default.isExecutableFile(atPath: qemu)

    static func runQEMU(_ program: RandomProgram) throws -> [UInt8] {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("guise-\(UUID().uuidString)")
        try Data(program.elf).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file.path)
        let process = Process(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: qemu)
        process.arguments = [file.path]
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return [UInt8](data)
    }

    /// Maps a program where it wants to be, since programs' addresses are the host's.
    private static func withMapped<Result>(_ program: RandomProgram, _ body: () throws -> Result) throws -> [UInt8] {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
        var mapped: [(UnsafeMutableRawPointer, Int)] = []
        for (address, bytes) in [(RandomProgram.codeAddress, program.code), (RandomProgram.dataAddress, program.data)] {
            let wanted = UnsafeMutableRawPointer(bitPattern: UInt(address))
            let mapping = mmap(wanted, bytes.count + 4096, PROT_READ | PROT_WRITE, flags, -1, 0)
            guard let memory = mapping, memory == wanted else {
                throw CocoaError(.featureUnsupported)
            }
            bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
            mapped.append((memory, bytes.count + 4096))
        }
        defer { for (memory, size) in mapped { munmap(memory, size) } }
        _ = try body()
        return Array(UnsafeRawBufferPointer(start: mapped[1].0, count: program.data.count))
    }

    private static func available(_ program: RandomProgram, _ address: UInt64) -> Int {
        Int(RandomProgram.codeAddress) + program.code.count - Int(address)
    }

    static func runInterpreter(_ program: RandomProgram, unitLimit: Int = 64, eliminatesDeadCode: Bool) throws -> [UInt8] {
        try withMapped(program) {
            let block = UnsafeMutableRawPointer.allocate(byteCount: StateLayout.size, alignment: 4096)
            block.initializeMemory(as: UInt8.self, repeating: 0, count: StateLayout.size)
            defer { block.deallocate() }
            let state = RISCVState(block)
            state.resetForProgram(pc: RandomProgram.codeAddress)
            let front = RISCVFront()
            let builder = Builder(unit: Unit(), globals: front.globals)
            let interpreter = Interpreter(front: front, memory: .identity)
            while true {
                let start = state.pc, mode = state.mode.rawValue
                builder.begin(start: start, mode: mode, rounding: front.rounding(mode: mode))
                let available = available(program, start)
                guard available > 0, let code = UnsafeRawPointer(bitPattern: UInt(start)) else {
                    throw Stopped(at: start, "no code")
                }
                _ = front.lift(builder, start: start, mode: mode, code: code, available: available, limit: unitLimit)
                if eliminatesDeadCode { DeadCode.eliminate(builder.unit, globalCount: front.globals.count) }
                let kind = interpreter.run(builder.unit, state: block)
                switch kind {
                case .systemCall: return
                case .lookup, .link, .none: block.storeBytes(of: 0, toByteOffset: StateLayout.helperExit, as: UInt32.self)
                default: throw Stopped(at: state.pc, kind)
                }
            }
        }
    }

    static func runEngine(_ program: RandomProgram, _ options: EngineOptions) throws -> [UInt8] {
        try withMapped(program) {
            let engine = try UserEngine(architecture: .riscv64(), options: options)
            engine.executableBytes = { Swift.max(0, available(program, $0)) }
            let cpu = try engine.makeCPU()
            defer { cpu.retire() }
            RISCVState(cpu.registers).resetForProgram(pc: RandomProgram.codeAddress)
            let exit = cpu.run()
            if exit != .systemCall { throw Stopped(at: cpu.pc, exit) }
        }
    }

    /// The program ended in an unexpected way.
    struct Stopped: Error, CustomStringConvertible {
        let description: String
        init(at pc: UInt64, _ reason: Any) { description = "\(reason) at 0x\(String(pc, radix: 16))" }
    }
}
