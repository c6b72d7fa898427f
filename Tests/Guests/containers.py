"""Containers: guise-oci with a busybox bundle, its crash safety, known escapes, and engines that use it. Needs root."""
import array
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

from support import Mismatch, Skip, case

escapes = pathlib.Path(__file__).resolve().parent / "programs/escape.c"
noQEMU = "it is about containers"
plain = ["pid", "ipc", "uts", "mount", "network", "cgroup"]


def expect(condition, message):
    if not condition:
        raise Mismatch(message)


class Bundle:
    """A busybox root file system, its config.json and the runtime with a state directory of its own."""

    def __init__(self, c, user=None):
        if os.geteuid() != 0:
            raise Skip("containers need root")
        busybox = c.need("busybox")
        if b"static" not in subprocess.run(["file", "-L", busybox], capture_output=True).stdout and \
                subprocess.run(["ldd", busybox], capture_output=True).returncode == 0:
            raise Skip("busybox is not a static one: install busybox-static")
        beside = pathlib.Path(c.guise).with_name("guise-oci")
        self.c, self.id = c, f"guise-test-{os.getpid()}-{random.randrange(1 << 30)}"
        self.path, self.rootfs = c.work / "bundle", c.work / "bundle/rootfs"
        self.program = [beside] if beside.exists() else [c.guise, "oci"]
        self.state = c.work / "state"
        # Ended with the case, whatever becomes of that.
        c.consoles.append(self)
        for name in ["bin", "proc", "sys", "dev", "etc", "tmp"]:
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy(busybox, self.rootfs / "bin/busybox")
        applets = "sh true false ls cat id mount ps sleep echo hostname env pwd mkdir touch grep head tty stty ln rm kill dd wc"
        for name in applets.split():
            (self.rootfs / "bin" / name).symlink_to("busybox")
        capabilities = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_SYS_CHROOT", "CAP_MKNOD"]
        self.config = {
            "ociVersion": "1.2.0", "root": {"path": "rootfs"}, "hostname": "box",
            "process": {
                "cwd": "/", "args": ["sh"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
                "capabilities": {k: capabilities for k in ["bounding", "effective", "permitted"]},
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=1m"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
                {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in plain],
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
                "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
            },
        }

    def kill(self):
        if self.state.exists():
            subprocess.run([*self.program, "--root", self.state, "delete", "--force", self.id], capture_output=True)

    @property
    def process(self):
        return self.config["process"]

    @property
    def linux(self):
        return self.config["linux"]

    def sh(self, script):
        self.process["args"] = ["sh", "-c", script]
        return self

    def write(self):
        (self.path / "config.json").write_text(json.dumps(self.config))

    def oci(self, *words, **rest):
        return self.c.run([*self.program, "--root", self.state, *words], **rest)

    def run(self, *options, **rest):
        self.write()
        return self.oci("run", "--bundle", self.path, *options, self.id, **rest)

    def create(self, *options):
        self.write()
        # The container's process keeps the descriptors it is given.
        command = [*map(str, self.program), "--root", str(self.state), "create", "--bundle", str(self.path), *options, self.id]
        out = open(self.c.work / "out", "ab")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        return done.returncode

    def output(self):
        return (self.c.work / "out").read_text()

    def status(self):
        result = self.oci("state", self.id)
        return json.loads(result.out)["status"] if result.status == 0 else None

    def await_status(self, wanted):
        for _ in range(200):
            if self.status() == wanted:
                return
            time.sleep(0.02)
        raise Mismatch(f"the container is {self.status()}, not {wanted}")

    def leftovers(self):
        """What still bears the container's name."""
        found = [str(path) for path in pathlib.Path("/sys/fs/cgroup").glob(f"**/{self.id}*")]
        found += [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(self.c.work) in line]
        found += [str(path) for path in self.state.glob("*")] if self.state.exists() else []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if str(self.rootfs) in os.readlink(process / "root") or self.id in (process / "cgroup").read_text():
                    found.append(str(process))
            except OSError:
                pass
        return found

    def expect_clean(self):
        for _ in range(50):
            found = self.leftovers()
            if not found:
                return
            time.sleep(0.02)
        raise Mismatch(f"left behind: {found}")


@case("containers/life from create to delete", notQEMU=noQEMU)
def life(c):
    b = Bundle(c)
    b.sh("echo started; sleep 100")
    expect(b.create("--pid-file", str(c.work / "pid")) == 0, "create fails")
    expect(b.status() == "created" and b.output() == "", "not created")
    state = json.loads(b.oci("state", b.id).out)
    expect(str(state["pid"]) == (c.work / "pid").read_text(), "the pid file tells another number")
    expect(b.oci("delete", b.id).status == 1, "a created container is deleted")
    b.oci("start", b.id).expect("")
    b.await_status("running")
    expect(b.oci("start", b.id).status == 1, "a running container is started")
    b.oci("kill", b.id, "KILL").expect("")
    b.await_status("stopped")
    expect(b.oci("kill", b.id).status == 1, "a stopped container is signalled")
    b.oci("delete", b.id).expect("")
    expect(b.output() == "started\n", f"output {b.output()!r}")
    expect(b.oci("state", b.id).status == 1, "a deleted container has a state")
    b.expect_clean()


@case("containers/run returns the program's status", notQEMU=noQEMU)
def statuses(c):
    b = Bundle(c)
    b.sh("hostname; id -u; exit 7").run().expect("box\n0\n", status=7)
    b.sh("kill -9 $$; sleep 1").run(seconds=20)
    b.process["args"] = ["no-such-program"]
    result = b.run()
    expect(result.status == 1 and "not found in $PATH" in result.err, f"a missing program: {result.err!r}")
    b.process["args"] = ["cat"]
    b.run(input="through\n").expect("through\n")
    b.expect_clean()


@case("containers/what the process is given", notQEMU=noQEMU)
def process(c):
    b = Bundle(c)
    b.process.update({
        "user": {"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o77}, "noNewPrivileges": True, "cwd": "/tmp",
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}], "oomScoreAdj": 300,
    })
    b.process["capabilities"] = {k: ["CAP_KILL"] for k in ["bounding", "effective", "permitted", "inheritable", "ambient"]}
    b.sh("grep -E '^(Uid|Groups|Cap|NoNew|Umask)' /proc/self/status; pwd; ulimit -n; cat /proc/self/oom_score_adj; ls /proc/self/fd | wc -l")
    b.run().expect(
        "Umask:\t0077\nUid:\t5\t5\t5\t5\nGroups:\t7 8 \nCapInh:\t0000000000000020\nCapPrm:\t0000000000000020\n"
        "CapEff:\t0000000000000020\nCapBnd:\t0000000000000020\nCapAmb:\t0000000000000020\nNoNewPrivs:\t1\n/tmp\n50\n300\n4\n")


