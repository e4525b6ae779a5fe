# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: groups made, entered, shown and removed.

memory=/sys/fs/cgroup/memory
if [ -d $memory ]; then
    compare 'Groups with two limits, a command in them, and away with them (cgroup v1)' \
        'cgset up, exec, down' "cgset up --id bench-$tag memory.max=64Mi pids.max=50 >$work/g.json; cgset exec -P $work/g.json app -- true; cgset down -P $work/g.json" \
        'mkdir, echo, rmdir' "for c in memory pids cpu cpuacct; do mkdir /sys/fs/cgroup/\$c/bench-$tag; done; echo 64M >$memory/bench-$tag/memory.limit_in_bytes; echo 50 >/sys/fs/cgroup/pids/bench-$tag/pids.max; sh -c 'for c in memory pids cpu cpuacct; do echo \$\$ >/sys/fs/cgroup/\$c/bench-$tag/cgroup.procs; done; exec true'; for c in memory pids cpu cpuacct; do rmdir /sys/fs/cgroup/\$c/bench-$tag; done"
    compare 'A command in a group with limits of memory, cpu and pids (cgroup v1)' \
        'cgset exec' "cgset exec -P $work/held.json app memory.max=32Mi cpu.max=0.5 pids.max=50 -- $bare" \
        ${raw:+'tasks, in C' "$raw group pod-held-$tag/raw $bare"} \
        'cgset exec --rm' "cgset exec -P $work/held.json --rm -- $bare" \
        'nothing but the command' "$bare"
    [ -z "$raw" ] || rmdir /sys/fs/cgroup/{memory,cpu,pids,cpuacct,freezer}/"pod-held-$tag/raw"

    cgset up --id "many-$tag" >"$work/many.json"
    jq -r '.cgset.groups[]' "$work/many.json" | while read -r group; do (cd "$group" && seq -f 'g%g' 1000 | xargs mkdir); done
    files=
    for file in memory/{memory.usage_in_bytes,memory.limit_in_bytes,memory.max_usage_in_bytes,memory.memsw.limit_in_bytes,memory.oom_control} \
        cpu/{cpu.shares,cpu.cfs_quota_us,cpu.cfs_period_us,cpu.stat} cpuacct/cpuacct.usage pids/{pids.current,pids.max,pids.events} \
        freezer/freezer.state {memory,cpu,cpuacct,pids,freezer}/cgroup.procs; do
        files="$files /sys/fs/cgroup/${file%/*}/pod-many-$tag/g*/${file#*/}"
    done
    compare 'What a thousand groups use (cgroup v1)' \
        'cgset show --json' "cgset show --json -P $work/many.json" \
        'cat, the same files' "cat $files >/dev/null"
    cgset down -P "$work/many.json" >/dev/null

    cgset up --id "bomb-$tag" pids.max=1000 >"$work/bomb.json"
    # shellcheck disable=SC2016 # the bomb is the inner shell's
    setsid cgset exec -P "$work/bomb.json" app -- bash -c 'bomb() { bomb | bomb & }; bomb; sleep 1000' >/dev/null 2>&1 &
    disown
    for _ in {1..400}; do # one that does not go off is given up after some twenty seconds
        [ "$(cat "/sys/fs/cgroup/pids/pod-bomb-$tag/pids.current")" -lt 900 ] || break
        sleep 0.05
    done
    begin=${EPOCHREALTIME/./}
    cgset down --kill -P "$work/bomb.json" >/dev/null
    printf '\nA fork bomb of 1000 processes, killed and its groups removed: %d ms\n' $(((${EPOCHREALTIME/./} - begin) / 1000))
fi
