# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_netwire_global_optspecs
    string join \n schema h/help V/version
end

function __fish_netwire_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_netwire_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_netwire_using_subcommand
    set -l cmd (__fish_netwire_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c netwire -n "__fish_netwire_needs_command" -l schema -d 'Print the JSON Schema of the record, pod-record(5)'
complete -c netwire -n "__fish_netwire_needs_command" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_needs_command" -s V -l version -d 'Print version'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "up" -d 'Gives the pod an interface: reads a record, writes it with what was made'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "show" -d 'Shows what there is now'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "policy" -d 'Gives a pod that is up other rules: reads a record, writes it with them'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "reapply" -d 'Puts back what pods have in the tables of nf_tables, after somebody flushed them'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "down" -d 'Removes what up made: reads records, writes them without it'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "gc" -d 'Frees addresses and ports of pods that are no more, as a crash leaves them'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "why" -d 'Says in one line what stands between the pod and an address, a port or a name'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "forward" -d 'Ports of this machine lead to ports of the pod\'s loopback, for as long as it runs'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "check" -d 'Tells what this kernel, user and machine allow; of a pod, what is not as its record says'
complete -c netwire -n "__fish_netwire_needs_command" -f -a "service" -d 'Addresses that lead to pods, as kube-proxy makes them: up, set, down, show, names'
complete -c netwire -n "__fish_netwire_using_subcommand up" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand up" -l netns -d 'The pod\'s network namespace [default: the record\'s]' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l subnet -d 'Network of its address, one of IPv4, of IPv6, or of each' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l device -d 'Interface of the host to move into the pod (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l mode -d 'ptp, a link of its own, or none, lo alone [default: ptp]' -r -f -a "ptp\t''
none\t''"
complete -c netwire -n "__fish_netwire_using_subcommand up" -l bridge -d 'Connect it to this bridge instead, made where it is missing' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l vlan -d 'On the bridge it is in this VLAN; the host is in none' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l gateway -d 'Gateway of its family\'s subnet [default: the first address]' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l ip -d 'Address of the pod, one of each subnet [default: the next free]' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l range -d 'Only addresses from FIRST to LAST are given (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l exclude -d 'No address of this range is given (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l mac -d 'Hardware address of the pod\'s end' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l ifname -d 'Name of the interface in the pod' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l mtu -d 'MTU of both ends [default: that of the default route, or 1500]' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l network -d 'Network whose leases these are, as CNI has it [default: chroot0]' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l lease-dir -d 'Directory of leases of somebody else, in host-local\'s format' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand up" -l nat-except -d 'But not to this range, nor to other pods (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l sysctl -d 'Set this sysctl in the pod (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l publish -d 'Port of the host that leads to the pod\'s: 8080:80, IP:53:53/udp' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l allow -d 'Who may begin to talk to the pod, and no other (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l deny -d 'Who may not; "all": but who is allowed (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l allow-to -d 'To whom the pod may begin to talk, and no other (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l deny-to -d 'To whom it may not; "all": but who is allowed (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l dns -d 'Name server of the pod (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l dns-search -d 'Domain in which a short name is looked for (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l dns-option -d 'Option of resolv.conf(5), such as ndots:5 (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l add-host -d 'Name in the pod\'s /etc/hosts, and its address (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l rate -d 'How much it receives and sends in a second, each way: 10mbit' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l antispoof -d 'Against passing for another: auto, always, never' -r
complete -c netwire -n "__fish_netwire_using_subcommand up" -l isolated -d 'On the bridge it reaches the host, and no other isolated port'
complete -c netwire -n "__fish_netwire_using_subcommand up" -l nat -d 'What the pod sends to the world has the host\'s address'
complete -c netwire -n "__fish_netwire_using_subcommand up" -l sysctl-host -d 'Let the default route\'s interfaces forward what these need'
complete -c netwire -n "__fish_netwire_using_subcommand up" -l accept-forward -d 'Let chains of others that drop what is forwarded accept the pod\'s'
complete -c netwire -n "__fish_netwire_using_subcommand up" -l dry-run -d 'Print what would be done, in order, and do nothing'
complete -c netwire -n "__fish_netwire_using_subcommand up" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand up" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand show" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c netwire -n "__fish_netwire_using_subcommand show" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand show" -l all -d 'Of every pod that the index knows'
complete -c netwire -n "__fish_netwire_using_subcommand show" -l svg -d 'A picture of all pods and what they are connected by, as SVG'
complete -c netwire -n "__fish_netwire_using_subcommand show" -l dot -d 'The same for graphviz'
complete -c netwire -n "__fish_netwire_using_subcommand show" -l json -d 'One JSON object per pod instead of a table'
complete -c netwire -n "__fish_netwire_using_subcommand show" -s v -l verbose -d 'Also hardware addresses, MTU, routes, published ports, all counters'
complete -c netwire -n "__fish_netwire_using_subcommand show" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand policy" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c netwire -n "__fish_netwire_using_subcommand policy" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand policy" -l allow -d 'Who may begin to talk to the pod, and no other (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand policy" -l deny -d 'Who may not; "all": but who is allowed (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand policy" -l allow-to -d 'To whom the pod may begin to talk, and no other (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand policy" -l deny-to -d 'To whom it may not; "all": but who is allowed (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand policy" -l ifname -d 'Of this interface of the pod only' -r
complete -c netwire -n "__fish_netwire_using_subcommand policy" -l dry-run -d 'Print what would be changed, and change nothing'
complete -c netwire -n "__fish_netwire_using_subcommand policy" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand policy" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand reapply" -l dry-run -d 'Say of whom something is missing, and put back nothing'
complete -c netwire -n "__fish_netwire_using_subcommand reapply" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand reapply" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand down" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c netwire -n "__fish_netwire_using_subcommand down" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand down" -l ifname -d 'Remove this interface of the pod, and leave the others' -r
complete -c netwire -n "__fish_netwire_using_subcommand down" -l wait -d 'Wait until the kernel is done with it, not only until it is gone'
complete -c netwire -n "__fish_netwire_using_subcommand down" -l dry-run -d 'Print what would be removed, and remove nothing'
complete -c netwire -n "__fish_netwire_using_subcommand down" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand down" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand gc" -l dry-run -d 'Say what would be freed, and free nothing'
complete -c netwire -n "__fish_netwire_using_subcommand gc" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand gc" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand why" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c netwire -n "__fish_netwire_using_subcommand why" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand why" -l json -d 'One JSON object, with every step'
complete -c netwire -n "__fish_netwire_using_subcommand why" -s v -l verbose -d 'Every step of the way, one line each'
complete -c netwire -n "__fish_netwire_using_subcommand why" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand forward" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c netwire -n "__fish_netwire_using_subcommand forward" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand forward" -l udp-idle -d 'Forget a client of UDP who was silent for so long' -r
complete -c netwire -n "__fish_netwire_using_subcommand forward" -l dry-run -d 'Print where it would listen and what that leads to, and do nothing'
complete -c netwire -n "__fish_netwire_using_subcommand forward" -s q -l quiet -d 'No progress line on a terminal'
complete -c netwire -n "__fish_netwire_using_subcommand forward" -s v -l verbose -d 'Say each connection on stderr when it ends'
complete -c netwire -n "__fish_netwire_using_subcommand forward" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand check" -l id -d 'Name of the pod: up begins a record, the others know it' -r
complete -c netwire -n "__fish_netwire_using_subcommand check" -s P -l pod -d 'Read the record from FILE; `-` is stdin, with a name too' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand check" -l json -d 'One JSON object on one line instead of a table'
complete -c netwire -n "__fish_netwire_using_subcommand check" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand service; and not __fish_seen_subcommand_from up set down show names" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand service; and not __fish_seen_subcommand_from up set down show names" -f -a "up" -d 'Makes a service that leads to pods, or many that are read from stdin'
complete -c netwire -n "__fish_netwire_using_subcommand service; and not __fish_seen_subcommand_from up set down show names" -f -a "set" -d 'Changes where services lead, live'
complete -c netwire -n "__fish_netwire_using_subcommand service; and not __fish_seen_subcommand_from up set down show names" -f -a "down" -d 'Removes services; connections that there are stay'
complete -c netwire -n "__fish_netwire_using_subcommand service; and not __fish_seen_subcommand_from up set down show names" -f -a "show" -d 'Shows what there is now'
complete -c netwire -n "__fish_netwire_using_subcommand service; and not __fish_seen_subcommand_from up set down show names" -f -a "names" -d 'Writes the hosts file that name servers answer from: services, and pods'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l vip -d 'Its address, of IPv4, of IPv6, or one of each' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l external-ip -d 'An address that leads to it as well (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l port -d 'Its port, and the pods\'; /udp, /sctp behind (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l node-port -d 'Port of the machine that leads to one of it (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l to -d 'An endpoint, with ,weight=N if it has one (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l select -d 'Pods with these annotations are endpoints: app=dns,tier=back' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l pods -d 'Records of pods [default: of this machine] (may be repeated)' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l affinity -d 'A client keeps its endpoint within this time: 90, 10m, 3h' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l deny-from -d 'What this range sends to it is dropped (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -l dry-run -d 'Print what would be done, in order, and do nothing'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from up" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -l to -d 'An endpoint, with ,weight=N if it has one (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -l select -d 'Pods with these annotations are endpoints: app=dns,tier=back' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -l pods -d 'Records of pods [default: of this machine] (may be repeated)' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -l add -d 'An endpoint more (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -l remove -d 'An endpoint less, of a port or of all (may be repeated)' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -l dry-run -d 'Print what would be done, in order, and do nothing'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from down" -l all -d 'All services'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from down" -l dry-run -d 'Print what would be done, in order, and do nothing'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from down" -s v -l verbose -d 'Say each step as it is done'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from down" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from show" -l json -d 'One JSON object per service instead of a table: what up reads'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from show" -l iptables -d 'The rules that kube-proxy would have made, as iptables-save(8) prints'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from show" -l ip6tables -d 'The same of IPv6, as ip6tables-save(8)'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from names" -l domain -d 'What all names end with' -r
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from names" -l output -d 'Write FILE, whole or not at all, instead of stdout' -r -F
complete -c netwire -n "__fish_netwire_using_subcommand service; and __fish_seen_subcommand_from names" -s h -l help -d 'Print help'