@case("containers/masked and read-only paths", notQEMU=noQEMU)
def paths(c):
    b = Bundle(c)
    b.config["root"]["readonly"] = True
    b.linux["maskedPaths"] += ["/proc/version", "/proc/bus", "/no/such/path"]
    b.linux["readonlyPaths"] += ["/proc/irq", "/no/such/path"]
    b.sh("cat /proc/version /proc/keys | wc -c; ls /sys/firmware /proc/bus | grep -v : | wc -w; echo 1 >/proc/sys/vm/swappiness; "
         "echo 1 >/proc/irq/default_smp_affinity; touch /new; touch /dev/ok && echo ok")
    result = b.run()
    expect(result.out == "0\n0\nok\n", f"output {result.out!r}")
    expect(result.err.count("Read-only file system") == 3, f"standard error {result.err!r}")


@case("containers/limits on this host's cgroup layout", notQEMU=noQEMU)
def limits(c):
    b = Bundle(c)
    b.linux["resources"].update({"pids": {"limit": 20}, "memory": {"limit": 32 << 20}})
    b.sh("bomb() { bomb | bomb & }; bomb; sleep 1; echo end").run(seconds=60)
    b.sh("dd if=/dev/zero of=/dev/null bs=128M count=1; echo status $?")
    result = b.run()
    expect("status 137" in result.out or "exhausted" in result.err, f"{result.out!r} {result.err!r}")
    b.linux["resources"]["memory"] = {"limit": 1 << 30, "kernel": -5}
    result = b.run()
    expect(result.status == 1 and "linux.resources.memory.kernel" in result.err, result.err)
    b.expect_clean()


