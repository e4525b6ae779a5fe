#!/usr/bin/env bash
# Side by side with peers in one run: medians, and the ratio to the peer in the same group. Absolute times belong to the
# machine and the moment; the ratios are what to quote. Needs root, hyperfine, and the five tools in PATH.
set -euo pipefail

if [ "${1:-}" != --in-the-node ]; then
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    nsrun exec --net --mount --uts --ipc --pid --mount-proc -- "$(realpath "$0")" --in-the-node "$scratch"
    exit
fi

cd "$2"
mount -t tmpfs node /run
work=$(mktemp -d -p /var/tmp chroot0-bench.XXXXXX) # a disk, as boxes are usually on one
ip link set lo up
clean_up() {
    trap '' INT TERM HUP
    nsrun down --id held | netwire down | cgset down >/dev/null
    for id in many bomb; do cgset down --kill --id $id >/dev/null; done
    mkbox down --id root >/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT TERM HUP
runs=${RUNS:-40}

# compare TITLE NAME COMMAND [NAME COMMAND]...: the first is ours. A command that needs a shell gets sh, on both sides.
compare() {
    local title=$1 arguments=()
    shift
    while [ $# -gt 0 ]; do
        arguments+=(--command-name "$1")
        case $2 in
        *[\|\;\>]*)
            printf '%s\n' "$2" >"$work/$#.sh"
            arguments+=("sh $work/$#.sh")
            ;;
        *) arguments+=("$2") ;;
        esac
        shift 2
    done
    hyperfine --shell none --style none --warmup 3 --runs "$runs" --export-json "$work/figures.json" "${arguments[@]}" >/dev/null 2>"$work/errors" ||
        { cat "$work/errors" >&2; return 1; }
    printf '\n%s\n' "$title"
    jq -r '.results | .[0].median as $ours | .[] |
        "\(.command)\t\(.median * 1e6 | round / 1000)\t\(.min * 1e6 | round / 1000)\t\(.median / $ours * 100 | round / 100)"' \
        "$work/figures.json" | awk -F '\t' 'BEGIN { printf "  %-44s %10s %10s %8s\n", "", "median ms", "min ms", "x ours" }
        { printf "  %-44s %10.3f %10.3f %8.2f\n", $1, $2, $3, $4 }'
}

# What the kernel itself takes, where there is a C compiler to say it with.
raw=
if command -v cc >/dev/null && cc -O2 -static -o "$work/raw" "$(dirname "$0")/bench-raw.c"; then
    raw=$work/raw
else
    echo 'no C compiler: nothing is compared with the bare system calls'
fi

# hold NAME COMMAND...: bytes of the file, and memory while it waits. Two of it run, so that what they share counts as shared.
hold() {
    local name=$1 file pid other
    shift
    file=$(readlink -f "$(command -v "$1")")
    "$@" </dev/null >/dev/null 2>&1 &
    other=$!
    "$@" </dev/null >/dev/null 2>&1 &
    pid=$!
    # Nothing says that a program has come to rest. It has when it sleeps and its memory stays as it is.
    local before='' now
    for _ in {1..50}; do
        now=$(cat "/proc/$pid/smaps_rollup")
        if grep -q '^State:.S' "/proc/$pid/status" && [ "$now" = "$before" ]; then break; fi
        before=$now
        sleep 0.1
    done
    awk -v name="$name" -v bytes="$(stat -c %s "$file")" '/^Rss:/ { rss = $2 } /^Private_(Clean|Dirty):/ { private += $2 }
        END { printf "%s\t%d\t%d\t%d\n", name, bytes, rss, private }' "/proc/$pid/smaps_rollup"
    kill -KILL "$pid" "$other"
    wait "$pid" "$other" 2>/dev/null || :
}

