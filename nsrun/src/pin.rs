//! Pins: files that hold the namespaces of a pod, so that they outlive the process that holds them.
//!
//! The network namespace is pinned where ip-netns(8) looks for it, the others in a small file system of the pod's own beside its
//! index: a mount namespace can be pinned only in a mount that is not shared, mount_namespaces(7).

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ::sys::{Call, SysError, ToErrno, ns_type};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use record::{Id, Namespace, names};

use crate::error::Error;
use crate::netns;
use crate::procfs::Identity;
use crate::request::holder_path;
use crate::state::State;
use crate::step::{self, kinds};
use crate::sys::ns_id;

/// Each namespace that is pinned, and its file.
pub(crate) type Pins = Vec<(Namespace, PathBuf)>;

/// Of the file before a namespace is mounted on it. That of ip-netns(8) has 0: so ours is known.
const PLACEHOLDER: u32 = 0o400;

/// What open(2) answers where there is nothing, or something that is no namespace: a directory's way cut, a link, a socket.
const NOT_A_PIN: [Errno; 4] = [Errno::ENOENT, Errno::ENOTDIR, Errno::ELOOP, Errno::ENXIO];

/// Where the namespaces that `made` names will be pinned.
pub(crate) fn planned(id: &Id, made: i32) -> Pins {
    kinds(made)
        .into_iter()
        .map(|kind| (kind, place(id, kind)))
        .collect()
}

fn place(id: &Id, kind: Namespace) -> PathBuf {
    match kind {
        Namespace::Network => names::netns(id),
        other => names::pins(id).join(other.proc_name()),
    }
}

/// An error when `pins` cannot be made: before anything is.
///
/// # Errors
/// No right to mount, or a name that is somebody else's.
pub(crate) fn check(pins: &Pins) -> Result<(), Error> {
    let capable = caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_SYS_ADMIN,
    );
    if !capable.unwrap_or(false) {
        return Err(Error::Failed(
            "--pin: pins are mounts outside of the pod (needs CAP_SYS_ADMIN; without --pin the process that holds the pod keeps its namespaces)"
                .into(),
        ));
    }
    for (kind, path) in pins {
        if *kind == Namespace::Network && fs::symlink_metadata(path).is_ok() {
            return Err(Error::Failed(format!(
                "{} is there and not this pod's (another --id, or: ip netns delete {})",
                path.display(),
                path.file_name().unwrap_or_default().display()
            )));
        }
    }
    Ok(())
}

/// Pins the namespaces of process `pid`, our child.
///
/// # Errors
/// The call that failed. What was pinned by then is found by [`unpin`].
pub(crate) fn pin(id: &Id, pid: i32, pins: &Pins, verbose: bool) -> Result<(), Error> {
    if pins.iter().any(|(kind, _)| *kind != Namespace::Network) {
        make_private(&names::pins(id), verbose)?;
    }
    for (kind, path) in pins {
        let lock = match kind {
            Namespace::Network => netns::prepare(verbose)?,
            _ => None,
        };
        bind(pid, *kind, path, verbose)?;
        drop(lock);
    }
    Ok(())
}

/// Pins the namespace of `kind` of another process in place of what is pinned there.
///
/// # Errors
/// As [`pin`].
pub(crate) fn pin_anew(pid: i32, kind: Namespace, path: &Path, verbose: bool) -> Result<(), Error> {
    release(path, verbose)?;
    Ok(bind(pid, kind, path, verbose)?)
}

fn bind(pid: i32, kind: Namespace, path: &Path, verbose: bool) -> Result<(), SysError> {
    let placeholder = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PLACEHOLDER)
        .open(path);
    placeholder.call(|| format!("open({}, O_CREAT|O_EXCL)", path.display()))?;
    netns::bind(&holder_path(pid, kind), path, MsFlags::empty(), verbose)
}

