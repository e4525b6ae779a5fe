//! What the tutorials show of pods from the node they are on, experiment by experiment. The numbers are those of the list of
//! experiments; those that are elsewhere carry theirs too (`cargo test -p tests s5_`).

use tests::pod::Pods;
use tests::{Node, repository};

const CORE: &str = include_str!("../manifests/core-k8s.yaml");

#[test]
fn s1_a_log_is_a_file_and_a_record_a_line() {
    let Some(pods) = Pods::new() else { return };
    let etcd = CORE.replace("any-old-name-will-do", "etcd").replace(
        "['sleep', '10000']",
        "[sh, -c, 'echo ready; exec sleep 99']",
    );
    pods.up(&etcd).succeeds();
    // The tutorial's ls | grep finds one file, and grep reads it.
    pods.sh("cd /run/chroot0/core-k8s/pod; ls | grep etcd | grep log; until grep ready etcd.log; do sleep 0.05; done; pod logs core-k8s")
        .succeeds()
        .prints("etcd.log\nready\nready");
    pods.sh("pod down core-k8s").succeeds();
    // What passes through the pipe is text at each of its stages.
    pods.sh("cgset up --id foo memory.max=64Mi | tee one | nsrun up --net | tee two | netwire up --mode none >three
        for stage in one two three; do
            wc -l <$stage; grep -c '\"id\":\"foo\"' $stage; jq -r '[has(\"cgset\", \"nsrun\", \"netwire\")] | join(\" \")' $stage
        done
        nsrun down <three | netwire down | cgset down >/dev/null; rm one two three")
        .succeeds()
        .prints("1\n1\ntrue false false\n1\n1\ntrue true false\n1\n1\ntrue true true");
    pods.is_clean();
}

#[test]
fn s5_a_pod_of_one_container_is_two_processes() {
    let node = Node::new();
    // The line of the tutorial, 35 and then 37, by a pipe: pause and the command, no shim and no daemon.
    node.sh("before=$(ps -ax | wc -l)
        nsrun up --id core-k8s --net --ipc --uts >foo.json
        nsrun exec -P foo.json --mount -- sleep 10000 & until pgrep -x sleep >/dev/null; do :; done
        echo $(($(ps -ax | wc -l) - before)); nsrun down <foo.json >/dev/null; wait; rm foo.json")
        .succeeds()
        .prints("2");
    node.assert_as_it_was();
}

#[test]
fn s6_the_record_has_phase_and_addresses() {
    let Some(pods) = Pods::new() else { return };
    pods.up(CORE).succeeds();
    pods.sh("pod ls | awk 'NR == 2 { print $3, $5 }'; podspec --get netwire.ips.0.address /run/chroot0/core-k8s/pod/_sandbox.json; podspec --get netwire.ips.0.gateway /run/chroot0/core-k8s/pod/_sandbox.json")
        .prints("Running 10.244.0.2\n10.244.0.2/24\n10.244.0.1");
    pods.sh("pod down core-k8s").succeeds();
    pods.is_clean();
}

#[test]
fn s8_resolv_conf_is_a_mount_of_one_file_of_the_host() {
    let Some(pods) = Pods::new() else { return };
    let dns = "dnsPolicy: None\n  dnsConfig: {nameservers: [192.0.2.53], searches: [a.example, b.example], options: [{name: ndots, value: '2'}]}\n  containers:";
    let text = CORE.replace("containers:", dns);
    pods.up(&text).succeeds();
    // As the tutorial looks for it: in the container's mounts, and with find on the host.
    pods.sh("pod exec core-k8s mount | grep -c ' on /etc/resolv.conf '; pod exec core-k8s cat /etc/resolv.conf")
        .succeeds()
        .prints("1\nnameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:2");
    let file = "file=$(find /run/chroot0/core-k8s/pod -path '*/_etc/*' -name resolv.conf)";
    pods.sh(&format!("{file}; stat -c '%a %i' $file >one; pod exec core-k8s stat -c '%a %i' /etc/resolv.conf | cmp - one && cut -d' ' -f1 one; rm one"))
        .succeeds()
        .prints("644");
    // The record says which.
    pods.sh(&format!("{file}; podspec --get mounts /run/chroot0/core-k8s/pod/any-old-name-will-do.json | grep -c \"\\\"source\\\":\\\"$file\\\"\""))
        .prints("1");
    pods.sh("pod down core-k8s").succeeds();
    // Read-only in a root that is; and what the manifest mounts there is what is there.
    let read_only = text.replace(
        "      command:",
        "      securityContext: {readOnlyRootFilesystem: true}\n      command:",
    );
    pods.up(&read_only).succeeds();
    pods.sh("pod exec core-k8s sh -c 'echo >>/etc/resolv.conf' 2>&1; pod down core-k8s")
        .says("Read-only file system");
    let own = text
        .replace(
            "  containers:",
            "  volumes: [{name: own, hostPath: {path: /tmp/own, type: File}}]\n  containers:",
        )
        .replace(
            "      command:",
            "      volumeMounts: [{name: own, mountPath: /etc/resolv.conf}]\n      command:",
        );
    pods.sh("echo '# mine' >/tmp/own").succeeds();
    pods.up(&own).succeeds();
    pods.sh("pod exec core-k8s cat /etc/resolv.conf; pod down core-k8s; rm /tmp/own")
        .prints("# mine");
    pods.is_clean();
}

/// What a line of chroot0(7) for a verb of the CRI says.
fn verb(page: &str, name: &str) -> String {
    let entry = page.split(&format!(".It {name}\n.Bd -literal\n")).nth(1);
    let text = entry.and_then(|entry| entry.split(".Ed\n").next());
    text.expect(name).replace("\\e\n", "\\\n")
}

#[test]
fn s53_each_verb_of_the_cri_is_a_line_of_shell() {
    let page = std::fs::read_to_string(repository("scripts/chroot0/chroot0.7")).expect("chroot0.7");
    let verb = |name: &str| verb(&page, name);
    let node = Node::new();
    node.sh(&verb("RunPodSandbox")).succeeds();
    let list = node.sh(&verb("ListPodSandbox")).succeeds();
    assert!(list.stdout.contains("foo"), "{list}");
    let status = node.sh(&verb("PodSandboxStatus")).succeeds();
    for part in ["\"pid\":", "10.244.0.2", "536870912"] {
        assert!(status.stdout.contains(part), "{part} in {status}");
    }
    node.sh(&verb("CreateContainer")).succeeds();
    // One shell from the start of the container to its end: it is its job.
    let life = [
        "set -m",
        &verb("StartContainer"),
        "until pgrep -x sleep >/dev/null; do :; done; echo start",
        &verb("ListContainers"),
        "echo status",
        &verb("ContainerStatus"),
        "echo update",
        &verb("UpdateContainerResources"),
        &verb("ContainerStatus"),
        "echo exec",
        &verb("ExecSync"),
        "echo said >>app.log",
        &verb("ReopenContainerLog"),
        "cat app.log.1; wc -c <app.log",
        &verb("StopContainer"),
        "wait; pgrep -x sleep || echo stopped",
    ]
    .join("\n");
    let run = node.sh(&life).succeeds();
    let at = |from: &str, to: &str| -> String {
        let text = run.stdout.split_once(&format!("{from}\n"));
        let text = text.and_then(|(_, rest)| rest.split_once(&format!("{to}\n")));
        text.map(|(text, _)| text.to_owned()).unwrap_or_default()
    };
    assert!(at("start", "status").contains("sleep"), "{run}");
    assert!(at("status", "update").contains("67108864"), "{run}");
    assert!(at("update", "exec").contains("134217728"), "{run}");
    assert!(run.stdout.ends_with("said\n0\nstopped\n"), "{run}");
    assert!(at("exec", "said").starts_with("foo "), "{run}");
    // Somebody serves in the pod, and is reached through a port of the node.
    node.sh(&format!(
        "exec 20< <(exec nsrun exec -P foo.json -- /mnt/node serve 80 served); server=$!; read -r listening <&20
         {{ {}; }} >forward.log 2>&1 & forward=$!
         until curl -sS -m 20 http://127.0.0.1:8080/ 2>/dev/null; do kill -0 $forward || break; done
         kill $forward $server; rm forward.log",
        verb("PortForward").trim_end()
    ))
    .says("served");
    for name in ["RemoveContainer", "StopPodSandbox", "RemovePodSandbox"] {
        node.sh(&verb(name)).succeeds();
    }
    node.sh("rm foo.json app.json app.log app.log.1 stopped.json")
        .succeeds();
    node.becomes_as_it_was();
}
