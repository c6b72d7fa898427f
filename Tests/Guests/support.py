"""What the cases share: the guest commands, expectations, and a console to talk to."""
import os
import pathlib
import re
import selectors
import shutil
import signal
import subprocess
import time

repository = pathlib.Path(__file__).resolve().parents[2]
cache = pathlib.Path(os.environ.get("GUISE_CACHE") or pathlib.Path.home() / ".cache/guise")
arch = "riscv64"
# Guests of the programs, by Debian's names: compiler, QEMU, what uname says.
guests = {
    "riscv64": ("riscv64-linux-gnu-gcc", "qemu-riscv64-static", "riscv64"),
    "amd64": ("x86_64-linux-gnu-gcc", "qemu-x86_64-static", "x86_64"),
    "i386": ("i686-linux-gnu-gcc", "qemu-i386-static", "i686"),
}
# The same as --arch names them, and QEMU's machines.
architectures = {"riscv64": "riscv64", "amd64": "x86_64", "i386": "i386", "amd64-generic": "x86_64", "i386-686": "i386"}
qemuMachines = {"riscv64": ["qemu-system-riscv64", "-M", "virt"], "amd64": ["qemu-system-x86_64", "-M", "pc", "-cpu", "max"],
                "i386": ["qemu-system-i386", "-M", "pc"], "amd64-generic": ["qemu-system-x86_64", "-M", "pc", "-cpu", "max"]}
cases = []


class Skip(Exception):
    """The case cannot run here; the message says what is missing."""


class Mismatch(Exception):
    """The guest did something else than expected."""


class Case:
    def __init__(self, name, function, notQEMU, executes, guest):
        self.name, self.function, self.notQEMU, self.executes, self.guest = name, function, notQEMU, executes, guest


def case(name, notQEMU=None, executes=False, on=(arch,)):
    """Registers a case. notQEMU says why QEMU cannot pass it; executes, that the guest executes guest files; on, the
    guests it is for: on others than the first of all its name tells which."""
    def register(function):
        for guest in on:
            full = name if guest == arch else name.replace("/", f"/{guest} ", 1)
            cases.append(Case(full, function, notQEMU, executes, guest))
        return function
    return register


# QEMU's user mode cannot execute guest files by itself. A user namespace may have a binfmt_misc of its own
# (Linux 6.7), which the rest of the machine does not see; a root becomes `/` by chroot.
binfmt = r"""
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 1
printf %s ':guise:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'$1:FP \
    >/proc/sys/fs/binfmt_misc/register || exit 1
root=$2; shift 2
[ "$root" ] || exec "$@"
mount --rbind /proc "$root/proc" && mount --rbind /dev "$root/dev" && exec chroot "$root" "$@"
"""


def qemuExecutes(root, words):
    """The command that runs a guest program under QEMU so that it can execute others, or None where that is impossible."""
    qemu = shutil.which("qemu-riscv64-static")
    prefix = ["unshare", "-Urm", "sh", "-c", binfmt, "sh", qemu]
    if not qemu or subprocess.run([*prefix, "", "true"], capture_output=True).returncode != 0:
        return None
    return [*prefix, root or "", *words]


def shorten(text, limit=400):
    return text if len(text) <= limit else "…" + text[-limit:]


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def expect(self, out=None, status=0, err=None):
        """Compares; out and err are whole texts, or compiled regular expressions to be found."""
        for name, got, want in (("output", self.out, out), ("standard error", self.err, err)):
            if want is None:
                continue
            if isinstance(want, re.Pattern):
                if not want.search(got):
                    raise Mismatch(f"{name} has no /{want.pattern}/: {shorten(got)!r}; standard error {shorten(self.err)!r}")
            elif got != want:
                raise Mismatch(f"{name} is {shorten(got)!r}, want {shorten(want)!r}; status {self.status}, standard error {shorten(self.err)!r}")
        if status is not None and self.status != status:
            raise Mismatch(f"status {self.status}, want {status}; output {shorten(self.out)!r}, standard error {shorten(self.err)!r}")
        return self


