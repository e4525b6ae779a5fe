//! The pod's network namespace: found, checked, and entered by a thread that ends there.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use record::{Namespace, ProcessId, Record};
use serde_json::Value;
use sys::{Call, SysError};

use crate::error::Error;
use crate::netlink::Socket;

/// Who may enter a network namespace.
pub(crate) const SETNS_NEEDS: &str =
    "needs CAP_SYS_ADMIN here and in the user namespace that owns it";

/// What `--netns` names: as nsenter(1) has it, a process or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Netns {
    /// The network namespace this process is in.
    Pid(i32),
    /// A file of /proc/PID/ns, or one that ip-netns(8) or nsrun(1) pinned.
    File(PathBuf),
}

impl std::str::FromStr for Netns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let pid = text.parse().ok().filter(|&pid| pid > 0);
            return pid
                .map(Self::Pid)
                .ok_or_else(|| format!("{text} is no process id"));
        }
        match text.starts_with('/') {
            true => Ok(Self::File(text.into())),
            false => {
                Err("neither a process id nor an absolute path (as in /run/netns/NAME)".into())
            }
        }
    }
}

/// A pod's network namespace, held open.
#[derive(Debug)]
pub(crate) struct PodNamespace {
    fd: OwnedFd,
    path: PathBuf,
    inode: u64,
}

impl PodNamespace {
    /// The one that `named` or, without it, the record says.
    ///
    /// # Errors
    /// There is none, it is none of network, it is the host's, or the process that held it is gone.
    pub(crate) fn of(record: &Record, named: Option<&Netns>) -> Result<Self, Error> {
        match named {
            Some(Netns::Pid(pid)) => {
                let process = ProcessId::of(*pid).map_err(|error| match error.errno {
                    Errno::ESRCH => Error::failed(format!("--netns {pid}: no such process")),
                    _ => error.into(),
                })?;
                Self::held_by(format!("/proc/{pid}/ns/net").as_ref(), Some(&process))
            }
            Some(Netns::File(path)) => Self::held_by(path, None),
            None => {
                let id = record.id().unwrap_or_default();
                let none = || {
                    Error::record(format!(
                        "{id}: the record has no network namespace (nsrun up --net makes one)"
                    ))
                };
                let path = record
                    .namespace_path(Namespace::Network)?
                    .ok_or_else(none)?;
                let holder = record
                    .holder()?
                    .filter(|holder| path.starts_with(format!("/proc/{}", holder.pid)));
                let found = Self::held_by(&path, holder.as_ref())?;
                match record
                    .namespace_inode(Namespace::Network)
                    .filter(|&inode| inode != found.inode)
                {
                    Some(inode) => Err(Error::failed(format!(
                        "{id}: {} is net:[{}], the record was made with net:[{inode}]",
                        path.display(),
                        found.inode
                    ))),
                    None => Ok(found),
                }
            }
        }
    }

    /// The one in which an `up` worked: `--netns` is not in the record of others, but in ours.
    pub(crate) fn of_state(record: &Record, state: &Value) -> Result<Self, Error> {
        let interfaces = state.get("interfaces").and_then(Value::as_array);
        let mut sandboxes = interfaces.into_iter().flatten().filter_map(|interface| {
            let path = interface.get("sandbox")?.as_str()?;
            Some(PathBuf::from(path))
        });
        match sandboxes.next().filter(|path| path.is_absolute()) {
            Some(path) if record.namespace_path(Namespace::Network)?.as_ref() != Some(&path) => {
                Self::of(record, Some(&Netns::File(path)))
            }
            _ => Self::of(record, None),
        }
    }

    /// The one at `path`, of a process that must be the same before and after it was opened.
    fn held_by(path: &Path, holder: Option<&ProcessId>) -> Result<Self, Error> {
        alive(holder)?;
        let found = Self::open(path)?;
        alive(holder)?;
        Ok(found)
    }

