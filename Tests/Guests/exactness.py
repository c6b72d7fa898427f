"""16- and 32-bit, real-mode, virtual-8086 and privileged behaviour: one program runs under both executors, under QEMU and
under Bochs, and says for each snippet how it ended. `exact/` holds the program; docs/x86.md lists where the others differ.
"""
import pathlib
import re
import shutil

from support import Mismatch, Skip, case

sources = pathlib.Path(__file__).resolve().parent / "exact"
line = re.compile(r"(?:r0|r3|r0\.16|r3\.16|vm|vm0|vme|real)(?:: .*| random .*) \|.*")

# Where another emulator is not what the manuals say: a regular expression of the snippet's line, ours then theirs.
bochs = [
    (r"call \*%eax|random e8", "pushes before it checks the target against the limit of CS"),
    (r"lesw", "wraps the selector's address at 64 KiB instead of checking one operand of 4 bytes"),
]
qemu = [
    (r"aam|daa|das|aaa|aas|random", "leaves results of its own behind undefined cases; does not check limits and types of data segments"),
    (r"^vme:", "has no VME"),
    (r"\|\| v=(0[cd]|08) .*\|\| v=0[13] ", "checks no limits and types of data segments, and no limit of CS"),
    (r"\.byte 0xf1", "knows no ICEBP"),
    (r"\.byte 0xf0, 0x89|0xc6, 0xc8", "decodes what is undefined"),
    (r"lar %ax", "leaves bits 19 to 16 of the limit out of LAR"),
    (r"lesw", "wraps the selector's address"),
    (r"lcall \$0xdb|lretl|iretl|iretw|popfl?;|popfw", "sets RF, VIF and VIP where the privilege forbids it, and takes other orders"),
    (r"fnstsw|fnsave", "has no stack faults of the x87"),
]


def build(context, name):
    """Assembles the program; returns a Multiboot executable."""
    for tool in ("gcc", "ld", "objcopy"):
        if not shutil.which(tool):
            raise Skip(f"no {tool}")
    image = context.work / name
    flags = ["-m32", "-march=i686", "-mno-sse", "-O1", "-ffreestanding", "-fno-pic", "-fno-pie", "-fno-stack-protector",
             "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-fno-tree-loop-distribute-patterns", "-w", "-c"]
    for command in (["gcc", *flags, sources / f"{name}.c", "-o", f"{image}.o"],
                    ["gcc", "-m32", "-c", sources / "start32.S", "-o", f"{image}.start.o"],
                    ["ld", "-m", "elf_i386", "-z", "noexecstack", "-T", sources / "flat.ld", "-o", image,
                     f"{image}.start.o", f"{image}.o"]):
        context.run(command).expect()
    return image


def lines(text):
    return [found.group(0) for found in map(line.search, text.replace("\r", "").split("\n")) if found]


def underGuise(context, image, engine):
    result = context.run([context.guise, "boot", "--arch", "i386", "--kernel", image, "--debug-exit", "0xf4", "--memory", "64M",
                          "--serial", "none", "--engine", engine], seconds=120)
    if result.status != 1 or not result.err.rstrip().endswith("end"):
        raise Mismatch(f"{engine}: status {result.status}, {result.err[-300:]!r}")
    return lines(result.err)


def compare(ours, theirs, known, normalize=lambda text: text):
    """Raises unless all differences are known ones."""
    strange = []
    for one, other in zip(ours, theirs):
        if normalize(one) != normalize(other):
            both = f"{one.replace(' | ', ' || ')} || {other.split(' | ', 1)[-1]}"
            if not any(re.search(pattern, both) for pattern, _ in known):
                strange.append(f"{one}\n    other: {other}")
    if strange:
        raise Mismatch(f"{len(strange)} of {len(theirs)} differ:\n  " + "\n  ".join(strange[:20]))


@case("exact/executors agree on 16- and 32-bit code in every mode", on=("i386",))
def executors(context):
    image = build(context, "exact32")
    compare(underGuise(context, image, "translate"), underGuise(context, image, "interpret"), [])


@case("exact/16- and 32-bit code in every mode as under QEMU", on=("i386",))
def againstQEMU(context):
    if not shutil.which("qemu-system-i386"):
        raise Skip("no qemu-system-i386")
    image = build(context, "exact32")
    log = context.work / "qemu.log"
    # QEMU 7.2 ends in a signal at the debug registers, which come last.
    context.run(["qemu-system-i386", "-machine", "pc,accel=tcg", "-cpu", "max", "-m", "64", "-display", "none", "-monitor", "none",
                 "-serial", "none", "-no-reboot", "-kernel", image, "-chardev", f"file,id=d,path={log}", "-device",
                 "isa-debugcon,iobase=0xe9,chardev=d", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"], seconds=60)
    theirs = lines(log.read_text(errors="replace"))[:-1]
    if len(theirs) < 2500:
        raise Mismatch(f"QEMU came to {len(theirs)} lines only")
    # QEMU does not set RF in what it pushes.
    compare(underGuise(context, image, "auto"), theirs, qemu,
            lambda text: re.sub(r"f=[0-9a-f]{6}", lambda f: f"f={int(f.group(0)[2:], 16) & ~0x10000:06x}", text))


@case("exact/16- and 32-bit code in every mode as under Bochs", on=("i386",))
def againstBochs(context):
    bios = pathlib.Path("/usr/share/bochs/BIOS-bochs-latest")
    if not shutil.which("bochs") or not bios.exists() or not shutil.which("script"):
        raise Skip("no bochs, or no BIOS or script for it")
    image = build(context, "exact32")
    work = context.work
    for command in (["gcc", "-m32", "-c", sources / "boot.S", "-o", work / "boot.o"],
                    ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", work / "boot.bin", work / "boot.o"],
                    ["objcopy", "-O", "binary", image, work / "flat.bin"]):
        context.run(command).expect()
    disk = work / "disk.img"
    disk.write_bytes(((work / "boot.bin").read_bytes() + (work / "flat.bin").read_bytes()).ljust(20 * 16 * 63 * 512, b"\0"))
    (work / "commands").write_text("c\n")
    (work / "bochsrc").write_text(f"""megs: 64
cpu: model=ryzen, count=1, ips=50000000, reset_on_triple_fault=0
romimage: file={bios}
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=disk, path="{disk}", mode=flat, cylinders=20, heads=16, spt=63
boot: disk
port_e9_hack: enabled=1
log: {work}/bochs.log
display_library: term
""")
    result = context.run(["env", "TERM=xterm", "script", "-qc", f"bochs -q -f {work}/bochsrc -rc {work}/commands", "/dev/null"], seconds=90)
    compare(underGuise(context, image, "auto"), lines(result.out), bochs,
            # CR0 has CD and NW set by its BIOS.
            lambda text: re.sub(r"=6(0000\d\d\d)", r"=0\1", text) if "%cr0" in text else text)

