#!/usr/bin/env bash
# fetch-firmware.sh ARCH: fetches Debian's OpenSBI and U-Boot for the board `virt`; prints the directory that holds
# `fw_jump.bin`, `fw_dynamic.bin` and `u-boot.bin` (U-Boot for S-mode).
source "$(dirname "$0")/../lib.sh"
arch=${1:?usage: fetch-firmware.sh ARCH}
[ "$arch" = riscv64 ] || die "no firmware is known for architecture $arch; known: riscv64"
directory=$cache/firmware/$arch
if [ ! -e "$directory/ready" ] || [ -n "${GUISE_REFRESH:-}" ]; then
    guest_apt "$arch"
    work=$directory.part
    rm -rf "$work"
    mkdir -p "$work"
    unpack_package opensbi "$work/root"
    unpack_package u-boot-qemu "$work/root"
    cp "$work/root/usr/lib/riscv64-linux-gnu/opensbi/generic/"fw_{jump,dynamic}.bin "$work/"
    cp "$work/root/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin" "$work/"
    rm -r "$work/root"
    touch "$work/ready"
    rm -rf "$directory"
    mv "$work" "$directory"
fi
echo "$directory"
