#!/bin/bash
# Module of dracut.modules(7): the five tools. Not in every image: `dracut --add chroot0`, or add_dracutmodules in dracut.conf(5).

check() {
    require_binaries pause nsrun cgset mkbox netwire || return 1
    return 255
}

depends() {
    :
}

install() {
    inst_multiple pause nsrun cgset mkbox netwire
}
