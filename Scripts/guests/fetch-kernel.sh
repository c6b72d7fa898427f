#!/usr/bin/env bash
# fetch-kernel.sh GUEST: fetches Debian's kernel and static busybox into the cache; prints the kernel's path. GUEST is
# an architecture of Debian, and a flavour behind a dash where there are several kernels.
# Beside it lie `busybox`, `config` and the modules under `root/`. Only the first run needs the network.
source "$(dirname "$0")/../lib.sh"
guest=${1:?usage: fetch-kernel.sh GUEST}
arch=${guest%%-*}
directory=$cache/guests/$guest
case $guest in
riscv64) pattern='linux-image-[0-9.]+\+deb[0-9]+-riscv64' ;;
amd64) pattern='linux-image-[0-9.]+\+deb[0-9]+-cloud-amd64' ;;
amd64-generic) pattern='linux-image-[0-9.]+\+deb[0-9]+-amd64' ;;
# Debian 12 is the last with kernels for i386.
i386) pattern='linux-image-[0-9.]+-[0-9]+-686-pae' suite=bookworm ;;
i386-686) pattern='linux-image-[0-9.]+-[0-9]+-686' suite=bookworm ;;
*) die "no kernel is known for $guest; known: riscv64 amd64 amd64-generic i386 i386-686" ;;
esac
if [ ! -e "$directory/ready" ] || [ -n "${GUISE_REFRESH:-}" ]; then
    guest_apt "$arch"
    work=$directory.part
    rm -rf "$work"
    mkdir -p "$work"
    package=$(newest "$pattern")
    unpack_package "$package" "$work/root"
    unpack_package busybox-static "$work/static"
    cp "$work/root/boot/"vmlinu[xz]-* "$work/kernel"
    cp "$work/root/boot/"config-* "$work/config"
    find "$work/static" -name busybox -type f -exec cp {} "$work/busybox" \;
    echo "$package" >"$work/version"
    rm -r "$work/static"
    touch "$work/ready"
    rm -rf "$directory"
    mv "$work" "$directory"
fi
echo "$directory/kernel"