/// A mount that is nobody's peer.
fn make_private(dir: &Path, verbose: bool) -> Result<(), SysError> {
    fs::create_dir(dir).call(|| format!("mkdir({})", dir.display()))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let call = format!("mount(chroot0, {}, tmpfs)", dir.display());
    let options = Some("mode=700,nr_inodes=16,size=4k");
    mount(Some("chroot0"), dir, Some("tmpfs"), flags, options).map_err(|errno| {
        let error = SysError::new(call.clone(), errno);
        match errno {
            Errno::EPERM => error
                .hint("needs CAP_SYS_ADMIN in the user namespace that owns the mount namespace"),
            _ => error,
        }
    })?;
    if verbose {
        step::say(&call);
    }
    mount(
        None::<&str>,
        dir,
        None::<&str>,
        MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .call(|| format!("mount({}, MS_PRIVATE)", dir.display()))
}

/// The namespace that `state` has pinned, if its file still is that one. While a pin holds it, its inode is no other's.
///
/// # Errors
/// It cannot be told: what is not known to be another's is not taken for gone.
pub(crate) fn held(
    id: &Id,
    state: &State,
    kind: Namespace,
) -> Result<Option<(Identity, File)>, SysError> {
    let Some(path) = state.pin(kind).filter(|path| **path == place(id, kind)) else {
        return Ok(None);
    };
    // Not blocked by a FIFO in its place.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let file = match file {
        Err(error) if NOT_A_PIN.contains(&error.to_errno()) => return Ok(None),
        file => file.call(|| format!("open({})", path.display()))?,
    };
    let found = file
        .metadata()
        .call(|| format!("fstat({})", path.display()))?;
    let is_of_kind = match ns_type(file.as_fd()) {
        Err(error) if error.errno == Errno::ENOTTY => false,
        answer => answer? == kind.clone_flag(),
    };
    let is_it = is_of_kind
        && state.inode(kind) == Some(found.ino())
        && state
            .id(kind)
            .is_none_or(|id| ns_id(file.as_fd()).is_none_or(|found| found == id));
    Ok(is_it.then(|| ((found.dev(), found.ino()), file)))
}

/// Takes away what `state` has pinned, and nothing else; what is gone already is as good.
///
/// # Errors
/// A call that failed.
pub(crate) fn unpin(id: &Id, state: &State, verbose: bool) -> Result<(), Error> {
    if state.pins.is_empty() {
        return Ok(());
    }
    if state.pin(Namespace::Network) == Some(&names::netns(id)) {
        let path = names::netns(id);
        if held(id, state, Namespace::Network)?.is_some() || is_placeholder(&path) {
            release(&path, verbose)?;
        }
        netns::tidy(verbose)?;
    }
    // All of it is ours by its place: below the directory of the index.
    let dir = names::pins(id);
    while unmount(&dir, verbose)? {}
    match fs::remove_dir(&dir) {
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(()),
        answer => Ok(answer.call(|| format!("rmdir({})", dir.display()))?),
    }
}

/// Pins of `state` that are still there.
///
/// # Errors
/// As [`held`].
pub(crate) fn left(id: &Id, state: &State) -> Result<Pins, SysError> {
    let mut left = Pins::new();
    for (kind, path) in &state.pins {
        if held(id, state, *kind)?.is_some() {
            left.push((*kind, path.clone()));
        }
    }
    Ok(left)
}

/// Killed between making the file and mounting on it.
fn is_placeholder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        found.is_file() && found.len() == 0 && found.mode() & 0o7777 == PLACEHOLDER
    })
}

/// Takes the mount off `path`, and the file away.
fn release(path: &Path, verbose: bool) -> Result<(), SysError> {
    unmount(path, verbose)?;
    match fs::remove_file(path) {
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(()),
        answer => answer.call(|| format!("unlink({})", path.display())),
    }
}

/// False: there is nothing mounted.
fn unmount(path: &Path, verbose: bool) -> Result<bool, SysError> {
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    match umount2(path, flags) {
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(false),
        answer => {
            let call = format!("umount({}, MNT_DETACH)", path.display());
            answer.call(|| call.clone())?;
            if verbose {
                step::say(&call);
            }
            Ok(true)
        }
    }
}
