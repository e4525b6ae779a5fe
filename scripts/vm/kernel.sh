# shellcheck shell=bash disable=SC2034
# Sourced by vm.sh, vm-systemd.sh and vm-images.sh: Debian's kernel for clouds, and a machine that boots it.

# What cannot run here is said; in CI it is a failure.
skip() {
    echo "SKIPPED ${0##*/}: $*" >&2
    [ -z "${CI:-}" ]
    exit
}
[ "$(uname -m)" = x86_64 ] || skip "the virtual machine is for x86_64"
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64, and it could not be installed"
# The distribution's programs, not what stands before them for one user.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
work=${VM_DIR:-target/vm}
mkdir -p "$work"
work=$(readlink -f "$work")

# The kernel is unpacked and not installed.
if [ ! -d "$work/kernel/boot" ]; then
    command -v apt-get >/dev/null || skip "no apt here to get Debian's kernel from"
    package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: linux-image/ { print $2 }')
    [ -n "$package" ] || { apt-get update -qq || :; package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2 }'); }
    rm -f "$work"/linux-image-*.deb
    (cd "$work" && apt-get -q download "$package" >/dev/null 2>&1) || skip "Debian's kernel cannot be downloaded"
    rm -rf "$work/kernel"
    dpkg -x "$work"/linux-image-*.deb "$work/kernel"
    rm "$work"/linux-image-*.deb
    depmod -b "$work/kernel" "$(ls "$work/kernel/lib/modules")"
fi
version=$(ls "$work/kernel/lib/modules")

# modules ROOT NAME...: these, with what they need, in the root of a machine.
modules() {
    local to=$1/lib/modules/$version name
    shift
    mkdir -p "$to"
    cp "$work/kernel/lib/modules/$version"/modules.* "$to/"
    for name; do
        { grep -E "/$name\.ko" "$to/modules.dep" || :; } | tr -d : | tr ' ' '\n'
    done | sort -u | (cd "$work/kernel/lib/modules/$version" && cpio -pdm --quiet "$to")
}

# Of the machine, and what else it has; microvm knows no disk that an ordinary initramfs would find.
machine=(-M 'microvm,acpi=off,rtc=on')
kernel=$work/kernel/boot/vmlinuz-$version

# boot INITRAMFS [PARAMETER...]: runs it until it goes down, and has the status that it has said: VM-EXIT N.
boot() {
    local initramfs=$1
    shift
    # VM_ACCEL=kvm where that works; in a virtual machine /dev/kvm may be there and not work.
    timeout -k 5 "${VM_SECONDS:-2400}" qemu-system-x86_64 "${machine[@]}" -accel "${VM_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 3072 \
        -nodefaults -no-user-config -display none -no-reboot -serial stdio -kernel "$kernel" -initrd "$initramfs" \
        -append "console=ttyS0 loglevel=1 panic=-1 reboot=t $*" </dev/null | sed -u 's/\r$//' | tee "$work/log"
    local status
    status=$(sed -n 's/^VM-EXIT //p' "$work/log")
    echo "${0##*/}: $SECONDS s"
    return "${status:-125}"
}
