"""User-mode programs: Debian's packages in a root, and our own under Tests/Guests/programs, for every guest."""
import hashlib
import pathlib
import random
import re

from support import Mismatch, Skip, case, guests, repository

own = pathlib.Path(__file__).resolve().parent / "programs"
benches = repository / "Benchmarks/programs"
everywhere = tuple(guests)
usageStatus, cannotExecute, notFound = 125, 126, 127


@case("programs/hello static", on=everywhere)
def helloStatic(c):
    c.program(c.compile(benches / "hello.c")).expect("hello from the guest\n", err="")


@case("programs/hello interpreted", on=everywhere)
def helloInterpreted(c):
    c.program(c.compile(benches / "hello.c"), engine="interpret").expect("hello from the guest\n")


@case("programs/hello dynamic from the cross root")
def helloDynamic(c):
    if not pathlib.Path("/usr/riscv64-linux-gnu/lib/libc.so.6").exists():
        raise Skip("no /usr/riscv64-linux-gnu/lib/libc.so.6")
    extra = ["-L", "/usr/riscv64-linux-gnu"] if c.qemu else []
    program = c.compile(benches / "hello.c", "-pie")
    if c.qemu:
        return c.run([c.need("qemu-riscv64-static"), *extra, program]).expect("hello from the guest\n")
    c.program(program).expect("hello from the guest\n")


def bench(name, count):
    # The 64-bit programs print the same everywhere; a 32-bit one is compared with itself, which an x86 host runs too.
    @case(f"programs/{name} agrees with the native program", on=("riscv64", "amd64"))
    def run(c):
        gcc, native = c.need("gcc"), c.work / name
        c.run([gcc, "-O2", "-o", native, benches / f"{name}.c", "-lm", "-pthread"]).expect()
        want = c.run([native, str(count)]).expect().out
        c.program(c.compile(benches / f"{name}.c"), str(count)).expect(want)

    if name == "sha256":  # needs integers of 128 bits
        return

    @case(f"programs/{name} agrees with the native program", on=("i386",))
    def run32(c):
        program = c.compile(benches / f"{name}.c")
        try:
            want = c.run([program, str(count)]).expect().out
        except OSError as error:
            raise Skip(f"the host runs no i386 programs: {error}")
        c.program(program, str(count)).expect(want)


for name, count in (("coremix", 500), ("dhrymix", 200000), ("sha256", 60), ("lz", 10), ("qsort", 2), ("bytecode", 10), ("recursion", 3),
                    ("hashtable", 6), ("pointerchase", 4), ("memcpy", 10), ("nbody", 20000), ("spectralnorm", 100), ("matmul", 2),
                    ("fft", 10), ("pipe", 2000), ("threads", 20000)):
    bench(name, count)


@case("programs/atomics under contention", on=everywhere)
def atomics(c):
    c.program(c.compile(own / "atomics.c"), "40000").expect("atomics ok\n")


@case("programs/signals", on=everywhere)
def signals(c):
    c.program(c.compile(own / "signals.c", "-static", "-O1")).expect("signals ok\n")


@case("programs/threads while the code cache is emptied", notQEMU="has no such switch")
def flushes(c):
    c.run(["env", "GUISE_DEBUG=code-cache=512K", c.guise, "run", "--root", c.root(), "/usr/bin/python3", "-c", flushScript],
          seconds=120).expect("threads ok\n")


@case("programs/every loop a region", notQEMU="has no such switch", on=("riscv64", "amd64", "i386"))
def regions(c):
    root = ["env", "GUISE_DEBUG=loop-count=2", c.guise, "run", "--root", c.root()]
    c.run([*root, "/usr/bin/python3", "-c", flushScript], seconds=120).expect("threads ok\n")
    c.run([*root, "/usr/bin/bash", "-c", "for ((i = 0; i < 3000; i++)); do s=$((s + i)); done; echo $s"], seconds=60).expect("4498500\n")
    c.run([*root, "/usr/bin/sqlite3", ":memory:", "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
           "select sum(i), max(i), count(*) from n where i % 3 = 0;"], seconds=60).expect("66663333|19998|6666\n")


