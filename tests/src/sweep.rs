//! Fault sweeps: a tool is stopped at each of its system calls that change something, one call a run.
//!
//! strace(1) counts the calls of one good run, then injects a fault at the n-th of each. A signal is delivered at the entry of
//! a call, which then has no effect.

use std::collections::BTreeMap;

use crate::Node;

/// Calls that make, change or end something, and those that get what is needed for it.
const CALLS: &str = "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mknod,mknodat,\
    open,openat,openat2,creat,write,writev,pwrite64,copy_file_range,sendfile,ftruncate,fsync,fchmod,fchmodat,chmod,fchown,fchownat,\
    utimensat,setxattr,fsetxattr,mount,umount2,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr,pivot_root,chroot,\
    clone,clone3,fork,vfork,unshare,setns,execve,execveat,socket,bind,sendto,sendmsg,recvfrom,recvmsg,flock,\
    kill,tgkill,pidfd_open,pidfd_send_signal,wait4,waitid,poll,ppoll,pipe2,setsid,sethostname,close,exit_group";

/// A place at which a run is disturbed: the n-th time that one process makes this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Name of the system call.
    pub call: String,
    /// From 1.
    pub nth: usize,
}

impl Place {
    /// What goes before the command to be killed there, in a shell.
    #[must_use]
    pub fn kill(&self) -> String {
        self.inject("signal=KILL")
    }

    /// What goes before the command of which the call shall fail there with `errno`.
    #[must_use]
    pub fn fail(&self, errno: &str) -> String {
        self.inject(&format!("error={errno}"))
    }

    fn inject(&self, fault: &str) -> String {
        let Self { call, nth } = self;
        // What stays of a pod is let go when it is exec'd: strace ends with the tool, and as the tool does.
        format!(
            "strace -f -b execve -qq -o /dev/null -e trace={call} -e inject={call}:{fault}:when={nth}"
        )
    }
}

/// The places of `command` (one tool, redirections after it): each call, at its first and last times and at some between them.
///
/// `at_most` places of each call; all when the variable `CHROOT0_SWEEP` is `all`.
#[track_caller]
pub fn places(node: &Node, command: &str, at_most: usize) -> Vec<Place> {
    let log = "/home/namespace/.strace";
    node.sh(&format!(
        "strace -f -b execve -qq -o {log} -e trace={} {command}",
        available()
    ))
    .succeeds();
    let text = node.sh(&format!("cat {log}; rm {log}")).succeeds();
    let all = std::env::var("CHROOT0_SWEEP").is_ok_and(|value| value == "all");
    let at_most = if all { usize::MAX } else { at_most };
    let counted = count(&text.stdout);
    assert!(!counted.is_empty(), "no call was seen of {command}");
    counted
        .into_iter()
        .flat_map(|(call, times)| {
            sample(times, at_most).into_iter().map(move |nth| Place {
                call: call.clone(),
                nth,
            })
        })
        .collect()
}

/// For strace, a name that this architecture does not have is no error.
fn available() -> String {
    let names = CALLS.split(',').map(|name| format!("?{name}"));
    names.collect::<Vec<_>>().join(",")
}

/// Lines `PID call(arguments) = result`: how often the busiest process makes each call.
fn count(log: &str) -> BTreeMap<String, usize> {
    let mut by_process: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in log.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, _)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if !call.is_empty() && call.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            *by_process.entry((pid, call)).or_default() += 1;
        }
    }
    let mut counted = BTreeMap::new();
    for ((_, call), times) in by_process {
        let most = counted.entry(call.to_owned()).or_insert(0);
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
        assert_eq!(count(log), BTreeMap::from([("mkdir".to_owned(), 2)]));
    }

    #[test]
    fn a_sample_has_both_ends() {
        assert_eq!(sample(3, 4), [1, 2, 3]);
        assert_eq!(sample(100, 4), [1, 34, 67, 100]);
        assert_eq!(sample(5, 4), [1, 2, 3, 5]);
    }
}
