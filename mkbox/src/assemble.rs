//! Everything mounted in its place: the box itself, what the record mounts in it, what it hides. In the mount namespace
//! in which this process is, where nothing propagates outside any more.

mod confine;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use record::Record;
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::mount::{MountAttrFlags, MountPropagationFlags, mount_change};
use rustix::process::fchdir;
use serde_json::Value;
use sys::{Call, SysError};

use crate::attach::{Tree, clone_fd, describe, open_source};
use crate::dev;
use crate::device::{self, Device};
use crate::error::Error;
use crate::extra::Layers;
use crate::mounted::{Mounted, Source, propagate, show};
use crate::mounts::{self, Planned, What};
use crate::options::{Attributes, propagation};
use crate::place::Place;
use crate::root::{Identity, Root};
use crate::state::State;
use crate::{TOOL, mask, overlay};

/// `STATX_ATTR_MOUNT_ROOT` of linux/stat.h, Linux 5.8.
const MOUNT_ROOT: u64 = 0x2000;

/// What is to be mounted, as data.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) path: PathBuf,
    /// Of the box that was made; None for a directory that mkbox did not make.
    identity: Option<Identity>,
    overlay: Option<Layers>,
    mounts: Vec<Planned>,
    devices: Vec<Device>,
    masked: Vec<PathBuf>,
    read_only_paths: Vec<PathBuf>,
    /// For who has dropped what it could: see [`confine`].
    is_confined: bool,
    /// `root.readonly`
    read_only: bool,
    /// `linux.rootfsPropagation`; None: private.
    propagation: Option<MountPropagationFlags>,
    /// `up` has made the mounts, in a namespace that may be this one.
    is_made: bool,
    /// For others to use, in a namespace that others see.
    is_lasting: bool,
}

/// Sources whose mounts are seen outside: they have to be opened before nothing is any more.
#[derive(Debug, Default)]
pub(crate) struct Shared(Vec<(PathBuf, Tree)>);

impl Assembly {
    /// Of the box at `path`, as `record` has it.
    ///
    /// # Errors
    /// What the record asks for cannot be.
    pub(crate) fn new(path: PathBuf, record: Option<&Record>) -> Result<Self, Error> {
        let state = record.and_then(|record| record.get(TOOL));
        let state = state.map(State::from_json).transpose()?;
        if state.as_ref().is_some_and(|state| state.filled.is_none()) {
            return Err(Error::Failed(format!(
                "{}: this box was never finished (mkbox down removes it)",
                path.display()
            )));
        }
        let state = state.filter(|state| Path::new(&state.root) == path);
        let mut assembly = Self {
            identity: state.as_ref().and_then(|state| state.identity),
            is_made: state
                .as_ref()
                .is_some_and(|state| state.extra.mounted.is_some()),
            overlay: state.and_then(|state| state.extra.overlay),
            path,
            mounts: Vec::new(),
            devices: Vec::new(),
            masked: Vec::new(),
            read_only_paths: Vec::new(),
            is_confined: false,
            read_only: false,
            propagation: None,
            is_lasting: false,
        };
        if let Some(record) = record {
            assembly.mounts = mounts::plan(&mounts::read(record)?)?;
            assembly.devices = device::read(record)?;
            assembly.masked = paths(record, "maskedPaths")?;
            assembly.read_only_paths = paths(record, "readonlyPaths")?;
            let read_only = record.pointer("/root/readonly").and_then(Value::as_bool);
            assembly.read_only = read_only.unwrap_or(false);
            assembly.propagation = root_propagation(record)?;
        }
        Ok(assembly)
    }

    /// One that `up` is about to make, and leaves.
    pub(crate) fn lasting(mut self) -> Self {
        self.is_made = false;
        self.is_lasting = true;
        self
    }

    /// Whether a mount on `inside` is one of these, or came with one of them.
    pub(crate) fn mounts_at(&self, inside: &Path) -> bool {
        let came_with = |mount: &Planned| match mount.what {
            What::Bind { recursive, .. } => recursive,
            What::Groups => true,
            What::FileSystem { .. } => mount.is_dev() && dev::makes(inside),
        };
        let is_one = |mount: &Planned| {
            mount.destination == inside
                || came_with(mount) && inside.starts_with(&mount.destination)
        };
        inside == Path::new("/")
            || self.mounts.iter().any(is_one)
            || self.devices.iter().any(|device| device.path == inside)
            || self.masked.iter().any(|path| path == inside)
            || self
                .read_only_paths
                .iter()
                .any(|path| inside.starts_with(path))
    }

    /// Whether it is mounted where this process is.
    ///
    /// # Errors
    /// The box cannot be opened.
    pub(crate) fn is_there(&self) -> Result<bool, SysError> {
        is_mount_root(&Root::open(&self.path)?)
    }

