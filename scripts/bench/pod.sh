# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by bench.sh: the pod foo made and removed. It has a sandbox with limits and eth0, an app and a sidecar, each with processes, a root
# and a limit of its own, and is up when both have said a line. The root is there before, for everybody; the groups are v1's.

both='| { read -r one; read -r two; }'
pods=$work/pods
mkdir "$pods"

# by_us NAME [LINK...]: NAME-up.sh and NAME-down.sh, the containers behind further links of the chain.
by_us() {
    local name=$1 chain="nsrun exec -P $pods/$1.json --pid --mount -- mkbox exec -P $work/root.json -- ${*:2}"
    cat >"$pods/$name-up.sh" <<SCRIPT
cgset up --id $name-$tag memory.max=384Mi pids.max=100 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.9.0/24 >$pods/$name.json
{
    cgset exec -q -P $pods/$name.json app memory.max=256Mi -- $chain /ready ready &
    cgset exec -q -P $pods/$name.json sidecar memory.max=128Mi -- $chain /ready ready &
} $both
SCRIPT
    echo "nsrun down -P $pods/$name.json | netwire down | cgset down >$work/null" >"$pods/$name-down.sh"
}

by_shell() {
    cat >"$pods/shell-up.sh" <<SCRIPT
cd /sys/fs/cgroup
for group in memory pids; do mkdir \$group/pod-sh-$tag \$group/pod-sh-$tag/pause \$group/pod-sh-$tag/app \$group/pod-sh-$tag/sidecar; done
echo 384M >memory/pod-sh-$tag/memory.limit_in_bytes; echo 100 >pids/pod-sh-$tag/pids.max
echo 256M >memory/pod-sh-$tag/app/memory.limit_in_bytes; echo 128M >memory/pod-sh-$tag/sidecar/memory.limit_in_bytes
ip netns add foo
ip link add foo0 type veth peer name eth0 netns foo
ip addr add 10.244.8.1/32 dev foo0; ip link set foo0 up; ip route add 10.244.8.2 dev foo0 scope host
ip -n foo link set lo up; ip -n foo addr add 10.244.8.2/24 dev eth0; ip -n foo link set eth0 up; ip -n foo route add default via 10.244.8.1
sh -c 'for group in memory pids; do echo \$\$ >\$group/pod-sh-$tag/pause/cgroup.procs; done
    exec nsenter --net=/run/netns/foo unshare --ipc --uts pause' </dev/null >/dev/null 2>&1 &
pause=\$!
until read -r name </proc/\$pause/comm && [ "\$name" = pause ]; do :; done
{
    for name in app sidecar; do
        name=\$name sh -c 'for group in memory pids; do echo \$\$ >\$group/pod-sh-$tag/\$name/cgroup.procs; done
            exec nsenter --net --ipc --uts -t '\$pause' unshare --mount --pid --fork sh -c "mount -t proc proc $work/root/proc; exec chroot $work/root /ready ready"' &
    done
} $both
SCRIPT
    cat >"$pods/shell-down.sh" <<SCRIPT
cd /sys/fs/cgroup
kill -KILL \$(cat memory/pod-sh-$tag/app/cgroup.procs memory/pod-sh-$tag/sidecar/cgroup.procs memory/pod-sh-$tag/pause/cgroup.procs)
for group in memory pids; do
    for name in pod-sh-$tag/app pod-sh-$tag/sidecar pod-sh-$tag/pause pod-sh-$tag; do until rmdir \$group/\$name 2>$work/null; do :; done; done
done
ip link del foo0; ip netns del foo
SCRIPT
}

# One container of its pod, as an OCI bundle: NAME COMMAND LIMIT NAMESPACES.
bundle() {
    mkdir "$pods/$1"
    (cd "$pods/$1" && crun spec && mv config.json spec.json)
    jq -c --arg root "$work/root" --arg command "$2" --arg group "/pod-crun-$tag/$1" --argjson limit "$3" --argjson namespaces "$4" \
        '.root.path = $root | .root.readonly = false | .process.args = ($command | split(" ")) | .process.terminal = false | del(.hostname) | del(.process.rlimits)
        | .linux.cgroupsPath = $group | .linux.resources.memory.limit = $limit | .linux.namespaces = $namespaces
        | .mounts |= map(select(.destination == "/proc"))' "$pods/$1/spec.json" >"$pods/$1/template.json"
}