class Console:
    """A guest whose standard input and output are pipes."""

    def __init__(self, command, patience, environment=None):
        self.command, self.patience, self.seen, self.read = command, patience, "", 0
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                            bufsize=0, start_new_session=True, env=environment)
        except OSError as error:
            raise Mismatch(f"cannot start {command[0]}: {error.strerror}")
        os.set_blocking(self.process.stdout.fileno(), False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def pump(self, seconds):
        """Reads what is there, waiting at most so long; False at the end of output."""
        if not self.selector.select(max(0, seconds)):
            return True
        chunk = self.process.stdout.read(65536)
        if chunk == b"":
            return False
        self.seen += (chunk or b"").decode("utf-8", "replace")
        return True

    def expect(self, pattern, seconds):
        """Waits for the regular expression in what came since the last match; returns the match."""
        deadline = time.monotonic() + seconds * self.patience
        alive = True
        while True:
            match = re.compile(pattern).search(self.seen, self.read)
            if match:
                self.read = match.end()
                return match
            if not alive:
                raise Mismatch(f"the guest ended (status {self.process.wait()}) without /{pattern}/: {shorten(self.seen)!r}")
            if time.monotonic() > deadline:
                raise Mismatch(f"no /{pattern}/ in {seconds * self.patience:.0f} s: {shorten(self.seen)!r}")
            alive = self.pump(min(1, deadline - time.monotonic()))

    def send(self, text):
        try:
            self.process.stdin.write(text.encode())
        except BrokenPipeError:
            raise Mismatch(f"the guest is gone: {shorten(self.seen)!r}")

    def end(self, seconds, status=0):
        """Waits for the end of the guest and checks its status (None: any but 0)."""
        deadline = time.monotonic() + seconds * self.patience
        while self.pump(min(1, deadline - time.monotonic())):
            if time.monotonic() > deadline:
                raise Mismatch(f"no end in {seconds * self.patience:.0f} s: {shorten(self.seen)!r}")
        got = self.process.wait()
        if (status is None and got == 0) or (status is not None and got != status):
            raise Mismatch(f"status {got}, want {'not 0' if status is None else status}: {shorten(self.seen)!r}")

    def kill(self):
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


class Context:
    """One case's surroundings: a directory of its own, guests to start, files to find."""

    def __init__(self, arguments, work, case):
        self.guise, self.qemu, self.chaos = arguments.guise, arguments.against == "qemu", arguments.chaos
        self.engine = ["--engine", arguments.engine] if arguments.engine else []
        self.patience, self.work, self.consoles, self.executes = arguments.patience, work, [], case.executes
        self.guest = case.guest
        # A flavour of a kernel comes behind a dash.
        self.compiler, self.emulator, self.machine = guests[case.guest.split("-")[0]]

    def close(self):
        for console in self.consoles:
            console.kill()

    def console(self, command):
        self.consoles.append(Console([str(word) for word in command], self.patience))
        return self.consoles[-1]

    def run(self, command, input="", seconds=60, cwd=None):
        """Runs to the end; returns status (128 + n for a signal), output and standard error."""
        with subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True, cwd=cwd or self.work, text=True, errors="replace") as process:
            try:
                out, err = process.communicate(input, timeout=seconds * self.patience)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                raise Mismatch(f"no end in {seconds * self.patience:.0f} s: output {shorten(out)!r}, standard error {shorten(err)!r}")
            status = process.returncode
            # A process ended by a signal and a shell's 128 + n mean the same.
            return Result(128 - status if status < 0 else status, out, err)

    # Programs

    def root(self):
        root = cache / "roots" / self.guest
        self.script("make-root.sh", root / ".guise")
        return root

    def program(self, *words, root=None, options=(), engine=None, **rest):
        """Runs a guest program: a host path, or with a root a path in it."""
        if self.qemu:
            if options or engine:
                raise Skip("QEMU has not these options")
            if self.guest == arch and (command := qemuExecutes(root, words)):
                return self.run(command, **rest)
            if self.executes:
                raise Skip("QEMU cannot execute guest files without binfmt_misc")
            first = str(root) + words[0] if root else words[0]
            extra = ["-L", root, "-E", f"PYTHONHOME={root}/usr"] if root else []
            return self.run([self.need(self.emulator), *extra, first, *words[1:]], **rest)
        where = ["--root", root] if root else []
        how = ["--engine", engine] if engine else self.engine
        return self.run([self.guise, "run", *how, *where, *options, *words], **rest)

    def need(self, tool):
        found = shutil.which(tool)
        if not found:
            raise Skip(f"{tool} is not installed")
        return found

    def compile(self, source, *flags):
        """Compiles a C file for the guest, statically unless flags say otherwise; kept in the cache."""
        self.need(self.compiler)
        source = pathlib.Path(source)
        target = cache / "tests" / self.guest / "-".join([source.stem, *(f.strip("-") for f in flags)])
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            how = flags or ("-static",)
            subprocess.run([self.compiler, "-O2", *how, "-o", f"{target}.part", source, "-lm", "-pthread"], check=True, capture_output=True)
            os.rename(f"{target}.part", target)
        return target

    def bare(self, source, *flags):
        """Assembles a kernel of one file for 32-bit x86."""
        gcc, target = self.need("gcc"), self.work / "-".join([pathlib.Path(source).stem, *(f.strip("-") for f in flags)])
        self.run([gcc, "-m32", *flags, "-c", "-o", f"{target}.o", source]).expect()
        # Unaligned: nothing below the first byte of the code may be loaded.
        self.run([self.need("ld"), "-m", "elf_i386", "-n", "-Ttext", "0x100000", "--section-start=.note.Xen=0x110000", "-e", "start",
                  "-z", "noexecstack", "--no-warn-rwx-segments", "-o", target, f"{target}.o"]).expect()
        return target

    # Machines

    def script(self, name, product, *words, guest=None):
        """Runs a script of Scripts/guests unless its product is already there; its last line is its answer."""
        done = subprocess.run([repository / "Scripts/guests" / name, guest or self.guest, *words], capture_output=True, text=True)
        if done.returncode != 0:
            if product is not None and product.exists():
                return ""
            raise Skip(f"{name} failed, no network? {shorten(done.stderr.strip(), 200)}")
        return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""

    def kernel(self):
        return self.script("fetch-kernel.sh", None)

    def initrd(self, files=None, modules=()):
        """An initrd with more files, given as {name: text or path}, and kernel modules that are loaded at its start."""
        extra, out = self.work / "extra", self.work / "initrd.gz"
        extra.mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            target = extra / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pathlib.Path):
                shutil.copy(content, target)
            else:
                target.write_text(content)
        self.script("make-initrd.sh", None, out, extra, *modules)
        return out

    def boot(self, kernel=None, initrd=None, append=None, memory="512", cpus=1, disk=None, firmware=None, name=None, engine=None, options=()):
        """Boots a machine; returns its console."""
        if self.qemu:
            if name or engine or options:
                raise Skip("QEMU has not these options")
            tool, *machine = qemuMachines[self.guest]
            command = [self.need(tool), *machine, "-m", memory, "-smp", cpus, "-nographic", "-no-reboot"]
            for option, value in (("-bios", firmware), ("-kernel", kernel), ("-initrd", initrd), ("-append", append)):
                command += [option, value] if value else []
            if disk:
                command += ["-drive", f"file={disk},format=raw,if=none,id=d", "-device", "virtio-blk-device,drive=d" if self.guest == arch else "virtio-blk-pci,drive=d"]
            return self.console(command)
        command = [self.guise, "boot", "--arch", architectures[self.guest], *(["--engine", engine] if engine else self.engine), "--memory", f"{memory}M", "--cpus", cpus, *options]
        for option, value in (("--firmware", firmware), ("--kernel", kernel), ("--initrd", initrd), ("--append", append), ("--disk", disk), ("--name", name)):
            command += [option, value] if value else []
        return self.console(command)
