# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_nsrun_global_optspecs
    string join \n schema h/help V/version
end

function __fish_nsrun_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_nsrun_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_nsrun_using_subcommand
    set -l cmd (__fish_nsrun_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c nsrun -n "__fish_nsrun_needs_command" -l schema -d 'Print the JSON Schema of the record, pod-record(5)'
complete -c nsrun -n "__fish_nsrun_needs_command" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_needs_command" -s V -l version -d 'Print version'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "up" -d 'Make namespaces and a process that holds them: a record in, a record out'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "exec" -d 'Run CMD in new and joined namespaces'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "drop" -d 'Give up what CMD shall not have, and become it: the last link of a chain'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "show" -d 'Tell which processes are in a pod and which of its namespaces they share'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "down" -d 'End every process of a pod: records in, records out'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "wait" -d 'Wait until the process that holds a pod has ended, and print its status'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "kill" -d 'Send a signal to the process that holds a pod, or to all in it'
complete -c nsrun -n "__fish_nsrun_needs_command" -f -a "check" -d 'Tell what this kernel, user and machine allow, what is missing and how to get it'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s m -l mount -d 'Mount namespace: new; =FILE, =PID or =fd:N joins one, =host: ours' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s u -l uts -d 'UTS namespace (host name)' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s i -l ipc -d 'IPC namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s n -l net -d 'Network namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s p -l pid -d 'PID namespace; CMD becomes its process 1 when it is new' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s U -l user -d 'User namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s C -l cgroup -d 'Cgroup namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s T -l time -d 'Time namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s t -l target -d 'Join those of process PID that are named without a value, or --all' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l map-user -d 'Map the user to UID, a number or a name' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l map-group -d 'Map the group to GID, a number or a name' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l map-users -d 'Map N users, IN inside to OUT; or root, self, auto, subids, all' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l map-groups -d 'The same for groups' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l setgroups -d 'Whether setgroups(2) may be called in a new user namespace' -r -f -a "allow\t'It may'
deny\t'Never again'"
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l monotonic -d 'Add SECONDS to the monotonic clock; implies --time' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l boottime -d 'Add SECONDS to the boottime clock; implies --time' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l mount-proc -d 'Mount a fresh proc at DIR [default: /proc]; implies --mount' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s R -l root -d 'Change the root directory to DIR, by chroot(2)' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s w -l wd -d 'Change the working directory to DIR, after everything else' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l hostname -d 'Set the host name; implies --uts' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l propagation -d 'Of all mounts: slave, private, shared, unchanged [default: private]' -r -f -a "slave\t'Mounts of the caller\'s namespace arrive, ours do not leave'
private\t'Neither'
shared\t'Both ways'
unchanged\t'As they are'"
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l log -d 'Append stdout and stderr of the process that stays to FILE' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s a -l all -d 'With --target: join every namespace that differs from ours'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s r -l map-root-user -d 'Map the user and group to root; implies --user, as all maps do'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s c -l map-current-user -d 'Map the user and group to themselves'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l map-auto -d 'Map the user\'s subordinate ids to all that are free inside from 0 on'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l dry-run -d 'Print the steps in order and do nothing'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s v -l verbose -d 'Say each step as it is done, with its system call'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l pin -d 'Pin the namespaces to files, which outlive pause: /run/netns/ID'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -l init -d 'Of exec; CMD of up is run under pause anyway'
complete -c nsrun -n "__fish_nsrun_using_subcommand up" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s P -l pod -d 'Join the namespaces and groups that the record in FILE names' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s m -l mount -d 'Mount namespace: new; =FILE, =PID or =fd:N joins one, =host: ours' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s u -l uts -d 'UTS namespace (host name)' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s i -l ipc -d 'IPC namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s n -l net -d 'Network namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s p -l pid -d 'PID namespace; CMD becomes its process 1 when it is new' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s U -l user -d 'User namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s C -l cgroup -d 'Cgroup namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s T -l time -d 'Time namespace' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s t -l target -d 'Join those of process PID that are named without a value, or --all' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l map-user -d 'Map the user to UID, a number or a name' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l map-group -d 'Map the group to GID, a number or a name' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l map-users -d 'Map N users, IN inside to OUT; or root, self, auto, subids, all' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l map-groups -d 'The same for groups' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l setgroups -d 'Whether setgroups(2) may be called in a new user namespace' -r -f -a "allow\t'It may'
deny\t'Never again'"
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l monotonic -d 'Add SECONDS to the monotonic clock; implies --time' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l boottime -d 'Add SECONDS to the boottime clock; implies --time' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l mount-proc -d 'Mount a fresh proc at DIR [default: /proc]; implies --mount' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s R -l root -d 'Change the root directory to DIR, by chroot(2)' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s w -l wd -d 'Change the working directory to DIR, after everything else' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l hostname -d 'Set the host name; implies --uts' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l propagation -d 'Of all mounts: slave, private, shared, unchanged [default: private]' -r -f -a "slave\t'Mounts of the caller\'s namespace arrive, ours do not leave'
private\t'Neither'
shared\t'Both ways'
unchanged\t'As they are'"
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l kill-child -d 'What CMD gets when nsrun ends first [default: KILL]; implies --fork' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l pty -d 'A terminal of CMD\'s own [default: on one, before drop or --setuid]' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s S -l setuid -d 'Become user UID, a number or a name, after everything else' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s G -l setgid -d 'Become group GID, and leave all others, after everything else' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s a -l all -d 'With --target: join every namespace that differs from ours'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s r -l map-root-user -d 'Map the user and group to root; implies --user, as all maps do'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s c -l map-current-user -d 'Map the user and group to themselves'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l map-auto -d 'Map the user\'s subordinate ids to all that are free inside from 0 on'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l dry-run -d 'Print the steps in order and do nothing'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s v -l verbose -d 'Say each step as it is done, with its system call'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s f -l fork -d 'Run CMD as a child and wait for it; a pid namespace implies it'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s F -l no-fork -d 'Become CMD in any case; only what CMD starts is in a pid namespace'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l join-cgroup -d 'Enter the groups of the target process'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s e -l env -d 'Give CMD the environment of the target process'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l keep-caps -d 'Let CMD keep the capabilities of a new user namespace whoever it is'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l preserve-credentials -d 'Stay who we are in a user namespace that is joined, not its root'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -l init -d 'Run CMD under pause, which hands signals on and reaps as process 1'
complete -c nsrun -n "__fish_nsrun_using_subcommand exec" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -s P -l pod -d 'What is not given here, the record in FILE says; CMD too' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l user -d 'Who CMD is: numbers, or names of /etc/passwd and /etc/group' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l caps -d 'Capabilities left; or docker, podman, all, keep [default: none]' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l seccomp -d 'Profile in docker\'s format, default, or none [default: default]' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l no-new-privs -d 'Whether no exec brings a privilege back [default: yes]' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l apparmor-profile -d 'AppArmor\'s profile of CMD' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l selinux-label -d 'SELinux\'s label of CMD' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l rlimit -d 'A resource limit: nofile=1024:4096 (may be repeated)' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l oom-score-adj -d 'When memory runs out, how early CMD is ended; 1000 is first' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l umask -d 'Permissions that new files do not get [default: 022]' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l env -d 'A variable; without a value the caller\'s (may be repeated)' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l keep-fd -d 'Leave this descriptor open (may be repeated)' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l keep-env -d 'Keep the caller\'s environment'
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l dry-run -d 'Print what CMD would be, and do nothing'
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -l json -d 'As one JSON object on one line, with --dry-run'
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -s v -l verbose -d 'Say each step as it is done, with its system call'
complete -c nsrun -n "__fish_nsrun_using_subcommand drop" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_using_subcommand show" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand show" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand show" -s a -l all -d 'Every pod that the index knows, a line for each'
complete -c nsrun -n "__fish_nsrun_using_subcommand show" -l tree -d 'Processes below those that started them, each with the namespaces of its own'
complete -c nsrun -n "__fish_nsrun_using_subcommand show" -l json -d 'One JSON object on one line for each pod'
complete -c nsrun -n "__fish_nsrun_using_subcommand show" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_using_subcommand down" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand down" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand down" -l grace -d 'How long processes may take from TERM to KILL [default: 10]' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand down" -l dry-run -d 'Print the steps in order and do nothing'
complete -c nsrun -n "__fish_nsrun_using_subcommand down" -s v -l verbose -d 'Say each step as it is done, with its system call'
complete -c nsrun -n "__fish_nsrun_using_subcommand down" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_using_subcommand wait" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand wait" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand wait" -l timeout -d 'Give up after SECONDS, with status 1' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand wait" -s q -l quiet -d 'Say nothing when the status is not known'
complete -c nsrun -n "__fish_nsrun_using_subcommand wait" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_using_subcommand kill" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c nsrun -n "__fish_nsrun_using_subcommand kill" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c nsrun -n "__fish_nsrun_using_subcommand kill" -s a -l all -d 'To every process in the pod'
complete -c nsrun -n "__fish_nsrun_using_subcommand kill" -l dry-run -d 'Print whom it would be sent to, and send nothing'
complete -c nsrun -n "__fish_nsrun_using_subcommand kill" -s h -l help -d 'Print help'
complete -c nsrun -n "__fish_nsrun_using_subcommand check" -l json -d 'One JSON object on one line instead of a table'
complete -c nsrun -n "__fish_nsrun_using_subcommand check" -s h -l help -d 'Print help'
