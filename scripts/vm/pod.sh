#!/bin/sh
# usage: pod.sh NAME
# Run as root in a machine of vm-images.sh, on an initramfs or in a Debian called NAME: the seed's pod from its pipe to nothing left, a line for
# each check, and how many there were. Beside the tools it needs busybox, bash and ls; the status is how it went.
# shellcheck disable=SC2016,SC2034,SC2317 # check evaluates its second word
set -u
name=${1:?usage: pod.sh NAME}
checks=0 failed=0
# check WHAT COMMAND: whether it succeeds.
check() {
    checks=$((checks + 1))
    if said=$(eval "$2" 2>&1); then
        echo "ok $name: $1"
    else
        failed=$((failed + 1))
        printf 'FAILED %s: %s\n%s\n' "$name" "$1" "$said"
    fi
}
# What a pod could leave behind.
world() {
    echo "$(ls /sys/class/net) $(ls -A "$scratch" /run/chroot0 /run/netns 2>/dev/null)"
    busybox find /sys/fs/cgroup -name 'pod-*'
    busybox grep -vE "cgroup2|^[^ ]+ $scratch " /proc/mounts
    busybox grep -lE '[p]ause|[h]ttpd' /proc/[0-9]*/cmdline 2>/dev/null
}
# Not by busybox: whoever resolves names in a static glibc needs its libraries, and this asks an address.
get() { bash -c 'exec 3<>/dev/tcp/10.244.0.2/80 && printf "GET / HTTP/1.0\r\n\r\n" >&3 && busybox timeout 5 busybox tail -n 1 <&3'; }
wait_for() {
    tries=0
    until eval "$1" >/dev/null 2>&1; do
        [ $((tries += 1)) -lt 100 ] || return
        busybox sleep 0.1
    done
}

# The kernel's own idea of it: busybox has another, which wants other files.
modprobe=$(busybox cat /proc/sys/kernel/modprobe)
for module in veth nft_chain_nat nft_masq nft_nat nft_ct nft_fib_inet; do "$modprobe" -q "$module"; done
[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
scratch=/tmp/seed
mkdir -p "$scratch" /var/lib
cd "$scratch" || exit
before=$(world)
mkdir data
echo served >data/index.html

echo "== $name: $(busybox stat -fc %T /) as /, $(busybox uname -r)"
cgset up --id seed memory.max=128Mi pids.max=50 | nsrun up --net --ipc --uts --hostname seed | netwire up --subnet 10.244.0.0/24 --nat >pod.json
check 'the pipe makes a pod' 'nsrun show -P pod.json && cgset show -P pod.json && netwire show -P pod.json'
mkbox up -q --copy bash,ls,busybox --proc --bind "$scratch/data:/data" "$scratch/box" >box.json
check 'a box has what the programs need, and no more' 'mkbox show -P box.json && [ "$(echo $(ls box))" = "bin data lib lib64 proc" ]'

in_app() { cgset exec -P pod.json app memory.max=32Mi -- nsrun exec -P pod.json --pid --mount -- mkbox exec -P box.json -- nsrun drop --caps docker -- "$@"; }
check 'ls in it prints bin data lib lib64 proc' '[ "$(echo $(in_app ls))" = "bin data lib lib64 proc" ]'
check 'its shell is process 1' '[ "$(in_app bash -c "echo \$\$")" = 1 ]'
check 'its host name is its own' '[ "$(in_app busybox hostname)" = seed ] && [ "$(busybox hostname)" != seed ]'
check 'it sees its own processes' '[ "$(in_app bash -c "echo /proc/[0-9]*")" = /proc/1 ]'
check 'eth0 has the first free address' 'in_app busybox ip -o -4 addr show eth0 | busybox grep -q " 10.244.0.2/"'
check 'it has fourteen capabilities' 'in_app busybox grep -q "^CapEff:.*00000000a80425fb" /proc/self/status'
check 'what is below /tmp/seed/data is in /data' '[ "$(in_app busybox cat /data/index.html)" = served ]'

(in_app busybox httpd -f -p 80 -h /data) &
check 'it serves those outside' 'wait_for get && [ "$(get)" = served ]'
group=$(busybox find /sys/fs/cgroup -type d -path '*/pod-seed/app')
check 'it is in its group' 'for pid in $(busybox cat "$group/cgroup.procs"); do busybox readlink "/proc/$pid/exe"; done | busybox grep -q busybox'
check 'its limits are there' '[ "$(cat "$group/memory.max" "$group/../memory.max" "$group/../pids.max" | busybox tr "\n" " ")" = "33554432 134217728 50 " ]'
cgset exec -P pod.json hog memory.max=16Mi -- nsrun exec -P pod.json --pid --mount -- mkbox exec -P box.json -- bash -c 'x=x; while :; do x=$x$x; done'
ended=$?
check 'what takes more is ended: 137' '[ "$ended" = 137 ]'
check 'and the pod lives on' '[ "$(get)" = served ]'

check 'it goes down' 'nsrun down -P pod.json | netwire down | cgset down >/dev/null && mkbox down -P box.json >/dev/null && [ ! -e box ]'
wait
busybox rm -r data ./*.json
check 'nothing is left' 'wait_for "[ \"\$(world)\" = \"\$before\" ]" || { printf "%s\n" "$before" -- "$(world)"; false; }'
cd /
busybox rmdir "$scratch"
echo "$name: $checks checks, $failed failed"
[ "$failed" = 0 ]
