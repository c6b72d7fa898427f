#!/usr/bin/env python3
"""extract-vmlinux.py BZIMAGE OUT: writes the ELF kernel that a bzImage carries compressed.

Where it lies is told by the setup header, fields payload_offset and payload_length (Linux
Documentation/arch/x86/boot.rst). The kernel appends its size to what it compressed, which decompressors that insist on
the end of their input must not see.
"""
import lzma
import struct
import subprocess
import sys
import zlib


def unpack(packed):
    if packed.startswith(b"\x28\xb5\x2f\xfd"):
        done = subprocess.run(["zstd", "-dcq"], input=packed[:-4], capture_output=True)
        if done.returncode != 0:
            sys.exit(f"extract-vmlinux.py: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout
    if packed.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(packed)
    if packed.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed)
    if packed.startswith(b"\x7fELF"):
        return packed
    sys.exit(f"extract-vmlinux.py: compressed in an unknown way, beginning with {packed[:4].hex()}")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: extract-vmlinux.py BZIMAGE OUT")
    image = open(sys.argv[1], "rb").read()
    if image[0x202:0x206] != b"HdrS" or struct.unpack_from("<H", image, 0x206)[0] < 0x208:
        sys.exit(f"extract-vmlinux.py: {sys.argv[1]} is no bzImage of protocol 2.08 or later")
    start = (image[0x1F1] or 4) * 512 + 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    kernel = unpack(image[start + offset:start + offset + length])
    if not kernel.startswith(b"\x7fELF"):
        sys.exit("extract-vmlinux.py: what was unpacked is no ELF file")
    with open(sys.argv[2], "wb") as out:
        out.write(kernel)


if __name__ == "__main__":
    main()
