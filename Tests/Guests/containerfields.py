"""Fields of config.json, one by one: each is honoured, or refused by its name. OCI runtime specification 1.3.0. Needs root."""
import array
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from containers import Bundle, expect, noQEMU, plain
from support import Skip, case

libc = ctypes.CDLL(None, use_errno=True)


def refused(b, field, change, *options):
    """The configuration with a change is refused, and the error names the field."""
    before = json.dumps(b.config)
    change(b.config)
    result = b.run(*options)
    b.config = json.loads(before)
    expect(result.status == 1 and field in result.err, f"{field}: status {result.status}, {result.err!r}")
    b.expect_clean()


def cgroupFile(b, controller, name):
    """What a file of the container's v1 cgroup holds."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if " - cgroup " in line and controller in fields[-1].split(","):
            found = list(pathlib.Path(fields[4]).glob(f"**/{b.id}/{name}"))
            expect(len(found) == 1, f"{controller}: {found}")
            return found[0].read_text().strip()
    raise Skip(f"{controller} is no v1 controller here")


@case("containers/field mounts: options and attributes", notQEMU=noQEMU)
def mountOptions(c):
    b = Bundle(c)
    source = c.work / "source"
    (source / "below").mkdir(parents=True)
    (source / "file").write_text("text\n")
    (source / "link").symlink_to("file")
    c.run(["mount", "-t", "tmpfs", "below", source / "below"]).expect("")
    try:
        b.config["mounts"] += [
            {"destination": "/plain", "type": "bind", "source": str(source), "options": ["bind", "ro", "nosuid"]},
            {"destination": "/all", "type": "bind", "source": str(source), "options": ["rbind", "rro", "rnoexec", "rnodev", "rnosuid"]},
            {"destination": "/relative", "source": "rootfs/etc", "options": ["bind"]},
            {"destination": "/one", "source": str(source / "file"), "options": ["bind", "ro"]},
            {"destination": "/link", "source": str(source / "link"), "options": ["bind", "src-nofollow"]},
            {"destination": "/small", "type": "tmpfs", "source": "small", "options": ["size=64k", "mode=711", "noatime"]},
            {"destination": "/flags", "type": "tmpfs", "source": "flags", "options": ["noexec", "nodiratime", "nosymfollow", "nodev", "nosuid", "ro"]},
            {"destination": "/small", "options": ["remount", "size=128k", "ro"]},
            {"destination": "/plain", "options": ["bind", "remount", "rw", "noexec"]},
        ]
        (b.rootfs / "link").symlink_to("x")
        b.config["mounts"] = [m for m in b.config["mounts"] if m["destination"] != "/link"]
        b.sh("grep -E ' /(plain|all|all/below|relative|one|small|flags) ' /proc/self/mountinfo | cut -d' ' -f5,6; grep ' /small ' /proc/mounts | grep -o 'size=[0-9]*k'; "
             "cat /one; touch /plain/new; touch /all/new; touch /all/below/new")
        result = b.run()
        lines = dict(line.split(" ") for line in result.out.splitlines() if line.startswith("/"))
        wanted = {"/plain": {"rw", "noexec"}, "/all": {"ro", "nosuid", "nodev", "noexec"}, "/all/below": {"ro", "nosuid", "nodev", "noexec"},
                  "/relative": {"rw"}, "/one": {"ro"}, "/small": {"ro", "noatime"},
                  "/flags": {"ro", "noexec", "nodiratime", "nosymfollow", "nodev", "nosuid"}}
        for path, words in wanted.items():
            expect(words <= set(lines.get(path, "").split(",")), f"{path} is {lines.get(path)}; {result.err!r}")
        expect("size=128k" in result.out and "text\n" in result.out, f"{result.out!r}")
        expect(result.err.count("Read-only file system") == 2, f"{result.err!r}")
        # The remount of a bind must not have reached the host's file system.
        (source / "new2").write_text("")
        expect((source / "new").exists(), "the remounted bind is not writable")
    finally:
        c.run(["umount", source / "below"])
    b.config["mounts"] = b.config["mounts"][:4]
    for field, mount in {
        "mounts[4].options": {"destination": "/x", "type": "bind", "source": "/", "options": ["bind", "dest-nofollow"]},
        "mounts[4].destination": {"destination": "/", "type": "tmpfs"},
        "mounts[4].type": {"destination": "/x", "source": "x"},
        "mounts[4]": {"destination": "/x", "type": "tmpfs", "options": ["size=many"]},
    }.items():
        refused(b, field, lambda config, mount=mount: config["mounts"].append(mount))


@case("containers/field mounts: a link as a source", notQEMU=noQEMU)
def sourceLink(c):
    b = Bundle(c)
    (c.work / "link").symlink_to("/nowhere")
    (b.rootfs / "place").write_text("")
    b.config["mounts"].append({"destination": "/place", "type": "bind", "source": str(c.work / "link"), "options": ["bind", "src-nofollow"]})
    (b.rootfs / "bin/readlink").symlink_to("busybox")
    result = b.sh("readlink /place").run()
    expect(result.status == 0 and result.out == "/nowhere\n", f"{result.out!r} {result.err!r}")


@case("containers/field mounts: tmpcopyup with owners, modes, links and attributes", notQEMU=noQEMU)
def copyUp(c):
    b = Bundle(c)
    data = b.rootfs / "data"
    (data / "deep/er").mkdir(parents=True)
    (data / "deep/er/file").write_bytes(b"x" * 100000)
    os.chown(data / "deep/er/file", 12, 13)
    os.chmod(data / "deep/er/file", 0o4711)
    (data / "link").symlink_to("deep/er/file")
    os.mkfifo(data / "fifo")
    os.chmod(data / "deep", 0o1777)
    capability = bytes.fromhex("0000000200040000000000000000000000000000")
    os.setxattr(data / "deep/er/file", "trusted.note", b"on a file")
    os.setxattr(data / "deep", "trusted.note", b"on a directory")
    os.setxattr(data / "link", "trusted.note", b"on a link", follow_symlinks=False)
    os.setxattr(data, "trusted.note", b"on the top")
    (data / "program").write_text("")
    os.setxattr(data / "program", "security.capability", capability)
    b.config["mounts"].append({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]})
    b.sh("sleep 100")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    state = json.loads(b.oci("state", b.id).out)
    copy = pathlib.Path(f"/proc/{state['pid']}/root/data")
    status = (copy / "deep/er/file").stat()
    expect((status.st_uid, status.st_gid, status.st_mode & 0o7777, status.st_size) == (12, 13, 0o4711, 100000), f"{status}")
    expect((copy / "deep").stat().st_mode & 0o7777 == 0o1777 and os.readlink(copy / "link") == "deep/er/file", "mode or link")
    expect((copy / "fifo").is_fifo(), "no FIFO")
    for path, text in {"deep/er/file": b"on a file", "deep": b"on a directory", "link": b"on a link", ".": b"on the top"}.items():
        got = os.getxattr(copy / path, "trusted.note", follow_symlinks=False)
        expect(got == text, f"{path}: {got}")
    expect(os.getxattr(copy / "program", "security.capability") == capability, "file capabilities are lost")
    (copy / "new").write_text("")
    expect(not (data / "new").exists(), "the copy is the image")
    b.oci("delete", "--force", b.id).expect("")
    refused(b, "mounts[4].options", lambda config: config["mounts"][4].update(type="bind", source="/tmp"))


@case("containers/field mounts: idmapped", notQEMU=noQEMU)
def idmapped(c):
    b = Bundle(c)
    source = c.work / "source"
    (source / "below").mkdir(parents=True)
    c.run(["mount", "-t", "tmpfs", "below", source / "below"]).expect("")
    try:
        for path in [source, source / "below"]:
            (path / "file").write_text("")
            os.chown(path / "file", 1000, 2000)
        maps = {"uidMappings": [{"containerID": 1000, "hostID": 5000, "size": 1}], "gidMappings": [{"containerID": 2000, "hostID": 6000, "size": 1}]}
        b.config["mounts"] += [
            {"destination": "/one", "type": "bind", "source": str(source), "options": ["rbind", "idmap"], **maps},
            {"destination": "/all", "type": "bind", "source": str(source), "options": ["rbind", "ridmap"], **maps},
        ]
        b.sh("for f in /one /one/below /all /all/below; do ls -n $f/file; done | while read m n u g rest; do echo $u $g; done")
        result = b.run()
        if "mount_setattr" in result.err:
            raise Skip("this file system cannot be idmapped")
        expect(result.out == "5000 6000\n1000 2000\n5000 6000\n5000 6000\n", f"{result.out!r} {result.err!r}")
        # Without maps of its own, those of the container's user namespace.
        b.linux["namespaces"].append({"type": "user"})
        for key in ["uidMappings", "gidMappings"]:
            b.linux[key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
            del b.config["mounts"][4][key]
        b.config["mounts"].pop()
        os.chmod(c.work, 0o755)
        b.sh("ls -n /one/file | while read m n u g rest; do echo $u $g; done; touch /one/made")
        b.run().expect("1000 2000\n")
        expect((source / "made").stat().st_uid == 0, "a file made through the idmapped mount has another owner")
    finally:
        c.run(["umount", source / "below"])
    refused(b, "mounts[4]", lambda config: config["mounts"].append({"destination": "/x", "type": "tmpfs", "options": ["idmap"]})
            if config["mounts"].pop() else None)
    refused(b, "mounts[4].uidMappings", lambda config: config["mounts"][4].update(uidMappings=[{"containerID": 0, "hostID": 0, "size": 1}]))


@case("containers/field mounts and rootfsPropagation: propagation", notQEMU=noQEMU)
def propagation(c):
    b = Bundle(c)
    shared = c.work / "shared"
    shared.mkdir()
    c.run(["mount", "-t", "tmpfs", "shared", shared]).expect("")
    c.run(["mount", "--make-shared", shared]).expect("")
    (shared / "in").mkdir()
    (shared / "out").mkdir()
    b.process["capabilities"] = {k: ["CAP_SYS_ADMIN"] for k in ["bounding", "effective", "permitted"]}
    try:
        # What the container mounts comes out only of a shared mount; what the host mounts comes in unless it is private.
        for option, comesOut, comesIn in [("rprivate", False, False), ("rslave", False, True), ("rshared", True, True)]:
            b.config["mounts"] = b.config["mounts"][:4] + [
                {"destination": "/shared", "type": "bind", "source": str(shared), "options": ["rbind", option]}]
            b.linux["rootfsPropagation"] = "shared" if option == "rshared" else "slave"
            b.sh("mount -t tmpfs inner /shared/out && sleep 100")
            expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
            pid = json.loads(b.oci("state", b.id).out)["pid"]
            for _ in range(100):
                if " /shared/out " in pathlib.Path(f"/proc/{pid}/mountinfo").read_text():
                    break
                time.sleep(0.02)
            c.run(["mount", "-t", "tmpfs", "outer", shared / "in"]).expect("")
            outside = f" {shared}/out " in pathlib.Path("/proc/self/mountinfo").read_text()
            inside = " /shared/in " in pathlib.Path(f"/proc/{pid}/mountinfo").read_text()
            c.run(["umount", shared / "in"]).expect("")
            if outside:
                c.run(["umount", shared / "out"])
            b.oci("delete", "--force", b.id).expect("")
            expect((outside, inside) == (comesOut, comesIn), f"{option}: comes out {outside}, comes in {inside}")
    finally:
        c.run(["umount", "-R", shared])
    b.config["mounts"] = b.config["mounts"][:4]
    for word, kind in [("private", "no-peers"), ("shared", "shared:"), ("slave", "master:"), ("unbindable", "unbindable")]:
        b.linux["rootfsPropagation"] = word
        line = b.sh("grep ' / / ' /proc/self/mountinfo || grep -E '^[0-9]+ [0-9]+ [0-9:]+ [^ ]+ / ' /proc/self/mountinfo").run().out
        found = kind in line if kind != "no-peers" else not re.search("shared:|master:|unbindable", line)
        # A slave of a mount that is nobody's peer is private.
        expect(found or word == "slave", f"{word}: {line!r}")
    refused(b, "linux.rootfsPropagation", lambda config: config["linux"].update(rootfsPropagation="open"))


@case("containers/field root.readonly, no pivot and no mount namespace", notQEMU=noQEMU)
def roots(c):
    b = Bundle(c)
    b.config["root"]["readonly"] = True
    result = b.sh("touch /x; ls / | wc -l").run()
    expect("Read-only file system" in result.err, result.err)
    b.config["root"]["readonly"] = False
    (c.work / "secret").write_text("")
    result = b.sh(f"touch /x && ls {c.work} /..").run("--no-pivot")
    expect("No such file" in result.err and "bin" in result.out, f"--no-pivot: {result.out!r} {result.err!r}")
    b.linux["namespaces"] = [n for n in b.linux["namespaces"] if n["type"] != "mount"]
    before = pathlib.Path("/proc/self/mountinfo").read_text().count("\n")
    result = b.sh(f"ls {c.work}; ls /").run()
    expect("No such file" in result.err and "bin" in result.out, f"chroot: {result.out!r} {result.err!r}")
    expect(pathlib.Path("/proc/self/mountinfo").read_text().count("\n") == before, "mounts stay on the host")
    refused(b, "root.path", lambda config: config["root"].update(path="nowhere"))
    refused(b, "linux.rootfsPropagation", lambda config: config["linux"].update(rootfsPropagation="private"))


@case("containers/field linux.namespaces: joined by path", notQEMU=noQEMU)
def joined(c):
    b = Bundle(c)
    b.sh("sleep 100")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    pid = json.loads(b.oci("state", b.id).out)["pid"]
    expected = {kind: os.stat(f"/proc/{pid}/ns/{name}").st_ino for kind, name in
                {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}.items()}
    other, state = b.id, b.state
    b.id, b.state = f"second-{b.id}", c.work / "state2"
    b.linux["namespaces"] = [{"type": "mount"}, *({"type": kind, "path": f"/proc/{pid}/ns/{'net' if kind == 'network' else kind}"} for kind in expected)]
    del b.config["hostname"]
    (b.rootfs / "bin/readlink").symlink_to("busybox")
    (b.rootfs / "bin/tr").symlink_to("busybox")
    try:
        result = b.sh("for n in net ipc uts pid; do readlink /proc/self/ns/$n; done | tr -dc '0-9\\n'; hostname; ps | grep -c 'sleep 100'").run()
        inodes = [str(expected[kind]) for kind in ["network", "ipc", "uts", "pid"]]
        expect(result.out.split()[:5] == [*inodes, "box"] and int(result.out.split()[5]) >= 1, f"{result.out!r} {result.err!r}, want {inodes}")
        refused(b, "linux.namespaces[1]", lambda config: config["linux"]["namespaces"][1].update(path="/proc/self/ns/mnt"))
        refused(b, "linux.namespaces[1]", lambda config: config["linux"]["namespaces"][1].update(path="/no/such"))
        refused(b, "linux.namespaces[5]", lambda config: config["linux"]["namespaces"].append({"type": "pid"}))
    finally:
        c.run([*b.program, "--root", state, "delete", "--force", other]).expect("")


@case("containers/field linux.timeOffsets", notQEMU=noQEMU)
def timeOffsets(c):
    b = Bundle(c)
    b.linux["namespaces"].append({"type": "time"})
    b.linux["timeOffsets"] = {"monotonic": {"secs": 1000, "nanosecs": 500}, "boottime": {"secs": 7, "nanosecs": 0}}
    b.sh("cat /proc/self/timens_offsets").run().expect(re.compile(r"monotonic\s+1000\s+500\nboottime\s+7\s+0\n"))
    # The clock is compared before and after: the offset is added to a value that grows meanwhile.
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    inside = float(b.sh("cat /proc/uptime").run().out.split()[0])
    expect(before + 7 <= inside + 0.02 and inside <= time.clock_gettime(time.CLOCK_BOOTTIME) + 7.02, f"{before} {inside}")
    refused(b, "linux.timeOffsets", lambda config: config["linux"]["timeOffsets"].update(realtime={"secs": 1}))
    b.linux["namespaces"].pop()
    refused(b, "linux.timeOffsets", lambda config: None)


@case("containers/field linux.devices and default devices", notQEMU=noQEMU)
def devices(c):
    b = Bundle(c)
    (b.rootfs / "bin/mknod").symlink_to("busybox")
    b.linux["devices"] = [
        {"path": "/dev/loop-of-mine", "type": "b", "major": 7, "minor": 0, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/deep/zero", "type": "u", "major": 1, "minor": 5}, {"path": "/dev/pipe", "type": "p", "fileMode": 0o600},
    ]
    b.linux["resources"]["devices"] += [{"allow": True, "type": "c", "major": 1, "minor": 5, "access": "r"}]
    b.sh("for f in loop-of-mine deep/zero pipe; do ls -ln /dev/$f; done | while read m n u g a i rest; do echo $m $u $g $a $i; done; "
         "head -c 3 /dev/deep/zero | wc -c; head -c 1 /dev/loop-of-mine; mknod /tmp/console c 5 1; cat /tmp/console; echo >/dev/null && echo null; "
         "for f in zero full random urandom tty null; do [ -c /dev/$f ] || echo no $f; done; ls -l /dev/fd /dev/stdin /dev/ptmx | while read a b c d e f g h i; do echo $i; done")
    result = b.run()
    lines = result.out.splitlines()
    expect(lines[:4] == ["brw-r----- 3 4 7, 0", "crw-rw-rw- 0 0 1, 5", lines[2], "3"] and lines[2].startswith("prw-------"), f"{result.out!r}")
    # Neither root nor the node helps against the device rules.
    expect(result.err.count("Operation not permitted") == 2, result.err)
    # The rules of this container allow reading /dev/zero only, and the devices that every container has.
    expect(lines[4:] == ["null", "/dev/fd -> /proc/self/fd", "/dev/ptmx -> pts/ptmx", "/dev/stdin -> /proc/self/fd/0"], f"{lines[4:]}")
    refused(b, "linux.devices[0].major", lambda config: config["linux"]["devices"][0].pop("major"))
    refused(b, "linux.devices[0].type", lambda config: config["linux"]["devices"][0].update(type="d"))


@case("containers/field linux.cgroupsPath", notQEMU=noQEMU)
def cgroupsPath(c):
    b = Bundle(c)
    for path, wanted in [(f"/{b.id}/deep/er", f"/{b.id}/deep/er"), (f"{b.id}/rel", f"/{b.id}/rel"), (None, f"/{b.id}")]:
        b.linux["cgroupsPath"] = path
        if path is None:
            del b.linux["cgroupsPath"]
        b.linux["namespaces"] = [n for n in b.linux["namespaces"] if n["type"] != "cgroup"]
        result = b.sh("cat /proc/self/cgroup").run()
        # A v1 hierarchy that nobody has mounted any more may linger.
        mounted = pathlib.Path("/proc/self/mountinfo").read_text()
        lines = [line for line in result.out.split() if line.startswith("0::") or f",{line.split(':')[1].split(',')[0]}" in mounted]
        expect(len(lines) > 1 and all(line.endswith(wanted) for line in lines), f"{path}: {result.out!r} {result.err!r}")
        b.expect_clean()
    refused(b, "linux.cgroupsPath", lambda config: config["linux"].update(cgroupsPath="../x"))


@case("containers/field linux.resources of v1 controllers", notQEMU=noQEMU)
def resources(c):
    b = Bundle(c)
    b.linux["resources"].update({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20, "swappiness": 10, "disableOOMKiller": True, "useHierarchy": True},
        "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 7},
        "blockIO": {"throttleReadBpsDevice": [{"major": 7, "minor": 0, "rate": 1048576}], "throttleWriteIOPSDevice": [{"major": 7, "minor": 0, "rate": 99}]},
    })
    b.sh("sleep 100")
    expect(b.create() == 0, b.output())
    for controller, name, value in [
        ("memory", "memory.limit_in_bytes", str(64 << 20)), ("memory", "memory.soft_limit_in_bytes", str(32 << 20)),
        ("memory", "memory.memsw.limit_in_bytes", str(96 << 20)), ("memory", "memory.swappiness", "10"), ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "20000"), ("cpu", "cpu.cfs_period_us", "50000"), ("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0"),
        ("pids", "pids.max", "7"), ("blkio", "blkio.throttle.read_bps_device", "7:0 1048576"), ("blkio", "blkio.throttle.write_iops_device", "7:0 99"),
    ]:
        got = cgroupFile(b, controller, name)
        expect(got == value, f"{name} is {got}, want {value}")
    expect("oom_kill_disable 1" in cgroupFile(b, "memory", "memory.oom_control"), "oom_kill_disable")
    # update takes the same section, from a file and from options.
    (c.work / "resources").write_text(json.dumps({"memory": {"limit": 48 << 20}, "cpu": {"shares": 256}}))
    b.oci("update", "--resources", c.work / "resources", b.id).expect("")
    b.oci("update", "--cpu-quota", "30000", "--pids-limit", "9", b.id).expect("")
    for controller, name, value in [("memory", "memory.limit_in_bytes", str(48 << 20)), ("cpu", "cpu.shares", "256"),
                                    ("cpu", "cpu.cfs_quota_us", "30000"), ("pids", "pids.max", "9")]:
        got = cgroupFile(b, controller, name)
        expect(got == value, f"after update, {name} is {got}, want {value}")
    # With checkBeforeUpdate a limit below what is used is refused and nothing changes.
    (c.work / "resources").write_text(json.dumps({"memory": {"limit": 4096, "checkBeforeUpdate": True}}))
    result = b.oci("update", "--resources", c.work / "resources", b.id)
    expect(result.status == 1 and "linux.resources.memory.limit" in result.err and "in use" in result.err, f"{result.err!r}")
    expect(cgroupFile(b, "memory", "memory.limit_in_bytes") == str(48 << 20), "the limit is another")
    b.oci("delete", "--force", b.id).expect("")
    b.expect_clean()
    base = json.dumps(b.config)
    for field, section in {
        "memory.kernel": {"memory": {"kernel": 1 << 20}}, "memory.kernelTCP": {"memory": {"kernelTCP": -7}},
        "blockIO.weight": {"blockIO": {"weight": 5000}}, "network.classID": {"network": {"classID": 7}},
        "network.priorities": {"network": {"priorities": [{"name": "lo", "priority": 1}]}}, "rdma": {"rdma": {"mlx5_1": {"hcaHandles": 3}}},
        "unified": {"unified": {"memory.high": "5"}}, "hugepageLimits": {"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]},
        "cpu.quota": {"cpu": {"quota": 5}}, "pids.limit": {"pids": {"limit": "7"}}, "cpu.cpus": {"cpu": {"cpus": "x"}},
        "cpu.realtimePeriod": {"cpu": {"realtimePeriod": 1 << 60}}, "cpu.idle": {"cpu": {"idle": 7}},
    }.items():
        b.config = json.loads(base)
        b.linux["resources"] = {"devices": [], **section}
        result = b.sh("true").run()
        expect(result.status == 1 and f"linux.resources.{field}" in result.err, f"{field}: status {result.status}, {result.err!r}")
        b.expect_clean()


@case("containers/field linux.resources.hugepageLimits", notQEMU=noQEMU)
def hugepages(c):
    b = Bundle(c)
    sizes = [int(p.name.removeprefix("hugepages-").removesuffix("kB")) for p in pathlib.Path("/sys/kernel/mm/hugepages").glob("*")]
    if 2048 not in sizes:
        raise Skip("no huge pages of 2 MB")
    b.linux["resources"]["hugepageLimits"] = [{"pageSize": "2MB", "limit": 4 << 20}]
    b.sh("sleep 100")
    if b.create():
        expect("hugepageLimits" in b.output(), b.output())
        raise Skip("no hierarchy of this host has hugetlb")
    found = [p.read_text().strip() for name in ["hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes"]
             for p in pathlib.Path("/sys/fs/cgroup").glob(f"**/{b.id}/{name}")]
    expect(found == [str(4 << 20)], f"{found}")
    b.oci("delete", "--force", b.id).expect("")
    b.expect_clean()


@case("containers/field linux.sysctl, hostname and domainname", notQEMU=noQEMU)
def sysctl(c):
    b = Bundle(c)
    b.config["domainname"] = "example.org"
    b.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "net/ipv4/conf/lo/forwarding": "0", "kernel.shmmax": "12345", "fs.mqueue.msg_max": "11"}
    b.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax /proc/sys/fs/mqueue/msg_max; hostname; cat /proc/sys/kernel/domainname").run().expect(
        "1\n12345\n11\nbox\nexample.org\n")
    for key in ["vm.swappiness", "kernel.sysrq", "net.no.such.name"]:
        refused(b, f"linux.sysctl.{key}", lambda config, key=key: config["linux"].update(sysctl={key: "1"}))
    b.linux["namespaces"] = [n for n in b.linux["namespaces"] if n["type"] not in ("uts", "network")]
    refused(b, "hostname", lambda config: config["linux"].pop("sysctl"))
    refused(b, "domainname", lambda config: (config["linux"].pop("sysctl"), config.pop("hostname")))


@case("containers/field linux.personality and linux.memoryPolicy", notQEMU=noQEMU)
def personality(c):
    b = Bundle(c)
    (b.rootfs / "bin/uname").symlink_to("busybox")
    b.linux["personality"] = {"domain": "LINUX32"}
    b.sh("uname -m").run().expect("i686\n")
    b.linux["personality"] = {"domain": "LINUX"}
    b.sh("uname -m").run().expect("x86_64\n")
    refused(b, "linux.personality.flags[0]", lambda config: config["linux"]["personality"].update(flags=["ADDR_NO_RANDOMIZE"]))
    refused(b, "linux.personality.domain", lambda config: config["linux"]["personality"].update(domain="BSD"))
    del b.linux["personality"]
    for mode, flags, nodes, shown in [("MPOL_BIND", [], "0", "bind:0"), ("MPOL_INTERLEAVE", ["MPOL_F_STATIC_NODES"], "0", "interleave=static:0"),
                                      ("MPOL_PREFERRED", [], "0", "prefer:0"), ("MPOL_LOCAL", [], None, "local"), ("MPOL_DEFAULT", [], None, "default")]:
        b.linux["memoryPolicy"] = {"mode": mode, "flags": flags, **({"nodes": nodes} if nodes else {})}
        result = b.sh("cat /proc/self/numa_maps").run()
        expect(f" {shown} " in result.out, f"{mode}: {result.out[:200]!r} {result.err!r}")
    refused(b, "linux.memoryPolicy.mode", lambda config: config["linux"]["memoryPolicy"].update(mode="MPOL_NEAR"))
    refused(b, "linux.memoryPolicy", lambda config: config["linux"].update(memoryPolicy={"mode": "MPOL_BIND", "nodes": "63"}))


@case("containers/field process.scheduler, ioPriority and oomScoreAdj", notQEMU=noQEMU)
def scheduling(c):
    b = Bundle(c)
    (b.rootfs / "bin/ionice").symlink_to("busybox")
    for policy, fields, number in [("SCHED_OTHER", {"nice": 5}, 0), ("SCHED_BATCH", {"nice": 3}, 3), ("SCHED_IDLE", {}, 5),
                                   ("SCHED_OTHER", {"flags": ["SCHED_FLAG_RESET_ON_FORK"]}, 0)]:
        b.process["scheduler"] = {"policy": policy, **fields}
        # Of /proc/PID/stat behind the name: nice is field 19, policy field 41.
        line = b.sh("cat /proc/1/stat").run().out.rpartition(") ")[2].split()
        expect(int(line[41 - 3]) == number and int(line[19 - 3]) == fields.get("nice", 0), f"{policy}: {line}")
    refused(b, "process.scheduler.policy", lambda config: config["process"]["scheduler"].update(policy="SCHED_FAIR"))
    # The kernel refuses a real-time policy without a priority.
    refused(b, "process.scheduler", lambda config: config["process"].update(scheduler={"policy": "SCHED_FIFO", "priority": 0}))
    refused(b, "process.scheduler", lambda config: config["process"].update(scheduler={"policy": "SCHED_DEADLINE", "runtime": 5, "deadline": 1, "period": 1}))
    del b.process["scheduler"]
    for name, level, shown in [("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"), ("IOPRIO_CLASS_IDLE", 0, "idle")]:
        b.process["ioPriority"] = {"class": name, "priority": level}
        b.sh("ionice -p 1").run().expect(re.compile(shown))
    refused(b, "process.ioPriority.class", lambda config: config["process"]["ioPriority"].update({"class": "IOPRIO_CLASS_NONE"}))
    refused(b, "process.ioPriority.priority", lambda config: config["process"]["ioPriority"].update(priority=8))
    b.process["oomScoreAdj"] = 777
    b.sh("cat /proc/self/oom_score_adj").run().expect("777\n")
    refused(b, "process.oomScoreAdj", lambda config: config["process"].update(oomScoreAdj=1001))


@case("containers/field process.execCPUAffinity", notQEMU=noQEMU)
def affinity(c):
    b = Bundle(c)
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise Skip("one processor")
    all_, last = ",".join(map(str, processors)), str(processors[-1])
    b.sh("sleep 100")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())

    def list_of(affinity):
        (c.work / "process.json").write_text(json.dumps({"cwd": "/", "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "env": ["PATH=/bin"],
                                                         "execCPUAffinity": affinity}))
        result = b.oci("exec", "--process", c.work / "process.json", b.id)
        text, numbers = result.out.split()[-1] if result.out else "", []
        for part in text.split(",") if text else []:
            first, _, end = part.partition("-")
            numbers += range(int(first), int(end or first) + 1)
        return ",".join(map(str, numbers)) or result.err

    expect(list_of({"final": last}) == last, "final")
    expect(list_of({"initial": str(processors[0]), "final": last}) == last, "initial and final")
    # Without a last word, the processors of the container's cgroup.
    expect(list_of({"initial": last}) == all_, f"initial alone: {list_of({'initial': last})}")
    expect("process.execCPUAffinity.initial" in list_of({"initial": "4000"}), "an initial list that no processor is in")
    expect("execCPUAffinity.final" in list_of({"final": "x"}), "no list")
    b.oci("delete", "--force", b.id).expect("")


@case("containers/field process.rlimits and capabilities", notQEMU=noQEMU)
def limitsAndCapabilities(c):
    b = Bundle(c)
    # Limits of which no test needs more: to raise one takes a capability that root of a test machine may lack.
    names = {"CORE": "core file size", "CPU": "cpu time", "LOCKS": "file locks", "MSGQUEUE": "msgqueue size", "NOFILE": "open files",
             "RTTIME": "realtime timeout", "SIGPENDING": "pending signals"}
    b.process["rlimits"] = [{"type": f"RLIMIT_{name}", "soft": 100 + i, "hard": 200 + i} for i, name in enumerate(names)]
    result = b.sh("cat /proc/self/limits").run()
    for i, name in enumerate(names.values()):
        expect(re.search(rf"Max {name}\s+{100 + i}\s+{200 + i}\s", result.out), f"{name}: {result.out!r} {result.err!r}")
    refused(b, "process.rlimits[7]", lambda config: config["process"]["rlimits"].append({"type": "RLIMIT_CPU", "soft": 1, "hard": 1}))
    refused(b, "process.rlimits[0].soft", lambda config: config["process"].update(rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]))
    refused(b, "process.rlimits[0].type", lambda config: config["process"].update(rlimits=[{"type": "RLIMIT_WORLD", "soft": 1, "hard": 1}]))
    del b.process["rlimits"]
    b.process["capabilities"] = {"bounding": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_KILL"], "effective": [], "inheritable": ["CAP_KILL"],
                                 "ambient": []}
    b.process["user"]["uid"] = 9
    b.sh("grep -E 'Cap(Inh|Bnd|Amb)' /proc/self/status").run().expect(
        "CapInh:\t0000000000000020\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000000\n")
    result = b.sh("true")
    b.process["capabilities"]["bounding"].append("CAP_FLYING")
    result = b.run()
    expect("CAP_FLYING" in result.err, f"an unknown capability goes unnoticed: {result.err!r}")


@case("containers/field labels of security modules that are not active", notQEMU=noQEMU)
def labels(c):
    b = Bundle(c)
    if pathlib.Path("/sys/fs/selinux").exists() or pathlib.Path("/sys/kernel/security/apparmor").exists():
        raise Skip("a security module is active")
    b.process.update({"selinuxLabel": "system_u:system_r:x:s0", "apparmorProfile": "profile"})
    b.linux["mountLabel"] = "system_u:object_r:x:s0"
    result = b.sh("echo in").run()
    expect(result.out == "in\n", f"{result.out!r} {result.err!r}")
    for field in ["process.selinuxLabel", "process.apparmorProfile", "linux.mountLabel"]:
        expect(field in result.err, f"{field} is ignored without a word: {result.err!r}")


@case("containers/field annotations: landlock", notQEMU=noQEMU)
def landlock(c):
    b = Bundle(c)
    version = json.loads(b.oci("features").out)["annotations"]["org.guise.landlock.version"]
    rules = {"files": {"handled": ["write_file", "make_reg", "read_dir"], "rules": [
        {"paths": ["/tmp", "/dev"], "allowed": ["write_file", "make_reg"]}, {"paths": ["/tmp", "/etc/passwd"], "allowed": ["read_dir", "write_file"]}]}}
    (b.rootfs / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    b.process["noNewPrivileges"] = True
    b.config["annotations"] = {"org.guise.landlock": json.dumps(rules)}
    if version == "0":
        refused(b, "annotations.org.guise.landlock", lambda config: None)
        raise Skip("this kernel has no landlock")
    script = ("touch /tmp/made && ls /tmp; echo x >/etc/hosts; ls /etc; echo '#' >>/etc/passwd && echo written; cat /etc/passwd | wc -l; "
              "echo >/dev/null && echo null")
    result = b.sh(script).run()
    expect(result.out == "made\nwritten\n2\nnull\n" and result.err.count("Permission denied") == 2, f"{result.out!r} {result.err!r}")
    expect(not (b.rootfs / "etc/hosts").exists(), "written in spite of the rules")
    # What comes by exec is bound too.
    b.sh("sleep 100")
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    result = b.oci("exec", b.id, "sh", "-c", "touch /etc/hosts; touch /tmp/exec && echo made")
    expect(result.out == "made\n" and "Permission denied" in result.err, f"exec: {result.out!r} {result.err!r}")
    b.oci("delete", "--force", b.id).expect("")
    if int(version) >= 4:
        b.config["annotations"]["org.guise.landlock"] = json.dumps({"ports": {"handled": ["bind_tcp", "connect_tcp"], "rules": [
            {"ports": [81], "allowed": ["connect_tcp"]}]}})
        (b.rootfs / "bin/nc").symlink_to("busybox")
        result = b.sh("nc -w 1 127.0.0.1 81; nc -w 1 127.0.0.1 82").run()
        expect("Connection refused" in result.err and "Permission denied" in result.err or "Network is unreachable" in result.err
               and "Permission denied" in result.err, f"ports: {result.err!r}")
    if int(version) >= 6:
        b.config["annotations"]["org.guise.landlock"] = json.dumps({"scoped": ["signal", "abstract_unix_socket"]})
        b.linux["namespaces"] = [n for n in b.linux["namespaces"] if n["type"] != "pid"]
        b.process["capabilities"] = {k: ["CAP_KILL"] for k in ["bounding", "effective", "permitted"]}
        result = b.sh(f"kill -0 {os.getpid()}; sleep 1 & kill $! && echo own").run()
        expect("not permitted" in result.err and result.out == "own\n", f"scoped: {result.out!r} {result.err!r}")
    for field, value in {
        "files.rules[0].paths[0]": {"files": {"handled": ["read_file"], "rules": [{"paths": ["/no/such"], "allowed": ["read_file"]}]}},
        "files.handled[0]": {"files": {"handled": ["fly"]}},
    }.items():
        refused(b, field, lambda config, value=value: config["annotations"].update({"org.guise.landlock": json.dumps(value)}))
    refused(b, "process.noNewPrivileges", lambda config: config["process"].update(noNewPrivileges=False))


seccompProgram = r"""
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <pthread.h>
static volatile int trapped;
static void on(int n, siginfo_t *i, void *c) { (void)n; (void)c; trapped = i->si_syscall == SYS_getppid && i->si_errno == 7; }
static void *call(void *p) { syscall(SYS_getppid); *(int *)p = 1; return 0; }
int main(int n, char **a) {
    (void)n;
    struct sigaction s = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
    if (!strcmp(a[1], "trap")) { sigaction(SIGSYS, &s, 0); syscall(SYS_getppid); printf("%s\n", trapped ? "trapped" : "not"); return 0; }
    if (!strcmp(a[1], "thread")) { int lived = 0; pthread_t t; pthread_create(&t, 0, call, &lived); pthread_join(t, 0); printf("%s\n", lived ? "lived" : "thread killed"); fflush(stdout); _exit(0); }
    if (!strcmp(a[1], "traced")) {
        pid_t p = fork();
        if (!p) { ptrace(PTRACE_TRACEME, 0, 0, 0); raise(SIGSTOP); syscall(SYS_getppid); _exit(0); }
        int st; waitpid(p, &st, 0); ptrace(PTRACE_SETOPTIONS, p, 0, 0x80); ptrace(PTRACE_CONT, p, 0, 0); waitpid(p, &st, 0);
        unsigned long m = 0; ptrace(PTRACE_GETEVENTMSG, p, 0, &m); printf("%s %lu\n", st >> 16 == 7 ? "traced" : "not", m); return 0;
    }
    long r = syscall(SYS_getppid);
    printf("%ld %d\n", r < 0 ? r : 1, r < 0 ? errno : 0);
    return 0;
}
"""


@case("containers/field linux.seccomp: every action", notQEMU=noQEMU)
def seccompActions(c):
    b = Bundle(c)
    gcc = c.need("gcc")
    (c.work / "s.c").write_text(seccompProgram)
    c.run([gcc, "-static", "-O1", "-pthread", "-o", b.rootfs / "s", c.work / "s.c"]).expect("", err=None)
    b.process["capabilities"] = {k: ["CAP_SYS_PTRACE"] for k in ["bounding", "effective", "permitted"]}
    for action, word, status, out, errno in [
        ("SCMP_ACT_ALLOW", "x", 0, "1 0\n", None), ("SCMP_ACT_LOG", "x", 0, "1 0\n", None), ("SCMP_ACT_ERRNO", "x", 0, "-1 1\n", None),
        ("SCMP_ACT_ERRNO", "x", 0, "-1 28\n", 28), ("SCMP_ACT_TRAP", "trap", 0, "trapped\n", 7), ("SCMP_ACT_KILL_PROCESS", "x", 128 + signal.SIGSYS, "", None),
        ("SCMP_ACT_KILL_THREAD", "thread", 0, "thread killed\n", None), ("SCMP_ACT_KILL", "thread", 0, "thread killed\n", None),
        ("SCMP_ACT_TRACE", "traced", 0, "traced 5\n", 5), ("SCMP_ACT_TRACE", "x", 0, "-1 38\n", 5),
    ]:
        rule = {"names": ["getppid"], "action": action, **({"errnoRet": errno} if errno is not None else {})}
        b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]}
        b.process["args"] = ["/s", word]
        result = b.run()
        # errnoRet of a trap reaches the handler as si_errno; libseccomp has no way to set it.
        wanted = "not\n" if action == "SCMP_ACT_TRAP" else out
        expect(result.status == status and result.out in (out, wanted), f"{action}: status {result.status}, {result.out!r} {result.err!r}")
    # The default's errno, arguments, and flags.
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 99, "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
                          "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_ERRNO"}]}
    b.linux["seccomp"]["defaultAction"] = "SCMP_ACT_ALLOW"
    del b.linux["seccomp"]["defaultErrnoRet"]
    b.process["args"] = ["/s", "x"]
    b.run().expect("-1 1\n")
    b.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]},
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28,
         "args": [{"index": 1, "value": 0o777, "valueTwo": 0o700, "op": "SCMP_CMP_MASKED_EQ"}]}]}
    b.process["args"] = ["sh", "-c", "kill -0 1; kill -CONT 1 && echo sent"]
    result = b.run()
    expect("No space left" in result.err and result.out == "sent\n", f"arguments: {result.out!r} {result.err!r}")
    for field, change in {
        "linux.seccomp.defaultAction": {"defaultAction": "SCMP_ACT_PRAY"},
        "linux.seccomp.flags[0]": {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_FAST"]},
        "linux.seccomp.architectures[0]": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]},
        "linux.seccomp.syscalls[0].args[0].op": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_LIKE"}]}]},
        "linux.seccomp.listenerPath": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such/socket", "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]},
    }.items():
        refused(b, field, lambda config, change=change: config["linux"].update(seccomp=change))


@case("containers/field process.terminal: resize", notQEMU=noQEMU)
def resize(c):
    b = Bundle(c)
    b.process.update({"terminal": True, "consoleSize": {"height": 5, "width": 6}})
    path = str(c.work / "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(10)
        b.sh("trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.1; done")
        expect(b.create("--console-socket", path) == 0, b.output())
        connection, _ = listener.accept()
        _, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
    master = array.array("i", ancillary[0][2][:4])[0]
    b.oci("start", b.id).expect("")
    seen = b""
    while b"\n" not in seen:
        seen += os.read(master, 100)
    import fcntl
    import struct
    import termios
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 44, 55, 0, 0))
    b.await_status("stopped")
    seen += os.read(master, 100)
    os.close(master)
    expect(seen == b"5 6\r\n44 55\r\n", f"{seen}")
    b.oci("delete", b.id).expect("")


@case("containers/field hooks: what they are told and where they run", notQEMU=noQEMU)
def hookState(c):
    b = Bundle(c)
    b.config["annotations"] = {"org.example.key": "value"}
    (b.rootfs / "hooks").mkdir()
    os.chmod(b.rootfs / "hooks", 0o777)
    points = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    for point in points:
        # createContainer runs in the container's namespaces with the runtime's root; startContainer inside.
        where = "/hooks" if point == "startContainer" else str(b.rootfs / "hooks")
        b.config.setdefault("hooks", {})[point] = [{"path": "/bin/sh", "args": ["sh", "-c", f"cat >{where}/{point}.json; readlink /proc/self/ns/mnt >{where}/{point}.ns; "
                                                   f"hostname >{where}/{point}.host; echo $A$HOME$PATH >{where}/{point}.env"], "env": ["A=only", "PATH=/bin:/usr/bin"]}]
    (b.rootfs / "bin/readlink").symlink_to("busybox")
    b.sh("true").run().expect("")
    statuses = {"prestart": "created", "createRuntime": "creating", "createContainer": "creating", "startContainer": "created", "poststart": "running",
                "poststop": "stopped"}
    host = os.uname().nodename
    own = os.readlink("/proc/self/ns/mnt")
    for point in points:
        state = json.loads((b.rootfs / f"hooks/{point}.json").read_text())
        expect(state["id"] == b.id and state["status"] == statuses[point] and state["bundle"] == str(b.path)
               and state["annotations"] == b.config["annotations"] and state["ociVersion"] == "1.2.0", f"{point}: {state}")
        expect((state["pid"] > 0) == (point != "poststop"), f"{point}: {state['pid']}")
        inside = point in ("createContainer", "startContainer")
        namespace = (b.rootfs / f"hooks/{point}.ns").read_text().strip()
        expect((namespace != own) == inside, f"{point} ran in {namespace}, the runtime in {own}")
        expect((b.rootfs / f"hooks/{point}.host").read_text().strip() == (
            "box" if point == "startContainer" else host if not inside else (b.rootfs / f"hooks/{point}.host").read_text().strip()), f"{point}: host name")
        # Nothing of the runtime's environment comes along.
        expect((b.rootfs / f"hooks/{point}.env").read_text() == "only/bin:/usr/bin\n", f"{point}: environment")
    # After a failure: nothing runs, and poststop still does where the container was created.
    for point in points[:-1]:
        marker = c.work / f"stopped-{point}"
        started = b.rootfs / "started"
        started.unlink(missing_ok=True)
        b.config["hooks"] = {point: [{"path": "/bin/false"}, {"path": "/bin/touch", "args": ["touch", str(marker) + "-second"]}],
                             "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 5"]}, {"path": "/bin/touch", "args": ["touch", str(marker)]}]}
        b.sh("touch /started; sleep 100")
        result = b.run("--detach")
        expect(result.status == 1 and point in result.err, f"a failing {point} hook: {result.status} {result.err!r}")
        expect(not pathlib.Path(str(marker) + "-second").exists(), f"the hook after a failing {point} hook ran")
        expect(started.exists() <= (point == "poststart"), f"the program ran in spite of a failing {point} hook")
        b.oci("delete", "--force", b.id)
        b.expect_clean()
    # create and start apart: a failing poststop hook is told, and the container is gone all the same.
    b.config["hooks"] = {"poststop": [{"path": "/bin/false"}, {"path": "/bin/touch", "args": ["touch", str(c.work / "last")]}]}
    b.sh("true")
    expect(b.create() == 0, b.output())
    b.oci("start", b.id).expect("")
    b.await_status("stopped")
    result = b.oci("delete", b.id)
    expect(result.status == 0 and "poststop" in result.err and (c.work / "last").exists(), f"{result.status} {result.err!r}")
    b.expect_clean()
    # A failing startContainer hook is start's error.
    b.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    expect(b.create() == 0, b.output())
    result = b.oci("start", b.id)
    expect(result.status == 1 and "startContainer" in result.err, f"{result.err!r}")
    b.await_status("stopped")
    b.oci("delete", b.id).expect("")
    refused(b, "hooks.poststart[0].path", lambda config: config.update(hooks={"poststart": [{"path": "false"}]}))
    refused(b, "hooks.poststart[0].timeout", lambda config: config.update(hooks={"poststart": [{"path": "/bin/false", "timeout": 0}]}))


@case("containers/field linux.intelRdt, other platforms, versions", notQEMU=noQEMU)
def refusals(c):
    b = Bundle(c)
    refused(b, "linux.intelRdt", lambda config: config["linux"].update(intelRdt={"closID": "x"}))
    for platform in ["solaris", "windows", "vm", "zos", "freebsd"]:
        refused(b, platform, lambda config, platform=platform: config.update({platform: {}}))
    for version in ["0.9.0", "1.4.0", "2.0.0", "1.2", "one"]:
        refused(b, "ociVersion", lambda config, version=version: config.update(ociVersion=version))
    for version in ["1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0"]:
        b.config["ociVersion"] = version
        b.sh("echo in").run().expect("in\n")
    result = b.oci("--systemd-cgroup", "run", "--bundle", b.path, b.id)
    expect(result.status == 1 and "systemd" in result.err, result.err)


@case("containers/options of the command line", notQEMU=noQEMU)
def commandLine(c):
    b = Bundle(c)
    b.process["args"] = ["no-such-program"]
    b.write()
    log = c.work / "log"
    c.run([*b.program, "--root", b.state, "--log", log, "--log-format", "json", "run", "--bundle", b.path, b.id])
    entry = json.loads(log.read_text().splitlines()[-1])
    expect(entry["level"] == "error" and "no-such-program" in entry["msg"] and entry["time"], f"{entry}")
    # Three descriptors stay open when two are asked for and the first three are always there.
    b.sh("ls /proc/self/fd; cat <&3; cat <&4")
    b.write()
    (c.work / "one").write_text("one\n")
    (c.work / "two").write_text("two\n")
    result = c.run(["sh", "-c", f"exec {' '.join(map(str, b.program))} --root {b.state} run --bundle {b.path} --preserve-fds 2 {b.id} 3<{c.work}/one 4<{c.work}/two 5<{c.work}/one"])
    result.expect("0\n1\n2\n3\n4\n5\none\ntwo\n")
    result = b.oci("run", "--bundle", b.path, "--preserve-fds", "9", b.id)
    expect(result.status == 1 and "--preserve-fds" in result.err, result.err)
    for words in [["run", "--no-such-option", "x"], ["no-such-command"], ["run"], ["state", "no-such-id"], ["kill", "a/b"], ["start", ".."]]:
        result = b.oci(*words)
        expect(result.status != 0 and result.err, f"{words}: {result.status} {result.err!r}")
    features = json.loads(b.oci("features").out)
    expect(features["ociVersionMax"] == "1.3.0" and "idmap" in features["mountOptions"], f"{features}")


@case("containers/field process: without it a start stops the container", notQEMU=noQEMU)
def withoutProcess(c):
    b = Bundle(c)
    del b.config["process"]
    expect(b.create() == 0 and b.status() == "created", b.output())
    result = b.oci("start", b.id)
    expect(result.status == 0 and "has no process" in result.err, f"{result.status} {result.err!r}")
    expect(b.status() == "stopped", b.status())
    expect(b.oci("start", b.id).status != 0, "a stopped container is started")
    expect(b.oci("delete", b.id).status == 0, "it is not deleted")
    b.expect_clean()


@case("containers/field linux.namespaces: user, time, cgroup and mount joined by path", notQEMU=noQEMU)
def joinedOthers(c):
    b = Bundle(c)
    os.chmod(c.work, 0o755)
    (b.rootfs / "bin/readlink").symlink_to("busybox")
    maps = {key: [{"containerID": 0, "hostID": 100000, "size": 1000}] for key in ["uidMappings", "gidMappings"]}
    b.linux["namespaces"] += [{"type": "user"}, {"type": "time"}]
    b.linux.update(maps, timeOffsets={"boottime": {"secs": 1000000}})
    b.sh("mount >/dev/null; touch /tmp/first; sleep 100; true")
    os.chmod(b.rootfs / "tmp", 0o777)
    expect(b.create() == 0 and b.oci("start", b.id).status == 0, b.output())
    pid = json.loads(b.oci("state", b.id).out)["pid"]
    files = {"user": "user", "time": "time", "cgroup": "cgroup", "mount": "mnt"}
    inodes = {kind: os.readlink(f"/proc/{pid}/ns/{file}") for kind, file in files.items()}
    first, state = b.id, b.state
    b.id, b.state = f"second-{b.id}", c.work / "state2"
    for key in [*maps, "timeOffsets"]:
        del b.linux[key]
    script = "for n in user time cgroup mnt; do readlink /proc/self/ns/$n; done; id -u; cut -d. -f1 /proc/uptime"
    (b.rootfs / "bin/cut").symlink_to("busybox")
    try:
        b.linux["namespaces"] = [{"type": kind} for kind in ["mount", "pid", "uts", "ipc", "network"]] + [
            {"type": kind, "path": f"/proc/{pid}/ns/{kind}"} for kind in ["user", "time", "cgroup"]]
        result = b.sh(script).run()
        expect(result.status == 0, result.err)
        lines = result.out.split()
        expect(lines[:3] == [inodes["user"], inodes["time"], inodes["cgroup"]] and lines[3] != inodes["mount"], f"{lines}, want {inodes}")
        expect(lines[4] == "0" and int(lines[5]) > 1000000, f"{lines}")
        # Another container's mount namespace has neither this container's root nor the host's procfs.
        b.linux["namespaces"][0] = {"type": "mount", "path": f"/proc/{pid}/ns/mnt"}
        result = b.sh("true").run()
        expect(result.status == 1 and "No such file" in result.err, f"{result.status} {result.err!r}")
        b.expect_clean()
    finally:
        c.run([*b.program, "--root", state, "delete", "--force", first]).expect("")
    # A mount namespace like the host's, with a mount that the host has not.
    b.linux["namespaces"] = [{"type": kind} for kind in plain if kind != "mount"]
    inner = c.work / "inner"
    inner.mkdir()
    holder = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c",
                               f"mount -t tmpfs inner {inner} && echo inside >{inner}/file && echo ready && exec sleep 100"], stdout=subprocess.PIPE)
    try:
        expect(holder.stdout.readline() == b"ready\n", "no mount namespace to join")
        b.linux["namespaces"].append({"type": "mount", "path": f"/proc/{holder.pid}/ns/mnt"})
        b.config["mounts"].append({"destination": "/inner", "type": "bind", "source": str(inner), "options": ["bind"]})
        (b.rootfs / "etc/hostname").write_text("")
        b.sh("cat /inner/file; readlink /proc/self/ns/mnt").run().expect(f"inside\n{os.readlink(f'/proc/{holder.pid}/ns/mnt')}\n")
        expect(str(b.rootfs) not in pathlib.Path("/proc/self/mountinfo").read_text(), "mounts on the host")
    finally:
        holder.kill()
        holder.wait()


@case("containers/guise oci is the same program", notQEMU=noQEMU)
def asVerb(c):
    b = Bundle(c)
    b.program = [c.guise, "oci"]
    b.sh("hostname; exit 4").run().expect("box\n", status=4)
    b.sh("sleep 100")
    expect(b.create() == 0, b.output())
    b.oci("start", b.id).expect("")
    b.oci("exec", b.id, "hostname").expect("box\n")
    b.oci("kill", b.id, "KILL").expect("")
    b.await_status("stopped")
    b.oci("delete", b.id).expect("")
    expect(b.oci("features").out == c.run([pathlib.Path(c.guise).with_name("guise-oci"), "features"]).out, "other features")
    b.expect_clean()
