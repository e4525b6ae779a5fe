#!/bin/sh
# Draws the pictures of the documentation anew, from pods that are made for them: pictures.sh [DIR]. The tools draw; nothing is drawn by
# hand. In namespaces and groups of its own, so it needs root and changes nothing else.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ "${PICTURES_INSIDE:-}" = "" ]; then
    out=${1:-$here/../docs}
    mkdir -p "$out"
    out=$(cd "$out" && pwd)
    # The groups of a pod foo are the machine's own.
    for group in /sys/fs/cgroup/pod-foo /sys/fs/cgroup/*/pod-foo; do
        [ ! -e "$group" ] || { echo "pictures.sh: $group: there is a pod foo on this machine (nsrun show --id foo)" >&2; exit 1; }
    done
    run=$(mktemp -d)
    trap 'rmdir "$run"' EXIT
    # Somebody else's processes are no part of the picture, nor is what else is in the machine's /run.
    PICTURES_INSIDE=yes nsrun exec --net --uts --ipc --mount --pid --mount-proc --hostname node -- "$0" "$out" "$run"
    exit
fi

out=$1
for dir in /run /var/lib "$2"; do mount -t tmpfs tmpfs "$dir"; done
cd "$2"
clean() {
    for id in foo bar world; do
        nsrun down --id $id | netwire down | cgset down --kill >/dev/null
    done
    mkbox down --id box >/dev/null
}
trap clean EXIT
nsrun up --id world --net | netwire up --mode none >world.json
ip link add up0 type veth peer name w0 netns "$(jq .nsrun.pid world.json)"
ip address add 192.0.2.1/24 dev up0
ip link set up0 up
ip route add default via 192.0.2.9
set -- 'cgset up --id foo memory.max=512Mi pids.max=100' 'nsrun up --net --ipc --uts' \
    'netwire up --subnet 10.244.0.0/24 --nat --publish 8080:80 --sysctl-host'
eval "$1 | tee 1.json | $2 | tee 2.json | $3 >foo.json"
nsrun up --id bar --net | netwire up --subnet 10.244.0.0/24 >bar.json
netwire service up web --vip 10.96.0.10 --port 80 --to 10.244.0.2 --to 10.244.0.3 >/dev/null
mkbox up -q --copy sh,sleep --proc box >box.json
for name in app sidecar; do
    cgset exec -P foo.json $name memory.max=64Mi -- nsrun exec -P foo.json --pid --mount -- mkbox exec -P box.json -- \
        nsrun drop -- sleep 1000 >/dev/null 2>&1 &
done
tries=0
until [ "$(cgset tree -P foo.json | grep -c '[0-9] sleep 1000')" = 2 ]; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || { echo "pictures.sh: the containers do not run" >&2; exit 1; }
done

netwire show --all --svg >"$out/pod.svg"
style=$(sed -n '/<style>/,/<defs>/p' "$out/pod.svg")
jq -rs -f "$here/pipe.jq" --arg style "$style" 1.json 2.json foo.json --args "$@" >"$out/pipe.svg"
{
    nsrun show --tree -P foo.json
    echo
    cgset tree -P foo.json
} >"$out/pod.txt"

netwire service down web
