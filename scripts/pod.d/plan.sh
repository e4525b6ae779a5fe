# shellcheck shell=sh disable=SC2154,SC2034
# Dry runs: the lines that would be run, printed instead, each as it would be evaluated. Read by pod(1).

# A line that changes something: done, or said.
step() {
    if [ "$dry" = yes ]; then printf '%s\n' "$1"; else eval "$1"; fi
}

# One that only writes into the pod's directory, which in a dry run is another one: done in both, and said.
filter() {
    [ "$dry" = no ] || printf '%s\n' "$1"
    eval "$1"
}

# A word for a shell, in `quoted`.
quote() {
    quoted=$1
    case $1 in *[!A-Za-z0-9_./:=,@%+-]*) quoted="'$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")'" ;; esac
}

# What the lines behind it call by name.
say_names() {
    quote "$run"
    printf 'pod=%s run=%s\n' "$pod" "$quoted"
    quote "$config"
    # shellcheck disable=SC2016 # for who reads or runs it
    printf 'config=%s dir=$run/$pod/pod spec=$run/$pod/pod/_spec.json sandbox=$run/$pod/pod/_sandbox.json\n' "$quoted"
}

# What `up` would do with the records of one pod; a directory of its own has what is read from the pod's.
plan_pod() {
    name_pod "$(get_of id "$1" | head -n 1)"
    grace=$(get_of podspec.terminationGracePeriodSeconds "$1" | head -n 1)
    if [ -e "$dir/_lock" ] && is_supervised; then
        is_same "$1"
        say 'is up already'
        return
    fi
    say_names
    [ ! -e "$dir/_manifest" ] || remove_pod
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    trap 'exit 1' INT TERM HUP
    spec=$dir/_spec.json sandbox=$dir/_sandbox.json
    write_records "$1"
    # Nothing is made of it: who asks for the pod's address has none yet.
    cp "$spec" "$sandbox"
    make_sandbox && make_boxes || exit
    for name in $(get podspec.initContainers "$spec") $(get podspec.containers "$spec"); do
        chain "$name"
        printf '%s\n' "$line"
    done
}

# Who is told to do it: the last that was started ends first.
say_ends() {
    for name in $(get podspec.containers "$spec" | sed '1!G;h;$!d'); do
        echo "# the supervisor ends $name: TERM, KILL after $grace s"
    done
}

# What `restart` would do: of all containers, or of one.
plan_restart() {
    say_names
    # shellcheck disable=SC2016
    printf '(exec 4<>"$dir/_control" && echo "restart %s" >&4)\n' "$container"
    grace=$(get podspec.terminationGracePeriodSeconds "$spec")
    for name in ${container:-$(get podspec.containers "$spec")}; do
        chain "$name"
        printf '# the supervisor ends %s: TERM, KILL after %s s; and starts it again:\n%s\n' "$name" "$grace" "$line"
    done
}
