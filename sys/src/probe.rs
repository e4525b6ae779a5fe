//! Trying what the kernel allows, in a child that ends with whatever it made: nothing of the caller's changes.
#![expect(
    unsafe_code,
    reason = "fork and clone3 have no safe wrapper, as a child could meet another thread's lock"
)]

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::ToErrno;

/// What the kernel said to a call that was tried.
pub type Answer = Result<(), Errno>;

/// A child that takes longer hangs, and is ended.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 5 });

/// What a child found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    told: Vec<(String, Answer)>,
    /// Why it told no more: it could not be made, hung, or a signal ended it.
    broken: Option<Errno>,
}

impl Answers {
    /// To the call that was told as `name`. None: it came to no try.
    ///
    /// A child that a seccomp filter ended says `ENOSYS` to what it did not come to, one that another signal ended `EINTR`,
    /// and one that hung `ETIMEDOUT`.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<Answer> {
        let told = self.told.iter().find(|(told, _)| told == name);
        told.map(|(_, answer)| *answer).or(self.broken.map(Err))
    }

    /// Everything that was told, in order.
    pub fn told(&self) -> impl Iterator<Item = (&str, Answer)> {
        let told = self.told.iter();
        told.map(|(name, answer)| (name.as_str(), *answer))
    }
}

impl<'a> FromIterator<(&'a str, Answer)> for Answers {
    /// As if a child had told them.
    fn from_iter<I: IntoIterator<Item = (&'a str, Answer)>>(answers: I) -> Self {
        let told = answers.into_iter();
        Self {
            told: told
                .map(|(name, answer)| (name.to_owned(), answer))
                .collect(),
            broken: None,
        }
    }
}

/// Where a child says what it finds out, at once: what it said stays said should the next call end it.
#[derive(Debug)]
pub struct Teller(PipeWriter);

impl Teller {
    /// Tells the answer to the call `name`, a word. Returns what came of it, if anything did.
    pub fn tell<T, E: ToErrno>(&mut self, name: &str, answer: Result<T, E>) -> Option<T> {
        let (errno, value) = match answer {
            Ok(value) => (0, Some(value)),
            Err(error) => (error.to_errno() as i32, None),
        };
        // Should nobody listen any more, nobody has to know.
        let _ = self.0.write_all(format!("{name} {errno}\n").as_bytes());
        value
    }

    /// Hands on what a child of the child found out: `names` of it.
    pub fn pass(&mut self, answers: &Answers, names: &[&str]) {
        for name in names {
            if let Some(answer) = answers.of(name) {
                self.tell(name, answer);
            }
        }
    }
}

/// Does `work` in a child and returns what it told. The child is gone then; it dies with us, too.
///
/// Only for a process with one thread, as every tool's is when it probes.
pub fn in_child(work: impl FnOnce(&mut Teller)) -> Answers {
    let broken = |errno| Answers {
        told: Vec::new(),
        broken: Some(errno),
    };
    let (reader, writer) = match pipe() {
        Ok(ends) => ends,
        Err(error) => return broken(error.to_errno()),
    };
    // SAFETY: this process has one thread (the contract above), so no lock is held by a thread that the child lacks.
    match unsafe { fork() } {
        Err(errno) => broken(errno),
        Ok(ForkResult::Child) => {
            drop(reader);
            let _ = set_pdeathsig(Signal::SIGKILL);
            work(&mut Teller(writer));
            exit_now()
        }
        Ok(ForkResult::Parent { child }) => {
            drop(writer);
            listen(reader, child)
        }
    }
}

/// What the child says until it has ended, or its time is over.
fn listen(mut reader: PipeReader, child: Pid) -> Answers {
    let until = Instant::now() + PATIENCE;
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    let mut broken = None;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        let mut fds = [PollFd::from_borrowed_fd(reader.as_fd(), PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(0) => {
                broken = Some(Errno::ETIMEDOUT);
                // Not waited for, so the number is still the child's.
                let _ = kill(child, Signal::SIGKILL);
                break;
            }
            Ok(_) => match reader.read(&mut part) {
                Ok(0) => break,
                Ok(length) => text.extend_from_slice(&part[..length]),
                Err(error) if error.to_errno() == Errno::EINTR => {}
                Err(_) => break,
            },
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    let end = loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            end => break end,
        }
    };
    if let Ok(WaitStatus::Signaled(_, signal, _)) = end {
        // A filter that kills sends SIGSYS.
        broken = broken.or(Some(match signal {
            Signal::SIGSYS => Errno::ENOSYS,
            _ => Errno::EINTR,
        }));
    }
    let told = String::from_utf8_lossy(&text);
    let told = told.lines().filter_map(|line| {
        let (name, errno) = line.split_once(' ')?;
        let answer = match errno.parse().ok()? {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        };
        Some((name.to_owned(), answer))
    });
    Answers {
        told: told.collect(),
        broken,
    }
}

