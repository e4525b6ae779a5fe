# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: what a process that only holds namespaces costs.

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

printf '\nA process that holds namespaces\n'
{
    hold pause pause
    hold 'pause-hold, in the image' pause-hold
    ! in_c pause >&2 || hold "C, static, as Kubernetes' pause" "$work/pause"
    hold 'sleep infinity' sleep infinity
} | awk -F '\t' 'NR == 1 { ours = $3; printf "  %-44s %11s %11s %11s %8s\n", "", "file bytes", "resident kB", "private kB", "x ours" }
    { printf "  %-44s %11d %11d %11d %8.1f\n", $1, $2, $3, $4, $3 / ours }'
