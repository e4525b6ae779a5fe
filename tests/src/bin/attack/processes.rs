//! Processes outside: seen, signalled, traced, read.

use std::fs;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpgrp};

use crate::{Attempt, Report, Why, number, text};

/// `attack processes PID NAME`: a process of the host called NAME, by its number there.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let (pid, name) = (Pid::from_raw(number(arguments, 0)), text(arguments, 1));
    report.line("seen", seen(name));
    report.line(
        "signal",
        kill(pid, None).why().map(|()| "it is there".into()),
    );
    report.line("trace", trace(pid));
    report.line("memory", memory(pid));
    report.line("group", group());
}

fn seen(name: &str) -> Attempt {
    let entries = fs::read_dir("/proc").why()?.flatten();
    let line = |path: std::path::PathBuf| fs::read_to_string(path.join("cmdline")).ok();
    let found = entries
        .filter_map(|entry| line(entry.path()))
        .find(|line| line.contains(name) && !line.contains("attack"));
    found.ok_or_else(|| "nowhere in /proc".into())
}

/// Attaches to a process, and lets it go on.
#[expect(unsafe_code, reason = "ptrace has no safe wrapper here")]
pub(crate) fn trace(pid: Pid) -> Attempt {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: attaching and detaching read and write no memory of this process.
    let request =
        |request| Errno::result(unsafe { libc::ptrace(request, pid.as_raw(), none, none) });
    // Not PTRACE_ATTACH, whose SIGSTOP could stay behind.
    request(libc::PTRACE_SEIZE).why()?;
    let _ = request(libc::PTRACE_INTERRUPT).map(|_| waitpid(pid, None));
    let _ = request(libc::PTRACE_DETACH);
    Ok("attached".into())
}

fn memory(pid: Pid) -> Attempt {
    fs::File::open(format!("/proc/{pid}/mem")).why()?;
    fs::read(format!("/proc/{pid}/environ")).why()?;
    Ok("it opens".into())
}

/// The group of the shell that started the box, which USR1 reaches if it is ours as well.
fn group() -> Attempt {
    let group = getpgrp();
    // SIGUSR1 would end us as well.
    let old = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::SigIgn,
        nix::sys::signal::SaFlags::empty(),
        nix::sys::signal::SigSet::empty(),
    );
    ignore(&old)?;
    kill(Pid::from_raw(0), Signal::SIGUSR1).why()?;
    // 0: the leader is outside of this pid namespace.
    match group.as_raw() {
        0 => Ok("a group of somebody outside".into()),
        own => Err(format!("group {own}")),
    }
}

#[expect(unsafe_code, reason = "sigaction is unsafe for handlers that run code")]
fn ignore(action: &nix::sys::signal::SigAction) -> Result<(), String> {
    // SAFETY: the signal is ignored, no code runs.
    unsafe { nix::sys::signal::sigaction(Signal::SIGUSR1, action) }
        .why()
        .map(drop)
}
