# shellcheck shell=sh disable=SC2154,SC2034
# Images: where they are, what they say of their command, and the boxes of containers that are made of them. Read by pod(1).

# The file or directory that an image's name means: a path, or a name in the box directory, with its registry and tag or without.
find_image() {
    case $1 in
    /* | ./* | ../*)
        [ -e "$1" ] && (cd "$(dirname "$1")" && printf '%s/%s\n' "$(pwd -P)" "$(basename "$1")")
        return
        ;;
    esac
    try=${1%@*}
    while :; do
        last=${try##*/}
        for name in "$try" "${try%"$last"}${last%:*}"; do
            case /$name/ in */../* | *//*) continue ;; esac
            for found in "$images/$name" "$images/$name.tar" "$images/$name.tar.gz"; do
                [ ! -e "$found" ] || { printf '%s\n' "$found" && return; }
            done
        done
        case $try in */*) try=${try#*/} ;; *) return 1 ;; esac
    done
}

# What an image says of its command: NAME.json beside it, or the configuration in an OCI layout.
find_config() {
    for try in "$1.json" "${1%.tar}.json" "${1%.tar.gz}.json"; do
        [ ! -f "$try" ] || { printf '%s\n' "$try" && return; }
    done
    [ -f "$1/oci-layout" ] || return 0
    blob=$1/index.json
    for key in manifests.0.digest manifests.0.digest config.digest; do
        digest=$(get "$key" "$blob")
        case $digest in *[!a-z0-9:]*) return 1 ;; '') ;; *) blob=$1/blobs/${digest%%:*}/${digest#*:} ;; esac
    done
    printf '%s\n' "$blob"
}

# The directory to begin a container's root with, as a word in `lower`: the image itself, or what it unpacks to.
unpack() {
    quote "$2"
    lower=$quoted
    [ ! -d "$2" ] || [ -f "$2/oci-layout" ] || return 0
    lower="\"\$dir/$1.image\""
    step "mkbox up -q --id ${pod}_$1.image --from $quoted $lower >/dev/null"
}

# The name servers are one file of the pod, which each container has mounted where a manifest mounts nothing else: as in Kubernetes.
mount_resolv_conf() {
    resolv_conf=
    case $(get mounts "$1") in *'"destination":"/etc/resolv.conf"'*) return ;; esac
    # shellcheck disable=SC2016 # a word in a line
    resolv_conf='type=bind,source=$dir/_etc/resolv.conf,target=/etc/resolv.conf'
    [ "$(get root.readonly "$1")" != true ] || resolv_conf=$resolv_conf,readonly
    mkdir -p "$dir/_etc"
    {
        for server in $(get netwire.dns.nameservers "$1"); do echo "nameserver $server"; done
        for key in search options; do
            words=$(get "netwire.dns.$key" "$1" | tr '\n' ' ')
            [ -z "$words" ] || echo "$key ${words% }"
        done
    } >"$dir/_etc/resolv.conf"
    chmod 644 "$dir/_etc/resolv.conf"
}

# Makes the box of a container: a layer of its own, thrown away at each start, above its image.
make_box() {
    name=$1
    wanted=$(get podspec.image "$dir/$name.spec.json")
    image=$(find_image "$wanted") || die "$name: image $wanted: not in $images, and no path"
    said=$(find_config "$image")
    unpack "$name" "$image" || return
    quote "$said"
    said=${said:+ --image $quoted}
    quote "${POD_CLUSTER_DNS:-}"
    said="$said --resolv-conf /etc/resolv.conf${POD_CLUSTER_DNS:+ --cluster-dns $quoted}"
    filter "podspec --in \"\$sandbox\"$said \"\$dir/$name.spec.json\" >\"\$dir/$name.json.new\"" || return
    podspec --words drop "$dir/$name.json.new" >/dev/null || return
    mount_resolv_conf "$dir/$name.json.new"
    mounts="--etc=hosts,hostname,resolv.conf${resolv_conf:+ --mount \"$resolv_conf\"}"
    step "mkbox up -q -P \"\$dir/$name.json.new\" --overlay $lower --ephemeral $mounts \"\$dir/$name\" >\"\$dir/$name.json\"" || return
    [ "$dry" = no ] || cp "$dir/$name.json.new" "$dir/$name.json"
    rm -f "$dir/$name.json.new"
    [ "$(get podspec.stdin "$dir/$name.spec.json")" != true ] || [ -p "$dir/$name.in" ] || mkfifo -m 600 "$dir/$name.in"
}

make_boxes() {
    for each in $(get podspec.initContainers "$spec") $(get podspec.containers "$spec"); do
        # By itself: a box that cannot be made ends no supervisor.
        (make_box "$each") || return
    done
}
