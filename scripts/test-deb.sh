#!/usr/bin/env bash
# usage: test-deb.sh CHROOT0_DEB INITRAMFS_DEB
# The packages in a Debian of their own, a box of mkbox without a way out: installed beside cgroup-tools and without it, the
# demonstration's chain run, an initramfs made, and all of it removed: cgset is then whose it was, and nothing is left.
# The Debian is made by mmdebstrap once and kept in target/debian. The tools are those in PATH. Needs root.
set -euo pipefail
if [ "${1:-}" != --in-the-debian ]; then
    here=$(readlink -f "$(dirname "$0")/..")
    : "${2:?usage: test-deb.sh CHROOT0_DEB INITRAMFS_DEB}"
    work=${CARGO_TARGET_DIR:-$here/target}/debian
    mkdir -p "$work"
    base=$work/base.tar
    if [ ! -e "$base" ]; then
        # shellcheck disable=SC2016 # $1 is the hook's
        unshare --mount mmdebstrap --quiet --variant=apt --include=busybox-static,cgroup-tools,curl,initramfs-tools,iproute2,mount,procps \
            --customize-hook='chroot "$1" sh -c "cd /root && apt-get -q download cgroup-tools >/dev/null"' bookworm "$work/new.tar"
        mv "$work/new.tar" "$base"
    fi
    scratch=$(mktemp -d)
    export CHROOT0_RUN=$scratch/run
    trap 'mkbox down "$scratch/debian" >/dev/null; rm -rf --one-file-system "$scratch"' EXIT
    mkdir "$scratch/given"
    cp "$1" "$scratch/given/chroot0.deb"
    cp "$2" "$scratch/given/initramfs.deb"
    cp "$here"/scripts/{demo,test-deb}.sh "$scratch/given/"
    mkbox up --keep-privileges --from "$base" --proc --sys --dev --tmpfs /run --tmpfs /tmp --bind "$scratch/given:/given:ro" \
        --bind /sys/fs/cgroup:/sys/fs/cgroup:rbind "$scratch/debian" >/dev/null
    nsrun exec --mount --pid --net --uts --ipc -- mkbox exec "$scratch/debian" -- /given/test-deb.sh --in-the-debian
    exit
fi

export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
say() { echo "test-deb: $*"; }
whose() { readlink -f "$(command -v cgset)" | xargs dpkg -S | cut -d: -f1; }
# Every file but dpkg's own notes of what was done.
files() { find / -xdev \( -path /var/lib/dpkg -o -path /var/log -o -path /var/cache -o -path /boot \) -prune -o -print | LC_ALL=C sort; }

before=$(files)
[ "$(whose)" = cgroup-tools ]
dpkg -i /given/chroot0.deb >/dev/null
[ "$(cgset --version)" = "$(nsrun --version | sed s/nsrun/cgset/)" ]
[ -x /usr/bin/cgset.cgroup-tools ]
say "installed beside cgroup-tools: cgset is ours, theirs is cgset.cgroup-tools"

demo=$(/given/demo.sh)
grep -q '<h1>hello from the pod</h1>' <<<"$demo"
grep -q 'exit status 137' <<<"$demo"
say "the demonstration's chain ran"

dpkg -i /given/initramfs.deb >/dev/null
mkdir -p /lib/modules/6.1.0-none
touch /lib/modules/6.1.0-none/modules.{order,builtin,builtin.modinfo}
echo CONFIG_RD_GZIP=y >/boot/config-6.1.0-none
mkinitramfs -c gzip -o /tmp/initramfs 6.1.0-none
lsinitramfs /tmp/initramfs | grep -c -xE 'usr/bin/(pause|nsrun|cgset|mkbox|netwire)' | grep -qx 5
rm -r /lib/modules /boot/config-6.1.0-none
say "an initramfs has the five tools"

dpkg -r cgroup-tools >/dev/null
[ "$(cgset --version)" = "$(nsrun --version | sed s/nsrun/cgset/)" ]
dpkg -i /root/cgroup-tools_*.deb >/dev/null
[ "$(cgset --version)" = "$(nsrun --version | sed s/nsrun/cgset/)" ]
say "cgroup-tools removed and installed after us: cgset is still ours"

dpkg --purge chroot0-initramfs chroot0 >/dev/null
[ "$(whose)" = cgroup-tools ]
diff <(echo "$before") <(files)
say "purged: cgset is theirs again, and no file is left or missing"