    fn open(path: &Path) -> Result<Self, Error> {
        let call = || format!("open({})", path.display());
        // A FIFO in its place would have us wait for a writer.
        let open = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path);
        let file = open.call(call).map_err(|error| match error.errno {
            Errno::EACCES => error.hint("needs the user of that process, or CAP_SYS_PTRACE"),
            Errno::ENOENT => error.hint("is the pod down?"),
            _ => error,
        })?;
        let kind = match sys::ns_type(file.as_fd()) {
            Ok(kind) => kind,
            Err(error) if error.errno == Errno::ENOTTY => {
                return Err(Error::record(format!("{} is no namespace", path.display())));
            }
            Err(error) => return Err(error.into()),
        };
        if kind != libc::CLONE_NEWNET {
            let kind = Namespace::ALL
                .into_iter()
                .find(|other| other.clone_flag() == kind);
            let kind = kind.map_or("another", Namespace::flag);
            return Err(Error::record(format!(
                "{} is a namespace of type {kind}, not net",
                path.display()
            )));
        }
        let found = file
            .metadata()
            .call(|| format!("fstat({})", path.display()))?;
        for (whose, of) in [("netwire's own", "self"), ("the host's", "1")] {
            // Whoever may not look at pid 1 may not reach its namespace either.
            let Ok(own) = std::fs::metadata(format!("/proc/{of}/ns/net")) else {
                continue;
            };
            if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
                return Err(Error::record(format!(
                    "{} is {whose} network namespace, not a pod's",
                    path.display()
                )));
            }
        }
        Ok(Self {
            fd: file.into(),
            path: path.to_owned(),
            inode: found.ino(),
        })
    }

    /// The name it was found under.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its number.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// For `IFLA_NET_NS_FD`.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// A socket that acts inside.
    ///
    /// A socket belongs to the namespace it was made in: a thread goes there to make it, and ends there.
    pub(crate) fn socket(&self, verbose: bool) -> Result<Socket, Error> {
        self.inside(|| Socket::open(verbose))
    }

    /// Runs `work` in a thread that is inside.
    pub(crate) fn inside<T: Send>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let enter = || {
            setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| {
                let error = SysError::new(format!("setns(net, {})", self.path.display()), errno);
                match errno {
                    Errno::EPERM => error.hint(SETNS_NEEDS),
                    _ => error,
                }
            })?;
            work()
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new()
                .stack_size(64 << 10)
                .spawn_scoped(scope, enter);
            let thread = thread.call(|| "clone(CLONE_THREAD)".into())?;
            // panic=abort: a thread that panics takes the process along
            thread.join().unwrap_or_else(|_| {
                Err(Error::failed("the thread in the pod's namespace panicked"))
            })
        })
    }
}

/// Refuses a holder that is gone, or whose pid means another process by now.
fn alive(holder: Option<&ProcessId>) -> Result<(), Error> {
    match holder {
        Some(process) if process.open()?.is_none() => Err(Error::failed(format!(
            "process {} that held the network namespace is gone (nsrun up makes a new one)",
            process.pid
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_process_and_a_path_a_file() {
        assert_eq!("42".parse(), Ok(Netns::Pid(42)));
        assert_eq!(
            "/run/netns/a".parse(),
            Ok(Netns::File("/run/netns/a".into()))
        );
        for bad in ["", "0", "-1", "99999999999", "a", "host", "./x"] {
            assert!(bad.parse::<Netns>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_network_namespace_of_a_pod_is_refused() {
        for (path, why) in [
            ("/proc/self/status", "/proc/self/status is no namespace"),
            (
                "/proc/self/ns/uts",
                "/proc/self/ns/uts is a namespace of type uts, not net",
            ),
            (
                "/proc/self/ns/net",
                "/proc/self/ns/net is netwire's own network namespace, not a pod's",
            ),
        ] {
            let error = PodNamespace::open(Path::new(path)).unwrap_err();
            assert_eq!(error.to_string(), why);
            assert!(record::Failure::is_usage(&error));
        }
    }
}
