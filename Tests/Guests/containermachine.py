"""Containers in a machine of our own: the cgroup layouts that this host cannot have. Debian's kernel under `guise boot`, an initrd with
busybox, guise-oci and bundles; the guest prints what its files hold, and the cases compare."""
import json
import pathlib
import re
import shutil

from containers import noQEMU
from machines import append
from support import Mismatch, Skip, case

MiB = 1 << 20
resources = {
    "memory": {"limit": 64 * MiB, "reservation": 32 * MiB, "swap": 80 * MiB},
    "cpu": {"shares": 512, "quota": 20000, "period": 50000, "burst": 1000, "cpus": "0", "mems": "0"},
    "pids": {"limit": 20},
    "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 4, "minor": 64, "access": "rm"}],
}


def configuration(arguments, **linux):
    capabilities = ["CAP_MKNOD", "CAP_KILL", "CAP_DAC_OVERRIDE"]
    return {
        "ociVersion": "1.2.0", "root": {"path": "/rootfs"},
        "process": {"cwd": "/", "args": arguments, "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
                    "capabilities": {k: capabilities for k in ["bounding", "effective", "permitted"]}},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                   {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                   {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}],
        "linux": {"namespaces": [{"type": kind} for kind in ["pid", "ipc", "uts", "mount", "cgroup"]], **linux},
    }


prologue = r"""
mkdir -p /rootfs/bin /rootfs/proc /rootfs/dev /rootfs/tmp /rootfs/sys/fs/cgroup
cp /bin/busybox /rootfs/bin/busybox
/bin/busybox --install -s /rootfs/bin
# The root of an initrd cannot be pivoted.
oci() { guise-oci "$@"; }
start() { oci run --no-pivot --detach --bundle /bundles/$1 $2 </dev/null; }
show() { for f; do echo "FILE ${f##*/} = $(cat $f | tr '\n' ';')"; done; }
say() { echo "SAY $*"; }
attempt() { name=$1; shift; "$@" >/tmp/out.$name 2>&1; say "$name status $? $(tr '\n' ' ' </tmp/out.$name)"; }
"""

life = r"""
attempt forks oci exec one sh -c 'for i in $(seq 40); do sleep 1 & done; true'
# Their end, so that there is room again.
sleep 2
attempt memory oci exec one dd if=/dev/zero of=/dev/null bs=100M count=1
attempt allowed oci exec one sh -c 'mknod /tmp/serial c 4 64; : </tmp/serial && echo read'
attempt denied oci exec one sh -c 'echo x >/tmp/serial'
attempt console oci exec one sh -c 'mknod /tmp/console c 5 1; : </tmp/console'
attempt default oci exec one sh -c 'echo >/dev/null; head -c 2 /dev/zero | wc -c'
attempt namespace oci exec one sh -c 'grep "^0:" /proc/self/cgroup'
attempt pause oci pause one
say status $(oci state one | grep '"status"')
attempt execPaused oci exec one true
attempt resume oci resume one
say status $(oci state one | grep '"status"')
attempt update oci update --memory 50331648 --pids-limit 30 --cpu-quota 30000 one
oci events --stats one >/tmp/events; say events $(cat /tmp/events)
attempt ps oci ps one
"""

unified = prologue + r"""
mount -t cgroup2 cgroup /sys/fs/cgroup
say layout $(cat /sys/fs/cgroup/cgroup.controllers)
attempt start start limits one
cd /sys/fs/cgroup/one
show memory.max memory.low memory.swap.max memory.high cpu.max cpu.max.burst cpu.weight cpuset.cpus cpuset.mems pids.max cgroup.procs
""" + life + r"""
show memory.max pids.max cpu.max memory.events pids.events
attempt mount oci exec one sh -c 'cat /sys/fs/cgroup/pids.max; echo 5 >/sys/fs/cgroup/pids.max'
cd /
attempt killAll oci kill --all one KILL
sleep 1
say status $(oci state one | grep '"status"')
attempt delete oci delete one
say left $(ls -d /sys/fs/cgroup/one /run/guise-oci/one 2>&1 | wc -l) $(ls -d /sys/fs/cgroup/one /run/guise-oci/one 2>/dev/null | wc -l)
# A runtime in a cgroup of its own: inner cgroups hold no processes, so the container comes beside it.
mkdir -p /sys/fs/cgroup/service/runtime
echo $$ >/sys/fs/cgroup/service/runtime/cgroup.procs
attempt start start limits two
show /sys/fs/cgroup/service/two/pids.max
attempt bomb oci exec two sh -c 'b() { b | b & }; b; sleep 1'
attempt delete oci delete --force two
for i in 1 2 3 4 5; do guise-oci run --no-pivot --detach --bundle /bundles/limits crash </dev/null >/dev/null 2>&1 & usleep ${i}0000; kill -9 $!; wait $! 2>/dev/null; oci delete --force crash; done
say left $(ls /sys/fs/cgroup/service | grep -c -E 'two|crash') $(ls /run/guise-oci | wc -l)
for bundle in kernel swappiness oomKiller rdma classID; do attempt refused-$bundle oci run --no-pivot --bundle /bundles/$bundle refused; done
# User namespaces: limits, a time namespace beside it, exec, and another container that joins.
attempt users start users first
show /sys/fs/cgroup/service/first/memory.max
attempt usersExec oci exec first sh -c 'id -u; cat /proc/self/uid_map; grep "^0:" /proc/self/cgroup; cut -d. -f1 /proc/uptime'
sed "s|PID|$(oci state first | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')|" /bundles/joining/config.json >/tmp/joining; mkdir -p /bundles/joined; mv /tmp/joining /bundles/joined/config.json
attempt usersJoin oci run --no-pivot --bundle /bundles/joined second
attempt delete oci delete --force first
say left $(ls /sys/fs/cgroup/service | grep -c -E 'first|second') $(ls /run/guise-oci | wc -l)
echo $$ >/sys/fs/cgroup/cgroup.procs
"""

