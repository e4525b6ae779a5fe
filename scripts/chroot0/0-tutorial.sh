#!/usr/bin/env bash
# usage: 0-tutorial.sh BOX
# The tutorial's chroot0.sh: a shell in a root directory of its own, made by hand. It copies all of /lib, mounts on
# the host, and its clean-up deletes what is mounted if a umount fails. The other scripts replace it step by step.
set -eu
box=${1:?usage: $0 BOX}

mkdir -p "$box/bin"
mkdir -p "$box/lib"
mkdir -p "$box/lib64"
mkdir -p "$box/proc"
mkdir -p "$box/data"

cp -v /bin/bash "$box/bin"
cp -v /bin/ip "$box/bin"
cp -v /bin/ls "$box/bin"
cp -v /bin/mount "$box/bin"
cp -v /bin/umount "$box/bin"
cp -v /bin/kill "$box/bin"
cp -v /bin/ps "$box/bin"
cp -v /bin/curl "$box/bin"
cp -v /bin/pidof "$box/bin"
cp -v /bin/expr "$box/bin"
cp -v /bin/rm "$box/bin"

cp -r /lib/* "$box/lib/"
cp -r /lib64/* "$box/lib64/"

mount -t proc proc "$box/proc"
mount --bind -v /tmp/ "$box/data"

chroot "$box" /bin/bash || status=$?

umount "$box/data" && umount "$box/proc" && rm -rf "$box"
exit "${status:-0}"
