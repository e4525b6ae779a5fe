# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_cgset_global_optspecs
    string join \n schema h/help V/version
end

function __fish_cgset_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_cgset_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_cgset_using_subcommand
    set -l cmd (__fish_cgset_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c cgset -n "__fish_cgset_needs_command" -l schema -d 'Print the JSON Schema of the record, pod-record(5)'
complete -c cgset -n "__fish_cgset_needs_command" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_needs_command" -s V -l version -d 'Print version'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "up" -d 'Make the pod\'s groups and set its limits: record in, record out'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "exec" -d 'Enter a group of the pod, made if it is missing, and run a command'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "show" -d 'Show the pod\'s groups: limits, use, and what the OOM killer did'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "tree" -d 'Show the pod\'s groups and their processes as a tree, with use and limits as bars'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "watch" -d 'Show what the pod\'s groups use, again and again'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "wait" -d 'Wait until something has come to pass in the pod\'s groups'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "freeze" -d 'Let every process in the pod\'s groups stand still'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "thaw" -d 'Let them go on'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "kill" -d 'End every process in the pod\'s groups, which stay'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "down" -d 'Remove the pod\'s groups: record in, record out'
complete -c cgset -n "__fish_cgset_needs_command" -f -a "check" -d 'Tell what this kernel, user and machine allow, what is missing and how to get it'
complete -c cgset -n "__fish_cgset_using_subcommand up" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand up" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand up" -l pid -d 'Move this process into the pod\'s group "exec" (may be repeated)' -r
complete -c cgset -n "__fish_cgset_using_subcommand up" -l parent -d 'Make the pod\'s group in GROUP, which is made where it is missing' -r
complete -c cgset -n "__fish_cgset_using_subcommand up" -l kube -d 'Kubernetes\' resources of a container, or a list of them: JSON, or a file' -r
complete -c cgset -n "__fish_cgset_using_subcommand up" -l delegate -d 'Let this user and group make groups in the pod\'s, below its limits' -r
complete -c cgset -n "__fish_cgset_using_subcommand up" -l dry-run -d 'Print what would be made and written, and do nothing'
complete -c cgset -n "__fish_cgset_using_subcommand up" -s v -l verbose -d 'Say each step as it is done, with the system call'
complete -c cgset -n "__fish_cgset_using_subcommand up" -s q -l quiet -d 'Say nothing but errors'
complete -c cgset -n "__fish_cgset_using_subcommand up" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand exec" -s P -l pod -d 'The pod\'s record, in a file or /dev/fd/N; stdin belongs to the command' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand exec" -l id -d 'The pod by its name; without NAME it is made where there is none' -r
complete -c cgset -n "__fish_cgset_using_subcommand exec" -l kube -d 'Kubernetes\' resources of a container, or a list of them: JSON, or a file' -r
complete -c cgset -n "__fish_cgset_using_subcommand exec" -l rm -d 'Stay until CMD has ended, tell of the OOM killer, remove the group'
complete -c cgset -n "__fish_cgset_using_subcommand exec" -l dry-run -d 'Print what would be made and written, and do nothing'
complete -c cgset -n "__fish_cgset_using_subcommand exec" -s v -l verbose -d 'Say each step as it is done, with the system call'
complete -c cgset -n "__fish_cgset_using_subcommand exec" -s q -l quiet -d 'Say nothing but errors'
complete -c cgset -n "__fish_cgset_using_subcommand exec" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand show" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand show" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand show" -l json -d 'Print one JSON object per pod instead of the table'
complete -c cgset -n "__fish_cgset_using_subcommand show" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand tree" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand tree" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand tree" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand watch" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand watch" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand watch" -l interval -d 'From one sample to the next' -r
complete -c cgset -n "__fish_cgset_using_subcommand watch" -l count -d 'End after so many samples' -r
complete -c cgset -n "__fish_cgset_using_subcommand watch" -l json -d 'Print one JSON object per sample, on a terminal too'
complete -c cgset -n "__fish_cgset_using_subcommand watch" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand wait" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand wait" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand wait" -l oom -d 'Until the OOM killer has ended more than N processes in them' -r
complete -c cgset -n "__fish_cgset_using_subcommand wait" -l pressure -d 'Until somebody had to wait for memory, cpu or io (memory:150ms/1s)' -r
complete -c cgset -n "__fish_cgset_using_subcommand wait" -l timeout -d 'Give up after SECONDS, with status 1' -r
complete -c cgset -n "__fish_cgset_using_subcommand wait" -s v -l verbose -d 'Say each step as it is done, with the system call'
complete -c cgset -n "__fish_cgset_using_subcommand wait" -s q -l quiet -d 'Say nothing but errors'
complete -c cgset -n "__fish_cgset_using_subcommand wait" -l dry-run -d 'Print what would be written and to whom, and do nothing'
complete -c cgset -n "__fish_cgset_using_subcommand wait" -l empty -d 'Until no process is in them'
complete -c cgset -n "__fish_cgset_using_subcommand wait" -l frozen -d 'Until every process in them stands still'
complete -c cgset -n "__fish_cgset_using_subcommand wait" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand freeze" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand freeze" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand freeze" -l timeout -d 'Thaw them again if they do not all stand still after SECONDS [default: 5]' -r
complete -c cgset -n "__fish_cgset_using_subcommand freeze" -s v -l verbose -d 'Say each step as it is done, with the system call'
complete -c cgset -n "__fish_cgset_using_subcommand freeze" -s q -l quiet -d 'Say nothing but errors'
complete -c cgset -n "__fish_cgset_using_subcommand freeze" -l dry-run -d 'Print what would be written and to whom, and do nothing'
complete -c cgset -n "__fish_cgset_using_subcommand freeze" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand thaw" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand thaw" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand thaw" -s v -l verbose -d 'Say each step as it is done, with the system call'
complete -c cgset -n "__fish_cgset_using_subcommand thaw" -s q -l quiet -d 'Say nothing but errors'
complete -c cgset -n "__fish_cgset_using_subcommand thaw" -l dry-run -d 'Print what would be written and to whom, and do nothing'
complete -c cgset -n "__fish_cgset_using_subcommand thaw" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand kill" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand kill" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand kill" -s v -l verbose -d 'Say each step as it is done, with the system call'
complete -c cgset -n "__fish_cgset_using_subcommand kill" -s q -l quiet -d 'Say nothing but errors'
complete -c cgset -n "__fish_cgset_using_subcommand kill" -l dry-run -d 'Print what would be written and to whom, and do nothing'
complete -c cgset -n "__fish_cgset_using_subcommand kill" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand down" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c cgset -n "__fish_cgset_using_subcommand down" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c cgset -n "__fish_cgset_using_subcommand down" -l to -d 'Move the processes that are still in the groups to GROUP: / or /other' -r
complete -c cgset -n "__fish_cgset_using_subcommand down" -l kill -d 'End the processes that are still in the groups'
complete -c cgset -n "__fish_cgset_using_subcommand down" -l dry-run -d 'Print what would be removed, and do nothing'
complete -c cgset -n "__fish_cgset_using_subcommand down" -s v -l verbose -d 'Say each step as it is done, with the system call'
complete -c cgset -n "__fish_cgset_using_subcommand down" -s q -l quiet -d 'Say nothing but errors'
complete -c cgset -n "__fish_cgset_using_subcommand down" -s h -l help -d 'Print help'
complete -c cgset -n "__fish_cgset_using_subcommand check" -l json -d 'Print one JSON object on one line instead of the table'
complete -c cgset -n "__fish_cgset_using_subcommand check" -s h -l help -d 'Print help'
