//! nsrun as a job of a shell at a terminal. A user namespace where root is missing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

/// A shell with job control that leads the session of a terminal of its own.
struct Shell {
    terminal: File,
    lines: BufReader<ChildStdout>,
    child: Child,
}

impl Shell {
    fn run(script: &str) -> Self {
        Self::run_by("sh", script)
    }

    fn run_by(shell: &str, script: &str) -> Self {
        let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let side = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(ptsname_r(&terminal).unwrap())
            .unwrap();
        // What a shell starts in the background ignores SIGINT, which no shell can undo.
        let mut child = Command::new("env")
            .args(["--default-signal", "setsid", "--ctty"])
            .args([shell, "-mc", script])
            .env("NSRUN", env!("CARGO_BIN_EXE_nsrun"))
            .stdin(side.try_clone().unwrap())
            .stderr(side)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self {
            terminal: File::from(OwnedFd::from(terminal)),
            lines,
            child,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn press(&mut self, key: u8) {
        self.terminal.write_all(&[key]).unwrap();
    }

    fn type_in(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The terminal hangs up, and with it whatever a failed test left there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// ^Z and ^C
const STOP: u8 = 0x1a;
const INTERRUPT: u8 = 0x03;

fn stops_and_continues(options: &str) {
    // What runs in the namespace is stopped by the terminal; PID 1 of a new one is not, and nsrun has to stop without it.
    let command = "sh -c 'trap \"kill \\$!; exit 7\" INT; trap \"echo on\" CONT; sleep 1000 & echo ready; while :; do wait; done'";
    let mut shell = Shell::run(&format!(
        "\"$NSRUN\" exec {options} {command}; echo stopped $?; fg >/dev/null; echo ended $?"
    ));
    assert_eq!(shell.line(), "ready");
    shell.press(STOP);
    assert_eq!(shell.line(), format!("stopped {}", 128 + libc::SIGTSTP));
    // The command has the terminal again.
    assert_eq!(shell.line(), "on");
    shell.press(INTERRUPT);
    // CONT comes from the shell and from nsrun.
    let mut line = shell.line();
    if line == "on" {
        line = shell.line();
    }
    assert_eq!(line, "ended 7");
}

#[test]
fn a_terminal_stops_and_continues_a_command() {
    stops_and_continues("--fork --map-root-user --net");
}

#[test]
fn a_terminal_stops_and_continues_a_command_that_is_pid_1() {
    stops_and_continues("--map-root-user --pid");
}

#[test]
fn a_terminal_of_its_own_has_the_size_and_is_told_of_another() {
    let mut shell = Shell::run(
        "stty rows 33 cols 44; before=$(stty -g)
         \"$NSRUN\" exec --pty sh -c 'stty size; echo $(ps -o tty= -p $$) >&2; trap \"stty size; exit 3\" WINCH; echo ready; while :; do sleep 0.05; done'
         echo ended $?; [ \"$(stty -g)\" = \"$before\" ] && echo as before",
    );
    assert_eq!(shell.line(), "33 44");
    assert_eq!(shell.line(), "ready");
    let size = rustix::termios::Winsize {
        ws_row: 50,
        ws_col: 60,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&shell.terminal, size).unwrap();
    assert_eq!(shell.line(), "50 60");
    assert_eq!(shell.line(), "ended 3");
    assert_eq!(shell.line(), "as before");
}

#[test]
fn keys_reach_the_command_through_its_own_terminal_and_nobody_else() {
    let mut shell = Shell::run(
        "trap 'echo outside' INT
         \"$NSRUN\" exec --pty sh -c 'trap \"echo inside; exit 5\" INT; echo ready; while :; do sleep 0.05; done'; echo ended $?
         before=$(stty -g); \"$NSRUN\" exec --pty sh -c 'echo ready; exec sleep 1000' & child=$!; wait $child; echo stopped $?; kill %1
         fg >/dev/null; echo killed $?; [ \"$(stty -g)\" = \"$before\" ] && echo as before",
    );
    assert_eq!(shell.line(), "ready");
    shell.press(INTERRUPT);
    assert_eq!(shell.line(), "inside");
    assert_eq!(shell.line(), "ended 5");
    // In the background it does not take the keys of who is in front.
    assert_eq!(shell.line(), "ready");
    let pid = shell.child.id();
    let job = String::from_utf8(
        Command::new("pgrep")
            .args(["-P", &pid.to_string(), "-f", "exec --pty"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    assert!(
        Command::new("kill")
            .args(["-TERM", job.trim()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(shell.line(), format!("stopped {}", 128 + libc::SIGTERM));
    let mut rest = String::new();
    while !rest.ends_with("as before") {
        rest = shell.line();
        assert!(rest != "outside", "{rest}");
    }
}

#[test]
fn a_job_that_comes_to_the_front_without_a_stop_hears_what_is_typed() {
    // Unlike dash, bash sends no CONT to a job that runs.
    // At its prompt the terminal has no lines and no echo, which the job's own shall have all the same.
    let mut shell = Shell::run_by(
        "bash",
        "stty -icanon -icrnl -echo; \"$NSRUN\" exec --pty bash -c 'echo ready; read -t 20 line; echo got $line; stty | grep -o -- -icanon' &
         read go; stty sane; echo front; fg >/dev/null; echo ended $?",
    );
    assert_eq!(shell.line(), "ready");
    shell.type_in("\n");
    assert_eq!(shell.line(), "front");
    shell.type_in("this\n");
    assert_eq!(shell.line(), "got this");
    assert_eq!(shell.line(), "ended 1");
}

#[test]
fn without_a_terminal_nothing_hangs() {
    let nsrun = env!("CARGO_BIN_EXE_nsrun");
    for (script, expected) in [
        ("echo hi | timeout 20 $NSRUN exec --pty cat", "hi\r\nhi\r\n"),
        (
            "timeout 20 $NSRUN exec --pty sh -c 'test -t 0 && test -t 1 && echo both' </dev/null",
            "both\r\n",
        ),
        (
            "timeout 20 $NSRUN exec --pty yes | head -n 1; echo $?",
            "y\r\n0\n",
        ),
        (
            "timeout 20 $NSRUN exec --pty sh -c 'exit 7' </dev/null; echo $?",
            "7\n",
        ),
        (
            "timeout 20 $NSRUN exec --pty /no/such </dev/null 2>&1; echo $?",
            "nsrun: exec(/no/such): No such file or directory\r\n127\n",
        ),
        (
            "timeout 20 $NSRUN exec --pty head -c 200000 /dev/zero </dev/null | wc -c",
            "200000\n",
        ),
        (
            "timeout 20 $NSRUN exec --pty sh -c 'kill -KILL $$' </dev/null; echo $?",
            "137\n",
        ),
        (
            "exec <&-; timeout 20 $NSRUN exec --pty echo closed",
            "closed\r\n",
        ),
        // No terminal is made where none is shared.
        (
            "timeout 20 $NSRUN exec --fork -- $NSRUN drop -- sh -c 'test -t 0 || echo none' </dev/null",
            "none\n",
        ),
    ] {
        let output = Command::new("sh")
            .args(["-c", script])
            .env("NSRUN", nsrun)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{script}"
        );
    }
}

#[test]
fn another_user_gets_a_terminal_of_its_own() {
    // Without a user namespace only root can make one of him.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut shell = Shell::run(
        "outer=$(tty); for how in '-S 65534' '-S 65534 --pty=no' '-S 0' '-r -S 0'; do
             \"$NSRUN\" exec --fork $how sh -c \"[ \\$(tty) = $outer ] && echo shared || echo its own\"
         done",
    );
    for expected in ["its own", "shared", "shared", "shared"] {
        assert_eq!(shell.line(), expected);
    }
}

#[test]
fn what_is_dropped_gets_a_terminal_of_its_own() {
    let mut shell = Shell::run(
        "outer=$(tty); for how in '' '--pty=no'; do
             \"$NSRUN\" exec --fork $how -- \"$NSRUN\" drop --keep-env -- sh -c \"[ \\$(tty) = $outer ] && echo shared || echo its own\"
         done",
    );
    assert_eq!(shell.line(), "its own");
    assert_eq!(shell.line(), "shared");
}

#[test]
fn a_loop_ends_when_its_command_is_interrupted_at_a_terminal_of_its_own() {
    for options in ["--pty", "--fork"] {
        let mut shell = Shell::run(&format!(
            "bash -c 'while :; do \"$NSRUN\" exec {options} sh -c \"echo ready; exec sleep 1000\"; done'; echo not heard"
        ));
        assert_eq!(shell.line(), "ready", "{options}");
        shell.press(INTERRUPT);
        // The loop ends, and the shell that waits for it.
        assert_eq!(shell.line(), "", "{options}");
        let status = shell.child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGINT), "{options}");
    }
    // A command that takes the key and goes on, or ends as it likes, ends no loop.
    let mut shell = Shell::run_by(
        "bash",
        "for n in 1 2; do \"$NSRUN\" exec --pty sh -c 'trap \"exit 5\" INT; echo ready; while :; do sleep 0.05; done'; echo ended $?; done",
    );
    for _ in 0..2 {
        assert_eq!(shell.line(), "ready");
        shell.press(INTERRUPT);
        assert_eq!(shell.line(), "ended 5");
    }
}
