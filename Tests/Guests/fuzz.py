"""Random input for whole guests: system calls, instruction words, suspend files. GUISE_FUZZ=N takes N times the turns, GUISE_FUZZ_SEED other
seeds; what fails names the seed to repeat it with."""
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess

from support import Mismatch, Skip, case, guests

own = pathlib.Path(__file__).resolve().parent / "programs"
factor = max(1, int(os.environ.get("GUISE_FUZZ") or 1))
firstSeed = 1 + 1000003 * int(os.environ.get("GUISE_FUZZ_SEED") or 0)
# How a process of ours ends that trapped. Guests may end by SIGSEGV as they like.
traps = {signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS}


def unprivileged(c):
    """The start of a command that has no power over the host, and a directory in which it may write: as nobody when we are root,
    alone in its own user and process namespaces."""
    place = c.work / "nobody"
    place.mkdir(exist_ok=True)
    c.work.chmod(0o755)
    prefix = []
    if os.getuid() == 0:
        os.chown(place, 65534, 65534)
        prefix = [c.need("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    prefix += [c.need("unshare"), "-Urpf", "--kill-child"]
    if subprocess.run([*prefix, "true"], capture_output=True, cwd=place).returncode != 0:
        raise Skip("the host gives no user namespaces")
    return prefix, place


@case("fuzz/random system calls", notQEMU="crashes on some", on=tuple(guests))
def calls(c):
    program, guise = c.work / "calls", c.work / "guise"
    shutil.copy(c.compile(own / "calls.c"), program)
    shutil.copy(c.guise, guise)
    prefix, place = unprivileged(c)
    for turn in range(factor):
        seed = firstSeed + 40 * turn
        result = c.run([*prefix, guise, "run", *c.engine, program, seed, 40, 250], seconds=240, cwd=place)
        # Children write random bytes anywhere: only what matters is looked for.
        said = result.out + result.err
        if "40 children, 0 suspicious" not in said or "internal error" in said or "Fatal error" in said:
            found = re.findall(r"seed \d+: .*|[^\n]*(?:internal|Fatal) error[^\n]*", said)
            raise Mismatch(f"seeds from {seed}: status {result.status}, {found}")


@case("fuzz/random instruction words as QEMU executes them")
def words(c):
    program = c.compile(own / "words.c", "-static", "-mno-relax", "-fno-stack-protector")
    qemu = c.need(c.emulator)
    for turn in range(factor):
        seed = str(firstSeed + turn)
        want = c.run([qemu, program, seed, "10000"], seconds=120).expect().out.splitlines()
        for engine in ("translate", "interpret"):
            got = c.program(program, seed, "10000", engine=engine, seconds=120).expect().out.splitlines()
            for one, other in zip(want, got):
                if one != other:
                    raise Mismatch(f"seed {seed}, {engine}: {other!r}, QEMU has {one!r}; WORDS_SHOW=INDEX shows the registers")
            if len(want) != 10000 or len(got) != 10000:
                raise Mismatch(f"seed {seed}, {engine}: {len(got)} words, QEMU has {len(want)}")


class SuspendFile:
    """A suspend file whose last frame of state can be replaced, with checksums that hold."""

    def __init__(self, data):
        self.frames, self.sums, at = [], [], 16
        self.header = data[:16]
        while at < len(data):
            size, total = struct.unpack_from("<IQ", data, at)
            self.sums.append(total)
            self.frames.append(data[at + 12:at + 12 + size])
            at += 12 + size
        self.state = self.zstd("-dc", self.frames[-2])
        if self.state[4] != 3:
            raise Mismatch("the suspend file has another layout than this test knows")

    @staticmethod
    def zstd(how, data):
        return subprocess.run(["zstd", "-q", "--no-check", how], input=data, capture_output=True, check=True).stdout

    @staticmethod
    def checksum(data):
        mask, value = (1 << 64) - 1, 0xcbf29ce484222325
        padded = data + bytes(-len(data) % 8) if len(data) % 8 else data + bytes(8)
        for word in (len(data), *struct.unpack(f"<{len(padded) // 8}Q", padded)):
            value = (value ^ word) * 0x100000001b3 & mask
            value ^= value >> 32
        return value

    def forge(self, state):
        frames = [*self.frames[:-2], self.zstd("-1c", state), self.frames[-1]]
        # Only what changed needs a new checksum.
        sums = [*self.sums[:-2], self.checksum(frames[-2]), self.sums[-1]]
        return self.header + b"".join(struct.pack("<IQ", len(frame), total) + frame for frame, total in zip(frames, sums))


@case("fuzz/forged suspend files cannot crash guise", notQEMU="suspends in another way", on=("riscv64", "amd64"))
def forged(c):
    c.need("zstd")
    generator = random.Random(firstSeed)
    name = f"forged-{c.work.name}"
    run = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done\n"
    console = c.boot(kernel=c.kernel(), initrd=c.initrd({"run": run}), append="console=ttyS0 quiet guise.run=/run", name=name, memory="256", cpus=2)
    console.expect("INIT-UP", 90)
    path = c.work / "state"
    c.run([c.guise, "suspend", name, path], seconds=60).expect()
    console.end(30)
    good = SuspendFile(path.read_bytes())
    if SuspendFile.checksum(good.frames[-2]) != good.sums[-2]:
        raise Mismatch("the suspend file has another checksum than this test knows")
    edges = [0, 1, 0x7f, 0x80, 0xff]
    refused = ran = 0
    for turn in range(12 * factor):
        state = bytearray(good.state)
        for _ in range(generator.choice((1, 3, 10))):
            at = generator.randrange(5, len(state))
            if generator.random() < 0.5:
                state[at] = generator.choice(edges)
            else:
                for index in range(at, min(at + generator.choice((4, 8)), len(state))):
                    state[index] = generator.choice(edges + [generator.randrange(256)])
        path.write_bytes(good.forge(bytes(state)))
        process = subprocess.Popen([c.guise, "resume", *(["--engine", "interpret"] if turn % 4 == 3 else []), str(path)], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            _, err = process.communicate(timeout=1.5 * c.patience)
        except subprocess.TimeoutExpired:
            process.kill()
            _, err = process.communicate()
            ran += 1
        refused += process.returncode == 125
        if process.returncode < 0 and -process.returncode in traps or b"Fatal error" in err:
            kept = pathlib.Path("/tmp") / f"guise-forged-{c.guest}-{firstSeed}-{turn}"
            shutil.copy(path, kept)
            raise Mismatch(f"turn {turn}, seed {firstSeed}: status {process.returncode}, {err[-300:]!r}; kept in {kept}")
    if refused + ran == 0:
        raise Mismatch("no file was refused and none ran")
