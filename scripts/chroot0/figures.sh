#!/usr/bin/env bash
# usage: figures.sh DIR
# What the box costs, by mkbox (the median of five, as it is over so soon) and by the tutorial's mkdir and cp (once): seconds, files,
# megabytes, times of the first. DIR is on the disk to be measured and needs room for a copy of /lib.
set -euo pipefail
here=$(dirname "$0")
dir=$(mktemp -d "${1:?usage: $0 DIR}/figures.XXXXXX")
trap 'mkbox down -P "$dir/box.json" >/dev/null || :; rm -rf "$dir"' EXIT

# Microseconds that a command takes, nothing else being started for it.
duration() {
    local begin=${EPOCHREALTIME/[.,]/}
    "$@" >/dev/null
    echo $((${EPOCHREALTIME/[.,]/} - begin))
}
first=
tell() {
    local name=$1 box=$2 us=$3
    first=${first:-$us}
    awk -v name="$name" -v us="$us" -v first="$first" -v files="$(find "$box" -type f | wc -l)" \
        -v bytes="$(find "$box" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')" \
        'BEGIN { printf "%-12s %9.3f s %8d files %9.1f MB %9.1f x\n", name, us / 1e6, files, bytes / 1e6, us / first }'
}

# The lines that fill the box, as the tutorial's script has them.
by_hand() {
    sed -n -e '/^mkdir /p' -e '/^cp /p' "$here/0-tutorial.sh" | box=$dir/by-hand bash -eu
}
by_mkbox() {
    mkbox up -q --copy bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm --proc --bind /tmp:/data "$dir/box" >"$dir/box.json"
}

times=$(for _ in 1 2 3 4; do duration by_mkbox && mkbox down -P "$dir/box.json" >/dev/null; done && duration by_mkbox)
tell mkbox "$dir/box" "$(sort -n <<<"$times" | sed -n 3p)"
tell chroot0.sh "$dir/by-hand" "$(duration by_hand)"
