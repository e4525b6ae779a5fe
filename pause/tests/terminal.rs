//! A pause that is a command's init, at a terminal.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::Signal;

use common::{Running, pause};

/// A terminal, and `command` as the leader of its session.
fn on_a_terminal(command: &[&str]) -> (File, Running) {
    // Not openpty(3): other tests' children would inherit it, and it would never hang up.
    let terminal = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let side = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&terminal).unwrap());
    let side = side.unwrap();
    let mut setsid = Command::new("setsid");
    setsid
        .arg("--ctty")
        .args(command)
        .env("PAUSE", pause())
        .stdin(side.try_clone().unwrap())
        .stderr(side);
    let started = Running::start(setsid.stdout(Stdio::piped()));
    (File::from(OwnedFd::from(terminal)), started)
}

#[test]
fn what_the_terminal_sent_to_the_group_is_not_sent_again() {
    // The command has left the group, so that whatever comes to it comes from pause: first of all USR1.
    let ears = "$| = 1; for my $name (qw(INT QUIT WINCH USR1)) { $SIG{$name} = sub { print \"$name\\n\"; exit 8 } }
        print \"ready\\n\"; sleep 1000 while 1";
    let (mut terminal, mut started) =
        on_a_terminal(&[&pause(), "--", "setsid", "perl", "-e", ears]);
    let mut lines = started.lines();
    assert_eq!(lines.line(), "ready");
    // ^C and ^\ go to the foreground group, in which pause is: each has been sent when its echo is there.
    terminal.write_all(b"\x03\x1c").unwrap();
    let mut echo = String::new();
    while !echo.contains("^\\") {
        let mut byte = [0];
        terminal.read_exact(&mut byte).unwrap();
        echo.push(byte[0].into());
    }
    started.signal(Signal::SIGUSR1);
    assert_eq!(lines.rest(), ["USR1"]);
    assert_eq!(started.status(), 8);
}

#[test]
fn the_command_keeps_the_terminal_and_its_keys() {
    let ears = "$| = 1; $SIG{INT} = sub { exit 42 }; print -t STDIN && POSIX::tcgetpgrp(0) == getpgrp ? \"mine\\n\" : \"lost\\n\";
        sleep 1000 while 1";
    let (mut terminal, mut started) =
        on_a_terminal(&[&pause(), "--", "perl", "-MPOSIX", "-e", ears]);
    assert_eq!(started.lines().line(), "mine");
    terminal.write_all(b"\x03").unwrap();
    assert_eq!(started.status(), 42);
}

#[test]
fn a_terminal_that_goes_tells_its_leader_and_so_the_command() {
    let ears = "$| = 1; $SIG{HUP} = sub { exit 43 }; print \"ready\\n\"; sleep 1000 while 1";
    let (terminal, mut started) = on_a_terminal(&[&pause(), "--", "perl", "-e", ears]);
    assert_eq!(started.lines().line(), "ready");
    drop(terminal);
    assert_eq!(started.status(), 43);
}

#[test]
fn job_control_stops_both_and_goes_on_with_both() {
    let ears = "$| = 1; $SIG{CONT} = sub { print \"on\\n\" }; $SIG{INT} = sub { exit 7 }; print \"ready\\n\"; sleep 1000 while 1";
    // A shell with job control is the leader; pause and the command are one job of it.
    let script = "\"$PAUSE\" -- perl -e \"$0\"; echo stopped $?; fg >/dev/null; echo ended $?";
    let (mut terminal, mut started) = on_a_terminal(&["sh", "-mc", script, ears]);
    let mut lines = started.lines();
    assert_eq!(lines.line(), "ready");
    terminal.write_all(b"\x1a").unwrap();
    assert_eq!(
        lines.line(),
        format!("stopped {}", 128 + Signal::SIGTSTP as i32)
    );
    assert_eq!(lines.line(), "on");
    terminal.write_all(b"\x03").unwrap();
    // The shell's CONT went to both, so pause's may come on top.
    let rest: Vec<_> = lines
        .rest()
        .into_iter()
        .filter(|line| line != "on")
        .collect();
    assert_eq!(rest, ["ended 7"]);
    started.status();
}
