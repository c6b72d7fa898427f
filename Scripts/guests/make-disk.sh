#!/usr/bin/env bash
# make-disk.sh ARCH: makes a raw ext4 disk of a Debian system with systemd, kernel modules and gcc, and an initrd that
# mounts it; prints the directory that holds `disk.img` and `initrd.gz`. Boot with
# `root=/dev/vda guise.root=/dev/vda console=ttyS0`; root has no password.
# Made without root and loop devices. Packages are unpacked, not configured: this script writes the few files that a
# boot to a login needs and that maintainer scripts would have made.
source "$(dirname "$0")/../lib.sh"
arch=${1:?usage: make-disk.sh ARCH}
directory=$cache/disks/$arch
packages=(base-files base-passwd libc-bin bash dash coreutils findutils grep sed gawk tar gzip util-linux mount login passwd
    libpam-modules libpam-runtime libpam-systemd systemd systemd-sysv udev dbus kmod e2fsprogs procps hostname init-system-helpers
    iproute2 less gcc libc6-dev make)

# Everything that ends in the image happens in here, under fakeroot, so that its files belong to root.
fill() {
    local work=$1 root=$1/root file
    mkdir -p "$root"
    # base-files first: it brings the links of the merged /usr that others would make directories.
    while read -r file; do dpkg -x "$file" "$root"; done < <(grep '/base-files_' "$work/files"; grep -v '/base-files_' "$work/files")
    cp -r "$work/../../guests/$arch/root/usr/lib/modules" "$root/usr/lib/"
    sed 's/^root:[^:]*:/root::/' "$root/usr/share/base-passwd/passwd.master" >"$root/etc/passwd"
    cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
    sed -E 's/^([^:]+):.*/\1:*:20000:0:99999:7:::/; s/^root:\*/root:/' "$root/etc/passwd" >"$root/etc/shadow"
    sed -i 's/^root::/root:x:/' "$root/etc/passwd"
    chmod 640 "$root/etc/shadow"
    cp "$root/usr/share/base-files/nsswitch.conf" "$root/etc/nsswitch.conf" 2>/dev/null || true
    cp "$root/usr/share/base-files/profile" "$root/etc/profile" 2>/dev/null || true
    cp "$root/usr/share/base-files/dot.bashrc" "$root/root/.bashrc" 2>/dev/null || true
    echo "auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so" >"$root/etc/pam.d/common-auth"
    echo "account required pam_unix.so" >"$root/etc/pam.d/common-account"
    echo "password required pam_unix.so yescrypt" >"$root/etc/pam.d/common-password"
    echo "session required pam_unix.so
session optional pam_systemd.so" >"$root/etc/pam.d/common-session"
    cp "$root/etc/pam.d/common-session" "$root/etc/pam.d/common-session-noninteractive"
    echo "/dev/vda / ext4 rw 0 1" >"$root/etc/fstab"
    echo guise >"$root/etc/hostname"
    echo "127.0.0.1 localhost guise" >"$root/etc/hosts"
    # A set identity: without one systemd takes this for a first boot and asks questions on the console.
    echo 67756973650000000000000000000001 >"$root/etc/machine-id"
    mkdir -p "$root"/{proc,sys,dev,run,tmp,root,mnt}
    chmod 1777 "$root/tmp"
    /sbin/mke2fs -q -F -t ext4 -L guise -d "$root" "$work/disk.img" 1600M >/dev/null
}
if [ "${GUISE_FILL:-}" ]; then fill "$GUISE_FILL"; exit; fi

stamp="2 $suite ${packages[*]}"
"$(dirname "$0")/fetch-kernel.sh" "$arch" >/dev/null
stamp="$stamp $(cat "$cache/guests/$arch/version")"
if [ "$(cat "$directory/stamp" 2>/dev/null || true)" != "$stamp" ] || [ -n "${GUISE_REFRESH:-}" ] ||
    [ "$(dirname "$0")/make-initrd.sh" -nt "$directory/initrd.gz" ]; then
    ensure fakeroot e2fsprogs kmod
    guest_apt "$arch"
    work=$directory.part
    rm -rf "$work"
    mkdir -p "$work"
    "$(dirname "$0")/make-initrd.sh" "$arch" "$work/initrd.gz" "" virtio_blk virtio_mmio virtio_pci crc32c_generic ext4
    download_closure "${packages[@]}" >"$work/files"
    step "making a disk of $(wc -l <"$work/files") packages in $directory"
    GUISE_FILL=$work fakeroot "$0" "$arch"
    rm -rf "$work/root" "$work/files"
    echo "$stamp" >"$work/stamp"
    rm -rf "$directory"
    mv "$work" "$directory"
fi
echo "$directory"
