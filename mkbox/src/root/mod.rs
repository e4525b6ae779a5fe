//! The one owner of a box's descriptor. Whatever is below it may be hostile, so no path string is resolved there
//! except by the calls in this directory: openat2(2) that cannot leave the box, and `*at` calls on one name.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat2};
use sys::{Call, SysError};

mod identity;
mod look;
mod point;

pub(crate) use identity::Identity;
pub(crate) use point::{PointKind, is_kernels};

/// Reading: links are followed, and end inside the box.
pub(crate) const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// Writing and deleting: no link is followed and no mount is crossed.
pub(crate) const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);
/// Of a path that others rename as fast as they can.
const RETRIES: usize = 1000;
/// A path of the caller's that must lead where it says.
pub(crate) const BELOW: ResolveFlags = ResolveFlags::NO_SYMLINKS;
/// An O_PATH descriptor of a directory: it names, and can do nothing by itself.
pub(crate) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root directory of a box, held.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
    /// For messages: never opened again.
    shown: PathBuf,
}

impl Root {
    /// Holds the directory at `path`, which is the caller's own: links in it are followed.
    ///
    /// # Errors
    /// What open(2) answers.
    pub(crate) fn open(path: &Path) -> Result<Self, SysError> {
        let fd = openat2(
            CWD,
            path,
            DIRECTORY,
            Mode::empty(),
            ResolveFlags::NO_MAGICLINKS,
        );
        Ok(Self {
            fd: fd.call(|| format!("open({})", path.display()))?,
            shown: path.to_owned(),
        })
    }

    /// Holds the directory `name` of `parent`: no link, and no mount point.
    ///
    /// # Errors
    /// `ELOOP`: it is a link. `EXDEV`: something is mounted on it. `ENOENT`, `ENOTDIR`.
    pub(crate) fn open_in(
        parent: BorrowedFd<'_>,
        name: &str,
        shown: &Path,
    ) -> Result<Self, SysError> {
        let fd = openat2(parent, name, DIRECTORY, Mode::empty(), BENEATH);
        Ok(Self {
            fd: fd.call(|| format!("open({})", shown.display()))?,
            shown: shown.to_owned(),
        })
    }

    /// A root that was opened otherwise: that of a mount that has no path yet.
    pub(crate) fn from_fd(fd: OwnedFd, shown: &Path) -> Self {
        Self {
            fd,
            shown: shown.to_owned(),
        }
    }

    pub(crate) fn identity(&self) -> Result<Identity, SysError> {
        Identity::of(&self.fd)
    }

    /// Whether the directory has no entries.
    ///
    /// # Errors
    /// What open(2) and getdents(2) answer.
    pub(crate) fn is_empty(&self) -> Result<bool, SysError> {
        Ok(crate::tree::names(&self.readable()?, &self.shown)?.is_empty())
    }

