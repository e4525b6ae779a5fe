#!/usr/bin/env bash
# Side by side with peers in one run: medians, and the ratio to the peer in the same group. Absolute times belong to the
# machine and the moment; the ratios are what to quote. Needs root, hyperfine, and the five tools in PATH.
set -euo pipefail

if [ "${1:-}" != --in-the-node ]; then
    scratch=$(mktemp -d)
    trap 'rmdir "$scratch"' EXIT
    nsrun exec --net --mount --uts --ipc --pid --mount-proc -- "$0" --in-the-node "$scratch"
    exit
fi

cd "$2"
mount -t tmpfs node /run
work=$(mktemp -d -p /var/tmp chroot0-bench.XXXXXX) # a disk, as boxes are usually on one
ip link set lo up
clean_up() {
    trap '' INT TERM HUP
    nsrun down --id held | netwire down | cgset down >/dev/null
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
    measure "$title" "${arguments[@]}"
}

# measure TITLE ARGUMENT...: those of hyperfine.
measure() {
    local title=$1 arguments=("${@:2}")
    hyperfine --shell none --style none --warmup 3 --runs "$runs" --export-json "$work/figures.json" "${arguments[@]}" >/dev/null 2>"$work/errors" ||
        { cat "$work/errors" >&2; return 1; }
    printf '\n%s\n' "$title"
    jq -r '.results | .[0].median as $ours | .[] |
        "\(.command)\t\(.median * 1e6 | round / 1000)\t\(.min * 1e6 | round / 1000)\t\(.median / $ours * 100 | round / 100)"' \
        "$work/figures.json" | awk -F '\t' 'BEGIN { printf "  %-44s %10s %10s %8s\n", "", "median ms", "min ms", "x ours" }
        { printf "  %-44s %10.3f %10.3f %8.2f\n", $1, $2, $3, $4 }'
}

programs='bash ip ls mount umount kill ps curl pidof expr rm'
cat >"$work/by-ldd.sh" <<EOF
box=$work/ldd
mkdir -p \$box
for program in $programs; do cp --parents "/bin/\$program" \$box; done
for program in $programs; do ldd "/bin/\$program"; done | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t \$box
rm -rf \$box
EOF
compare 'A box with eleven programs and their libraries, made and removed' \
    'mkbox up, down' "mkbox up -q --copy ${programs// /,} --proc $work/box | mkbox down" \
    'ldd, cp, rm -rf' "sh $work/by-ldd.sh"

# The least that copying can cost: a program that has the list ready and makes one call for each file.
cat >"$work/copy.c" <<'EOF'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char **words)
{
    char from[4096], to[4096], last[4096] = "";
    FILE *list = count == 2 ? fopen(words[1], "r") : 0;
    if (!list)
        return 2;
    while (fscanf(list, "%4095s %4095s", from, to) == 2) {
        size_t above = strrchr(to, '/') - to;
        if (strncmp(to, last, above + 1))
            for (char *slash = to + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
                *slash = 0;
                if (mkdir(to, 0755) && errno != EEXIST)
                    return 1;
            }
        strcpy(last, to);
        struct stat stat;
        int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_EXCL, 0755);
        if (in < 0 || out < 0 || fstat(in, &stat))
            return 1;
        for (ssize_t copied; stat.st_size > 0; stat.st_size -= copied)
            if ((copied = copy_file_range(in, 0, out, 0, stat.st_size, 0)) <= 0)
                return 1;
        close(in);
        close(out);
    }
    return 0;
}
EOF
if command -v cc >/dev/null; then
    cc -O2 -static -o "$work/copy" "$work/copy.c"
    mkbox up -q --dry-run --copy "${programs// /,}" "$work/box" |
        sed -n "s#^'\(.*\)' -> '$work/box/\(.*\)'#\1 $work/list/\2#p" >"$work/list.txt"
    mkbox up -q --copy "${programs// /,}" --proc "$work/box" >/dev/null
    mkdir "$work/list"
    measure 'The same box, only made' \
        --prepare "mkbox down $work/box" --command-name 'mkbox up' "mkbox up -q --copy ${programs// /,} --proc $work/box" \
        --prepare "rm -rf $work/list" --command-name 'C: copy_file_range, a list ready' "$work/copy $work/list.txt"
    mkbox down "$work/box" >/dev/null
    rm -rf "$work/list"
else
    printf '\nThe same box against a C program: skipped, there is no cc\n'
fi

compare 'A command in new mount, pid, ipc, uts and net namespaces' \
    'nsrun exec true' 'nsrun exec -m -p -i -u -n -- /bin/true' \
    'unshare --fork true' 'unshare -m -p -i -u -n --fork /bin/true' \
    'bwrap true' 'bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-net --bind / / /bin/true' \
    'nothing but true' '/bin/true'

cgset up --id held memory.max=64Mi | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24 >"$work/held.json"
holder=$(jq .nsrun.pid "$work/held.json")
compare 'A command in the namespaces of a pod' \
    'nsrun exec -P' "nsrun exec -P $work/held.json -- /bin/true" \
    'nsenter' "nsenter -t $holder -n -i -u /bin/true"

mkbox up --copy busybox --proc "$work/root" >"$work/root.json"
compare 'A command in a root of its own, pid namespace and /proc included' \
    'nsrun exec, mkbox exec' "nsrun exec --pid -- mkbox exec -P $work/root.json -- busybox true" \
    'unshare, mount, chroot' "unshare -m -p --fork sh -c 'mount -t proc proc $work/root/proc && exec chroot $work/root /bin/busybox true'" \
    'bwrap' "bwrap --unshare-pid --bind $work/root / --proc /proc /bin/busybox true"

memory=/sys/fs/cgroup/memory
if [ -d $memory ]; then
    compare 'Groups with two limits, a command in them, and away with them (cgroup v1)' \
        'cgset up, exec, down' "cgset up --id bench memory.max=64Mi pids.max=50 >$work/g.json; cgset exec -P $work/g.json app -- true; cgset down -P $work/g.json" \
        'mkdir, echo, rmdir' "for c in memory pids cpu cpuacct; do mkdir /sys/fs/cgroup/\$c/bench-sh; done; echo 64M >$memory/bench-sh/memory.limit_in_bytes; echo 50 >/sys/fs/cgroup/pids/bench-sh/pids.max; sh -c 'for c in memory pids cpu cpuacct; do echo \$\$ >/sys/fs/cgroup/\$c/bench-sh/cgroup.procs; done; exec true'; for c in memory pids cpu cpuacct; do rmdir /sys/fs/cgroup/\$c/bench-sh; done"
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
