//! Where the files of a box come from: this machine, or a directory that holds another one's files.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags, openat2};
use sys::{Call, SysError};

use crate::root::{DIRECTORY, IN_ROOT};

/// Where programs are looked up in a directory of `--sysroot`: the caller's PATH is about this machine.
const SYSROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How a file is opened that may be anything.
const REGULAR: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);
/// What execve(2) uses when the environment has no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Paths are absolute from the root of the machine they are about.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    sysroot: Option<Sysroot>,
    /// The first time that a look did not tell whether there is something.
    failure: OnceLock<SysError>,
    library_path: OnceLock<OsString>,
}

#[derive(Debug)]
struct Sysroot {
    fd: OwnedFd,
    /// Without links.
    path: PathBuf,
}

impl Origin {
    /// This machine, or the files below `sysroot`, whose links are followed as if it were `/`.
    ///
    /// # Errors
    /// What open(2) answers.
    pub(crate) fn new(sysroot: Option<&Path>) -> Result<Self, SysError> {
        let Some(path) = sysroot else {
            return Ok(Self::default());
        };
        let call = || format!("open({})", crate::text::short(path));
        let real = fs::canonicalize(path).call(call)?;
        let fd = rustix::fs::open(&real, DIRECTORY, Mode::empty()).call(call)?;
        Ok(Self {
            sysroot: Some(Sysroot { fd, path: real }),
            ..Self::default()
        })
    }

    /// Whether it is this machine, whose processor will run the programs.
    pub(crate) fn is_here(&self) -> bool {
        self.sysroot.is_none()
    }

