# Shared by the scripts: the cache, progress lines, Debian packages of the host, and a private apt for guests.
# Source it; it sets shell options.
set -euo pipefail

cache=${GUISE_CACHE:-$HOME/.cache/guise}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suite=${GUISE_GUEST_SUITE:-trixie}

# A progress line for a step that may take over a second.
step() { printf '==> %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# as_root COMMAND…: as root, through sudo where needed.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "must be root or have sudo for: $*"
    fi
}

# missing PACKAGE…: prints those that are not installed.
missing() {
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || echo "$package"
    done
}

# ensure PACKAGE…: installs what is missing; no network when nothing is.
ensure() {
    local want
    mapfile -t want < <(missing "$@")
    [ ${#want[@]} -gt 0 ] || return 0
    step "installing ${want[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${want[@]}" >/dev/null 2>&1 && return 0
    step "refreshing the package lists"
    as_root apt-get -qq update >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${want[@]}" >&2
}

# The Debian mirror of this machine's own apt sources. apt itself reads them, so both source formats work.
mirror() {
    local uris chosen
    uris=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 == "main" && $0 !~ /security/ { print $1, $3 }' | sort -u)
    chosen=$(awk '$2 == "Debian" { print $1; exit }' <<<"$uris")
    [ -n "$chosen" ] || chosen=$(awk '$1 ~ /\/debian\/?$/ { print $1; exit }' <<<"$uris")
    [ -n "$chosen" ] || die "no Debian mirror in this machine's apt sources; add one and run apt-get update"
    echo "$chosen"
}

# guest_apt ARCH: makes a private apt for a guest architecture, and sets guestAPT to its directory. The host's
# dpkg knows nothing of it, and neither root nor `dpkg --add-architecture` is needed.
guest_apt() {
    local arch=$1
    guestAPT=$cache/apt/$suite-$arch
    [ ! -e "$guestAPT/ready" ] || [ -n "${GUISE_REFRESH:-}" ] || return 0
    ensure debian-archive-keyring
    mkdir -p "$guestAPT"/{lists/partial,cache/archives/partial,etc,none}
    : >"$guestAPT/none.conf"
    : >"$guestAPT/status"
    local uri
    uri=$(mirror) || exit 1
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >"$guestAPT/etc/sources.list"
    {
        # Proxies and certificates as the host has them; its hooks are not for us.
        apt-config dump | grep -E '^Acquire::[A-Za-z:.-]+ ".+";$' || true
        cat <<END
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages { "none"; };
Acquire::Retries "3";
Debug::NoLocking "true";
Dir::State "$guestAPT";
Dir::State::lists "$guestAPT/lists";
Dir::State::status "$guestAPT/status";
Dir::Cache "$guestAPT/cache";
Dir::Etc::sourcelist "$guestAPT/etc/sources.list";
Dir::Etc::sourceparts "$guestAPT/none";
Dir::Etc::parts "$guestAPT/none";
Dir::Etc::main "$guestAPT/none.conf";
Dir::Etc::preferences "$guestAPT/none.conf";
Dir::Etc::preferencesparts "$guestAPT/none";
END
    } >"$guestAPT/apt.conf"
    step "reading the package lists of Debian $suite for $arch"
    APT_CONFIG=$guestAPT/apt.conf apt-get -qq update >&2
    touch "$guestAPT/ready"
}

# newest PATTERN: the newest guest package whose whole name matches the extended regular expression.
newest() {
    local name
    name=$(APT_CONFIG=$guestAPT/apt.conf apt-cache pkgnames | grep -E "^($1)\$" | sort -V | tail -1)
    [ -n "$name" ] || die "no package in Debian $suite matches $1"
    echo "$name"
}

# unpack_package PACKAGE DIRECTORY: downloads one package of the guest's architecture and unpacks it.
unpack_package() {
    local package=$1 directory=$2 work
    mkdir -p "$directory"
    work=$(mktemp -d "$guestAPT/download.XXXXXX")
    step "fetching $package"
    if ! (cd "$work" && APT_CONFIG=$guestAPT/apt.conf apt-get -qq download "$package" >&2); then
        # Lists go stale when Debian replaces a version: read them anew, once.
        APT_CONFIG=$guestAPT/apt.conf apt-get -qq update >&2
        (cd "$work" && APT_CONFIG=$guestAPT/apt.conf apt-get -qq download "$package" >&2)
    fi
    dpkg -x "$work"/*.deb "$directory"
    rm -r "$work"
}

# download_closure PACKAGE…: downloads packages with all their dependencies into the private apt's cache, and
# prints the files.
download_closure() {
    local config=$guestAPT/apt.conf
    step "fetching $# packages and all that they depend on"
    if ! APT_CONFIG=$config apt-get -qq install -y --download-only "$@" >/dev/null; then
        APT_CONFIG=$config apt-get -qq update >&2
        APT_CONFIG=$config apt-get -qq install -y --download-only "$@" >/dev/null
    fi
    # apt names a file package_version_architecture.deb and writes the colon of an epoch as %3a.
    APT_CONFIG=$config apt-get -qq install -y --simulate "$@" |
        sed -nE 's/^Inst ([^ ]+) \(([^ ]+) .*\[([a-z0-9]+)\]\).*/\1_\2_\3/p' |
        while read -r name; do echo "$guestAPT/cache/archives/${name//:/%3a}.deb"; done
}
