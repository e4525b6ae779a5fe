# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by bench.sh: boxes made, entered and removed.

programs='bash ip ls mount umount kill ps curl pidof expr rm'
cat >"$work/by-ldd.sh" <<EOF
box=$work/ldd
mkdir -p \$box
for program in $programs; do cp --parents "/bin/\$program" \$box; done
for program in $programs; do ldd "/bin/\$program"; done | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t \$box
rm -rf \$box
EOF
compare 'A box with eleven programs and their libraries, made and removed' \
    'mkbox up, down' "mkbox up -q --copy ${programs// /,} --proc $work/box | mkbox down" \
    'ldd, cp, rm -rf' "sh $work/by-ldd.sh"

# The least that copying can cost: a program that has the list ready and makes one call for each file.
if in_c copy; then
    mkbox up -q --dry-run --copy "${programs// /,}" "$work/box" |
        sed -n "s#^'\(.*\)' -> '$work/box/\(.*\)'#\1 $work/list/\2#p" >"$work/list.txt"
    mkbox up -q --copy "${programs// /,}" --proc "$work/box" >/dev/null
    mkdir "$work/list"
    prepare=("mkbox down $work/box" "rm -rf $work/list")
    compare 'The same box, only made' \
        'mkbox up' "mkbox up -q --copy ${programs// /,} --proc $work/box" \
        'C: copy_file_range, a list ready' "$work/copy $work/list.txt"
    mkbox down "$work/box" >/dev/null
    rm -rf "$work/list"
fi

cat >"$work/by-links.sh" <<EOF
for program in $programs; do ldd "/bin/\$program"; done | grep -o '/[^ ]*' | sort -u >$work/list
for program in $programs; do echo "/bin/\$program"; done >>$work/list
while read -r file; do
    mkdir -p "$work/linked\${file%/*}"
    : >"$work/linked\$file"
done <$work/list
EOF
prepare=("mkbox down --id bound >/dev/null" "rm -rf $work/linked")
compare 'A box with the same programs, bound and not copied, ready to be entered' \
    'mkbox up --bind-programs' "mkbox up -q --bind-programs ${programs// /,} --proc $work/bound" \
    'ldd, mkdir, an empty file for each' "sh $work/by-links.sh"
mkbox down --id bound >/dev/null

cat >"$work/make.sh" <<EOF
mkbox up -q --copy ${programs// /,} --proc $work/full >/dev/null
rm -rf $work/copied
cp -a $work/full $work/copied
EOF
prepare=("sh $work/make.sh" "sh $work/make.sh")
compare 'The box with eleven programs removed' \
    'mkbox down' "mkbox down $work/full" \
    'rm -rf' "rm -rf $work/copied"
mkbox down "$work/full" >/dev/null

compare 'A command in a root of its own, pid namespace and /proc included' \
    'nsrun exec, mkbox exec' "nsrun exec --pid -- mkbox exec -P $work/root.json -- $bare" \
    'unshare, mount, chroot' "unshare -m -p --fork sh -c 'mount -t proc proc $work/root/proc && exec chroot $work/root $bare'" \
    ${raw:+'pivot_root, in C' "$raw pivot $work/root $bare"} \
    'bwrap' "bwrap --unshare-pid --bind $work/root / --proc /proc $bare"

# The same calls and nothing else, as the limit. What is run is pause: it starts in no time.
if in_c mount; then
    cp "$(command -v pause)" "$work/root/bin/pause"
    compare 'A command in a root of its own with /proc, and the calls for it alone' \
        'mkbox exec' "mkbox exec -P $work/root.json -- /bin/pause --version" \
        'unshare, mount, pivot_root in C' "$work/mount $work/root /bin/pause --version"
fi
