complete -c podspec -l run-dir -d 'Where pods have their directories [default: /run/chroot0]' -r
complete -c podspec -l in -d 'Complete a container\'s record by what that of its pod, in POD, says' -r -F
complete -c podspec -l image -d 'And by its image\'s OCI configuration: command, environment, user' -r -F
complete -c podspec -l resolv-conf -d 'With --in: the name servers of the node, by its resolv.conf' -r -F
complete -c podspec -l cluster-dns -d 'With --in: name server of dnsPolicy ClusterFirst (may be repeated)' -r
complete -c podspec -l cluster-domain -d 'With --cluster-dns: the domain of services' -r
complete -c podspec -l words -d 'Print what a record says to cgset, mkbox, netwire, drop or exec' -r -f -a "cgset\t'Limits of a container, for cgset exec'
mkbox\t'Volumes of a pod, for mkbox up'
netwire\t'Published ports of a pod, for netwire up'
drop\t'Who a container is and its command, for nsrun drop'
exec\t'The same without the command, for another one in the container'"
complete -c podspec -l get -d 'Print the value of KEY in each record: netwire.ips.0.address' -r
complete -c podspec -l schema -d 'Print the JSON Schema of the record, pod-record(5)'
complete -c podspec -s h -l help -d 'Print help'
complete -c podspec -s V -l version -d 'Print version'
