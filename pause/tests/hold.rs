//! A pause that holds, and `pause-hold`, against the kernel.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use common::{
    ORPHANS, Running, as_pid_1, children, descriptors, output, pause, pause_hold, perl, proc_line,
    scratch, stat, wait_for_pause_below, wait_until, wait_until_it_holds,
};

/// Sends every signal but TERM, INT, KILL and STOP to the pid in `$1`; 32 and 33, which a C library keeps to itself, too.
const ALL_OTHER_SIGNALS: &str =
    "for n in $(seq 1 64); do case $n in 2|9|15|19) ;; *) kill -$n $1 || exit;; esac; done";

/// What both programs do.
macro_rules! of_both {
    ($($test:ident,)*) => {
        mod of_pause {
            $(#[test] fn $test() { super::$test(&super::pause()); })*
        }
        mod of_pause_hold {
            $(#[test] fn $test() { super::$test(&super::pause_hold()); })*
        }
    };
}
of_both!(
    term_and_int_end_it_with_0,
    no_other_signal_matters,
    no_other_signal_matters_to_pid_1,
    stopped_and_continued_it_still_holds,
    pid_1_ends_on_a_term_from_inside,
    a_term_that_comes_before_it_can_be_taken_is_not_lost,
    an_ignored_int_ends_it_all_the_same,
    it_keeps_no_descriptor_and_no_directory,
    the_environment_is_not_kept,
    named_by_its_descriptor_it_is_still_called_pause,
    without_proc_it_holds,
    ten_thousand_orphans_leave_no_zombie_and_do_not_wake_pid_1,
    ten_thousand_orphans_leave_no_zombie_when_it_is_not_pid_1,
    orphans_of_its_own_come_to_it_when_it_is_not_pid_1,
    children_that_ended_before_it_began_are_reaped,
);

/// `pause-hold` takes no notice of arguments.
fn hold(program: &str) -> Running {
    let pause = Running::start(Command::new(program).args(["--id", "foo"]));
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

fn page_in_kb() -> i64 {
    sysconf(SysconfVar::PAGE_SIZE).unwrap().unwrap() / 1024
}

/// Of what is called `kind` in smaps_rollup. `Anonymous` is what no other process can share: a page of the file counts as private
/// while nobody else runs it, and as dirty while it is not on the disk.
fn kb(pid: i32, kind: &str) -> i64 {
    proc_line(pid, "smaps_rollup", kind)
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

fn resident_kb(pid: i32) -> i64 {
    kb(pid, "Rss")
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
        // One of the file, one of argv.
        assert_eq!(
            (resident_kb(held.pid()), kb(held.pid(), "Anonymous")),
            (2 * page_in_kb(), page_in_kb()),
            "environment {size}"
        );
        held.signal(Signal::SIGTERM);
        assert_eq!(held.status(), 0);
    }
}

#[test]
fn one_page_of_pause_hold_is_resident_and_all_of_them_share_it() {
    let held = [hold(&pause_hold()), hold(&pause_hold())];
    for pause in &held {
        assert_eq!(resident_kb(pause.pid()), page_in_kb());
        assert_eq!(kb(pause.pid(), "Anonymous"), 0);
        let private = kb(pause.pid(), "Private_Clean") + kb(pause.pid(), "Private_Dirty");
        assert_eq!(private, 0);
    }
}

fn the_environment_is_not_kept(program: &str) {
    let held = Running::start(Command::new(program).env("SECRET", "sesame"));
    wait_until_it_holds(held.pid());
    assert_eq!(
        fs::read(format!("/proc/{}/environ", held.pid())).unwrap(),
        b""
    );
}

fn named_by_its_descriptor_it_is_still_called_pause(program: &str) {
    let script =
        "open my $file, '<', $ENV{PAUSE} or die; $^F = 9; exec '/proc/self/fd/' . fileno $file";
    let held = Running::start(perl(script).env("PAUSE", program));
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
        let (mut strace, held) = hold_without(&pause(), refused);
        let argv = fs::read_to_string(format!("/proc/{held}/cmdline")).unwrap();
        assert_eq!(argv, format!("{}\0--id\0foo\0", pause()), "{refused}");
        if !refused.starts_with("munmap") {
            assert!(resident_kb(held) <= 2 * page_in_kb(), "{refused}");
        }
        kill(Pid::from_raw(held), Signal::SIGTERM).unwrap();
        assert_eq!(strace.status(), 0, "{refused}");
    }
}

/// Where PR_SET_MM is refused, which may be an emulator that has its own memory beside it, nothing is given back.
#[test]
fn what_the_kernel_refuses_pause_hold_is_gone_without() {
    for (refused, all_is_kept) in [
        ("prctl:error=EINVAL", true),
        ("munmap:error=EPERM", true),
        ("close_range:error=ENOSYS", false),
    ] {
        let (mut strace, held) = hold_without(&pause_hold(), refused);
        let maps = fs::read_to_string(format!("/proc/{held}/maps")).unwrap();
        assert_eq!(maps.contains("[stack]"), all_is_kept, "{refused}: {maps}");
        kill(Pid::from_raw(held), Signal::SIGTERM).unwrap();
        assert_eq!(strace.status(), 0, "{refused}");
    }
}

/// strace, and below it the `program` that holds, to which a system call is refused; the pid of the latter.
fn hold_without(program: &str, refused: &str) -> (Running, i32) {
    let inject = format!("inject={refused}");
    let strace = Running::start(
        Command::new("strace")
            .args(["-qq", "-o", "/dev/null", "-e", &inject])
            .args([program, "--id", "foo"])
            .env("PAD", "x".repeat(20_000))
            .stdin(Stdio::null()),
    );
    let mut held = 0;
    wait_until("a pause below strace", || {
        let found = children(strace.pid());
        held = found
            .into_iter()
            .find(|pid| waits_for_signals(*pid))
            .unwrap_or(0);
        held != 0
    });
    (strace, held)
}

/// A traced process sleeps at every stop as well: what it waits in tells more.
fn waits_for_signals(pid: i32) -> bool {
    let waits = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    stat(pid).is_some_and(|(name, _, _)| name.starts_with("pause"))
        && waits.contains("sigtimedwait")
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

#[test]
fn the_files_are_static_small_and_have_nothing_to_write_to() {
    // One block: less would save nothing. What is possible, for the image.
    for (program, most) in [(pause(), 4096), (pause_hold(), 512)] {
        let file = fs::read(&program).unwrap();
        if program.contains("/release/") && cfg!(target_arch = "x86_64") {
            assert!(file.len() <= most, "{program}: {} bytes", file.len());
        }
        assert_static_and_read_only(&file);
    }
}

#[track_caller]
fn assert_static_and_read_only(file: &[u8]) {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    const PT_GNU_STACK: u32 = 0x6474_e551;
    const PF_X: u32 = 1;
    const PF_W: u32 = 2;
    let u16_at = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    assert_eq!(&file[..7], b"\x7fELF\x02\x01\x01");
    assert_eq!(u16_at(16), 2, "not ET_EXEC");
    // No section headers, and every byte of the file is in the one segment.
    assert_eq!((u64_at(40), u16_at(60)), (0, 0));
    let headers = (0..usize::from(u16_at(56))).map(|n| 64 + 56 * n);
    let segments: Vec<_> = headers
        .map(|at| (u32_at(at), u32_at(at + 4), u64_at(at + 32)))
        .collect();
    assert!(
        segments
            .iter()
            .all(|(kind, ..)| ![PT_DYNAMIC, PT_INTERP].contains(kind)),
        "{segments:?}"
    );
    let of_kind = |wanted: u32| {
        let mut found = segments.iter().filter(|(kind, ..)| *kind == wanted);
        (found.next().copied(), found.next())
    };
    assert!(
        matches!(of_kind(PT_LOAD), (Some((_, flags, size)), None) if flags & PF_W == 0 && size == file.len() as u64),
        "{segments:?}"
    );
    assert!(
        matches!(of_kind(PT_GNU_STACK), (Some((_, flags, _)), None) if flags & PF_X == 0),
        "{segments:?}"
    );
}
