# shellcheck shell=sh disable=SC2154,SC2034
# Ls and show: what has become of pods. Read by pod(1).

# What Kubernetes calls the phase, from what has become of the containers.
phase() {
    ended=0 failed=0 all=0
    for each in $(get podspec.containers "$spec"); do
        all=$((all + 1))
        case $(get state "$dir/$each.state.json"),$(get exitCode "$dir/$each.state.json") in
        terminated,0) ended=$((ended + 1)) ;;
        terminated,*) ended=$((ended + 1)) failed=1 ;;
        ,*)
            if is_supervised; then echo Pending; else echo Failed; fi
            return
            ;;
        esac
    done
    if [ "$ended" != "$all" ]; then
        if is_supervised; then echo Running; else echo Unknown; fi
    elif is_supervised; then
        echo Running
    elif [ "$failed" = 1 ]; then
        echo Failed
    else
        echo Succeeded
    fi
}

ls_pods() {
    printf '%-32s %-6s %-10s %-8s %s\n' NAME READY STATUS RESTARTS IP
    for record in "$run"/*/pod/_spec.json; do
        [ -e "$record" ] || continue
        record=${record%/pod/_spec.json}
        name_pod "${record##*/}"
        ready=0 all=0 sum=0
        for each in $(get podspec.containers "$spec"); do
            all=$((all + 1))
            [ "$(get state "$dir/$each.state.json")" != running ] || ready=$((ready + 1))
            restarts=$(get restarts "$dir/$each.state.json")
            sum=$((sum + ${restarts:-0}))
        done
        ip=$(get netwire.ips.0.address "$sandbox")
        printf '%-32s %-6s %-10s %-8s %s\n' "$pod" "$ready/$all" "$(phase)" "$sum" "${ip%/*}"
    done
}

show_pod() {
    printf '%s: %s\n' "$pod" "$(phase)"
    for each in $(get podspec.initContainers "$spec") $(get podspec.containers "$spec"); do
        of=$dir/$each.state.json
        printf '  %-20s %-11s restarts %s  %s\n' "$each" "$(get state "$of")" "$(get restarts "$of")" "$(get reason "$of")"
    done
    nsrun show -P "$sandbox" --tree
    cgset show -P "$sandbox"
    [ -z "$(get netwire "$sandbox")" ] || netwire show -P "$sandbox"
}
