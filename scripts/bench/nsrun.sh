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

# drop begins a session. Under load that waits for its turn: a new session is a new group of the scheduler (sched(7), autogroup).
compare 'A command that has given up everything' \
    'nsrun drop' "nsrun drop -- $(command -v pause) --version" \
    'nsrun drop --seccomp none' "nsrun drop --seccomp none -- $(command -v pause) --version" \
    'setpriv, without seccomp' "setpriv --bounding-set -all --inh-caps -all --no-new-privs --clear-groups $bare" \
    'bwrap, with new namespaces, without seccomp' "bwrap --unshare-user --cap-drop ALL --new-session --clearenv --bind / / $(command -v pause) --version" \
    'nothing but the command' "$bare"
if in_c prompt -lutil; then
    mkbox up -q --copy bash --proc "$work/shell" >"$work/shell.json"
    printf '\n%s\n  %-44s %10s %10s %8s\n' 'A shell at a terminal: its prompt is there' '' 'median ms' 'min ms' 'x ours'
    chain="nsrun exec -P $work/held.json --pid --mount -- mkbox exec -P $work/shell.json --"
    bash="bash --norc --noprofile -i"
    PS1='ready> ' HISTFILE='' "$work/prompt" "$runs" 'ready> ' \
        'cgset, nsrun, mkbox exec, nsrun drop' "cgset exec -P $work/held.json shell memory.max=64Mi -- $chain nsrun drop --env PS1 -- $bash" \
        'without nsrun drop, on the same terminal' "cgset exec -P $work/held.json shell memory.max=64Mi -- $chain $bash" \
        'unshare, chroot' "unshare -m -p -i -u -n --fork chroot $work/shell /bin/$bash" \
        'nothing but the shell' "$bash"
    mkbox down <"$work/shell.json" >/dev/null
fi

holder=$(jq .nsrun.pid "$work/held.json")
compare 'A command in the namespaces of a pod' \
    'nsrun exec -P' "nsrun exec -P $work/held.json -- $bare" \
    'nsrun exec -t' "nsrun exec -t $holder -n -i -u -- $bare" \
    ${raw:+'setns, in C' "$raw join $holder $bare"} \
    'nsenter -t' "nsenter -t $holder -n -i -u $bare" \
    'nsenter -a' "nsenter -a -t $holder $bare"
