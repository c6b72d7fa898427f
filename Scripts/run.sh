#!/usr/bin/env bash
# run.sh ARCH: boots Debian's kernel and a busybox initrd to an interactive shell. `poweroff` ends it.
source "$(dirname "$0")/lib.sh"
arch=${1:-riscv64}
"$repository/Scripts/packages.sh" guests
kernel=$("$repository/Scripts/guests/fetch-kernel.sh" "$arch")
initrd=$cache/guests/$arch/shell.gz
script=$repository/Scripts/guests/make-initrd.sh
if [ ! -e "$initrd" ] || [ "$script" -nt "$initrd" ] || [ "$kernel" -nt "$initrd" ]; then
    step "building the initrd"
    "$script" "$arch" "$initrd"
fi
step "booting $(cat "$cache/guests/$arch/version") (poweroff ends it; ctrl-a x ends it at once, ctrl-a h lists the keys)"
exec "$repository/.build/release/guise" boot --arch "$arch" --memory 512M --kernel "$kernel" --initrd "$initrd" \
    --append "console=ttyS0 quiet"
