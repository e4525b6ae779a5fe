# shellcheck shell=sh disable=SC2154,SC2034
# A container: becoming it, ending it, running it again and again. Read by pod(1).

# The chain that is the container, in `line`: its group, the pod's namespaces with processes of its own, its root, and only the
# rights it was given.
chain() {
    record=$dir/$1.json
    case $(get podspec.pid "$spec") in CONTAINER) own=--pid ;; *) own=--fork ;; esac
    limits=$(podspec --words cgset "$record")
    drop=$(podspec --words drop "$record")
    [ "$(get podspec.tty "$record")" != true ] || own="$own --pty=yes"
    line="cgset exec -q -P \"\$sandbox\" $1${limits:+ $limits} -- nsrun exec -P \"\$sandbox\" $own"
    line="$line -- mkbox exec -P \"\$dir/$1.json\" -- nsrun drop $drop"
}

# Becomes it.
become() {
    chain "$1"
    [ ! -p "$dir/$1.in" ] || exec <>"$dir/$1.in"
    eval "exec $line"
}

# Writes down what has become of a container.
state() {
    printf '{"state":"%s","restarts":%d,"exitCode":%s,"reason":"%s","pid":%s,"starttime":%s}\n' "$@" >"$dir/$name.state.new"
    mv "$dir/$name.state.new" "$dir/$name.state.json"
}

# When a process began, in the kernel's ticks: with it a pid means one process only.
starttime() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return
    # Behind the name, which may have spaces and parentheses in it.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    printf '%s\n' "${20}"
}

# The process that is the container, once it has become it: the child of nsrun, which was each link of the chain in turn. The
# links before have children as well, for a moment.
main_process() {
    main=
    while [ -d "/proc/$1/task" ]; do
        case $(readlink "/proc/$1/exe") in
        */nsrun*)
            # A line without an end, which read(1) says is none.
            { read -r main _ <"/proc/$1/task/$1/children"; } 2>/dev/null || :
            case ${main:+$(readlink "/proc/$main/exe")} in '' | / | */nsrun* | */mkbox*) main= ;; *) return ;; esac
            ;;
        esac
        sleep 0.01
    done
}

# A process 1 that does not catch TERM never hears it (pid_namespaces(7)): to wait for it would be in vain.
is_deaf() {
    number=0 caught=0
    while read -r key values; do
        case $key in NSpid:) number=${values##*[!0-9]} ;; SigCgt:) caught=${values#????????} ;; esac
    done <"/proc/$1/status"
    [ "$number" = 1 ] && [ $((0x$caught >> 14 & 1)) = 0 ]
}

# Ends the container that runs: TERM, the grace period, KILL for all that is left. One that is not there yet never comes.
end() {
    if [ -z "$main" ]; then
        kill -KILL "$child" 2>/dev/null || :
    elif ! is_deaf "$main" 2>/dev/null; then
        kill -TERM "$child" 2>/dev/null || :
        cgset wait -q -P "$sandbox" --empty --timeout "$grace" "$name" >/dev/null || :
    fi
    cgset kill -q -P "$sandbox" "$name" || :
}

# Waits for a background process to its end, and has its status. A signal that is trapped interrupts wait(1): then again, until
# there is nothing to wait for (127), or no process, which some shells remember.
reap() {
    wait "$1" && status=0 || status=$?
    while [ "$status" -gt 128 ]; do
        wait "$1" 2>/dev/null && again=0 || again=$?
        [ "$again" != 127 ] || break
        status=$again
        kill -0 "$1" 2>/dev/null || break
    done
}

# How often the OOM killer was there since the last time; counts on in `killed`.
was_killed() {
    before=$killed
    while cgset wait -q -P "$sandbox" --oom="$killed" --timeout 0 "$name" >/dev/null 2>&1; do killed=$((killed + 1)); done
    [ "$killed" != "$before" ]
}

# Runs a container, again and again as the pod's restartPolicy has it, and tells the supervisor when that has come to an end.
keep() {
    name=$1 policy=$2 restarts=0 delay=0 killed=0 stop='' anew='' child='' main=''
    trap 'stop=yes; [ -z "$child" ] || end' TERM
    trap 'anew=yes; [ -z "$child" ] || end' USR1
    while [ -z "$stop" ]; do
        anew='' main='' began=$(date +%s)
        was_killed || :
        (become "$name") </dev/null >>"$dir/$name.log" 2>&1 3>&- 9>&- &
        child=$!
        # Told when there was nobody to end yet.
        [ -z "$stop$anew" ] || end
        main_process "$child"
        state running "$restarts" null '' "${main:-null}" "$(starttime "${main:-none}" || echo null)"
        say "$name: started"
        reap "$child"
        child=
        # What it has left running ends with it.
        cgset kill -q -P "$sandbox" "$name" || :
        reason=Completed
        [ "$status" = 0 ] || reason=Error
        ! was_killed || [ "$status" != 137 ] || reason=OOMKilled
        state terminated "$restarts" "$status" "$reason" null null
        say "$name: ended, status $status ($reason)"
        [ -z "$stop" ] || break
        case $anew,$policy,$status in
        yes,* | ,Always,*) ;;
        ,OnFailure,0 | ,Never,*) break ;;
        esac
        # Who ran for ten minutes has recovered.
        [ $(($(date +%s) - began)) -lt 600 ] || delay=0
        if [ -z "$anew" ]; then
            [ "$delay" = 0 ] || pause_for "$delay"
            delay=$((delay == 0 ? backoff : delay * 2 > most ? most : delay * 2))
        fi
        restarts=$((restarts + 1))
    done
    echo "ended $name $status $generation" >&3
}

# Milliseconds, in which a container is waiting to be restarted.
pause_for() {
    state waiting "$restarts" "$status" CrashLoopBackOff null null
    say "$name: back-off, $1 ms"
    sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))" 3>&- 9>&- &
    sleeper=$!
    wait "$sleeper" || kill "$sleeper" 2>/dev/null || :
}
