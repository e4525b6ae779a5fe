# shellcheck shell=bash disable=SC2154
# Sourced by bench.sh: commands in new namespaces, in those of a pod, and without privileges.

compare 'A command in new mount, pid, ipc, uts and net namespaces' \
    'nsrun exec' "nsrun exec -m -p -i -u -n -- $bare" \
    ${raw:+'clone3, in C' "$raw clone $bare"} \
    'unshare --fork' "unshare -m -p -i -u -n --fork $bare" \
    'unshare --fork, chroot' "unshare -m -p -i -u -n --fork chroot / $bare" \
    'bwrap' "bwrap --unshare-pid --unshare-ipc --unshare-uts --unshare-net --bind / / $bare" \
    'nothing but the command' "$bare"
compare 'Started, and nothing done' \
    'nsrun exec' "nsrun exec -- $bare" \
    'cgset --version' 'cgset --version' \
    'mkbox --version' 'mkbox --version' \
    'netwire --version' 'netwire --version' \
    'pause --version' 'pause --version' \
    'env' "env $bare" \
    'nothing but the command' "$bare"

compare 'A command that has given up everything' \
    'nsrun drop' "nsrun drop --keep-env -- $bare" \
    'nsrun drop --seccomp none' "nsrun drop --keep-env --seccomp none -- $bare" \
    'setpriv, without seccomp' "setpriv --bounding-set -all --inh-caps -all --no-new-privs --clear-groups $bare" \
    'nothing but the command' "$bare"

holder=$(jq .nsrun.pid "$work/held.json")
compare 'A command in the namespaces of a pod' \
    'nsrun exec -P' "nsrun exec -P $work/held.json -- $bare" \
    'nsrun exec -t' "nsrun exec -t $holder -n -i -u -- $bare" \
    ${raw:+'setns, in C' "$raw join $holder $bare"} \
    'nsenter -t' "nsenter -t $holder -n -i -u $bare" \
    'nsenter -a' "nsenter -a -t $holder $bare"
