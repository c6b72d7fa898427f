"""Machines of x86 that the other architectures have not: boot protocols, buses, old processors, kernels that are not Linux."""
import re
import time

from machines import append, checkDisk, disk, diskAppend, login
from support import Mismatch, cache, case, repository

bareSource = repository / "Tests/Guests/programs/bare.S"


@case("machines/vmlinux by PVH", on=("amd64", "i386"))
def pvh(c):
    vmlinux = c.work / "vmlinux"
    c.run([repository / "Scripts/guests/extract-vmlinux.py", c.kernel(), vmlinux]).expect()
    console = c.boot(kernel=vmlinux, initrd=c.initrd({"run": "echo machine $(uname -m); dmesg | grep -i 'pvh\\|hypervisor'\n"}),
                     append=f"{append} guise.run=/run")
    console.expect(r"INIT-UP [0-9.]+", 90)
    console.expect(rf"machine {c.machine}\r?\n", 20)
    console.end(30)


@case("machines/Debian's generic kernel", on=("amd64-generic",))
def generic(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": "echo machine $(uname -m)\n"}), append=f"{append} guise.run=/run")
    console.expect(r"INIT-UP [0-9.]+", 120)
    console.expect(r"machine x86_64\r?\n", 20)
    console.end(30)


@case("machines/Debian's 686 kernel", notQEMU="is asked for no processor model", on=("i386-686",))
def kernel686(c):
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": "grep -w cmov -c /proc/cpuinfo; echo machine $(uname -m)\n"}),
                     append=f"{append} guise.run=/run", options=["--cpu", "pentium3"])
    console.expect(r"INIT-UP [0-9.]+", 120)
    console.expect(r"\n1\r?\nmachine i686\r?\n", 20)
    console.end(30)


@case("machines/a disk on virtio-mmio", notQEMU="names its buses in another way", on=("amd64", "i386"))
def mmioDisk(c):
    image = c.work / "mmio.img"
    image.write_bytes(b"first sector\n".ljust(4 << 20, b"\0"))
    run = ("readlink -f /sys/block/vda; head -c 12 /dev/vda; echo; yes second | dd of=/dev/vda bs=1M count=2 iflag=fullblock conv=fsync 2>/dev/null\n"
           "grep virtio /proc/interrupts; sha256sum </dev/vda\n")
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": run}, ["virtio_mmio", "virtio_blk"]), append=f"{append} guise.run=/run",
                     disk=f"{image},bus=mmio")
    console.expect("INIT-UP", 90)
    console.expect(r"/sys/devices/\S*LNRO0005\S*/virtio\d+/block/vda", 20)
    console.expect("first sector", 10)
    console.expect(r"IO-APIC\s.*virtio", 20)
    console.end(30)
    if image.read_bytes() != (b"second\n" * (2 << 20))[:2 << 20] + bytes(2 << 20):
        raise Mismatch("the image holds something else than the guest wrote")


@case("machines/Debian with systemd on a virtio-mmio disk", notQEMU="names its buses in another way", on=("amd64",))
def mmioSystem(c):
    initrd, image = disk(c)
    console = c.boot(kernel=c.kernel(), initrd=initrd, append=diskAppend, memory="1024", disk=f"{image},bus=mmio", cpus=2)
    login(console)
    console.send("poweroff\n")
    console.end(120)
    checkDisk(c, image)


# What each model has of: a changeable AC flag, a changeable ID flag, XADD, CMPXCHG8B, CMOV.
models = {"386": "nnnnn", "486": "ynynn", "pentium": "yyyyn", "k6-3dnow": "yyyyn", "pentiumpro": "yyyyy", "max": "yyyyy"}


@case("machines/a bare program, its debug console and its exit", notQEMU="has not these models", on=("i386",))
def bare(c):
    for protocol, flags in (("pvh", ()), ("multiboot", ("-DMULTIBOOT",))):
        kernel = c.bare(bareSource, *flags)
        for model, has in models.items():
            words = [c.guise, "boot", *c.engine, "--arch", "i386", "--cpu", model, "--debug-exit", "0x501", "--kernel", kernel,
                     "--append", "status=20"]
            lines = "".join(f"{name} {'yes' if answer == 'y' else 'no'}\n" for name, answer in zip(("AC", "ID", "XADD", "CMPXCHG8B", "CMOV"), has))
            result = c.run(words, seconds=30)
            if result.err != f"started by {protocol}\n{lines}a division by zero was caught\n{kernel.name + ' ' if flags else ''}status=20\n" or result.status != 41:
                raise Mismatch(f"{protocol} on {model}: status {result.status}, said {result.err!r}")
    # The same in long mode's processor, and without the device: its ports are empty, and the program halts.
    words = [c.guise, "boot", "--kernel", kernel, "--arch", "x86_64", "--append"]
    c.run([*words, "status=127", "--debug-exit", "0x501"], seconds=30).expect(status=255)
    c.run([*words, "status=0", "--debug-exit", "0x500"], seconds=30).expect(status=1)


@case("machines/memtest86+ tests", notQEMU="shows it on its screen", on=("amd64",))
def memtest(c):
    console = c.boot(kernel=c.script("fetch-bootable.sh", None, guest="memtest"), append="console=ttyS0", memory="64")
    console.expect(r"[Mm]emtest86\+", 60)
    console.expect(r"Address test", 60)
    console.expect(r"Moving inversions", 240)
    if re.search(r"Errors: +[1-9]", console.seen):
        raise Mismatch("it found errors")
    console.kill()


@case("machines/GNU Mach to its banner", notQEMU="shows it on its screen", on=("i386",))
def mach(c):
    # Its name says 486, but Debian's compiler makes CMOV: docs/x86.md.
    kernel = c.script("fetch-bootable.sh", None, guest="gnumach")
    console = c.boot(kernel=kernel, append="console=com0", memory="256", options=["--cpu", "pentiumpro"])
    console.expect(r"GNU Mach 1\.8", 60)
    console.expect(r"vm_page: page table size", 30)
    time.sleep(1)
    console.kill()


@case("machines/Debian 12's installer to its first screen", on=("i386",))
def installer386(c):
    files = cache / "installer/i386"
    c.script("fetch-installer.sh", files / "ready")
    console = c.boot(kernel=files / ("linux" if (files / "linux").exists() else "vmlinuz"), initrd=files / "initrd.gz", append="console=ttyS0", memory="1024")
    console.expect(r"Select a language", 300)
    console.expect(r"English", 60)
    console.kill()
