#!/usr/bin/env bash
# usage: 5-pod.sh BOX
# A pod: pause holds the network, IPC and host name; an app (the shell) and a sidecar share them, and each has
# processes, files and a memory limit of its own. Both end in drop: root in them is not root of the machine.
set -eu
box=${1:?usage: $0 BOX}
programs=bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm,sleep

record=$(mktemp)
pod=$(mktemp)
clean_up() {
    nsrun down -P "$pod" | netwire down | cgset down >/dev/null
    mkbox down -P "$record" >/dev/null
    rm -f "$record" "$pod"
}
trap clean_up EXIT

mkbox up -v --copy "$programs" --proc --bind /tmp:/data "$box" >"$record"

cgset up --id chroot0 memory.max=512Mi pids.max=100 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 >"$pod"

container() {
    name=$1 memory=$2
    shift 2
    exec cgset exec -P "$pod" "$name" "memory.max=$memory" -- nsrun exec -P "$pod" --mount --pid -- mkbox exec -P "$record" -- \
        nsrun drop --caps docker -- "$@"
}
container sidecar 128Mi sleep 3650d &
disown # it goes with the pod, not with this script
until nsrun show -P "$pod" | grep -q sleep; do :; done
(container app 256Mi /bin/bash)
