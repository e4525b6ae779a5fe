//! What becomes of a pod's containers: restarts, order, grace, memory that runs out, holders that are killed, machines that go down.

use tests::pod::{Pods, SCRIPT};

/// A pod called `life` with these lines in its spec and these containers, each on a line of its own.
fn pod(spec: &str, containers: &[(&str, &str, &str)]) -> String {
    let list: String = containers
        .iter()
        .map(|(name, command, more)| {
            let command = serde_json::json!(["sh", "-c", command]);
            format!("  - {{name: {name}, image: busybox, command: {command}, {more}}}\n")
        })
        .collect();
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: life}}\nspec:\n{spec}  containers:\n{list}"
    )
}

const EVENTS: &str = "/run/chroot0/life/pod/_events.log";
const WAIT: &str = "until grep -q \"$1\" /run/chroot0/life/pod/_events.log; do sleep 0.05; done";

/// A script that waits until the supervisor has said this.
fn said(text: &str) -> String {
    format!("set -- '{text}'; timeout 50 sh -c '{WAIT}' sh \"$1\"")
}

#[test]
fn always_restarts_at_once_and_then_with_back_off() {
    let Some(pods) = Pods::new() else { return };
    pods.up(&pod(
        "",
        &[
            ("crash", "echo again; exit 3", ""),
            ("well", "sleep 99", ""),
        ],
    ))
    .succeeds();
    pods.sh(&said("crash: back-off, 200 ms")).succeeds();
    let log = pods
        .sh(&format!("cut -d ' ' -f 3- {EVENTS} | grep crash"))
        .succeeds();
    let begin = [
        "crash: started",
        "crash: ended, status 3 (Error)",
        "crash: started",
        "crash: ended, status 3 (Error)",
        "crash: back-off, 50 ms",
        "crash: started",
        "crash: ended, status 3 (Error)",
        "crash: back-off, 100 ms",
        "crash: started",
        "crash: ended, status 3 (Error)",
        "crash: back-off, 200 ms",
    ];
    assert_eq!(
        log.stdout.lines().take(begin.len()).collect::<Vec<_>>(),
        begin,
        "{log}"
    );
    // The other one is the same process all the while, and what was said before is still there.
    pods.sh("grep -c well: /run/chroot0/life/pod/_events.log; pod logs life crash | head -n 3")
        .prints("1\nagain\nagain\nagain");
    pods.sh("pod down life").succeeds();
    pods.is_clean();
}

#[test]
fn on_failure_and_never_end_as_they_say() {
    let Some(pods) = Pods::new() else { return };
    // Fails twice, by a file that outlives the container.
    let twice = "[ -e /v/b ] && exit 0; [ -e /v/a ] && touch /v/b; touch /v/a; exit 1";
    let volumes = "restartPolicy: OnFailure\nvolumes: [{name: v, emptyDir: {}}]";
    pods.up(&pod(
        volumes,
        &[("twice", twice, "volumeMounts: [{name: v, mountPath: /v}]")],
    ))
    .succeeds();
    pods.sh(&said("life: ended, 0 failed")).succeeds();
    pods.sh("pod ls | tail -n 1 | tr -s ' '")
        .prints("life 0/1 Succeeded 2 10.244.0.2");
    pods.sh("pod down life").succeeds();

    let never = pod(
        "restartPolicy: Never",
        &[("good", "exit 0", ""), ("bad", "exit 4", "")],
    );
    pods.up(&never).succeeds();
    pods.sh(&said("life: ended, 1 failed")).succeeds();
    pods.sh("pod ls | tail -n 1 | tr -s ' '")
        .prints("life 0/2 Failed 0 10.244.0.2");
    pods.sh("podspec --get exitCode /run/chroot0/life/pod/bad.state.json")
        .prints("4");
    pods.sh("pod exec life true")
        .ends(1)
        .says("good is not running");
    pods.sh("pod down life").succeeds();
    pods.is_clean();
}

