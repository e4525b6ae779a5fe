#!/usr/bin/env bash
# usage: 3-cgset.sh BOX
# cgset in place of mkdir and echo below /sys/fs/cgroup: ten bytes of memory, and the next program is killed.
set -eu
box=${1:?usage: $0 BOX}
programs=bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm

record=$(mktemp)
pod=$(mktemp)
clean_up() {
    cgset down -P "$pod" >/dev/null
    mkbox down -P "$record" >/dev/null
    rm -f "$record" "$pod"
}
trap clean_up EXIT

mkbox up -v --copy "$programs" --proc --bind /tmp:/data "$box" >"$record"

# The limit comes when the shell runs, from "another terminal": born under it, the shell itself could not start.
nsrun exec --mount --pid --net -- mkbox exec -P "$record" -- /bin/bash <&0 &
# Not a guess, as expr $(pidof unshare) + 1 was: the child of the process just started.
until shell=$(pgrep -x -P $! bash); do :; done
cgset up --id chroot0 --pid "$shell" memory.max=10 memory.swappiness=0 >"$pod" || kill -KILL $!

wait $!
