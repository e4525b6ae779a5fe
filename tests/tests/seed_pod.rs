//! The tutorials' pods, experiment by experiment, each compared with what they print: processes, namespaces, what containers share, groups.
//! The numbers are those of the list of experiments; those that are elsewhere carry theirs too (`cargo test -p tests s42_`).

use tests::pod::Pods;
use tests::{Node, Output};

const ALIASES: &str = include_str!("../manifests/gysl-hostaliases.yaml");

/// The pod with httpbin (a master and a worker) and a sidecar that is user 100, as `foo.json`.
const POD: &str = "cgset up --id foo memory.max=384Mi | nsrun up --net --ipc --uts --mount --pid >foo.json
cgset exec -P foo.json app memory.max=256Mi -- nsrun exec -P foo.json --pid=new --mount=new -- sh -c 'sleep 1001 & exec sleep 1000' & disown
cgset exec -P foo.json sidecar memory.max=128Mi -- nsrun exec -P foo.json --pid=new --mount=new -- nsrun drop --user 100:101 -- sleep 3650d & disown
until [ $(nsrun show --json -P foo.json | jq '[.processes[].command | select(test(\"^sleep\"))] | length') = 3 ]; do :; done
pause=$(jq .nsrun.pid foo.json) app=$(pgrep -f '^sleep 1000') worker=$(pgrep -f '^sleep 1001') sidecar=$(pgrep -f '^sleep 3650d')\n";

/// What begins with that pod, and ends with it.
#[track_caller]
fn in_pod(node: &Node, script: &str) -> Output {
    let run = node.sh(&format!("{{ {POD}}} >/dev/null 2>&1\n{script}"));
    node.sh("nsrun down --id foo | cgset down >/dev/null; rm foo.json")
        .succeeds();
    run
}

#[test]
fn s41_the_two_last_lines_of_hosts_are_the_aliases_and_no_hand_changes_that() {
    let Some(pods) = Pods::new() else { return };
    // The tutorial's manifest and an address more: a line of its own.
    let aliases = ALIASES.replace(
        "  containers:",
        "  - ip: \"10.0.0.21\"\n    hostnames: [\"db.gysl\"]\n  containers:",
    );
    pods.up(&aliases).succeeds();
    let last = "pod exec gysl-hostaliases tail -n 2 /etc/hosts";
    let two = "10.0.0.20\ttest.gysl\tapp.gysl\n10.0.0.21\tdb.gysl";
    pods.sh(last).prints(two);
    pods.sh("pod exec gysl-hostaliases sh -c 'echo 10.0.0.22 hand.gysl >>/etc/hosts'; pod exec gysl-hostaliases tail -n 1 /etc/hosts")
        .prints("10.0.0.22 hand.gysl");
    pods.sh("pod restart gysl-hostaliases").succeeds();
    pods.sh(last).prints(two);
    // Also when it is deleted and made again.
    pods.sh("pod down gysl-hostaliases").succeeds();
    pods.up(&aliases).succeeds();
    pods.sh(last).prints(two);
    pods.sh("pod exec gysl-hostaliases grep -c hand.gysl /etc/hosts")
        .ends(1)
        .prints("0");
    pods.sh("pod down gysl-hostaliases").succeeds();
    pods.is_clean();
}

