#!/bin/sh
# usage: pause-image.sh OUT [ARCH=FILE...]
# Writes the image of pause-hold as an OCI image archive, which podman, containerd, docker and skopeo load: one layer with
# one file, /pause, for each ARCH, which has the name Go gives it (amd64, arm64, riscv64). Without ARCH=FILE it builds them
# for every processor whose Rust target is installed; the first of them is this machine's. Takes GNU tar and sha256sum, no
# network, no root and no container tool. The same files make the same bytes.
#   IMAGE=NAME:TAG        what the image is called when it is loaded (localhost/chroot0/pause:VERSION)
#   SOURCE_DATE_EPOCH=N   the time in it, in seconds (0)
set -eu
out=${1:?usage: $0 OUT [ARCH=FILE...]}
shift
here=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml")
image=${IMAGE:-localhost/chroot0/pause:$version}
epoch=${SOURCE_DATE_EPOCH:-0}
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
# It goes into JSON and comes out as a name. A registry may have a port.
tag=
case $image in
*[!A-Za-z0-9._:/-]*) ;;
*) case ${image##*/} in ?*:*) tag=${image##*:} ;; esac ;;
esac
if [ -z "$tag" ]; then
    echo "pause-image.sh: IMAGE is not NAME:TAG: $image" >&2
    exit 2
fi

# This machine first, then the others. No compiler for them is needed: rust-lld links for all processors.
build() {
    for machine in "$(uname -m)" x86_64 aarch64 riscv64; do
        case $machine in
        x86_64) arch=amd64 rust=x86_64 ;;
        aarch64) arch=arm64 rust=aarch64 ;;
        riscv64) arch=riscv64 rust=riscv64gc ;;
        *) echo "pause-image.sh: pause is not written for $machine" >&2; exit 1 ;;
        esac
        case " $built " in *" $arch="*) continue ;; esac
        for target in $rust-unknown-linux-musl $rust-unknown-linux-gnu; do
            libraries=$(rustc --print target-libdir --target "$target" 2>/dev/null) || continue
            [ -d "$libraries" ] || continue
            linker=
            [ "$machine" = "$(uname -m)" ] ||
                linker=CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_LINKER=rust-lld
            # shellcheck disable=SC2086 # one word or none
            (cd "$here" && env $linker "${CARGO:-cargo}" build --quiet --release --locked --package pause --bin pause-hold --target "$target") || exit
            built="$built $arch=${CARGO_TARGET_DIR:-$here/target}/$target/release/pause-hold"
            break
        done
    done
}
if [ $# = 0 ]; then
    built=
    build
    # shellcheck disable=SC2086 # a word each; a target directory with white space in its name is refused below
    set -- $built
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
blobs=$work/image/blobs/sha256
mkdir -p "$blobs" "$work/layer"

# pack OUT DIR FILE...: the same bytes from the same files, whoever packs them. No padding to tar's usual 10 kB.
pack() {
    to=$1 from=$2 mode=$3
    shift 3
    tar --create --file "$to" --directory "$from" --format ustar --blocking-factor 1 --sort name \
        --owner 0 --group 0 --numeric-owner --mode "$mode" --mtime "@$epoch" "$@"
}

# blob FILE: takes it in under its digest, which is then $digest; $size is its length.
blob() {
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    size=$(wc -c <"$1")
    mv "$1" "$blobs/$digest"
}

labels="\"org.opencontainers.image.title\":\"pause\",\"org.opencontainers.image.description\":\"Holds the namespaces of a pod\",\"org.opencontainers.image.version\":\"$version\",\"org.opencontainers.image.licenses\":\"MIT OR Apache-2.0\",\"org.opencontainers.image.created\":\"$created\""
oci=application/vnd.oci.image
manifests=
docker=
for given; do
    arch=${given%%=*} file=${given#*=}
    case $arch in
    amd64 | riscv64) platform="\"architecture\":\"$arch\",\"os\":\"linux\"" ;;
    arm64) platform="\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v8\"" ;;
    *) echo "pause-image.sh: not ARCH=FILE of amd64, arm64, riscv64: $given" >&2; exit 2 ;;
    esac
    cp "$file" "$work/layer/pause"
    # Not compressed: the whole layer is four blocks.
    pack "$work/layer.tar" "$work/layer" 0755 pause
    blob "$work/layer.tar"
    layer=$digest layer_size=$size

    # As the image of Kubernetes has it.
    printf '{%s,"created":"%s","config":{"User":"65535:65535","Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":["/pause"],"WorkingDir":"/","Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","created_by":"pause-image.sh"}]}' \
        "$platform" "$created" "$labels" "$layer" "$created" >"$work/config"
    blob "$work/config"
    config=$digest
    printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s.layer.v1.tar","digest":"sha256:%s","size":%s}],"annotations":{%s}}' \
        $oci $oci "$config" "$size" $oci "$layer" "$layer_size" "$labels" >"$work/manifest"
    blob "$work/manifest"
    manifests="$manifests,{\"mediaType\":\"$oci.manifest.v1+json\",\"digest\":\"sha256:$digest\",\"size\":$size,\"platform\":{$platform}}"
    # Docker before 25 knows one image of one processor: the first.
    docker=${docker:-"[{\"Config\":\"blobs/sha256/$config\",\"RepoTags\":[\"$image\"],\"Layers\":[\"blobs/sha256/$layer\"]}]"}
done
[ -n "$manifests" ] || { echo "pause-image.sh: no Rust target is installed that pause is written for" >&2; exit 1; }

printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[%s],"annotations":{%s}}' $oci "${manifests#,}" "$labels" >"$work/index"
blob "$work/index"
# One image in the archive, named as podman, skopeo and docker read it, and as containerd does.
printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[{"mediaType":"%s.index.v1+json","digest":"sha256:%s","size":%s,"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
    $oci $oci "$digest" "$size" "$image" "$image" >"$work/image/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/image/oci-layout"
printf '%s' "$docker" >"$work/image/manifest.json"
pack "$work/image.tar" "$work/image" u=rwX,go=rX oci-layout index.json manifest.json blobs
mv "$work/image.tar" "$out"
echo "$image: $* in $out, $(wc -c <"$out") bytes" >&2
