//! Whether the pod is still there. We are in its network namespace, so that stays as long as we do; the pod may not.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::namespace::PodNamespace;

/// What tells.
#[derive(Debug)]
pub(super) struct Watch {
    path: PathBuf,
    /// What the name meant when we began.
    inode: u64,
    /// Of the process whose namespace it is; None: it is pinned to a file.
    process: Option<OwnedFd>,
}

impl Watch {
    pub(super) fn of(pod: &PodNamespace) -> Result<Self, Error> {
        let path = pod.path();
        let process = match pid(path) {
            Some(pid) => Some(sys::pidfd_open(pid)?),
            None => None,
        };
        let watch = Self {
            path: path.to_owned(),
            inode: pod.inode(),
            process,
        };
        // The descriptor came after the namespace: the name must still mean the same.
        match watch.is_there() {
            true => Ok(watch),
            false => Err(watch.gone()),
        }
    }

    /// Readable when the process has ended.
    pub(super) fn process(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(AsFd::as_fd)
    }

    /// Whether the name still means the namespace; for a file this has to be asked again and again.
    pub(super) fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }

    pub(super) fn gone(&self) -> Error {
        let path = self.path.display();
        Error::failed(match self.process {
            Some(_) => format!("the pod has ended: the process of {path} is gone"),
            None => format!("the pod has ended: {path} is gone, or another namespace"),
        })
    }
}

/// The process in `/proc/PID/ns/net`.
fn pid(path: &Path) -> Option<i32> {
    let rest = path.strip_prefix("/proc").ok()?;
    rest.iter().next()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_path() {
        assert_eq!(pid("/proc/42/ns/net".as_ref()), Some(42));
        assert_eq!(pid("/proc/self/ns/net".as_ref()), None);
        assert_eq!(pid("/run/netns/foo".as_ref()), None);
    }
}