    /// Opens what has to be opened before the mounts of this namespace become slaves.
    ///
    /// # Errors
    /// A source cannot be opened.
    pub(crate) fn open_shared(&self) -> Result<Shared, Error> {
        let shared = self.mounts.iter().filter(|mount| mount.is_shared());
        let opened = shared.map(|mount| Ok((mount.destination.clone(), open_source(mount)?)));
        Ok(Shared(opened.collect::<Result<_, SysError>>()?))
    }

    /// The steps, for `--dry-run`.
    pub(crate) fn describe(&self) -> Vec<String> {
        let path = self.path.display();
        let mut lines = vec![match self.overlay {
            Some(_) => format!("mount(overlay, {path})"),
            None => format!("mount({path}, {path}, MS_BIND|MS_REC)"),
        }];
        lines.extend(self.mounts.iter().map(describe));
        lines.extend(self.devices.iter().map(Device::describe));
        let hidden = self
            .masked
            .iter()
            .map(|path| format!("mount(/dev/null, {}, MS_BIND)", path.display()));
        lines.extend(hidden);
        let fixed = self.read_only_paths.iter().map(|path| {
            let path = path.display();
            format!("mount({path}, {path}, MS_BIND|MS_RDONLY)")
        });
        lines.extend(fixed);
        if self.read_only {
            lines.push("mount(/, MS_BIND|MS_REMOUNT|MS_RDONLY)".into());
        }
        lines
    }

    /// Makes all of it; this process stands in the box afterwards.
    ///
    /// # Errors
    /// The first call that fails. What is mounted stays: it goes with the namespace, or the caller undoes it.
    pub(crate) fn assemble(
        &self,
        mut shared: Shared,
        say: &dyn Fn(&dyn Fn() -> String),
    ) -> Result<Mounted, Error> {
        let directory = self.open_box()?;
        if self.is_made && is_mount_root(&directory)? {
            let tree = clone_fd(directory.as_fd(), true, || self.path.display().to_string())?;
            let mounted = Mounted::new(self.place(tree, &directory)?);
            if self.is_confined {
                self.confine_what_is_made(&mounted)?;
            }
            return Ok(mounted);
        }
        // The caller's view ends with the first mount: what comes from there is opened now.
        let mut sources = Vec::new();
        for mount in &self.mounts {
            let at = shared
                .0
                .iter()
                .position(|(place, _)| *place == mount.destination);
            sources.push(match at {
                Some(at) => Source::Tree(shared.0.remove(at).1),
                None => Source::open(mount)?,
            });
        }
        let devices: Vec<_> = self.devices.iter().map(Device::of_host).collect();
        let root = self.mount_box(directory, say)?;
        let mut mounted = Mounted::new(root);
        let is_plain = !self.is_lasting
            && self.propagation.is_none()
            && self.mounts.iter().all(|mount| mount.propagation.is_none());
        for (mount, source) in self.mounts.iter().zip(sources) {
            let tree = mounted.attach(mount, source)?;
            if !is_plain {
                propagate(tree.fd.as_fd(), mount.propagation, &mount.destination)?;
            }
            mounted.remember(mount, tree);
            say(&|| describe(mount));
        }
        for (device, host) in self.devices.iter().zip(devices) {
            device.place(&mounted, host, self.is_in_own_dev(&device.path))?;
            say(&|| device.describe());
        }
        mask::mask(&mounted, &self.masked)?;
        mask::read_only(&mounted, &self.read_only_paths)?;
        if self.is_confined {
            confine::without_devices(&mounted, Path::new("/"))?;
        }
        if self.read_only {
            // After the mount points were made.
            let fd = mounted.root().as_fd().try_clone_to_owned();
            let mut tree = Tree::from(fd.call(|| "fcntl(F_DUPFD_CLOEXEC)".into())?);
            let read_only = Attributes::only(MountAttrFlags::MOUNT_ATTR_RDONLY);
            tree.change_in_place(read_only, Path::new("/"))?;
            say(&|| "mount(/, MS_BIND|MS_REMOUNT|MS_RDONLY)".into());
        }
        self.seal(mounted.root(), is_plain)?;
        Ok(mounted)
    }

    /// Whether `path` lies in a /dev that is the box's own, and not in something of the host's that is mounted there.
    fn is_in_own_dev(&self, path: &Path) -> bool {
        let mut around = self.mounts.iter().rev();
        let nearest = around.find(|mount| path.starts_with(&mount.destination));
        nearest.is_some_and(Planned::is_dev)
    }

