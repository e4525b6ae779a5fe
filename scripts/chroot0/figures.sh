#!/usr/bin/env bash
# usage: figures.sh DIR
# What the box costs, by mkbox and by the tutorial's mkdir and cp: seconds, files, megabytes, times of the first. DIR is on the disk to be
# measured and needs room for a copy of /lib.
set -euo pipefail
here=$(dirname "$0")
dir=$(mktemp -d "${1:?usage: $0 DIR}/figures.XXXXXX")
trap 'mkbox down -P "$dir/box.json" >/dev/null || :; rm -rf "$dir"' EXIT

first=
measure() {
    local name=$1 box=$2 begin end
    shift 2
    begin=$(date +%s%N)
    "$@" >/dev/null
    end=$(date +%s%N)
    first=${first:-$((end - begin))}
    awk -v name="$name" -v ns=$((end - begin)) -v first="$first" -v files="$(find "$box" -type f | wc -l)" \
        -v bytes="$(find "$box" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')" \
        'BEGIN { printf "%-12s %9.3f s %8d files %9.1f MB %9.1f x\n", name, ns / 1e9, files, bytes / 1e6, ns / first }'
}

# The lines that fill the box, as the tutorial's script has them.
by_hand() {
    sed -n -e '/^mkdir /p' -e '/^cp /p' "$here/0-tutorial.sh" | box=$dir/by-hand bash -eu
}
by_mkbox() {
    mkbox up -q --copy bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm --proc --bind /tmp:/data "$dir/box" >"$dir/box.json"
}

measure mkbox "$dir/box" by_mkbox
measure chroot0.sh "$dir/by-hand" by_hand
