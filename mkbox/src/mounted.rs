//! A box with its mounts: what is mounted so far, and how what lies on it is reached.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::fchdir;
use sys::{Call, SysError};

use crate::attach::{Tree, attach, open_source};
use crate::cgroup::{self, Groups};
use crate::dev::{self, Devices};
use crate::mounts::{Planned, What};
use crate::root::Root;

/// A source of each mount, opened before the first is made.
#[derive(Debug)]
pub(crate) enum Source {
    Tree(Tree),
    Dev(Tree, Devices),
    Groups(Groups),
}

/// A box with its mounts.
#[derive(Debug)]
pub(crate) struct Mounted {
    root: Root,
    /// Mounts on the kernel's directories, by which what lies below them is reached: in the box another process could
    /// rename /proc meanwhile.
    kernels: Vec<(PathBuf, Root)>,
}

impl Source {
    /// Opens the source of `mount`.
    ///
    /// # Errors
    /// It cannot be opened, or made.
    pub(crate) fn open(mount: &Planned) -> Result<Self, SysError> {
        let tree = open_source(mount)?;
        Ok(match mount.what {
            What::Groups => Self::Groups(cgroup::open(mount, tree)?),
            _ if mount.is_dev() => Self::Dev(tree, dev::open()?),
            _ => Self::Tree(tree),
        })
    }
}

impl Mounted {
    /// Of a box in which nothing is mounted yet.
    pub(crate) fn new(root: Root) -> Self {
        Self {
            root,
            kernels: Vec::new(),
        }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The mount from which `path` is reached, and what is left of the path there.
    pub(crate) fn around<'a>(&'a self, path: &'a Path) -> (&'a Root, &'a Path) {
        let above = self.kernels.iter().filter(|(place, _)| *place != path);
        let found =
            above.filter_map(|(place, root)| Some((place, root, path.strip_prefix(place).ok()?)));
        let nearest = found.max_by_key(|(place, ..)| place.components().count());
        nearest.map_or((&self.root, path), |(_, root, rest)| (root, rest))
    }

    pub(crate) fn show(&self, path: &Path) -> String {
        self.root.show(path)
    }

    /// Mounts `source` in its place.
    ///
    /// # Errors
    /// The first call that fails.
    pub(crate) fn attach(&self, mount: &Planned, source: Source) -> Result<Tree, SysError> {
        let (root, inside) = self.around(&mount.destination);
        match source {
            Source::Groups(groups) => groups.attach(root, inside, mount),
            Source::Tree(tree) => attach(root, inside, &tree).map(|()| tree),
            Source::Dev(tree, devices) => {
                attach(root, inside, &tree)?;
                let dev = Root::from_fd(duplicate(&tree.fd)?, Path::new(&root.show(inside)));
                dev::fill(&dev, &devices).map(|()| tree)
            }
        }
    }

    /// Keeps the mounts by which others are reached.
    pub(crate) fn remember(&mut self, mount: &Planned, tree: Tree) {
        if crate::root::is_kernels(&mount.destination) {
            let shown = self.root.show(&mount.destination);
            let root = Root::from_fd(tree.fd, Path::new(&shown));
            self.kernels.push((mount.destination.clone(), root));
        }
    }
}

fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, SysError> {
    fd.try_clone().call(|| "fcntl(F_DUPFD_CLOEXEC)".into())
}

/// Changes the propagation of a mount that has its place; mount(2) wants to stand on it.
pub(crate) fn propagate(
    mount: BorrowedFd<'_>,
    wanted: Option<MountPropagationFlags>,
    place: &Path,
) -> Result<(), SysError> {
    let flags = wanted.unwrap_or(MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
    let call = || format!("mount({}, {})", place.display(), show(flags));
    match fchdir(mount) {
        Ok(()) => mount_change(".", flags).call(call),
        // A file cannot be stood on; its magic link leads to the mount.
        Err(rustix::io::Errno::NOTDIR) => {
            mount_change(format!("/proc/self/fd/{}", mount.as_raw_fd()), flags).call(call)
        }
        Err(errno) => Err(SysError::new(call(), errno)),
    }
}

/// As mount(2) spells it.
pub(crate) fn show(flags: MountPropagationFlags) -> String {
    let kind = [
        (MountPropagationFlags::SHARED, "MS_SHARED"),
        (MountPropagationFlags::DOWNSTREAM, "MS_SLAVE"),
        (MountPropagationFlags::UNBINDABLE, "MS_UNBINDABLE"),
    ];
    let kind = kind.iter().find(|(flag, _)| flags.contains(*flag));
    let kind = kind.map_or("MS_PRIVATE", |(_, name)| name);
    match flags.contains(MountPropagationFlags::REC) {
        true => format!("MS_REC|{kind}"),
        false => kind.to_owned(),
    }
}
