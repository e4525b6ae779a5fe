//! Mounts that `up` makes and `down` unmounts: in the mount namespace that the record names, or in that of the caller.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use record::{Namespace, Record};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, openat2, statx};
use rustix::mount::{UnmountFlags, unmount};
use sys::{Call, Mount, SysError};

use crate::assemble::Assembly;
use crate::error::Error;
use crate::extra::MountedIn;
use crate::root::{BELOW, DIRECTORY, Identity};
use crate::sys::{Fork, fork};

/// Where the caller is.
const OWN: &str = "/proc/self/ns/mnt";

/// What decides what is seen through a new /proc, /sys or mqueue, beside the mount namespace itself; that one comes last.
const KINDS: [(Namespace, CloneFlags); 5] = [
    (Namespace::Pid, CloneFlags::CLONE_NEWPID),
    (Namespace::Network, CloneFlags::CLONE_NEWNET),
    (Namespace::Ipc, CloneFlags::CLONE_NEWIPC),
    (Namespace::Cgroup, CloneFlags::CLONE_NEWCGROUP),
    (Namespace::Mount, CloneFlags::CLONE_NEWNS),
];

/// The namespaces in which the mounts are made, open.
#[derive(Debug)]
pub(crate) struct Within {
    namespaces: Vec<(CloneFlags, OwnedFd)>,
    pub(crate) mounted: MountedIn,
}

impl Within {
    /// Those of `record` if its mount namespace has a path; with `host` the caller's own. None: the mounts are made when
    /// the box is entered.
    ///
    /// # Errors
    /// One of them is none, or is another than the record speaks of.
    pub(crate) fn find(record: &Record, host: bool) -> Result<Option<Self>, Error> {
        let path = record.namespace_path(Namespace::Mount)?;
        let Some(path) = path else {
            let own = || -> Result<Self, Error> {
                Ok(Self {
                    namespaces: Vec::new(),
                    mounted: MountedIn {
                        path: None,
                        inode: own_inode()?,
                    },
                })
            };
            return host.then(own).transpose();
        };
        if host {
            return Err(Error::Usage(format!(
                "--host-mounts: the record has a mount namespace, {}",
                path.display()
            )));
        }
        let mut namespaces = Vec::new();
        let mut inode = 0;
        for (kind, flag) in KINDS {
            let Some(path) = record.namespace_path(kind)? else {
                continue;
            };
            let file = open_namespace(&path, flag)?;
            inode = file
                .metadata()
                .call(|| format!("stat({})", path.display()))?
                .ino();
            if record
                .namespace_inode(kind)
                .is_some_and(|known| known != inode)
            {
                return Err(Error::Failed(format!(
                    "{}: it is another namespace than the one that the record speaks of",
                    path.display()
                )));
            }
            namespaces.push((flag, file.into()));
        }
        let path = path.to_str().map(str::to_owned);
        let mounted = MountedIn { path, inode };
        Ok(Some(Self {
            namespaces,
            mounted,
        }))
    }

    /// Makes the mounts, unless they are there; whoever joins the namespace finds them.
    ///
    /// # Errors
    /// The first call that fails. What is mounted stays: the caller undoes it.
    pub(crate) fn mount(&self, assembly: &Assembly) -> Result<(), Error> {
        let make = || -> Result<(), Error> {
            if assembly.is_there()? {
                return Ok(());
            }
            let shared = assembly.open_shared()?;
            assembly.assemble(shared, &|_| ()).map(drop)
        };
        if self.namespaces.is_empty() {
            let here = rustix::process::getcwd(Vec::new()).call(|| "getcwd".into())?;
            let made = make();
            // The mounts have moved us; the path of the record is relative to nothing, but the next step may be.
            let _ = rustix::process::chdir(here);
            return made;
        }
        in_child(&self.namespaces, make)
    }
}

fn own_inode() -> Result<u64, SysError> {
    let metadata = fs::metadata(OWN).call(|| format!("stat({OWN})"))?;
    Ok(metadata.ino())
}

fn open_namespace(path: &Path, flag: CloneFlags) -> Result<File, Error> {
    let call = || format!("open({})", path.display());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = openat(CWD, path, flags, Mode::empty()).call(call)?;
    if sys::ns_type(fd.as_fd()).ok() != Some(flag.bits()) {
        let error = SysError::new(call(), Errno::EINVAL);
        return Err(error.hint("it is no namespace of that type").into());
    }
    Ok(fd.into())
}

/// Does `work` in these namespaces, in a child that ends there; it ends with us, too.
fn in_child(
    namespaces: &[(CloneFlags, OwnedFd)],
    work: impl FnOnce() -> Result<(), Error>,
) -> Result<(), Error> {
    // A pid namespace is only entered by children; there are no others.
    let join = |flag: CloneFlags, fd: &OwnedFd| {
        setns(fd, flag)
            .call(|| {
                let name = flag.iter_names().next().map_or("", |(name, _)| name);
                format!("setns({name})")
            })
            .map_err(crate::attach::needs_admin)
    };
    let (before, after): (Vec<_>, Vec<_>) = namespaces
        .iter()
        .partition(|(flag, _)| *flag == CloneFlags::CLONE_NEWPID);
    for (flag, fd) in before {
        join(*flag, fd)?;
    }
    let (reader, writer) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).call(|| "pipe2".into())?;
    let child = match fork()? {
        Fork::Parent(child) => child,
        Fork::Child(child) => {
            drop(reader);
            let joined = after.iter().try_for_each(|(flag, fd)| join(*flag, fd));
            let answer = joined.map_err(Error::from).and_then(|()| work());
            if let Err(error) = answer {
                // Nobody to tell when the parent is gone.
                let _ = File::from(writer).write_all(error.to_string().as_bytes());
                child.end(1)
            }
            child.end(0)
        }
    };
    drop(writer);
    let mut text = String::new();
    let read = File::from(reader).read_to_string(&mut text);
    let status = child.wait()?;
    read.call(|| "read(pipe)".into())?;
    match (status, text.is_empty()) {
        (0, _) => Ok(()),
        (_, false) => Err(Error::Failed(text)),
        (_, true) => Err(Error::Failed(
            "the process that makes the mounts was killed".into(),
        )),
    }
}

