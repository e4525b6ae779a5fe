//! `process` of a record, as OCI has it: `nsrun drop -P` applies each of its keys or refuses it by name.

use tests::Node;

#[test]
fn a_record_s_capabilities_are_those_of_its_five_sets() {
    let node = Node::new();
    let sets = |user: u32, capabilities: &str| {
        let run = node.sh(&format!(
            r#"jq -nc '{{id: "foo", process: {{user: {{uid: {user}, gid: 0}}, noNewPrivileges: false, cwd: "/", args: ["sh", "-c", "grep ^Cap /proc/self/status"],
                capabilities: {capabilities}}}}}' >foo.json; nsrun drop -P foo.json; rm foo.json"#
        ));
        let set = |line: &str| {
            let (name, bits) = line.split_once(":\t").unwrap_or((line, ""));
            format!("{} {}", &name[3..], bits.trim_start_matches('0'))
        };
        run.succeeds()
            .stdout
            .lines()
            .map(set)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let docker = r#"{bounding: ["CAP_CHOWN", "CAP_KILL"], permitted: ["CAP_CHOWN"], effective: ["CAP_CHOWN"], inheritable: ["CAP_CHOWN", "CAP_KILL"]}"#;
    // Root gets by its exec what the bounding set has, as with every runtime; another user what is ambient, and here nothing is.
    assert_eq!(sets(0, docker), "Inh , Prm 21, Eff 21, Bnd 21, Amb ");
    assert_eq!(sets(7, docker), "Inh , Prm , Eff , Bnd 21, Amb ");
    let ambient = r#"{bounding: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"], effective: ["CAP_CHOWN"], ambient: ["CAP_CHOWN", "CAP_KILL"]}"#;
    assert_eq!(sets(7, ambient), "Inh 1, Prm 1, Eff 1, Bnd 1, Amb 1");
    node.assert_as_it_was();
}