    fn open_box(&self) -> Result<Root, Error> {
        let directory = Root::open(&self.path)?;
        // Layers that are mounted hide the directory they lie on.
        let is_hidden = self.is_made && self.overlay.is_some() && is_mount_root(&directory)?;
        let is_known = self.identity.is_none() || self.identity == Some(directory.identity()?);
        if !is_known && !is_hidden {
            return Err(Error::Failed(format!(
                "{}: it is another directory than the one that the record speaks of",
                self.path.display()
            )));
        }
        Ok(directory)
    }

    /// Mounts the box on itself, so that it is a mount that can become the root; or its layers.
    fn mount_box(&self, directory: Root, say: &dyn Fn(&dyn Fn() -> String)) -> Result<Root, Error> {
        let path = self.path.display();
        let Some(layers) = &self.overlay else {
            let tree = clone_fd(directory.as_fd(), true, || path.to_string())?;
            let root = self.place(tree, &directory)?;
            say(&|| format!("mount({path}, {path}, MS_BIND|MS_REC)"));
            return Ok(root);
        };
        let place = Place::recorded(&self.path.to_string_lossy())?;
        let tree = overlay::open(layers, &place, &directory)?;
        // With a layer in memory the box is covered by now, and this is the cover.
        let directory = if layers.ephemeral {
            Root::open(&self.path)?
        } else {
            directory
        };
        let root = self.place(tree, &directory)?;
        say(&|| format!("mount(overlay, {path})"));
        Ok(root)
    }

    fn place(&self, tree: Tree, directory: &Root) -> Result<Root, Error> {
        let path = self.path.display();
        tree.move_onto(directory.as_fd(), || path.to_string())?;
        fchdir(&tree.fd).call(|| format!("fchdir({path})"))?;
        if self.is_lasting {
            // What is mounted in the box from here on is not to be seen by whoever shares the mount it came from.
            let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change(".", flags).call(|| format!("mount({path}, MS_REC|MS_PRIVATE)"))?;
        }
        Ok(Root::from_fd(tree.fd, &self.path))
    }

    /// Ends propagation into the box, but for what asked for it.
    fn seal(&self, root: &Root, is_plain: bool) -> Result<(), Error> {
        // A bind mount on the way may have moved us, in another view of the same directory: back to the box.
        fchdir(root.as_fd()).call(|| "fchdir(box)".into())?;
        let private = MountPropagationFlags::PRIVATE;
        let flags = match self.propagation {
            // On a shared one the old root could not be left.
            Some(flags) if !flags.contains(MountPropagationFlags::SHARED) => flags,
            None if is_plain => private | MountPropagationFlags::REC,
            _ => private,
        };
        Ok(mount_change(".", flags).call(|| format!("mount(., {})", show(flags)))?)
    }

    /// What can be done only when the box is the root.
    ///
    /// # Errors
    /// What mount(2) answers.
    pub(crate) fn finish(&self) -> Result<(), SysError> {
        match self.propagation {
            Some(flags) if flags.contains(MountPropagationFlags::SHARED) => {
                mount_change("/", flags).call(|| format!("mount(/, {})", show(flags)))
            }
            _ => Ok(()),
        }
    }
}

/// `linux.maskedPaths`, `linux.readonlyPaths`
fn paths(record: &Record, key: &str) -> Result<Vec<PathBuf>, Error> {
    let wrong = || {
        Error::from(record::Error::Record(format!(
            "linux.{key}: must be a list of absolute paths without \"..\""
        )))
    };
    let list = match record.pointer(&format!("/linux/{key}")) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(list) => list.as_array().ok_or_else(wrong)?,
    };
    let path = |entry: &Value| {
        let path = entry.as_str().filter(|path| !path.contains('\0'))?;
        crate::flags::inside(path).ok()?;
        Some(PathBuf::from(path))
    };
    list.iter()
        .map(|entry| path(entry).ok_or_else(wrong))
        .collect()
}

/// `linux.rootfsPropagation`
fn root_propagation(record: &Record) -> Result<Option<MountPropagationFlags>, Error> {
    let wrong = || {
        Error::from(record::Error::Record(
            "linux.rootfsPropagation: must be private, slave, shared or unbindable".into(),
        ))
    };
    match record.pointer("/linux/rootfsPropagation") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(word) => word
            .as_str()
            .and_then(propagation)
            .map(Some)
            .ok_or_else(wrong),
    }
}

/// Whether something is mounted on the directory, or it is the root of a mount.
///
/// # Errors
/// What statx(2) answers.
pub(crate) fn is_mount_root(directory: &Root) -> Result<bool, SysError> {
    let stat = statx(
        directory.as_fd(),
        "",
        AtFlags::EMPTY_PATH,
        StatxFlags::MNT_ID,
    );
    let stat = stat.call(|| "statx(box)".into())?;
    Ok(stat.stx_attributes.bits() & MOUNT_ROOT != 0)
}
