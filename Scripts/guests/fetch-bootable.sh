#!/usr/bin/env bash
# fetch-bootable.sh NAME: fetches a small x86 program that boots by itself into the cache; prints its path.
#   memtest   memtest86+, by the Linux boot protocol
#   gnumach   the GNU Mach microkernel for the 486, by Multiboot
source "$(dirname "$0")/../lib.sh"
name=${1:?usage: fetch-bootable.sh NAME}
case $name in
memtest) arch=amd64 package='memtest86\+' file='memtest86+x64.bin' ;;
gnumach) arch=i386 suite=bookworm package='gnumach-image-[0-9.]+-486' file='gnumach-*.gz' ;;
*) die "no program is known by the name $name; known: memtest gnumach" ;;
esac
target=$cache/bootable/$name
if [ ! -e "$target" ] || [ -n "${GUISE_REFRESH:-}" ]; then
    guest_apt "$arch"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    unpack_package "$(newest "$package")" "$work"
    found=$(find "$work" -name "$file" -type f | head -1)
    [ -n "$found" ] || die "the package holds no $file"
    mkdir -p "$(dirname "$target")"
    case $found in
    *.gz) gzip -dc "$found" >"$target.part" ;;
    *) cp "$found" "$target.part" ;;
    esac
    mv "$target.part" "$target"
fi
echo "$target"
