# shellcheck shell=sh disable=SC2154,SC2034
# The supervisor: one process for each pod, which starts its containers in order and stops them in reverse. Read by pod(1).

start() {
    keep "$1" "$2" &
    keepers="$1:$! $keepers"
}

# The containers in the reverse of the order in which they started, each when the one before has ended.
stop_all() {
    for keeper in $keepers; do
        kill -TERM "${keeper#*:}" 2>/dev/null || :
        wait "${keeper#*:}" || :
    done
    keepers=
}

# Init containers one after the other, then all others at once.
start_next() {
    if [ -n "$inits" ]; then
        init=${inits%%"$newline"*}
        case $inits in *"$newline"*) inits=${inits#*"$newline"} ;; *) inits= ;; esac
        # One that fails is tried again, unless nothing is to be restarted.
        case $restart in Never) start "$init" Never ;; *) start "$init" OnFailure ;; esac
    else
        init=
        for each in $(get podspec.containers "$spec"); do
            running=$((running + 1))
            start "$each" "$restart"
        done
    fi
}

begin() {
    keepers='' init='' running=0 failures=0
    inits=$(get podspec.initContainers "$spec")
    nsrun wait -q -P "$sandbox" >/dev/null 2>&1 3>&- 9>&- && echo holder >&3 &
    watcher=$!
    start_next
}

# Reads what happens from the FIFO until the pod has ended or is stopped. 0: every container has succeeded.
supervise() {
    newline='
'
    restart=$(get podspec.restartPolicy "$spec")
    exec 3<>"$dir/_control" 9>"$dir/_lock"
    flock -n 9 || die "$pod: has a supervisor already"
    trap 'echo stop >&3' INT TERM HUP
    begin
    while :; do
        read -r event name status <&3 || continue
        case $event in
        stop) break ;;
        restart)
            for keeper in $keepers; do
                case $name in '' | "${keeper%%:*}") kill -USR1 "${keeper#*:}" 2>/dev/null || : ;; esac
            done
            ;;
        holder)
            say 'the process that holds the pod has ended: made anew'
            stop_all
            unmake_sandbox
            # What the containers said while they ended is about those before.
            until make_sandbox && make_boxes; do
                unmake_sandbox
                sleep 1
            done
            begin
            ;;
        ended)
            case $keepers in *"$name:"*) ;; *) continue ;; esac
            [ "$status" = 0 ] || failures=$((failures + 1))
            if [ "$name" = "$init" ] && [ "$status" = 0 ]; then
                start_next
            elif [ "$name" = "$init" ] || [ "$((running -= 1))" = 0 ]; then
                break
            fi
            ;;
        esac
    done
    trap '' INT TERM HUP
    stop_all
    kill "$watcher" 2>/dev/null || :
    [ "$event" = stop ] || say "ended, $failures failed"
    [ "$event" = stop ] || [ "$failures" = 0 ]
}

is_supervised() { ! flock -n "$dir/_lock" true 2>/dev/null; }