hybrid = prologue + r"""
mount -t tmpfs cgroup /sys/fs/cgroup
mkdir /sys/fs/cgroup/pids /sys/fs/cgroup/cpu,cpuacct /sys/fs/cgroup/freezer /sys/fs/cgroup/unified
mount -t cgroup -o pids cgroup /sys/fs/cgroup/pids
mount -t cgroup -o cpu,cpuacct cgroup /sys/fs/cgroup/cpu,cpuacct
mount -t cgroup2 cgroup /sys/fs/cgroup/unified
say layout $(cat /sys/fs/cgroup/unified/cgroup.controllers)
attempt start start hybrid one
show /sys/fs/cgroup/pids/one/pids.max /sys/fs/cgroup/cpu,cpuacct/one/cpu.cfs_quota_us /sys/fs/cgroup/cpu,cpuacct/one/cpu.shares
show /sys/fs/cgroup/unified/one/memory.max /sys/fs/cgroup/unified/one/memory.swap.max /sys/fs/cgroup/unified/one/cpuset.cpus
""" + life + r"""
show /sys/fs/cgroup/pids/one/pids.max /sys/fs/cgroup/unified/one/memory.max /sys/fs/cgroup/cpu,cpuacct/one/cpu.cfs_quota_us
attempt mount oci exec one ls /sys/fs/cgroup
attempt delete oci delete --force one
say left $(ls -d /sys/fs/cgroup/*/one 2>/dev/null | wc -l)
"""


