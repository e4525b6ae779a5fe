//! What is in a box, looked at.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use sys::{Call, SysError};

use super::{IN_ROOT, Root};

impl Root {
    /// Opens the regular file at `inside` for reading: links on the way to it end inside the box, itself it is none.
    ///
    /// # Errors
    /// What openat2(2) answers.
    pub(crate) fn open_file(&self, inside: &Path) -> Result<File, SysError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = IN_ROOT | ResolveFlags::NO_XDEV;
        openat2(
            &self.fd,
            inside,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            resolve,
        )
        .call(|| format!("openat2({})", self.show(inside)))
        .map(File::from)
    }

    /// What is at `inside` itself, were it a link; None when there is nothing.
    ///
    /// # Errors
    /// What openat2(2) answers.
    pub(crate) fn stat_itself(&self, inside: &Path) -> Result<Option<rustix::fs::Stat>, SysError> {
        let Some(fd) = self.name_itself(inside)? else {
            return Ok(None);
        };
        let call = || format!("fstat({})", self.show(inside));
        rustix::fs::fstat(fd).call(call).map(Some)
    }

    /// The target of the symbolic link at `inside`.
    ///
    /// # Errors
    /// `ENOENT`: there is nothing. `EINVAL`: it is no link.
    pub(crate) fn target(&self, inside: &Path) -> Result<PathBuf, SysError> {
        let call = || format!("readlink({})", self.show(inside));
        let fd = self.name_itself(inside)?.ok_or(Errno::ENOENT).call(call)?;
        let target = rustix::fs::readlinkat(fd, c"", Vec::new()).call(call)?;
        Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }

    fn name_itself(&self, inside: &Path) -> Result<Option<OwnedFd>, SysError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat2(&self.fd, inside, flags, Mode::empty(), IN_ROOT) {
            Ok(fd) => Ok(Some(fd)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                Ok(None)
            }
            Err(errno) => Err(SysError::new(
                format!("openat2({})", self.show(inside)),
                errno,
            )),
        }
    }

    /// What is at `inside`, links in the box followed; None when there is nothing.
    ///
    /// # Errors
    /// What openat2(2) answers.
    pub(crate) fn stat(&self, inside: &Path) -> Result<Option<rustix::fs::Stat>, SysError> {
        let call = || format!("openat2({})", self.show(inside));
        match self.open_again(inside, OFlags::PATH | OFlags::CLOEXEC, IN_ROOT) {
            Ok(fd) => rustix::fs::fstat(fd).call(call).map(Some),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                Ok(None)
            }
            Err(errno) => Err(SysError::new(call(), errno)),
        }
    }
}
