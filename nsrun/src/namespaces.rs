//! Opening what is joined: once, checked, before the first step.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ::sys::{Call, SysError, ToErrno};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use record::{Namespace, ProcessId, Record};

use crate::error::Error;
use crate::plan::Handle;
use crate::request::{Join, Source, holder_path};
use crate::state::State;

/// Descriptors of everything in `joins`, each with the name and kinds the plan knows it by. One process is one descriptor.
///
/// # Errors
/// A file that is no namespace or one of another kind; a process that is gone, or is not the one that was recorded.
pub(crate) fn open_all(
    joins: &[Join],
    pod: Option<&Record>,
) -> Result<Vec<(Handle, OwnedFd)>, Error> {
    let mut handles: Vec<(Handle, OwnedFd)> = Vec::new();
    for Join { kind, source } in joins {
        let (name, pid) = match source {
            Source::File(path) => {
                if let Some(fd) = open_file(*kind, path)? {
                    handles.push((
                        Handle {
                            flags: kind.clone_flag(),
                            name: path.display().to_string(),
                        },
                        fd,
                    ));
                }
                continue;
            }
            Source::Descriptor(fd) => {
                let name = format!("fd:{fd}");
                let fd = ::sys::duplicate(*fd).call(|| format!("fcntl({fd}, F_DUPFD_CLOEXEC)"))?;
                if let Some(fd) = check_descriptor(*kind, &name, fd)? {
                    let flags = kind.clone_flag();
                    handles.push((Handle { flags, name }, fd));
                }
                continue;
            }
            Source::Process { pid, if_other } => {
                if !joinable(*kind, *pid, *if_other)? {
                    continue;
                }
                (format!("pidfd of {pid}"), *pid)
            }
            Source::Holder => {
                let holder = holder(pod)?;
                (format!("pidfd of {}", holder.pid), holder.pid)
            }
        };
        if let Some((handle, _)) = handles.iter_mut().find(|(handle, _)| handle.name == name) {
            handle.flags |= kind.clone_flag();
            continue;
        }
        let fd = match source {
            Source::Holder => open_holder(pod)?,
            _ => ::sys::pidfd_open(pid)?,
        };
        handles.push((
            Handle {
                flags: kind.clone_flag(),
                name,
            },
            fd,
        ));
    }
    check_holder(joins, pod)?;
    check_pins(joins, pod)?;
    Ok(handles)
}

/// A namespace by its file. None: a user namespace that is ours already, which cannot be joined and need not be.
fn open_file(kind: Namespace, path: &Path) -> Result<Option<OwnedFd>, Error> {
    // Not blocked by a FIFO, no terminal of ours by accident.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(|errno| SysError {
        call: format!("open({})", path.display()),
        errno,
        hint: open_hint(path, errno),
    })?;
    check(kind, &path.display().to_string(), fd)
}

/// A namespace by descriptor: of nsfs, or of the process behind a pidfd.
fn check_descriptor(kind: Namespace, name: &str, fd: OwnedFd) -> Result<Option<OwnedFd>, Error> {
    // Signal 0 goes through a pidfd only.
    if ::sys::pidfd_send_signal(fd.as_fd(), 0).is_ok() {
        return Ok(Some(fd));
    }
    check(kind, name, fd)
}

/// A descriptor of nsfs, of the kind that is asked for. None: a user namespace that is ours already.
fn check(kind: Namespace, shown: &str, fd: OwnedFd) -> Result<Option<OwnedFd>, Error> {
    match ::sys::ns_type(fd.as_fd()) {
        Ok(found) if found == kind.clone_flag() => {}
        Ok(found) => {
            let other = Namespace::ALL
                .into_iter()
                .find(|kind| kind.clone_flag() == found);
            let other = other.map_or("unknown", Namespace::flag);
            return Err(Error::Failed(format!(
                "{shown}: a {other} namespace, not a {} namespace",
                kind.flag()
            )));
        }
        Err(_) => return Err(Error::Failed(format!("{shown}: not a namespace"))),
    }
    let is_own = kind == Namespace::User && {
        let found = rustix::fs::fstat(&fd).call(|| format!("fstat({shown})"))?;
        identity("/proc/self/ns/user").ok() == Some((found.st_dev, found.st_ino))
    };
    Ok((!is_own).then_some(fd))
}

fn open_hint(path: &Path, errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::EACCES if path.starts_with("/proc") => {
            Some("needs the user of that process, or CAP_SYS_PTRACE")
        }
        Errno::ENOENT if path.starts_with("/proc") => Some("that process is gone"),
        _ => None,
    }
}

/// Whether there is something to join: not where it is ours already (a user namespace, or any with --all), nor where the kernel has no such kind.
fn joinable(kind: Namespace, pid: i32, if_other: bool) -> Result<bool, Error> {
    if !if_other && kind != Namespace::User {
        return Ok(true);
    }
    let path = holder_path(pid, kind);
    let theirs = match identity(&path) {
        Err(error)
            if error.errno == Errno::ENOENT && if_other && identity(holder_dir(&path)).is_ok() =>
        {
            return Ok(false);
        }
        answer => answer.map_err(|mut error| {
            error.hint = open_hint(&path, error.errno);
            error
        })?,
    };
    Ok(identity(format!("/proc/self/ns/{}", kind.proc_name())).ok() != Some(theirs))
}