/// Unmounts what `up` mounted at and below the box, if the namespace is still there.
///
/// # Errors
/// Something else is mounted there, or one of the mounts is in use. None is unmounted when a process is in the box.
pub(crate) fn unmount_all(
    mounted: &MountedIn,
    assembly: &Assembly,
    tell: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let path = &assembly.path;
    // Opened here: the one inside may be of another pid namespace.
    let proc = openat(CWD, "/proc", DIRECTORY, Mode::empty()).call(|| "open(/proc)".into())?;
    let work = || unmount_here(path, assembly, proc.as_fd());
    match &mounted.path {
        None if own_inode()? == mounted.inode => work()?,
        // In another namespace than this one: whether it still is, the search for users tells.
        None => return Ok(()),
        Some(namespace) => {
            let Ok(file) = open_namespace(Path::new(namespace), CloneFlags::CLONE_NEWNS) else {
                return Ok(());
            };
            if file.metadata().map(|metadata| metadata.ino()).ok() != Some(mounted.inode) {
                return Ok(());
            }
            let view = Path::new(namespace).parent().and_then(Path::parent);
            if let Some(view) = view.filter(|view| view.starts_with("/proc")) {
                refuse_processes(&view.join("root"), path)?;
            }
            in_child(&[(CloneFlags::CLONE_NEWNS, file.into())], work)?;
        }
    }
    tell(format!("umount2({})", path.display()));
    Ok(())
}

/// Processes whose root is the box as it is mounted there.
fn refuse_processes(view: &Path, path: &Path) -> Result<(), Error> {
    let inside = view.join(path.strip_prefix("/").unwrap_or(path));
    let Ok(metadata) = fs::metadata(inside) else {
        return Ok(());
    };
    let identity = Identity {
        dev: metadata.dev(),
        ino: metadata.ino(),
    };
    let users = crate::busy::Users {
        processes: crate::busy::processes(identity, None)?,
        mounts: Vec::new(),
    };
    if users.processes.is_empty() {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "down({}): in use: {users}",
        path.display()
    )))
}

/// The same in the namespace in which this process is.
fn unmount_here(path: &Path, assembly: &Assembly, proc: BorrowedFd<'_>) -> Result<(), Error> {
    refuse_processes(Path::new("/"), path)?;
    let mounts = mounts_at(path, proc)?;
    let foreign = mounts.iter().enumerate().find(|(at, mount)| {
        let inside = mount.point.strip_prefix(path).unwrap_or(&mount.point);
        // A layer in memory lies below the box on the same place; everything else is mounted there once.
        let is_on_another =
            inside != Path::new("") && mounts[..*at].iter().any(|below| below.point == mount.point);
        is_on_another || !assembly.mounts_at(&Path::new("/").join(inside))
    });
    if let Some((_, mount)) = foreign {
        return Err(Error::Failed(format!(
            "down({}): in use: {} is mounted on {}",
            path.display(),
            mount.kind,
            mount.point.display()
        )));
    }
    for mount in mounts.iter().rev() {
        let point = &mount.point;
        let call = || format!("umount2({})", point.display());
        check(mount).call(call)?;
        let done = unmount(point, UnmountFlags::NOFOLLOW).call(call);
        done.map_err(|error| match error.errno {
            Errno::EBUSY => error.hint("a process uses it: fuser -m tells which"),
            _ => error,
        })?;
    }
    Ok(())
}

/// The mounts at and below `path`, in the order in which they were made.
fn mounts_at(path: &Path, proc: BorrowedFd<'_>) -> Result<Vec<Mount>, Error> {
    let call = || "open(/proc/self/mountinfo)".to_owned();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let mut file = File::from(openat(proc, "self/mountinfo", flags, Mode::empty()).call(call)?);
    let mut text = Vec::new();
    file.read_to_end(&mut text).call(call)?;
    let lines = text.split(|&byte| byte == b'\n');
    let mounts: Vec<Mount> = lines.filter_map(Mount::parse).collect();
    // In the order of the table a mount may come before the one that it lies on, when that one was moved.
    let mut below: Vec<Mount> = Vec::new();
    let mut rest: Vec<Mount> = mounts
        .into_iter()
        .filter(|mount| mount.point.starts_with(path))
        .collect();
    while !rest.is_empty() {
        let open: Vec<u64> = rest.iter().map(|mount| mount.id).collect();
        let (ready, waiting): (Vec<Mount>, Vec<Mount>) = rest
            .into_iter()
            .partition(|mount| !open.contains(&mount.parent));
        if ready.is_empty() {
            return Err(Error::Failed(format!(
                "{}: its mounts lie on one another",
                path.display()
            )));
        }
        below.extend(ready);
        rest = waiting;
    }
    Ok(below)
}

/// The path of `mount` leads to it, and to nothing else by a link that was planted in the box.
fn check(mount: &Mount) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let there = openat2(CWD, &mount.point, flags, Mode::empty(), BELOW)?;
    let stat = statx(&there, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    let is_told = stat.stx_mask & StatxFlags::MNT_ID.bits() != 0;
    if is_told && stat.stx_mnt_id != mount.id {
        return Err(rustix::io::Errno::STALE);
    }
    Ok(())
}
