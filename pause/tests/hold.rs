//! A pause that holds, against the kernel.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::{SysconfVar, sysconf};

use common::{
    ORPHANS, Running, as_pid_1, children, descriptors, output, pause, perl, proc_line, scratch,
    stat, wait_for_pause_below, wait_until, wait_until_it_holds,
};

/// Sends every signal but TERM, INT, KILL and STOP to the pid in `$1`; 32 and 33, which a C library keeps to itself, too.
const ALL_OTHER_SIGNALS: &str =
    "for n in $(seq 1 64); do case $n in 2|9|15|19) ;; *) kill -$n $1 || exit;; esac; done";

fn hold() -> Running {
    let pause = Running::start(Command::new(pause()).args(["--id", "foo"]));
    wait_until_it_holds(pause.pid());
    pause
}

#[track_caller]
fn others_do_not_matter(pid: i32) {
    let sent = output(Command::new("sh").args(["-c", ALL_OTHER_SIGNALS, "sh", &pid.to_string()]));
    assert_eq!(sent, (0, String::new(), String::new()));
    assert!(matches!(stat(pid), Some((_, 'S', _))), "{:?}", stat(pid));
    // Nothing is kept for later: real-time signals would pile up.
    assert_eq!(proc_line(pid, "status", "ShdPnd"), "0000000000000000");
}

#[test]
fn term_and_int_end_it_with_0() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut pause = hold();
        pause.signal(signal);
        assert_eq!(pause.status(), 0, "{signal}");
    }
}

#[test]
fn no_other_signal_matters() {
    let mut pause = hold();
    others_do_not_matter(pause.pid());
    pause.signal(Signal::SIGTERM);
    assert_eq!(pause.status(), 0);
}

#[test]
fn no_other_signal_matters_to_pid_1() {
    let mut unshare = Running::start(&mut as_pid_1(&[&pause()]));
    let pause = wait_for_pause_below(unshare.pid());
    others_do_not_matter(pause);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pause), Signal::SIGTERM).unwrap();
    assert_eq!(unshare.status(), 0);
}

#[test]
fn stopped_and_continued_it_still_holds() {
    let mut pause = hold();
    pause.signal(Signal::SIGSTOP);
    wait_until("T", || matches!(stat(pause.pid()), Some((_, 'T', _))));
    pause.signal(Signal::SIGCONT);
    wait_until_it_holds(pause.pid());
    pause.signal(Signal::SIGINT);
    assert_eq!(pause.status(), 0);
}

#[test]
fn pid_1_ends_on_a_term_from_inside() {
    let mut unshare = Running::start(
        as_pid_1(&[
            "sh",
            "-c",
            "exec 3<&0; (read -r go <&3; kill -TERM 1) & exec \"$0\"",
            &pause(),
        ])
        .stdin(Stdio::piped()),
    );
    wait_for_pause_below(unshare.pid());
    drop(unshare.stdin.take());
    assert_eq!(unshare.status(), 0);
}

#[test]
fn a_term_that_comes_before_it_can_be_taken_is_not_lost() {
    let early = "use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM)); kill TERM => $$; exec $ENV{PAUSE}";
    assert_eq!(output(&mut perl(early)).0, 0);
    let pid_1 = output(as_pid_1(&["perl", "-e", early]).env("PAUSE", pause()));
    assert_eq!(pid_1, (0, String::new(), String::new()));
}

#[test]
fn an_ignored_int_ends_it_all_the_same() {
    let mut pause =
        Running::start(Command::new("sh").args(["-c", "trap '' INT TERM; exec \"$0\"", &pause()]));
    wait_until_it_holds(pause.pid());
    pause.signal(Signal::SIGINT);
    assert_eq!(pause.status(), 0);
}

