//! Manifests as they are typed, whole lines of errors, and what is nasty.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// How a run ended.
#[derive(Debug)]
struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

/// With twenty seconds of a processor and two gigabytes: who takes more is killed, which is no answer.
fn run(arguments: &[&str], input: &[u8]) -> Answer {
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -t 20 && ulimit -v 2000000 && exec \"$0\" \"$@\"",
        ])
        .arg(env!("CARGO_BIN_EXE_podspec"))
        .args(arguments)
        .env_remove("CHROOT0_RUN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("podspec");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A manifest that is too large is not read to its end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("writing does not panic");
    Answer {
        status: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

fn records(manifest: &str) -> Vec<serde_json::Value> {
    let answer = run(&[], manifest.as_bytes());
    assert_eq!(
        (answer.status, answer.stderr.as_str()),
        (0, ""),
        "{manifest}"
    );
    let lines = answer.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// What is wrong with a manifest, on its one line.
fn refused(manifest: &str) -> String {
    let answer = run(&[], manifest.as_bytes());
    assert_eq!(
        (answer.status, answer.stdout.as_str()),
        (2, ""),
        "{manifest}"
    );
    let line = answer.stderr.strip_suffix('\n').expect("a line");
    assert!(!line.contains('\n') && !line.ends_with('.'), "{line}");
    line.strip_prefix("podspec: ").expect("the name").to_owned()
}

/// A manifest with these lines in its spec and these in its container.
fn pod(spec: &str, container: &str) -> String {
    let indent = |text: &str, by: &str| -> String {
        text.lines().map(|line| format!("{by}{line}\n")).collect()
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: foo}}\nspec:\n{}  containers:\n  - name: app\n    image: busybox\n{}",
        indent(spec, "  "),
        indent(container, "    ")
    )
}

#[test]
fn a_pod_and_each_container_have_a_record() {
    let found = records(&pod(
        "initContainers: [{name: first, image: x}]\nrestartPolicy: Never",
        "command: [sleep, \"$(T)\"]\nenv: [{name: T, value: \"9\"}]\n",
    ));
    let kinds: Vec<&str> = found
        .iter()
        .map(|record| record["podspec"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["pod", "initContainer", "container"]);
    let ids: Vec<&str> = found
        .iter()
        .map(|record| record["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["foo", "foo_first", "foo_app"]);
    assert_eq!(found[0]["podspec"]["restartPolicy"], "Never");
    assert_eq!(
        found[2]["process"]["args"],
        serde_json::json!(["sleep", "9"])
    );
    assert_eq!(
        found[2]["process"]["env"],
        serde_json::json!(["HOSTNAME=foo", "T=9"])
    );
}

#[test]
fn lists_and_streams_are_all_their_pods() {
    let one = pod("", "");
    let two = one.replace("name: foo", "name: bar");
    assert_eq!(records(&format!("---\n{one}---\n{two}")).len(), 4);
    let item = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"NAME"},"spec":{"containers":[{"name":"a","image":"b"}]}}"#;
    let list = format!(
        r#"{{"apiVersion":"v1","kind":"List","metadata":{{"resourceVersion":""}},"items":[{},{}]}}"#,
        item.replace("NAME", "x"),
        item.replace("NAME", "y")
    );
    assert_eq!(records(&list).len(), 4);
    assert_eq!(
        refused(&format!("{one}---\n{one}")),
        "metadata.name: Duplicate value: \"foo\""
    );
    assert_eq!(
        refused(&format!("{one}---\napiVersion: v1\nkind: Service\n")),
        "document 2: kind: Unsupported value: \"Service\": supported values: \"Pod\", \"List\", \"PodList\""
    );
}

#[test]
fn what_kubectl_writes_with_dry_run_is_taken() {
    let found = records(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  creationTimestamp: null\n  labels: {run: x}\n  name: x\nspec:\n  containers:\n  - image: busybox\n    name: x\n    resources: {}\n  dnsPolicy: ClusterFirst\n  restartPolicy: Always\nstatus: {}\n",
    );
    assert_eq!(found[0]["annotations"]["run"], "x");
}

#[test]
fn what_is_not_understood_is_named_by_its_path() {
    for (spec, container, said) in [
        (
            "",
            "livenessProbe: {exec: {}}",
            "spec.containers[0].livenessProbe: not supported (nothing probes containers)",
        ),
        (
            "",
            "livenesProbe: {exec: {}}",
            "unknown field \"spec.containers[0].livenesProbe\"",
        ),
        (
            "",
            "lifecycle: {preStop: {}}",
            "spec.containers[0].lifecycle: not supported (there are no hooks)",
        ),
        ("", "image: 7", "no YAML: "),
        (
            "",
            "env: [{name: A, value: 80}]",
            "spec.containers[0].env[0].value: cannot unmarshal number into type string (quote it: \"80\")",
        ),
        (
            "",
            "env: [{name: A, value: yes}]",
            "spec.containers[0].env[0].value: cannot unmarshal bool into type string (quote it: \"true\")",
        ),
        (
            "",
            "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]",
            "spec.containers[0].env[0].valueFrom: not supported (there is no cluster)",
        ),
        (
            "",
            "command: sleep 5",
            "spec.containers[0].command: cannot unmarshal string into type array",
        ),
        (
            "",
            "command: [sleep, 5]",
            "spec.containers[0].command[1]: cannot unmarshal number into type string (quote it: \"5\")",
        ),
        (
            "",
            "tty: \"true\"",
            "spec.containers[0].tty: cannot unmarshal string into type boolean",
        ),
        (
            "",
            "imagePullPolicy: Always",
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Always\": supported values: \"IfNotPresent\", \"Never\"",
        ),
        (
            "",
            "ports: [{containerPort: 0}]",
            "spec.containers[0].ports[0].containerPort: Invalid value: \"0\": must be between 1 and 65535, inclusive",
        ),
        (
            "",
            "ports: [{containerPort: 80, hostPort: 8}, {containerPort: 81, hostPort: 8, hostIP: 127.0.0.1}]",
            "spec.containers[0].ports[1].hostPort: Duplicate value: \"127.0.0.1:8:81/tcp\"",
        ),
        (
            "",
            "volumeMounts: [{name: v, mountPath: /v}]",
            "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
        ),
        (
            "volumes: [{name: v, emptyDir: {}}]",
            "volumeMounts: [{name: v, mountPath: /v, subPath: x}]",
            "spec.containers[0].volumeMounts[0].subPath: not supported (volumes are hostPath, emptyDir, configMap and secret, mounted whole and without propagation)",
        ),
        (
            "volumes: [{name: v, emptyDir: {}}]",
            "volumeMounts: [{name: v, mountPath: /}]",
            "spec.containers[0].volumeMounts[0].mountPath: Invalid value: \"/\": nothing can be mounted on the root of a container",
        ),
        (
            "volumes: [{name: v, projected: {sources: [{}]}}]",
            "",
            "spec.volumes[0].projected: not supported (volumes are hostPath, emptyDir, configMap and secret, mounted whole and without propagation)",
        ),
        (
            "volumes: [{name: v}]",
            "",
            "spec.volumes[0]: Required value: must specify a volume type",
        ),
        (
            "volumes: [{name: v, emptyDir: {}, secret: {secretName: s}}]",
            "",
            "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
        ),
        (
            "volumes: [{name: v, hostPath: {path: /a/../b}}]",
            "",
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            "volumes: [{name: v, hostPath: {path: /a, type: Dir}}]",
            "",
            "spec.volumes[0].hostPath.type: Unsupported value: \"Dir\": ",
        ),
        (
            "restartPolicy: Sometimes",
            "",
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            "dnsPolicy: None",
            "",
            "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
        ),
        (
            "hostPID: true\nshareProcessNamespace: true",
            "",
            "spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
        ),
        (
            "hostAliases: [{ip: x, hostnames: [a]}]",
            "",
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address",
        ),
        (
            "tolerations: [{key: x}]",
            "",
            "spec.tolerations: not supported (there is no scheduler, only nodeName and nodeSelector)",
        ),
        (
            "initContainers: [{name: app, image: x}]",
            "",
            "spec.containers[0].name: Duplicate value: \"app\"",
        ),
        (
            "initContainers: [{name: first, image: x, restartPolicy: Always}]",
            "",
            "spec.initContainers[0].restartPolicy: not supported (a container restarts as its pod says)",
        ),
        (
            "hostNetwork: true",
            "ports: [{containerPort: 80, hostPort: 81}]",
            "spec.containers[0].ports[0].hostPort: Invalid value: \"81\": must match `containerPort` when `hostNetwork` is true",
        ),
    ] {
        let line = refused(&pod(spec, container));
        assert!(line.starts_with(said), "{line:?} is not {said:?}");
    }
    assert_eq!(refused(""), "no manifest");
    assert_eq!(
        refused("apiVersion: v1\nkind: Pod\n"),
        "metadata: Required value"
    );
    assert_eq!(
        refused("[]"),
        "the manifest: cannot unmarshal array into type object"
    );
    assert_eq!(
        refused("apiVersion: apps/v1\nkind: Deployment\n"),
        "apiVersion: Unsupported value: \"apps/v1\": supported values: \"v1\""
    );
    assert_eq!(
        refused("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: []}\n"),
        "spec.containers: Required value"
    );
    assert!(
        refused("apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\e[31m\"}\nspec: {}\n")
            .starts_with(
                "metadata.name: Invalid value: \"a\\u{1b}[31m\": a lowercase RFC 1123 subdomain"
            )
    );
}

#[test]
fn every_record_has_the_volumes_where_they_will_be() {
    let spec = "volumes:\n- {name: h, hostPath: {path: /a, type: Directory}}\n- {name: e, emptyDir: {sizeLimit: 1Mi}}\n- {name: c, configMap: {name: web, defaultMode: 0400, items: [{key: k, path: a/b, mode: 0444}]}}";
    let container = "volumeMounts:\n- {name: h, mountPath: /h, readOnly: true}\n- {name: c, mountPath: /c/}\n- {name: e, mountPath: /dev/shm}";
    let found = records(&pod(spec, container));
    assert_eq!(
        found[0]["podspec"]["mounts"],
        serde_json::json!([
            "type=tmpfs,target=/.shm,tmpfs-size=64m,tmpfs-mode=1777,nosuid,nodev,noexec",
            "type=hostPath,source=/a,target=/h,hostpath-type=Directory",
            "type=emptyDir,target=/e,medium=Memory,sizeLimit=1048576",
            "type=configMap,source=configMaps/web,target=/c,defaultMode=0400,item=k:a/b:0444"
        ])
    );
    let mounts = found[1]["mounts"].as_array().unwrap();
    let at = |place: &str| {
        let all: Vec<_> = mounts
            .iter()
            .filter(|mount| mount["destination"] == place)
            .collect();
        assert_eq!(all.len(), 1, "{place}");
        (
            all[0]["source"].as_str().unwrap(),
            all[0]["options"].to_string(),
        )
    };
    assert_eq!(
        at("/h"),
        ("/run/chroot0/foo/volumes/h", r#"["rbind","ro"]"#.into())
    );
    assert_eq!(
        at("/c"),
        ("/run/chroot0/foo/volumes/c", r#"["rbind","ro"]"#.into())
    );
    assert_eq!(
        at("/dev/shm"),
        ("/run/chroot0/foo/volumes/e", r#"["rbind","rw"]"#.into())
    );
}

#[test]
fn values_and_words_come_out_for_a_shell() {
    let answer = run(&["--get", "a.b"], br#"{"a":{"b":["x y","z"]}}"#);
    assert_eq!((answer.status, answer.stdout.as_str()), (0, "x y\nz\n"));
    let answer = run(&["--get", "a.c"], br#"{"a":{}}"#);
    assert_eq!(
        (
            answer.status,
            answer.stdout.as_str(),
            answer.stderr.as_str()
        ),
        (1, "", "")
    );
    let record = records(&pod(
        "",
        "ports: [{containerPort: 80, hostPort: 8080, hostIP: \"::1\"}]",
    ))[0]
        .to_string();
    let answer = run(&["--words", "netwire"], record.as_bytes());
    assert_eq!(answer.stdout, "--publish '[::1]:8080:80/tcp'\n");
    let answer = run(&["--get", "a"], b"nonsense");
    assert_eq!(answer.status, 2);
    assert!(
        answer.stderr.starts_with("podspec: stdin: no JSON: "),
        "{answer:?}"
    );
    let answer = run(&["/no/such"], b"");
    assert_eq!(
        (answer.status, answer.stderr.as_str()),
        (1, "podspec: open(/no/such): No such file or directory\n")
    );
    let answer = run(&["--bogus"], b"");
    assert_eq!(answer.status, 2);
}

#[test]
fn what_is_nasty_is_refused_in_time_and_space() {
    let long = "x".repeat(10 << 20);
    let deep = "[".repeat(200_000);
    let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (name, before) in ('b'..='z').zip('a'..) {
        laughs.push_str(&format!(
            "{name}: &{name} [{}]\n",
            vec![format!("*{before}"); 9].join(",")
        ));
    }
    let merges = format!("a: &a {{b: c}}\nd:\n{}", "  <<: *a\n".repeat(100_000));
    let keys: String = (0..200_000).map(|n| format!("k{n}: 1\n")).collect();
    let comments = "# x\n".repeat(900_000);
    let documents = "---\n".repeat(900_000);
    let quadratic = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(100_000),
        "*a,".repeat(100_000)
    );
    for text in [
        &long, &deep, &laughs, &merges, &keys, &comments, &documents, &quadratic,
    ] {
        let answer = run(&[], text.as_bytes());
        assert_eq!(answer.status, 2, "{:.60}", text);
        assert!(answer.stderr.len() < 600, "{}", answer.stderr);
    }
    assert_eq!(
        run(&[], long.as_bytes()).stderr,
        "podspec: stdin: larger than 4 MiB, no manifest\n"
    );
}

#[test]
fn a_manifest_broken_anywhere_never_panics() {
    let whole = pod(
        "volumes: [{name: v, emptyDir: {}}]\nhostAliases: [{ip: 1.2.3.4, hostnames: [a]}]",
        "resources: {limits: {memory: 1Mi}}\nsecurityContext: {capabilities: {drop: [ALL]}}",
    );
    // Each of them cut, and each with a byte that means something to YAML.
    for at in (0..whole.len()).step_by(7) {
        for text in [
            whole[..at].to_owned(),
            format!("{}{{{}", &whole[..at], &whole[at..]),
            format!("{}\t{}", &whole[..at], &whole[at + 1..]),
        ] {
            let answer = run(&[], text.as_bytes());
            assert!(matches!(answer.status, 0 | 2), "{answer:?}");
            assert!(answer.stderr.lines().count() <= 1, "{answer:?}");
        }
    }
}

#[test]
fn every_flag_of_the_help_is_in_the_man_page() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/podspec.1")).unwrap();
    let help = run(&["--help"], b"");
    assert_eq!((help.status, help.stderr.as_str()), (0, ""));
    let mut seen = 0;
    for word in help
        .stdout
        .split(|c: char| c.is_whitespace() || ",.:[]=<>`".contains(c))
    {
        if let Some(name) = word.strip_prefix("--").filter(|name| !name.is_empty()) {
            assert!(page.contains(&format!("Fl Fl {name}")), "{word}");
            seen += 1;
        }
    }
    assert!(seen > 8, "{seen}");
}
