//! `podspec`: its records are first records of the tools, and OCI configurations.

use tests::Node;

const MANIFEST: &str = include_str!("../manifests/foo.yaml");

#[test]
fn every_record_is_a_first_record_for_the_tools() {
    let node = Node::new();
    node.sh_with(
        "podspec >records; head -n 1 records >pod; sed -n 3p records >sidecar",
        MANIFEST,
    )
    .succeeds();
    // The pod's, through the pipe: limits and namespaces are as it says, and its own key passes through.
    node.sh("cgset up -P pod | nsrun up | netwire up --subnet 10.244.0.0/24 >foo.json")
        .succeeds();
    node.sh("cat /sys/fs/cgroup/memory/pod-foo/memory.limit_in_bytes")
        .prints("402653184");
    node.sh("podspec --get podspec.containers foo.json; podspec --get linux.namespaces foo.json | grep -c path").prints("app\nsidecar\n5");
    // A container's, completed by the pod's, is a box; its process is what drop takes.
    node.sh("mkdir lower && podspec --in foo.json --resolv-conf /etc/resolv.conf sidecar >full && mkdir -p /run/chroot0/foo/volumes/.shm && mkbox up -P full --overlay lower --ephemeral --etc=hosts,hostname box >box.json").succeeds();
    node.sh("cat .box.mkbox.d/*/etc/hosts box/etc/hosts 2>/dev/null | grep foo")
        .prints("10.244.0.2\tfoo");
    node.sh("nsrun drop -P sidecar --dry-run --json | podspec --get args")
        .prints("/bin/sleep\n3650d");
    node.sh("mkbox down <box.json >/dev/null && rmdir lower && rm -r /run/chroot0/foo/volumes && nsrun down <foo.json | netwire down | cgset down >/dev/null; rm records pod sidecar full foo.json box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn words_are_taken_by_the_tools_as_they_are() {
    let node = Node::new();
    let manifest = MANIFEST
        .replace("containerPort: 80", "containerPort: 80\n          hostPort: 8080")
        .replace("  containers:", "  volumes:\n    - {name: e, emptyDir: {medium: Memory, sizeLimit: 1Mi}}\n    - {name: h, hostPath: {path: \"/tmp/a, b\", type: DirectoryOrCreate}}\n  containers:");
    node.sh_with(
        "podspec >records; head -n 1 records >pod; sed -n 3p records >sidecar",
        manifest,
    )
    .succeeds();
    node.sh("eval \"set -- $(podspec --words netwire pod)\"; cgset up -P pod | nsrun up | netwire up --subnet 10.244.0.0/24 \"$@\" | (eval \"set -- $(podspec --words mkbox pod)\"; mkbox up -P - \"$@\" volumes) >foo.json")
        .succeeds();
    node.sh("nsrun exec -P foo.json -- grep -c /home/namespace/volumes/ /proc/mounts")
        .prints("3");
    node.sh("eval \"cgset exec -P foo.json sidecar $(podspec --words cgset sidecar) -- true\"; cat /sys/fs/cgroup/memory/pod-foo/sidecar/memory.limit_in_bytes")
        .prints("134217728");
    node.sh("eval \"nsrun exec -P foo.json -- nsrun drop $(podspec --words exec sidecar) -- env\" | sort | head -n 2").prints("HOME=/root\nHOSTNAME=foo");
    node.sh("nsrun down <foo.json | netwire down | mkbox down | cgset down >/dev/null; rmdir '/tmp/a, b'; rm records pod sidecar foo.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn crun_takes_a_container_as_it_stands() {
    let node = Node::new();
    if !node.has("crun") || !node.has("busybox") || !node.has("jq") {
        return;
    }
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b, command: [sh, -c, 'echo $A; id -u'], env: [{name: A, value: from-crun}, {name: PATH, value: /bin}], securityContext: {runAsUser: 7}}]}\n";
    // What podspec cannot know: where the root is. Mounts of the pod's volumes and of the node's cgroups are left out here.
    node.sh_with(
        "podspec | tail -n 1 | jq -c '.root={path:\"/home/namespace/bundle/root\"} | .process.cwd=\"/\" | .linux.namespaces=[{type:\"pid\"},{type:\"mount\"}] | del(.hostname) \
         | .mounts |= map(select(.destination == \"/proc\"))' >config.json
         mkdir -p bundle/root/bin bundle/root/proc bundle/root/dev && cp $(command -v busybox) bundle/root/bin/busybox && ln -s busybox bundle/root/bin/sh && ln -s busybox bundle/root/bin/id && mv config.json bundle/
         crun --cgroup-manager=disabled --root /run/crun run -b bundle x; status=$?; rm -r bundle /run/crun; exit $status",
        manifest,
    )
    .succeeds()
    .prints("from-crun\n7");
    node.assert_as_it_was();
}