@case("containers/exec, pause, update, events", notQEMU=noQEMU)
def execs(c):
    b = Bundle(c)
    b.sh("sleep 100")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, "no start")
    b.oci("exec", "--user", "3:4", "--env", "A=b", "--cwd", "/tmp", b.id, "sh", "-c", "id -u; id -g; echo $A; pwd; exit 9").expect(
        "3\n4\nb\n/tmp\n", status=9)
    b.oci("exec", b.id, "sh", "-c", "grep -c . /proc/1/cmdline; hostname").expect("1\nbox\n")
    (c.work / "process.json").write_text(json.dumps({"cwd": "/", "args": ["echo", "by file"], "env": ["PATH=/bin"]}))
    b.oci("exec", "--process", c.work / "process.json", b.id).expect("by file\n")
    b.oci("pause", b.id).expect("")
    expect(b.status() == "paused", "not paused")
    expect(b.oci("exec", b.id, "true").status == 1, "a program runs in a paused container")
    b.oci("resume", b.id).expect("")
    b.oci("update", "--pids-limit", "33", b.id).expect("")
    events = json.loads(b.oci("events", "--stats", b.id).out)
    expect(events["data"]["pids"]["limit"] == 33, f"{events}")
    pids = json.loads(b.oci("ps", "--format", "json", b.id).out)
    expect(len(pids) == 1, f"{pids}")
    expect(b.id in b.oci("list").out, "list does not know it")
    b.oci("delete", "--force", b.id).expect("")
    b.expect_clean()


@case("containers/a terminal through the console socket", notQEMU=noQEMU)
def terminal(c):
    b = Bundle(c)
    b.process.update({"terminal": True, "consoleSize": {"height": 33, "width": 77}})
    path = str(c.work / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(10)
        b.sh("tty; stty size")
        expect(b.create("--console-socket", path) == 0, b.output())
        connection, _ = listener.accept()
        _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
    master = array.array("i", ancillary[0][2][:4])[0]
    b.oci("start", b.id).expect("")
    b.await_status("stopped")
    out = os.read(master, 4096).decode()
    os.close(master)
    expect(out == "/dev/pts/0\r\n33 77\r\n", f"terminal {out!r}")
    b.oci("delete", b.id).expect("")


@case("containers/hooks run in order and their failure counts", notQEMU=noQEMU)
def hooks(c):
    b = Bundle(c)
    log = c.work / "hooks"
    points = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    inside = b.rootfs / "log"
    inside.write_text("")
    for_all = {p: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {p} >>{'/log' if p == 'startContainer' else log}"]}] for p in points}
    b.config["hooks"] = for_all
    b.sh("true").run().expect("")
    expect(log.read_text().split() == [p for p in points if p != "startContainer"], log.read_text())
    expect(inside.read_text() == "startContainer\n", "startContainer did not run in the container")
    for point in points:
        b.config["hooks"] = {point: [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]}
        result = b.run()
        expect((result.status == 0) == (point == "poststop"), f"a failing {point} hook: status {result.status}")
        expect(f"{point}" in result.err, f"a failing {point} hook: {result.err!r}")
        if point != "poststop":
            b.oci("delete", "--force", b.id)
    b.config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]}
    expect("timeout" in b.run(seconds=20).err, "a hook outlives its timeout")
    b.expect_clean()


