#!/usr/bin/env bash
# usage: vm-images.sh CHROOT0_DEB INITRAMFS_DEB
# The packages in images that virtual machines boot from, and in each the seed's pod, from its pipe to nothing left (vm/pod.sh):
#   an initramfs with the tools alone, a box of mkbox;
#   a Debian on a disk, made by mmdebstrap, and the initramfs that it boots by, made by initramfs-tools with the package's hook;
#   an initramfs of dracut with the package's module;
#   one of mkinitcpio, which Debian does not have: only where MKINITCPIO is the directory of its source.
# Checks are counted; the status is whether all held. Needs root, qemu-system-x86, cpio, kmod, e2fsprogs, mmdebstrap, and apt's archive, once.
set -euo pipefail
packages=("$(readlink -f "${1:?usage: $0 CHROOT0_DEB INITRAMFS_DEB}")" "$(readlink -f "${2:?usage: $0 CHROOT0_DEB INITRAMFS_DEB}")")
here=$(readlink -f "$(dirname "$0")")
# shellcheck source=scripts/vm/kernel.sh
. "$here/vm/kernel.sh"
command -v mmdebstrap >/dev/null || skip "no mmdebstrap here to make a Debian with"
base=$work/image.tar
if [ ! -f "$base" ]; then
    unshare --mount mmdebstrap --quiet --variant=minbase \
        --include=busybox-static,dracut-core,initramfs-tools,kmod,libarchive-tools,linux-image-cloud-amd64,systemd-sysv \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$work/image.new.tar" || skip "Debian cannot be downloaded"
    mv "$work/image.new.tar" "$base"
fi

# What is booted has the tools as they are in the package, and they make it.
images=$work/images
export CHROOT0_RUN=$work/run
tools=$images/package/usr/bin
if [ -x "$tools/mkbox" ]; then "$tools/mkbox" down "$images/debian" >/dev/null 2>&1 || :; fi
rm -rf --one-file-system "$images"
mkdir -p "$images/given"
dpkg -x "${packages[0]}" "$images/package"
cp "$here/vm/pod.sh" "$images/given/"
cp "$here/vm/images.init" "$images/given/init"
cp "${packages[@]}" "$images/given/"
tools_in_it='pause nsrun cgset mkbox netwire'
modules='veth nft_chain_nat nft_masq nft_nat nft_ct nft_fib_inet'
: >"$work/said"

# check WHAT COMMAND...: what is seen from here; of the machine, only what it says is counted.
check() {
    local what=$1 answer=ok
    shift
    "$@" || answer=FAILED
    echo "$answer $what" | tee -a "$work/said"
}
# start INITRAMFS [PARAMETER...]
start() {
    boot "$@" || echo "FAILED ${1##*/}: status $?" >>"$work/said"
    grep -E '^(ok|FAILED) ' "$work/log" >>"$work/said" || :
}
# has_tools LIST: whether a list of files, one a line, has the five.
has_tools() {
    local tool
    for tool in $tools_in_it; do grep -qxE "(\./)?(usr/)?bin/$tool" "$1" || return; done
}

echo '== an initramfs with the tools alone'
root=$images/initramfs
"$tools/mkbox" up -q --keep-privileges --copy bash,ls,busybox,modprobe "$root" >/dev/null
mkdir -p "$root"/{proc,sys,dev,run,tmp}
for tool in $tools_in_it; do cp "$tools/$tool" "$root/bin/"; done
cp "$here/vm/pod.sh" "$root/pod.sh"
ln -sf busybox "$root/bin/sh"
# shellcheck disable=SC2086 # one word per module
modules "$root" $modules
cp "$here/vm/images.init" "$root/init"
"$tools/mkbox" pack --format cpio --gzip --output "$images/initramfs.gz" "$root"
"$tools/mkbox" down "$root" >/dev/null
start "$images/initramfs.gz" image=mkbox

echo '== a Debian'
debian=$images/debian
"$tools/mkbox" up -q --keep-privileges --from "$base" --proc --sys --dev --tmpfs /run --tmpfs /tmp --bind "$images/given:/given:ro" "$debian" >/dev/null
in_debian() {
    "$tools/nsrun" exec --mount --pid --net --uts --ipc -- "$tools/mkbox" exec "$debian" -- \
        env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}
