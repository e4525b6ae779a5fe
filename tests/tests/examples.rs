//! The examples of the man pages run as they stand, one after the other, each page on a machine of its own.
//!
//! pod-record(5) and the verbs of the CRI in chroot0(7) have tests that also look at what comes out.

use std::fs;

use tests::{Node, repository};

/// Programs that the examples are about, and not about us: what is called by such a name ends at once.
const OTHERS: &str = "mkdir -p /tmp/bin && cd /tmp/bin
    for name in app job make python3 skopeo qemu-system-x86_64 kubectl sleep ss uptime curl; do printf '#!/bin/sh\\n' >$name; done
    echo 'exec cat /tmp/services.json' >>kubectl
    echo 'exec /bin/sleep 0.01' >>sleep
    chmod +x *; cd /home/namespace
    cp /mnt/scripts/pod /tmp/bin/pod; cp -r /mnt/scripts/pod.d /tmp/bin";

/// What an example takes for granted.
const POD: &str = "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 >foo.json";
const BOX: &str = "mkbox up -q --copy sh,bash,ls,ps --proc app >app.json";

/// A page, what is made before its first example, and what after it (so that one name can be had twice).
struct Page {
    path: &'static str,
    before: &'static str,
    /// Before the example in which this is.
    between: &'static [(&'static str, &'static str)],
    /// Examples in which one of these is are not run: they need what a node has not.
    not_here: &'static [&'static str],
    /// At least so many are run.
    count: usize,
}

const PAGES: [Page; 9] = [
    Page {
        path: "nsrun/nsrun.1",
        before: BOX,
        between: &[("box/proc", "mkbox up -q --copy bash box >box.json; mkdir -p box/proc"), ("--net=4966", "")],
        not_here: &["--map-auto", "--net=4966"],
        count: 9,
    },
    Page {
        path: "cgset/cgset.1",
        before: "cp /tmp/bin/app /tmp/bin/job .",
        between: &[
            ("job memory.max", "cgset down --id foo >/dev/null; cgset up --id foo memory.max=512Mi >foo.json"),
            ("--parent /user1000", "cgset down --id foo >/dev/null"),
            ("--dry-run", "cgset down --id foo >/dev/null"),
        ],
        not_here: &["--pid 9711", "--oom"],
        count: 4,
    },
    Page {
        path: "mkbox/mkbox.1",
        before: "",
        between: &[
            ("ps ax", "mkbox up -q --copy ps --proc box >box.json"),
            ("hostname:ro", "mkbox down --id box >/dev/null"),
            ("--overlay /srv/image", "mkbox down --id box >/dev/null"),
            ("config.json", "echo '{\"root\":{\"path\":\"rootfs\"}}' >config.json"),
        ],
        not_here: &["skopeo", "/srv/"],
        count: 4,
    },
    Page {
        path: "netwire/netwire.1",
        before: "",
        between: &[("forward", POD), ("10.244.0.8/31", "netwire down <foo.json >/dev/null"), ("ips[0]", "")],
        not_here: &["/run/netns/bar"],
        count: 6,
    },
    Page {
        path: "netwire/netwire-service.1",
        before: "echo '{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"api\",\"namespace\":\"default\"},\"spec\":{\"clusterIP\":\"10.96.0.7\",\"ports\":[{\"port\":80,\"protocol\":\"TCP\"}]}}]}' >/tmp/services.json",
        between: &[("--select", "netwire service up web --vip 10.96.0.80 --port 80 2>/dev/null")],
        not_here: &[],
        count: 3,
    },
    Page {
        path: "podspec/podspec.1",
        before: "mkdir -p images/busybox/bin && cp $(command -v busybox) images/busybox/bin && ln -s busybox images/busybox/bin/sleep
            printf 'apiVersion: v1\\nkind: Pod\\nmetadata: {name: foo}\\nspec: {containers: [{name: app, image: busybox, command: [sleep, \"0\"], resources: {limits: {memory: 64Mi}}}]}\\n' >pod.yaml",
        between: &[("mkbox up --overlay", "mkdir -p /run/chroot0/foo/volumes/.shm")],
        not_here: &[],
        count: 3,
    },
    Page {
        path: "scripts/pod.1",
        before: "rm /tmp/bin/sleep; mkdir -p /var/lib/pod/images; cp /mnt/manifests/core-k8s.yaml pod.yaml",
        between: &[],
        not_here: &["--map-auto"],
        count: 1,
    },
    Page {
        path: "scripts/chroot0/chroot0.7",
        before: "",
        between: &[],
        not_here: &[],
        count: 1,
    },
    Page {
        path: "pause/pause.1",
        before: "",
        between: &[],
        not_here: &[],
        count: 2,
    },
];

