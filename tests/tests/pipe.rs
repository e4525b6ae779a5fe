//! A pod from one pipe: the commands of the README, pasted.

use std::collections::BTreeSet;

use tests::pod::{BOX, DOWN, IN_POD, UP};
use tests::{Node, Output};

/// What a reader of the tutorial types in the container.
const TOUR: &str = "ls; echo ==; ps -ax; echo ==; ip a; echo ==; ls /data; echo ==; mount; echo ==; cat /proc/sys/kernel/hostname";

/// What is between the `==` lines.
fn sections(output: &Output) -> Vec<String> {
    let sections = output.stdout.split("==\n");
    sections.map(|text| text.trim_end().to_owned()).collect()
}

/// The four lines with the tour in between; the records go with the shell's last line.
fn pasted(node: &Node) -> Output {
    let tour = TOUR.replace(
        "cat /proc/sys/kernel/hostname",
        "echo $(</proc/sys/kernel/hostname)",
    );
    node.sh(&format!(
        "touch /tmp/abc
{UP}
{BOX}
{IN_POD} /bin/bash <<'EOF'
{tour}
EOF
{DOWN} >/dev/null
rm foo.json box.json /tmp/abc"
    ))
    .succeeds()
}

#[test]
fn four_lines_make_a_pod_run_a_container_and_remove_both() {
    let node = Node::new();
    let output = pasted(&node);
    node.assert_as_it_was();
    // What the box lacks and which rights its copies lost is said, and nothing else.
    let is_notice = |line: &str| {
        let parts = [
            " bit dropped",
            " (--with nss)",
            " (--with PATH takes it along)",
        ];
        line.starts_with("mkbox: ") && parts.iter().any(|part| line.ends_with(part))
    };
    assert!(output.stderr.lines().all(is_notice), "{output}");
    let [ls, ps, ip, data, mount, hostname] = &sections(&output)[..] else {
        panic!("six sections are in\n{output}");
    };
    // as the tutorial shows them
    assert_eq!(ls, "bin\ndata\nlib\nlib64\nproc");
    let commands: Vec<&str> = ps.lines().collect();
    assert_eq!(commands.len(), 3, "{ps}");
    // how wide the numbers are is the kernel's pid_max
    assert!(commands[0].trim_start().starts_with("PID TTY"), "{ps}");
    assert!(
        commands[1].trim_start().starts_with("1 ") && commands[1].ends_with("/bin/bash"),
        "{ps}"
    );
    assert!(commands[2].ends_with("ps -ax"), "{ps}");
    assert!(
        ip.contains(": eth0@")
            && ip.contains("inet 10.244.0.2/24 brd 10.244.0.255 scope global eth0"),
        "{ip}"
    );
    assert!(data.lines().any(|name| name == "abc"), "{data}");
    // nothing of the machine's table is seen in there, and its own root is no secret
    let points = mount.lines().filter_map(|line| line.split(' ').nth(2));
    let points: BTreeSet<&str> = points.collect();
    assert_eq!(points, BTreeSet::from(["/", "/proc", "/data"]), "{mount}");
    assert_eq!(mount.lines().count(), 3, "{mount}");
    assert_eq!(hostname, "foo");
}

#[test]
fn the_same_again_at_once_is_the_same() {
    let node = Node::new();
    let first = pasted(&node);
    let second = pasted(&node);
    node.assert_as_it_was();
    let stable = |output: &Output| {
        // Addresses of the link layer are random, and mount options tell of nothing.
        let sections = sections(output);
        (
            sections[0].clone(),
            sections[3].clone(),
            sections[5].clone(),
        )
    };
    assert_eq!(stable(&first), stable(&second));
    assert!(
        second.stdout.contains("10.244.0.2/24"),
        "the address is free again: {second}"
    );
}

#[test]
fn the_same_pasted_at_a_terminal() {
    let node = Node::new();
    if !node.has("script") {
        return;
    }
    // What is typed is read by the shell that is in front at that moment: bash here, bash in the box, bash here.
    let typed = format!(
        "{UP}\n{BOX}\n{IN_POD} /bin/bash\nls\nip -br a\nexit\n{DOWN} >/dev/null\nrm foo.json box.json\necho left: $(ls)\nexit\n"
    );
    let output = node
        .sh_with("HISTFILE= script -qec 'bash --norc' /dev/null", typed)
        .succeeds();
    let words: Vec<&str> = output.stdout.split_whitespace().collect();
    let ls = ["bin", "data", "lib", "lib64", "proc"];
    assert!(words.windows(5).any(|five| five == ls), "{output}");
    assert!(output.stdout.contains("10.244.0.2/24"), "{output}");
    assert!(
        output.stdout.lines().any(|line| line.trim() == "left:"),
        "{output}"
    );
    node.assert_as_it_was();
}