#[test]
fn init_containers_come_first_one_after_the_other() {
    let Some(pods) = Pods::new() else { return };
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let init = format!(
        "volumes: [{{name: v, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}]\ninitContainers:\n\
         - {{name: one, image: busybox, command: [sh, -c, 'sleep 0.2; echo one >>/v/order'], {mount}}}\n\
         - {{name: two, image: busybox, command: [sh, -c, 'echo two >>/v/order; [ $(wc -l </v/order) = 3 ]'], {mount}}}"
    );
    pods.up(&pod(
        &init,
        &[("app", "cat /v/order; exec sleep 99", mount)],
    ))
    .succeeds();
    // The second one failed once, and was tried again.
    pods.sh(&said("app: started")).succeeds();
    pods.sh("pod exec life cat /v/order")
        .prints("one\ntwo\ntwo");
    pods.sh("pod down life").succeeds();
    // With Never the pod has failed.
    let never = init.replace("[ $(wc -l </v/order) = 3 ]", "exit 9") + "\nrestartPolicy: Never";
    pods.up(&pod(&never, &[("app", "sleep 99", mount)]))
        .succeeds();
    pods.sh(&said("life: ended, 1 failed")).succeeds();
    pods.sh("grep -c app: /run/chroot0/life/pod/_events.log; pod ls | tail -n 1 | tr -s ' '")
        .prints("0\nlife 0/1 Failed 0 10.244.0.2");
    pods.sh("pod down life").succeeds();
    pods.is_clean();
}

#[test]
fn s68_containers_stop_in_reverse_order_each_with_its_grace() {
    let Some(pods) = Pods::new() else { return };
    let volumes = "terminationGracePeriodSeconds: 20\nvolumes: [{name: v, hostPath: {path: /tmp/order, type: DirectoryOrCreate}}]";
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let polite = |name: &str, work: &str| {
        format!(
            "trap 'echo {name} begins >>/v/log; {work}; echo {name} ends >>/v/log; exit 0' TERM; touch /v/{name}; while :; do sleep 0.05; done"
        )
    };
    let (first, second) = (polite("first", ":"), polite("second", "sleep 0.5"));
    let manifest = pod(
        volumes,
        &[("first", &first, mount), ("second", &second, mount)],
    );
    pods.up(&manifest).succeeds();
    pods.sh("until [ -e /tmp/order/first ] && [ -e /tmp/order/second ]; do sleep 0.05; done; pod down life; cat /tmp/order/log")
        .prints("second begins\nsecond ends\nfirst begins\nfirst ends");
    // Who catches TERM and stays is killed when the grace is over, and the next one is stopped then.
    let stubborn = "trap 'echo stays >>/v/log' TERM; touch /v/second; while :; do sleep 0.05; done";
    let manifest = pod(
        &volumes.replace("20", "1"),
        &[("first", &first, mount), ("second", stubborn, mount)],
    );
    pods.sh("rm /tmp/order/*").succeeds();
    pods.up(&manifest).succeeds();
    pods.sh("until [ -e /tmp/order/first ] && [ -e /tmp/order/second ]; do sleep 0.05; done; pod down life; cat /tmp/order/log")
        .prints("stays\nfirst begins\nfirst ends");
    pods.sh("rm -r /tmp/order").succeeds();
    pods.is_clean();
}

#[test]
fn an_oom_killed_container_comes_back_and_the_network_lives_on() {
    let Some(pods) = Pods::new() else { return };
    let hog = "[ ! -e /v/go ] || { rm /v/go; tail /dev/zero; }; touch /v/up; while [ ! -e /v/go ]; do sleep 0.05; done; rm /v/go; tail /dev/zero";
    let volumes = "volumes: [{name: v, emptyDir: {}}]";
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let manifest = pod(
        volumes,
        &[
            (
                "hog",
                hog,
                &format!("resources: {{limits: {{memory: 16Mi}}}}, {mount}"),
            ),
            ("well", "httpd -f -p 80 -h /v", mount),
        ],
    );
    pods.up(&manifest).succeeds();
    let facts = "readlink /proc/$(podspec --get nsrun.pid /run/chroot0/life/pod/_sandbox.json)/ns/net; \
                 pod exec -c well life -- ip -o -4 addr show eth0; cat /sys/fs/cgroup/memory/pod-life/hog/memory.limit_in_bytes; \
                 podspec --get pid /run/chroot0/life/pod/well.state.json";
    let before = pods.sh(facts).succeeds().stdout;
    pods.sh(&format!(
        "pod exec -c well life touch /v/go; {}",
        said("hog: ended, status 137 (OOMKilled)")
    ))
    .succeeds();
    pods.sh("timeout 50 sh -c 'until [ \"$(podspec --get state /run/chroot0/life/pod/hog.state.json)\" = running ]; do sleep 0.05; done'").succeeds();
    assert_eq!(pods.sh(facts).succeeds().stdout, before);
    pods.sh("podspec --get restarts /run/chroot0/life/pod/hog.state.json")
        .prints("1");
    pods.sh("pod down life").succeeds();
    pods.is_clean();
}