@case("containers/user namespace", notQEMU=noQEMU)
def users(c):
    b = Bundle(c)
    b.linux["namespaces"].append({"type": "user"})
    for key in ["uidMappings", "gidMappings"]:
        b.linux[key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    os.chmod(c.work, 0o755)
    b.sh("id -u; cat /proc/self/uid_map; mount -t tmpfs x /tmp; echo $?; echo >/dev/null && echo null").run().expect(
        "0\n         0     100000      65536\n1\nnull\n", err=None)


@case("containers/without root", notQEMU=noQEMU)
def rootless(c):
    b = Bundle(c)
    setpriv = c.need("setpriv")
    os.chmod(c.work, 0o777)
    shutil.copy(b.program[0] if len(b.program) == 1 else b.program[0], c.work / "runtime")
    who = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", c.work / "runtime", *b.program[1:]]
    os.chmod(b.path, 0o777)
    c.run([*who, "spec", "--rootless", "--bundle", b.path]).expect("")
    config = json.loads((b.path / "config.json").read_text())
    config["process"].update({"terminal": False, "args": ["sh", "-c", "id -u; hostname; ps | wc -l"]})
    (b.path / "config.json").write_text(json.dumps(config))
    os.chmod(b.path / "config.json", 0o644)
    result = c.run([*who, "--root", c.work / "mine", "run", "--bundle", b.path, b.id])
    expect(result.status == 0 and result.out.startswith("0\nguise\n"), f"{result.out!r} {result.err!r}")


@case("containers/time namespace", notQEMU=noQEMU)
def times(c):
    b = Bundle(c)
    b.linux["namespaces"].append({"type": "time"})
    b.linux["timeOffsets"] = {"boottime": {"secs": 1000000000}}
    b.sh("cat /proc/uptime")
    expect(b.run().out.startswith("1000"), "no offset")


@case("containers/network devices keep their addresses", notQEMU=noQEMU)
def netDevices(c):
    b = Bundle(c)
    ip = c.need("ip")
    name = f"gt{os.getpid()}"[:15]
    if c.run([ip, "link", "add", name, "type", "veth", "peer", "name", f"{name}p"]).status:
        raise Skip("this kernel has no veth")
    try:
        c.run([ip, "addr", "add", "192.0.2.7/24", "dev", name]).expect("")
        c.run([ip, "link", "set", name, "up"]).expect("")
        b.linux["netDevices"] = {name: {"name": "inside0"}}
        (b.rootfs / "bin/ip").symlink_to("busybox")
        b.sh("ip addr show inside0")
        result = b.run()
        expect("192.0.2.7/24" in result.out and ",UP" in result.out, f"{result.out!r} {result.err!r}")
    finally:
        c.run([ip, "link", "del", f"{name}p"])
    b.linux["netDevices"] = {"no-such-dev": {}}
    result = b.run()
    expect(result.status == 1 and "linux.netDevices.no-such-dev" in result.err, result.err)


@case("containers/seccomp", notQEMU=noQEMU)
def seccomp(c):
    b = Bundle(c)
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}
    for key in [False, True]:
        b.process["noNewPrivileges"] = key
        result = b.sh("mkdir /tmp/x").run()
        expect("No space left" in result.err, result.err)
    b.linux["seccomp"]["syscalls"][0]["action"] = "SCMP_ACT_NOTIFY"
    path = str(c.work / "listener")
    b.linux["seccomp"]["listenerPath"] = path
    b.linux["seccomp"]["listenerMetadata"] = "hello"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(10)
        expect(b.create() == 0, b.output())
        connection, _ = listener.accept()
        b.oci("start", b.id).expect("")
        data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
        state = json.loads(data)
        expect(state["metadata"] == "hello" and state["state"]["id"] == b.id and state["fds"] == ["seccompFd"], f"{state}")
        fd = array.array("i", ancillary[0][2][:4])[0]
        expect("seccomp notify" in os.readlink(f"/proc/self/fd/{fd}"), "no listener")
        os.close(fd)
    b.oci("delete", "--force", b.id).expect("")


