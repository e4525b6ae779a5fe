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
        reap "${keeper#*:}"
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

# Tells when the process that holds the pod has ended.
watch_holder() {
    nsrun wait -q -P "$sandbox" >/dev/null 2>&1 3>&- 9>&- &
    waiting=$!
    trap 'kill "$waiting"; exit' TERM
    ! wait "$waiting" || echo holder >&3
}

begin() {
    keepers='' init='' running=0 failures=0 generation=$((generation + 1))
    inits=$(get podspec.initContainers "$spec")
    watch_holder &
    watcher=$!
    start_next
}

# Reads what happens from the FIFO until the pod has ended or is stopped. 0: every container has succeeded.
supervise() {
    newline='
'
    restart=$(get podspec.restartPolicy "$spec") generation=0
    exec 3<>"$dir/_control"
    trap 'echo stop >&3' INT TERM HUP
    begin
    while :; do
        read -r event name status of <&3 || continue
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
            tries=0
            until make_sandbox && make_boxes; do
                unmake_sandbox
                [ "$((tries += 1))" -lt 10 ] || break 2
                sleep 1
            done
            begin
            ;;
        ended)
            # Of those before a pod was made anew, it was to be expected.
            [ "$of" = "$generation" ] || continue
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
    case $event in
    stop) ;;
    holder) die "$pod: cannot be made anew" ;;
    *)
        say "ended, $failures failed"
        [ "$failures" = 0 ]
        ;;
    esac
}

# Becomes the one who may make, supervise or remove the pod, and whoever inherits descriptor 9 with it; waits SECONDS for that.
# Who had the lock before may have removed the directory with it: then there is another by now.
take_lock() {
    while :; do
        mkdir -p "$dir"
        { exec 9>>"$dir/_lock"; } 2>/dev/null || continue
        flock -w "$1" 9 || return
        [ "$(stat -Lc %i /proc/self/fd/9)" != "$(stat -c %i "$dir/_lock" 2>/dev/null)" ] || return 0
    done
}

is_supervised() { ! flock -n "$dir/_lock" true 2>/dev/null; }
