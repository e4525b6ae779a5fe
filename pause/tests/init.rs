//! A pause that is a command's init, against the kernel.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{
    Running, as_pid_1, children, descriptors, ended, init, output, pause, perl, scratch, wait_until,
};

/// Status of `pause -- sh -c SCRIPT`.
fn status_of(script: &str) -> i32 {
    output(Command::new(pause()).args(["--", "sh", "-c", script])).0
}

#[test]
fn it_exits_as_the_command_did() {
    for status in [0, 1, 2, 125, 127, 255] {
        assert_eq!(status_of(&format!("exit {status}")), status);
    }
}

#[test]
fn a_command_that_a_signal_ended_is_128_and_the_signal() {
    // CHLD, CONT, URG and WINCH end nobody, and STOP, TSTP, TTIN and TTOU stop.
    let harmless = [17, 18, 19, 20, 21, 22, 23, 28];
    // 32 and 33 are the C library's.
    for signal in (1..=31)
        .chain([34, 64])
        .filter(|signal| !harmless.contains(signal))
    {
        assert_eq!(
            // nohup(1) may be around us
            status_of(&format!(
                "ulimit -c 0; exec env --default-signal sh -c 'kill -{signal} $$'"
            )),
            128 + signal
        );
    }
}

#[test]
fn as_pid_1_it_exits_as_the_command_did() {
    for (script, status) in [
        ("exit 7", 7),
        ("kill -KILL $$", 137),
        ("kill -TERM $$", 143),
    ] {
        assert_eq!(
            output(&mut as_pid_1(&[&pause(), "--", "sh", "-c", script])).0,
            status
        );
    }
}

