//! The record is an OCI configuration: another runtime runs a container in our pod from it.

use tests::Node;
use tests::pod::{BOX, UP};

/// What crun needs beside the pod: the box and its mounts from the other record, namespaces of the container's own, a group
/// of its own below the pod's, and a process. crun opens /dev in any root.
const BUNDLE: &str = r#"mkdir bundle box/dev && jq -c --slurpfile box box.json '
      .root = $box[0].root
    | .mounts = $box[0].mounts + [{destination: "/dev", type: "tmpfs", source: "tmpfs"}]
    | .process = {terminal: false, user: {uid: 0, gid: 0}, cwd: "/", env: ["PATH=/bin"], args: ["/bin/bash", "-c", $ENV.SCRIPT]}
    | .linux.namespaces += [{type: "mount"}, {type: "pid"}]
    | .linux.cgroupsPath += "/crun"' foo.json >bundle/config.json"#;

/// crun makes its group in every hierarchy, and leaves the parents that cgset had no use for.
const REMOVE_WHAT_CRUN_LEAVES: &str = "for group in /sys/fs/cgroup/*/pod-foo; do [ -e $group/exec ] || [ ! -e $group ] || rmdir $group; done";

#[test]
fn crun_runs_a_container_in_our_pod_from_our_record() {
    let node = Node::new();
    if !node.has("crun") {
        return;
    }
    let script = "echo $(</proc/sys/kernel/hostname); ip -br -4 address show eth0; echo $$; echo $(</proc/self/cgroup); ls /data";
    node.sh(&format!(
        "touch /tmp/abc; {UP}; {BOX}; export SCRIPT='{script}'; {BUNDLE}"
    ))
    .succeeds();
    let pod = node.world();
    let run = node.sh("crun --root /tmp/crun --cgroup-manager=cgroupfs run -b bundle c1 </dev/null; status=$?; rm -rf /tmp/crun; exit $status").succeeds();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "foo", "the pod's host name: {run}");
    assert!(
        lines[1].starts_with("eth0@") && lines[1].contains("10.244.0.2/24"),
        "the pod's interface: {run}"
    );
    assert_eq!(lines[2], "1", "a pid namespace of its own: {run}");
    assert!(
        lines[3].contains(":memory:/pod-foo/crun") && lines[3].contains(":pids:/pod-foo/crun"),
        "the pod's groups: {run}"
    );

    assert_eq!(lines[4], "abc", "the box's own mount: {run}");

    // the pod is as it was, and ours to remove
    node.sh(REMOVE_WHAT_CRUN_LEAVES).succeeds();
    node.assert_same(&pod, "crun changed the pod");
    node.sh("nsrun exec -P foo.json -- ip -br -4 address show eth0")
        .says("10.244.0.2/24");
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; mkbox down <box.json >/dev/null; rm -r bundle *.json /tmp/abc").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_pinned_pod_takes_a_container_of_crun_when_its_process_is_gone() {
    let node = Node::new();
    if !node.has("crun") {
        return;
    }
    let up = UP.replace("nsrun up", "nsrun up --pin");
    let script = "echo $(</proc/sys/kernel/hostname); ip -br -4 address show eth0";
    node.sh(&format!(
        "{up}; {BOX}; export SCRIPT='{script}'; {BUNDLE}; kill -KILL $(jq .nsrun.pid foo.json)"
    ))
    .succeeds();
    let run = node.sh("crun --root /tmp/crun --cgroup-manager=cgroupfs run -b bundle c1 </dev/null; status=$?; rm -rf /tmp/crun; exit $status").succeeds();
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "foo", "{run}");
    assert!(lines[1].contains("10.244.0.2/24"), "{run}");
    node.sh(REMOVE_WHAT_CRUN_LEAVES).succeeds();
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; mkbox down <box.json >/dev/null; rm -r bundle *.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_second_runtime_s_container_goes_down_with_the_pod() {
    let node = Node::new();
    if !node.has("crun") {
        return;
    }
    node.sh(&format!(
        "{UP}; {BOX}; export SCRIPT='echo up; read x'; {BUNDLE}"
    ))
    .succeeds();
    node.sh("coproc { exec crun --root /tmp/crun --cgroup-manager=cgroupfs run -b bundle c1 2>/dev/null; }; read -r up <&${COPROC[0]}; echo $up; disown").succeeds().prints("up");
    node.sh("nsrun down --grace 0.2 <foo.json | netwire down >half.json")
        .succeeds();
    // crun's own parent notices and removes its group, if it was not quicker than that; cgset removes what is left
    node.sh("cgset down --kill <half.json >/dev/null; mkbox down <box.json >/dev/null; crun --root /tmp/crun --cgroup-manager=cgroupfs delete -f c1 2>/dev/null; rm -rf bundle *.json /tmp/crun").succeeds();
    node.sh(REMOVE_WHAT_CRUN_LEAVES).succeeds();
    node.assert_as_it_was();
}