#[test]
fn s46_lsns_shows_the_kinds_that_were_asked_for() {
    let node = Node::new();
    // Of the tutorial's container: mnt uts ipc pid net; user and cgroup are the host's.
    node.sh("nsrun up --id foo --mount --uts --ipc --pid --net >foo.json; pid=$(jq .nsrun.pid foo.json)
        for kind in mnt uts ipc pid net user cgroup time; do
            [ $(readlink /proc/$pid/ns/$kind) = $(readlink /proc/1/ns/$kind) ] && echo $kind host || echo $kind own
        done
        lsns -n -r -o TYPE,PID | grep \" $pid\\$\" | cut -d' ' -f1 | sort | tr '\\n' ' '; nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds()
        .prints("mnt own\nuts own\nipc own\npid own\nnet own\nuser host\ncgroup host\ntime host\nipc mnt net pid uts");
    node.assert_as_it_was();
}

#[test]
fn s47_one_path_in_every_hierarchy() {
    let node = Node::new();
    let run = node
        .sh("cgset up --id foo memory.max=512M cpu.max=0.5 pids.max=9 >foo.json; cgset exec -P foo.json app -- cat /proc/self/cgroup; cgset down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    let asked = ["memory", "cpu", "pids", ""];
    let found: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let names = parts.next()?;
            let is_asked = names.split(',').any(|name| asked.contains(&name));
            is_asked.then(|| parts.next()).flatten()
        })
        .filter(|path| path.ends_with("/pod-foo/app"))
        .collect();
    // all of v1, or the one of v2
    assert!([1, 3].contains(&found.len()), "{run}");
    node.assert_as_it_was();
}

#[test]
fn s48_what_docker_calls_512_mb() {
    let node = Node::new();
    node.sh("cgset up --id foo memory.max=512M >foo.json; cat /sys/fs/cgroup/memory/pod-foo/memory.limit_in_bytes /sys/fs/cgroup/pod-foo/memory.max 2>/dev/null; cgset down <foo.json >/dev/null; rm foo.json")
        .prints("536870912");
    node.assert_as_it_was();
}

#[test]
fn s49_there_is_a_group_without_any_limit() {
    let node = Node::new();
    node.sh("cgset up --id foo >foo.json; cgset exec -P foo.json app -- grep -c /pod-foo/app /proc/self/cgroup | grep -qv '^0' && echo group; jq -c .cgset.effective foo.json; cgset down <foo.json >/dev/null; rm foo.json")
        .prints("group\n{}");
    node.assert_as_it_was();
}

#[test]
fn s54_lsns_of_the_pod_with_httpbin_and_sleep() {
    let node = Node::new();
    // Each namespace by its inode: how many processes are in it, and who is the first.
    let run = in_pod(
        &node,
        "name() { case $1 in $pause) echo pause;; $app) echo app;; $worker) echo worker;; $sidecar) echo sleep;; *) echo $1;; esac; }
         own() { readlink /proc/1/ns/$1 | tr -dc 0-9; }
         lsns -n -r -o NS,TYPE,NPROCS,PID | while read -r ns type count pid; do
             case $type in mnt|pid|net|ipc|uts) [ $ns = $(own $type) ] || echo $type $count $(name $pid);; esac
         done | sort",
    );
    run.succeeds().prints(
        "ipc 4 pause\nmnt 1 pause\nmnt 1 sleep\nmnt 2 app\nnet 4 pause\npid 1 pause\npid 1 sleep\npid 2 app\nuts 4 pause",
    );
    node.assert_as_it_was();
}

#[test]
fn s55_s62_s65_proc_pid_ns_shows_what_lsns_hides() {
    let node = Node::new();
    let run = in_pod(
        &node,
        "for kind in ipc mnt net pid uts user; do
             for who in $app $sidecar; do [ $(readlink /proc/$who/ns/$kind) = $(readlink /proc/$pause/ns/$kind) ] && echo $kind shared || echo $kind own; done
             [ $(readlink /proc/$app/ns/$kind) = $(readlink /proc/$sidecar/ns/$kind) ] || echo $kind differs
         done | uniq",
    );
    let shown: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        shown,
        [
            "ipc shared",
            "mnt own",
            "mnt differs",
            "net shared",
            "pid own",
            "pid differs",
            "uts shared",
            "user shared"
        ],
        "{run}"
    );
    node.assert_as_it_was();
}

#[test]
fn s51_the_sidecar_is_user_100() {
    let node = Node::new();
    in_pod(
        &node,
        "ps -o uid=,gid=,args= -p $sidecar,$pause | tr -s ' ' | sed 's/^ //' | sort",
    )
    .prints("0 0 pause --id foo\n100 101 sleep 3650d");
    node.assert_as_it_was();
}