#[test]
fn a_label_that_no_security_module_takes_is_refused_by_name() {
    let node = Node::new();
    let record = |label: &str| {
        format!(
            r#"echo '{{"id":"foo","process":{{"user":{{"uid":7,"gid":7}},"args":["touch","/tmp/ran"],{label}}}}}' >foo.json; nsrun drop -P foo.json; status=$?; rm foo.json; exit $status"#
        )
    };
    // Where the module is there it knows no such label; where it is not that is what is said.
    for (script, name) in [
        (record(r#""apparmorProfile":"no-such-profile""#), "AppArmor"),
        (record(r#""selinuxLabel":"no_u:such_r:label_t:s0""#), "SELinux"),
        ("nsrun drop --apparmor-profile no-such-profile -- touch /tmp/ran".into(), "AppArmor"),
        // A kernel before 6.8, as far as this one can tell.
        (
            r#"echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["lsm_set_self_attr"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}' >old.json
               nsrun drop --keep-env --caps keep --seccomp old.json -- nsrun drop --seccomp none --apparmor-profile no-such-profile -- touch /tmp/ran; status=$?; rm old.json; exit $status"#
                .into(),
            "AppArmor",
        ),
    ] {
        let run = node.sh(&script).ends(125).says_one_line("nsrun");
        assert!(run.stderr.contains(name) && run.stderr.contains("no"), "{run}");
    }
    for label in [r#""apparmorProfile":7"#, r#""selinuxLabel":"a\nb""#] {
        let run = node.sh(&record(label)).ends(125);
        assert!(run.stderr.contains("is not what OCI has there"), "{run}");
    }
    node.sh(&record(r#""apparmorProfile":"","selinuxLabel":"""#))
        .succeeds();
    node.sh("rm /tmp/ran").succeeds();
    node.sh("nsrun drop --apparmor-profile unconfined -- true; ! test -e /tmp/ran")
        .succeeds();
    node.assert_as_it_was();
}

/// A record whose process is `keys` and runs `script`.
fn record_of(keys: &str, script: &str) -> String {
    format!(
        r#"jq -nc '{{id: "foo", process: ({{user: {{uid: 7, gid: 7}}, args: ["sh", "-c", "{script}"]}} + {keys})}}' >foo.json"#
    )
}

#[test]
fn when_it_runs_and_reads_is_as_the_record_says() {
    let node = Node::new();
    let look = "chrt -p $$ | sed s/.*:.//; ionice -p $$; nice";
    // Where the group has no real-time, as on cgroup v1 by default, chrt has none either and drop says so.
    for (scheduler, by_chrt, expected) in [
        (
            r#"{policy: "SCHED_OTHER", nice: 7}"#,
            "-o 0",
            "SCHED_OTHER\n0\nbest-effort: prio 6\n7",
        ),
        (
            r#"{policy: "SCHED_BATCH", nice: -5, flags: ["SCHED_FLAG_RESET_ON_FORK"]}"#,
            "-b 0",
            "SCHED_BATCH|SCHED_RESET_ON_FORK\n0\nbest-effort: prio 6\n0",
        ),
        (
            r#"{policy: "SCHED_IDLE"}"#,
            "-i 0",
            "SCHED_IDLE\n0\nbest-effort: prio 6\n0",
        ),
        (
            r#"{policy: "SCHED_RR", priority: 9}"#,
            "-r 9",
            "SCHED_RR\n9\nbest-effort: prio 6\n0",
        ),
        (
            r#"{policy: "SCHED_DEADLINE", runtime: 1000000, deadline: 5000000, period: 10000000, flags: ["SCHED_FLAG_RESET_ON_FORK"]}"#,
            "-d -T 1000000 -D 5000000 -P 10000000 0",
            "SCHED_DEADLINE|SCHED_RESET_ON_FORK\n0\n1000000/5000000/10000000\nbest-effort: prio 6\n0",
        ),
    ] {
        let keys = format!(
            r#"{{scheduler: {scheduler}, ioPriority: {{class: "IOPRIO_CLASS_BE", priority: 6}}}}"#
        );
        node.sh(&record_of(&keys, look)).succeeds();
        let run = node.sh("nsrun drop -P foo.json");
        if node.sh(&format!("chrt {by_chrt} true")).status == 0 {
            run.succeeds().prints(expected);
        } else {
            let run = run.ends(125).says_one_line("nsrun");
            assert!(run.stderr.contains("sched_setattr(SCHED_"), "{run}");
        }
    }
    node.sh(&record_of(
        r#"{ioPriority: {class: "IOPRIO_CLASS_IDLE"}, execCPUAffinity: {initial: "0", final: "0-0"}}"#,
        "ionice -p $$; grep Cpus_allowed_list /proc/self/status",
    ))
    .succeeds();
    node.sh("nsrun drop -P foo.json; nsrun drop -P foo.json --dry-run --json | jq -c '[.scheduler, .ioPriority, .execCPUAffinity]'")
        .succeeds()
        .prints("idle\nCpus_allowed_list:\t0\n[null,{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":0},{\"final\":\"0-0\"}]");
    // It has to be done while there is still the capability for it, and without one it is an error.
    node.sh(&record_of(
        r#"{scheduler: {policy: "SCHED_OTHER", nice: -3}}"#,
        "nice",
    ))
    .succeeds();
    node.sh("nsrun drop -P foo.json").succeeds().prints("-3");
    let run = node
        .sh("setpriv --bounding-set -sys_nice --inh-caps -sys_nice nsrun drop -P foo.json")
        .ends(125)
        .says_one_line("nsrun");
    assert_eq!(
        run.stderr,
        "nsrun: sched_setattr(SCHED_OTHER, nice -3): Operation not permitted (needs CAP_SYS_NICE)\n"
    );
    node.sh("rm foo.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn no_key_of_a_record_s_process_is_passed_over() {
    let node = Node::new();
    for (keys, words) in [
        (r#"{scheduler: 7}"#, "process.scheduler: 7 is not what"),
        (
            r#"{scheduler: {}}"#,
            "process.scheduler.policy: null is none of SCHED_OTHER",
        ),
        (
            r#"{scheduler: {policy: "SCHED_ISO"}}"#,
            "process.scheduler.policy: \"SCHED_ISO\" is none of",
        ),
        (
            r#"{scheduler: {policy: "SCHED_OTHER", nice: 20}}"#,
            "process.scheduler.nice: 20 is not -20 to 19",
        ),
        (
            r#"{scheduler: {policy: "SCHED_OTHER", nice: 1.5}}"#,
            "process.scheduler.nice: 1.5 is not",
        ),
        (
            r#"{scheduler: {policy: "SCHED_IDLE", nice: 1}}"#,
            "process.scheduler.nice: 1, and the policy has no nice",
        ),
        (
            r#"{scheduler: {policy: "SCHED_BATCH", priority: 1}}"#,
            "process.scheduler.priority: 1, and the policy has no priority",
        ),
        (
            r#"{scheduler: {policy: "SCHED_FIFO"}}"#,
            "process.scheduler.priority: nothing is not 1 to 99",
        ),
        (
            r#"{scheduler: {policy: "SCHED_FIFO", priority: 100}}"#,
            "process.scheduler.priority: 100 is not 1 to 99",
        ),
        (
            r#"{scheduler: {policy: "SCHED_RR", priority: 1, runtime: 5}}"#,
            "process.scheduler.runtime: 5, and the policy has no runtime",
        ),
        (
            r#"{scheduler: {policy: "SCHED_DEADLINE", runtime: 6, deadline: 5}}"#,
            "process.scheduler.runtime: 6 is not",
        ),
        (
            r#"{scheduler: {policy: "SCHED_DEADLINE", deadline: -5}}"#,
            "process.scheduler.deadline: -5 is not",
        ),
        (
            r#"{scheduler: {policy: "SCHED_OTHER", flags: ["SCHED_FLAG_ALL"]}}"#,
            "process.scheduler.flags: \"SCHED_FLAG_ALL\" is not what",
        ),
        (
            r#"{scheduler: {policy: "SCHED_OTHER", flags: ["SCHED_FLAG_UTIL_CLAMP_MIN"]}}"#,
            "needs a value, which OCI has not",
        ),
        (
            r#"{ioPriority: {class: "IOPRIO_CLASS_NONE"}}"#,
            "process.ioPriority.class: \"IOPRIO_CLASS_NONE\" is none of",
        ),
        (
            r#"{ioPriority: {class: "IOPRIO_CLASS_BE", priority: 8}}"#,
            "process.ioPriority.priority: 8 is not 0 to 7",
        ),
        (
            r#"{execCPUAffinity: {final: "3-1"}}"#,
            "process.execCPUAffinity.final: \"3-1\" is not what",
        ),
        (
            r#"{execCPUAffinity: {initial: "x"}}"#,
            "process.execCPUAffinity.initial: \"x\" is not what",
        ),
        (
            r#"{execCPUAffinity: {final: "1000"}}"#,
            "sched_setaffinity(1000): Invalid argument (the group has none of these processors)",
        ),
        (
            r#"{noNewPrivileges: "no"}"#,
            "process.noNewPrivileges: \"no\" is not what",
        ),
        (r#"{user: "1000"}"#, "process.user: \"1000\" is not what"),
        (
            r#"{user: {gid: 1000}}"#,
            "process.user: {\"gid\":1000} is not what",
        ),
        (
            r#"{user: {username: "maria"}}"#,
            "process.user: {\"username\":\"maria\"} is not what",
        ),
        (
            r#"{capabilities: ["CAP_KILL"]}"#,
            "process.capabilities: [\"CAP_KILL\"] is not what",
        ),
        (
            r#"{env: ["SECRET"]}"#,
            "process.env: \"SECRET\" is not what",
        ),
        (r#"{env: ["=x"]}"#, "process.env: \"=x\" is not what"),
    ] {
        node.sh(&record_of(keys, "touch /tmp/ran")).succeeds();
        let run = node
            .sh("SECRET=x nsrun drop -P foo.json")
            .ends(125)
            .says_one_line("nsrun");
        assert!(run.stderr.contains(words), "{words}: {run}");
    }
    node.sh(
        r#"echo '{"id":"foo","process":7}' >foo.json; nsrun drop -P foo.json -- touch /tmp/ran"#,
    )
    .ends(125)
    .says("process: 7 is not what OCI has there");
    node.sh("! test -e /tmp/ran; rm foo.json").succeeds();
    node.assert_as_it_was();
}
