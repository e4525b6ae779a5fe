# shellcheck shell=bash disable=SC2034,SC2154
# Sourced by bench.sh: boxes made, entered and removed.

programs='bash ip ls mount umount kill ps curl pidof expr rm'
cat >"$work/by-ldd.sh" <<EOF
box=$work/ldd
mkdir -p \$box
for program in $programs; do cp --parents "/bin/\$program" \$box; done
for program in $programs; do ldd "/bin/\$program"; done | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t \$box
EOF
# The least that copying can cost is a program that has the list ready and makes one call for each file.
limit=()
if in_c fill; then
    mkbox up -q --dry-run --copy "${programs// /,}" "$work/box" |
        sed -n "s#^'\(.*\)' -> '$work/box/\(.*\)'#\1 $work/list/\2#p" >"$work/list.txt"
    limit=('C: copy_file_range, a list ready' "$work/fill copy $work/list.txt")
fi
# jailkit wants a jail that nobody else can write to, all the way up. It makes no /dev, like the others here.
jailkit=()
if command -v jk_cp >/dev/null; then
    mkdir "$work/jail"
    mount --bind "$work/jail" /mnt
    jailkit=('jk_cp' "jk_cp -j /mnt $(for program in $programs; do command -v "$program"; done | xargs)")
fi
prepare=("mkbox down --id box >/dev/null" "rm -rf $work/ldd"
    ${limit:+"rm -rf $work/list; mkdir $work/list"} ${jailkit:+"rm -rf /mnt/*"})
compare 'A box with eleven programs and their libraries' \
    'mkbox up' "mkbox up -q --copy ${programs// /,} --proc $work/box" \
    'ldd, cp' "sh $work/by-ldd.sh" \
    "${limit[@]}" "${jailkit[@]}"
mkbox down --id box >/dev/null
rm -rf "$work/list" "$work/ldd"
[ ${#jailkit[@]} = 0 ] || umount /mnt

# What the tutorial does for the same eleven programs, once: it copies all of /lib and /lib64, which needs the room for them.
if [ "$(df --output=avail -B1M "$work" | tail -n 1)" -gt $((2 * $(du -xsm /lib/. | cut -f 1))) ]; then
    printf '\nThe same box as the tutorial makes it, once\n'
    "${parts%/bench}/chroot0/figures.sh" "$work" | sed 's/^/  /'
else
    printf '\nno room for a copy of /lib: nothing is compared with the tutorial\n'
fi

cat >"$work/by-links.sh" <<EOF
for program in $programs; do ldd "/bin/\$program"; done | grep -o '/[^ ]*' | sort -u >$work/list
for program in $programs; do echo "/bin/\$program"; done >>$work/list
while read -r file; do
    mkdir -p "$work/linked\${file%/*}"
    : >"$work/linked\$file"
done <$work/list
EOF
limit=()
if [ -x "$work/fill" ]; then
    mkbox up -q --dry-run --copy "${programs// /,}" "$work/bound" |
        sed -n "s#.* -> '$work/bound/\(.*\)'#$work/names/\1#p" >"$work/names.txt"
    limit=('C: a name for each, a list ready' "$work/fill link $work/names.txt")
fi
prepare=("mkbox down --id bound >/dev/null" "rm -rf $work/linked" ${limit:+"rm -rf $work/names"})
compare 'A box with the same programs, bound and not copied, ready to be entered' \
    'mkbox up --bind-programs' "mkbox up -q --bind-programs ${programs// /,} --proc $work/bound" \
    'ldd, mkdir, an empty file for each' "sh $work/by-links.sh" \
    "${limit[@]}"
rm -rf "$work/linked" "$work/names"
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
