#!/usr/bin/env bash
# A pod from a pipe, in a few seconds: made, shown, used, run into its limit, taken down.
# It plays in network, mount, uts, ipc and pid namespaces of its own without a way out, so it changes nothing on this
# machine. Needs root, and the five tools in PATH (`make demo` builds them).
set -euo pipefail

if [ "${1:-}" != --in-the-node ]; then
    [ "$(id -u)" = 0 ] || { echo "demo.sh: needs root (namespaces, cgroups, mounts)" >&2; exit 1; }
    for program in pause nsrun cgset mkbox netwire busybox curl ip mount; do
        command -v "$program" >/dev/null || { echo "demo.sh: $program is not in PATH" >&2; exit 1; }
    done
    # Not exec: whatever ends the node, the scratch directory goes.
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    nsrun exec --net --mount --uts --ipc --pid --mount-proc --hostname node -- "$0" --in-the-node "$scratch"
    exit
fi

# Everything below is in the node. Its files are in memory and go with it.
mount -t tmpfs node "$2"
mount -t tmpfs node /run
mount -t tmpfs node /var/lib # leases
cd "$2"
ip link set lo up
mkdir www tls
echo '<h1>hello from the pod</h1>' >www/index.html
echo 'the certificate of web' >tls/tls.crt

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() { printf '\n# %s\n' "$*"; }
run() {
    printf '%s$ %s%s\n' "$bold" "$1" "$plain"
    eval "$1"
}

take_down() {
    # A second ^C does not stop what the first one began.
    trap '' INT TERM HUP
    for id in web client; do
        nsrun down --id $id | netwire down | cgset down >/dev/null
    done
    mkbox down --id site >/dev/null
}
trap take_down EXIT
# Not exit alone: a signal that comes when the shell is on its way out already would end the clean-up.
trap 'take_down; exit 130' INT TERM HUP

say 'A sandbox: limits first, then a process that holds the namespaces, then its eth0.'
run 'cgset up --id web memory.max=128Mi pids.max=50 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 > web.json'
say 'What it is, in the words of an OCI configuration and a CNI result:'
run 'cat web.json'

say 'A root file system: one program with exactly the libraries it needs, /proc, our directory, and a volume with a certificate.'
run 'mkbox up --copy busybox --proc --bind www:/www:ro --mount type=secret,source=tls,target=/tls site > site.json'
run 'mkbox show < site.json'

say 'The app, in the pod: a group with its own limit, its own processes, its own root.'
app='cgset exec -P web.json app memory.max=32Mi -- nsrun exec -P web.json --pid --mount -- mkbox exec -P site.json -- busybox httpd -f -p 80 -h /www'
printf '%s$ %s &%s\n' "$bold" "$app" "$plain"
eval "exec $app" &
disown # it is taken down with its pod, not by this shell

say 'A second pod, and from it the first one:'
run 'cgset up --id client | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 > client.json'
run 'nsrun exec -P client.json -- curl --silent --retry 20 --retry-connrefused --retry-delay 0 --max-time 5 http://10.244.0.2/'

say 'What a pod is: a process that the machine sees as any other, with files, an address and limits of its own.'
run 'ps -C busybox -o pid,args'
# shellcheck disable=SC2016 # run evaluates it
run 'nsrun exec -t $(pgrep -xo busybox) --all -- /bin/busybox cat /tls/tls.crt'

say 'Who is in the pod, where its packets go, what it uses:'
run 'nsrun show < web.json'
run 'netwire show < web.json'
run 'cgset show < web.json'

say 'A container that takes more than its 16 MiB: the kernel ends it (128 + signal 9), the pod lives on.'
run 'cgset exec -P web.json hog memory.max=16Mi -- nsrun exec -P web.json --pid --mount -- tail /dev/zero || echo "exit status $?"'
run 'nsrun exec -P client.json -- curl --silent --max-time 5 http://10.244.0.2/'

say 'Down again, in the order in which it is used: processes, network, groups; then the box.'
for id in web client; do
    run "nsrun down < $id.json | netwire down | cgset down > /dev/null"
done
run 'mkbox down < site.json > /dev/null'

say 'And nothing is left: no process but this script (and one that waits for the kernel to be done with a veth), no interface,
# no route, no group, no index.'
run 'ps -A -o pid,comm'
run 'ip -brief link; ip route'
run 'find /sys/fs/cgroup -name "pod-web" -o -name "pod-client"; ls /run; ls'
