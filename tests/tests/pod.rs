//! `pod`: the manifests of the tutorials as they stand, with boxes for their images.

use tests::pod::{Pods, SCRIPT};

const CORE: &str = include_str!("../manifests/core-k8s.yaml");
const GREEDY: &str = include_str!("../manifests/core-k8s-greedy.yaml");
const FOO: &str = include_str!("../manifests/foo.yaml");
const SHARE: &str = include_str!("../manifests/gysl-shareprocessnamespace.yaml");
const NODE_NAME: &str = include_str!("../manifests/gysl-nodename.yaml");
const NODE_SELECTOR: &str = include_str!("../manifests/gysl-nodeselect.yaml");

#[test]
fn s4_core_k8s_is_up_used_and_down() {
    let Some(pods) = Pods::new() else { return };
    pods.up(CORE).succeeds();
    let table = pods.sh("pod ls").succeeds();
    let row: Vec<&str> = table
        .stdout
        .lines()
        .nth(1)
        .unwrap_or("")
        .split_whitespace()
        .collect();
    assert_eq!(row, ["core-k8s", "1/1", "Running", "0", "10.244.0.2"]);
    pods.sh("pod exec core-k8s -- sh -c 'hostname; cat /proc/1/comm; ip -o addr show eth0'")
        .succeeds()
        .says("core-k8s\nsleep\n")
        .says("10.244.0.2/24");
    pods.sh("pod exec core-k8s -- sh -c 'exit 7'").ends(7);
    pods.sh("echo typed | pod exec -i core-k8s cat")
        .succeeds()
        .prints("typed");
    // The labels are annotations of the record, and the port is there for who asks.
    pods.sh("podspec --get annotations.app /run/chroot0/core-k8s/pod/_sandbox.json")
        .prints("my-example-app");
    pods.up(CORE).succeeds().says("is up already");
    pods.up(&CORE.replace("10000", "9"))
        .ends(1)
        .says("is up, and is another than this manifest's");
    // sleep is process 1 and deaf: its grace of 30 seconds is not waited for.
    pods.sh("pod down core-k8s && pod down core-k8s").succeeds();
    pods.is_clean();
}

#[test]
fn s23_core_k8s_greedy_has_its_limit() {
    let Some(pods) = Pods::new() else { return };
    pods.up(GREEDY).succeeds();
    pods.sh(
        "cat /sys/fs/cgroup/memory/pod-core-k8s-greedy/any-old-name-will-do/memory.limit_in_bytes",
    )
    .prints("209715200");
    pods.sh("cat /sys/fs/cgroup/memory/pod-core-k8s-greedy/any-old-name-will-do/memory.soft_limit_in_bytes")
        .prints("104857600");
    pods.sh("pod down core-k8s-greedy").succeeds();
    pods.is_clean();
}

#[test]
fn s50_foo_shares_what_a_pod_shares() {
    let Some(pods) = Pods::new() else { return };
    pods.up(FOO).succeeds();
    // localhost, host name; by inode: net, ipc and uts are one, mnt and pid each its own.
    pods.sh("pod exec -c sidecar foo -- wget -qO- http://127.0.0.1/")
        .prints("httpbin");
    pods.sh("pod exec -c sidecar foo hostname").prints("foo");
    let inodes = |name: &str, kind: &str| {
        pods.sh(&format!(
            "pod exec -c {name} foo readlink /proc/self/ns/{kind}"
        ))
        .succeeds()
        .stdout
    };
    for (kind, is_shared) in [
        ("net", true),
        ("ipc", true),
        ("uts", true),
        ("mnt", false),
        ("pid", false),
    ] {
        assert_eq!(
            inodes("app", kind) == inodes("sidecar", kind),
            is_shared,
            "{kind}"
        );
    }
    pods.sh("pod exec -c app foo sh -c 'echo shared >/dev/shm/x'; pod exec -c sidecar foo cat /dev/shm/x").prints("shared");
    let show = pods.sh("pod show foo").succeeds();
    for part in ["app", "sidecar", "384M", "256M", "128M", "10.244.0.2"] {
        assert!(show.stdout.contains(part), "{part} in {show}");
    }
    pods.sh("pod down foo").succeeds();
    pods.is_clean();
}

