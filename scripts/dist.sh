#!/usr/bin/env bash
# usage: dist.sh
# target/dist/chroot0-VERSION.tar.xz: what git has of HEAD, with the source of every crate in vendor/ and a configuration that makes
# cargo look there and nowhere else. The same bytes each time.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
name=chroot0-$version
out=${CARGO_TARGET_DIR:-target}/dist
rm -rf "$out"
mkdir -p "$out/$name"
git archive HEAD | tar -x -C "$out/$name"
(cd "$out/$name" && cargo vendor --quiet --locked)
cat >>"$out/$name/.cargo/config.toml" <<'END'

[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
END
tar --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw -C "$out" -c "$name" |
    xz -T1 -6 >"$out/$name.tar.xz"
rm -rf "${out:?}/$name"
echo "$out/$name.tar.xz"
