#!/usr/bin/env bash
# usage: 1-mkbox.sh BOX
# mkbox in place of mkdir, cp, mount, chroot, umount and rm: the exact libraries, no mount on the host, a clean-up that
# cannot reach outside the box.
set -eu
box=${1:?usage: $0 BOX}
programs=bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm

record=$(mktemp)
clean_up() {
    mkbox down -P "$record" >/dev/null
    rm -f "$record"
}
trap clean_up EXIT

mkbox up -v --copy "$programs" --proc --bind /tmp:/data "$box" >"$record"

mkbox exec -P "$record" -- /bin/bash