#[test]
fn s42_a_shared_process_namespace_begins_with_pause() {
    let Some(pods) = Pods::new() else { return };
    pods.up(SHARE).succeeds();
    let ps = pods
        .sh("pod exec gysl-shareprocessnamespace -c busybox -- ps")
        .succeeds();
    let table: Vec<(&str, &str)> = ps
        .stdout
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.nth(1)?))
        })
        .collect();
    assert_eq!(table.first(), Some(&("1", "pause")), "{ps}");
    for program in ["httpd", "sh", "ps"] {
        assert!(
            table.iter().any(|(_, name)| *name == program),
            "{program} in {ps}"
        );
    }
    // tty and stdin: the shell waits at a terminal of its own.
    pods.sh("pod exec gysl-shareprocessnamespace -c busybox -- sh -c 'readlink /proc/$(pidof -s sh)/fd/0; ls -l /proc/*/fd/0 2>/dev/null'")
        .succeeds()
        .says("/dev/pts/");
    pods.sh("pod down gysl-shareprocessnamespace").succeeds();
    pods.is_clean();
}

#[test]
fn s40_a_pod_of_another_node_is_not_run_here() {
    let Some(pods) = Pods::new() else { return };
    pods.up(NODE_NAME)
        .ends(3)
        .says("gysl-nodename: is for node 172.31.2.12, this is ");
    pods.up(NODE_SELECTOR)
        .ends(3)
        .says("gysl-nodeselect: is for a node with kubernetes.io/hostname=172.31.2.12");
    for (manifest, name) in [
        (NODE_NAME, "gysl-nodename"),
        (NODE_SELECTOR, "gysl-nodeselect"),
    ] {
        pods.node()
            .sh_with(&format!("{SCRIPT}pod up --node 172.31.2.12 -"), manifest)
            .succeeds();
        pods.sh(&format!("pod down {name}")).succeeds();
    }
    pods.is_clean();
}

#[test]
fn several_pods_of_one_manifest_are_up_and_down() {
    let Some(pods) = Pods::new() else { return };
    let both = format!("{CORE}---\n{FOO}");
    pods.up(&both).succeeds();
    pods.sh("pod ls | tail -n +2 | cut -d ' ' -f 1")
        .prints("core-k8s\nfoo");
    // One from the other, by its address.
    pods.sh("pod exec core-k8s -- wget -qO- http://$(podspec --get netwire.ips.0.address /run/chroot0/foo/pod/_sandbox.json | cut -d / -f 1)/").prints("httpbin");
    pods.node()
        .sh_with(&format!("{SCRIPT}pod down -"), &both)
        .succeeds();
    pods.is_clean();
}

#[test]
fn what_is_missing_or_wrong_is_said_and_leaves_nothing() {
    let Some(pods) = Pods::new() else { return };
    pods.up(&CORE.replace("docker.io/busybox:latest", "nothing"))
        .ends(1)
        .says("any-old-name-will-do: image nothing: not in /home/namespace/images, and no path");
    pods.up(&CORE
        .replace("      command: ['sleep', '10000']\n", "")
        .replace("busybox:latest", "curlimages/curl"))
        .ends(1)
        .says("no command (neither the manifest nor the image");
    pods.up(&CORE.replace("command", "comand"))
        .ends(2)
        .says_one_line("podspec")
        .says("unknown field \"spec.containers[0].comand\"");
    pods.sh("pod up /no/such")
        .ends(1)
        .says("open(/no/such): No such file or directory");
    pods.sh("pod").ends(2).says_one_line("pod");
    pods.sh("pod frob").ends(2).says("frob: no such verb");
    pods.sh("pod exec nothing true")
        .ends(1)
        .says("nothing: no such pod");
    pods.sh("pod logs ../etc")
        .ends(2)
        .says("../etc: no name of a pod");
    pods.sh("pod up --bogus x")
        .ends(2)
        .says("--bogus: no such option");
    pods.sh("pod down nothing").succeeds();
    // A port that somebody has: the pod is undone.
    let published = CORE.replace(
        "containerPort: 80",
        "containerPort: 80\n          hostPort: 8080",
    );
    pods.up(&published).succeeds();
    pods.up(&published.replace("core-k8s", "other"))
        .ends(1)
        .says("8080");
    pods.sh("pod ls | tail -n +2 | cut -d ' ' -f 1; pod down core-k8s")
        .prints("core-k8s");
    pods.is_clean();
}

