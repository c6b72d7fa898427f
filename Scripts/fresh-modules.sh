#!/usr/bin/env bash
# fresh-modules.sh CONFIGURATION: drops the compiled C modules when CHost has headers that they do not know.
# SwiftPM does not notice a header that is added to an umbrella directory, and then misses its functions.
source "$(dirname "$0")/lib.sh"
directory=$repository/.build/${1:?usage: fresh-modules.sh debug|release}
headers=$(cd "$repository/Sources/CHost/include" && ls | sha256sum)
if [ -d "$directory/ModuleCache" ] && [ "$(cat "$directory/headers" 2>/dev/null || true)" != "$headers" ]; then
    rm -rf "$directory/ModuleCache"
fi
mkdir -p "$repository/.build"
if [ -d "$directory" ]; then echo "$headers" >"$directory/headers"; fi
