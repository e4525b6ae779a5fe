#!/usr/bin/env bash
# usage: vm-systemd.sh DIR
# Boots a small Debian with systemd as PID 1 and what `make install` put into DIR (PREFIX=/usr), in a virtual machine, and runs
# vm/systemd.sh in it: pods as services. The status is that script's. Needs root, qemu-system-x86, cpio, kmod, mmdebstrap, and apt's
# archive for the kernel and the system, once.
set -euo pipefail
staged=$(readlink -f "${1:?usage: $0 DIR, where make install has put all}")
here=$(readlink -f "$(dirname "$0")")
# shellcheck source=scripts/vm/kernel.sh
. "$here/vm/kernel.sh"

if [ ! -f "$work/debian.tar" ]; then
    command -v mmdebstrap >/dev/null || skip "no mmdebstrap here to make a Debian with"
    unshare --mount mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,busybox-static,curl,iproute2,kmod,procps,util-linux \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$work/debian.new.tar"
    mv "$work/debian.new.tar" "$work/debian.tar"
fi

root=$work/debian
rm -rf "$root"
mkdir -p "$root"
tar -C "$root" -xf "$work/debian.tar"
cp -r "$staged/." "$root/"
modules "$root" veth overlay nf_tables nft_chain_nat nft_fib_inet nft_ct nft_reject_inet
install -m 755 "$here/vm/systemd.sh" "$root/usr/local/sbin/check"
cat >"$root/etc/systemd/system/check.service" <<'UNIT'
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/check
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../check.service "$root/etc/systemd/system/multi-user.target.wants/check.service"
# Nobody logs in, and the machine has no disk to wait for.
ln -sf /dev/null "$root/etc/systemd/system/serial-getty@.service"
ln -sf /dev/null "$root/etc/systemd/system/systemd-logind.service"
: >"$root/etc/fstab"
rm -rf "$root"/var/{cache,lib}/apt "$root"/usr/share/{doc,man,locale}
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$work/debian.gz"
rm -rf "$root"
boot "$work/debian.gz" rdinit=/lib/systemd/systemd systemd.show_status=false