#[test]
fn what_does_not_run_is_127_or_126_and_one_line() {
    let dir = scratch("run");
    let path = |name: &str| dir.join(name).into_os_string().into_string().unwrap();
    fs::write(path("unmarked"), "#!/bin/sh\n").unwrap();
    fs::write(path("format"), "exit 3\n").unwrap();
    fs::set_permissions(path("format"), fs::Permissions::from_mode(0o755)).unwrap();
    for (command, status, reason) in [
        ("no-such-program".into(), 127, "No such file or directory"),
        ("".into(), 127, "No such file or directory"),
        (path("missing"), 127, "No such file or directory"),
        (path("unmarked"), 126, "Permission denied"),
        (path("format"), 126, "Exec format error"),
        (path("format/x"), 126, "Not a directory"),
        ("/".into(), 126, "Permission denied"),
        ("x".repeat(256), 126, "File name too long"),
        (format!("/{}", "x/".repeat(3000)), 126, "File name too long"),
    ] {
        // A directory of PATH that may not be entered makes it 126, as of env(1).
        let path = "/usr/bin:/bin";
        let said = output(
            Command::new(pause())
                .args(["--", &command])
                .env("PATH", path),
        );
        assert_eq!(
            said,
            (
                status,
                String::new(),
                format!("pause: exec({command}): {reason}\n")
            )
        );
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_command_is_looked_up_in_path() {
    let dir = scratch("path");
    for (place, mode) in [("first", 0o644), ("second", 0o755), ("third", 0o755)] {
        fs::create_dir(dir.join(place)).unwrap();
        let program = dir.join(place).join("program");
        fs::write(&program, format!("#!/bin/sh\necho {place} \"$@\"\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = |path: &str| {
        let mut command = Command::new(pause());
        output(
            command
                .args(["--", "program", "a b"])
                .env("PATH", path)
                .current_dir(dir.join("third")),
        )
    };
    let at = |place: &str| dir.join(place).into_os_string().into_string().unwrap();
    let done = |place: &str| (0, format!("{place} a b\n"), String::new());
    let failed = |status, reason: &str| {
        (
            status,
            String::new(),
            format!("pause: exec(program): {reason}\n"),
        )
    };
    assert_eq!(
        run(&format!("/nowhere:{}:{}", at("second"), at("third"))),
        done("second")
    );
    assert_eq!(
        run(&format!("{}:/etc/passwd:{}", at("first"), at("third"))),
        done("third")
    );
    assert_eq!(
        run(&format!(
            "{}/{}:{}",
            at("second"),
            "x/".repeat(3000),
            at("second")
        )),
        done("second")
    );
    // Nothing is the working directory.
    assert_eq!(run(&format!("/nowhere::{}", at("second"))), done("third"));
    assert_eq!(run(""), done("third"));
    assert_eq!(
        run(&format!("/nowhere:{}", at("first"))),
        failed(126, "Permission denied")
    );
    assert_eq!(
        run("/nowhere:/etc"),
        failed(127, "No such file or directory")
    );
    let unset = output(
        Command::new(pause())
            .args(["--", "sh", "-c", "exit 3"])
            .env_remove("PATH"),
    );
    assert_eq!(unset.0, 3);
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn no_process_to_be_had_is_125() {
    let injected = ["-qq", "-o", "/dev/null", "-e", "inject=clone:error=EAGAIN"];
    let said = output(
        Command::new("strace")
            .args(injected)
            .args([&pause(), "--", "true"]),
    );
    assert_eq!(
        said,
        (
            125,
            String::new(),
            "pause: fork(): Resource temporarily unavailable\n".into()
        )
    );
}

/// Says the name of every signal it gets, and ends on the last.
const EARS: &str = r#"
    use Config;
    use POSIX;
    my @names = split ' ', $Config{sig_name};
    for my $name (@names[1 .. 31, 34 .. 64]) {
        next if $name =~ /^(KILL|STOP|CHLD|TSTP|TTIN|TTOU)$/;
        # Not print: perl runs the handlers of ILL, BUS, FPE and SEGV at once, in the middle of another's print too.
        $SIG{$name} = sub { syswrite STDOUT, "$name\n"; POSIX::_exit(9) if $name eq $names[64] };
    }
    syswrite STDOUT, "ready\n";
    sleep 1000 while 1;
"#;

#[track_caller]
fn every_signal_is_passed_on_once(pause: i32, mut started: Running) {
    let mut lines = started.lines();
    assert_eq!(lines.line(), "ready");
    // CHLD is pause's own, KILL and STOP cannot be seen, TSTP, TTIN and TTOU stop pause as they stop anybody.
    for signal in (1..=64).filter(|signal| ![9, 17, 19, 20, 21, 22, 32, 33].contains(signal)) {
        let sent = output(Command::new("sh").args([
            "-c",
            "kill -\"$0\" \"$1\"",
            &signal.to_string(),
            &pause.to_string(),
        ]));
        assert_eq!(sent, (0, String::new(), String::new()));
        // One after the other: the kernel keeps one of each only.
        let heard = lines.line();
        if let Ok(name) = Signal::try_from(signal) {
            let name = if signal == 6 {
                "ABRT"
            } else {
                name.as_str().trim_start_matches("SIG")
            };
            assert_eq!(heard, name);
        } else {
            assert!(
                heard.starts_with("NUM") || heard.starts_with("RT"),
                "{signal} came as {heard:?}"
            );
        }
    }
    assert_eq!(lines.rest(), [""; 0]);
    assert_eq!(started.status(), 9);
}

#[test]
fn every_signal_is_passed_on_once_that_can_be() {
    let started = Running::start(&mut init(EARS));
    every_signal_is_passed_on_once(started.pid(), started);
}

#[test]
fn pid_1_passes_signals_on_too() {
    let mut command = as_pid_1(&[&pause(), "--", "perl", "-e", EARS]);
    let started = Running::start(command.stdout(Stdio::piped()));
    let mut below = vec![];
    wait_until("a child of unshare", || {
        below = children(started.pid());
        !below.is_empty()
    });
    every_signal_is_passed_on_once(below[0], started);
}

#[test]
fn an_alarm_set_before_it_began_is_the_commands() {
    let script = "alarm 1; exec $ENV{PAUSE}, '--', 'perl', '-e', 'sleep 1000 while 1'";
    assert_eq!(output(&mut perl(script)).0, 142);
}

#[test]
fn a_command_that_is_stopped_can_be_continued_through_it() {
    let mut started = Running::start(&mut init(
        "$| = 1; $SIG{CONT} = sub { print qq(on\\n); exit 4 }; kill STOP => $$; sleep 9 while 1",
    ));
    wait_until("a stopped command", || {
        children(started.pid())
            .first()
            .is_some_and(|pid| matches!(common::stat(*pid), Some((_, 'T', _))))
    });
    started.signal(Signal::SIGCONT);
    assert_eq!(started.lines().rest(), ["on"]);
    assert_eq!(started.status(), 4);
}

/// The mask, what is ignored, and what a privileged pause lowers for itself.
#[test]
fn the_command_gets_signals_and_score_as_pause_got_them() {
    let script = "use POSIX; $SIG{$_} = 'IGNORE' for qw(USR1 HUP CHLD PIPE);
        sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGINT, SIGUSR2, SIGCHLD, 40)); exec @ARGV";
    // No shell: it would have ideas of its own about CHLD.
    let shown = ["cat", "/proc/self/status", "/proc/self/oom_score_adj"];
    let seen = |command: &mut Command| {
        let (status, said, _) = output(command.args(shown));
        let lines = said.lines().filter(|line| {
            line.starts_with("Sig") && !line.starts_with("SigQ") || !line.contains(':')
        });
        (status, lines.map(str::to_owned).collect::<Vec<_>>())
    };
    let directly = seen(&mut perl(script));
    let through = seen(perl(script).args([&pause(), "--"]));
    let ignored = directly.1[2].strip_prefix("SigIgn:\t").unwrap();
    let hup_usr1_pipe_chld = 0x11201;
    assert_eq!(
        u64::from_str_radix(ignored, 16).unwrap() & hup_usr1_pipe_chld,
        hup_usr1_pipe_chld
    );
    assert_eq!(through, directly);
}

#[test]
fn the_command_gets_the_whole_environment_however_it_is_found() {
    // The variables before PATH, and those after it.
    let environment = [("A", "1"), ("PATH", "/nowhere:/usr/bin:/bin"), ("Z", "")];
    let seen = |command: &[&str]| {
        output(
            Command::new(command[0])
                .args(&command[1..])
                .env_clear()
                .envs(environment),
        )
    };
    let directly = seen(&["/usr/bin/env"]);
    assert_eq!(directly.1.lines().count(), 3);
    assert_eq!(seen(&[&pause(), "--", "env"]), directly);
    assert_eq!(seen(&[&pause(), "--", "/usr/bin/env"]), directly);
}

#[test]
fn a_starter_that_ignores_its_children_does_not_cost_the_status() {
    assert_eq!(
        output(&mut perl(
            "$SIG{CHLD} = 'IGNORE'; exec $ENV{PAUSE}, qw(-- sh -c), 'exit 6'"
        ))
        .0,
        6
    );
}

#[test]
fn the_command_keeps_descriptors_and_directory_and_pause_does_not() {
    let dir = scratch("kept").canonicalize().unwrap();
    let mut started = Running::start(
        Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" -- sh -c 'pwd; cat <&7; exec >&-; read -r end' 7<<end\nhere\nend\n",
                &pause(),
            ])
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    // The end of the file comes while both go on.
    assert_eq!(started.lines().rest(), [dir.to_str().unwrap(), "here"]);
    let command = children(started.pid());
    assert_eq!(command.len(), 1);
    assert_eq!(descriptors(started.pid()), 0);
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", started.pid())).unwrap(),
        Path::new("/")
    );
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", command[0])).unwrap(),
        dir
    );
    drop(started.stdin.take());
    assert_eq!(started.status(), 1);
    fs::remove_dir(dir).unwrap();
}