#[test]
fn it_keeps_no_descriptor_and_no_directory() {
    let dir = scratch("directory");
    let mut held = Running::start(
        Command::new("sh")
            .args(["-c", "exec \"$0\" 7</dev/null 9</dev/null 2>&1", &pause()])
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

/// Twice the page, which is the one of the text, shared, and the one of argv.
fn two_pages_in_kb() -> i64 {
    sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() / 1024 * 2
}

fn resident_kb(pid: i32) -> i64 {
    proc_line(pid, "smaps_rollup", "Rss")
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

#[test]
fn two_pages_are_resident_and_argv_shows_the_id_wherever_the_kernel_put_it() {
    let id = "x".repeat(128);
    // Argv is below the environment: this moves it across the pages.
    for size in (0..5000).step_by(250) {
        let mut command = Command::new(pause());
        let mut held = Running::start(
            command
                .args(["--id", &id])
                .env_clear()
                .env("PAD", "x".repeat(size)),
        );
        wait_until_it_holds(held.pid());
        let argv = fs::read_to_string(format!("/proc/{}/cmdline", held.pid())).unwrap();
        assert_eq!(argv, format!("{}\0--id\0{id}\0", pause()));
        assert!(
            resident_kb(held.pid()) <= two_pages_in_kb(),
            "{} kB, environment {size}",
            resident_kb(held.pid())
        );
        held.signal(Signal::SIGTERM);
        assert_eq!(held.status(), 0);
    }
}

#[test]
fn the_environment_is_not_kept() {
    let held = Running::start(Command::new(pause()).env("SECRET", "sesame"));
    wait_until_it_holds(held.pid());
    assert_eq!(
        fs::read(format!("/proc/{}/environ", held.pid())).unwrap(),
        b""
    );
}

#[test]
fn named_by_its_descriptor_it_is_still_called_pause() {
    let script =
        "open my $file, '<', $ENV{PAUSE} or die; $^F = 9; exec '/proc/self/fd/' . fileno $file";
    let held = Running::start(&mut perl(script));
    wait_until_it_holds(held.pid());
}

/// Kernels without CONFIG_CHECKPOINT_RESTORE, memory that cannot be had or given back, no /proc: it holds.
#[test]
fn what_the_kernel_refuses_is_gone_without() {
    for refused in [
        "prctl:error=EINVAL",
        "mmap:error=ENOMEM",
        "munmap:error=EPERM",
        "openat:error=ENOENT",
        "write:error=EACCES",
        "close_range:error=ENOSYS",
    ] {
        let inject = format!("inject={refused}");
        let mut strace = Running::start(
            Command::new("strace")
                .args([
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    &inject,
                    &pause(),
                    "--id",
                    "foo",
                ])
                .env("PAD", "x".repeat(20_000))
                .stdin(Stdio::null()),
        );
        let mut held = 0;
        wait_until("a pause below strace", || {
            let found = children(strace.pid());
            held = found
                .into_iter()
                .find(|pid| proc_line_is(*pid, "pause"))
                .unwrap_or(0);
            held != 0
        });
        let argv = fs::read_to_string(format!("/proc/{held}/cmdline")).unwrap();
        assert_eq!(argv, format!("{}\0--id\0foo\0", pause()), "{refused}");
        if !refused.starts_with("munmap") {
            assert!(resident_kb(held) <= two_pages_in_kb(), "{refused}");
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(held), Signal::SIGTERM).unwrap();
        assert_eq!(strace.status(), 0, "{refused}");
    }
}

/// A traced process sleeps at every stop as well: what it waits in tells more.
fn proc_line_is(pid: i32, name: &str) -> bool {
    let waits = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    stat(pid).is_some_and(|(comm, _, _)| comm == name) && waits.contains("sigtimedwait")
}

#[test]
fn without_proc_it_holds() {
    let script = "mount -t tmpfs none /proc && exec \"$0\"";
    let mut unshare = Running::start(&mut as_pid_1(&["sh", "-c", script, &pause()]));
    let pause = wait_for_pause_below(unshare.pid());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pause), Signal::SIGTERM).unwrap();
    assert_eq!(unshare.status(), 0);
}

#[test]
fn ten_thousand_orphans_leave_no_zombie_and_do_not_wake_pid_1() {
    let script = format!(
        "{ORPHANS} if (!fork) {{ sysread STDIN, $_, 1; orphans(10000); POSIX::_exit(0) }} exec $ENV{{PAUSE}}"
    );
    let mut command = as_pid_1(&["perl", "-e", &script]);
    command
        .env("PAUSE", pause())
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

#[test]
fn orphans_of_its_own_come_to_it_when_it_is_not_pid_1() {
    let orphan = "if (!fork) {
            my $parent = $$;
            if (!fork) { 1 while getppid == $parent; $| = 1; print getppid, qq(\n); sysread STDIN, $_, 1; exit }
            exit if sysread STDIN, $_, 1;
        }
        exec $ENV{PAUSE}";
    let mut started = Running::start(perl(orphan).stdin(Stdio::piped()).stdout(Stdio::piped()));
    wait_until_it_holds(started.pid());
    started.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    assert_eq!(started.lines().line(), started.pid().to_string());
    drop(started.stdin.take());
    wait_until("no child, zombie or not", || {
        children(started.pid()).is_empty()
    });
}

#[test]
fn children_that_ended_before_it_began_are_reaped() {
    let script = "my $pid = fork // die; exit if !$pid;
        do { open my $stat, '<', \"/proc/$pid/stat\" or die; $_ = <$stat> } until / Z /;
        exec $ENV{PAUSE}";
    let held = Running::start(&mut perl(script));
    wait_until_it_holds(held.pid());
    assert_eq!(children(held.pid()), []);
}

#[test]
fn its_oom_score_is_lowered_where_that_is_allowed() {
    let lower = "echo -998 >/proc/self/oom_score_adj && cat /proc/self/oom_score_adj || cat /proc/self/oom_score_adj";
    let (_, possible, _) = output(Command::new("sh").args(["-c", lower]));
    let held = hold();
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", held.pid())).unwrap();
    assert_eq!(score, possible);
}

#[test]
fn the_file_is_static_small_and_has_nothing_to_write_to() {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    const PF_W: u32 = 2;
    let file = fs::read(pause()).unwrap();
    // One block: less would save nothing.
    if pause().contains("/release/") {
        assert!(file.len() <= 4096, "{} bytes", file.len());
    }
    let u16_at = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(&file[..5], b"\x7fELF\x02");
    assert_eq!(u16_at(16), 2, "not ET_EXEC");
    let headers = (0..usize::from(u16_at(56))).map(|n| 64 + 56 * n);
    let segments: Vec<_> = headers.map(|at| (u32_at(at), u32_at(at + 4))).collect();
    assert!(
        segments
            .iter()
            .all(|(kind, _)| ![PT_DYNAMIC, PT_INTERP].contains(kind)),
        "{segments:?}"
    );
    let loaded: Vec<_> = segments
        .iter()
        .filter(|(kind, _)| *kind == PT_LOAD)
        .collect();
    assert!(
        matches!(loaded[..], [(_, flags)] if flags & PF_W == 0),
        "{segments:?}"
    );
}
