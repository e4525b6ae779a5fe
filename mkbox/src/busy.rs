//! Who still uses a box: processes whose root it is, and mounts at, below or of it, in every namespace that /proc shows.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};
use sys::{Call, Mount, mountinfo};

use crate::error::Error;
use crate::root::{Identity, Root};

/// Entries of one message.
const LISTED: usize = 8;

/// A process whose root directory is the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// /proc/PID/comm
    pub(crate) name: String,
}

impl Process {
    fn new(pid: i32) -> Self {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // A name may hold anything but NUL; a line is a line.
        let name = name.trim_end().escape_debug().to_string();
        Self { pid, name }
    }
}

/// Everything that stands in the way of removing a box.
#[derive(Debug, Default)]
pub(crate) struct Users {
    pub(crate) processes: Vec<Process>,
    /// What is mounted where, for people.
    pub(crate) mounts: Vec<String>,
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processes = self
            .processes
            .iter()
            .map(|process| format!("process {} ({}) runs in it", process.pid, process.name));
        let all: Vec<String> = processes.chain(self.mounts.iter().cloned()).collect();
        f.write_str(&all[..all.len().min(LISTED)].join(", "))?;
        match all.len().checked_sub(LISTED) {
            Some(more @ 1..) => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

/// The processes that run in the box, by their root directory's identity; of a box with layers, by its path, also by the
/// device that the layers are where they are mounted.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn processes(
    identity: Identity,
    layers_of: Option<&Path>,
) -> Result<Vec<Process>, Error> {
    let pids = pids()?;
    let mut devices = HashSet::new();
    let mut seen = HashSet::new();
    if let Some(path) = layers_of {
        for pid in &pids {
            let namespace = namespace_of(pid);
            if namespace.is_some() && seen.insert(namespace) {
                let mounts = mountinfo(pid).unwrap_or_default().into_iter();
                let layers = mounts.filter(|mount| is_layers_of(mount, path));
                devices.extend(layers.map(|mount| mount.device));
            }
        }
    }
    let is_in = |pid: &i32| {
        let root = root_of(pid);
        root == Some(identity) || root.is_some_and(|root| devices.contains(&device(root.dev)))
    };
    Ok(pids.into_iter().filter(is_in).map(Process::new).collect())
}

/// Whether `mount` is the layers of the box at `path`, one above the other.
fn is_layers_of(mount: &Mount, path: &Path) -> bool {
    mount.kind == "overlay" && mount.source.as_os_str() == path
}

/// As a mount table has it.
fn device(dev: u64) -> String {
    format!("{}:{}", rustix::fs::major(dev), rustix::fs::minor(dev))
}

/// Whoever uses one of these directories: the box, and what lies beside it.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn users(parts: &[(&Root, PathBuf)]) -> Result<Users, Error> {
    let own = mountinfo("self")?;
    let places = parts
        .iter()
        .map(|(root, path)| Location::of(root, path, &own));
    let places: Vec<Location<'_>> = places.collect::<Result<_, _>>()?;
    let hit =
        |mount: &Mount, comparable| places.iter().find_map(|place| place.hit(mount, comparable));
    let mut users = Users {
        processes: Vec::new(),
        mounts: own.iter().filter_map(|mount| hit(mount, true)).collect(),
    };
    let identities = parts.iter().map(|(root, _)| root.identity());
    let identities: Vec<Identity> = identities.collect::<Result<_, _>>()?;
    let our_root = root_of("self");
    let mut seen = HashSet::from([namespace_of("self")]);
    for pid in pids()? {
        let its_root = root_of(pid);
        if its_root.is_some_and(|root| identities.contains(&root)) {
            users.processes.push(Process::new(pid));
            continue;
        }
        // Of a process of others nothing is told; it cannot have mounted anything in a box of ours either.
        let namespace = namespace_of(pid);
        if namespace.is_none() || !seen.insert(namespace) {
            continue;
        }
        let theirs = mountinfo(pid).unwrap_or_default();
        let is_comparable = its_root == our_root;
        let hits = theirs.iter().filter_map(|mount| hit(mount, is_comparable));
        let hits: Vec<String> = hits.collect();
        if !hits.is_empty() {
            let Process { pid, name } = Process::new(pid);
            let named = |hit| format!("{hit} in the mount namespace of process {pid} ({name})");
            users.mounts.extend(hits.into_iter().map(named));
        }
    }
    Ok(users)
}

