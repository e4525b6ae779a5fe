//! What a pause that holds has in memory, and what the files have in them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy knows tests by #[test], not what they share"
)]

#[macro_use]
mod both;
mod common;

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use common::{
    Running, children, hold, kb, page_in_kb, pause, pause_hold, resident_kb, stat, wait_until,
    wait_until_it_holds,
};

of_both!(the_environment_is_not_kept,);

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
