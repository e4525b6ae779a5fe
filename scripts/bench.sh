#!/usr/bin/env bash
# Side by side with peers in one run: medians, and the ratio to the peer in the same group. Absolute times belong to the
# machine and the moment; the ratios are what to quote. Needs root, python3, and the five tools in PATH.
# usage: bench.sh [PART...]       parts: pause mkbox nsrun cgset netwire service forward pod; all of these when none is named; and
#                                 many (a thousand sandboxes) and throughput, which take a minute each
set -euo pipefail

if [ "${1:-}" != --in-the-node ]; then
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    nsrun exec --net --mount --uts --ipc --pid --mount-proc -- "$(realpath "$0")" --in-the-node "$scratch" "$@"
    exit
fi

parts=$(dirname "$(realpath "$0")")/bench
cd "$2"
shift 2
[ $# -gt 0 ] || set -- pause mkbox nsrun cgset netwire service forward pod
mount -t tmpfs node /run
mount -t tmpfs node /var/lib # leases
work=$(mktemp -d -p /var/tmp chroot0-bench.XXXXXX) # a disk, as boxes are usually on one
tag=${work##*.} # in the names of groups, which are not the node's own: two runs may meet
ip link set lo up
clean_up() {
    trap '' INT TERM HUP
    netwire service down --all
    for id in /run/chroot0/*-"$tag"; do
        [ ! -d "$id" ] || nsrun down --id "${id##*/}" | netwire down | cgset down --kill >/dev/null
    done
    # And what the peers have made of a pod: below what is left, nobody lives on.
    find /sys/fs/cgroup -depth -type d -path "*/pod-*-$tag*" 2>/dev/null | while read -r group; do
        for ((tries = 0; tries < 100; tries++)); do
            [ -e "$group/cgroup.procs" ] || break
            xargs -r kill -KILL <"$group/cgroup.procs" 2>/dev/null || :
            if rmdir "$group" 2>/dev/null; then break; fi
            sleep 0.05
        done
    done
    for box in root bound full; do mkbox down --id $box >/dev/null; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT TERM HUP
runs=${RUNS:-40}

# compare TITLE NAME COMMAND [NAME COMMAND]...: in turn; the first is ours. A command that needs a shell gets sh, on both sides.
# What has to be done before each run, and is not measured, is in the array prepare, one for each command.
prepare=()
compare() {
    local arguments=("$1") before
    shift
    for before in "${prepare[@]}"; do arguments+=("--prepare=$before"); done
    prepare=()
    while [ $# -gt 0 ]; do
        arguments+=("$1")
        case $2 in
        *[\|\;\>]*)
            printf '%s\n' "$2" >"$work/$#.sh"
            arguments+=("sh $work/$#.sh")
            ;;
        *) arguments+=("$2") ;;
        esac
        shift 2
    done
    python3 "$parts/turns.py" "$runs" "${arguments[@]}"
}

# in_c NAME [LIBRARY]: compiles NAME.c, which does the same with the bare system calls, to $work/NAME. False where there is no compiler.
in_c() {
    command -v cc >/dev/null && cc -O2 -static -s -o "$work/$1" "$parts/$1.c" "${@:2}" && return
    printf '\nno C compiler, or no static C library: nothing is compared with %s.c\n' "$1"
    return 1
}

# What the kernel has taken for itself, in kB.
kernel_memory() { awk '/^(Slab|KernelStack|PageTables|Percpu):/ { all += $2 } END { print all }' /proc/meminfo; }
# rate COUNT BEGIN: how many a second that were until now.
rate() { awk -v many="$1" -v from="$2" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.0f", many / (to - from) }'; }

# What the parts use.
# shellcheck disable=SC2034
{
    raw= # the limit of what follows, where there is one
    ! in_c raw || raw=$work/raw
    # It starts and ends and does next to nothing in between: no library, two pages.
    bare='pause --version'
    # The kernel goes on freeing what was removed, and what is made meanwhile has to wait for it.
    settle='sleep 0.1'
}
# Any machine has connections that the kernel tracks, and who takes an address away looks through all of them.
if command -v nft >/dev/null; then
    nft 'add table ip track; add chain ip track out { type filter hook output priority 0; }; add rule ip track out ct state new'
    echo 7200 >/proc/sys/net/netfilter/nf_conntrack_udp_timeout
    echo >/dev/udp/127.0.0.1/9
    nft delete table ip track
fi
# A pod and a box that several parts use.
cgset up --id "held-$tag" memory.max=512Mi | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 >"$work/held.json"
mkbox up --copy pause --proc "$work/root" >"$work/root.json"

for part; do
    # shellcheck source=/dev/null # each is checked by itself
    . "$parts/$part.sh"
done
