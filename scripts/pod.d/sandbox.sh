# shellcheck shell=sh disable=SC2154,SC2034
# The sandbox: what a pod is before there is a container in it. Read by pod(1).

# Limits, namespaces and who holds them, eth0, and the volumes in the pod's own mounts: one pipe.
make_sandbox() {
    volumes=$(podspec --words mkbox "$spec")
    # Options of their own, in words of their own.
    pipe="cgset up -P \"\$spec\"${cgroup:+ $cgroup} | nsrun up"
    ports=$(podspec --words netwire "$spec")
    [ "$(get podspec.network "$spec")" != POD ] || pipe="$pipe | netwire up $network${ports:+ $ports}"
    made="mkbox up -q -P -${volumes:+ $volumes} \"\$run/\$pod/volumes\""
    # What configMaps and secrets are named from.
    case $volumes in *type=configMap* | *type=secret*) made="(cd \"\$config\" && $made)" ;; esac
    # shellcheck disable=SC2016 # of which this is the name
    step "$pipe | $made"' >"$sandbox.new" && mv "$sandbox.new" "$sandbox"'
}

unmake_sandbox() {
    if [ -s "$sandbox" ]; then
        step "nsrun down -P \"\$sandbox\" --grace $grace | netwire down | mkbox down >/dev/null"
    else
        for tool in nsrun netwire mkbox; do step "$tool down --id $pod >/dev/null"; done
    fi
}
