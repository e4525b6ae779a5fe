//! Who still uses a box: processes whose root it is, and mounts at, below or of it, in every namespace that /proc shows.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};
use sys::Call;

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

/// The processes that run in the box, by their root directory's identity.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn processes(identity: Identity) -> Result<Vec<Process>, Error> {
    let pids = pids()?.into_iter();
    let found = pids.filter(|&pid| root_of(pid) == Some(identity));
    Ok(found.map(Process::new).collect())
}

/// Whoever uses the box at `path`.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn users(root: &Root, path: &Path) -> Result<Users, Error> {
    let own = mountinfo("self")?;
    let place = Location::of(root, path, &own)?;
    let mut users = Users {
        processes: Vec::new(),
        mounts: own
            .iter()
            .filter_map(|mount| place.hit(mount, true))
            .collect(),
    };
    let (identity, our_root) = (root.identity()?, root_of("self"));
    let mut seen = HashSet::from([namespace_of("self")]);
    for pid in pids()? {
        let its_root = root_of(pid);
        if its_root == Some(identity) {
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
        let hits = theirs
            .iter()
            .filter_map(|mount| place.hit(mount, is_comparable));
        let named = hits.map(|hit| format!("{hit} in the mount namespace of process {pid}"));
        users.mounts.extend(named);
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

/// A line of /proc/PID/mountinfo, proc_pid_mountinfo(5).
#[derive(Debug, Clone, PartialEq, Eq)]
struct MountLine {
    id: u64,
    /// major:minor
    device: String,
    /// The directory in the file system that is mounted.
    root: PathBuf,
    /// Where, as the process sees it.
    point: PathBuf,
    kind: String,
}

fn mountinfo(pid: impl fmt::Display) -> Result<Vec<MountLine>, Error> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = fs::read(&path).call(|| format!("open({path})"))?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(parse)
        .collect())
}

fn parse(line: &[u8]) -> Option<MountLine> {
    let mut fields = line.split(|&byte| byte == b' ');
    let text = |field: &[u8]| std::str::from_utf8(field).ok().map(str::to_owned);
    let id = text(fields.next()?)?.parse().ok()?;
    let device = text(fields.nth(1)?)?;
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    let kind = fields
        .skip_while(|field| *field != b"-")
        .nth(1)
        .and_then(text)?;
    Some(MountLine {
        id,
        device,
        root,
        point,
        kind,
    })
}

/// Space, tab, newline and backslash stand as `\040` and so on.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| {
            byte == b'\\' && digits.iter().all(|digit| (b'0'..b'8').contains(digit))
        });
        match octal {
            Some(digits) => {
                bytes.push(digits.iter().fold(0u8, |value, digit| {
                    value.wrapping_mul(8).wrapping_add(digit - b'0')
                }));
                rest = &tail[3..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

/// A box as the mount tables see it.
#[derive(Debug)]
struct Location<'a> {
    path: &'a Path,
    /// Device and path in its file system; None where the table does not show the mount.
    inner: Option<(String, PathBuf)>,
}

impl<'a> Location<'a> {
    fn of(root: &Root, path: &'a Path, own: &[MountLine]) -> Result<Self, Error> {
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
    fn hit(&self, mount: &MountLine, comparable: bool) -> Option<String> {
        if comparable && mount.point.starts_with(self.path) {
            return Some(format!(
                "{} is mounted on {}",
                mount.kind,
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

    fn line(text: &str) -> MountLine {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn lines_are_read_with_optional_fields_and_escapes() {
        let mount = line(
            r"36 35 98:0 /mnt1 /a\040b\134c rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue",
        );
        assert_eq!(
            (mount.id, &mount.device[..], &mount.kind[..]),
            (36, "98:0", "ext3")
        );
        assert_eq!(
            (mount.root, mount.point),
            ("/mnt1".into(), r"/a b\c".into())
        );
        assert_eq!(line("1 2 0:1 / / rw - tmpfs none rw").kind, "tmpfs");
        for bad in [
            "",
            "1",
            "x 2 0:1 / / rw - tmpfs none rw",
            "1 2 0:1 / / rw tmpfs none rw",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(unescape(br"a\0"), Path::new(r"a\0"));
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