release=$(ls "$debian/lib/modules")
cp "$debian/boot/vmlinuz-$release" "$images/kernel"
kernel=$images/kernel
cp -r "$here/vm/images/." "$debian/"
install -m 755 "$here/vm/pod.sh" "$debian/usr/local/sbin/pod.sh"
sed -i "s/@MODULES@/$modules/" "$debian"/{etc/initramfs-tools/hooks,usr/lib/initcpio/install}/check
: >"$debian/etc/fstab"
ln -sf /dev/null "$debian/etc/systemd/system/serial-getty@.service"
mkdir -p "$debian/etc/systemd/system/multi-user.target.wants"
ln -sf ../check.service "$debian/etc/systemd/system/multi-user.target.wants/check.service"

before=$(stat -c %Y "$debian/boot/initrd.img-$release")
# shellcheck disable=SC2016 # in_debian's shell
in_debian sh -c 'dpkg -i /given/*.deb >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }'
check 'installing chroot0-initramfs makes the initramfs anew' test "$(stat -c %Y "$debian/boot/initrd.img-$release")" -gt "$before"
in_debian lsinitramfs "/boot/initrd.img-$release" >"$images/initramfs-tools.list"
check 'initramfs-tools: the image has the five tools' has_tools "$images/initramfs-tools.list"
cp "$debian/boot/initrd.img-$release" "$images/initramfs-tools"

# Little else in them: all of the kernel's modules would take a minute.
dracut() { in_debian dracut --quiet --force --no-hostonly --no-early-microcode --no-compress --drivers "$modules" --kver "$release" "$@"; }
dracut /root/plain.img
in_debian lsinitrd /root/plain.img | sed -n 's/^-.* //p' >"$images/plain.list"
check 'dracut: an image has them when it is told to' test "$(grep -c -E 'bin/(pause|nsrun|cgset|mkbox|netwire)$' "$images/plain.list")" = 0
dracut --add 'chroot0 check' /root/dracut.img
in_debian lsinitrd /root/dracut.img | sed -n 's/^-.* //p' >"$images/dracut.list"
check 'dracut: the image has the five tools' has_tools "$images/dracut.list"
mv "$debian/root/dracut.img" "$images/dracut"
rm "$debian"/root/*.img

if [ -n "${MKINITCPIO:-}" ]; then
    # As its build does: the places are filled in.
    cp -r "$MKINITCPIO" "$images/given/mkinitcpio"
    sed -i 's#@BINDIR@#/usr/sbin:/usr/bin#; s#@INITCPIO_LIBDIR@#/usr/lib/initcpio#g; s#@[A-Z_]*SYSCONFDIR@#/etc#g' "$images/given/mkinitcpio"/{mk,ls}initcpio
    echo "HOOKS=(chroot0 check)" >"$images/given/mkinitcpio.conf"
    in_debian env MKINITCPIO_LIBRARY=/given/mkinitcpio bash /given/mkinitcpio/mkinitcpio --config /given/mkinitcpio.conf \
        --kernel "$release" --compress gzip --generate /root/mkinitcpio.img
    in_debian env MKINITCPIO_LIBRARY=/given/mkinitcpio bash /given/mkinitcpio/lsinitcpio /root/mkinitcpio.img >"$images/mkinitcpio.list"
    check 'mkinitcpio: the image has the five tools' has_tools "$images/mkinitcpio.list"
    mv "$debian/root/mkinitcpio.img" "$images/mkinitcpio"
fi

truncate -s 2G "$images/disk"
mke2fs -q -t ext4 -d "$debian" "$images/disk"
"$tools/mkbox" down "$debian" >/dev/null
start "$images/dracut"
if [ -n "${MKINITCPIO:-}" ]; then
    start "$images/mkinitcpio" image=mkinitcpio
else
    echo 'SKIPPED mkinitcpio: not in Debian; MKINITCPIO=DIR, the directory of its source, tries its hook'
fi
# An ordinary machine, where the initramfs finds the disk by itself.
machine=(-M q35 -drive "file=$images/disk,format=raw,if=virtio")
start "$images/initramfs-tools" root=/dev/vda rw systemd.show_status=false

failed=$(grep -c ^FAILED "$work/said" || :)
echo "vm-images.sh: $(grep -cE '^(ok|FAILED)' "$work/said") checks, $failed failed"
[ "$failed" = 0 ]