#[test]
fn crun_mounts_in_our_box_what_mkbox_does() {
    let node = Node::new();
    if !node.has("crun") {
        return;
    }
    node.sh("mkdir victim config; echo data >victim/file; echo value >config/key
        mkbox up --copy bash,cat,ls,sort --bind-programs stat --proc --sys --dev --mask --read-only --etc=hosts --tmpfs /tmp:size=1m --bind $PWD/victim:/data:ro,nosuid \
            --mount type=emptyDir,target=/cache --mount type=secret,src=config,target=/keys,defaultMode=0400 box >box.json
        mkdir bundle; jq -c '.process = {terminal: false, user: {uid: 0, gid: 0}, cwd: \"/\", env: [\"PATH=/bin\"], args: [\"/bin/bash\", \"-c\", $ENV.SCRIPT]}
            | .linux.namespaces = [{type: \"mount\"}, {type: \"pid\"}, {type: \"ipc\"}, {type: \"network\"}]' box.json >bundle/config.json 2>error; cat error; rm error").succeeds();
    let script = r#"while read -r id parent dev root point flags rest; do [ "${point#/bin}" != "$point" ] || [ "${point#/lib}" != "$point" ] || echo "$point" "${flags%,relatime}"; done </proc/self/mountinfo | sort
        cat /data/file /keys/key; stat -c %a /keys/key; ls /dev /dev/pts; echo x >/cache/x && cat /cache/x; cat /proc/keys; ls /sys/firmware; (echo >/new) 2>/dev/null || echo read-only"#;
    // The record as it stands, with a process and namespaces.
    let config = node.sh("ls -A bundle; jq -r .process.cwd bundle/config.json");
    assert!(config.stdout.ends_with("/\n"), "{config}");
    node.sh(&format!("cat >script <<'END'\n{script}\nEND\nexport SCRIPT=\"$(cat script)\"; jq -c '.process.args[2] = $ENV.SCRIPT' bundle/config.json >bundle/new && mv bundle/new bundle/config.json")).succeeds();
    let theirs = node.sh("crun --root /tmp/crun --cgroup-manager=cgroupfs run -b bundle c1 </dev/null; status=$?; rm -rf /tmp/crun; exit $status").succeeds();
    let ours = node.sh("nsrun exec --net --ipc --pid -- mkbox exec -P box.json -- /bin/bash -c \"$(cat script)\"").succeeds();
    // What is in /dev and what is masked is mounted otherwise; crun also links /dev/core, which the specification does not.
    let points = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| {
            let point = line.split(' ').next().unwrap_or_default();
            point.starts_with('/') && !point.starts_with("/dev/") && !point.starts_with("/proc/")
        });
        lines
            .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        points(&ours.stdout),
        points(&theirs.stdout),
        "{ours}{theirs}"
    );
    let tail = |text: &str| {
        text.lines()
            .skip_while(|line| *line != "data")
            .filter(|line| *line != "core")
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(tail(&ours.stdout), tail(&theirs.stdout), "{ours}{theirs}");
    node.sh("mkbox down <box.json >/dev/null; rm -r bundle victim config script box.json; rmdir /sys/fs/cgroup/*/c1 2>/dev/null; true").succeeds();
    node.becomes_as_it_was();
}