#[test]
fn images_are_directories_archives_and_layouts_by_name_or_path() {
    let Some(pods) = Pods::new() else { return };
    pods.sh("tar -C images/busybox -cf images/packed.tar . && cp images/busybox.json images/packed.json && cp -a images/busybox box").succeeds();
    // An OCI layout, by hand: the layer, its configuration, the manifest, the index.
    pods.sh(
        r#"mkdir -p images/layout/blobs/sha256 && cd images/layout && echo '{"imageLayoutVersion":"1.0.0"}' >oci-layout
        blob() { sum=$(sha256sum <"$1" | cut -d ' ' -f 1); size=$(wc -c <"$1"); mv "$1" blobs/sha256/$sum; }
        cp ../packed.tar layer; blob layer; layer=$sum layer_size=$size
        printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["sleep","77"],"Env":["A=layout"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' $layer >c; blob c; c=$sum c_size=$size
        printf '{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}]}' $c $c_size $layer $layer_size >m; blob m
        printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d}]}' $sum $size >index.json"#,
    )
    .succeeds();
    let manifest = |image: &str, command: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec: {{containers: [{{name: a, image: {image}{command}}}]}}\n"
        )
    };
    let sleep = ", command: [sleep, '99']";
    for (image, command, line) in [
        ("registry.example:5000/team/packed:v1", sleep, "sleep 99"),
        ("/home/namespace/box", sleep, "sleep 99"),
        ("./box", sleep, "sleep 99"),
        ("layout", "", "sleep 77"),
        ("packed@sha256:00", sleep, "sleep 99"),
    ] {
        pods.up(&manifest(image, command)).succeeds();
        pods.sh("pod exec x sh -c 'tr \"\\0\" \" \" </proc/1/cmdline'")
            .prints(line);
        pods.sh("pod down x").succeeds();
    }
    pods.sh("rm -r box").succeeds();
    pods.is_clean();
}

#[test]
fn every_shell_can_be_sh() {
    let Some(pods) = Pods::new() else { return };
    for shell in ["dash", "busybox sh", "bash --posix"] {
        if !pods.node().has(shell.split(' ').next().unwrap_or(shell)) {
            continue;
        }
        let sh = |script: &str| {
            let script = script.replace("pod ", &format!("{shell} /mnt/scripts/pod "));
            pods.node().sh_with(&format!("{SCRIPT}{script}"), FOO)
        };
        sh("pod up --dry-run -; ls -A /tmp | grep ^tmp.")
            .ends(1)
            .says("-- nsrun drop ");
        sh("pod up -").succeeds();
        sh("pod exec -c sidecar foo -- wget -qO- http://127.0.0.1/").prints("httpbin");
        sh("pod restart foo sidecar").succeeds();
        sh("pod ls").succeeds().says("2/2    Running    1 ");
        sh("pod down foo").succeeds();
    }
    pods.is_clean();
}