# Eight threads that use enough code to empty a small cache again and again.
flushScript = """
import threading, json, re, random
def work(n):
    for i in range(40):
        json.loads(json.dumps({str(k): [k] * 3 for k in range(50)}))
        re.compile("a(b|c)*%d" % (i + n * 100)).match("abcbc")
        random.Random(i).sample(range(100), 5)
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]; print("threads ok")
"""


@case("programs/self-modifying code", notQEMU="sees no change through a second mapping", on=everywhere)
def selfModify(c):
    c.program(c.compile(own / "selfmodify.c")).expect("selfmodify ok\n")


@case("programs/fork and exec storm", executes=True, on=everywhere)
def storm(c):
    c.program(c.compile(own / "storm.c"), "10").expect("storm ok\n")


@case("programs/fork and exec loop", executes=True, on=everywhere)
def forkexec(c):
    c.program(c.compile(benches / "forkexec.c"), "200").expect("forkexec 200 10684\n")


@case("programs/exit statuses", on=everywhere)
def statuses(c):
    busybox, root = "/usr/bin/busybox", c.root()
    c.program(busybox, "sh", "-c", "exit 42", root=root).expect("", status=42)
    c.program(busybox, "sh", "-c", "kill -SEGV $$", root=root).expect(status=128 + 11)
    c.program(busybox, "sh", "-c", "kill -TERM $$", root=root).expect(status=128 + 15)


@case("programs/failures of guise itself", notQEMU="other statuses")
def failures(c):
    broken = c.work / "broken"
    c.program("/nonexistent/program").expect("", status=notFound, err=re.compile("/nonexistent/program"))
    broken.write_bytes(c.compile(benches / "hello.c").read_bytes()[:100])
    broken.chmod(0o755)
    c.program(broken).expect("", status=cannotExecute, err=re.compile("broken"))
    broken.chmod(0o644)
    c.program(broken).expect("", status=cannotExecute, err=re.compile("broken"))
    c.run([c.guise, "run", "--no-such-option", "x"]).expect("", status=usageStatus, err=re.compile("no-such-option"))
    c.run([c.guise, "no-such-verb"]).expect("", status=usageStatus, err=re.compile("no-such-verb"))


@case("programs/damaged ELF files never crash guise", notQEMU="crashes on some", on=everywhere)
def damaged(c):
    good, generator = c.compile(benches / "hello.c").read_bytes(), random.Random(1)
    for turn in range(60):
        data = bytearray(good)
        for _ in range(1 + turn % 5):
            data[generator.randrange(0x200)] = generator.randrange(256)
        if turn % 7 == 0:
            del data[generator.randrange(len(data)):]
        broken = c.work / f"damaged{turn}"
        broken.write_bytes(data)
        broken.chmod(0o755)
        result = c.program(broken, seconds=20)
        # What runs may end as it likes; a trap of the Swift runtime tells itself by its text.
        if "Fatal error" in result.err or "Stack dump" in result.err or "Program crashed" in result.err:
            raise Mismatch(f"turn {turn}: status {result.status}, {result.err[-300:]!r}")


@case("programs/standard input, output and error are the guest's", on=everywhere)
def streams(c):
    result = c.program("/usr/bin/busybox", "sh", "-c", "read a; echo got $a; echo warned >&2; cat", root=c.root(), input="one\ntwo\nthree\n")
    result.expect("got one\ntwo\nthree\n", err="warned\n")


@case("programs/environment", notQEMU="other option")
def environment(c):
    c.program("/usr/bin/busybox", "sh", "-c", 'echo "$COLOUR"', root=c.root(), options=["--env", "COLOUR=dark green"]).expect("dark green\n")


