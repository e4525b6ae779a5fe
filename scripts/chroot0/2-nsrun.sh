#!/usr/bin/env bash
# usage: 2-nsrun.sh BOX
# nsrun in place of unshare: the shell is PID 1, sees no process of the host, and has a network of its own.
set -eu
box=${1:?usage: $0 BOX}
programs=bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm

record=$(mktemp)
clean_up() {
    mkbox down -P "$record" >/dev/null
    rm -f "$record"
}
trap clean_up EXIT

mkbox up -v --copy "$programs" --proc --bind /tmp:/data "$box" >"$record"

nsrun exec --mount --pid --net -- mkbox exec -P "$record" -- /bin/bash
