"""guise-oci under abuse: hostile images, exhausted resources, kill -9 anywhere, races, full disks, callers without privilege. Needs root."""
import json
import os
import pathlib
import pty
import random
import shutil
import signal
import subprocess
import time

from containers import Bundle, escapes, expect, noQEMU
from support import Skip, case

quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def words(b, *rest):
    return [*map(str, b.program), "--root", str(b.state), *map(str, rest)]


def snapshot(directory):
    """Names, kinds, links and contents below a directory."""
    return sorted((str(p.relative_to(directory)), os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else p.stat().st_mode)
                  for p in directory.rglob("*"))


@case("containers/abuse: an image that is a maze of symbolic links", notQEMU=noQEMU)
def maze(c):
    b = Bundle(c)
    generator = random.Random(11)
    victim = c.work / "victim"
    (victim / "etc").mkdir(parents=True)
    (victim / "etc/file").write_text("host")
    before = snapshot(victim)
    mounts = b.config["mounts"]
    names = ["a", "b", "c", "d", "e", "f", "proc", "dev", "sys", "etc", "tmp"]
    verdicts = set()
    for turn in range(40):
        shutil.rmtree(b.rootfs)
        (b.rootfs / "bin").mkdir(parents=True)
        shutil.copy(c.need("busybox"), b.rootfs / "bin/sh")
        for name in names:
            kind = max(0, generator.randrange(-12, 6))
            target = "/".join(generator.choice([*names, "..", ".", "..", "new"]) for _ in range(generator.randrange(1, 6)))
            link = [None, target, f"/{target}", "../" * 12 + str(victim).lstrip("/"), str(victim), name][kind]
            if link is None:
                (b.rootfs / name).mkdir()
            else:
                (b.rootfs / name).symlink_to(link)

        def path():
            return "/" + "/".join(generator.choice([*names[:6], "..", "new"]) for _ in range(generator.randrange(1, 5))) + "/end"

        b.config["mounts"] = [m for m in mounts if generator.randrange(3)] + [
            {"destination": path(), "type": "tmpfs", "source": "tmpfs"},
            {"destination": path(), "type": "bind", "source": "/dev/null", "options": ["bind"]},
            {"destination": path(), "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}]
        b.linux["maskedPaths"], b.linux["readonlyPaths"] = [path(), "/proc/kcore"], [path()]
        b.linux["devices"] = [{"path": path(), "type": "p"}]
        b.process["cwd"] = generator.choice(["/", path()])
        b.process["args"] = ["/bin/sh", "-c", "true"]
        result = b.run(seconds=20)
        verdicts.add(result.status == 0)
        expect(result.status == 0 or result.err.startswith("guise-oci: "), f"turn {turn}: {result.status} {result.err!r}")
        expect(snapshot(victim) == before, f"turn {turn}: made on the host: {snapshot(victim)}")
        b.expect_clean()
    expect(verdicts == {True, False}, f"every maze ends the same: {verdicts}")
    # Chains of links: what the kernel follows works, what it does not is an error.
    for length, works in [(30, True), (60, False)]:
        shutil.rmtree(b.rootfs)
        for name in ["bin", "real"]:
            (b.rootfs / name).mkdir(parents=True)
        shutil.copy(c.need("busybox"), b.rootfs / "bin/sh")
        (b.rootfs / "l0").symlink_to("real")
        for i in range(length):
            (b.rootfs / f"l{i + 1}").symlink_to(f"l{i}")
        b.config["mounts"] = [{"destination": f"/l{length}/x", "type": "tmpfs", "source": "tmpfs"}]
        b.linux.update(maskedPaths=[], readonlyPaths=[], devices=[])
        b.process["cwd"] = "/"
        result = b.run(seconds=20)
        expect((result.status == 0) == works and (works or "mounts[0]" in result.err), f"{length} links: {result.status} {result.err!r}")
        b.expect_clean()
    # The bundle's root is itself a link, which is the host's business, and a loop is an error.
    (b.path / "loop").symlink_to("loop")
    b.config["root"]["path"] = "loop"
    result = b.run()
    expect(result.status == 1 and "root.path" in result.err, result.err)


@case("containers/abuse: exhausted processes, memory and inodes", notQEMU=noQEMU)
def exhausted(c):
    b = Bundle(c)
    b.linux["resources"]["pids"] = {"limit": 6}
    b.sh("for i in 1 2 3 4 5; do sleep 100 & done; wait")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    for _ in range(100):
        if len(json.loads(b.oci("ps", "--format", "json", b.id).out)) == 6:
            break
        time.sleep(0.02)
    result = b.oci("exec", b.id, "true", seconds=20)
    expect(result.status != 0 and result.err, f"exec without a process to have: {result.status} {result.err!r}")
    for command in [["state", b.id], ["events", "--stats", b.id], ["pause", b.id], ["resume", b.id], ["update", "--pids-limit", "20", b.id]]:
        result = b.oci(*command, seconds=20)
        expect(result.status == 0, f"{command}: {result.err!r}")
    b.oci("exec", b.id, "echo", "room").expect("room\n")
    b.oci("delete", "--force", b.id).expect("")
    b.expect_clean()
    # Too little memory for anything: an error that says so, or a program that is killed; never a hang, never a remainder.
    del b.linux["resources"]["pids"]
    for limit in [4096, 65536, 262144, 1 << 20]:
        b.linux["resources"]["memory"] = {"limit": limit}
        result = b.sh("true").run(seconds=30)
        expect(result.status == 0 or result.status == 137 or result.status == 1 and result.err.startswith("guise-oci: "), f"{limit}: {result.status} {result.err!r}")
        b.expect_clean()
    # A container that uses up its memory is its own problem.
    b.linux["resources"]["memory"] = {"limit": 16 << 20}
    b.sh("sleep 100")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    b.oci("exec", b.id, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1").expect("", status=137, err=None)
    expect(b.status() == "running", "the first process went instead")
    b.oci("delete", "--force", b.id).expect("")
    b.linux["resources"].pop("memory")
    # Inodes of the file system with the state.
    for inodes in range(2, 8):
        b.state.mkdir(exist_ok=True)
        c.run(["mount", "-t", "tmpfs", "-o", f"nr_inodes={inodes}", "tmpfs", b.state]).expect("")
        try:
            result = b.sh("true").run(seconds=20)
            expect(result.status == 0 or "No space left" in result.err, f"{inodes} inodes: {result.status} {result.err!r}")
            expect(not list(b.state.iterdir()), f"{inodes} inodes: {list(b.state.iterdir())} stays")
            if b.create() == 0:
                b.oci("start", b.id)
            b.oci("delete", "--force", b.id).expect("")
            expect(not list(b.state.iterdir()), f"{inodes} inodes: {list(b.state.iterdir())} stays after create")
        finally:
            c.run(["umount", b.state]).expect("")
    # Of the image's, and of the one for the process number.
    small = c.work / "small"
    small.mkdir()
    c.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=3", "tmpfs", small]).expect("")
    try:
        (small / "filler").write_bytes(b"x" * 4096)
        result = b.sh("true").run("--pid-file", small / "pid")
        expect(result.status == 1 and "pid" in result.err and "No space left" in result.err, f"{result.status} {result.err!r}")
        expect([p.name for p in small.iterdir()] == ["filler"], "a part of the process number stays")
        result = c.run([*b.program, "--root", b.state, "--log", small / "log", "run", "--bundle", b.path, "--pid-file", small / "pid", b.id])
        expect(result.status == 1 and "No space left" in result.err, f"with a log on the full disk: {result.err!r}")
        (small / "log").unlink(missing_ok=True)
        shutil.rmtree(b.rootfs / "tmp")
        b.config["mounts"].append({"destination": "/small", "type": "bind", "source": str(small), "options": ["bind"]})
        b.config["mounts"].append({"destination": "/small/deep/er", "type": "tmpfs", "source": "tmpfs"})
        result = b.run()
        expect(result.status == 1 and "mounts[5]" in result.err, f"no inode for a mount point: {result.err!r}")
    finally:
        c.run(["umount", small]).expect("")
    b.expect_clean()


@case("containers/abuse: kill -9 of every command at any moment", notQEMU=noQEMU)
def killed(c):
    b = Bundle(c)
    b.sh("sleep 100")
    b.linux["cgroupsPath"] = f"/{b.id}/below/{b.id}"
    b.write()
    generator = random.Random(23)
    create = words(b, "create", "--bundle", b.path, "--pid-file", c.work / "pid", b.id)
    run = words(b, "run", "--detach", "--bundle", b.path, b.id)
    steps = {
        "create": ([], create), "run": ([], run), "start": ([create], words(b, "start", b.id)), "exec": ([run], words(b, "exec", b.id, "sleep", "3")),
        "kill": ([run], words(b, "kill", b.id, "KILL")), "delete": ([run], words(b, "delete", "--force", b.id)), "pause": ([run], words(b, "pause", b.id)),
        "update": ([run], words(b, "update", "--pids-limit", "50", b.id)),
    }
    for name, (before, command) in steps.items():
        for turn in range(12):
            for step in before:
                expect(subprocess.run(step, **quiet).returncode == 0, f"{name}, turn {turn}: {step}")
            process = subprocess.Popen(command, **quiet)
            time.sleep(generator.random() * (0.02 if name in ("create", "run") else 0.008))
            process.send_signal(signal.SIGKILL)
            process.wait()
            # Whatever state that was: it can be asked for, and deleted.
            result = b.oci("state", b.id, seconds=20)
            expect(result.status == 0 and json.loads(result.out)["status"] in ("creating", "created", "running", "stopped", "paused")
                   or result.status == 1 and ("does not exist" in result.err or "never created" in result.err), f"{name}: {result.out!r} {result.err!r}")
            b.oci("delete", "--force", b.id, seconds=20).expect("")
            b.expect_clean()


@case("containers/abuse: kill -9 while network devices move", notQEMU=noQEMU)
def killedDevices(c):
    b = Bundle(c)
    ip = c.need("ip")
    name = f"gk{os.getpid()}"[:14]
    b.linux["netDevices"] = {name: {"name": "inside0"}}
    b.sh("sleep 100").write()
    generator = random.Random(5)
    try:
        for turn in range(12):
            if c.run([ip, "link", "add", name, "type", "veth", "peer", "name", f"{name}p"]).status:
                raise Skip("this kernel has no veth")
            process = subprocess.Popen(words(b, "run", "--detach", "--bundle", b.path, b.id), **quiet)
            time.sleep(generator.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            b.oci("delete", "--force", b.id).expect("")
            b.expect_clean()
            # Untouched, or gone with the container's network namespace; never under the container's name on the host.
            for _ in range(100):
                there = [(pathlib.Path("/sys/class/net") / n).exists() for n in [name, f"{name}p", "inside0"]]
                if there in ([True, True, False], [False, False, False]):
                    break
                time.sleep(0.05)
            expect(there in ([True, True, False], [False, False, False]), f"turn {turn}: {there}")
            c.run([ip, "link", "del", name])
    finally:
        c.run([ip, "link", "del", name])


@case("containers/abuse: many commands on one id", notQEMU=noQEMU)
def racing(c):
    b = Bundle(c)
    b.sh("sleep 100").write()
    generator = random.Random(31)
    create, delete = words(b, "create", "--bundle", b.path, b.id), words(b, "delete", "--force", b.id)
    others = [words(b, "start", b.id), words(b, "state", b.id), words(b, "kill", b.id, "KILL"), words(b, "exec", b.id, "true"), words(b, "pause", b.id),
              words(b, "resume", b.id), words(b, "update", "--pids-limit", "60", b.id), words(b, "ps", b.id), delete, create]
    for turn in range(12):
        processes = [subprocess.Popen(create, **quiet)] + [subprocess.Popen(generator.choice(others), **quiet) for _ in range(8)]
        for process in processes:
            # None waits for another one for ever, unless for a program that is paused, and none dies of a signal.
            try:
                status = process.wait(3)
            except subprocess.TimeoutExpired:
                b.oci("resume", b.id)
                try:
                    status = process.wait(30)
                except subprocess.TimeoutExpired:
                    expect(False, f"turn {turn}: {process.args} hangs")
            expect(status >= 0, f"turn {turn}: {process.args} ends by signal {-status}")
        b.oci("resume", b.id)
        b.oci("delete", "--force", b.id).expect("")
        b.expect_clean()
    # start happens once, whoever asks.
    for turn in range(8):
        expect(subprocess.run(create, **quiet).returncode == 0, "no create")
        starts = [subprocess.Popen(words(b, "start", b.id), **quiet) for _ in range(4)]
        expect(sorted(p.wait() for p in starts) == [0, 1, 1, 1], "not exactly one of four started it")
        b.oci("delete", "--force", b.id).expect("")


@case("containers/abuse: a caller without privilege gains none", notQEMU=noQEMU)
def unprivileged(c):
    b = Bundle(c)
    setpriv = c.need("setpriv")
    os.chmod(c.work, 0o755)
    shutil.copy(b.program[0], c.work / "runtime")
    nobody = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", c.work / "runtime", *b.program[1:]]
    # Root's container is not to be seen or touched.
    b.sh("sleep 100")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    for command in [["state"], ["kill"], ["exec"], ["delete", "--force"], ["pause"], ["update", "--pids-limit", "1"], ["ps"], ["events", "--stats"], ["start"]]:
        result = c.run([*nobody, "--root", b.state, *command, b.id, *(["KILL"] if command == ["kill"] else ["id"] if command == ["exec"] else [])])
        expect(result.status != 0 and result.out == "", f"{command}: {result.status} {result.out!r}")
    expect(b.status() == "running", "the container is no longer running")
    pid = json.loads(b.oci("state", b.id).out)["pid"]
    # Its own containers.
    own = c.work / "own"
    own.mkdir()
    os.chown(own, 65534, 65534)
    secret = c.work / "secret"
    secret.write_text("secret")
    os.chmod(secret, 0o600)
    c.run([*nobody, "spec", "--rootless", "--bundle", own]).expect("")
    base = json.loads((own / "config.json").read_text())
    base["root"]["path"] = str(b.rootfs)
    base["process"].update({"terminal": False, "args": ["sh", "-c", "cat /secret /proc/1/root/etc/shadow; echo done"]})

    def attempt(change, *options):
        config = json.loads(json.dumps(base))
        change(config)
        (own / "config.json").write_text(json.dumps(config))
        result = c.run([*nobody, "--root", own / "state", "run", "--bundle", own, *options, b.id + "-own"], cwd=own)
        c.run([*nobody, "--root", own / "state", "delete", "--force", b.id + "-own"])
        return result

    def maps(host, size=1):
        return lambda config: config["linux"].update(uidMappings=[{"containerID": 0, "hostID": host, "size": size}])

    def bind(config):
        config["mounts"].append({"destination": "/secret", "type": "bind", "source": str(secret), "options": ["bind"]})

    (b.rootfs / "secret").write_text("")
    result = attempt(bind)
    expect("secret" not in result.out, f"a file of root is read: {result.out!r}")
    for name, change in {
        "root's id": maps(0), "all ids": maps(0, 65536), "without a user namespace": lambda config: config["linux"].update(
            namespaces=[n for n in config["linux"]["namespaces"] if n["type"] != "user"], uidMappings=[], gidMappings=[]),
        "another's namespaces": lambda config: config["linux"].update(namespaces=[{"type": "mount", "path": f"/proc/{pid}/ns/mnt"},
                                                                                  {"type": "user"}, {"type": "pid"}]),
        "the host's network": lambda config: config["linux"].update(namespaces=config["linux"]["namespaces"] + [{"type": "network", "path": "/proc/1/ns/net"}]),
        "a device": lambda config: config["linux"].update(devices=[{"path": "/dev/disk", "type": "b", "major": 254, "minor": 0}]),
        "a kernel parameter": lambda config: config["linux"].update(sysctl={"kernel.core_pattern": "|/x"}),
        "a limit of root's cgroup": lambda config: config["linux"].update(cgroupsPath="/", resources={"pids": {"limit": 1}}),
        "more descriptors than allowed": lambda config: config["process"].update(rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1 << 24, "hard": 1 << 24}]),
        "a better oom score": lambda config: config["process"].update(oomScoreAdj=-1000),
        "real-time priority": lambda config: config["process"].update(scheduler={"policy": "SCHED_FIFO", "priority": 50}),
    }.items():
        result = attempt(change)
        expect(result.status != 0 and "done" not in result.out, f"{name}: status {result.status}, {result.out!r} {result.err!r}")
    for option in [["--pid-file", c.work / "pid"], ["--console-socket", b.state / b.id / "start"]]:
        result = attempt(lambda config: config["process"].update(args=["true"]), *option)
        expect(result.status != 0, f"{option}: status {result.status}")
    expect(not (c.work / "pid").exists(), "a file was made where the caller may not")
    result = c.run([*nobody, "--root", own / "state", "--log", c.work / "log", "list"])
    expect(result.status != 0 and not (c.work / "log").exists(), "a log was made where the caller may not")
    # A state directory that somebody else has prepared is not believed.
    result = c.run([*nobody, "--root", b.state, "run", "--bundle", own, "x"])
    expect(result.status != 0, f"another's state directory: {result.err!r}")
    prepared = c.work / "prepared"
    prepared.mkdir(mode=0o777)
    os.chmod(prepared, 0o777)
    result = c.run([*nobody, "--root", prepared, "run", "--bundle", own, "x"])
    expect(result.status != 0 and "belongs to another user" in result.err, f"a prepared state directory: {result.status} {result.err!r}")
    # set-user-ID programs of the image give no id of the host.
    (b.rootfs / "setuid").mkdir()
    shutil.copy(b.rootfs / "bin/busybox", b.rootfs / "setuid/busybox")
    os.chmod(b.rootfs / "setuid/busybox", 0o4755)
    (c.work / "owned").write_text("")
    result = attempt(lambda config: config["process"].update(args=["/setuid/busybox", "sh", "-c", f"id -u; echo x >{c.work}/owned; cat /proc/self/uid_map"]))
    expect((c.work / "owned").read_text() == "" and " 65534 " in result.out, f"{result.out!r} {result.err!r}")
    b.oci("delete", "--force", b.id).expect("")
    b.expect_clean()


@case("containers/abuse: rootless containers live a whole life", notQEMU=noQEMU)
def rootlessLife(c):
    b = Bundle(c)
    setpriv = c.need("setpriv")
    os.chmod(c.work, 0o755)
    own = c.work / "own"
    own.mkdir()
    os.chown(own, 65534, 65534)
    shutil.copy(b.program[0], c.work / "runtime")
    nobody = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", c.work / "runtime", *b.program[1:], "--root", own / "state"]
    c.run([*nobody[:-2], "spec", "--rootless", "--bundle", own]).expect("")
    config = json.loads((own / "config.json").read_text())
    config["root"]["path"] = str(b.rootfs)
    config["process"].update({"terminal": False, "args": ["sh", "-c", "echo started; sleep 100; true"]})
    (own / "config.json").write_text(json.dumps(config))
    with open(c.work / "out", "wb") as out:
        made = subprocess.run([*map(str, nobody), "create", "--bundle", str(own), b.id], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    expect(made.returncode == 0, b.output())
    c.run([*nobody, "start", b.id]).expect("")
    state = json.loads(c.run([*nobody, "state", b.id]).out)
    expect(state["status"] == "running", f"{state}")
    expect(os.stat(f"/proc/{state['pid']}").st_uid == 65534, "the process is another user's")
    c.run([*nobody, "exec", b.id, "sh", "-c", "id -u; cat /proc/1/comm"]).expect("0\nsh\n")
    c.run([*nobody, "kill", b.id, "KILL"]).expect("")
    for _ in range(100):
        if json.loads(c.run([*nobody, "state", b.id]).out)["status"] == "stopped":
            break
        time.sleep(0.05)
    c.run([*nobody, "delete", b.id]).expect("")
    expect(b.output() == "started\n" and not list((own / "state").iterdir()), f"{b.output()!r}")


@case("containers/escapes through the caller's terminal", notQEMU=noQEMU)
def callersTerminal(c):
    b = Bundle(c)
    gcc = c.need("gcc")
    c.run([gcc, "-static", "-O1", "-o", b.rootfs / "escape", escapes]).expect("", err=None)
    b.process["args"] = ["/escape", "/no/such"]
    b.write()
    # The runtime's terminal is inherited as it is: process.terminal is false.
    pid, master = pty.fork()
    if pid == 0:
        os.execv(b.program[0], words(b, "run", "--bundle", b.path, b.id))
    out = b""
    try:
        while chunk := os.read(master, 4096):
            out += chunk
    except OSError:
        pass
    os.close(master)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    expect(status == 0 and b"ESCAPED" not in out, f"{status} {out!r}")
    b.expect_clean()


@case("containers/escapes by an image that changes during set-up", notQEMU=noQEMU)
def swapping(c):
    b = Bundle(c)
    gcc = c.need("gcc")
    victim = c.work / "victim"
    victim.mkdir()
    (victim / "file").write_text("host")
    for name in ["data", "other"]:
        (b.rootfs / name / "x").mkdir(parents=True)
    (b.rootfs / "link").symlink_to("../" * 12 + str(victim).lstrip("/"))
    # Exchanges a directory and a link to the host without pause (CVE-2021-30465).
    (c.work / "swap.c").write_text(
        '#define _GNU_SOURCE\n#include <fcntl.h>\n#include <stdio.h>\n'
        'int main(int n, char **a) { (void)n; for (;;) renameat2(AT_FDCWD, a[1], AT_FDCWD, a[2], RENAME_EXCHANGE); }\n')
    c.run([gcc, "-O1", "-o", c.work / "swap", c.work / "swap.c"]).expect("", err=None)
    b.config["mounts"] += [{"destination": "/data/x", "type": "tmpfs", "source": "tmpfs"}, {"destination": "/data/made", "type": "tmpfs", "source": "tmpfs"},
                           {"destination": "/data/file", "type": "bind", "source": "/dev/null", "options": ["bind"]}]
    b.linux["maskedPaths"] += ["/data/file"]
    b.linux["devices"] = [{"path": "/data/pipe", "type": "p"}]
    b.process["cwd"] = "/data"
    # Whether the program sees the host in its own working directory.
    b.sh("cat file; true").write()
    swap = subprocess.Popen([c.work / "swap", b.rootfs / "data", b.rootfs / "link"])
    outcomes = set()
    try:
        for turn in range(60):
            result = b.oci("run", "--bundle", b.path, b.id, seconds=20)
            outcomes.add(result.status)
            expect("host" not in result.out, f"turn {turn}: {result.out!r}")
            expect(sorted(p.name for p in victim.iterdir()) == ["file"] and (victim / "file").read_text() == "host", f"turn {turn}: {list(victim.iterdir())}")
            expect(str(victim) not in pathlib.Path("/proc/self/mountinfo").read_text(), f"turn {turn}: mounted on the host")
    finally:
        swap.kill()
        swap.wait()
    # Some turns met the directory and ran, or nothing was tried.
    expect(0 in outcomes, f"no turn ran: {outcomes}")
    b.expect_clean()