@case("programs/busybox applets", executes=True, on=everywhere)
def busybox(c):
    text = "".join(f"{i * 7919 % 1000} line\n" for i in range(2000))
    digest = hashlib.sha256("".join(sorted(text.splitlines(True))).encode()).hexdigest()
    words = "busybox sort | busybox gzip | busybox gzip -d | busybox sha256sum; busybox expr 6 '*' 7; busybox seq 1 5 | busybox awk '{s+=$1} END {print s}'"
    c.program("/usr/bin/bash", "-c", words, root=c.root(), input=text).expect(f"{digest}  -\n42\n15\n")


bashScript = r"""
set -eu
declare -A count
for word in the guest and the host and the engine; do count[$word]=$((${count[$word]:-0} + 1)); done
echo "${count[the]} ${count[and]} ${count[guest]}"
text=$(for i in {1..5}; do printf '%s,' $((i ** 3)); done)
echo "${text%,}" "${text:2:3}" "${text//,/;}"
f() { local n=$1; if ((n < 2)); then echo $n; else echo $(($(f $((n - 1))) + $(f $((n - 2))))); fi; }
f 8
trap 'echo leaving with $?' EXIT
cat <<END | { while read -r a b; do echo "$b $a"; done; }
one two
three four
END
exec 3< <(echo from a substitution); read -r line <&3; echo "$line"
(sleep 0.1; exit 3) & wait $! || echo "child $?"
mapfile -t lines < <(printf 'b\na\nc\n' | sort -r); echo "${lines[*]}"
[[ guise-7 =~ ^([a-z]+)-([0-9])$ ]] && echo "${BASH_REMATCH[2]} ${BASH_REMATCH[1]}"
exit 6
"""
bashOutput = """3 2 1
1,8,27,64,125 8,2 1;8;27;64;125;
21
two one
four three
from a substitution
child 3
c b a
7 guise
leaving with 6
"""


@case("programs/bash", executes=True, on=everywhere)
def bash(c):
    c.program("/usr/bin/bash", "-c", bashScript, root=c.root()).expect(bashOutput, status=6)


coreutilsScript = r"""
set -e
d=$(mktemp -d); cd "$d"
seq 1 1000 | shuf --random-source=<(yes) | sort -n | tail -1
printf 'a b\nb c\na b\n' > f; cp -p f g; ln -s f h; cmp f g; stat -c '%s %h %F' f h; ls -1 | wc -l
sort f | uniq -c | tr -s ' '; cut -d' ' -f2 f | paste -sd+; head -c 5 f | od -An -c | tr -s ' '
md5sum f | cut -c1-8; dd if=f of=i bs=4 skip=1 count=1 2>/dev/null; cat i; echo; truncate -s 10 i; wc -c < i
touch -d '2020-02-29 12:00:00 UTC' f; TZ=UTC date -r f '+%F %T'; chmod 640 f; stat -c %a f; mkdir -p x/y/z; rmdir -p x/y/z; test ! -e x
env -i A=1 env; echo $(($(nice -n 3 nice) - $(nice))); timeout 0.2 sleep 5 || echo "timeout $?"; echo done | tee k; readlink h; basename "$PWD/q.c" .c
cd /; rm -r "$d"; find "$d" 2>/dev/null | wc -l
"""
coreutilsOutput = """1000
12 1 regular file
1 1 symbolic link
3
 2 a b
 1 b c
b+c+b
 a b \\n b
{md5}
b
a 
10
2020-02-29 12:00:00
640
A=1
3
timeout 124
done
f
q
0
"""


@case("programs/coreutils and findutils", executes=True, on=everywhere)
def coreutils(c):
    content = b"a b\nb c\na b\n"
    want = coreutilsOutput.replace("{md5}", hashlib.md5(content).hexdigest()[:8])
    # Four bytes from offset four, without their final newline in the pattern above.
    want = want.replace("b\na \n10", content[4:8].decode() + "\n10")
    c.program("/usr/bin/bash", "-c", coreutilsScript, root=c.root()).expect(want)


