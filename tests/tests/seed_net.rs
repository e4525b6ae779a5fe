//! The tutorials' limits, network, services and the pod by hand, experiment by experiment, each compared with what they print.
//! The numbers are those of the list of experiments; those that are elsewhere carry theirs too (`cargo test -p tests s35_`).

use tests::Node;
use tests::web::{down, up};

/// The three pods behind the tutorial's `ip route`: coredns is 10.244.0.3 and 10.244.0.4.
const PODS: [&str; 3] = ["storage", "coredns-a", "coredns-b"];

/// Made one after the other, pinned: `ip` knows their namespaces by name.
fn three_pods(node: &Node) {
    node.sh("nsrun up --id world --net >world.json && ip link add eth0 type veth peer name w0 netns $(jq .nsrun.pid world.json) && nsrun exec -P world.json -- ip link set w0 up && ip link set eth0 addrgenmode none && ip address add 172.18.0.2/16 dev eth0 && ip link set eth0 up && ip route add default via 172.18.0.1 dev eth0 && while ip link show eth0 | grep -q NO-CARRIER; do :; done")
        .succeeds();
    for pod in PODS {
        node.sh(&format!(
            "nsrun up --id {pod} --net --pin | netwire up --subnet 10.244.0.0/24 >{pod}.json"
        ))
        .succeeds();
    }
}