#[test]
fn s37_a_restart_keeps_address_and_limits() {
    let Some(pods) = Pods::new() else { return };
    let manifest = pod(
        "",
        &[
            (
                "app",
                "exec sleep 99",
                "resources: {limits: {memory: 32Mi, cpu: 500m}}",
            ),
            ("other", "exec sleep 98", ""),
        ],
    );
    pods.up(&manifest).succeeds();
    let facts = "pod exec life -- ip -o -4 addr show eth0; cat /sys/fs/cgroup/memory/pod-life/app/memory.limit_in_bytes \
                 /sys/fs/cgroup/cpu/pod-life/app/cpu.cfs_quota_us; podspec --get pid /run/chroot0/life/pod/other.state.json";
    let before = pods.sh(facts).succeeds().stdout;
    assert!(before.contains("33554432\n50000\n"), "{before}");
    let pid = || {
        pods.sh("podspec --get pid /run/chroot0/life/pod/app.state.json")
            .succeeds()
            .stdout
    };
    let old = pid();
    pods.sh("pod restart life app").succeeds();
    assert_ne!(pid(), old);
    assert_eq!(pods.sh(facts).succeeds().stdout, before);
    pods.sh("pod restart life nobody")
        .ends(1)
        .says("life: has no container nobody");
    pods.sh("pod down life").succeeds();
    pods.is_clean();
}

#[test]
fn a_pod_whose_holder_is_killed_is_made_again() {
    let Some(pods) = Pods::new() else { return };
    pods.up(&pod("", &[("app", "exec sleep 99", "")]))
        .succeeds();
    let holder = "podspec --get nsrun.pid /run/chroot0/life/pod/_sandbox.json";
    let old = pods.sh(holder).succeeds().stdout;
    pods.sh(&format!("kill -KILL $({holder}); {}; timeout 50 sh -c 'until [ \"$(grep -c app:.started {EVENTS})\" = 2 ]; do sleep 0.05; done' || {{ cat {EVENTS}; ps axf; false; }}", said("made anew"))).succeeds();
    assert_ne!(pods.sh(holder).succeeds().stdout, old);
    pods.sh("timeout 50 sh -c 'until /mnt/scripts/pod exec life hostname 2>/dev/null; do sleep 0.05; done'").prints("life");
    pods.sh("pod exec life ip -o -4 addr show eth0")
        .succeeds()
        .says("10.244.0.");
    pods.sh("pod down life").succeeds();
    pods.is_clean();
}

#[test]
fn after_a_reboot_records_without_processes_are_cleared() {
    let Some(pods) = Pods::new() else { return };
    let manifest = pod(
        "volumes: [{name: v, emptyDir: {}}]",
        &[(
            "app",
            "exec sleep 99",
            "volumeMounts: [{name: v, mountPath: /v}]",
        )],
    );
    // What a machine that went down leaves where /run is on a disk: files, of another boot, and nothing else.
    let reboot = r#"pids=$(pgrep -f '[p]od up -|[p]ause --id life|[s]leep 99|[n]srun wait|[n]srun exec')
        kill -KILL $pids; ip link del "$(ip -o link | sed -n 's/^[0-9]*: \(veth[^@]*\)@.*/\1/p')" 2>/dev/null
        for group in $(find /sys/fs/cgroup -depth -type d -path '*/pod-life*'); do until rmdir $group 2>/dev/null; do sleep 0.05; done; done
        boot=$(cat /proc/sys/kernel/random/boot_id)
        sed -i "s/$boot/00000000-0000-4000-8000-000000000000/g" $(find /run/chroot0 -name '*.json')"#;
    pods.up(&manifest).succeeds();
    pods.sh(reboot).succeeds();
    pods.sh("pod ls | tail -n 1 | tr -s ' '")
        .says("life 1/1 Unknown");
    pods.sh("pod down life").succeeds();
    pods.sh("ls /run/chroot0").ends(2);
    pods.up(&manifest).succeeds();
    pods.sh(reboot).succeeds();
    pods.up(&manifest).succeeds();
    pods.sh(&format!("pod exec life hostname || cat {EVENTS}"))
        .prints("life");
    pods.sh("pod down life").succeeds();
    pods.is_clean();
}