pythonScript = r"""
import ctypes, decimal, hashlib, json, math, os, re, signal, socket, sqlite3, struct, subprocess, sys, tempfile, threading, zlib
print(sys.maxsize == 2**63 - 1, struct.pack("<dI", 1.5, 7).hex(), os.uname().machine)
print(hashlib.sha256(b"guise").hexdigest()[:16], zlib.crc32(b"guise"), json.dumps({"a": [1, 2.5, None]}))
print(math.fsum([0.1] * 10), round(math.sin(1), 12), decimal.Decimal(2) ** 50, 3**200 % 10**9, 7.0 // -2, -7 % 3, float("1e308") * 10)
total, lock = 0, threading.Lock()
def add():
    global total
    for _ in range(5000):
        with lock: total += 1
threads = [threading.Thread(target=add) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]; print(total)
a, b = socket.socketpair(); a.sendall(b"ping"); print(b.recv(10).decode())
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname()); peer, _ = server.accept()
client.sendall(b"over tcp"); print(peer.recv(100).decode())
pid = os.fork()
if pid == 0: os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
hits = []; signal.signal(signal.SIGALRM, lambda *_: hits.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause(); print(len(hits))
with tempfile.TemporaryDirectory() as d:
    path = os.path.join(d, "f"); open(path, "w").write("x" * 1000); os.rename(path, path + "2"); print(os.listdir(d), os.stat(path + "2").st_size)
print(ctypes.CDLL(None).abs(-5), re.sub(r"(\w+) (\w+)", r"\2 \1", "one two"))
db = sqlite3.connect(":memory:"); db.execute("create table t (x)"); db.executemany("insert into t values (?)", [(i,) for i in range(100)])
print(db.execute("select sum(x), avg(x) from t").fetchone())
"""
pythonOutput = f"""{{wide}} 000000000000f83f07000000 {{machine}}
{hashlib.sha256(b"guise").hexdigest()[:16]} {__import__("zlib").crc32(b"guise")} {{"a": [1, 2.5, null]}}
1.0 0.841470984808 1125899906842624 {3**200 % 10**9} -4.0 2 inf
20000
ping
over tcp
9
1
['f2'] 1000
5 two one
(4950, 49.5)
"""


@case("programs/python3", on=everywhere)
def python(c):
    c.program("/usr/bin/python3", "-", root=c.root(), input=pythonScript, seconds=120).expect(
        pythonOutput.replace("{wide}", str(c.guest != "i386")).replace("{machine}", c.machine))


@case("programs/python3 subprocess", executes=True, on=everywhere)
def pythonSubprocess(c):
    script = "import subprocess\nfor i in range(20): print(subprocess.run(['/usr/bin/expr', str(i), '*', '2'], capture_output=True, text=True).stdout.strip(), end=' ')"
    c.program("/usr/bin/python3", "-c", script, root=c.root(), seconds=120).expect("".join(f"{2 * i} " for i in range(20)))


@case("programs/lua", on=everywhere)
def lua(c):
    script = "local t={} for i=1,1000 do t[i]=(i*7919)%1009 end table.sort(t) print(t[1],t[500],#t,2^53,7//2,string.format('%.3f',math.pi),('abc'):rep(2,'-'))"
    c.program("/usr/bin/lua5.4", "-e", script, root=c.root()).expect("1\t505\t1000\t9.007199254741e+15\t3\t3.142\tabc-abc\n")


@case("programs/sqlite3", on=everywhere)
def sqlite(c):
    sql = ("create table t(a integer primary key, b text); with recursive n(i) as (select 1 union all select i+1 from n where i<5000) "
           "insert into t select i, hex(i*i) from n; create index x on t(b); select count(*), sum(a), max(b) from t; pragma integrity_check; "
           "delete from t where a%3=0; vacuum; select count(*) from t; pragma integrity_check;")
    sql = "drop table if exists t; pragma journal_mode=wal;" + sql
    result = c.program("/usr/bin/sqlite3", "/tmp/guise-test.db", sql, root=c.root())
    result.expect(re.compile(r"^wal\n5000\|12502500\|[0-9A-F]+\nok\n3334\nok\n$"))


