//! A pause that holds, and `pause-hold`, against the kernel.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

#[macro_use]
mod both;
mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{
    ORPHANS, Running, as_pid_1, children, descriptors, hold, output, pause, perl, proc_line,
    resident_kb, scratch, stat, wait_for_pause_below, wait_until, wait_until_it_holds,
};

/// Sends every signal but TERM, INT, KILL and STOP to the pid in `$1`; 32 and 33, which a C library keeps to itself, too.
const ALL_OTHER_SIGNALS: &str =
    "for n in $(seq 1 64); do case $n in 2|9|15|19) ;; *) kill -$n $1 || exit;; esac; done";

of_both!(
    term_and_int_end_it_with_0,
    no_other_signal_matters,
    no_other_signal_matters_to_pid_1,
    stopped_and_continued_it_still_holds,
    pid_1_ends_on_a_term_from_inside,
    a_term_that_comes_before_it_can_be_taken_is_not_lost,
    an_ignored_int_ends_it_all_the_same,
    it_keeps_no_descriptor_and_no_directory,
    named_by_its_descriptor_it_is_still_called_pause,
    without_proc_it_holds,
    ten_thousand_orphans_leave_no_zombie_and_do_not_wake_pid_1,
    ten_thousand_orphans_leave_no_zombie_when_it_is_not_pid_1,
    orphans_of_its_own_come_to_it_when_it_is_not_pid_1,
    children_that_ended_before_it_began_are_reaped,
);

#[track_caller]
fn others_do_not_matter(pid: i32) {
    let sent = output(Command::new("sh").args(["-c", ALL_OTHER_SIGNALS, "sh", &pid.to_string()]));
    assert_eq!(sent, (0, String::new(), String::new()));
    assert!(matches!(stat(pid), Some((_, 'S', _))), "{:?}", stat(pid));
    // Nothing is kept for later: real-time signals would pile up.
    assert_eq!(proc_line(pid, "status", "ShdPnd"), "0000000000000000");
}

fn term_and_int_end_it_with_0(program: &str) {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut pause = hold(program);
        pause.signal(signal);
        assert_eq!(pause.status(), 0, "{signal}");
    }
}

fn no_other_signal_matters(program: &str) {
    let mut pause = hold(program);
    others_do_not_matter(pause.pid());
    pause.signal(Signal::SIGTERM);
    assert_eq!(pause.status(), 0);
}

fn no_other_signal_matters_to_pid_1(program: &str) {
    let mut unshare = Running::start(&mut as_pid_1(&[program]));
    let pause = wait_for_pause_below(unshare.pid());
    others_do_not_matter(pause);
    kill(Pid::from_raw(pause), Signal::SIGTERM).unwrap();
    assert_eq!(unshare.status(), 0);
}

fn stopped_and_continued_it_still_holds(program: &str) {
    let mut pause = hold(program);
    pause.signal(Signal::SIGSTOP);
    wait_until("T", || matches!(stat(pause.pid()), Some((_, 'T', _))));
    pause.signal(Signal::SIGCONT);
    wait_until_it_holds(pause.pid());
    pause.signal(Signal::SIGINT);
    assert_eq!(pause.status(), 0);
}

fn pid_1_ends_on_a_term_from_inside(program: &str) {
    let mut unshare = Running::start(
        as_pid_1(&[
            "sh",
            "-c",
            "exec 3<&0; (read -r go <&3; kill -TERM 1) & exec \"$0\"",
            program,
        ])
        .stdin(Stdio::piped()),
    );
    wait_for_pause_below(unshare.pid());
    drop(unshare.stdin.take());
    assert_eq!(unshare.status(), 0);
}

fn a_term_that_comes_before_it_can_be_taken_is_not_lost(program: &str) {
    let early = "use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM)); kill TERM => $$; exec $ENV{PAUSE}";
    assert_eq!(output(perl(early).env("PAUSE", program)).0, 0);
    let pid_1 = output(as_pid_1(&["perl", "-e", early]).env("PAUSE", program));
    assert_eq!(pid_1, (0, String::new(), String::new()));
}

fn an_ignored_int_ends_it_all_the_same(program: &str) {
    let mut pause =
        Running::start(Command::new("sh").args(["-c", "trap '' INT TERM; exec \"$0\"", program]));
    wait_until_it_holds(pause.pid());
    pause.signal(Signal::SIGINT);
    assert_eq!(pause.status(), 0);
}

