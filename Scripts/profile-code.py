#!/usr/bin/env python3
"""Where a guest's time goes in generated code: perf samples by unit and host instruction.

    Scripts/profile-code.py [--units N] [--guest PROGRAM] .build/release/guise run PROGRAM ARGS...

Needs perf (Debian: linux-perf) and objdump.
"""
import argparse, bisect, collections, os, re, subprocess, tempfile

def objdump(arguments):
    return subprocess.run(["objdump", *arguments], capture_output=True, text=True).stdout

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=6, help="how many units to list")
    parser.add_argument("--guest", help="a static guest program whose instructions are listed with each unit")
    parser.add_argument("--objdump", default="objdump", help="objdump for the guest's instructions")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    work = tempfile.mkdtemp()
    code, data = os.path.join(work, "code"), os.path.join(work, "perf")
    debug = ",".join(filter(None, [os.environ.get("GUISE_DEBUG"), "dump-code=" + code]))
    subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "2000", "-o", data, *options.command],
                   env={**os.environ, "GUISE_DEBUG": debug})
    script = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym"], capture_output=True, text=True).stdout
    lines = open(code + ".units").read().split("\n")
    base = int(lines[0], 16)
    units = sorted(tuple(int(word, 16) for word in line.split()) for line in lines[1:] if line)
    starts = [unit[0] for unit in units]
    total, counts, places, others = 0, collections.Counter(), collections.Counter(), collections.Counter()
    for line in script.splitlines():
        words = line.split(None, 1)
        if not words: continue
        total += 1
        offset = int(words[0], 16) - base
        position = bisect.bisect_right(starts, offset) - 1
        if 0 <= offset and position >= 0 and offset < units[position][0] + units[position][1]:
            counts[position] += 1
            places[offset] += 1
        elif 0 <= offset < os.path.getsize(code): others["(thunks and dead units)"] += 1
        else: others[words[1] if len(words) > 1 else "?"] += 1
    print(f"{total} samples, {sum(counts.values())} in {len(counts)} of {len(units)} units; elsewhere:")
    for name, count in others.most_common(12): print(f"  {count:6} {name[:100]}")
    for position, count in counts.most_common(options.units):
        start, length, guest, mode = units[position]
        print(f"\n== unit {guest:x} mode {mode:x}: {count} samples ({100 * count / total:.1f} %), {length} bytes")
        if options.guest:
            text = subprocess.run([options.objdump, "-d", "--no-show-raw-insn", f"--start-address={guest}",
                                   f"--stop-address={guest + 100}", options.guest], capture_output=True, text=True).stdout
            print("\n".join(line for line in text.splitlines() if re.match(r"\s*[0-9a-f]+:\t", line)))
            print("--")
        text = objdump(["-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", f"--start-address={start}",
                        f"--stop-address={start + length}", code])
        for line in text.splitlines():
            match = re.match(r"\s*([0-9a-f]+):\t(.*)", line)
            if match: print(f"{places[int(match[1], 16)] or '':>6} {match[1]}: {match[2]}")

main()
