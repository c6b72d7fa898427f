"""Machines: Debian's kernel with busybox, its installer, a whole system with systemd, firmware, and suspend/resume."""
import hashlib
import os
import random
import re
import shutil
import time

from support import Mismatch, Skip, cache, case, repository

benches = repository / "Benchmarks/programs"
append = "console=ttyS0 quiet"


@case("machines/kernel to init and power off", on=("riscv64", "amd64", "i386"))
def kernelToInit(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": "echo machine $(uname -m) $((6 * 7))\n"}), append=f"{append} guise.run=/run")
    console.expect(r"INIT-UP [0-9.]+", 60)
    console.expect(rf"machine {c.machine} 42\r?\n", 20)
    console.end(20)


@case("machines/kernel to init, interpreted")
def interpreted(c):
    if c.qemu:
        raise Skip("QEMU has not these options")
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": "echo up\n"}), append=f"{append} guise.run=/run", engine="interpret")
    console.expect(r"INIT-UP [0-9.]+", 400)
    console.end(60)


@case("machines/interactive shell with job control", on=("riscv64", "amd64"))
def shell(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd(), append=append)
    console.expect(r"guise:/# ", 60)
    console.send("echo a$((40 + 2))b; tty\n")
    console.expect(r"a42b\r?\n/dev/[a-zA-Z]", 20)
    console.expect(r"guise:/# ", 20)
    console.send("sleep 1000\n")
    time.sleep(1)
    console.send("\x03")
    console.expect(r"guise:/# ", 20)
    console.send("grep -c . /proc/interrupts; poweroff\n")
    console.end(30)


@case("machines/four processors", on=("riscv64", "amd64"))
def processors(c):
    run = "nproc; /atomics 1500; for i in 1 2 3 4; do /threads 5000 & done; wait; echo all done\n"
    files = {"run": run, "atomics": c.compile(repository / "Tests/Guests/programs/atomics.c"), "threads": c.compile(benches / "threads.c")}
    console = c.boot(kernel=c.kernel(), initrd=c.initrd(files), append=f"{append} guise.run=/run", cpus=4)
    console.expect(r"INIT-UP", 60)
    console.expect(r"\n4\r?\n", 10)
    console.expect(r"atomics ok", 120)
    for _ in range(4):
        console.expect(r"threads 5000 [0-9a-f]+ \d+\r?\n", 120)
    console.expect(r"all done", 60)
    console.end(30)


@case("machines/programs compute the same as native ones", on=("riscv64", "amd64", "i386"))
def compute(c):
    gcc, run, files, want = c.need("gcc"), "", {}, []
    for name, count in (("coremix", 200), ("sha256", 20), ("fft", 5), ("nbody", 5000), ("bytecode", 5), ("hashtable", 3), ("forkexec", 30), ("pipe", 500)):
        if name == "sha256" and c.guest == "i386":
            continue  # needs a 128-bit type
        native = c.work / name
        c.run([gcc, "-O2", "-o", native, benches / f"{name}.c", "-lm", "-pthread"]).expect()
        want.append(c.run([native, str(count)]).expect().out.strip())
        files[name] = c.compile(benches / f"{name}.c")
        run += f"/{name} {count}\n"
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({**files, "run": run}), append=f"{append} guise.run=/run")
    console.expect("INIT-UP", 60)
    for line in want:
        console.expect(re.escape(line), 60)
    console.end(30)