# What the pause of Kubernetes does, with a C library: the same signals, a handler that reaps, pause(2).
cat >"$work/pause.c" <<'EOF'
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { psignal(number, "ends"); exit(0); }
static void reap(int number) { (void)number; while (waitpid(-1, NULL, WNOHANG) > 0) { } }
int main(int argc, char **argv) {
    struct sigaction action;
    if (argc > 1 && strcmp(argv[1], "-v") == 0) return puts("pause") < 0;
    memset(&action, 0, sizeof action);
    action.sa_handler = end;
    if (sigaction(SIGTERM, &action, NULL) || sigaction(SIGINT, &action, NULL)) return 1;
    action.sa_handler = reap;
    if (sigaction(SIGCHLD, &action, NULL)) return 1;
    for (;;) pause();
}
EOF
printf '\nA process that holds namespaces\n'
{
    hold pause pause
    hold 'pause-hold, in the image' pause-hold
    if command -v cc >/dev/null && cc -Os -static -s -o "$work/c-pause" "$work/pause.c" 2>/dev/null; then
        hold "C, static, as Kubernetes' pause" "$work/c-pause"
    else
        echo 'no C compiler, or no static C library: nothing to compare with' >&2
    fi
    hold 'sleep infinity' sleep infinity
} | awk -F '\t' 'NR == 1 { ours = $3; printf "  %-44s %11s %11s %11s %8s\n", "", "file bytes", "resident kB", "private kB", "x ours" }
    { printf "  %-44s %11d %11d %11d %8.1f\n", $1, $2, $3, $4, $3 / ours }'

programs='bash ip ls mount umount kill ps curl pidof expr rm'
cat >"$work/by-ldd.sh" <<EOF
box=$work/ldd
mkdir -p \$box
for program in $programs; do cp --parents "/bin/\$program" \$box; done
for program in $programs; do ldd "/bin/\$program"; done | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t \$box
rm -rf \$box
EOF
compare 'A box with eleven programs and their libraries, made and removed' \
    'mkbox up, down' "mkbox up --copy ${programs// /,} --proc $work/box | mkbox down" \
    'ldd, cp, rm -rf' "sh $work/by-ldd.sh"

# It starts and ends and does next to nothing in between: no library, two pages.
bare='pause --version'
compare 'A command in new mount, pid, ipc, uts and net namespaces' \
    'nsrun exec' "nsrun exec -m -p -i -u -n -- $bare" \
    ${raw:+'clone3, in C' "$raw clone $bare"} \
    'unshare --fork' "unshare -m -p -i -u -n --fork $bare" \
    'unshare --fork, chroot' "unshare -m -p -i -u -n --fork chroot / $bare" \
    'bwrap' "bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-net --bind / / $bare" \
    'nothing but the command' "$bare"
compare 'Started, and nothing done' \
    'nsrun exec' "nsrun exec -- $bare" \
    'cgset --version' 'cgset --version' \
    'mkbox --version' 'mkbox --version' \
    'netwire --version' 'netwire --version' \
    'pause --version' 'pause --version' \
    'env' "env $bare" \
    'nothing but the command' "$bare"

compare 'A command that has given up everything' \
    'nsrun drop' "nsrun drop -- $bare" \
    'nsrun drop --seccomp none' "nsrun drop --seccomp none -- $bare" \
    'setpriv, without seccomp' "setpriv --bounding-set -all --inh-caps -all --no-new-privs --clear-groups $bare" \
    'nothing but the command' "$bare"

cgset up --id held memory.max=64Mi | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 >"$work/held.json"
holder=$(jq .nsrun.pid "$work/held.json")
compare 'A command in the namespaces of a pod' \
    'nsrun exec -P' "nsrun exec -P $work/held.json -- $bare" \
    'nsrun exec -t' "nsrun exec -t $holder -n -i -u -- $bare" \
    ${raw:+'setns, in C' "$raw join $holder $bare"} \
    'nsenter -t' "nsenter -t $holder -n -i -u $bare" \
    'nsenter -a' "nsenter -a -t $holder $bare"

mkbox up --copy pause --proc "$work/root" >"$work/root.json"
compare 'A command in a root of its own, pid namespace and /proc included' \
    'nsrun exec, mkbox exec' "nsrun exec --pid -- mkbox exec -P $work/root.json -- $bare" \
    'unshare, mount, chroot' "unshare -m -p --fork sh -c 'mount -t proc proc $work/root/proc && exec chroot $work/root $bare'" \
    ${raw:+'pivot_root, in C' "$raw pivot $work/root $bare"} \
    'bwrap' "bwrap --unshare-pid --bind $work/root / --proc /proc $bare"

