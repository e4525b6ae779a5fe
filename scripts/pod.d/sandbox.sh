# shellcheck shell=sh disable=SC2154,SC2034
# The sandbox: what a pod is before there is a container in it. Read by pod(1).

# Limits, namespaces and who holds them, eth0, and the volumes in the pod's own mounts: one pipe.
make_sandbox() {
    volumes=$(podspec --words mkbox "$spec")
    ports=$(podspec --words netwire "$spec")
    # shellcheck disable=SC2086 # options of their own
    cgset up -P "$spec" $cgroup | nsrun up | wire "$ports" | (
        # What configMaps and secrets are named from.
        case $volumes in *type=configMap* | *type=secret*) cd "$config" ;; esac
        eval "mkbox up -q -P - $volumes \"\$run/\$pod/volumes\""
    ) >"$sandbox.new" || return
    mv "$sandbox.new" "$sandbox"
}

wire() {
    mode=$(get podspec.network "$spec") || return
    [ "$mode" = POD ] || { cat && return; }
    # Words of their own, both of them.
    eval "netwire up $network $1"
}

unmake_sandbox() {
    if [ -s "$sandbox" ]; then
        nsrun down -P "$sandbox" --grace "$grace" | netwire down | mkbox down >/dev/null
    else
        for tool in nsrun netwire mkbox; do $tool down --id "$pod" >/dev/null; done
    fi
}