@case("containers/kill -9 of the runtime at any moment leaves nothing", notQEMU=noQEMU)
def crashes(c):
    b = Bundle(c)
    b.sh("sleep 100")
    b.write()
    generator = random.Random(7)
    command = [*map(str, b.program), "--root", str(b.state), "run", "--detach", "--bundle", str(b.path), b.id]
    for turn in range(60):
        runtime = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(generator.random() * 0.03)
        runtime.send_signal(signal.SIGKILL)
        runtime.wait()
        b.oci("delete", "--force", b.id).expect("")
        b.expect_clean()


@case("containers/two commands on one id", notQEMU=noQEMU)
def races(c):
    b = Bundle(c)
    b.sh("sleep 100")
    b.write()
    for turn in range(10):
        command = [*map(str, b.program), "--root", str(b.state), "run", "--detach", "--bundle", str(b.path), b.id]
        both = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(3)]
        expect(sorted(p.wait() for p in both) == [0, 1, 1], "not exactly one of three made the container")
        delete = [*map(str, b.program), "--root", str(b.state), "delete", "--force", b.id]
        both = [subprocess.Popen(delete, stderr=subprocess.DEVNULL) for _ in range(3)]
        expect(0 in [p.wait() for p in both], "no delete works")
        b.expect_clean()


@case("containers/a full disk", notQEMU=noQEMU)
def full(c):
    b = Bundle(c)
    b.state.mkdir()
    c.run(["mount", "-t", "tmpfs", "-o", "size=16k,nr_inodes=20", "tmpfs", b.state]).expect("")
    try:
        (b.state / "filler").write_bytes(b"x" * 16384 if False else b"x" * 12288)
        b.config["annotations"] = {"large": "x" * 8000}
        result = b.sh("true").run()
        expect(result.status == 1 and "No space left" in result.err, f"{result.status} {result.err!r}")
        expect([p.name for p in b.state.glob("*")] == ["filler"], "something stays")
    finally:
        c.run(["umount", b.state])
    b.expect_clean()


# Escapes: what a container can do stays in it.