/// The blocks of EXAMPLES, or of DESCRIPTION where there is no such section, as they are typed.
fn examples(page: &str) -> Vec<String> {
    let of = |name: &str| {
        let begin = page
            .find(&format!(".Sh {name}"))
            .or(page.find(&format!(".SH {name}")))?;
        let rest = &page[begin + 4..];
        let end = rest.to_uppercase().find("\n.SH ").unwrap_or(rest.len());
        Some(&rest[..end])
    };
    let section = of("EXAMPLES").or(of("DESCRIPTION")).expect("a section");
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in section.lines() {
        if let Some(one) = line.strip_prefix(".Dl ") {
            blocks.push(one.to_owned());
        } else if line.starts_with(".Bd -literal") || line == ".EX" {
            block = Some(String::new());
        } else if line == ".Ed" || line == ".EE" {
            blocks.extend(block.take());
        } else if let Some(block) = &mut block {
            *block += line;
            block.push('\n');
        }
    }
    let typed = |block: &String| {
        block
            .replace("\\-", "-")
            .replace("\\e", "\\")
            .replace("\\\\\n", "\\\n")
    };
    // What begins with a prompt is what was seen once.
    let typed = blocks.iter().map(typed);
    typed.filter(|block| !block.starts_with("$ ")).collect()
}

fn run(page: &Page) {
    let text = fs::read_to_string(repository(page.path)).expect(page.path);
    let node = Node::new();
    if page.path.contains("pod") && !(node.has("busybox") && node.has("flock")) {
        return;
    }
    let manifest = fs::read_to_string(repository("tests/manifests/core-k8s.yaml")).expect("it");
    let before = page
        .before
        .replace("cp /mnt/manifests/core-k8s.yaml pod.yaml", "cat >pod.yaml");
    node.sh_with(&format!("{OTHERS}\n{before}"), manifest)
        .succeeds();
    let (mut ran, mut failed) = (0, String::new());
    for example in examples(&text) {
        if page.not_here.iter().any(|part| example.contains(part)) {
            continue;
        }
        let between = page.between.iter().find(|(part, _)| example.contains(part));
        let between = between.map_or("", |(_, script)| script);
        let jobs = "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT";
        let script =
            format!("export PATH=/tmp/bin:$PATH\n{between}\nset -e -o pipefail; {jobs}\n{example}");
        let run = node.sh(&script);
        if run.status != 0 {
            failed += &format!("{run}\n");
        }
        ran += 1;
    }
    assert!(failed.is_empty(), "{}: {failed}", page.path);
    assert!(ran >= page.count, "{}: {ran} examples", page.path);
}

#[test]
fn those_of_nsrun_run() {
    run(&PAGES[0]);
}

#[test]
fn those_of_cgset_run() {
    run(&PAGES[1]);
}

#[test]
fn those_of_mkbox_run() {
    run(&PAGES[2]);
}

#[test]
fn those_of_netwire_run() {
    run(&PAGES[3]);
}

#[test]
fn those_of_services_run() {
    run(&PAGES[4]);
}

#[test]
fn those_of_podspec_run() {
    run(&PAGES[5]);
}

#[test]
fn those_of_pod_run() {
    run(&PAGES[6]);
}

#[test]
fn the_pipe_of_chroot0_runs() {
    run(&PAGES[7]);
}

#[test]
fn those_of_pause_run() {
    run(&PAGES[8]);
}
