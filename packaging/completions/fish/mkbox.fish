# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mkbox_global_optspecs
    string join \n schema h/help V/version
end

function __fish_mkbox_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mkbox_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mkbox_using_subcommand
    set -l cmd (__fish_mkbox_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mkbox -n "__fish_mkbox_needs_command" -l schema -d 'Print the JSON Schema of the record, pod-record(5)'
complete -c mkbox -n "__fish_mkbox_needs_command" -s h -l help -d 'Print help'
complete -c mkbox -n "__fish_mkbox_needs_command" -s V -l version -d 'Print version'
complete -c mkbox -n "__fish_mkbox_needs_command" -f -a "up" -d 'Make a box and fill it: a record in (or BOX), a record out'
complete -c mkbox -n "__fish_mkbox_needs_command" -f -a "exec" -d 'Run CMD with the box as its root, in a mount namespace of its own'
complete -c mkbox -n "__fish_mkbox_needs_command" -f -a "show" -d 'Tell what is in a box, what will be mounted there, and who runs in it'
complete -c mkbox -n "__fish_mkbox_needs_command" -f -a "down" -d 'Remove a box: records in, records out'
complete -c mkbox -n "__fish_mkbox_needs_command" -f -a "check" -d 'Tell what this kernel, user and file system allow, what is missing and how to get it'
complete -c mkbox -n "__fish_mkbox_needs_command" -f -a "verify" -d 'Compare a box with its manifest: what is missing, changed or extra'
complete -c mkbox -n "__fish_mkbox_needs_command" -f -a "pack" -d 'Write a box out: a directory, a tar or a cpio archive, the same bytes each time'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l copy -d 'Copy these programs, with their libraries, into the box' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l from -d 'Begin with a directory, a tar (plain, gzip, zstd) or an OCI layout' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l ref -d 'The image\'s name in the OCI layout' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l with -d 'Take along nss, locale, terminfo, certs, tz, or a file by its path' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l dlopen -d 'Take libraries programs open, if so needed [default: required]' -r -f -a "none\t'Take nothing along'
required\t'What the program cannot do without'
recommended\t'Also what it is less without'
suggested\t'Also what few will miss'"
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l sysroot -d 'Take the files of another machine, which are below DIR' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l bind-programs -d 'Show these programs in it: bound read-only, nothing is copied' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l overlay -d 'A writable layer above these directories, the first on top' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l etc -d 'Write these files below /etc: passwd,group,hosts... [default: all]' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l proc -d 'Mount proc on /proc when the box is entered' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l bind -d 'Mount SRC on DST when the box is entered; `ro` makes it read-only' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l volume -d 'The same with all mounted below SRC, which is made if missing' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l tmpfs -d 'Mount an empty file system in memory on DST' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l mount -d 'Mount type=bind|emptyDir|secret|...,source=SRC,target=DST' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l mask-path -d 'Hide PATH when the box is entered' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l read-only-path -d 'Make PATH read-only when the box is entered' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l merged-usr -d 'Make /bin, /sbin and /lib links to those in /usr'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l keep-privileges -d 'Keep owners, set-ID bits and file capabilities of what is copied'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l ephemeral -d 'Keep that layer in memory, and throw it away when CMD ends'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l sys -d 'Mount sysfs on /sys, read-only'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l cgroup -d 'Mount the groups that CMD is in on /sys/fs/cgroup, read-only'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l dev -d 'Mount a minimal /dev: null zero full random tty pts shm mqueue ...'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l mask -d 'Hide what container runtimes hide in /proc and /sys'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l read-only -d 'Make the box itself read-only when it is entered'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l host-mounts -d 'Make these mounts now, in this mount namespace; down unmounts them'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -l dry-run -d 'Print the plan to stdout and do nothing'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -s q -l quiet -d 'Do not say what the box may lack, and which rights were dropped'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -s v -l verbose -d 'Print each file as it is copied'
complete -c mkbox -n "__fish_mkbox_using_subcommand up" -s h -l help -d 'Print help'
complete -c mkbox -n "__fish_mkbox_using_subcommand exec" -s P -l pod -d 'Enter the box of the record in FILE' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand exec" -s w -l wd -d 'Begin in DIR, a path in the box [default: the record\'s process.cwd, else /]' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand exec" -l dry-run -d 'Print the steps to stdout and do nothing'
complete -c mkbox -n "__fish_mkbox_using_subcommand exec" -s v -l verbose -d 'Print each step as it is done'
complete -c mkbox -n "__fish_mkbox_using_subcommand exec" -s h -l help -d 'Print help'
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -l why -d 'Print what brought FILE, a path in the box or a name, into it' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -l json -d 'Print one JSON object a line instead of a table'
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -l tree -d 'Print every file with its size'
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -l manifest -d 'Print the manifest: what was put into the box, as JSON'
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -l sha256 -d 'With --manifest: add the SHA-256 sums of the files as they are now'
complete -c mkbox -n "__fish_mkbox_using_subcommand show" -s h -l help -d 'Print help'
complete -c mkbox -n "__fish_mkbox_using_subcommand down" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand down" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand down" -l keep -d 'Leave DIR, a path in the box, where it is' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand down" -l dry-run -d 'Print what would be removed and do nothing'
complete -c mkbox -n "__fish_mkbox_using_subcommand down" -s v -l verbose -d 'Print each step as it is done'
complete -c mkbox -n "__fish_mkbox_using_subcommand down" -s h -l help -d 'Print help'
complete -c mkbox -n "__fish_mkbox_using_subcommand check" -l json -d 'Print one JSON object on one line instead of a table'
complete -c mkbox -n "__fish_mkbox_using_subcommand check" -s h -l help -d 'Print help'
complete -c mkbox -n "__fish_mkbox_using_subcommand verify" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand verify" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand verify" -l manifest -d 'What `mkbox show --manifest` printed [default: that beside the box]' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand verify" -l json -d 'Print one JSON object a line'
complete -c mkbox -n "__fish_mkbox_using_subcommand verify" -s h -l help -d 'Print help'
complete -c mkbox -n "__fish_mkbox_using_subcommand pack" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c mkbox -n "__fish_mkbox_using_subcommand pack" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand pack" -s o -l output -d 'What to write: a new or empty directory, an archive; `-` is stdout' -r -F
complete -c mkbox -n "__fish_mkbox_using_subcommand pack" -l format -d 'dir, tar or cpio [default: as OUT ends: .tar, .tar.gz, .cpio, ...]' -r -f -a "dir\t'A directory'
tar\t'A tar archive'
cpio\t'A cpio archive as the kernel takes it for an initramfs (newc)'"
complete -c mkbox -n "__fish_mkbox_using_subcommand pack" -s z -l gzip -d 'Compress the archive'
complete -c mkbox -n "__fish_mkbox_using_subcommand pack" -l dry-run -d 'Print what would be written and do nothing'
complete -c mkbox -n "__fish_mkbox_using_subcommand pack" -s h -l help -d 'Print help'