@case("containers/escapes by system calls", notQEMU=noQEMU)
def systemCalls(c):
    b = Bundle(c)
    gcc = c.need("gcc")
    c.run([gcc, "-static", "-O1", "-o", b.rootfs / "escape", escapes]).expect("", err=None)
    marker = c.work / "secret"
    marker.write_text("host")
    b.process["args"] = ["/escape", str(marker)]
    result = b.run()
    expect(result.status == 0 and "ESCAPED" not in result.out, f"{result.out!r} {result.err!r}")
    b.process["capabilities"]["effective"] = b.process["capabilities"]["permitted"] = b.process["capabilities"]["bounding"] = \
        ["CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]
    result = b.run()
    expect(result.status == 0 and "ESCAPED" not in result.out, f"with capabilities: {result.out!r} {result.err!r}")


@case("containers/escapes through the runtime's file and descriptors", notQEMU=noQEMU)
def ownFile(c):
    b = Bundle(c)
    # A copy, in case the test succeeds in writing to it.
    shutil.copy(b.program[0], c.work / "runtime")
    b.program = [c.work / "runtime", *b.program[1:]]
    before = hashlib.sha256((c.work / "runtime").read_bytes()).digest()
    b.process["capabilities"] = {k: ["CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"] for k in ["bounding", "effective", "permitted"]}
    b.sh("for i in $(head -c 200 /dev/zero | tr '\\0' 'x' | sed 's/x/x /g'); do for p in /proc/[0-9]*; do case $p in /proc/1) ;; *) "
         "(echo x >>$p/exe) 2>/dev/null; esac; done; done; sleep 100")
    for name in ["tr", "sed"]:
        (b.rootfs / "bin" / name).symlink_to("busybox")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    for _ in range(20):
        b.oci("exec", b.id, "true")
    b.oci("delete", "--force", b.id).expect("")
    for target in ["/proc/self/exe", "/proc/1/exe"]:
        b.process["args"] = [target, "--version"]
        b.run()
    after = hashlib.sha256((c.work / "runtime").read_bytes()).digest()
    expect(before == after, "the runtime's file was written")
    for number in range(3, 24):
        b.process.update({"cwd": f"/proc/self/fd/{number}", "args": ["sh", "-c", "cat etc/hostname ../../etc/hostname; ls"]})
        result = b.run()
        expect(result.status != 0 and result.out == "", f"working directory /proc/self/fd/{number}: {result.out!r}")
        b.process.update({"cwd": "/", "args": [f"/proc/self/fd/{number}/../../bin/busybox", "echo", "ESCAPED"]})
        expect("ESCAPED" not in b.run().out, f"program through descriptor {number}")


@case("containers/escapes by symbolic links in the image", notQEMU=noQEMU)
def links(c):
    b = Bundle(c)
    victim = c.work / "victim"
    victim.mkdir()
    (victim / "file").write_text("host")
    for name in ["data", "proc2", "dev2"]:
        (b.rootfs / name).symlink_to(victim)
        (b.rootfs / f"up{name}").symlink_to("../" * 20 + str(victim).lstrip("/"))
    b.config["mounts"] += [
        {"destination": "/data/new", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/updata/other", "type": "bind", "source": str(c.work / "bundle"), "options": ["bind"]},
    ]
    b.linux["maskedPaths"] += ["/proc2/file", "/upproc2/file"]
    b.linux["readonlyPaths"] += ["/dev2"]
    b.linux["devices"] = [{"path": "/dev2/null", "type": "c", "major": 1, "minor": 3}]
    b.process["cwd"] = "/updata/cwd"
    b.sh("echo in").run()
    expect(sorted(p.name for p in victim.iterdir()) == ["file"], f"made on the host: {list(victim.iterdir())}")
    expect((victim / "file").read_text() == "host", "written on the host")
    # A maze without an end is an error, not a hang.
    (b.rootfs / "loop").symlink_to("loop2")
    (b.rootfs / "loop2").symlink_to("loop")
    b.config["mounts"][-1]["destination"] = "/loop/x"
    result = b.run(seconds=20)
    expect(result.status == 1 and "symbolic links" in result.err, result.err)
    b.expect_clean()


@case("containers/escapes by mounts, kernel parameters and release agents", notQEMU=noQEMU)
def kernel(c):
    b = Bundle(c)
    before = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().count("\n")
    b.config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid"]})
    b.process["capabilities"] = {k: ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"] for k in ["bounding", "effective", "permitted"]}
    b.sh("echo '|/x' >/proc/sys/kernel/core_pattern; for f in /sys/fs/cgroup/*/release_agent; do echo /x >$f && echo ESCAPED; done; "
         "mount -t tmpfs x /tmp && echo mounted; ls /tmp | wc -l")
    result = b.run()
    expect("ESCAPED" not in result.out and "mounted" in result.out, f"{result.out!r} {result.err!r}")
    expect(pathlib.Path("/proc/sys/kernel/core_pattern").read_text() == before, "core_pattern is another")
    expect(pathlib.Path("/proc/self/mountinfo").read_text().count("\n") == mounts, "a mount reached the host")
    b.linux["sysctl"] = {"kernel.core_pattern": "|/x"}
    result = b.run()
    expect(result.status == 1 and "linux.sysctl.kernel.core_pattern" in result.err, result.err)


# Engines. Each has its own storage and sockets.


def engine(c):
    b = Bundle(c)
    beside = pathlib.Path(c.guise).with_name("guise-oci")
    if not beside.exists():
        raise Skip("guise-oci is not built")
    return b, beside


podmanOptions = ["--network=none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"]


def podman(c, runtime):
    c.need("conmon")
    (c.work / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{c.work}/graph"\nrunroot = "{c.work}/run"\n')
    os.environ["CONTAINERS_STORAGE_CONF"] = str(c.work / "storage.conf")
    return [c.need("podman"), "--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime", runtime]


@case("containers/podman", notQEMU=noQEMU)
def podmanUses(c):
    b, runtime = engine(c)
    p = podman(c, runtime)
    c.run(["tar", "-C", b.rootfs, "-cf", c.work / "image.tar", "."]).expect("")
    c.run([*p, "import", c.work / "image.tar", "bb:1"]).expect(None, err=None)
    c.run([*p, "run", "--rm", *podmanOptions, "bb:1", "sh", "-c", "id -u; exit 6"]).expect("0\n", err=None, status=6)
    c.run([*p, "run", "-d", "--name", "one", *podmanOptions, "bb:1", "sleep", "100"]).expect(None, err=None)
    c.run([*p, "exec", "one", "sh", "-c", "hostname >/dev/null; exit 4"]).expect("", err=None, status=4)
    for words in [["pause", "one"], ["unpause", "one"], ["rm", "-f", "-t", "0", "one"]]:
        c.run([*p, *words]).expect(None, err=None)


@case("containers/buildah", notQEMU=noQEMU)
def buildahUses(c):
    b, runtime = engine(c)
    p, buildah = podman(c, runtime), c.need("buildah")
    c.run(["tar", "-C", b.rootfs, "-cf", c.work / "image.tar", "."]).expect("")
    c.run([*p, "import", c.work / "image.tar", "bb:1"]).expect(None, err=None)
    (c.work / "context").mkdir()
    (c.work / "context/Containerfile").write_text("FROM localhost/bb:1\nRUN id -u && touch /made\n")
    c.run([buildah, "bud", "--runtime", runtime, "--isolation", "oci", "--network", "none", *podmanOptions[1:], "-t", "built",
           c.work / "context"], seconds=120).expect(None, err=None)


@case("containers/containerd", notQEMU=noQEMU)
def containerdUses(c):
    b, runtime = engine(c)
    containerd, ctr = c.need("containerd"), c.need("ctr")
    p = podman(c, runtime)
    c.run(["tar", "-C", b.rootfs, "-cf", c.work / "image.tar", "."]).expect("")
    c.run([*p, "import", c.work / "image.tar", "bb:1"]).expect(None, err=None)
    c.run([*p[:3], "save", "--format", "oci-archive", "-o", c.work / "oci.tar", "localhost/bb:1"]).expect(None, err=None)
    (c.work / "config.toml").write_text(
        f'version = 2\nroot = "{c.work}/ctd"\nstate = "{c.work}/ctdrun"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{c.work}/c.sock"\n[ttrpc]\n  address = "{c.work}/t.sock"\n')
    daemon = subprocess.Popen([containerd, "-c", str(c.work / "config.toml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = [ctr, "-a", c.work / "c.sock"]
        for _ in range(100):
            if (c.work / "c.sock").exists():
                break
            time.sleep(0.1)
        c.run([*client, "images", "import", c.work / "oci.tar"]).expect(None, err=None)
        image = c.run([*client, "images", "ls", "-q"]).out.split()[0]
        how = ["--snapshotter", "native", "--runc-binary", runtime]
        c.run([*client, "run", "--rm", *how, image, "x1", "sh", "-c", "id -u; exit 5"]).expect("0\n", err=None, status=5)
        c.run([*client, "run", "-d", *how, image, "x2", "sleep", "100"]).expect(None, err=None)
        c.run([*client, "task", "exec", "--exec-id", "e", "x2", "sh", "-c", "exit 3"]).expect("", err=None, status=3)
        c.run([*client, "task", "kill", "-s", "KILL", "x2"]).expect(None, err=None)
        time.sleep(0.5)
        c.run([*client, "task", "rm", "x2"])
    finally:
        daemon.terminate()
        daemon.wait()
