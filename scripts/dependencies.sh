#!/usr/bin/env bash
# usage: dependencies.sh crates | sbom | notices
# What others wrote of the tools: the crates that are linked into them, and not those that only build or test.
#   crates    a JSON array of them, as cargo metadata has them
#   sbom      a software bill of materials, CycloneDX 1.5
#   notices   their licences, as each asks to be handed on
set -euo pipefail
cd "$(dirname "$0")/.."
target=${TARGET:-$(scripts/target.sh)}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# An array of the packages of others, sorted, with the sum that Cargo.lock has of each.
crates() {
    cargo tree --locked --workspace --exclude tests --edges normal,no-proc-macro --target "$target" --prefix none --format '{p}' |
        awk 'NF && $3 !~ /^\(\// { print $1 "@" substr($2, 2) }' | LC_ALL=C sort -u |
        jq --raw-input --slurp --slurpfile metadata <(cargo metadata --locked --format-version 1) --rawfile lock Cargo.lock '
            ($lock | [splits("\\[\\[package\\]\\]")] | map(
                [capture("(?<key>name|version|checksum) = \"(?<value>[^\"]*)\""; "g")] | from_entries | select(.checksum)
                | { key: "\(.name)@\(.version)", value: .checksum }) | from_entries) as $sums
            | ($metadata[0].packages | map({ key: "\(.name)@\(.version)", value: . }) | from_entries) as $packages
            | split("\n") | map(select(. != "") | . as $id | $packages[$id] + { checksum: $sums[$id] })'
}

sbom() {
    crates | jq --arg version "$version" '{
        bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
        metadata: { component: { type: "application", name: "chroot0", version: $version, "bom-ref": "chroot0",
            licenses: [{ expression: "MIT OR Apache-2.0" }] } },
        components: map({ type: "library", "bom-ref": "pkg:cargo/\(.name)@\(.version)", name, version, purl: "pkg:cargo/\(.name)@\(.version)",
            licenses: [{ expression: (.license | gsub("/"; " OR ")) }],
            hashes: [{ alg: "SHA-256", content: .checksum }] }),
        dependencies: [{ ref: "chroot0", dependsOn: map("pkg:cargo/\(.name)@\(.version)") }] }'
}

# Each text once, under the crates that have it.
notices() {
    echo "The tools are linked statically with these crates."
    crates | jq -r '.[] | [.name, .version, .license, (.manifest_path | rtrimstr("/Cargo.toml"))] | @tsv' |
        while IFS=$'\t' read -r name number license dir; do
            find "$dir" -maxdepth 1 -type f \( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' \) \
                -exec sha256sum {} + | sed "s|  |\t$name $number ($license)\t|"
        done | LC_ALL=C sort -s -k 1,1 | {
        before=
        text=
        while IFS=$'\t' read -r sum crate file; do
            if [ "$sum" != "$before" ]; then
                [ -z "$text" ] || { echo && cat "$text"; }
                printf '\n%s\n' ----
            fi
            echo "$crate"
            before=$sum text=$file
        done
        echo && cat "$text"
    }
}

case ${1:-} in
crates | sbom | notices) "$1" ;;
*)
    sed -n '2,/^set/s/^# //p' "$0" >&2
    exit 2
    ;;
esac
