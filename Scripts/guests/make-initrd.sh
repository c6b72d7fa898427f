#!/usr/bin/env bash
# make-initrd.sh ARCH OUT [EXTRA [MODULE…]]: writes a busybox initrd for the kernel that fetch-kernel.sh brought.
# /init prints `INIT-UP <seconds since boot>`, then does what the kernel command line asks for:
#   guise.run=FILE    runs FILE with sh and powers off
#   guise.root=DEV    loads the modules, mounts DEV (ext4) and hands over to its init
#   otherwise         an interactive shell with job control; `poweroff` or its end powers off
# EXTRA is a directory whose files are put in; a MODULE brings in what it depends on and is loaded before all else.
source "$(dirname "$0")/../lib.sh"
arch=${1:?usage: make-initrd.sh ARCH OUT [EXTRA [MODULE…]]}
out=${2:?usage: make-initrd.sh ARCH OUT [EXTRA [MODULE…]]}
extra=${3:-}
shift $(($# < 3 ? $# : 3))
"$(dirname "$0")/fetch-kernel.sh" "$arch" >/dev/null
ensure cpio
guest=$cache/guests/$arch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work"/{bin,sbin,etc,proc,sys,dev,tmp,root,mnt,lib/modules}
cp "$guest/busybox" "$work/bin/busybox"
chmod 755 "$work/bin/busybox"
ln -s busybox "$work/bin/sh"

if [ $# -gt 0 ]; then
    ensure kmod xz-utils
    depmod=$(command -v depmod || echo /sbin/depmod)
    release=$(ls "$guest/root/usr/lib/modules" 2>/dev/null || ls "$guest/root/lib/modules")
    base=$guest/root/usr
    [ -d "$base/lib/modules" ] || base=$guest/root
    [ -e "$base/lib/modules/$release/modules.dep" ] || "$depmod" -b "$base" "$release"
    # Dependencies first: modules.dep lists them from the nearest to the deepest.
    for module; do
        line=$(grep -E "/${module//[-_]/[-_]}\.ko[^:/]*:" "$base/lib/modules/$release/modules.dep" | head -1 || true)
        if [ -z "$line" ]; then
            grep -qE "/${module//[-_]/[-_]}\.ko" "$base/lib/modules/$release/modules.builtin" || die "kernel $release has no module $module"
            continue
        fi
        read -ra files <<<"${line/:/}"
        for ((i = ${#files[@]} - 1; i >= 0; i--)); do
            name=$(basename "${files[i]}")
            name=${name%.xz}
            grep -qxF "$name" "$work/etc/modules" 2>/dev/null && continue
            case ${files[i]} in
            *.xz) xz -dc "$base/lib/modules/$release/${files[i]}" >"$work/lib/modules/$name" ;;
            *) cp "$base/lib/modules/$release/${files[i]}" "$work/lib/modules/$name" ;;
            esac
            echo "$name" >>"$work/etc/modules"
        done
    done
fi

cat >"$work/init" <<'END'
#!/bin/busybox sh
export PATH=/sbin:/bin HOME=/root TERM=${TERM:-vt100}
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /dev/pts
/bin/busybox mount -t devpts pts /dev/pts
read -r up rest </proc/uptime
echo "INIT-UP $up"
/bin/busybox --install -s /bin
run= root=
for word in $(cat /proc/cmdline); do
    case $word in
    guise.run=*) run=${word#guise.run=} ;;
    guise.root=*) root=${word#guise.root=} ;;
    esac
done
if [ -f /etc/modules ]; then
    while read -r module; do insmod "/lib/modules/$module"; done </etc/modules
fi
if [ -n "$root" ]; then
    waited=0
    while [ ! -b "$root" ] && [ $waited -lt 100 ]; do usleep 100000; waited=$((waited + 1)); done
    if mount -t ext4 "$root" /mnt; then
        umount /dev/pts
        for place in dev proc sys; do mount --move /$place /mnt/$place; done
        exec switch_root /mnt /sbin/init
    fi
    echo "INIT-FAILED: cannot mount $root"
elif [ -n "$run" ]; then
    sh "$run"
    echo "INIT-DONE $?"
else
    hostname guise
    echo
    echo "A busybox shell on $(uname -srm). poweroff ends it."
    export ENV=/etc/shrc
    setsid cttyhack sh
fi
sync
poweroff -f
END
# busybox runs its own applets before it searches PATH, and process 1 is a script that no signal reaches:
# functions make the plain words work.
cat >"$work/etc/shrc" <<'END'
PS1='guise:\w# '
poweroff() { sync; busybox poweroff -f; }
halt() { sync; busybox halt -f; }
reboot() { sync; busybox reboot -f; }
END
chmod 755 "$work/init"
[ -z "$extra" ] || cp -r "$extra/." "$work/"
mkdir -p "$(dirname "$out")"
(cd "$work" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -9n >"$out.part"
mv "$out.part" "$out"