#[test]
fn s57_localhost_sysv_and_posix_ipc_shared_memory_and_host_name() {
    let node = Node::new();
    if !node.has("ipcmk") || !node.has("python3") {
        return;
    }
    let app = "nsrun exec -P foo.json --pid=new --mount=new --";
    node.sh("nsrun up --id foo --net --ipc --uts | netwire up --mode none >foo.json")
        .succeeds();
    // A segment that the app makes is seen by the sidecar, and not by the host.
    node.sh(&format!("key=$({app} ipcmk -M 4096 | grep -o '[0-9]*$'); {app} ipcs -m -i $key | grep -c bytes=4096; ipcs -m -i $key 2>&1 | grep -c bytes="))
        .prints("1\n0");
    // A message queue of POSIX, by libc, and one of System V.
    let send = "import ctypes,os; c=ctypes.CDLL(None,use_errno=True); q=c.mq_open(b\"/q\",os.O_CREAT|os.O_RDWR,0o600,None); assert q>=0 and c.mq_send(q,b\"posix\",5,0)==0";
    let receive = "import ctypes,os; c=ctypes.CDLL(None,use_errno=True); q=c.mq_open(b\"/q\",os.O_RDONLY|os.O_NONBLOCK); b=ctypes.create_string_buffer(65536); n=c.mq_receive(q,b,65536,None) if q>=0 else -1; print(b.raw[:n].decode() if n>=0 else \"none\")";
    node.sh(&format!("python3 -c '{receive}'; {app} python3 -c '{send}' && {app} python3 -c '{receive}'; {app} ipcmk -Q >/dev/null; {app} ipcs -q | grep -c 0x; ipcs -q | grep -c 0x"))
        .prints("none\nposix\n1\n0");
    // TCP by 127.0.0.1, and the name that one of them changes.
    node.sh(&format!("exec 20< <(exec nsrun exec -P foo.json --mount -- /mnt/node serve 80 'httpbin'); pid=$!; read -r listening <&20; {app} curl -sS -m 20 http://127.0.0.1/; echo; curl -s http://127.0.0.1/; echo $?; kill $pid
        {app} hostname; {app} hostname bar; {app} hostname; hostname | grep -cx bar"))
        .prints("httpbin\n7\nfoo\nbar\n0");
    node.sh("nsrun down <foo.json | netwire down >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s60_s64_the_groups_of_the_pod_are_a_tree() {
    let node = Node::new();
    let run = in_pod(&node, "cgset tree -P foo.json; echo $pause $app $sidecar");
    let text = run.succeeds();
    let pids = text.stdout.lines().last().unwrap_or_default().to_owned();
    let mut group = "";
    let mut found = Vec::new();
    for line in text.stdout.lines() {
        let line = line.trim_start_matches(|c: char| !c.is_ascii() || c == ' ');
        let first = line.split(' ').next().unwrap_or_default();
        if let Some(name) = ["pause", "app", "sidecar"]
            .iter()
            .find(|name| **name == first)
        {
            group = name;
        } else if line != pids && pids.split(' ').any(|pid| pid == first) {
            found.push((group, first.to_owned()));
        }
    }
    found.sort();
    let mut expected: Vec<(&str, String)> = ["pause", "app", "sidecar"]
        .into_iter()
        .zip(pids.split(' ').map(str::to_owned))
        .collect();
    expected.sort();
    assert_eq!(found, expected, "{text}");
    node.assert_as_it_was();
}

#[test]
fn s63_the_host_name_is_shared_as_it_is_not_by_docker() {
    let node = Node::new();
    in_pod(
        &node,
        "readlink /proc/{$pause,$app,$sidecar}/ns/uts | sort -u | wc -l; nsenter -t $sidecar -u hostname",
    )
    .prints("1\nfoo");
    node.assert_as_it_was();
}

#[test]
fn s66_exec_is_a_process_in_all_of_the_container_s_namespaces() {
    let node = Node::new();
    let run = in_pod(
        &node,
        "for kind in ipc mnt net pid uts; do
             [ $(readlink /proc/$app/ns/$kind) = $(nsrun exec --target $app --all -- readlink /proc/self/ns/$kind) ] && echo $kind
         done",
    );
    run.succeeds().prints("ipc\nmnt\nnet\npid\nuts");
    node.assert_as_it_was();
}

#[test]
fn s67_two_containers_listen_on_one_socket_address() {
    let node = Node::new();
    if !node.has("python3") {
        return;
    }
    let server = |name: &str| {
        format!(
            "exec nsrun exec -P foo.json --pid --mount -- python3 -uc 'import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); s.bind((\"\", 80)); s.listen(100); print(\"up\")
while True:
    c, _ = s.accept(); c.send(b\"{name}\\n\"); c.close()'"
        )
    };
    let run = node
        .sh(&format!(
            "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 >foo.json
             exec 20< <({}); one=$!; read -r up <&20; exec 21< <({}); two=$!; read -r up <&21
             for i in {{1..64}}; do read -r who </dev/tcp/10.244.0.2/80; echo $who; done | sort | uniq -c
             kill -KILL $one; wait $one 2>/dev/null; nsrun down <foo.json | netwire down >/dev/null; rm foo.json",
            server("app"),
            server("sidecar")
        ))
        .succeeds();
    let counts: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    // Who gets which is a hash of the kernel's: 64 to one alone would be one in 2^63.
    assert_eq!(counts.len(), 2, "{run}");
    assert_eq!((counts[0][1], counts[1][1]), ("app", "sidecar"), "{run}");
    node.becomes_as_it_was();
}

#[test]
fn s52_three_groups_and_two_containers_of_one_pod() {
    let node = Node::new();
    // ctr lists three with pause, crictl two with the pod they are of.
    in_pod(
        &node,
        "cgset show --json -P foo.json | jq -c '[.id, [.groups[].group]]'",
    )
    .prints("[\"foo\",[\"/pod-foo\",\"/pod-foo/app\",\"/pod-foo/pause\",\"/pod-foo/sidecar\"]]");
    node.assert_as_it_was();
}

#[test]
fn s56_the_record_names_the_namespaces_as_crictl_inspect_does() {
    let node = Node::new();
    in_pod(
        &node,
        "jq -r '.linux.namespaces[] | \"\\(.type) \\(.path)\"' foo.json | sed \"s/$pause/PAUSE/\" | sort",
    )
    .prints("ipc /proc/PAUSE/ns/ipc\nmount /proc/PAUSE/ns/mnt\nnetwork /proc/PAUSE/ns/net\npid /proc/PAUSE/ns/pid\nuts /proc/PAUSE/ns/uts");
    node.assert_as_it_was();
}

#[test]
fn s61_the_sandbox_reaps_and_ends_when_it_is_told_to() {
    let node = Node::new();
    // Groups as by cgcreate -g cpu,memory:/pod-foo, or the one of v2.
    node.sh("cgset up --id foo cpu.max=1 memory.max=64Mi | nsrun up --net --ipc --uts --pid >foo.json; ls -d /sys/fs/cgroup/{cpu,memory}/pod-foo 2>/dev/null | wc -l; ls -d /sys/fs/cgroup/pod-foo 2>/dev/null | wc -l")
        .succeeds()
        .says(if std::path::Path::new("/sys/fs/cgroup/memory").exists() { "2\n0" } else { "0\n1" });
    // An orphan of a container that ends is reaped by process 1, and TERM is no riddle to it: sleep infinity does neither.
    node.sh("nsrun exec -P foo.json -- bash -c 'sleep 1000 & echo $! >/dev/null'; until orphan=$(pgrep -x sleep); do :; done; kill -KILL $orphan; until [ ! -e /proc/$orphan ]; do :; done
        pause=$(jq .nsrun.pid foo.json); kill -TERM $pause; until [ ! -e /proc/$pause ] || grep -q '^State:.Z' /proc/$pause/status; do :; done; echo gone
        nsrun down <foo.json | cgset down >/dev/null; rm foo.json")
        .succeeds()
        .prints("gone");
    node.becomes_as_it_was();
}
