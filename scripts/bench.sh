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
    for box in root bound full; do mkbox down --id $box >/dev/null; done
    for id in many bomb; do cgset down --kill --id $id >/dev/null; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'clean_up; exit 130' INT TERM HUP
runs=${RUNS:-40}

# compare TITLE NAME COMMAND [NAME COMMAND]...: the first is ours. A command that needs a shell gets sh, on both sides.
# What has to be done before each run, and is not measured, is in the array prepare, one for each command.
prepare=()
compare() {
    local title=$1 arguments=() before
    shift
    for before in "${prepare[@]}"; do arguments+=(--prepare "sh -c '$before'"); done
    prepare=()
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
    prepare=("mkbox down $work/box" "rm -rf $work/list")
    compare 'The same box, only made' \
        'mkbox up' "mkbox up -q --copy ${programs// /,} --proc $work/box" \
        'C: copy_file_range, a list ready' "$work/copy $work/list.txt"
    mkbox down "$work/box" >/dev/null
    rm -rf "$work/list"
else
    printf '\nThe same box against a C program: skipped, there is no cc\n'
fi

cat >"$work/by-links.sh" <<EOF
for program in $programs; do ldd "/bin/\$program"; done | grep -o '/[^ ]*' | sort -u >$work/list
for program in $programs; do echo "/bin/\$program"; done >>$work/list
while read -r file; do
    mkdir -p "$work/linked\${file%/*}"
    : >"$work/linked\$file"
done <$work/list
EOF
prepare=("mkbox down --id bound >/dev/null" "rm -rf $work/linked")
compare 'A box with the same programs, bound and not copied, ready to be entered' \
    'mkbox up --bind-programs' "mkbox up -q --bind-programs ${programs// /,} --proc $work/bound" \
    'ldd, mkdir, an empty file for each' "sh $work/by-links.sh"
mkbox down --id bound >/dev/null

cat >"$work/make.sh" <<EOF
mkbox up -q --copy ${programs// /,} --proc $work/full >/dev/null
rm -rf $work/copied
cp -a $work/full $work/copied
EOF
prepare=("sh $work/make.sh" "sh $work/make.sh")
compare 'The box with eleven programs removed' \
    'mkbox down' "mkbox down $work/full" \
    'rm -rf' "rm -rf $work/copied"
mkbox down "$work/full" >/dev/null

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
    'nsrun drop' "nsrun drop --keep-env -- $bare" \
    'nsrun drop --seccomp none' "nsrun drop --keep-env --seccomp none -- $bare" \
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

# The same calls and nothing else, as the limit. What is run is pause: it starts in no time.
if command -v cc >/dev/null; then
    cat >"$work/raw-mount.c" <<'EOF'
#define _GNU_SOURCE
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (argc < 3 || unshare(CLONE_NEWNS) || mount(0, "/", 0, MS_REC | MS_SLAVE, 0) ||
        mount(argv[1], argv[1], 0, MS_BIND | MS_REC, 0) || chdir(argv[1]) ||
        mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0) || syscall(SYS_pivot_root, ".", ".") ||
        umount2(".", MNT_DETACH) || chdir("/"))
        return 1;
    return execv(argv[2], argv + 2);
}
EOF
    cc -O2 -static -o "$work/raw-mount" "$work/raw-mount.c"
    cp "$(command -v pause)" "$work/root/bin/pause"
    compare 'A command in a root of its own with /proc, and the calls for it alone' \
        'mkbox exec' "mkbox exec -P $work/root.json -- /bin/pause --version" \
        'unshare, mount, pivot_root in C' "$work/raw-mount $work/root /bin/pause --version"
else
    printf '\nA command in a root of its own, and the calls for it alone: skipped, there is no cc\n'
fi

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
    'the same with --nat and a published port' "nsrun up --id bench --net | netwire up --subnet 10.244.9.0/24 --nat --publish 8080:80 2>/dev/null >$work/n.json; nsrun down -P $work/n.json | netwire down" \
    'the same with IPv4 and IPv6' "nsrun up --id bench --net | netwire up --subnet 10.244.9.0/24 --subnet fd00:9::/64 >$work/n.json; nsrun down -P $work/n.json | netwire down" \
    'ip, eleven times' "sh $work/by-ip.sh"

compare 'A whole pod, up and down' \
    'the pipe' "cgset up --id bench memory.max=64Mi pids.max=50 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.9.0/24 >$work/p.json; nsrun down -P $work/p.json | netwire down | cgset down"
