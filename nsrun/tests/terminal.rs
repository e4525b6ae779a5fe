//! nsrun as a job of a shell at a terminal. A user namespace where root is missing.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
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
        let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let side = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(ptsname_r(&terminal).unwrap())
            .unwrap();
        let mut child = Command::new("setsid")
            .args(["--ctty", "sh", "-mc", script])
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