/// For a child: root in a new user namespace, with a new namespace of each kind in `others`.
///
/// Tells `unshare` and, if `map`, `map`: without a map it has every capability as well, but no user to make files as.
/// True: all of that went.
pub fn enter_user_namespace(tell: &mut Teller, others: CloneFlags, map: bool) -> bool {
    let (uid, gid) = (geteuid(), getegid());
    let answer = unshare(CloneFlags::CLONE_NEWUSER | others);
    if tell.tell("unshare", answer).is_none() {
        return false;
    }
    if !map {
        return true;
    }
    // setgroups(2) has to be denied before an unprivileged process may write the map of groups; user_namespaces(7).
    let mapped = fs::write("/proc/self/setgroups", "deny")
        .and_then(|()| fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
        .and_then(|()| fs::write("/proc/self/gid_map", format!("0 {gid} 1")));
    tell.tell("map", mapped).is_some()
}

/// `CLONE_INTO_CGROUP` of linux/sched.h, Linux 5.7.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A process by clone3(2), Linux 5.3, that ends at once and is waited for; born in `group`, if one is given.
///
/// # Errors
/// As clone(2). `EBADF` for a `group` that is none: the kernel knows of such births (Linux 5.7).
pub fn clone3_into(group: Option<BorrowedFd<'_>>) -> Answer {
    // SAFETY: all-zero is what clone3 documents as "not given" for every field.
    let mut arguments: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    arguments.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(group) = group {
        arguments.flags = CLONE_INTO_CGROUP;
        arguments.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM the child has its own copy of memory and stack, as after fork(2), and only ends. The
    // structure lives through the call and its size is passed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match Errno::result(answer)? {
        0 => exit_now(),
        // A pid fits an int by the kernel's own limit (PID_MAX_LIMIT, 2^22).
        pid => {
            let _ = waitpid(Pid::from_raw(pid as i32), None);
            Ok(())
        }
    }
}

/// Ends this process at once: no destructor runs, and no buffer of the parent is written twice.
fn exit_now() -> ! {
    // SAFETY: _exit(2) takes an integer and does not return; nothing of Rust's runs after it.
    unsafe { libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{getpid, getppid};
    use std::fs::File;

    #[test]
    fn a_child_tells_and_is_gone() {
        let own = getpid();
        let answers = in_child(|tell| {
            assert_eq!(getppid(), own);
            assert_eq!(tell.tell("good", Ok::<_, Errno>(7)), Some(7));
            assert_eq!(tell.tell("bad", Err::<(), _>(Errno::EPERM)), None);
            let inner = in_child(|tell| {
                tell.tell("inner", Err::<(), _>(Errno::ENOSPC));
            });
            tell.pass(&inner, &["inner", "outer"]);
        });
        assert_eq!(answers.of("good"), Some(Ok(())));
        assert_eq!(answers.of("bad"), Some(Err(Errno::EPERM)));
        assert_eq!(answers.of("inner"), Some(Err(Errno::ENOSPC)));
        assert_eq!(answers.of("outer"), None);
    }

    #[test]
    fn what_was_said_before_a_signal_stays_said() {
        for (signal, errno) in [
            (Signal::SIGSYS, Errno::ENOSYS),
            (Signal::SIGKILL, Errno::EINTR),
        ] {
            let answers = in_child(|tell| {
                tell.tell("first", Ok::<_, Errno>(()));
                let _ = kill(getpid(), signal);
            });
            assert_eq!(answers.of("first"), Some(Ok(())));
            assert_eq!(answers.of("second"), Some(Err(errno)));
        }
    }

    #[test]
    fn a_child_that_hangs_is_ended() {
        let begin = Instant::now();
        let answers = in_child(|tell| {
            tell.tell("first", Ok::<_, Errno>(()));
            std::thread::sleep(4 * PATIENCE);
        });
        assert!(begin.elapsed() < 2 * PATIENCE);
        assert_eq!(answers.of("second"), Some(Err(Errno::ETIMEDOUT)));
    }

    #[test]
    fn a_process_is_born_and_a_file_is_no_group() {
        assert_eq!(clone3_into(None), Ok(()));
        let file = File::open("/proc/self/status").unwrap();
        assert_eq!(clone3_into(Some(file.as_fd())), Err(Errno::EBADF));
    }

    #[test]
    fn a_user_namespace_is_entered_by_a_child_only() {
        let own = fs::read_link("/proc/self/ns/user").unwrap();
        let answers = in_child(|tell| {
            if enter_user_namespace(tell, CloneFlags::CLONE_NEWUTS, true) {
                let moved = fs::read_link("/proc/self/ns/user").is_ok_and(|now| now != own);
                let answer = if moved && geteuid().is_root() {
                    Ok(())
                } else {
                    Err(Errno::EIO)
                };
                tell.tell("moved", answer);
            }
        });
        assert_ne!(answers.of("unshare"), None);
        if answers.of("map") == Some(Ok(())) {
            assert_eq!(answers.of("moved"), Some(Ok(())));
        }
        assert_eq!(fs::read_link("/proc/self/ns/user").unwrap(), own);
    }
}