#[test]
fn a_supervisor_that_is_killed_leaves_what_down_and_up_clear() {
    let Some(pods) = Pods::new() else { return };
    let manifest = pod("", &[("app", "exec sleep 99", "")]);
    for again in ["pod down life", "pod up -"] {
        pods.up(&manifest).succeeds();
        pods.sh("kill -KILL $(pgrep -f '[p]od up -')").succeeds();
        pods.node()
            .sh_with(&format!("{SCRIPT}{again}"), &manifest)
            .succeeds();
    }
    pods.sh("pod exec life hostname; pod down life")
        .prints("life");
    pods.is_clean();
}

#[test]
fn run_stays_in_the_foreground_and_takes_down_when_it_is_told_to_stop() {
    let Some(pods) = Pods::new() else { return };
    let manifest = pod(
        "",
        &[(
            "app",
            "trap 'echo bye >/dev/shm/bye; exit 0' TERM; while :; do sleep 0.05; done",
            "",
        )],
    );
    for signal in ["TERM", "INT"] {
        let script = format!(
            "{SCRIPT}cat >life.yaml; set -m; /mnt/scripts/pod run life.yaml & until pod ls | grep -q Running; do sleep 0.05; done
            pod exec life true && kill -{signal} $!; wait $!; echo status $?; pod ls | wc -l; rm life.yaml"
        );
        pods.node()
            .sh_with(&script, &manifest)
            .succeeds()
            .prints("status 0\n1");
    }
    // By itself it ends with its containers, and the pod is there to be looked at.
    let never = pod("restartPolicy: Never", &[("app", "echo done; exit 5", "")]);
    pods.node()
        .sh_with(&format!("{SCRIPT}pod run -"), &never)
        .ends(1)
        .says("life: ended, 1 failed");
    pods.sh("pod logs life; pod down life").prints("done");
    // Somebody else's down ends it.
    let script = format!(
        "{SCRIPT}cat >life.yaml; /mnt/scripts/pod run life.yaml & until pod ls | grep -q Running; do sleep 0.05; done; pod down life; wait $!; echo status $?; rm life.yaml"
    );
    pods.node()
        .sh_with(&script, &manifest)
        .succeeds()
        .prints("status 0");
    pods.is_clean();
}

#[test]
fn a_service_manager_is_told_of_a_pod_that_ran_and_of_no_other() {
    let Some(pods) = Pods::new() else { return };
    // In place of systemd-notify(1), which is not everywhere.
    let script = format!(
        "{SCRIPT}mkdir -p /tmp/bin; printf '#!/bin/sh\\necho \"$@\" >>/tmp/told\\n' >/tmp/bin/systemd-notify; chmod +x /tmp/bin/systemd-notify
        export NOTIFY_SOCKET=/run/none PATH=/tmp/bin:$PATH; : >/tmp/told
        pod run - >/dev/null 2>&1; echo status $?; cat /tmp/told; pod down life; rm -r /tmp/bin /tmp/told"
    );
    let never = "restartPolicy: Never";
    let app = [("app", "exit 5", "")];
    pods.node()
        .sh_with(&script, &pod(never, &app))
        .prints("status 1\n--ready --status=life is up");
    let init =
        "initContainers: [{name: first, image: busybox, command: [sh, -c, 'exit 3']}]".to_owned();
    pods.node()
        .sh_with(&script, &pod(&format!("{never}\n{init}"), &app))
        .prints("status 1");
    pods.is_clean();
}

#[test]
fn two_at_once_make_one_pod_and_one_killed_anywhere_leaves_nothing() {
    let Some(pods) = Pods::new() else { return };
    let manifest = pod(
        "",
        &[("app", "exec sleep 99", ""), ("other", "exec sleep 98", "")],
    );
    pods.node()
        .sh_with(
            &format!(
                "{SCRIPT}cat >life.yaml; pod up life.yaml & one=$!; pod up life.yaml; wait $one"
            ),
            &manifest,
        )
        .succeeds()
        .says("is up already");
    pods.sh("pod ls | tail -n 1 | tr -s ' '; pod down life")
        .succeeds()
        .prints("life 2/2 Running 0 10.244.0.2");
    for milliseconds in (0..400).step_by(40) {
        let script = format!(
            "/mnt/scripts/pod up life.yaml 2>/dev/null & sleep {}; kill -KILL $!; wait $! 2>/dev/null; pod down life; ls -A /run/chroot0 2>/dev/null || :",
            f64::from(milliseconds) / 1000.0
        );
        pods.sh(&script).succeeds().prints("");
    }
    pods.sh("rm life.yaml").succeeds();
    pods.is_clean();
}