@case("programs/gcc compiles and the result runs", executes=True, on=everywhere)
def gcc(c):
    script = r"""
set -e
d=$(mktemp -d); cd $d
cat > a.c <<'END'
#include <stdio.h>
#include <math.h>
int main(int argc, char **argv) { printf("%d %.6f %s\n", argc, sqrt(2.0 * argc), argv[1]); return 5; }
END
gcc -O2 -Wall -o a a.c -lm; ./a compiled || echo $?
cat > b.cc <<'END'
#include <iostream>
#include <map>
#include <stdexcept>
int main() { std::map<std::string, int> m; m["x"] = 3; try { throw std::runtime_error("thrown"); } catch (std::exception &e) { std::cout << e.what() << m["x"] << "\n"; } }
END
g++ -O1 -o b b.cc; ./b
printf 'all: c\nc: a.c\n\tgcc -static -o c a.c -lm\n' > Makefile; make -s; ./c static || true
cd /; rm -r $d
"""
    c.program("/usr/bin/bash", "-c", script, root=c.root(), seconds=240).expect("2 2.000000 compiled\n5\nthrown3\n2 2.000000 static\n")


@case("programs/scripts with an interpreter line", executes=True, on=everywhere)
def interpreterLine(c):
    script = "d=$(mktemp -d); printf '#!/usr/bin/python3 -I\\nimport sys\\nprint(\"script\", sys.argv[1:])\\n' > $d/s; chmod +x $d/s; $d/s a b; rm -r $d"
    c.program("/usr/bin/bash", "-c", script, root=c.root()).expect("script ['a', 'b']\n")


@case("programs/zstd and xz round trips", executes=True, on=everywhere)
def compressors(c):
    script = "seq 1 30000 > /tmp/guise-seq; for p in 'zstd -q' xz bzip2 gzip; do $p -c < /tmp/guise-seq | $p -dc | cmp - /tmp/guise-seq && echo same; done; zstd -q -T2 -c /tmp/guise-seq | zstd -qdc | md5sum; rm /tmp/guise-seq"
    digest = hashlib.md5("".join(f"{i}\n" for i in range(1, 30001)).encode()).hexdigest()
    c.program("/usr/bin/bash", "-c", script, root=c.root(), seconds=120).expect("same\n" * 4 + f"{digest}  -\n")


opensslScript = r"""
set -e
d=$(mktemp -d); cd $d; seq 1 20000 > text
for c in aes-128-cbc aes-256-gcm aes-256-ctr chacha20 camellia-128-cbc; do
    case $c in *gcm) continue ;; esac
    openssl enc -$c -pbkdf2 -k secret -in text -out sealed 2>/dev/null; openssl enc -d -$c -pbkdf2 -k secret -in sealed 2>/dev/null | cmp - text && echo $c
done
for h in md5 sha1 sha256 sha512 sha3-256 blake2b512; do openssl dgst -$h -r text | cut -c1-16; done
openssl genpkey -algorithm ED25519 -out key 2>/dev/null; openssl pkey -in key -pubout -out public
openssl pkeyutl -sign -rawin -inkey key -in text -out signature; openssl pkeyutl -verify -rawin -pubin -inkey public -in text -sigfile signature
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec 2>/dev/null; openssl dgst -sha256 -sign ec -out s text; openssl pkey -in ec -pubout -out p; openssl dgst -sha256 -verify p -signature s text
cd /; rm -r $d
"""


@case("programs/openssl", executes=True, on=("amd64", "i386"))
def openssl(c):
    text = "".join(f"{i}\n" for i in range(1, 20001)).encode()
    digests = "".join(hashlib.new(h, text).hexdigest()[:16] + "\n" for h in ("md5", "sha1", "sha256", "sha512", "sha3_256", "blake2b"))
    ciphers = "aes-128-cbc\naes-256-ctr\nchacha20\ncamellia-128-cbc\n"
    c.program("/usr/bin/bash", "-c", opensslScript, root=c.root(), seconds=240).expect(
        ciphers + digests + "Signature Verified Successfully\nVerified OK\n")
