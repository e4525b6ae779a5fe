#!/usr/bin/env bash
# usage: deb.sh
# Debian packages of this tree, in target/deb, as lintian likes them. The compiler is the one in PATH, which is why this
# is not dpkg-buildpackage: no package of Debian's stands for it.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${CARGO_TARGET_DIR:-target}/deb
rm -rf "$out"
mkdir -p "$out"
out=$(readlink -f "$out")
debian/rules clean >/dev/null
trap 'debian/rules clean >/dev/null' EXIT
DEB_OUT=$out debian/rules binary
lintian --fail-on error,warning,info "$out"/*.deb
echo "$out"/*.deb