fn holder_dir(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Device and inode of what a path leads to.
fn identity(path: impl AsRef<Path>) -> Result<(u64, u64), SysError> {
    let path = path.as_ref();
    let found = fs::metadata(path)
        .map_err(|error| SysError::new(format!("stat({})", path.display()), error.to_errno()))?;
    Ok((found.dev(), found.ino()))
}

fn holder(pod: Option<&Record>) -> Result<ProcessId, Error> {
    let holder = pod.map(Record::holder).transpose()?.flatten();
    holder.ok_or_else(|| {
        Error::Record(record::Error::Record(
            "nsrun: no process holds this pod".into(),
        ))
    })
}

/// A descriptor of the process that holds the pod, and of no other that has its pid by now.
fn open_holder(pod: Option<&Record>) -> Result<OwnedFd, Error> {
    let holder = holder(pod)?;
    holder.open()?.ok_or_else(|| {
        let id = pod.and_then(Record::id).unwrap_or_default();
        Error::Failed(format!(
            "{id}: process {} that held this pod is gone (nsrun down, then nsrun up)",
            holder.pid
        ))
    })
}

/// The process that holds the pod still has the namespaces that `up` found it in.
fn check_holder(joins: &[Join], pod: Option<&Record>) -> Result<(), Error> {
    for Join { kind, .. } in joins.iter().filter(|join| join.source == Source::Holder) {
        let path = holder_path(holder(pod)?.pid, *kind);
        let recorded = pod.and_then(|pod| pod.namespace_inode(*kind));
        let found = identity(&path)?.1;
        if recorded != Some(found) {
            return Err(Error::Failed(format!(
                "{}: the record says inode {}, it is {found}",
                path.display(),
                recorded.map_or("nothing".into(), |inode| inode.to_string())
            )));
        }
    }
    Ok(())
}

/// What is pinned is what `up` pinned there. The pid namespace is a new one after each end of its process 1.
fn check_pins(joins: &[Join], pod: Option<&Record>) -> Result<(), Error> {
    let state = pod
        .and_then(|pod| pod.get(crate::TOOL))
        .and_then(State::from_json);
    let Some(state) = state else { return Ok(()) };
    for Join { kind, source } in joins.iter().filter(|join| join.kind != Namespace::Pid) {
        let Source::File(path) = source else { continue };
        if state.pin(*kind) != Some(path) {
            continue;
        }
        let found = identity(path)?.1;
        if state.inode(*kind).is_some_and(|recorded| recorded != found) {
            return Err(Error::Failed(format!(
                "{}: the record says inode {}, it is {found}",
                path.display(),
                state.inode(*kind).unwrap_or_default()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(kind: Namespace, path: &str) -> String {
        let joins = [Join {
            kind,
            source: Source::File(path.into()),
        }];
        open_all(&joins, None).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_namespace_or_another_is_refused() {
        assert_eq!(
            refusal(Namespace::Network, "/no/such"),
            "open(/no/such): No such file or directory"
        );
        assert_eq!(
            refusal(Namespace::Network, "/proc/self/status"),
            "/proc/self/status: not a namespace"
        );
        assert_eq!(
            refusal(Namespace::Network, "/dev/null"),
            "/dev/null: not a namespace"
        );
        assert_eq!(
            refusal(Namespace::Network, "/proc/self/ns/uts"),
            "/proc/self/ns/uts: a uts namespace, not a net namespace"
        );
        assert_eq!(
            refusal(Namespace::Network, "/proc/4194305/ns/net"),
            "open(/proc/4194305/ns/net): No such file or directory (that process is gone)"
        );
    }

    #[test]
    fn our_own_user_namespace_is_not_joined() {
        let joins = [Join {
            kind: Namespace::User,
            source: Source::File("/proc/self/ns/user".into()),
        }];
        assert!(open_all(&joins, None).unwrap().is_empty());
    }

    #[test]
    fn one_process_is_one_descriptor_and_all_of_ourselves_is_nothing() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let join = |if_other| {
            let kinds = [Namespace::Network, Namespace::Uts, Namespace::User];
            kinds.map(|kind| Join {
                kind,
                source: Source::Process { pid, if_other },
            })
        };
        let handles = open_all(&join(false), None).unwrap();
        assert_eq!(handles.len(), 1);
        assert_eq!(handles[0].0.flags, libc::CLONE_NEWNET | libc::CLONE_NEWUTS);
        assert!(open_all(&join(true), None).unwrap().is_empty());
    }

    #[test]
    fn a_recycled_pid_is_not_joined() {
        let text = format!(
            r#"{{"id":"x","nsrun":{{"pid":{},"starttime":1,"boot_id":"{}","namespaces":{{}}}}}}"#,
            std::process::id(),
            record::boot_id().unwrap()
        );
        let pod = Record::parse(text.as_bytes()).unwrap();
        let joins = [Join {
            kind: Namespace::Network,
            source: Source::Holder,
        }];
        let error = open_all(&joins, Some(&pod)).unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "x: process {} that held this pod is gone (nsrun down, then nsrun up)",
                std::process::id()
            )
        );
    }
}
