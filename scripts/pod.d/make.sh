# shellcheck shell=sh disable=SC2154,SC2034
# Up, run and down: making pods of a manifest, and removing them. Read by pod(1).

options() {
    file=
    while [ $# -gt 0 ]; do
        case $1 in
        --images | --config | --node) [ $# -gt 1 ] || die "$1: a value is missing" 2 ;;
        esac
        case $1 in
        --images) images=$2 && shift ;;
        --config) config=$2 && shift ;;
        --node) node=$2 && shift ;;
        --dry-run) dry=yes ;;
        -f) ;;
        -?*) die "$1: no such option (pod --help)" 2 ;;
        *) [ -z "$file" ] || die "one FILE at a time" 2 && file=$1 ;;
        esac
        shift
    done
    [ -n "$file" ] || die "FILE is missing (pod --help)" 2
    # Whole, where they are there: a pod's record outlives the working directory.
    if absolute=$(cd "$images" 2>/dev/null && pwd -P); then images=$absolute; fi
    if absolute=$(cd "$config" 2>/dev/null && pwd -P); then config=$absolute; fi
}

# Whether the pod is for this node; what it asks for, if not.
check_node() {
    wanted=$(get_of podspec.nodeName "$1")
    [ -z "$wanted" ] || [ "$wanted" = "$node" ] || die "$pod: is for node $wanted, this is $node" 3
    case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
    for label in $(get_of podspec.nodeSelector "$1"); do
        case ",kubernetes.io/hostname=$node,kubernetes.io/os=linux,kubernetes.io/arch=$arch,${POD_NODE_LABELS:-}," in
        *",$label,"*) ;;
        *) die "$pod: is for a node with $label, $node is none" 3 ;;
        esac
    done
}

# The pod that is up is that of these records.
is_same() {
    [ "$(cat "$dir/_manifest" 2>/dev/null)" = "$1" ] || die "$pod: is up, and is another than this manifest's (pod down $pod)"
}

# Each record into a file of its own.
write_records() {
    printf '%s\n' "$1" | while read -r record; do
        case $(get_of podspec.kind "$record") in
        pod) printf '%s\n' "$record" >"$spec" ;;
        *) printf '%s\n' "$record" >"$dir/$(get_of podspec.name "$record").spec.json" ;;
        esac
    done
}

# Makes one pod of its records, a line each, but runs nothing yet. 1: it is up already.
make_pod() {
    name_pod "$(get_of id "$1" | head -n 1)"
    grace=$(get_of podspec.terminationGracePeriodSeconds "$1")
    umask 077
    if ! take_lock 1; then
        is_same "$1"
        return 1
    fi
    # What a supervisor that was killed, or a machine that went down, has left.
    [ ! -e "$dir/_manifest" ] || remove_pod
    printf '%s\n' "$1" >"$dir/_manifest.new"
    mv "$dir/_manifest.new" "$dir/_manifest"
    write_records "$1"
    mkfifo -m 600 "$dir/_control"
    if ! { make_sandbox && make_boxes; }; then
        remove_pod
        remove_dir
        exit 1
    fi
}

# Splits a manifest's records into pods, and calls its arguments with each.
each_pod() {
    manifest=$(podspec --run-dir "$run" "$file") || exit
    one='' lines=0
    while read -r record; do
        if [ "$(get_of podspec.kind "$record")" = pod ]; then
            name_pod "$(get_of id "$record")"
            check_node "$record"
            [ -z "$one" ] || "$@" "$one"
            one=$record lines=$((lines + 1))
        else
            one="$one
$record"
        fi
    done <<EOF
$manifest
EOF
    "$@" "$one"
}

up_pod() {
    if [ "$dry" = yes ]; then
        (plan_pod "$1")
        return
    fi
    make_pod "$1" || { say 'is up already' && return; }
    (supervise) </dev/null >>"$dir/_events.log" 2>&1 &
    exec 9>&-
    waited=0
    until [ "$(phase)" != Pending ] || [ "$((waited += 1))" -gt 200 ]; do sleep 0.05; done
    [ "$(phase)" != Pending ] || say 'is still pending (pod show)'
}

# Says that the pod runs to a service manager that waits for that (sd_notify(3)), when it does. Of one whose init containers failed
# it says nothing: the service has not started.
tell_manager() {
    exec 9>&-
    [ -n "${NOTIFY_SOCKET:-}" ] || return 0
    while [ "$(phase)" = Pending ]; do sleep 0.05; done
    for each in $(get podspec.containers "$spec"); do
        [ -n "$(get state "$dir/$each.state.json")" ] || return 0
    done
    systemd-notify --ready --status="$pod is up"
}

run_pod() {
    [ "$lines" = 1 ] || die 'run takes one pod, the manifest has more (pod up)' 2
    if [ "$dry" = yes ]; then
        (plan_pod "$1")
        return
    fi
    make_pod "$1" || die "$pod: is up already"
    tell_manager &
    teller=$!
    if supervise; then succeeded=0; else succeeded=1; fi
    if [ "$event" != stop ]; then
        # The teller waits as long as somebody watches over a pod that has not run.
        exec 9>&-
        reap "$teller"
        exit "$succeeded"
    fi
    kill "$teller" 2>/dev/null || :
    exec 3>&- 9>&-
    down_pod
}

# Stops the pod and removes everything of it, whatever is there, by its directory alone.
down_pod() {
    [ -d "$run/$pod" ] || return 0
    grace=$(get podspec.terminationGracePeriodSeconds "$spec")
    grace=${grace:-30}
    [ "$dry" = no ] || say_names
    # In a directory that others made there is no lock, and nothing is made for asking.
    if [ -e "$dir/_lock" ] && is_supervised; then
        # Who makes it has not come to that yet.
        [ "$dry" = yes ] || until [ -p "$dir/_control" ] || ! is_supervised; do sleep 0.05; done
        # Open for both, so that a supervisor that ends meanwhile leaves nobody waiting.
        # shellcheck disable=SC2016
        step '(exec 4<>"$dir/_control" && echo stop >&4 && flock "$dir/_lock" true) || :'
        [ "$dry" = no ] || say_ends
        [ -d "$run/$pod" ] || return 0
    fi
    [ "$dry" = yes ] || take_lock 60 || die "$pod: somebody else is at work on it"
    remove_pod
    remove_dir
}

# All but the directory.
remove_pod() {
    unmake_sandbox
    for record in "$dir"/*.spec.json; do
        each=${record##*/}
        each=${each%.spec.json}
        for box in "${pod}_$each" "${pod}_$each.image"; do
            [ ! -d "$run/$box" ] || step "mkbox down --id $box >/dev/null"
        done
    done
    step "cgset down --kill --id $pod >/dev/null"
    # shellcheck disable=SC2016
    step 'for file in "$dir"/* "$dir"/.[!.]*; do [ "$file" = "$dir/_lock" ] || rm -rf "$file"; done'
}

# And that; the lock goes last.
remove_dir() {
    # shellcheck disable=SC2016
    step 'rm -r "$dir"; rmdir "$run/$pod" "$run" 2>/dev/null || :'
    exec 9>&-
}