@case("machines/reboot reboots", notQEMU="is started with -no-reboot")
def reboot(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": "reboot -f\n"}), append=f"{append} guise.run=/run")
    console.expect("INIT-UP", 60)
    console.expect("INIT-UP", 60)
    console.kill()


@case("machines/kernel panic is not success", notQEMU="does not see panics")
def panic(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd(), append="console=ttyS0 rdinit=/none root=/dev/none")
    console.expect("Kernel panic", 60)
    console.end(60, status=None)


@case("machines/Debian installer to its first screen", on=("riscv64", "amd64"))
def installer(c):
    files = cache / "installer" / c.guest
    c.script("fetch-installer.sh", files / "ready")
    console = c.boot(kernel=files / "linux", initrd=files / "initrd.gz", append="console=ttyS0", memory="1024")
    console.expect(r"Select a language", 240)
    console.expect(r"English", 60)
    console.kill()


def residentBytes(process):
    """Resident memory of a machine: (its guest's RAM, all else). Pages in two mappings of one process count once (Pss)."""
    guest = rest = 0
    key = None
    for line in open(f"/proc/{process.pid}/smaps"):
        if mapping := re.match(r"([0-9a-f]+)-\S+ \S+ \S+ (\S+) (\d+)\s*(.*)", line):
            key = mapping[4], mapping[2], mapping[3]
        elif line.startswith("Pss:"):
            size = int(line.split()[1]) << 10
            guest, rest = (guest + size, rest) if "guest-ram" in key[0] else (guest, rest + size)
    return guest, rest


@case("machines/an idle machine needs little", notQEMU="is not asked")
def idle(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd(), append=append, cpus=2)
    console.expect(r"guise:/# ", 60)
    deadline = time.monotonic() + 60 * c.patience
    while True:
        before = cpuSeconds(console.process)
        time.sleep(5)
        busy = (cpuSeconds(console.process) - before) / 5
        guest, rest = residentBytes(console.process)
        if busy < 0.02 and rest < 30 << 20:
            break
        if time.monotonic() > deadline:
            raise Mismatch(f"{busy:.1%} of a processor, {rest >> 20} MB beside {guest >> 20} MB of guest memory")
    console.send("poweroff\n")
    console.end(30)


def cpuSeconds(process):
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@case("machines/sixteen processors", on=("riscv64", "amd64"))
def sixteen(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": "nproc; seq 1 64 | xargs -P 16 -n 1 sh -c 'echo $0 | md5sum >/dev/null'; echo all done\n"}),
                     append=f"{append} guise.run=/run", cpus=16)
    console.expect(r"INIT-UP", 120)
    console.expect(r"\n16\r?\n", 20)
    console.expect(r"all done", 120)
    console.end(60)


@case("machines/damaged boot files give a reason", notQEMU="words it in another way")
def damagedKernels(c):
    kernel, generator = open(c.kernel(), "rb").read(), random.Random(5)
    vmlinux = open(c.compile(repository / "Tests/Guests/programs/storm.c"), "rb").read()
    foreign = open("/bin/true", "rb").read()
    bad = {
        "empty": (b"", "empty"), "short": (kernel[:40], ""), "noise": (generator.randbytes(100000), "neither"),
        "foreign ELF": (foreign, "ELF machine 62"), "truncated ELF": (vmlinux[:len(vmlinux) // 2], "outside the file"),
        "ELF header": (vmlinux[:70], "outside the file"), "gzip": (b"\x1f\x8b" + kernel[:5000], "gzip"),
        "text": (b"#!/bin/sh\necho hello\n", "neither"), "truncated Image": (kernel[:len(kernel) // 3], "truncated"),
    }
    for what, (data, reason) in bad.items():
        path = c.work / "kernel"
        path.write_bytes(data)
        result = c.run([c.guise, "boot", "--kernel", path], seconds=20)
        result.expect(status=125, err=re.compile(re.escape(str(path)) + ".*" + reason))
    for option, path, reason in (("--kernel", "/nonexistent", "No such file"), ("--kernel", "/", "directory"),
                                 ("--initrd", "/nonexistent", "No such file"), ("--disk", "/nonexistent", "No such file"),
                                 ("--disk", "/", "directory"), ("--disk", "/bin/true,bus=isa", "bus=isa"),
                                 ("--share", "/nonexistent=t", "No such file"), ("--firmware", "/nonexistent", "No such file")):
        words = [c.guise, "boot", *([] if option == "--kernel" else ["--kernel", c.kernel()]), option, path]
        c.run(words, seconds=20).expect(status=125, err=re.compile(f"{re.escape(path.split(',')[0].split('=')[0])}.*{reason}"))


@case("machines/a disk on PCIe", notQEMU="names its buses in another way")
def pciDisk(c):
    image = c.work / "pci.img"
    image.write_bytes(b"first sector\n".ljust(8 << 20, b"\0"))
    # A restart and a resume must find the function and its interrupt line again.
    run = ("mount -t sysfs s /sys 2>/dev/null; cat /sys/bus/pci/devices/0000:00:01.0/vendor; readlink -f /sys/block/vda\n"
           "head -c 12 /dev/vda; echo; yes second | dd of=/dev/vda bs=1M count=4 iflag=fullblock conv=fsync 2>/dev/null\n"
           "grep virtio /proc/interrupts; read line; dd if=/dev/vda bs=1M iflag=direct 2>/dev/null | sha256sum\n")
    name = f"pci-{c.work.name}"
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": run}, ["virtio_pci", "virtio_blk"]), append=f"{append} guise.run=/run",
                     disk=f"{image},bus=pci", name=name)
    console.expect("0x1af4", 60)
    console.expect(r"/sys/devices/\S*pci0000:00/0000:00:01.0/virtio\d+/block/vda", 10)
    console.expect("first sector", 10)
    console.expect(r"PLIC\s+3[2-5]\b", 20)
    console, _ = suspendAndResume(c, console, 0, name)
    console.send("go\n")
    want = hashlib.sha256((b"second\n" * (4 << 20))[:4 << 20] + bytes(4 << 20)).hexdigest()
    console.expect(want, 30)
    console.end(30)
    if hashlib.sha256(image.read_bytes()).hexdigest() != want:
        raise Mismatch("the image holds something else than the guest wrote")


@case("machines/virtio console", notQEMU="names its consoles in another way")
def virtioConsole(c):
    name = f"hvc-{c.work.name}"
    # Debian's driver is a module, so the console is there only after the kernel's own start.
    initrd = c.initrd({"run": "exec </dev/hvc0 >/dev/hvc0 2>&1; exec setsid -c sh -i\n"}, ["virtio_mmio", "virtio_console"])
    console = c.console([c.guise, "boot", *c.engine, "--kernel", c.kernel(), "--initrd", initrd, "--virtio-console", "stdio",
                         "--append", "console=ttyS0 console=hvc0 guise.run=/run", "--name", name])
    console.expect(r"# ", 60)
    console.send("tty; stty -echo; wc -c; echo counted\n")
    console.expect(r"/dev/hvc0", 20)
    # More than the guest's buffers hold at once, in lines that its line discipline takes.
    for _ in range(40):
        console.send(("x" * 999 + "\n") * 8)
    console.send("\x04")
    console.expect(r"320000\r?\ncounted", 60)
    console.send("seq 1 60000 | tail -c 350000; echo all\n")
    console.expect(r"59999\r?\n60000\r?\nall", 60)
    console, _ = suspendAndResume(c, console, 0, name)
    console.send("echo $((6 * 7)); poweroff -f\n")
    console.expect(r"42\r?\n", 20)
    console.end(30)


@case("machines/OpenSBI and U-Boot to their prompt")
def uboot(c):
    files = cache / "firmware/riscv64"
    c.script("fetch-firmware.sh", files / "ready")
    console = c.boot(firmware=files / "fw_jump.bin", kernel=files / "u-boot.bin", memory="256")
    console.expect(r"OpenSBI v", 30)
    console.expect(r"U-Boot 20", 30)
    console.expect(r"Hit any key", 30)
    console.send("x")
    console.expect(r"=> ", 60)
    console.send("version; poweroff\n")
    console.expect(r"U-Boot 20", 30)
    console.end(30)


@case("machines/OpenSBI starts the kernel")
def opensbi(c):
    files = cache / "firmware/riscv64"
    c.script("fetch-firmware.sh", files / "ready")
    console = c.boot(firmware=files / "fw_jump.bin", kernel=c.kernel(), initrd=c.initrd({"run": "echo up\n"}), append=f"{append} guise.run=/run")
    console.expect(r"OpenSBI v", 30)
    console.expect(r"INIT-UP", 60)
    console.end(30)


def disk(c):
    """An initrd that mounts the Debian disk, and a private copy of that: holes stay holes."""
    files = cache / "disks" / c.guest
    c.script("make-disk.sh", files / "disk.img")
    copy = c.work / "disk.img"
    c.run(["cp", "--sparse=always", "--reflink=auto", files / "disk.img", copy]).expect()
    return files / "initrd.gz", copy


def checkDisk(c, image):
    """The file system must be clean without any repair beyond its journal."""
    fsck = shutil.which("e2fsck", path="/sbin:/usr/sbin:/bin:/usr/bin")
    if fsck:
        c.run([fsck, "-f", "-n", image]).expect(status=0)


diskAppend = "console=ttyS0 quiet root=/dev/vda guise.root=/dev/vda systemd.show_status=0"


def login(console):
    console.expect(r"guise login: ", 240)
    console.send("root\n")
    console.expect(r"root@guise:~# ", 60)


@case("machines/Debian with systemd to a login and a clean end", on=("riscv64", "amd64"))
def systemd(c, cpus=1):
    initrd, image = disk(c)
    console = c.boot(kernel=c.kernel(), initrd=initrd, append=diskAppend, memory="1024", disk=image, cpus=cpus)
    login(console)
    console.send("stty -echo; systemctl is-system-running --wait; systemctl --failed --no-legend --no-pager | wc -l\n")
    console.expect(r"running\r?\n0\r?\n", 120)
    console.send("printf '#include <stdio.h>\\nint main(void) { puts(\"built in the guest\"); return 0; }\\n' > a.c; gcc -O2 a.c && ./a.out\n")
    console.expect(r"built in the guest", 120)
    console.send("poweroff\n")
    console.end(120)
    checkDisk(c, image)


@case("machines/Debian with systemd on four processors", on=("amd64",))
def systemdOnFour(c):
    systemd(c, cpus=4)


class Ended(Mismatch):
    """The guest has powered its machine off before it could be suspended."""


def suspendAndResume(c, console, turn, name, engine=None):
    """Suspends the machine of that name and continues it in another process, every fourth turn on the slow engine."""
    state = c.work / f"state{turn}"
    suspended = c.run([c.guise, "suspend", name, state], seconds=60)
    while "no machine of that name" in suspended.err and console.process.poll() is None:
        # It was started a moment ago and has no name yet.
        time.sleep(0.05)
        suspended = c.run([c.guise, "suspend", name, state], seconds=60)
    if suspended.status != 0:
        console.pump(1)
        isOver = "no machine of that name" in suspended.err and console.process.poll() == 0
        raise (Ended if isOver else Mismatch)(f"turn {turn}: {suspended.err.strip()}; the machine (status {console.process.poll()}) said {console.seen[-600:]!r}")
    # At once: when suspend returns, name and disks are free.
    resumed = c.console([c.guise, "resume", "--engine", engine or ("interpret" if turn % 4 == 3 else "translate"), state])
    console.end(30)
    return resumed, state


@case("machines/resumed on the other engine and back", notQEMU="suspends in another way")
def otherEngine(c):
    # Floating point, atomics through the shell's pipes, and timers are all under way when the engine changes.
    run = ("i=0; while [ ! -e /stop ]; do i=$((i + 1)); echo turn $i $(awk \"BEGIN { print 1 / $i }\"); sleep 0.05; done &\n"
           "read line; touch /stop; wait; echo heard $line\n")
    name = f"engines-{c.work.name}"
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": run}), append=f"{append} guise.run=/run", cpus=2, name=name)
    console.expect(r"turn 10 ", 60)
    last = 10
    for turn, engine in enumerate(["interpret", "translate", "interpret", "translate"]):
        console.pump(0)
        resumed, _ = suspendAndResume(c, console, turn, name, engine)
        before, console = console.seen, resumed
        last = max([last, *(int(n) for n in re.findall(r"turn (\d+) ", before))])
        for number in (last + 2, last + 5):
            shown = console.expect(rf"turn {number} (\S+)\r?\n", 60)
            want = f"{1 / number:.6g}"
            if abs(float(shown[1]) - float(want)) > 1e-4 * float(want):
                raise Mismatch(f"1 / {number} is {shown[1]} on {engine}, want {want}")
        last += 5
    console.send("you\n")
    console.expect(r"heard you", 30)
    console.end(30)


@case("machines/chaos: suspend and resume during boot and work", notQEMU="suspends in another way", on=("riscv64", "amd64"))
def chaosBoot(c):
    generator = random.Random()
    run = "i=0; while [ $i -lt 40 ]; do echo turn $i $(seq 1 $((i * 50)) | sha256sum | cut -c1-16); i=$((i + 1)); done; echo counted $i\n"
    kernel, initrd = c.kernel(), c.initrd({"run": run})
    turn = 0
    while turn < c.chaos:
        name, seed = f"chaos-{c.work.name}-{turn}", generator.randrange(1 << 30)
        generator.seed(seed)
        console = c.boot(kernel=kernel, initrd=initrd, append=f"{append} guise.run=/run", name=name, cpus=1 + turn % 2)
        text = ""
        try:
            time.sleep(generator.uniform(0.05, 2.5))
            console.pump(0)
            try:
                resumed, state = suspendAndResume(c, console, turn, name)
                text, console = console.seen, resumed
                turn += 1
                state_size = state.stat().st_size
                if state_size > 400 << 20:
                    raise Mismatch(f"the file has {state_size} bytes")
            except Ended:
                pass # a guest faster than the clock: its work must be done all the same, and the turn is another's
            console.end(240)
            text += console.seen
            if "counted 40" not in text or len(set(re.findall(r"turn (\d+) [0-9a-f]{16}", text))) != 40:
                raise Mismatch(f"work was lost: {text[-300:]!r}")
        except Mismatch as mismatch:
            raise Mismatch(f"turn {turn}, seed {seed}: {mismatch}")


@case("machines/chaos: suspend and resume during a compile on a disk", notQEMU="suspends in another way", on=("riscv64", "amd64"))
def chaosCompile(c):
    generator = random.Random()
    initrd, image = disk(c)
    name = f"chaos-{c.work.name}"
    console = c.boot(kernel=c.kernel(), initrd=initrd, append=diskAppend, memory="1024", disk=image, name=name, cpus=2)
    login(console)
    console.send("stty -echo; printf '#include <stdio.h>\\nint main(void) { puts(\"built\"); return 0; }\\n' > a.c; "
                 "i=0; while [ ! -e /stop ]; do gcc -O2 a.c -o a$i && ./a$i >/dev/null && sync && i=$((i + 1)) || echo BROKEN; rm -f a$((i - 2)); done; echo STOPPED\n")
    for turn in range(max(1, c.chaos)):
        time.sleep(generator.uniform(0.2, 3))
        console, state = suspendAndResume(c, console, turn, name)
        state.unlink()
    time.sleep(2)
    # ctrl-c ends the loop, but not when it finds the foreground process already gone: the shell has no part in it then.
    for attempt in range(20):
        console.send("\x03")
        console.send("echo loop''over\n")
        try:
            console.expect("loopover", 5)
            break
        except Mismatch:
            if attempt == 19:
                raise
    console.send("poweroff\n")
    console.end(240)
    if "BROKEN" in console.seen:
        raise Mismatch(f"a compile failed: {console.seen[-300:]!r}")
    checkDisk(c, image)


@case("machines/a damaged suspend file is refused", notQEMU="suspends in another way")
def damagedState(c):
    generator = random.Random(3)
    name = f"damaged-{c.work.name}"
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": "sleep 100\n"}), append=f"{append} guise.run=/run", name=name)
    console.expect("INIT-UP", 60)
    state = c.work / "state"
    c.run([c.guise, "suspend", name, state], seconds=60).expect()
    good = state.read_bytes()
    for turn in range(20):
        data = bytearray(good)
        if turn % 2:
            del data[generator.randrange(len(data)):]
        else:
            data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        state.write_bytes(data)
        result = c.run([c.guise, "resume", state], seconds=60)
        result.expect(status=125, err=re.compile(re.escape(str(state))))
        if "Fatal error" in result.err:
            raise Mismatch(result.err[-300:])