    /// The directory opened for reading its entries.
    ///
    /// # Errors
    /// What open(2) answers.
    pub(crate) fn readable(&self) -> Result<OwnedFd, SysError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat2(&self.fd, ".", flags, Mode::empty(), BENEATH)
            .call(|| format!("open({})", self.shown.display()))
    }

    /// The path of `inside` as a message shows it.
    pub(crate) fn show(&self, inside: &Path) -> String {
        let inside = inside.strip_prefix("/").unwrap_or(inside);
        crate::text::short(&self.shown.join(inside))
    }

    /// Makes the directory `inside` and those above it, 0755, in a box that is being filled; opens it.
    ///
    /// # Errors
    /// What mkdir(2) and openat2(2) answer.
    pub(crate) fn make_directory(&self, inside: &Path) -> Result<OwnedFd, SysError> {
        let call = |name: &str, path: &Path| format!("{name}({})", self.show(path));
        let mut directory = self.readable()?;
        let mut walked = PathBuf::new();
        for component in inside.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            walked.push(name);
            match rustix::fs::mkdirat(&directory, name, Mode::from(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(SysError::new(call("mkdir", &walked), errno)),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            directory = match openat2(&directory, name, flags, Mode::empty(), BENEATH) {
                // A link of a base, or of a merged /usr: it leads to somewhere in the box.
                Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => {
                    self.directory(&walked)?
                }
                answer => answer.call(|| call("open", &walked))?,
            };
        }
        Ok(directory)
    }

    /// Opens the directory `inside`, wherever links in the box lead.
    ///
    /// # Errors
    /// What openat2(2) answers.
    pub(crate) fn directory(&self, inside: &Path) -> Result<OwnedFd, SysError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = Path::new("/").join(inside);
        let resolve = IN_ROOT | ResolveFlags::NO_XDEV;
        openat2(&self.fd, &inside, flags, Mode::empty(), resolve)
            .call(|| format!("openat2({})", self.show(&inside)))
    }

    /// Makes the file `name` in `directory`, which [`Root::make_directory`] opened, and opens it for writing.
    ///
    /// # Errors
    /// What openat2(2) answers; `EEXIST` when there is anything of that name.
    pub(crate) fn create(
        directory: &OwnedFd,
        name: &std::ffi::OsStr,
        mode: u32,
    ) -> rustix::io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat2(directory, name, flags, Mode::from(mode & 0o777), BENEATH).map(File::from)
    }

    /// openat2(2) of a path with links in it. Anything that is renamed or mounted meanwhile, anywhere on the machine, makes
    /// it give up at a `..`: then once more.
    fn open_again(
        &self,
        inside: &Path,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let mut left = RETRIES;
        loop {
            match openat2(&self.fd, inside, flags, Mode::empty(), resolve) {
                Err(rustix::io::Errno::AGAIN) if left > 0 => left -= 1,
                answer => return answer,
            }
        }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Removes the directory `name` of `parent` if it is empty; true when it is gone afterwards.
///
/// # Errors
/// What unlinkat(2) answers, "not there" and "not empty" excepted.
pub(crate) fn remove_if_empty(
    parent: BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    shown: &Path,
) -> Result<bool, SysError> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(true),
        Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST | rustix::io::Errno::NOTDIR) => {
            Ok(false)
        }
        Err(errno) => {
            let error = SysError::new(format!("rmdir({})", shown.display()), errno);
            Err(if error.errno == Errno::EBUSY {
                error.hint("something is mounted on it")
            } else {
                error
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A directory of its own, gone with the value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("mkbox-root-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("box")).unwrap();
            fs::create_dir_all(path.join("victim")).unwrap();
            Self(path)
        }

        fn root(&self) -> Root {
            Root::open(&self.0.join("box")).unwrap()
        }

        fn victim(&self) -> Vec<PathBuf> {
            fs::read_dir(self.0.join("victim"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_in_a_box_lead_nowhere_else() {
        let scratch = Scratch::new("links");
        let victim = scratch.0.join("victim");
        let outside = scratch.0.join("box/out");
        symlink(&victim, &outside).unwrap();
        symlink("../victim", scratch.0.join("box/up")).unwrap();
        let root = scratch.root();
        for link in ["/out", "/up"] {
            // The link is resolved inside, where its target does not exist.
            let made = root.mount_point(&Path::new(link).join("x"), PointKind::Directory);
            assert_eq!(made.unwrap_err().errno, Errno::ENOENT);
            assert!(root.make_directory(&Path::new(link).join("x")).is_err());
            assert!(root.stat(Path::new(link)).unwrap().is_none());
        }
        assert_eq!(scratch.victim(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_link_within_the_box_is_followed_for_a_mount_but_not_for_proc() {
        let scratch = Scratch::new("within");
        fs::create_dir(scratch.0.join("box/run")).unwrap();
        symlink("/run", scratch.0.join("box/var")).unwrap();
        symlink("/run", scratch.0.join("box/proc")).unwrap();
        let root = scratch.root();
        root.mount_point(Path::new("/var/lock/x"), PointKind::File)
            .unwrap();
        assert!(scratch.0.join("box/run/lock/x").is_file());
        for path in ["/proc", "/proc/x"] {
            let refused = root
                .mount_point(Path::new(path), PointKind::Directory)
                .unwrap_err();
            assert_eq!(refused.errno, Errno::ELOOP, "{path}");
        }
    }

    #[test]
    fn files_are_made_once_and_through_no_link() {
        let scratch = Scratch::new("files");
        let root = scratch.root();
        let directory = root.make_directory(Path::new("/a/b")).unwrap();
        symlink(scratch.0.join("victim/x"), scratch.0.join("box/a/b/link")).unwrap();
        assert!(Root::create(&directory, "link".as_ref(), 0o755).is_err());
        Root::create(&directory, "new".as_ref(), 0o6755).unwrap();
        assert!(Root::create(&directory, "new".as_ref(), 0o755).is_err());
        let mode = root.stat(Path::new("/a/b/new")).unwrap().unwrap().st_mode;
        assert_eq!(mode & 0o7000, 0);
        assert_eq!(scratch.victim(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_box_that_is_a_link_is_not_opened() {
        let scratch = Scratch::new("islink");
        symlink(scratch.0.join("victim"), scratch.0.join("link")).unwrap();
        let parent = Root::open(&scratch.0).unwrap();
        let refused = Root::open_in(parent.as_fd(), "link", Path::new("link")).unwrap_err();
        assert_eq!(refused.errno, Errno::ELOOP);
        assert!(
            Root::open_in(parent.as_fd(), "box", Path::new("box"))
                .unwrap()
                .is_empty()
                .unwrap()
        );
    }
}
