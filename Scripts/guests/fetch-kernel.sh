#!/usr/bin/env bash
# fetch-kernel.sh ARCH: fetches Debian's kernel and static busybox for ARCH into the cache; prints the kernel's path.
# Beside it lie `busybox`, `config` and the modules under `root/`. Only the first run needs the network.
source "$(dirname "$0")/../lib.sh"
arch=${1:?usage: fetch-kernel.sh ARCH}
directory=$cache/guests/$arch
case $arch in
riscv64) pattern='linux-image-[0-9.]+\+deb[0-9]+-riscv64' ;;
amd64) pattern='linux-image-[0-9.]+\+deb[0-9]+-cloud-amd64' ;;
i386) pattern='linux-image-[0-9.]+\+deb[0-9]+-686-pae' ;;
*) die "no kernel is known for architecture $arch; known: riscv64, amd64, i386" ;;
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
