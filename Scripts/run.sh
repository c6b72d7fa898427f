#!/usr/bin/env bash
# run.sh ARCH: boots Debian's kernel and a busybox initrd to an interactive shell. `poweroff` ends it.
# ARCH is riscv64, x86_64 or i386.
source "$(dirname "$0")/lib.sh"
arch=${1:-x86_64}
guest=$arch
[ "$arch" != x86_64 ] || guest=amd64
"$repository/Scripts/packages.sh" guests
kernel=$("$repository/Scripts/guests/fetch-kernel.sh" "$guest")
initrd=$cache/guests/$guest/shell.gz
script=$repository/Scripts/guests/make-initrd.sh
if [ ! -e "$initrd" ] || [ "$script" -nt "$initrd" ] || [ "$kernel" -nt "$initrd" ]; then
    step "building the initrd"
    "$script" "$guest" "$initrd"
fi
step "booting $(cat "$cache/guests/$guest/version") (poweroff ends it; ctrl-a x ends it at once, ctrl-a h lists the keys)"
exec "$repository/.build/release/guise" boot --arch "$arch" --memory 512M --kernel "$kernel" --initrd "$initrd" \
    --append "console=ttyS0 quiet"