fn it_keeps_no_descriptor_and_no_directory(program: &str) {
    let dir = scratch("directory");
    let mut held = Running::start(
        Command::new("sh")
            .args(["-c", "exec \"$0\" 7</dev/null 9</dev/null 2>&1", program])
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    // The end of the file comes while pause goes on: nobody else holds the pipe.
    assert_eq!(held.lines().rest(), [""; 0]);
    wait_until_it_holds(held.pid());
    assert!(held.stdin.take().unwrap().write_all(b"x").is_err());
    assert_eq!(descriptors(held.pid()), 0);
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", held.pid())).unwrap(),
        Path::new("/")
    );
    fs::remove_dir(dir).unwrap();
}

fn named_by_its_descriptor_it_is_still_called_pause(program: &str) {
    let script =
        "open my $file, '<', $ENV{PAUSE} or die; $^F = 9; exec '/proc/self/fd/' . fileno $file";
    let held = Running::start(perl(script).env("PAUSE", program));
    wait_until_it_holds(held.pid());
}

fn without_proc_it_holds(program: &str) {
    let script = "mount -t tmpfs none /proc && exec \"$0\"";
    let mut unshare = Running::start(&mut as_pid_1(&["sh", "-c", script, program]));
    let pause = wait_for_pause_below(unshare.pid());
    kill(Pid::from_raw(pause), Signal::SIGTERM).unwrap();
    assert_eq!(unshare.status(), 0);
}

fn ten_thousand_orphans_leave_no_zombie_and_do_not_wake_pid_1(program: &str) {
    let script = format!(
        "{ORPHANS} if (!fork) {{ sysread STDIN, $_, 1; orphans(10000); POSIX::_exit(0) }} exec $ENV{{PAUSE}}"
    );
    let mut command = as_pid_1(&["perl", "-e", &script]);
    command
        .env("PAUSE", program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut unshare = Running::start(&mut command);
    let pause = wait_for_pause_below(unshare.pid());
    let wakes = || proc_line(pause, "status", "voluntary_ctxt_switches");
    let before = (wakes(), resident_kb(pause));
    unshare.stdin.take().unwrap().write_all(b"x").unwrap();
    assert_eq!(unshare.lines().line(), "done");
    wait_until("no child, zombie or not", || children(pause).is_empty());
    assert_eq!((wakes(), resident_kb(pause)), before);
}

fn ten_thousand_orphans_leave_no_zombie_when_it_is_not_pid_1(program: &str) {
    // One more, which says whose it is when its parent has ended.
    const LAST: &str = "my $parent = $$;
        if (!fork) { 1 while getppid == $parent; syswrite STDOUT, getppid . qq(\n); sysread STDIN, $_, 1; POSIX::_exit(0) }";
    let script = format!(
        "{ORPHANS} if (!fork) {{ sysread STDIN, $_, 1; orphans(10000); {LAST} POSIX::_exit(0) }} exec $ENV{{PAUSE}}"
    );
    let mut command = perl(&script);
    command
        .env("PAUSE", program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut started = Running::start(&mut command);
    let pause = started.pid();
    wait_until_it_holds(pause);
    let wakes = || proc_line(pause, "status", "voluntary_ctxt_switches");
    let before = (wakes(), resident_kb(pause));
    started.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    let mut lines = started.lines();
    assert_eq!(
        [lines.line(), lines.line()],
        ["done".to_owned(), pause.to_string()]
    );
    drop(started.stdin.take());
    wait_until("no child, zombie or not", || children(pause).is_empty());
    assert_eq!((wakes(), resident_kb(pause)), before);
}

fn orphans_of_its_own_come_to_it_when_it_is_not_pid_1(program: &str) {
    let orphan = "if (!fork) {
            my $parent = $$;
            if (!fork) { 1 while getppid == $parent; $| = 1; print getppid, qq(\n); sysread STDIN, $_, 1; exit }
            exit if sysread STDIN, $_, 1;
        }
        exec $ENV{PAUSE}";
    let mut started = Running::start(
        perl(orphan)
            .env("PAUSE", program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    wait_until_it_holds(started.pid());
    started.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    assert_eq!(started.lines().line(), started.pid().to_string());
    drop(started.stdin.take());
    wait_until("no child, zombie or not", || {
        children(started.pid()).is_empty()
    });
}

fn children_that_ended_before_it_began_are_reaped(program: &str) {
    let script = "my $pid = fork // die; exit if !$pid;
        do { open my $stat, '<', \"/proc/$pid/stat\" or die; $_ = <$stat> } until / Z /;
        exec $ENV{PAUSE}";
    let held = Running::start(perl(script).env("PAUSE", program));
    wait_until_it_holds(held.pid());
    assert_eq!(children(held.pid()), []);
}

#[test]
fn its_oom_score_is_lowered_where_that_is_allowed() {
    let lower = "echo -998 >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj || cat /proc/self/oom_score_adj";
    let (_, possible, _) = output(Command::new("sh").args(["-c", lower]));
    let held = hold(&pause());
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", held.pid())).unwrap();
    assert_eq!(score, possible);
}
