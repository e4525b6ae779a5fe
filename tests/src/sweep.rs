//! Fault sweeps: a tool is stopped at each of its system calls that change something, one call a run.
//!
//! strace(1) counts the calls of one good run, then injects a fault at the n-th of each. A signal is delivered at the entry of
//! a call, which then has no effect.

use std::collections::BTreeMap;
use std::env;
use std::fmt;

use crate::Node;

/// Calls that make, change or end something, and those that get what is needed for it.
const CALLS: &str = "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,\
    open,openat,openat2,creat,write,writev,pwrite64,copy_file_range,sendfile,ftruncate,fsync,fchmod,fchmodat,chmod,fchown,fchownat,\
    utimensat,setxattr,fsetxattr,mount,umount2,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr,pivot_root,chroot,\
    clone,clone3,fork,vfork,unshare,setns,execve,execveat,socket,bind,sendto,sendmsg,recvfrom,recvmsg,flock,\
    kill,tgkill,pidfd_open,pidfd_send_signal,wait4,waitid,poll,ppoll,pipe2,setsid,sethostname,close,exit_group";

/// By their man pages these always succeed; wait4(2) for a child of one's own and without handlers of signals,
/// what waits for a time or for another thread of the same program, on which libraries rely; and close(2), which closes whatever it
/// says, while what strace lets fail stays open, as the end of a pipe on which another waits.
const NEVER_FAIL: &str = "close,exit,exit_group,rt_sigreturn,umask,getpid,gettid,getppid,getuid,geteuid,getgid,getegid,sched_yield,wait4,nanosleep,clock_nanosleep,futex";

/// What the run-time of C or Rust asks the kernel for; close(2) because Rust ends a process that cannot close a directory.
const RUNTIME: &str = "brk,mmap,munmap,mprotect,mremap,madvise,futex,rseq,set_robust_list,set_tid_address,arch_prctl,\
    sigaltstack,rt_sigaction,rt_sigprocmask,getrandom,close";

/// What is done to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL at the entry of the call, which then has no effect.
    Kill,
    /// SIGKILL when the call has had its effect: at the entry of the next one, between which and it nothing happens.
    KillAfter,
    /// The call has no effect and says this.
    Error(&'static str),
}

/// All that is tried.
pub const FAULTS: [Fault; 8] = [
    Fault::Kill,
    Fault::Error("EIO"),
    Fault::Error("ENOSPC"),
    Fault::Error("ENOMEM"),
    Fault::KillAfter,
    Fault::Error("EMFILE"),
    Fault::Error("EPERM"),
    Fault::Error("EINTR"),
];

/// A place at which a run is disturbed: the n-th time that one process makes this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the system call.
    pub call: String,
    /// From 1.
    pub nth: usize,
    /// Only the process that the command begins as is meant, else each that comes so far.
    alone: bool,
    is_before_main: bool,
    /// The call after it.
    next: Option<(String, usize)>,
}

impl Place {
    /// What goes before the command to be killed there, in a shell.
    #[must_use]
    pub fn kill(&self) -> String {
        self.inject(&self.call, self.nth, "signal=KILL")
    }

    /// What goes before the command of which the call shall fail there with `errno`.
    #[must_use]
    pub fn fail(&self, errno: &str) -> String {
        self.inject(&self.call, self.nth, &format!("error={errno}"))
    }

    /// What goes before the command to disturb it so; None: there is no such thing here.
    #[must_use]
    pub fn disturb(&self, fault: Fault) -> Option<String> {
        match fault {
            Fault::Kill => Some(self.kill()),
            Fault::KillAfter => {
                let (call, nth) = self.next.as_ref()?;
                Some(self.inject(call, *nth, "signal=KILL"))
            }
            Fault::Error(_) if self.cannot_fail() => None,
            Fault::Error(errno) => Some(self.fail(errno)),
        }
    }

    /// What does not return or has no error, and the call with which strace itself becomes the command.
    fn cannot_fail(&self) -> bool {
        NEVER_FAIL.split(',').any(|name| name == self.call)
            || (self.alone && self.call == "execve" && self.nth == 1)
    }

    /// Whether the run-time of C or Rust makes the call, for memory, threads and what there is before main(): when that fails it
    /// ends the process by itself, and what is done is left to `down`.
    #[must_use]
    pub fn is_of_the_runtime(&self) -> bool {
        self.is_before_main || RUNTIME.split(',').any(|name| name == self.call)
    }

    fn inject(&self, call: &str, nth: usize, fault: &str) -> String {
        // What stays of a pod is let go when it is exec'd: strace ends with the tool, and as the tool does.
        let follow = if self.alone { "" } else { "-f " };
        format!(
            "strace {follow}-b execve -qq -o /dev/null -e trace={call} -e inject={call}:{fault}:when={nth}"
        )
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.alone { "" } else { " of any process" };
        write!(f, "{} {}{who}", self.call, self.nth)
    }
}

/// Whether everything is to be tried that can be, be it in parts.
#[must_use]
pub fn all() -> bool {
    part().is_some()
}

/// Of everything that can be tried, which of how many parts is; None: a sample. Each part goes through all calls and all faults.
#[must_use]
pub fn part() -> Option<(usize, usize)> {
    part_of(&env::var("CHROOT0_SWEEP").ok()?)
}

/// `all`, or `N/M` for the N-th of M parts.
fn part_of(value: &str) -> Option<(usize, usize)> {
    if value == "all" {
        return Some((1, 1));
    }
    let (number, of) = value.split_once('/')?;
    let (number, of) = (number.parse().ok()?, of.parse().ok()?);
    (1..=of).contains(&number).then_some((number, of))
}

