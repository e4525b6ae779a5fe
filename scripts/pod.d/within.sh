# shellcheck shell=sh disable=SC2154,SC2034
# Exec, logs and restart: what is done to a pod that is up. Read by pod(1).

# The container that is meant where none is named: the first.
choose() {
    [ -n "$container" ] || container=$(get podspec.containers "$spec" | head -n 1)
    [ -e "$dir/$container.spec.json" ] || die "$pod: has no container $container"
}

# POD and the options of exec and logs, before and behind it, up to CMD; `taken` is how many words that were.
one_pod() {
    input=no terminal='' follow='' container='' pod='' taken=0
    while [ $# -gt 0 ]; do
        case $1 in
        -i) input=yes ;;
        -t) terminal=--pty=yes ;;
        -it | -ti) input=yes terminal=--pty=yes ;;
        -f) follow=-f ;;
        -c)
            [ $# -gt 1 ] || die '-c: a name is missing' 2
            container=$2 taken=$((taken + 1))
            shift
            ;;
        --)
            taken=$((taken + 1))
            break
            ;;
        -?*) die "$1: no such option (pod --help)" 2 ;;
        *)
            [ -z "$pod" ] || break
            name_pod "$1"
            ;;
        esac
        taken=$((taken + 1))
        shift
    done
    [ -n "$pod" ] || die 'POD is missing (pod --help)' 2
    must_be
}

exec_in() {
    one_pod "$@"
    shift "$taken"
    [ $# -gt 0 ] || die 'CMD is missing (pod --help)' 2
    choose
    of=$dir/$container.state.json
    main=$(get pid "$of")
    began=$(starttime "${main:-none}") || began=
    [ -n "$began" ] || die "$pod: $container is not running"
    [ "$began" = "$(get starttime "$of")" ] || die "$pod: $container is not running"
    # shellcheck disable=SC2034 # used by eval
    cwd=$(get process.cwd "$dir/$container.json")
    [ "$input" = yes ] || exec </dev/null
    eval "exec nsrun exec -t \"\$main\" --all --join-cgroup --wd \"\${cwd:-/}\" $terminal -- nsrun drop $(podspec --words exec "$dir/$container.json") -- \"\$@\""
}

logs() {
    one_pod "$@"
    shift "$taken"
    container=${container:-${1:-}}
    choose
    [ -e "$dir/$container.log" ] || : >>"$dir/$container.log"
    [ -n "$follow" ] || exec tail -n +1 "$dir/$container.log"
    # Until nobody is there any more who could say something; tail(1) looks once more then.
    flock "$dir/_lock" true &
    supervised=$!
    tail -n +1 -f --pid="$supervised" "$dir/$container.log" &
    trap 'kill "$supervised" $!; exit 130' INT TERM
    wait $!
}

restart_pod() {
    container='' pod=''
    for each; do
        case $each in
        --dry-run) dry=yes ;;
        -?*) die "$each: no such option (pod --help)" 2 ;;
        *)
            [ -z "$container" ] || die 'one NAME at a time' 2
            if [ -n "$pod" ]; then container=$each; else name_pod "$each"; fi
            ;;
        esac
    done
    [ -n "$pod" ] || die 'POD is missing (pod --help)' 2
    must_be
    is_supervised || die "$pod: has no supervisor (pod up FILE)"
    [ -z "$container" ] || choose
    if [ "$dry" = yes ]; then
        plan_restart
        return
    fi
    before=$(cat "$dir"/*.state.json)
    (exec 4<>"$dir/_control" && echo "restart $container" >&4)
    # Until another process is there.
    until [ "$(cat "$dir"/*.state.json)" != "$before" ] && [ "$(get state "$dir/${container:-$(get podspec.containers "$spec" | head -n 1)}.state.json")" = running ]; do
        is_supervised || die "$pod: its supervisor has ended"
        sleep 0.05
    done
}

down() {
    [ $# -gt 0 ] || die 'POD or FILE is missing (pod --help)' 2
    for each; do
        case $each in --dry-run) dry=yes ;; -?*) die "$each: no such option (pod --help)" 2 ;; esac
    done
    for each; do
        case $each in
        --dry-run) continue ;;
        - | */* | *.yaml | *.yml | *.json)
            # Of the pods and not of their containers, whose ids have an underscore.
            names=$(podspec "$each" | podspec --get id | grep -v _) || exit
            ;;
        *) names=$each ;;
        esac
        for name in $names; do
            name_pod "$name"
            down_pod
        done
    done
}