#[test]
fn two_pods_at_once_get_two_addresses_and_reach_each_other_without_ip_forward() {
    let node = Node::new();
    node.sh(&format!(
        "( {UP} ) & ( {} ) & wait
         {BOX}",
        UP.replace("foo", "bar")
    ))
    .succeeds();
    let address = |pod: &str| {
        let read = node
            .sh(&format!("jq -r '.netwire.ips[0].address' {pod}.json"))
            .succeeds();
        read.stdout.trim().to_owned()
    };
    let (foo, bar) = (address("foo"), address("bar"));
    let mut both = [foo.as_str(), bar.as_str()];
    both.sort_unstable();
    assert_eq!(both, ["10.244.0.2/24", "10.244.0.3/24"]);

    let bar = bar.trim_end_matches("/24");
    // from a container in foo to a process in bar
    node.sh(&format!(
        "coproc bar {{ exec nsrun exec -P bar.json -- /mnt/node serve 80 'I am bar'; }}
         read -r listening <&${{bar[0]}}
         {IN_POD} curl -s -m 10 http://{bar}/
         kill $bar_PID"
    ))
    .succeeds()
    .prints("I am bar");
    if node.has("ping") {
        node.sh(&format!("nsrun exec -P foo.json -- ping -c 1 -W 10 {bar}"))
            .succeeds();
        node.sh("nsrun exec -P foo.json -- ping -c 1 -W 10 10.244.0.1")
            .succeeds();
    }
    node.sh("cat /proc/sys/net/ipv4/ip_forward").prints("0");

    node.sh(&format!("{DOWN} >/dev/null")).succeeds();
    let read = node
        .sh("nsrun exec -P bar.json -- ip -br address show eth0")
        .succeeds();
    assert!(
        read.stdout.contains(bar),
        "the other pod is untouched: {read}"
    );
    node.sh("nsrun down <bar.json | netwire down | cgset down >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn the_host_side_is_as_kindnet_leaves_it() {
    let node = Node::new();
    node.sh(UP).succeeds();
    let link = node
        .sh("jq -r '.netwire.interfaces[0].name' foo.json")
        .succeeds();
    let link = link.stdout.trim();
    assert!(link.len() == 12 && link.starts_with("veth"), "{link}");
    node.sh("ip route")
        .succeeds()
        .prints(&format!("10.244.0.2 dev {link} scope host"));
    node.sh(&format!(
        "ip -br -4 address show {link} | tr -s ' ' | cut -d' ' -f2-"
    ))
    .succeeds()
    .prints("UP 10.244.0.1/32");
    node.sh(&format!("cat /sys/class/net/{link}/ifalias"))
        .succeeds()
        .prints("foo");
    node.sh(&format!("{BOX}; {DOWN} >/dev/null; rm *.json"))
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn up_again_on_its_own_record_changes_nothing() {
    let node = Node::new();
    node.sh(&format!("{UP}; {BOX}")).succeeds();
    let up = node.world();
    let again = node
        .sh("cgset up -P foo.json memory.max=512Mi pids.max=100 | nsrun up --net --ipc --uts | netwire up --subnet 10.244.0.0/24")
        .succeeds();
    node.sh_with("diff - foo.json", &again.stdout).succeeds();
    node.assert_same(&up, "the second up changed something");
    node.sh(&format!("{DOWN} >/dev/null; rm *.json")).succeeds();
    node.assert_as_it_was();
}

#[test]
fn up_after_down_makes_the_same_pod_again() {
    let node = Node::new();
    node.sh(UP).succeeds();
    node.sh("nsrun down <foo.json | netwire down | cgset down >gone.json")
        .succeeds();
    node.sh("jq -e '(.nsrun, .netwire, .cgset, .linux.cgroupsPath) == null and ([.linux.namespaces[].path] | all(. == null))' gone.json").succeeds();
    node.sh("cgset up <gone.json | nsrun up | netwire up --subnet 10.244.0.0/24 >foo.json")
        .succeeds();
    node.sh("nsrun exec -P foo.json -- ip -br -4 address show eth0 | tr -s ' ' | cut -d' ' -f3")
        .succeeds()
        .prints("10.244.0.2/24");
    node.sh("jq -c .cgset.effective foo.json")
        .succeeds()
        .prints(r#"{"memory.max":536870912,"pids.max":100}"#);
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn the_first_record_may_be_any_stage_s() {
    // Order is the user's: the network before the limits costs a move, and works.
    let node = Node::new();
    node.sh("nsrun up --id foo --net --ipc --uts | netwire up --subnet 10.244.0.0/24 | cgset up memory.max=512Mi >foo.json").succeeds();
    node.sh("grep -E ':memory:|^0::/.' /proc/$(jq .nsrun.pid foo.json)/cgroup | cut -d: -f3")
        .succeeds()
        .prints("/pod-foo/pause");
    node.sh("nsrun down <foo.json | cgset down | netwire down >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}