/// The places of `command` (one tool, redirections after it): each call that changes something, at its first and last times
/// and at some between them.
///
/// `at_most` places of each call; all when the variable `CHROOT0_SWEEP` is `all`, or a part of it.
#[track_caller]
pub fn places(node: &Node, command: &str, at_most: usize) -> Vec<Place> {
    let log = log(node, "", command, &available());
    let at_most = if all() { usize::MAX } else { at_most };
    let counted = count(&calls(&log));
    assert!(!counted.is_empty(), "no call was seen of {command}");
    counted
        .into_iter()
        .flat_map(|(call, times)| {
            sample(times, at_most).into_iter().map(move |nth| Place {
                call: call.to_owned(),
                nth,
                alone: false,
                is_before_main: false,
                next: None,
            })
        })
        .collect()
}

/// Every place of `command`, which is run once after `before`: those of the process it begins as, in order, then those of its other processes and threads.
#[track_caller]
pub fn every_place(node: &Node, before: &str, command: &str) -> Vec<Place> {
    let log = log(node, before, command, "all");
    let calls = calls(&log);
    let first = calls[0].0;
    let (own, others): (Vec<_>, Vec<_>) = calls.into_iter().partition(|(pid, _)| *pid == first);
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found: Vec<Place> = own
        .into_iter()
        .map(|(_, call)| {
            let nth = times.entry(call).or_insert(0);
            *nth += 1;
            Place {
                call: call.to_owned(),
                nth: *nth,
                alone: true,
                is_before_main: false,
                next: None,
            }
        })
        .collect();
    // Rust asks for the alternative stack of its main thread twice, and hardly anything after it.
    let is_stack = |place: &Place| place.call == "sigaltstack" && place.nth == 2;
    let start = found.iter().position(is_stack).unwrap_or(0);
    for place in &mut found[..start] {
        place.is_before_main = true;
    }
    for at in 1..found.len() {
        let Place { call, nth, .. } = found[at].clone();
        found[at - 1].next = Some((call, nth));
    }
    for (call, times) in count(&others) {
        found.extend((1..=times).map(|nth| Place {
            call: call.to_owned(),
            nth,
            alone: false,
            is_before_main: false,
            next: None,
        }));
    }
    found
}

/// Of these places the first and the last of each call, and of calls that change something also one between them.
#[must_use]
pub fn sampled(places: &[Place]) -> Vec<&Place> {
    let mut by_call: BTreeMap<(bool, &str), Vec<usize>> = BTreeMap::new();
    for (at, place) in places.iter().enumerate() {
        let same = by_call.entry((place.alone, &place.call)).or_default();
        same.push(at);
    }
    let mut chosen = Vec::new();
    for ((_, call), same) in by_call {
        let changes = CALLS.split(',').any(|name| name == call);
        let nth = sample(same.len(), if changes { 3 } else { 2 });
        chosen.extend(nth.into_iter().map(|nth| same[nth - 1]));
    }
    chosen.sort_unstable();
    chosen.into_iter().map(|at| &places[at]).collect()
}

/// What strace says of a good run.
#[track_caller]
fn log(node: &Node, before: &str, command: &str, calls: &str) -> String {
    let log = "/home/namespace/.strace";
    node.sh(&format!(
        "{before}\nstrace -f -b execve -qq -o {log} -e trace={calls} {command}"
    ))
    .succeeds();
    let text = node.sh(&format!("cat {log}; rm {log}")).succeeds();
    text.stdout
}

/// For strace, a name that this architecture does not have is no error.
fn available() -> String {
    let names = CALLS.split(',').map(|name| format!("?{name}"));
    names.collect::<Vec<_>>().join(",")
}

/// Process and call of lines `PID call(arguments) = result`.
fn calls(log: &str) -> Vec<(&str, &str)> {
    let of_line = |line| {
        let (pid, rest) = str::split_once(line, ' ')?;
        let (call, _) = rest.trim_start().split_once('(')?;
        let is_name = call.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (!call.is_empty() && is_name).then_some((pid, call))
    };
    log.lines().filter_map(of_line).collect()
}

/// How often the busiest process makes each call.
fn count<'a>(calls: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, usize> {
    let mut by_process: BTreeMap<(&str, &'a str), usize> = BTreeMap::new();
    for &(pid, call) in calls {
        *by_process.entry((pid, call)).or_default() += 1;
    }
    let mut counted = BTreeMap::new();
    for ((_, call), times) in by_process {
        let most = counted.entry(call).or_insert(0);
        *most = times.max(*most);
    }
    counted
}

/// Up to `at_most` of 1..=times, the ends included, evenly.
fn sample(times: usize, at_most: usize) -> Vec<usize> {
    if times <= at_most {
        return (1..=times).collect();
    }
    let step = |index: usize| 1 + index * (times - 1) / (at_most - 1);
    (0..at_most).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_by_process() {
        let log = "7 mkdir(\"/a\", 0700) = 0\n7 mkdir(\"/b\", 0700) = 0\n8 mkdir(\"/c\", 0700) = 0\n8 <... read resumed>) = 0\n7 +++ exited with 0 +++\n";
        assert_eq!(count(&calls(log)), BTreeMap::from([("mkdir", 2)]));
    }

    #[test]
    fn a_part_is_one_of_several() {
        assert_eq!(part_of("all"), Some((1, 1)));
        assert_eq!(part_of("3/7"), Some((3, 7)));
        for other in ["", "0", "0/7", "8/7", "3/0", "/", "some"] {
            assert_eq!(part_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_sample_has_both_ends() {
        assert_eq!(sample(3, 4), [1, 2, 3]);
        assert_eq!(sample(100, 4), [1, 34, 67, 100]);
        assert_eq!(sample(5, 4), [1, 2, 3, 5]);
    }
}
