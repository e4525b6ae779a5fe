#!/usr/bin/env bash
# usage: vm.sh TEST_BINARY...
# Runs tests, of the crate tests and of the tools' own crates, in a virtual machine that has cgroup v2 alone and begins on an
# initramfs, on Debian's kernel for clouds. The tools are those in CHROOT0_BIN; the initramfs is a box that mkbox makes. The status
# is that of the tests. Needs root (the box's programs belong to it), qemu-system-x86, cpio, kmod, and apt-get for the kernel, once.
set -euo pipefail
tools=${CHROOT0_BIN:?the directory of the tools}
: "${1:?no tests to run}"
# shellcheck source=scripts/vm/kernel.sh
. "$(dirname "$0")/vm/kernel.sh"
repository=$(readlink -f "$(dirname "$0")/..")

# A box with what the tests call, and the tools, the tests and the scripts where they are here.
export CHROOT0_RUN=$work/run
root=$work/root
"$tools/mkbox" down "$root" >/dev/null 2>&1 || :
programs=bash,sh,awk,basename,bridge,cat,chmod,chown,cmp,comm,cp,curl,cut,date,dd,diff,dirname,du,echo,env,expr,false,find,findmnt,getfattr,grep
programs+=,head,hostname,id,install,ip,jq,kill,ln,ls,lsns,mkdir,mkfifo,mknod,mktemp,mount,mountpoint,mv,nproc,nsenter,od,paste,pgrep,pidof
programs+=,ping,pkill,python3,printf,ps,pwd,readlink,realpath,rm,rmdir,script,sed,seq,setcap,setpriv,setsid,sha256sum,sleep,sort,ss,stat,strace
programs+=,stty,su,sync,sysctl,tac,tail,tar,taskset,tee,test,timeout,touch,tr,true,truncate,tty,umount,uname,uniq,unshare,wc,xargs,yes,zcat
programs+=,busybox,capsh,chroot,crun,ldconfig,ldd,modprobe,newgidmap,newuidmap,nft,switch_root
have=
for program in ${programs//,/ }; do
    if command -v "$program" >/dev/null; then have=$have,$program; fi
done
"$tools/mkbox" up -q --keep-privileges --copy "${have#,}" --proc "$root" >/dev/null
helpers=$(dirname "$(dirname "$1")") # target/TRIPLE/debug of target/TRIPLE/debug/deps/STORY-HASH
# What is for debuggers is ten times the rest, and all of it lies in memory there.
for file in "$@" "$helpers"/{node,mark}; do
    mkdir -p "$root$(dirname "$file")"
    strip -o "$root$file" "$file" 2>/dev/null || cp "$file" "$root$file"
done
# python3 needs its library beside it, and little of that.
python=$(readlink -f "$(command -v python3 || :)" || :)
if [ -n "$python" ]; then
    library=/usr/lib/${python##*/}
    (cd "$library" && find . -name '*.py' -o -name '*.so' | grep -vE '/(test|ensurepip|lib2to3|idlelib|tkinter|pydoc_data|distutils)/' | cpio -pdm --quiet "$root$library")
fi
for tool in pause nsrun cgset mkbox netwire podspec; do
    mkdir -p "$root$tools"
    cp "$tools/$tool" "$root$tools/$tool"
    # where the tools' own tests look for them
    [ "$tools" = "$helpers" ] || ln -s "$tools/$tool" "$root$helpers/$tool"
done
mkdir -p "$root$repository" "$root"/{sys,dev,run,tmp,etc,root,home,var/lib,mnt,usr/lib,usr/bin,lib/modules}
[ -e "$root/usr/bin/env" ] || ln -s ../../bin/env "$root/usr/bin/env" # as scripts begin
cp -r "$repository/scripts" "$root$repository/"
(cd "$repository" && cp --parents ./*/*.1 "$root$repository/")
cp /etc/passwd /etc/group /etc/ld.so.cache "$root/etc/"
touch "$root"/etc/{hosts,subuid,subgid}
modules "$root" veth bridge overlay nf_tables nft_chain_nat nft_masq nft_nat nft_ct nft_redir nf_nat nf_conntrack_netlink nft_fib_inet nft_reject_inet sctp

cat >"$root/init" <<INIT
#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
if [ \$\$ = 1 ] && [ ! -e /moved ]; then
    mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
    # On the first root of all, which no pivot_root leaves: the tools work there too.
    . /first
    mount -t tmpfs -o size=90% root /mnt
    for entry in /*; do
        case \$entry in /mnt | /proc | /sys | /dev) ;; *) cp -a "\$entry" /mnt/ ;; esac
    done
    mkdir -p /mnt/{proc,sys,dev,mnt}; : >/mnt/moved
    exec switch_root /mnt /init
fi
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm; ln -s /proc/self/fd /dev/fd
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for controller in \$(cat /sys/fs/cgroup/cgroup.controllers); do echo +\$controller >/sys/fs/cgroup/cgroup.subtree_control; done
command -v modprobe >/proc/sys/kernel/modprobe
for module in veth bridge overlay nft_chain_nat nft_masq nft_fib_inet nft_ct nft_redir nft_reject_inet sctp; do modprobe -q \$module; done
ip link set lo up
export CHROOT0_BIN=$tools CHROOT0_TEST_SECONDS=${VM_TEST_SECONDS:-600} CHROOT0_TEST_MANY=${VM_TEST_MANY:-20}
status=0
[ "\$(cat /first-status)" = 0 ] || status=1
for test in $*; do
    echo "== \${test##*/} \$(cut -d' ' -f1 /proc/uptime)"
    timeout ${VM_TEST_SECONDS:-600} \$test --test-threads 2 --include-ignored || status=1
done
echo "VM-EXIT \$status"
sync
busybox reboot -f
INIT
chmod 755 "$root/init"
cat >"$root/first" <<FIRST
(
    set -e
    PATH=$tools:\$PATH
    mount -t tmpfs run /run
    echo "== initramfs: \$(stat -fc %T /)"
    [ "\$(nsrun exec -m -p -n -u -i --mount-proc -- bash -c 'echo \$\$')" = 1 ]
    nsrun up --id first --net --pid >/run/first.json
    [ "\$(nsrun exec -P /run/first.json -- bash -c 'ls /proc/1/exe >/dev/null && echo in')" = in ]
    mkbox up --copy bash,ls --proc /run/box >/run/box.json
    [ "\$(nsrun exec --pid -- mkbox exec -P /run/box.json -- bash -c 'echo \$\$ \$(ls /)')" = '1 bin lib lib64 proc' ]
    [ "\$(nsrun exec --pid -- mkbox exec -P /run/box.json -- nsrun drop -- bash -c '[ -e /run ] || [ -e /init ] || echo gone')" = gone ]
    mkbox down </run/box.json >/dev/null
    nsrun down </run/first.json >/dev/null
    umount /run
    echo 'initramfs: ok'
)
echo \$? >/first-status
FIRST
"$tools/mkbox" pack --format cpio --gzip --output "$work/initramfs.gz" "$root"
"$tools/mkbox" down "$root" >/dev/null

boot "$work/initramfs.gz"
