#!/usr/bin/env bash
# fetch-installer.sh ARCH: fetches Debian's installer for network boot; prints the directory that holds its kernel
# (`linux` or `vmlinuz`) and `initrd.gz`.
source "$(dirname "$0")/../lib.sh"
arch=${1:?usage: fetch-installer.sh ARCH}
directory=$cache/installer/$arch
# Debian 12 is the last with an installer for i386.
[ "$arch" != i386 ] || suite=bookworm
if [ ! -e "$directory/ready" ] || [ -n "${GUISE_REFRESH:-}" ]; then
    guest_apt "$arch"
    work=$directory.part
    rm -rf "$work"
    mkdir -p "$work"
    unpack_package "$(newest "debian-installer-[0-9]+-netboot-$arch")" "$work/root"
    found=$(find "$work/root" -path '*/text/*' -name initrd.gz | head -1)
    [ -n "$found" ] || die "the package holds no text installer"
    find "$(dirname "$found")" -maxdepth 1 -type f -exec cp {} "$work/" \;
    rm -r "$work/root"
    touch "$work/ready"
    rm -rf "$directory"
    mv "$work" "$directory"
fi
echo "$directory"
