#!/usr/bin/env bash
# install.sh [extra package...]: installs what is missing of the Debian packages that critic-rm is built from. As root, by sudo, or it prints the line to run.
set -euo pipefail

packages=(build-essential cmake ninja-build pkg-config openmpi-bin libopenmpi-dev libhdf5-dev libdnnl-dev libjansson-dev libyaml-dev
          libpcre2-dev libutf8proc-dev libxxhash-dev libmicrohttpd-dev zlib1g-dev libcmocka-dev procps "$@")
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -eq 0 ]; then run=(); elif command -v sudo >/dev/null; then run=(sudo); else
    echo "missing packages; as root run: apt-get update && $install" >&2
    exit 1
fi
"${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${run[@]}" env DEBIAN_FRONTEND=noninteractive $install >/dev/null
