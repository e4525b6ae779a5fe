//! What a script sees of nsrun without any privilege: status, stdout, and whole lines of stderr.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const NSRUN: &str = env!("CARGO_BIN_EXE_nsrun");

/// A directory of its own, gone with the value.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("chroot0-nsrun-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs nsrun with `stdin`; status, stdout, stderr.
fn nsrun_with(dir: &Dir, arguments: &[&str], stdin: &str) -> (i32, String, String) {
    let mut child = Command::new(NSRUN)
        .args(arguments)
        .env("CHROOT0_RUN", dir.0.join("run"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read its stdin may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        status.code().unwrap_or_else(|| -status.signal().unwrap()),
        text(stdout),
        text(stderr),
    )
}

fn nsrun(arguments: &[&str]) -> (i32, String, String) {
    nsrun_with(
        &Dir::new(&format!("{:?}", std::thread::current().id())),
        arguments,
        "",
    )
}

fn fails(arguments: &[&str], status: i32, line: &str) {
    let answer = nsrun(arguments);
    assert_eq!(
        answer,
        (status, String::new(), format!("nsrun: {line}\n")),
        "{arguments:?}"
    );
}

#[test]
fn every_flag_of_the_help_is_in_the_man_page() {
    let page = include_str!("../nsrun.1");
    let words: Vec<&str> = page.split_whitespace().collect();
    for verb in [
        "up", "exec", "drop", "show", "down", "wait", "kill", "check",
    ] {
        let (status, help, _) = nsrun(&[verb, "--help"]);
        assert_eq!(status, 0);
        assert!(page.contains(&format!(".It Cm {verb}\n")), "{verb}");
        let options = help
            .lines()
            .map(str::trim_start)
            .filter(|line| line.starts_with('-'));
        for option in options
            .flat_map(|line| line.split([' ', ',', '=', '[', ']', ':', ';']))
            .filter(|word| word.starts_with('-'))
        {
            let name = option.trim_start_matches('-');
            let long = option.starts_with("--");
            let found = words.windows(3).any(|three| {
                let [before, fl, word] = three else {
                    return false;
                };
                *fl == "Fl" && *word == name && long == (*before == "Fl")
            });
            assert!(
                found || name.is_empty(),
                "{verb} {option} is not in nsrun.1"
            );
        }
    }
}

#[test]
fn exec_ends_as_its_command_does() {
    for fork in [&[][..], &["--fork"], &["--kill-child=TERM"]] {
        let run = |command: &[&str]| nsrun(&[&["exec"], fork, command].concat()).0;
        assert_eq!(run(&["true"]), 0);
        assert_eq!(run(&["sh", "-c", "exit 7"]), 7);
    }
    // By a child that was killed and by nsrun itself, which became the command.
    assert_eq!(
        nsrun(&["exec", "--fork", "sh", "-c", "kill -KILL $$"]).0,
        137
    );
    assert_eq!(nsrun(&["exec", "sh", "-c", "kill -KILL $$"]).0, -9);
}

#[test]
fn every_signal_that_ends_a_command_is_told() {
    for signal in (1..=31).filter(|signal| ![17, 18, 19, 20, 21, 22, 23, 28].contains(signal)) {
        let script = format!("ulimit -c 0; kill -{signal} $$");
        // nohup(1) may be around us
        let command = ["env", "--default-signal", "sh", "-c", &script];
        assert_eq!(
            nsrun(&[&["exec", "--fork"][..], &command].concat()).0,
            128 + signal,
            "{signal}"
        );
    }
}

#[test]
fn a_command_that_does_not_run_is_127_or_126() {
    for fork in [&[][..], &["--fork"]] {
        let fails = |name: &str, status, line: &str| {
            fails(&[&["exec"], fork, &[name]].concat(), status, line)
        };
        fails("/no/such", 127, "exec(/no/such): No such file or directory");
        fails(
            "no-such-program",
            127,
            "exec(no-such-program): No such file or directory",
        );
        fails("/", 126, "exec(/): Permission denied");
        fails("", 127, "exec(): No such file or directory");
    }
    let dir = Dir::new("interpreter");
    let script = dir.file("script", "#!/no/such/interpreter\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let line = format!(
        "exec({script}): No such file or directory (its interpreter or loader is not there)"
    );
    fails(&["exec", &script], 127, &line);
}

#[test]
fn a_script_without_an_interpreter_is_the_shells() {
    let dir = Dir::new("script");
    let script = dir.file("script", "echo \"$0 $1\"\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        nsrun(&["exec", &script, "x"]),
        (0, format!("{script} x\n"), String::new())
    );
}

#[test]
fn stdin_and_the_options_behind_the_command_are_the_commands() {
    let dir = Dir::new("stdin");
    assert_eq!(
        nsrun_with(&dir, &["exec", "--fork", "cat"], "hello").1,
        "hello"
    );
    assert_eq!(nsrun(&["exec", "echo", "--net", "-v"]).1, "--net -v\n");
    assert_eq!(nsrun(&["exec", "--", "echo", "--", "x"]).1, "-- x\n");
}

#[test]
fn signals_are_the_callers() {
    let state = "grep -E 'Sig(Blk|Ign):' /proc/self/status";
    let of = |script: String| {
        String::from_utf8(
            Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap()
                .stdout,
        )
        .unwrap()
    };
    for ignored in ["", "trap '' PIPE CHLD HUP;"] {
        for how in ["exec", "exec --fork"] {
            assert_eq!(
                of(format!("{ignored} {NSRUN} {how} {state}")),
                of(format!("{ignored} {state}")),
                "{ignored} {how}"
            );
        }
    }
    // Ignored as well as not, the status comes back.
    let script = format!("trap '' CHLD; {NSRUN} exec --fork sh -c 'exit 5'; echo $?");
    assert_eq!(of(script), "5\n");
}

#[test]
fn a_signal_goes_on_to_the_command_and_a_killed_nsrun_takes_it_along() {
    for (signal, expected) in [("TERM", "term\n"), ("KILL", "")] {
        let script = "trap 'echo term; exit 3' TERM; echo ready; while :; do read -r line; done";
        let mut child = Command::new(NSRUN)
            .args(["exec", "--fork", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        let mut stdout = child.stdout.take().unwrap();
        std::io::Read::read_exact(&mut stdout, &mut ready).unwrap();
        let killed = Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        // End of file: nobody has the pipe any more.
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut rest).unwrap();
        assert_eq!(rest, expected);
        assert_eq!(
            child.wait().unwrap().code(),
            (signal != "KILL").then_some(3)
        );
    }
}

#[test]
fn namespaces_that_cannot_be_joined_are_named() {
    fails(
        &["exec", "--net=/no/such", "true"],
        125,
        "open(/no/such): No such file or directory",
    );
    fails(
        &["exec", "--net=/dev/null", "true"],
        125,
        "/dev/null: not a namespace",
    );
    fails(
        &["exec", "--uts=/proc/self/ns/net", "true"],
        125,
        "/proc/self/ns/net: a net namespace, not a uts namespace",
    );
    fails(
        &["exec", "--pid=4194305", "true"],
        125,
        "pidfd_open(4194305): No such process",
    );
    fails(
        &["exec", "-t", "1", "true"],
        125,
        "--target: which of its namespaces? (--all, or options such as --net)",
    );
    fails(
        &["exec", "--mount=host", "--mount-proc", "true"],
        125,
        "--mount-proc: not in the mount namespace of the host",
    );
}

#[test]
fn usage_is_125_of_exec_and_2_of_the_others() {
    let (status, _, line) = nsrun(&["exec", "--bogus"]);
    assert_eq!(
        (status, line.as_str()),
        (
            125,
            "nsrun: unexpected argument '--bogus' found (see nsrun exec --help)\n"
        )
    );
    assert_eq!(nsrun(&["up", "--bogus", "--id", "x"]).0, 2);
    assert_eq!(nsrun(&["show", "--id", "../x"]).0, 2);
    assert_eq!(nsrun(&["down", "--grace", "x"]).0, 2);
    assert_eq!(nsrun(&[]).0, 2);
    fails(
        &["up"],
        2,
        "stdin: no record (did the tool before this one fail?)",
    );
    fails(
        &["exec", "-P", "-", "true"],
        125,
        "-P -: stdin belongs to the command (use -P FILE or -P /dev/fd/N)",
    );
}

#[test]
fn a_record_that_cannot_be_entered_is_refused() {
    let dir = Dir::new("records");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let pid = std::process::id();
    let recycled = format!(
        r#"{{"id":"x","linux":{{"namespaces":[{{"type":"network","path":"/proc/{pid}/ns/net"}}]}},"nsrun":{{"pid":{pid},"starttime":1,"boot_id":"{}"}}}}"#,
        boot.trim()
    );
    let gone = format!("x: process {pid} that held this pod is gone (nsrun down, then nsrun up)");
    for (text, line) in [
        (r#"{"id":"x"}"#, "x: names no namespace to join (nsrun up)"),
        (
            r#"{"id":"x","linux":{"namespaces":[{"type":"net"}]}}"#,
            "linux.namespaces: \"net\" is no type of namespace",
        ),
        (
            r#"{"id":"x","linux":{"namespaces":[{"type":"network","path":"/dev/null"}]}}"#,
            "/dev/null: not a namespace",
        ),
        (
            r#"{"id":"x","linux":{"namespaces":[{"type":"uts","path":"/x"}]},"cgset":{"groups":{"memory":"/proc/pod-x"}}}"#,
            "statfs(/proc/pod-x): No such file or directory",
        ),
        (&recycled, &gone),
    ] {
        let pod = dir.file("pod.json", text);
        fails(&["exec", "-P", &pod, "true"], 125, line);
    }
    let failed = dir.file(
        "failed.json",
        r#"{"id":"x","failed":{"tool":"cgset","error":"e"}}"#,
    );
    assert_eq!(nsrun(&["exec", "-P", &failed, "true"]).0, 125);
}

#[test]
fn an_up_that_fails_hands_the_record_on() {
    let dir = Dir::new("up");
    let problem = "no namespace is asked for (options such as --net, or linux.namespaces)";
    let (status, out, line) = nsrun_with(&dir, &["up"], "{\"id\":\"x\",\"k\":1.50}");
    assert_eq!((status, line), (2, format!("nsrun: {problem}\n")));
    assert_eq!(
        out,
        format!(
            "{{\"id\":\"x\",\"k\":1.50,\"failed\":{{\"tool\":\"nsrun\",\"error\":\"{problem}\"}}}}\n"
        )
    );
    assert_eq!(
        fs::read_dir(dir.0.join("run")).unwrap().count(),
        0,
        "the index of x is gone"
    );

    let bad =
        "{\"id\":\"x\",\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/dev/null\"}]}}";
    let (status, _, line) = nsrun_with(&dir, &["up"], bad);
    assert_eq!(
        (status, line.as_str()),
        (1, "nsrun: /dev/null: not a namespace\n")
    );
    assert_eq!(fs::read_dir(dir.0.join("run")).unwrap().count(), 0);
}

#[test]
fn a_plan_is_printed_and_nothing_is_done() {
    let dir = Dir::new("plan");
    let run = dir.0.join("run");
    let (status, out, _) = nsrun_with(
        &dir,
        &[
            "up",
            "--dry-run",
            "--id",
            "x",
            "--net",
            "--uts",
            "--",
            "sleep",
            "1",
        ],
        "",
    );
    assert_eq!(status, 0);
    let expected = format!(
        "clone3(CLONE_NEWNET|CLONE_NEWUTS)\n  sethostname(x)\n  write(/proc/sys/net/ipv4/ip_unprivileged_port_start, 0)\n  \
         setsid()\n  chdir(/)\n  write({}/x/record.json)\n  execve(pause --id x -- sleep 1)\n",
        run.display()
    );
    assert_eq!(out, expected);
    assert!(!run.exists());
    let record = r#"{"id":"x","hostname":"h","linux":{"namespaces":[{"type":"uts"}]}}"#;
    assert!(
        nsrun_with(&dir, &["up", "--dry-run"], record)
            .1
            .contains("sethostname(h)\n")
    );
}

#[test]
fn down_of_what_is_gone_is_success_and_takes_the_paths() {
    let dir = Dir::new("down");
    let boot = "00000000-0000-0000-0000-000000000000";
    let record = format!(
        r#"{{"id":"x","linux":{{"namespaces":[{{"type":"network","path":"/proc/7/ns/net"}},{{"type":"uts","path":"/run/uts"}}]}},"nsrun":{{"pid":7,"starttime":1,"boot_id":"{boot}","namespaces":{{"net":1}},"made":["net"]}}}}"#
    );
    let expected = r#"{"id":"x","linux":{"namespaces":[{"type":"network"},{"type":"uts","path":"/run/uts"}]}}"#;
    for _ in 0..2 {
        let answer = nsrun_with(&dir, &["down"], &record);
        assert_eq!(answer, (0, format!("{expected}\n"), String::new()));
    }
    let shown = nsrun_with(&dir, &["show"], &record);
    assert_eq!(shown.1, "x: down (process 7 that held it is gone)\n");
}

#[test]
fn down_does_not_believe_a_record_that_names_another_process() {
    // The record says that the process that runs this test holds a pod whose namespace is the one we are all in.
    let dir = Dir::new("hostile");
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let starttime = stat[stat.rfind(')').unwrap()..]
        .split(' ')
        .nth(20)
        .unwrap()
        .to_owned();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata("/proc/self/ns/net").unwrap());
    let pid = std::process::id();
    let record = format!(
        r#"{{"id":"x","nsrun":{{"pid":{pid},"starttime":{starttime},"boot_id":"{}","namespaces":{{"net":{inode}}},"made":["net"]}}}}"#,
        boot.trim()
    );
    let (status, _, line) = nsrun_with(&dir, &["down", "--grace", "0"], &record);
    assert_eq!(status, 1);
    assert!(
        line.starts_with(&format!("nsrun: x: process {pid} (")),
        "{line}"
    );
    assert!(line.contains(") is not its pause, and "), "{line}");
}

#[test]
fn an_up_without_its_program_makes_nothing() {
    let dir = Dir::new("up-missing");
    let (status, record, talk) = nsrun_with(
        &dir,
        &["up", "--id", "foo", "--net", "--", "no-such-program"],
        "",
    );
    assert_eq!(
        (status, talk.as_str()),
        (
            1,
            "nsrun: exec(no-such-program): No such file or directory\n"
        )
    );
    assert!(
        record.contains("\"failed\":{\"tool\":\"nsrun\",") && !record.contains("pid"),
        "{record}"
    );
}
