//! The contract of the command line: status, stdout, and whole lines of stderr. No privilege is needed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of a test's own for the index, gone with the value.
struct Run(PathBuf);

impl Run {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "cgset-cli-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cgset"));
        command
            .args(arguments)
            .env("CHROOT0_RUN", self.0.join("run"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.command(arguments).output().unwrap())
    }

    /// With `record` on stdin.
    fn pipe(&self, record: &str, arguments: &[&str]) -> Answer {
        let path = self.0.join("stdin");
        fs::write(&path, record).unwrap();
        Answer::of(
            self.command(arguments)
                .stdin(fs::File::open(path).unwrap())
                .output()
                .unwrap(),
        )
    }

    /// Ids the index knows.
    fn known(&self) -> usize {
        fs::read_dir(self.0.join("run")).map_or(0, Iterator::count)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The record of an `up --id foo` that failed.
fn failed(error: &str) -> String {
    format!(
        "{{\"ociVersion\":\"{}\",\"id\":\"foo\",\"failed\":{{\"tool\":\"cgset\",\"error\":{}}}}}\n",
        record::OCI_VERSION,
        quoted(error)
    )
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn a_limit_that_makes_no_sense_is_refused_before_anything_is_made() {
    let run = Run::new();
    for (word, error) in [
        (
            "memory.mx=1",
            "memory.mx: no such limit (did you mean memory.max or memory.min?)",
        ),
        (
            "memory=1",
            "memory: no such limit (cgroup v2's names, v1's, or CONTROLLER.FILE)",
        ),
        ("memory.max", "memory.max: not KEY=VALUE"),
        (
            "memory.max=12Q",
            "memory.max=12Q: not an amount of memory (512Mi, 1.5G, 50%, max)",
        ),
        (
            "memory.max=-1",
            "memory.max=-1: not an amount of memory (512Mi, 1.5G, 50%, max)",
        ),
        (
            "pids.max=many",
            "pids.max=many: not a number in range, or max",
        ),
        (
            "cpu.max=50%",
            "cpu.max=50%: not cpus (0.5, 500m), max, or \"QUOTA PERIOD\" in microseconds, of at least 1 ms",
        ),
        ("cpu.shares=1", "cpu.shares=1: not shares (2 to 262144)"),
        (
            "cpuset.cpus=3-1",
            "cpuset.cpus=3-1: not a list of numbers (0-3,7)",
        ),
        ("memory.max=\n", "memory.max=: not a value"),
    ] {
        let answer = run.run(&["up", "--id", "foo", word]);
        assert_eq!(
            answer,
            Answer {
                status: 2,
                stdout: failed(error),
                stderr: format!("cgset: {error}\n")
            }
        );
    }
    assert_eq!(run.known(), 0);
}

#[test]
fn a_records_resources_are_checked_as_well() {
    let run = Run::new();
    for (resources, error) in [
        (
            r#"{"memory":7}"#,
            "linux.resources.memory: 7 is not an object",
        ),
        (
            r#"{"pids":{"limit":1.5}}"#,
            "linux.resources.pids.limit: 1.5 is not a whole number",
        ),
        (
            r#"{"unified":{"memory.mx":"1"}}"#,
            "linux.resources: memory.mx: no such limit (did you mean memory.max or memory.min?)",
        ),
    ] {
        let record = format!(r#"{{"id":"foo","linux":{{"resources":{resources}}}}}"#);
        let answer = run.pipe(&record, &["up"]);
        assert_eq!(
            (answer.status, answer.stderr),
            (2, format!("cgset: {error}\n")),
            "{resources}"
        );
        assert!(
            answer.stdout.starts_with(record.trim_end_matches('}')),
            "{}",
            answer.stdout
        );
    }
    assert_eq!(run.known(), 0);
}

#[test]
fn a_record_of_another_pods_groups_is_refused() {
    let run = Run::new();
    let stranger = r#"{"id":"foo","cgset":{"groups":{"memory":"/sys/fs/cgroup/memory/pod-bar"},"join":"pause"}}"#;
    for verb in ["down", "show"] {
        let answer = run.pipe(stranger, &[verb]);
        let line = "cgset: cgset.groups: /sys/fs/cgroup/memory/pod-bar is not the group of foo\n";
        assert_eq!((answer.status, answer.stderr.as_str()), (2, line), "{verb}");
    }
    let named = run.0.join("stranger");
    fs::write(&named, stranger).unwrap();
    let answer = run.run(&["exec", "-P", named.to_str().unwrap(), "--", "true"]);
    assert_eq!(answer.status, 125);
}

#[test]
fn a_group_whose_inode_is_not_known_is_not_removed() {
    let run = Run::new();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let record = format!(
        r#"{{"id":"foo","cgset":{{"groups":{{"memory":"/sys/fs/cgroup/memory/pod-foo"}},"boot_id":"{}"}}}}"#,
        boot_id.trim()
    );
    let answer = run.pipe(&record, &["down"]);
    let line = "cgset: cgset.inodes: none for memory of foo, and the index knows none\n";
    assert_eq!((answer.status, answer.stderr.as_str()), (2, line));
}

#[test]
fn what_is_gone_already_is_as_good_as_removed() {
    let run = Run::new();
    let answer = run.run(&["down", "--id", "foo"]);
    let record = format!(
        "{{\"ociVersion\":\"{}\",\"id\":\"foo\"}}\n",
        record::OCI_VERSION
    );
    assert_eq!(
        answer,
        Answer {
            status: 0,
            stdout: record,
            stderr: String::new()
        }
    );
    // groups of an earlier boot went with it
    let old = r#"{"id":"foo","linux":{"resources":{"pids":{"limit":5}},"cgroupsPath":"/pod-foo"},"cgset":{"groups":{"memory":"/m/pod-foo"},"inodes":{"memory":7},"boot_id":"x"}}"#;
    let answer = run.pipe(old, &["down"]);
    let left = "{\"id\":\"foo\",\"linux\":{\"resources\":{\"pids\":{\"limit\":5}}}}\n";
    assert_eq!(
        answer,
        Answer {
            status: 0,
            stdout: left.into(),
            stderr: String::new()
        }
    );
}

#[test]
fn exec_reports_its_own_failures_as_125() {
    let run = Run::new();
    let pod = run.0.join("pod");
    fs::write(&pod, r#"{"id":"foo"}"#).unwrap();
    let pod = pod.to_str().unwrap();
    for (arguments, line) in [
        (
            vec!["exec", "-P", "/no/such", "--", "true"],
            "open(/no/such): No such file or directory",
        ),
        (
            vec!["exec", "-P", "-", "--", "true"],
            "-P -: stdin belongs to the command (use -P FILE or -P /dev/fd/N)",
        ),
        (
            vec!["exec", "-P", pod, "--", "true"],
            "foo: the record has no groups (cgset up makes them)",
        ),
        (
            vec!["exec", "-P", pod, "pids.max=5", "--", "true"],
            "limits are of a named group (cgset exec -P FILE NAME KEY=VALUE -- CMD)",
        ),
        (
            vec!["exec", "-P", pod, "pause", "--", "true"],
            "pause: is reserved (for the pod's first process, and for commands without NAME)",
        ),
        (
            vec!["exec", "-P", pod, "../x", "--", "true"],
            "\"../x\" is no id (a letter or digit, then letters, digits, '_', '.', '-'; 128 at most)",
        ),
        (
            vec!["exec", "-P", pod, "app", "sidecar", "--", "true"],
            "sidecar: not KEY=VALUE",
        ),
        (
            vec!["exec", "--id", "foo", "app", "--", "true"],
            "foo: no such pod (cgset up --id foo makes one)",
        ),
    ] {
        let answer = run.run(&arguments);
        assert_eq!(
            answer,
            Answer {
                status: 125,
                stdout: String::new(),
                stderr: format!("cgset: {line}\n")
            }
        );
    }
    for arguments in [
        vec!["exec"],
        vec!["exec", "-P", pod],
        vec!["exec", "--id", "a", "-P", pod, "--", "true"],
    ] {
        let answer = run.run(&arguments);
        assert_eq!(
            (answer.status, answer.stderr.lines().count()),
            (125, 1),
            "{arguments:?} {}",
            answer.stderr
        );
    }
    assert_eq!(run.known(), 0);
}

#[test]
fn bad_usage_is_2_and_one_line() {
    let run = Run::new();
    for arguments in [
        vec![],
        vec!["frob"],
        vec!["up", "--id", "../x"],
        vec!["up", "--id", "foo", "--pid", "0"],
        vec!["up", "--id", "foo", "--pid", "x"],
        vec!["up", "--id", "foo", "--nonsense"],
        vec!["down", "--id", "foo", "--kill", "--to", "/"],
        vec!["up"],
        vec!["down"],
        vec!["show"],
        vec!["tree"],
        vec!["freeze"],
        vec!["kill"],
        vec!["wait", "--id", "foo"],
        vec!["wait", "--id", "foo", "--oom", "--empty"],
        vec!["wait", "--id", "foo", "--oom=-1"],
        vec!["wait", "--id", "foo", "--pressure", "net"],
        vec!["wait", "--id", "foo", "--empty", "--timeout", "-1"],
        vec!["wait", "--id", "foo", "--empty", "--timeout", "1e9"],
        vec!["watch", "--id", "foo", "--interval", "0"],
        vec!["watch", "--id", "foo", "--count", "0"],
        vec!["kill", "--id", "foo", "../x"],
    ] {
        let answer = run.run(&arguments);
        assert_eq!(
            (answer.status, answer.stderr.lines().count()),
            (2, 1),
            "{arguments:?} {}",
            answer.stderr
        );
        assert!(
            answer.stderr.starts_with("cgset: "),
            "{arguments:?} {}",
            answer.stderr
        );
    }
    assert_eq!(run.known(), 0);
}

#[test]
fn a_process_that_is_not_there_makes_nothing() {
    let run = Run::new();
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let pid = child.id().to_string();
    let answer = run.run(&["up", "--id", "foo", "--pid", &pid]);
    // without any hierarchy mounted that is said first
    assert_eq!(answer.status, 1, "{answer:?}");
    assert_eq!(run.known(), 0);
}

#[test]
fn a_failed_record_is_passed_on_untouched() {
    let run = Run::new();
    let record = "{\"id\":\"foo\",\"failed\":{\"tool\":\"nsrun\",\"error\":\"x\"}}\n";
    let answer = run.pipe(record, &["up", "pids.max=5"]);
    assert_eq!((answer.status, answer.stdout.as_str()), (1, record));
    assert_eq!(run.known(), 0);
}

#[test]
fn every_flag_of_the_help_is_in_the_man_page() {
    let run = Run::new();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cgset.1"))
        .unwrap()
        .replace("\\-", "-");
    let mut seen = 0;
    for verb in [
        &["--help"][..],
        &["up", "--help"],
        &["exec", "--help"],
        &["show", "--help"],
        &["tree", "--help"],
        &["watch", "--help"],
        &["wait", "--help"],
        &["freeze", "--help"],
        &["thaw", "--help"],
        &["kill", "--help"],
        &["down", "--help"],
        &["check", "--help"],
    ] {
        let help = run.run(verb);
        assert_eq!((help.status, help.stderr.as_str()), (0, ""), "{verb:?}");
        for word in help
            .stdout
            .split(|c: char| c.is_whitespace() || ",[]=<>`".contains(c))
        {
            let word = word.trim_end_matches("...");
            let is_flag = word.len() > 1 && word.starts_with('-') && word != "--";
            if is_flag {
                let named = page
                    .split(|c: char| c.is_whitespace() || ",\"[]{}|".contains(c))
                    .any(|other| other == word);
                assert!(named, "{word} of cgset {verb:?} is not in the man page");
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn every_limit_of_the_man_page_is_understood() {
    let run = Run::new();
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cgset.1")).unwrap();
    let table = page
        .split_once(".TS\n")
        .unwrap()
        .1
        .split_once(".TE\n")
        .unwrap()
        .0;
    let mut seen = 0;
    for row in table.lines().skip(3) {
        for key in row
            .split('|')
            .take(2)
            .flat_map(|cell| cell.split(' '))
            .filter(|key| key.contains('.'))
        {
            let key = key.replace("*_device", "read_bps_device");
            // a value that makes no sense to any of them: the key itself is not what is refused
            let answer = run.run(&["up", "--id", "foo", "--dry-run", &format!("{key}=?")]);
            assert_eq!(answer.status, 2, "{key} {answer:?}");
            assert!(
                answer.stderr.starts_with(&format!("cgset: {key}=?: not ")),
                "{key} {answer:?}"
            );
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen}");
}