#[test]
fn its_id_is_in_argv() {
    let mut started = Running::start(
        Command::new(pause())
            .args(["--id", "foo", "--", "cat"])
            .stdin(Stdio::piped()),
    );
    wait_until("a command", || !children(started.pid()).is_empty());
    assert_eq!(
        fs::read_to_string(format!("/proc/{}/cmdline", started.pid())).unwrap(),
        format!("{}\0--id\0foo\0--\0cat\0", pause())
    );
    drop(started.stdin.take());
    assert_eq!(started.status(), 0);
}

#[test]
fn killed_it_takes_the_command_with_it() {
    let mut started = Running::start(&mut init("$| = 1; print \"$$\\n\"; sleep 1000 while 1"));
    let command = started.lines().line().parse().unwrap();
    assert!(!ended(command));
    started.signal(Signal::SIGKILL);
    assert_eq!(started.status(), 137);
    wait_until("the end of the command", || ended(command));
}

#[test]
fn its_parent_can_kill_it_and_nothing_is_left() {
    let mut unshare = Running::start(
        as_pid_1(&[&pause(), "--", "sh", "-c", "sleep 1000 & echo $!; wait"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    assert_ne!(unshare.lines().line(), "");
    let pid_1 = children(unshare.pid())[0];
    let command = children(pid_1);
    let below: Vec<_> = command
        .iter()
        .flat_map(|pid| children(*pid))
        .chain(command.clone())
        .collect();
    assert_eq!(below.len(), 2);
    kill(Pid::from_raw(pid_1), Signal::SIGKILL).unwrap();
    unshare.status();
    assert!(below.into_iter().all(ended));
}