def bundles(c):
    # A first process that takes orphans away, as zombies count among the processes.
    sleeper = ["sh", "-c", "while :; do sleep 1; done"]

    def limited(change):
        return configuration(sleeper, resources={"devices": [], **change})
    users = configuration(sleeper, resources={"devices": [], "memory": {"limit": 64 * MiB}}, timeOffsets={"boottime": {"secs": 1000000}},
                          **{key: [{"containerID": 0, "hostID": 100000, "size": 65536}] for key in ["uidMappings", "gidMappings"]})
    users["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}]
    joining = configuration(["sh", "-c", "cat /proc/self/uid_map; grep '^0:' /proc/self/cgroup"], resources={"devices": [], "pids": {"limit": 9}})
    joining["linux"]["namespaces"].append({"type": "user", "path": "/proc/PID/ns/user"})
    return {
        "users": users, "joining": joining, "limits": configuration(sleeper, resources={**resources, "unified": {"memory.high": str(60 * MiB)}}),
        "hybrid": configuration(sleeper, resources={**resources, "cpu": {k: v for k, v in resources["cpu"].items() if k != "burst"}}),
        "kernel": limited({"memory": {"kernel": MiB}}), "swappiness": limited({"memory": {"swappiness": 10}}),
        "oomKiller": limited({"memory": {"disableOOMKiller": True}}), "rdma": limited({"rdma": {"mlx5_1": {"hcaHandles": 3}}}),
        "classID": limited({"network": {"classID": 7}}),
    }


def boot(c, script):
    """Runs a script in the machine; returns what files held and what was said, in order."""
    runtime = pathlib.Path(c.guise).with_name("guise-oci")
    if not runtime.exists():
        raise Skip("guise-oci is not built")
    stripped = c.work / "guise-oci"
    c.run([c.need("strip"), "-o", stripped, runtime]).expect("")
    files = {"script": script, "bin/guise-oci": stripped}
    files |= {f"bundles/{name}/config.json": json.dumps(value) for name, value in bundles(c).items()}
    console = c.boot(kernel=c.kernel(), initrd=c.initrd(files), append=f"{append} guise.run=/script", memory="768")
    console.expect(r"INIT-UP [0-9.]+", 90)
    console.expect(r"INIT-DONE", 300)
    console.end(60)
    held, said = {}, []
    for line in console.seen.splitlines():
        if match := re.match(r"FILE (\S+) = (.*?);?\s*$", line):
            held.setdefault(match[1], []).append(match[2])
        elif match := re.match(r"SAY (\S+) ?(.*?)\s*$", line):
            said.append((match[1], match[2]))
    return held, said


def compare(held, said, files, words):
    """Files: name to values in the order shown. Words: what attempts said, in order; patterns."""
    for name, values in files.items():
        if held.get(name) != values:
            raise Mismatch(f"{name} held {held.get(name)}, want {values}; {said}")
    names = [name for name, _ in said]
    for name, patterns in words.items():
        got = [text for n, text in said if n == name]
        if len(got) != len(patterns):
            raise Mismatch(f"{name}: {got}; all: {names}")
        for text, pattern in zip(got, patterns):
            if not re.search(pattern, text):
                raise Mismatch(f"{name} said {text!r}, want /{pattern}/; {said}")


common = {
    "forks": [r"status [0-9]+ .*[Cc]an't fork"], "memory": [r"status 137"], "allowed": [r"status 0 read"], "denied": [r"status 1 .*not permitted"],
    "console": [r"status 1 .*not permitted"], "default": ["status 0 2$"], "pause": ["status 0$"], "execPaused": ["status 1 .*paused"],
    "resume": ["status 0$"], "update": ["status 0$"],
}


@case("containers/cgroup v2 alone, in a machine of our own", notQEMU=noQEMU, on=("amd64",))
def v2(c):
    held, said = boot(c, unified)
    procs = held.pop("cgroup.procs", [""])[0]
    compare(held, said, {
        "memory.max": [str(64 * MiB), str(48 * MiB), str(64 * MiB)], "memory.low": [str(32 * MiB)], "memory.swap.max": [str(16 * MiB)], "memory.high": [str(60 * MiB)],
        "cpu.max": ["20000 50000", "30000 50000"], "cpu.max.burst": ["1000"], "cpu.weight": ["20"], "cpuset.cpus": ["0"], "cpuset.mems": ["0"],
        "pids.max": ["20", "30", "20"],
    }, {
        **common, "layout": [r"(?=.*\bcpu\b)(?=.*\bmemory\b)(?=.*\bpids\b)"], "start": ["status 0$", "status 0$"], "namespace": [r"0::/ ?$"],
        "status": ["paused", "running", "stopped"], "mount": [r"status 1 .*30.*Read-only"], "killAll": ["status 0$"], "delete": ["status 0$"] * 3,
        "left": ["^2 0$", "^0 0$", "^0 0$"], "users": ["status 0$"], "usersExec": [r"status 0 0 +0 +100000 +65536 0::/ 1000\d\d\d"],
        "usersJoin": [r"status 0 +0 +100000 +65536 0::/"], "bomb": ["status [0-9]+"], "ps": [r"status 0 .*PID"], "refused-kernel": [r"status 1 .*linux.resources.memory.kernel"],
        "refused-swappiness": ["status 1 .*linux.resources.memory.swappiness"], "refused-oomKiller": ["status 1 .*linux.resources.memory.disableOOMKiller"],
        "refused-rdma": ["status 1 .*linux.resources.rdma"], "refused-classID": ["status 1 .*linux.resources.network.classID"],
    })
    if not re.fullmatch(r"\d+(;\d+)*", procs):
        raise Mismatch(f"the container's cgroup held the processes {procs!r}")
    events = dict(pair.split(" ") for pair in held["memory.events"][0].split(";"))
    if int(events["oom_kill"]) < 1 or not re.match(r"max [1-9]", held["pids.events"][0]):
        raise Mismatch(f"memory.events {events}, pids.events {held['pids.events']}")
    data = json.loads(dict(said)["events"])["data"]
    if data["memory"]["usage"]["limit"] != 48 * MiB or data["pids"]["limit"] != 30 or data["cpu"]["usage"]["total"] <= 0:
        raise Mismatch(f"events {data}")


@case("containers/cgroup v1 and v2 side by side, in a machine of our own", notQEMU=noQEMU, on=("amd64",))
def hybridLayout(c):
    held, said = boot(c, hybrid)
    compare(held, said, {
        "pids.max": ["20", "30"], "cpu.cfs_quota_us": ["20000", "30000"], "cpu.shares": ["512"], "memory.max": [str(64 * MiB), str(48 * MiB)],
        "memory.swap.max": [str(16 * MiB)], "cpuset.cpus": ["0"],
    }, {**common, "layout": [r"^(?=.*\bmemory\b)(?!.*\bpids\b)"], "start": ["status 0$"], "status": ["paused", "running"],
        "mount": [r"cpu,cpuacct.*pids.*unified"], "delete": ["status 0$"], "left": ["^0$"]})