/// And away with them.
#[track_caller]
fn none(node: &Node) {
    for pod in PODS {
        node.sh(&down(pod)).succeeds();
    }
    node.sh("ip link delete eth0; nsrun down <world.json >/dev/null; rm world.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s25_the_record_has_the_pid_and_nobody_guesses() {
    let node = Node::new();
    node.sh("mkbox up --copy bash,mount,ps,pidof,expr box >box.json; mkdir box/proc")
        .succeeds();
    // Without /proc, then with the one that is mounted inside, as the tutorial types it.
    let run = node.sh_with(
        "nsrun exec --mount --pid --net -- mkbox exec -P box.json -- /bin/bash",
        "ps; mount -t proc none /proc; ps -ax\n",
    );
    let run = run.succeeds();
    assert!(!run.stderr.is_empty(), "no /proc for the first ps: {run}");
    let own: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(own.first(), Some(&"PID"), "{run}");
    assert!(own.contains(&"1") && own.len() == 3, "{run}");
    // The tutorial's guess is of the next number, whoever has it; the record's is who holds the namespaces.
    node.sh("nsrun up --id foo --net --pid >foo.json; pid=$(jq .nsrun.pid foo.json); cat /proc/$pid/comm; cut -d' ' -f22 /proc/$pid/stat | grep -cx \"$(jq -r .nsrun.starttime foo.json)\"; nsenter -t $pid -n readlink /proc/self/ns/net | grep -cxF \"$(readlink /proc/$pid/ns/net)\"; nsrun down <foo.json >/dev/null; mkbox down <box.json >/dev/null; rm *.json")
        .prints("pause\n1\n1");
    node.assert_as_it_was();
}

#[test]
fn s26_four_lines_of_echo_are_one_of_cgset() {
    let node = Node::new();
    if !node.has_file("/sys/fs/cgroup/memory/memory.limit_in_bytes") {
        return;
    }
    // 10 reads back as 0: the kernel counts pages.
    node.sh("coproc { exec bash -c 'read -r x'; }; shell=$COPROC_PID
        cgset up --id chroot0 --pid $shell memory.max=10 memory.swappiness=0 >foo.json 2>said
        cd /sys/fs/cgroup/memory/pod-chroot0; cat memory.limit_in_bytes memory.swappiness; cat $(find . -name tasks) | grep -cx $shell; cd - >/dev/null
        jq -c .cgset.effective foo.json; grep made said
        kill -KILL $shell; wait $shell 2>/dev/null; cgset down <foo.json >/dev/null; rm foo.json said")
        .prints("0\n0\n1\n{\"memory.max\":0,\"memory.swappiness\":0}\ncgset: memory.max=10: the kernel made it 0");
    node.becomes_as_it_was();
}

#[test]
fn s27_the_group_has_the_files_of_the_tutorial() {
    let node = Node::new();
    if !node.has_file("/sys/fs/cgroup/memory/memory.limit_in_bytes") {
        return;
    }
    // Those of its list that every kernel with v1 has had since.
    let run = node.sh("cgset up --id chroot0 memory.max=64Mi >foo.json; ls /sys/fs/cgroup/memory/pod-chroot0; cgset down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    for file in [
        "cgroup.clone_children",
        "cgroup.procs",
        "memory.failcnt",
        "memory.force_empty",
        "memory.limit_in_bytes",
        "memory.max_usage_in_bytes",
        "memory.oom_control",
        "memory.soft_limit_in_bytes",
        "memory.stat",
        "memory.swappiness",
        "memory.usage_in_bytes",
        "memory.use_hierarchy",
        "notify_on_release",
        "tasks",
    ] {
        assert!(run.stdout.lines().any(|line| line == file), "{file}: {run}");
    }
    node.assert_as_it_was();
}

#[test]
fn s28_killed_is_also_oom_in_what_cgset_tells() {
    let node = Node::new();
    // The shell is there before its limit, as in the tutorial; then it starts ls.
    node.sh(
        "mkfifo go; bash -c 'read -r x <go; ls /; echo survived' & shell=$!; exec 4>go
        cgset up --id chroot0 --pid $shell memory.max=10 >foo.json 2>/dev/null
        cgset wait -P foo.json --oom --timeout 0 2>/dev/null; echo oom $?
        echo >&4; wait $shell; echo $?
        cgset wait -P foo.json --oom --timeout 0; echo oom $?
        cgset show --json -P foo.json | jq '[.groups[][\"memory.oom_kill\"] // 0] | add > 0'
        cgset down <foo.json >/dev/null; rm foo.json go",
    )
    .succeeds()
    .says("Killed")
    .says("137\n")
    .says("oom 0\n")
    .says("true\n");
    node.becomes_as_it_was();
}

#[test]
fn s33_ip_route_of_the_node_is_that_of_kind() {
    let node = Node::new();
    three_pods(&node);
    let run = node.sh("ip route").succeeds();
    let links: Vec<String> = PODS
        .iter()
        .map(|pod| {
            let link = node.sh(&format!("jq -r '.netwire.interfaces[0].name' {pod}.json"));
            link.stdout.trim().to_owned()
        })
        .collect();
    let lines: Vec<&str> = run.stdout.lines().map(str::trim_end).collect();
    assert_eq!(
        lines,
        [
            "default via 172.18.0.1 dev eth0",
            &format!("10.244.0.2 dev {} scope host", links[0]),
            &format!("10.244.0.3 dev {} scope host", links[1]),
            &format!("10.244.0.4 dev {} scope host", links[2]),
            "172.18.0.0/16 dev eth0 proto kernel scope link src 172.18.0.2",
        ],
        "{run}"
    );
    none(&node);
}

#[test]
fn s34_ip_a_of_the_node_is_that_of_kind() {
    let node = Node::new();
    three_pods(&node);
    let run = node.sh("ip a").succeeds();
    let mut lines = run
        .stdout
        .lines()
        .skip_while(|line| !line.contains(": veth"));
    for pod in PODS {
        // veth365aab0b@if3: <...> mtu 1500 qdisc noqueue state UP group default
        let link = lines.next().unwrap_or_default();
        let name = link.split([' ', '@']).nth(1).unwrap_or_default();
        assert!(name.len() == 12 && link.contains("@if"), "{link} in {run}");
        assert!(
            link.contains(
                ": <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default"
            ),
            "{link} in {run}"
        );
        let ether = lines.next().unwrap_or_default();
        assert!(
            ether.contains(" brd ff:ff:ff:ff:ff:ff link-netns ") && ether.ends_with(pod),
            "{ether} in {run}"
        );
        assert_eq!(
            lines.next(),
            Some(&*format!("    inet 10.244.0.1/32 scope global {name}")),
            "{run}"
        );
        let valid = lines.next().unwrap_or_default();
        assert_eq!(valid, "       valid_lft forever preferred_lft forever");
        if lines
            .clone()
            .next()
            .is_some_and(|line| line.contains("inet6 fe80"))
        {
            lines.nth(1);
        }
    }
    none(&node);
}

#[test]
fn s39_who_joins_the_infra_container_has_its_network_and_a_volume() {
    let node = Node::new();
    node.sh(&up("foo", "")).succeeds();
    node.sh("mkdir shared; for box in app sidecar; do mkbox up --copy bash,cat,ip --proc --bind $PWD/shared:/data $box >$box.json; done")
        .succeeds();
    let within = |name: &str, line: &str| {
        format!(
            "nsrun exec -P foo.json --pid --mount -- mkbox exec -P {name}.json -- /bin/bash -c '{line}'\n"
        )
    };
    let run = [
        within("app", "echo from the app >/data/x; ip -br -4 a show eth0"),
        within("sidecar", "cat /data/x; ip -br -4 a show eth0"),
    ];
    let run = node.sh(&run.concat()).succeeds();
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    assert_eq!(
        [words[2], words[3], words[4], words[5], words[8]],
        ["10.244.0.2/24", "from", "the", "app", "10.244.0.2/24"],
        "{run}"
    );
    node.sh(&format!("{}; for box in app sidecar; do mkbox down <$box.json >/dev/null; done; rm -r shared *.json", down("foo")))
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s44_s45_one_line_is_docker_run_with_memory_and_cpus() {
    let node = Node::new();
    let run = node
        .sh("cgset up --id foo memory.max=512M cpu.max=0.5 >foo.json
        cgset exec -P foo.json app -- nsrun exec --mount --uts --ipc --pid --net -- sleep 1000 & until pgrep -x sleep >/dev/null; do :; done
        cgset show --json -P foo.json | jq -c '.groups[0] | [.[\"memory.max\"], .[\"cpu.max\"]]'
        ps -o ppid= -p $(pgrep -x sleep) | tr -d ' ' | grep -cx $!
        kill -KILL $(pgrep -x sleep); wait $!; echo $?; cgset down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    // Between the shell and the command: no shim, and what it ends with is what the shell sees.
    assert_eq!(
        run.stdout, "[536870912,\"50000 100000\"]\n1\n137\n",
        "{run}"
    );
    node.assert_as_it_was();
}

#[test]
fn s59_each_kind_is_new_the_pod_s_or_the_host_s() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net --ipc --pid >foo.json")
        .succeeds();
    for kind in ["net", "ipc"] {
        node.sh(&format!(
            "pod=$(readlink /proc/$(jq .nsrun.pid foo.json)/ns/{kind}) host=$(readlink /proc/1/ns/{kind})
             for how in --{kind}=new '' --{kind}=host; do
                 case $(nsrun exec -P foo.json $how -- readlink /proc/thread-self/ns/{kind}) in \"$pod\") echo pod;; \"$host\") echo host;; ?*) echo new;; esac
             done"
        ))
        .succeeds()
        .prints("new\npod\nhost");
    }
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s58_with_a_shared_pid_namespace_four_are_shared() {
    let node = Node::new();
    // pause is process 1 for both containers, as /pause is in the tutorial's ps.
    node.sh("nsrun up --id foo --net --ipc --uts --pid >foo.json; pause=$(jq .nsrun.pid foo.json)
        nsrun exec -P foo.json --mount --mount-proc -- bash -c 'sleep 1000; :' & until pgrep -x sleep >/dev/null; do :; done
        for kind in net ipc uts pid mnt; do [ $(readlink /proc/$(pgrep -x sleep)/ns/$kind) = $(readlink /proc/$pause/ns/$kind) ] && echo $kind; done
        nsrun exec -P foo.json --mount --mount-proc -- ps -eo pid=,comm= | tr -s ' ' | sed 's/^ //' | grep -e '^1 ' -e sleep -e ps | sed 's/^[2-9][0-9]* //; s/^1[0-9][0-9]* //'
        nsrun down --id foo >/dev/null; wait; rm foo.json")
        .prints("net\nipc\nuts\npid\n1 pause\nsleep\nps");
    node.assert_as_it_was();
}