#[test]
fn the_man_page_has_every_verb_option_and_variable() {
    let page = std::fs::read_to_string(tests::repository("scripts/pod.1")).expect("scripts/pod.1");
    let page = page.replace("\\-", "-");
    let script = std::fs::read_to_string(tests::repository("scripts/pod")).expect("scripts/pod");
    let usage = script
        .split("<<'EOF'")
        .nth(1)
        .and_then(|text| text.split("\nEOF").next())
        .expect("the usage");
    let mut seen = 0;
    let of_verbs =
        |line: &&str| line.trim_start().starts_with("pod ") || line.starts_with("usage: ");
    for line in usage.lines().filter(of_verbs) {
        for word in line
            .split(['[', ']', ' ', '|'])
            .filter(|word| word.starts_with("--"))
        {
            assert!(page.contains(&format!("Fl {}", &word[1..])), "{word}");
            seen += 1;
        }
        let mut words = line.split_whitespace().skip_while(|word| *word != "pod");
        for verb in words.nth(1).expect("a verb").split('|') {
            assert!(
                page.contains(&format!("Cm {verb}")) || page.contains(&format!("| {verb}\n")),
                "{verb}"
            );
        }
    }
    for word in script
        .split(['{', '}', ':', '$'])
        .filter(|word| word.starts_with("POD_"))
    {
        assert!(page.contains(word), "{word}");
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn s38_a_port_is_forwarded_and_a_log_followed_while_the_pod_lives() {
    let Some(pods) = Pods::new() else { return };
    pods.up(FOO).succeeds();
    pods.sh("/mnt/scripts/pod forward foo 18080:80 >forward.log & until grep -q ready forward.log; do sleep 0.05; done; busybox wget -qO- http://127.0.0.1:18080/; kill $!; rm forward.log")
        .prints("httpbin");
    // It comes as it is said, up to the last word, and ends with the pod.
    pods.sh("log=/run/chroot0/foo/pod/sidecar.log; echo one >>$log; /mnt/scripts/pod logs -f foo sidecar >followed & until grep -q one followed; do sleep 0.05; done
        echo two >>$log; pod down foo; wait $!; echo $?; cat followed; rm followed")
        .succeeds()
        .prints("0\none\ntwo");
    pods.is_clean();
}

#[test]
fn what_else_is_in_a_pod_s_directory_stays_and_is_in_nobody_s_way() {
    let Some(pods) = Pods::new() else { return };
    pods.sh("cgset up --id foo >foo.json && mkdir /run/chroot0/foo/mine && cgset down <foo.json && ls /run/chroot0/foo").succeeds().says("mine");
    pods.sh("cgset up --id foo >foo.json && cgset down <foo.json && rmdir /run/chroot0/foo/mine && cgset up --id foo >/dev/null && cgset down --id foo; ls /run; rm foo.json")
        .succeeds();
    pods.sh("rmdir /run/chroot0/foo /run/chroot0 2>/dev/null || :")
        .succeeds();
    pods.is_clean();
}

#[test]
fn an_ordinary_user_has_pods_in_a_user_namespace() {
    let Some(pods) = Pods::new() else { return };
    if !pods.node().has("newuidmap") || !pods.node().has_file("/sys/fs/cgroup/memory") {
        return;
    }
    // Subordinate ids, a run directory and a group: what root gives a user.
    pods.sh("echo nobody:200000:65536 >/tmp/subids; mount --bind /tmp/subids /etc/subuid && mount --bind /tmp/subids /etc/subgid
        install -d -o nobody /tmp/home /tmp/home/run; for at in /sys/fs/cgroup/*/; do mkdir $at/mine; chown -R nobody $at/mine; done")
        .succeeds();
    let user = |script: &str| {
        let setup = "cd /tmp/home; export HOME=/tmp/home XDG_RUNTIME_DIR=/tmp/home/run POD_IMAGES=/home/namespace/images
            exec setpriv --reuid nobody --regid nogroup --clear-groups nsrun exec -r --map-auto --mount --net --pid --ipc --mount-proc -- bash -s";
        let script = format!(
            "ip link set lo up; pod() {{ /mnt/scripts/pod \"$@\"; }}\ncat >core.yaml <<'END'\n{GREEDY}END\n{script}"
        );
        pods.node().sh_with(setup, script)
    };
    let limit = "cat /sys/fs/cgroup/memory/mine/pod-core-k8s-greedy/*/memory.limit_in_bytes | grep -v 9223372036854771712";
    user(&format!(
        "export POD_CGROUP='--parent /mine'; pod up core.yaml; pod ls | awk 'NR == 2 {{ print $1, $2, $3, $5 }}'; {limit}
         pod exec core-k8s-greedy -- sh -c 'hostname; id -u; ip -o -4 addr show eth0 | wc -l'; pod down core-k8s-greedy; ls -A run"
    ))
    .succeeds()
    .prints("core-k8s-greedy 1/1 Running 10.244.0.2\n209715200\ncore-k8s-greedy\n0\n1");
    // Without a group of his own there is no limit, so there is no pod, and nothing is left of it.
    user("pod up core.yaml; echo $?; ls -A run")
        .succeeds()
        .says("cgset: mkdir(/sys/fs/cgroup/")
        .prints("1");
    pods.sh(
        "umount /etc/subuid /etc/subgid; rm -r /tmp/subids /tmp/home; rmdir /sys/fs/cgroup/*/mine",
    )
    .succeeds();
    pods.is_clean();
}