    /// Where `path` is for this machine's programs and people.
    pub(crate) fn shown(&self, path: &Path) -> PathBuf {
        match &self.sysroot {
            None => path.to_owned(),
            Some(sysroot) => sysroot.path.join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<File> {
        let flags = flags | OFlags::CLOEXEC;
        let file = match &self.sysroot {
            None => rustix::fs::open(path, flags, Mode::empty()),
            Some(sysroot) => openat2(&sysroot.fd, path, flags, Mode::empty(), IN_ROOT),
        };
        file.map(File::from)
    }

    /// Opens a regular file for reading: never waits at a FIFO, never takes a terminal.
    ///
    /// # Errors
    /// What open(2) answers; `EINVAL` when it is no regular file.
    pub(crate) fn open_regular(&self, path: &Path) -> Result<File, SysError> {
        self.open_known(path).map(|(file, _)| file)
    }

    /// The same, with what fstat(2) says of it.
    ///
    /// # Errors
    /// As [`Origin::open_regular`].
    pub(crate) fn open_known(&self, path: &Path) -> Result<(File, Metadata), SysError> {
        self.known(path, self.open(path, REGULAR))
    }

    /// The same of what may well not be there; None when it is no regular file that can be read.
    pub(crate) fn look_at(&self, path: &Path) -> Option<(File, Metadata)> {
        match self.open(path, REGULAR) {
            // No library is in most of the places where it could be: nobody reads why.
            Err(rustix::io::Errno::NOENT) => None,
            opened => self.known(path, opened).ok(),
        }
    }

    /// What was `opened` at `path`, if it is a regular file.
    fn known(
        &self,
        path: &Path,
        opened: rustix::io::Result<File>,
    ) -> Result<(File, Metadata), SysError> {
        let call = || format!("open({})", crate::text::short(&self.shown(path)));
        let file = opened.call(call).inspect_err(|error| self.note(error))?;
        // Whatever fstat(2) has against an open file tells nothing of what it is.
        let metadata = file.metadata().call(call);
        let metadata = metadata.inspect_err(|error| self.remember(error))?;
        let kind = metadata.file_type();
        if kind.is_file() {
            return Ok((file, metadata));
        }
        let hint = match () {
            () if kind.is_dir() => return Err(SysError::new(call(), Errno::EISDIR)),
            () if kind.is_fifo() => "it is a FIFO, not a regular file",
            () => "it is a device, not a regular file",
        };
        Err(SysError::new(call(), Errno::EINVAL).hint(hint))
    }

    /// Remembers an error that says nothing about what is there: no descriptors, no memory, a broken disk, a filter (EPERM; what
    /// a mode forbids, EACCES, it forbids the loader as well). A library that is
    /// not seen because of it would be looked for elsewhere, and the box be another one.
    pub(crate) fn note(&self, error: &SysError) {
        let is_answer = matches!(
            error.errno,
            Errno::ENOENT
                | Errno::ENOTDIR
                | Errno::EACCES
                | Errno::ELOOP
                | Errno::ENAMETOOLONG
                | Errno::EISDIR
                | Errno::EINVAL
                | Errno::ENXIO
                | Errno::ENODEV
                | Errno::EXDEV
        );
        if !is_answer {
            self.remember(error);
        }
    }

    /// Remembers one that is none of those that [`Origin::note`] takes for an answer; the first is told.
    pub(crate) fn remember(&self, error: &SysError) {
        let _ = self.failure.set(error.clone());
    }

    /// What was remembered.
    pub(crate) fn failure(&self) -> Option<SysError> {
        self.failure.get().cloned()
    }

    /// stat(2)
    ///
    /// # Errors
    /// What it answers.
    pub(crate) fn metadata(&self, path: &Path) -> std::io::Result<Metadata> {
        match &self.sysroot {
            None => path.metadata(),
            Some(_) => self.open(path, OFlags::PATH)?.metadata(),
        }
    }

    /// `path` without symbolic links; None when there is nothing.
    pub(crate) fn canonicalize(&self, path: &Path) -> Option<PathBuf> {
        let Some(sysroot) = &self.sysroot else {
            return fs::canonicalize(path).ok();
        };
        let file = self.open(path, OFlags::PATH).ok()?;
        let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        Some(Path::new("/").join(real.strip_prefix(&sysroot.path).ok()?))
    }

    /// The names in the directory `path`, sorted; none when there is no such directory.
    pub(crate) fn names(&self, path: &Path) -> Vec<OsString> {
        let entries = match &self.sysroot {
            None => fs::read_dir(path),
            Some(_) => self
                .open(path, OFlags::PATH | OFlags::DIRECTORY)
                .map_err(Into::into)
                .and_then(|file| fs::read_dir(format!("/proc/self/fd/{}", file.as_raw_fd()))),
        };
        let entries = entries.into_iter().flatten().flatten();
        let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    }

    /// Where programs without a slash are looked up.
    pub(crate) fn path(&self) -> OsString {
        if !self.is_here() {
            return SYSROOT_PATH.into();
        }
        std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into())
    }

    /// `LD_LIBRARY_PATH`, which is about this machine.
    pub(crate) fn library_path(&self) -> &OsStr {
        self.library_path.get_or_init(|| {
            let value = self.is_here().then(|| std::env::var_os("LD_LIBRARY_PATH"));
            value.flatten().unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_a_sysroot_stay_in_it() {
        let scratch = std::env::temp_dir().join(format!("mkbox-origin-{}", std::process::id()));
        let sysroot = scratch.join("root");
        fs::create_dir_all(sysroot.join("usr/lib")).unwrap();
        fs::write(sysroot.join("usr/lib/x"), "inside").unwrap();
        fs::write(scratch.join("x"), "outside").unwrap();
        symlink("/usr/lib", sysroot.join("lib")).unwrap();
        symlink("../../x", sysroot.join("up")).unwrap();
        let origin = Origin::new(Some(&sysroot)).unwrap();
        let text =
            |path: &str| std::io::read_to_string(origin.open_regular(Path::new(path)).ok()?).ok();
        assert_eq!(text("/lib/x").as_deref(), Some("inside"));
        assert_eq!(
            text("/up"),
            None,
            "it leads to /x inside, which is not there"
        );
        assert_eq!(
            origin.canonicalize(Path::new("/lib/x")),
            Some("/usr/lib/x".into())
        );
        assert_eq!(origin.names(Path::new("/lib")), ["x"]);
        assert_eq!(origin.metadata(Path::new("/lib/x")).unwrap().len(), 6);
        fs::remove_dir_all(scratch).unwrap();
    }
}
