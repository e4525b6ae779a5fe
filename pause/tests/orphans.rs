//! What a pause that is a command's init reaps, and what it does not.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{ORPHANS, Running, as_pid_1, children, init, pause, perl, wait_until};

#[track_caller]
fn only_the_command_is_left(mut command: Command, pid_1: bool) {
    let mut started = Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
    let mut lines = started.lines();
    assert_eq!(lines.line(), "done");
    let command: i32 = lines.line().parse().unwrap();
    let pause = if pid_1 {
        children(started.pid())[0]
    } else {
        started.pid()
    };
    wait_until("no child but the command", || children(pause).len() == 1);
    if !pid_1 {
        assert_eq!(children(pause), [command]);
    }
    drop(started.stdin.take());
    assert_eq!(started.status(), 5);
}

fn orphans_of_a_command(count: usize) -> String {
    format!(
        "{ORPHANS} if (!fork) {{ orphans({count}); POSIX::_exit(0) }} wait; $| = 1; print \"$$\\n\"; sysread STDIN, $_, 1; exit 5"
    )
}

#[test]
fn orphans_are_reaped_by_pid_1() {
    only_the_command_is_left(
        as_pid_1(&[&pause(), "--", "perl", "-e", &orphans_of_a_command(3000)]),
        true,
    );
}

#[test]
fn orphans_are_reaped_when_it_is_not_pid_1() {
    only_the_command_is_left(init(&orphans_of_a_command(300)), false);
}

#[test]
fn orphans_come_to_it_when_it_is_not_pid_1() {
    let script = "if (!fork) {
            my $parent = $$;
            if (!fork) { 1 while getppid == $parent; $| = 1; print getppid, qq(\n); exit }
            exit;
        }
        sysread STDIN, $_, 1";
    let mut started = Running::start(&mut init(script));
    assert_eq!(started.lines().line(), started.pid().to_string());
    drop(started.stdin.take());
    assert_eq!(started.status(), 0);
}

#[test]
fn children_of_the_process_it_was_are_not_taken_for_the_command() {
    let script = "if (!fork) { exit 3 } exec $ENV{PAUSE}, '--', 'perl', '-e', 'sysread STDIN, $_, 1; exit 4'";
    let mut started = Running::start(perl(script).stdin(Stdio::piped()));
    wait_until("the command alone", || {
        let left = children(started.pid());
        left.len() == 1
            && fs::read_to_string(format!("/proc/{}/cmdline", left[0]))
                .is_ok_and(|line| line.contains("exit 4"))
    });
    drop(started.stdin.take());
    assert_eq!(started.status(), 4);
}
