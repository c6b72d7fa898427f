#!/usr/bin/env bash
# make-root.sh ARCH: unpacks Debian packages into a root directory for `guise run --root`; prints its path.
# Packages are only unpacked: nothing of the guest runs here, so no maintainer script has.
source "$(dirname "$0")/../lib.sh"
arch=${1:?usage: make-root.sh ARCH}
root=$cache/roots/$arch
packages=(base-files base-passwd libc-bin busybox-static bash dash coreutils findutils grep sed gawk tar gzip xz-utils
    zstd bzip2 diffutils file make python3 lua5.4 sqlite3 perl gcc g++ libc6-dev binutils procps hostname bsdutils util-linux)
case $arch in amd64 | i386) packages+=(openssl) ;; esac
stamp="1 $suite ${packages[*]}"
if [ "$(cat "$root/.guise" 2>/dev/null || true)" != "$stamp" ] || [ -n "${GUISE_REFRESH:-}" ]; then
    guest_apt "$arch"
    files=$(download_closure "${packages[@]}")
    work=$root.part
    rm -rf "$work"
    mkdir -p "$work"
    step "unpacking $(wc -l <<<"$files") packages into $root"
    # base-files first: it brings the links of the merged /usr that others would make directories.
    grep '/base-files_' <<<"$files" | while read -r file; do dpkg -x "$file" "$work"; done
    grep -v '/base-files_' <<<"$files" | while read -r file; do dpkg -x "$file" "$work"; done
    cp "$work/usr/share/base-passwd/passwd.master" "$work/etc/passwd"
    cp "$work/usr/share/base-passwd/group.master" "$work/etc/group"
    cp "$work/usr/share/base-files/nsswitch.conf" "$work/etc/nsswitch.conf" 2>/dev/null || true
    echo "127.0.0.1 localhost" >"$work/etc/hosts"
    ln -sf gawk "$work/usr/bin/awk"
    mkdir -p "$work"/{tmp,bench,proc,sys,dev}
    chmod 1777 "$work/tmp"
    echo "$stamp" >"$work/.guise"
    rm -rf "$root"
    mv "$work" "$root"
fi
echo "$root"
