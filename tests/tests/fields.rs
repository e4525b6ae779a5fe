//! Fields of a manifest as a container sees them.

use tests::Output;
use tests::pod::Pods;

/// A pod `x` of one container `a` with these lines in its spec and in the container.
fn manifest(spec: &str, container: &str) -> String {
    let indent = |text: &str, by: &str| -> String {
        text.lines().map(|line| format!("{by}{line}\n")).collect()
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: x}}\nspec:\n{}  containers:\n  - name: a\n    image: busybox\n    command: [sleep, '99']\n{}",
        indent(spec, "  "),
        indent(container, "    ")
    )
}

/// What a command says in such a container.
#[track_caller]
fn says(pods: &Pods, spec: &str, container: &str, command: &str) -> Output {
    pods.up(&manifest(spec, container)).succeeds();
    let said = pods.sh(&format!("pod exec x sh -c '{command}' 2>&1"));
    pods.sh("pod down x").succeeds();
    said
}

#[test]
fn who_a_container_is_and_what_it_may() {
    let Some(pods) = Pods::new() else { return };
    let says = |security: &str, command: &str| {
        says(&pods, "", &format!("securityContext: {security}"), command)
    };
    says(
        "{runAsUser: 7, runAsGroup: 8}",
        "id -u; id -g; grep CapEff /proc/self/status",
    )
    .prints("7\n8\nCapEff:\t0000000000000000");
    says(
        "{}",
        "grep -E \"CapBnd|NoNewPrivs|^Seccomp:\" /proc/self/status",
    )
    .prints("CapBnd:\t00000000a80425fb\nNoNewPrivs:\t0\nSeccomp:\t2");
    says(
        "{capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}, allowPrivilegeEscalation: false}",
        "grep -E \"CapEff|NoNewPrivs\" /proc/self/status",
    )
    .prints("CapEff:\t0000000000000400\nNoNewPrivs:\t1");
    says(
        "{readOnlyRootFilesystem: true}",
        "touch /x; echo $?; touch /dev/shm/x; echo $?",
    )
    .says("touch: /x: Read-only file system\n1\n0");
    says(
        "{seccompProfile: {type: Unconfined}}",
        "grep ^Seccomp: /proc/self/status",
    )
    .prints("Seccomp:\t0");
    // What others must not have: masked, read-only, the host's devices.
    says(
        "{}",
        "cat /proc/kcore | wc -c; ls /dev | grep -c vda; echo x >/proc/sys/kernel/hostname",
    )
    .says("0\n0\n")
    .says("Read-only file system");
    says("{privileged: true}", "grep -E ^Seccomp: /proc/self/status; [ -e /dev/full ] && echo devices; mount -t tmpfs x /bin && echo mounted")
        .prints("Seccomp:\t0\ndevices\nmounted");
    pods.up(&manifest("", "securityContext: {runAsNonRoot: true}"))
        .ends(1)
        .says("a: container has runAsNonRoot and image will run as root");
    pods.is_clean();
}

#[test]
fn environment_directory_and_arguments() {
    let Some(pods) = Pods::new() else { return };
    pods.sh("echo '{\"config\":{\"Entrypoint\":[\"echo\",\"from\"],\"Cmd\":[\"image\"],\"Env\":[\"A=image\",\"B=image\"],\"WorkingDir\":\"/bin\"}}' >images/busybox.json").succeeds();
    let container = "env:\n- {name: A, value: mine}\n- {name: C, value: \"$(A) $(NO) $$(A) '\\\"\"}\nworkingDir: /dev";
    says(
        &pods,
        "hostname: other",
        container,
        "echo \"$A|$B|$C|$HOSTNAME|$PWD\"",
    )
    .prints("mine|image|mine $(NO) $(A) '\"|other|/dev");
    let text = manifest(
        "restartPolicy: Never",
        "args: [\"$(A)\", 'a  b']\nenv: [{name: A, value: x}]",
    )
    .replace("    command: [sleep, '99']\n", "");
    pods.up(&text).succeeds();
    pods.sh("until pod ls | grep -q Succeeded; do sleep 0.05; done; pod logs x; pod down x")
        .prints("from x a  b");
    pods.is_clean();
}

