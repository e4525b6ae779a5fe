#!/bin/bash
# What vm/pod.sh needs beside the tools, and a place to run it.

check() {
    return 255
}

depends() {
    echo chroot0
}

install() {
    inst_multiple bash ls busybox
    inst_simple /given/pod.sh /bin/pod.sh
    # shellcheck disable=SC2154 # dracut's
    inst_hook pre-udev 99 "$moddir/pod.sh"
}
