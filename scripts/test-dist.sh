#!/usr/bin/env bash
# usage: test-dist.sh
# What HEAD is given out as, made twice: the source archive, from two clones; and from it, in two directories, by a cargo that has nothing
# but what is in the archive, in a network namespace without a way out, the packages. The same bytes each time. DIST_CARGO="cargo --config …" builds
# otherwise, for example faster.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${CARGO_TARGET_DIR:-target}/test-dist
rm -rf "$out"
mkdir -p "$out"
out=$(readlink -f "$out")
trap 'rm -rf "$out"' EXIT
say() { echo "test-dist: $*"; }

export RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}
for copy in one another-directory; do
    git clone -q . "$out/$copy/clone"
    (
        # Not in a clone's target: the archive is made of what git has.
        export CARGO_TARGET_DIR=$out/$copy
        "$out/$copy/clone/scripts/dist.sh" >/dev/null
    )
    tar -C "$out/$copy" -xf "$out/$copy"/dist/chroot0-*.tar.xz
done
cmp "$out"/*/dist/chroot0-*.tar.xz
say "the source archive: $(du -h "$out"/one/dist/*.tar.xz | cut -f1), the same bytes from two clones"

for copy in one another-directory; do
    (
        cd "$out/$copy"/chroot0-*
        unset CARGO_TARGET_DIR
        export CARGO_HOME=$out/$copy/home CARGO_NET_OFFLINE=true
        mkdir -p "$CARGO_HOME"
        unshare --net make --no-print-directory deb ${DIST_CARGO:+CARGO="$DIST_CARGO"} >"$out/$copy/log" 2>&1 || { tail -n 40 "$out/$copy/log" >&2; exit 1; }
        mv target/deb "$out/$copy/deb"
        rm -rf target
    )
    say "built without a network, in $copy: $(cd "$out/$copy/deb" && echo *.deb)"
done
for deb in "$out"/one/deb/*.deb; do
    cmp "$deb" "$out/another-directory/deb/${deb##*/}"
done
say 'the same bytes in both'
