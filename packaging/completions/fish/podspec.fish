complete -c podspec -l run-dir -d 'Where pods have their directories, the volumes among it [default: that of the tools, /run/chroot0]' -r
complete -c podspec -l in -d 'Complete a container\'s record by what that of its pod says, in the file POD: addresses, aliases, name servers' -r -F
complete -c podspec -l image -d 'And by what its image says, an OCI image configuration or a record: command, environment, user' -r -F
complete -c podspec -l resolv-conf -d 'With --in: the name servers of the node, by its resolv.conf' -r -F
complete -c podspec -l cluster-dns -d 'With --in: the name server of a pod whose dnsPolicy is ClusterFirst (may be repeated)' -r
complete -c podspec -l cluster-domain -d 'With --cluster-dns: the domain of services' -r
complete -c podspec -l words -d 'Print what a record says to TOOL on its command line, quoted for a shell' -r -f -a "cgset\t'Limits of a container, for cgset exec'
mkbox\t'Volumes of a pod, for mkbox up'
netwire\t'Published ports of a pod, for netwire up'
drop\t'Who a container is and its command, for nsrun drop'
exec\t'The same without the command, for another one in the container'"
complete -c podspec -l get -d 'Print the value of KEY in each record: podspec.containers, netwire.ips.0.address; nothing and status 1 where there is none' -r
complete -c podspec -l schema -d 'Print the JSON Schema of the record, pod-record(5)'
complete -c podspec -s h -l help -d 'Print help (see more with \'--help\')'
complete -c podspec -s V -l version -d 'Print version'
