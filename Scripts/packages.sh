#!/usr/bin/env bash
# packages.sh PURPOSE…: installs the Debian packages of the host for build, guests, oracles, containers or bench. No network and
# no privilege are needed when nothing is missing.
source "$(dirname "$0")/lib.sh"

# What the Swift toolchain needs to compile and link, and the libraries of Package.swift.
build=(binutils git libc6-dev g++ libcurl4-openssl-dev libedit2 libncurses6 libsqlite3-0 libxml2 libz3-dev pkg-config tzdata zlib1g-dev libzstd-dev libseccomp-dev)
guests=(cpio gzip xz-utils zstd kmod e2fsprogs fakeroot python3 debian-archive-keyring ca-certificates)
# Independent emulators, compilers and checkers. Tests skip what is missing.
oracles=(gcc libc6-dev gcc-i686-linux-gnu libc6-dev-i386-cross gcc-riscv64-linux-gnu libc6-dev-riscv64-cross binutils-riscv64-linux-gnu qemu-user-static qemu-system-misc device-tree-compiler acpica-tools busybox-static qemu-system-x86 bochs bochsbios vgabios bochs-term)
# Engines that use guise-oci, and what its tests call.
containers=(podman buildah containerd conmon busybox-static iproute2 util-linux gcc libc6-dev)
bench=(gcc gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user-static qemu-system-misc qemu-system-x86 lua5.4 sqlite3 zstd busybox-static bochs bochs-term bochsbios vgabios isolinux syslinux-common genisoimage crun runc bubblewrap time)

for purpose; do
    case $purpose in
    build)
        command -v swift >/dev/null || die "swift is not on PATH; install Swift 6.3 from https://www.swift.org/install/linux/"
        ensure "${build[@]}"
        ;;
    guests) ensure "${guests[@]}" ;;
    oracles) ensure "${oracles[@]}" ;;
    containers) ensure "${containers[@]}" ;;
    bench) ensure "${guests[@]}" "${bench[@]}" ;;
    *) die "no purpose $purpose; there are build, guests, oracles, containers and bench" ;;
    esac
done