by_crun() {
    local crun="crun --cgroup-manager=cgroupfs --root=$pods/crun" net='{"type":"network","path":"/run/netns/crun"}' own='{"type":"mount"},{"type":"pid"}'
    local joined="[$net,{\"type\":\"ipc\",\"path\":\"/proc/PAUSE/ns/ipc\"},{\"type\":\"uts\",\"path\":\"/proc/PAUSE/ns/uts\"},$own]"
    # crun takes no machine that has v2 beside v1; covered in the bench's own mount namespace it is not there.
    mount --make-rprivate /
    mkdir -p "$work/root/dev" # it opens that in any root
    if mountpoint -q /sys/fs/cgroup/unified; then mount -t tmpfs covered /sys/fs/cgroup/unified; fi
    bundle pause /bin/pause 402653184 "[$net,{\"type\":\"ipc\"},{\"type\":\"uts\"},$own]"
    bundle app '/ready ready' 268435456 "$joined"
    bundle sidecar '/ready ready' 134217728 "$joined"
    echo '{"cniVersion":"0.4.0","name":"crun","type":"ptp","ipam":{"type":"host-local","subnet":"10.244.7.0/24","dataDir":"'"$pods"'/leases"}}' >"$pods/ptp.json"
    local cni="CNI_CONTAINERID=crun CNI_NETNS=/run/netns/crun CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni /usr/lib/cni/ptp <$pods/ptp.json >$work/null"
    cat >"$pods/crun-up.sh" <<SCRIPT
ip netns add crun
CNI_COMMAND=ADD $cni
cp $pods/pause/template.json $pods/pause/config.json
$crun run -d --pid-file $pods/pid -b $pods/pause pause-$tag </dev/null >/dev/null
read -r pause <$pods/pid || : # it has no end of a line
for name in app sidecar; do sed "s/PAUSE/\$pause/g" $pods/\$name/template.json >$pods/\$name/config.json; done
{ for name in app sidecar; do $crun run -d -b $pods/\$name \$name-$tag </dev/null; done; } $both
SCRIPT
    cat >"$pods/crun-down.sh" <<SCRIPT
for name in app sidecar pause; do $crun delete -f \$name-$tag; done
CNI_COMMAND=DEL $cni
ip netns del crun
rmdir /sys/fs/cgroup/*/pod-crun-$tag 2>$work/null || : # what crun leaves
SCRIPT
}

ups=() downs=() before_up=() before_down=()
# side NAME UP DOWN: what it takes to make it, where there is none, and to remove it.
side() {
    # The veth of the C program goes with its namespace, some time after its processes.
    local gone="[ ! -e $pods/is-up ] || . $pods/is-up; rm -f $pods/is-up; while ip link show wire8 >$work/null 2>&1; do :; done; $settle"
    ups+=("$1" "$2") downs+=("$1" "$3")
    before_up+=("$gone; echo \"$3\" >$pods/is-up")
    before_down+=("$gone; $2")
}

if [ -d /sys/fs/cgroup/memory ] && in_c pod; then
    cp "$work/pod" "$work/root/ready"
    cp "$(command -v pause)" "$work/root/bin/pause"
    by_us pipes
    side 'the pipes, in a script' "sh $pods/pipes-up.sh" "sh $pods/pipes-down.sh"
    by_us dropped nsrun drop --
    side 'the same, each container behind nsrun drop' "sh $pods/dropped-up.sh" "sh $pods/dropped-down.sh"
    echo "$work/pod up in-c-$tag $work/root $pods/pids $both" >"$pods/c-up.sh"
    side 'the calls in C, in one process' "sh $pods/c-up.sh" "$work/pod down in-c-$tag $pods/pids"
    by_shell
    side 'mkdir, echo, ip, nsenter, unshare, chroot' "sh $pods/shell-up.sh" "sh $pods/shell-down.sh"
    if command -v crun >/dev/null && [ -x /usr/lib/cni/ptp ]; then
        by_crun
        side 'crun three times, and CNI ptp' "sh $pods/crun-up.sh" "sh $pods/crun-down.sh"
    fi
    prepare=("${before_up[@]}")
    compare 'The pod foo made: pause, app, sidecar, eth0, limits (cgroup v1)' "${ups[@]}"
    sh -c ". $pods/is-up; rm $pods/is-up"
    prepare=("${before_down[@]}")
    compare 'And removed' "${downs[@]}"
    many=${PODS:-200}
    for ((n = 0; n < many; n++)); do by_us "n$n"; done
    before=$(kernel_memory) from=$EPOCHREALTIME
    for ((n = 0; n < many; n++)); do sh "$pods/n$n-up.sh" >"$work/null" 2>&1; done
    up=$(rate "$many" "$from") kernel=$((($(kernel_memory) - before) / many))
    # Of the processes of one: pause, and each container with the nsrun that waits for it.
    pids=$(nsrun show --json -P "$pods/n0.json" | jq '.processes[].pid')
    private=$(for pid in $pids; do cat "/proc/$pid/smaps_rollup"; done | awk '/^Private_(Clean|Dirty):/ { all += $2 } END { print all }')
    from=$EPOCHREALTIME
    for ((n = 0; n < many; n++)); do sh "$pods/n$n-down.sh"; done
    printf '\n%s such pods, one after the other\n' "$many"
    printf '  %-44s %10s %10s %12s %12s\n' '' 'up 1/s' 'down 1/s' 'kernel kB' 'private kB'
    printf '  %-44s %10s %10s %12s %12s\n' 'the pipes, in a script' "$up" "$(rate "$many" "$from")" "$kernel" "$private"
fi
