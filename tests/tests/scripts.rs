//! The scripts of the repository, as they stand: chroot0.sh step by step, and the demonstration.

use std::fs;

use tests::{Node, repository};

/// What types into the container of a script of the tutorial (a shell's command line), and what must be in the answer. `%` begins
/// what must not be.
struct Expectation {
    script: &'static str,
    typed: &'static str,
    status: i32,
    answer: &'static [&'static str],
}

const LOOK: &str = r"printf 'ls\nps -ax\nip a\nls /data\n'";

/// As a reader does it: only when the limit is there.
const LS_UNDER_THE_LIMIT: &str = "group=/sys/fs/cgroup/memory/pod-chroot0
    until [ \"$(cat $group/memory.limit_in_bytes)\" = 0 ] && grep -rq . --include=tasks $group; do :; done 2>/dev/null
    echo ls";

/// A script that is not in this table must still end with status 0 and leave the node as it was.
const EXPECTATIONS: [Expectation; 6] = [
    Expectation {
        script: "0-tutorial.sh",
        typed: LOOK,
        status: 0,
        answer: &["bin\ndata\nlib\nlib64\nproc", "abc"],
    },
    Expectation {
        script: "1-mkbox.sh",
        typed: LOOK,
        status: 0,
        answer: &["bin\ndata\nlib\nlib64\nproc", "abc"],
    },
    Expectation {
        script: "2-nsrun.sh",
        typed: LOOK,
        status: 0,
        answer: &["bin\ndata\nlib\nlib64\nproc", "abc", "      1 ", "%eth0"],
    },
    Expectation {
        script: "3-cgset.sh",
        typed: LS_UNDER_THE_LIMIT,
        status: 137,
        answer: &["%lib64"],
    },
    Expectation {
        script: "4-netwire.sh",
        typed: LOOK,
        status: 0,
        answer: &["bin\ndata\nlib\nlib64\nproc", "eth0@", "10.244.0.2/24"],
    },
    Expectation {
        script: "5-pod.sh",
        typed: LOOK,
        status: 0,
        answer: &["bin\ndata\nlib\nlib64\nproc", "eth0@", "10.244.0.2/24"],
    },
];

fn scripts(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(repository(folder)).expect(folder);
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".sh")).collect();
    names.sort();
    names
}

#[test]
fn each_step_of_chroot0_sh_does_what_it_promises_and_cleans_up() {
    let names = scripts("scripts/chroot0");
    assert!(!names.is_empty(), "no scripts");
    let mut wrong = Vec::new();
    for name in names {
        // Copies gigabytes: the machine's whole /lib. It has a test of its own.
        if name == "0-tutorial.sh" || name == "figures.sh" {
            continue;
        }
        wrong.extend(wrong_with(&name));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn wrong_with(name: &str) -> Option<String> {
    let node = Node::new();
    let expected = EXPECTATIONS
        .iter()
        .find(|expectation| expectation.script == name);
    let typed = expected.map_or("echo exit 0", |expectation| expectation.typed);
    let run = node.sh(&format!(
        "touch /tmp/abc; {{ {typed}; }} | /mnt/scripts/chroot0/{name} /home/namespace/box; status=$?; rm /tmp/abc; exit $status"
    ));
    if run.status != expected.map_or(0, |expectation| expectation.status) {
        return Some(format!("the status of {name}: {run}"));
    }
    for part in expected.map_or(&[][..], |expectation| expectation.answer) {
        let fits = part.strip_prefix('%').map_or_else(
            || run.stdout.contains(part),
            |not| !run.stdout.contains(not),
        );
        if !fits {
            return Some(format!("{part:?} in what {name} answers: {run}"));
        }
    }
    let left = node.before().difference(&node.world())?;
    Some(format!("{name} leaves:\n{left}{run}"))
}

/// chroot0.sh itself needs a small /lib: the one of a box.
#[test]
fn the_tutorial_s_own_script_works_where_lib_is_small() {
    let node = Node::new();
    // Only what the script copies is small, so that its 5 GB need no disk here; the machine's own /lib stays untouched.
    let small = "mkbox up --copy bash,ip,ls,mount,umount,kill,ps,curl,pidof,expr,rm,cp,mkdir,chroot,sed,cat,grep,unshare --proc --bind /mnt/scripts:/mnt/scripts --bind /tmp:/tmp small >small.json && mkdir -p small/home small/tmp small/mnt/scripts";
    node.sh(small).succeeds();
    let run = node.sh(&format!("touch /tmp/abc; {LOOK} | mkbox exec -P small.json -- /bin/bash /mnt/scripts/chroot0/0-tutorial.sh /home/box; status=$?; rm /tmp/abc; exit $status")).succeeds();
    for part in EXPECTATIONS[0].answer {
        assert!(run.stdout.contains(part), "{part:?} in {run}");
    }
    node.sh("mkbox down <small.json >/dev/null; rm small.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn s9_the_demonstration_shows_what_a_pod_is_and_leaves_nothing() {
    let node = Node::new();
    if !node.has("busybox") || !node.has("curl") {
        return;
    }
    let run = node.sh("/mnt/scripts/demo.sh").succeeds();
    // A volume with a certificate, an address, a port that another pod reaches, a PID that the host sees.
    for part in [
        "the certificate of web",
        "10.244.0.2/24",
        "<h1>hello from the pod</h1>",
        " busybox httpd -f -p 80 -h /www",
    ] {
        assert!(
            run.stdout
                .lines()
                .any(|line| !line.starts_with('$') && line.contains(part)),
            "{part:?} in {run}"
        );
    }
    node.assert_as_it_was();
}