memory=/sys/fs/cgroup/memory
if [ -d $memory ]; then
    compare 'Groups with two limits, a command in them, and away with them (cgroup v1)' \
        'cgset up, exec, down' "cgset up --id bench memory.max=64Mi pids.max=50 >$work/g.json; cgset exec -P $work/g.json app -- true; cgset down -P $work/g.json" \
        'mkdir, echo, rmdir' "for c in memory pids cpu cpuacct; do mkdir /sys/fs/cgroup/\$c/bench-sh; done; echo 64M >$memory/bench-sh/memory.limit_in_bytes; echo 50 >/sys/fs/cgroup/pids/bench-sh/pids.max; sh -c 'for c in memory pids cpu cpuacct; do echo \$\$ >/sys/fs/cgroup/\$c/bench-sh/cgroup.procs; done; exec true'; for c in memory pids cpu cpuacct; do rmdir /sys/fs/cgroup/\$c/bench-sh; done"
    compare 'A command in a group with limits of memory, cpu and pids (cgroup v1)' \
        'cgset exec' "cgset exec -P $work/held.json app memory.max=32Mi cpu.max=0.5 pids.max=50 -- $bare" \
        ${raw:+'tasks, in C' "$raw group pod-held/raw $bare"} \
        'cgset exec --rm' "cgset exec -P $work/held.json --rm -- $bare" \
        'nothing but the command' "$bare"
    [ -z "$raw" ] || rmdir /sys/fs/cgroup/{memory,cpu,pids}/pod-held/raw

    cgset up --id many >"$work/many.json"
    jq -r '.cgset.groups[]' "$work/many.json" | while read -r group; do (cd "$group" && seq -f 'g%g' 1000 | xargs mkdir); done
    compare 'What a thousand groups use (cgroup v1)' \
        'cgset show --json' "cgset show --json -P $work/many.json" \
        'cat, three of their files' "cat $memory/pod-many/g*/memory.usage_in_bytes /sys/fs/cgroup/pids/pod-many/g*/pids.current /sys/fs/cgroup/cpuacct/pod-many/g*/cpuacct.usage >/dev/null"
    cgset down -P "$work/many.json" >/dev/null

    cgset up --id bomb pids.max=1000 >"$work/bomb.json"
    # shellcheck disable=SC2016 # the bomb is the inner shell's
    setsid cgset exec -P "$work/bomb.json" app -- bash -c 'bomb() { bomb | bomb & }; bomb; sleep 1000' >/dev/null 2>&1 &
    disown
    until [ "$(cat /sys/fs/cgroup/pids/pod-bomb/pids.current)" -ge 900 ]; do sleep 0.05; done
    begin=${EPOCHREALTIME/./}
    cgset down --kill -P "$work/bomb.json" >/dev/null
    printf '\nA fork bomb of 1000 processes, killed and its groups removed: %d ms\n' $(((${EPOCHREALTIME/./} - begin) / 1000))
fi

cat >"$work/by-ip.sh" <<'EOF'
ip netns add bench
ip link add veth-bench type veth peer name eth0 netns bench
ip addr add 10.244.9.1/32 dev veth-bench
ip link set veth-bench up
ip route add 10.244.9.2 dev veth-bench scope host
ip -n bench link set lo up
ip -n bench addr add 10.244.9.2/24 dev eth0
ip -n bench link set eth0 up
ip -n bench route add default via 10.244.9.1
ip netns del bench
ip link del veth-bench 2>/dev/null
EOF
compare 'A network namespace with eth0, address and routes, and away with it' \
    'nsrun up, netwire up; down' "nsrun up --id bench --net | netwire up --subnet 10.244.9.0/24 >$work/n.json; nsrun down -P $work/n.json | netwire down" \
    'ip, eleven times' "sh $work/by-ip.sh"

compare 'A whole pod, up and down' \
    'the pipe' "cgset up --id bench memory.max=64Mi pids.max=50 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.9.0/24 >$work/p.json; nsrun down -P $work/p.json | netwire down | cgset down"