/// The root directory of a process; None when it is gone, a zombie, or somebody else's.
fn root_of(pid: impl fmt::Display) -> Option<Identity> {
    let root = fs::metadata(format!("/proc/{pid}/root")).ok()?;
    Some(Identity {
        dev: root.dev(),
        ino: root.ino(),
    })
}

/// The mount namespace of a process, as its link in /proc says it.
fn namespace_of(pid: impl fmt::Display) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

fn pids() -> Result<Vec<i32>, Error> {
    let list = fs::read_dir("/proc").call(|| "open(/proc)".into());
    let list = list.map_err(|error| error.hint("who uses the box can only be seen there"))?;
    Ok(list
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// A box as the mount tables see it.
#[derive(Debug)]
struct Location<'a> {
    path: &'a Path,
    /// Device and path in its file system; None where the table does not show the mount.
    inner: Option<(String, PathBuf)>,
}

impl<'a> Location<'a> {
    fn of(root: &Root, path: &'a Path, own: &[Mount]) -> Result<Self, Error> {
        // Linux 5.8; it is not told by older ones, and then the box is known by its path alone.
        let stat = statx(root.as_fd(), "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
            .call(|| format!("statx({})", path.display()))?;
        let mount = own.iter().find(|mount| mount.id == stat.stx_mnt_id);
        let inner = mount.and_then(|mount| {
            let below = path.strip_prefix(&mount.point).ok()?;
            Some((mount.device.clone(), mount.root.join(below)))
        });
        Ok(Self { path, inner })
    }

    /// Says it when `mount` is at or below the box, or a piece of the box that is mounted anywhere.
    ///
    /// `comparable`: the mount points are seen from the same root directory as ours.
    fn hit(&self, mount: &Mount, comparable: bool) -> Option<String> {
        if comparable && mount.point.starts_with(self.path) {
            return Some(format!(
                "{} is mounted on {}",
                mount.kind,
                mount.point.display()
            ));
        }
        if is_layers_of(mount, self.path) {
            return Some(format!(
                "its layers are mounted on {}",
                mount.point.display()
            ));
        }
        let (device, inner) = self.inner.as_ref()?;
        let is_piece = mount.device == *device && mount.root.starts_with(inner);
        is_piece.then(|| {
            format!(
                "its {} is mounted on {}",
                mount.root.display(),
                mount.point.display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Mount {
        Mount::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_at_below_or_of_the_box_is_a_hit_and_its_neighbours_are_not() {
        let place = Location {
            path: Path::new("/srv/box"),
            inner: Some(("8:1".into(), "/data/box".into())),
        };
        let hit = |text: &str, comparable| place.hit(&line(text), comparable).is_some();
        assert!(hit("1 2 0:5 / /srv/box/proc rw - proc proc rw", true));
        assert!(hit("1 2 0:5 / /srv/box rw - tmpfs t rw", true));
        assert!(hit(
            "1 2 0:6 / / rw - overlay /srv/box rw,lowerdir=/x",
            false
        ));
        assert!(!hit(
            "1 2 0:6 / / rw - overlay /srv/boxer rw,lowerdir=/x",
            false
        ));
        assert!(!hit("1 2 0:5 / /srv/boxer rw - tmpfs t rw", true));
        assert!(!hit("1 2 0:5 / /srv/box/proc rw - proc proc rw", false));
        assert!(hit(
            "1 2 8:1 /data/box/bin /elsewhere rw - ext4 x rw",
            false
        ));
        assert!(hit("1 2 8:1 /data/box / rw - ext4 x rw", false));
        assert!(!hit("1 2 8:1 /data / rw - ext4 x rw", true));
        assert!(!hit("1 2 8:2 /data/box / rw - ext4 x rw", true));
    }

    #[test]
    fn a_long_list_is_cut() {
        let processes = (0..10)
            .map(|pid| Process {
                pid,
                name: "x".into(),
            })
            .collect();
        let text = Users {
            processes,
            mounts: vec!["proc is mounted on /b/proc".into()],
        }
        .to_string();
        assert!(
            text.starts_with("process 0 (x) runs in it, ") && text.ends_with(" and 3 more"),
            "{text}"
        );
    }
}