#[test]
fn s7_volumes_are_there_and_shared_and_gone() {
    let Some(pods) = Pods::new() else { return };
    pods.sh("mkdir -p config/configMaps/web config/secrets/key /tmp/host && echo page >config/configMaps/web/index.html && echo more >config/configMaps/web/more && echo hush >config/secrets/key/password && echo there >/tmp/host/file")
        .succeeds();
    let spec = "volumes:\n- {name: e, emptyDir: {}}\n- {name: m, emptyDir: {medium: Memory, sizeLimit: 64Ki}}\n- {name: h, hostPath: {path: /tmp/host, type: Directory}}\n- {name: f, hostPath: {path: /tmp/host/file, type: File}}\n- {name: c, configMap: {name: web}}\n- {name: i, configMap: {name: web, items: [{key: more, path: sub/name, mode: 0440}]}}\n- {name: s, secret: {secretName: key, defaultMode: 0400}}\n- {name: o, configMap: {name: missing, optional: true}}";
    let mounts = "volumeMounts:\n- {name: e, mountPath: /e}\n- {name: m, mountPath: /m}\n- {name: h, mountPath: /h, readOnly: true}\n- {name: f, mountPath: /etc/f}\n- {name: c, mountPath: /c}\n- {name: i, mountPath: /i}\n- {name: s, mountPath: /s}\n- {name: o, mountPath: /o}";
    let look = "cat /h/file /etc/f /c/index.html /c/more /i/sub/name /s/password; ls -A /o; stat -c %a /s/password /i/sub/name; \
                touch /h/x; touch /c/x; echo here >/e/x; head -c 100000 /dev/zero >/m/x; stat -c %s /m/x";
    let said = says(&pods, spec, mounts, look);
    for part in [
        "there\nthere\npage\nmore\nmore\nhush\n400\n440\n",
        "touch: /h/x: Read-only file system",
        "touch: /c/x: Read-only file system",
        "I/O error\n65536",
    ] {
        assert!(said.stdout.contains(part), "{part:?} in {said}");
    }
    // The host's mount table is as it was all the while, and what is missing or another kind is an error that leaves nothing.
    pods.up(&manifest(spec, mounts)).succeeds();
    pods.sh("grep -c chroot0 /proc/mounts").prints("0");
    pods.sh("pod down x").succeeds();
    for (volume, said) in [
        (
            "hostPath: {path: /tmp/host/file, type: Directory}",
            "hostPath /tmp/host/file: is no directory",
        ),
        ("configMap: {name: missing}", "configMaps/missing"),
        ("secret: {secretName: missing}", "secrets/missing"),
    ] {
        let spec = format!("volumes: [{{name: v, {volume}}}]");
        pods.up(&manifest(&spec, "volumeMounts: [{name: v, mountPath: /v}]"))
            .ends(1)
            .says(said);
    }
    pods.sh("rm -r /tmp/host").succeeds();
    pods.is_clean();
}

#[test]
fn s43_namespaces_of_the_host_are_the_pods_on_request() {
    let Some(pods) = Pods::new() else { return };
    let own = |kind: &str| {
        pods.sh(&format!("readlink /proc/self/ns/{kind}"))
            .succeeds()
            .stdout
    };
    for (field, kinds) in [
        ("hostNetwork", "net uts"),
        ("hostIPC", "ipc"),
        ("hostPID", "pid"),
    ] {
        let command = kinds
            .split(' ')
            .map(|kind| format!("readlink /proc/self/ns/{kind}"))
            .collect::<Vec<_>>()
            .join("; ");
        let expected: String = kinds.split(' ').map(own).collect();
        says(&pods, &format!("{field}: true"), "", &command).prints(expected.trim_end());
        assert_ne!(
            says(&pods, "", "", &command).stdout.trim_end(),
            expected.trim_end()
        );
    }
    pods.is_clean();
}

#[test]
fn names_are_resolved_as_the_policy_says() {
    let Some(pods) = Pods::new() else { return };
    let dns = "dnsPolicy: None\ndnsConfig: {nameservers: [192.0.2.53], searches: [a.example], options: [{name: ndots, value: '2'}, {name: edns0}]}";
    says(&pods, dns, "", "cat /etc/resolv.conf")
        .prints("nameserver 192.0.2.53\nsearch a.example\noptions ndots:2 edns0");
    pods.node()
        .sh_with(
            &format!(
                "{}export POD_CLUSTER_DNS=10.96.0.10; pod up -",
                tests::pod::SCRIPT
            ),
            manifest("", ""),
        )
        .succeeds();
    pods.sh("pod exec x cat /etc/resolv.conf; pod down x").says(
        "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local",
    );
    pods.is_clean();
}

#[test]
fn a_published_port_leads_into_the_pod() {
    let Some(pods) = Pods::new() else { return };
    let text = manifest("", "ports: [{containerPort: 80, hostPort: 8080}]").replace(
        "command: [sleep, '99']",
        "command: [httpd, -f, -p, '80', -h, /bin]",
    );
    pods.up(&text).succeeds();
    pods.sh("timeout 50 sh -c 'until busybox wget -qO /dev/null http://127.0.0.1:8080/busybox; do sleep 0.05; done'").succeeds();
    pods.sh("pod down x").succeeds();
    pods.is_clean();
}
