//! Mounts on which files have other owners than on the disk: the ids, and the user namespace that carries them.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::str::FromStr;

use record::Record;
use rustix::fs::{Mode, OFlags, openat};
use serde_json::Value;
use sys::{Call, SysError};

use crate::error::Error;
use crate::filesystem::proc_of_own;
use crate::sys::{Child, clone_user_namespace};

/// Ranges of one kind of id.
const RANGES: usize = 340;

/// Ids on the disk and the ids they become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    /// First id on the disk.
    pub(crate) disk: u32,
    /// First id that is seen instead.
    pub(crate) seen: u32,
    pub(crate) size: u32,
}

/// Whose ids a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdMap {
    /// Those of a user namespace that is there: `/proc/PID/ns/user`.
    Namespace(PathBuf),
    Ranges {
        uids: Vec<Range>,
        gids: Vec<Range>,
    },
}

impl FromStr for IdMap {
    type Err = String;

    /// `uids=0-100000-65536#…;gids=…` as crun(1) and podman(1) have it, or a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('/') {
            return Ok(Self::Namespace(text.into()));
        }
        let bad = || {
            format!(
                "idmap={text}: is neither uids=DISK-SEEN-COUNT;gids=DISK-SEEN-COUNT nor /proc/PID/ns/user"
            )
        };
        let (mut uids, mut gids) = (Vec::new(), Vec::new());
        for part in text.split(';') {
            let (key, list) = part.split_once('=').ok_or_else(bad)?;
            let into = match key {
                "uids" => &mut uids,
                "gids" => &mut gids,
                _ => return Err(bad()),
            };
            for triple in list.split('#') {
                into.push(range(triple).ok_or_else(bad)?);
            }
        }
        if uids.is_empty() || gids.is_empty() || uids.len().max(gids.len()) > RANGES {
            return Err(bad());
        }
        Ok(Self::Ranges { uids, gids })
    }
}

fn range(text: &str) -> Option<Range> {
    let mut numbers = text.split('-').map(|number| {
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|_| is_plain)
    });
    let range = Range {
        disk: numbers.next()??,
        seen: numbers.next()??,
        size: numbers.next()??,
    };
    let fits = |first: u32| first.checked_add(range.size).is_some();
    (numbers.next().is_none() && range.size > 0 && fits(range.disk) && fits(range.seen))
        .then_some(range)
}

/// The ids of an OCI entry as an option says them: `uidMappings` and `gidMappings` of `value`.
///
/// # Errors
/// Another shape.
pub(crate) fn from_oci(value: &Value) -> Result<Option<String>, Error> {
    let list = |key: &str| -> Result<Option<String>, Error> {
        let Some(list) = value.get(key).and_then(Value::as_array) else {
            return Ok(None);
        };
        let triple = |entry: &Value| {
            let number = |key| entry.get(key)?.as_u64();
            let (disk, seen, size) = (number("containerID")?, number("hostID")?, number("size")?);
            Some(format!("{disk}-{seen}-{size}"))
        };
        let triples: Option<Vec<String>> = list.iter().map(triple).collect();
        let triples = triples
            .filter(|triples| !triples.is_empty())
            .ok_or_else(|| {
                record::Error::Record(format!(
                    "{key}: each entry needs containerID, hostID and size"
                ))
            })?;
        Ok(Some(triples.join("#")))
    };
    Ok(list("uidMappings")?
        .zip(list("gidMappings")?)
        .map(|(uids, gids)| format!("uids={uids};gids={gids}")))
}

/// The ids that the record's own user namespace has.
///
/// # Errors
/// As [`from_oci`].
pub(crate) fn of_record(record: &Record) -> Result<Option<String>, Error> {
    record.pointer("/linux").map_or(Ok(None), from_oci)
}

impl IdMap {
    /// The user namespace whose ids these are. One that is made for it has no process in it and goes with the mount.
    ///
    /// # Errors
    /// It cannot be made, or the ids cannot be mapped.
    pub(crate) fn namespace(&self) -> Result<OwnedFd, SysError> {
        let (uids, gids) = match self {
            Self::Namespace(path) => {
                let call = || format!("open({})", path.display());
                let file: OwnedFd = File::open(path).call(call)?.into();
                if sys::ns_type(file.as_fd()).ok() != Some(libc::CLONE_NEWUSER) {
                    return Err(SysError::new(call(), nix::errno::Errno::EINVAL)
                        .hint("it is no user namespace"));
                }
                return Ok(file);
            }
            Self::Ranges { uids, gids } => (uids, gids),
        };
        // The /proc that is mounted may be of another pid namespace, in which the child has another number.
        let proc = proc_of_own()?;
        let child: Child = clone_user_namespace()?;
        let open = |name: &str, flags: OFlags| {
            let path = format!("{}/{name}", child.pid());
            openat(&proc, &path, flags | OFlags::CLOEXEC, Mode::empty())
                .call(|| format!("open(/proc/{path})"))
        };
        let write = |name: &str, ranges: &[Range]| {
            let lines: Vec<String> = ranges
                .iter()
                .map(|range| format!("{} {} {}\n", range.disk, range.seen, range.size))
                .collect();
            let mut file = File::from(open(name, OFlags::WRONLY)?);
            // One write: the kernel takes no second.
            let written = file.write(lines.concat().as_bytes());
            written
                .map(drop)
                .call(|| format!("write({name})"))
                .map_err(|error| {
                    error
                        .hint("ids of an idmap must be ones of this user namespace, and none twice")
                })
        };
        write("uid_map", uids)?;
        write("gid_map", gids)?;
        open("ns/user", OFlags::RDONLY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_crun_reads_them() {
        let range = |disk, seen, size| Range { disk, seen, size };
        assert_eq!(
            "uids=0-100-10#10-200-1;gids=0-5-1".parse(),
            Ok(IdMap::Ranges {
                uids: vec![range(0, 100, 10), range(10, 200, 1)],
                gids: vec![range(0, 5, 1)]
            })
        );
        assert_eq!(
            "/proc/7/ns/user".parse(),
            Ok(IdMap::Namespace("/proc/7/ns/user".into()))
        );
        for bad in [
            "",
            "uids=0-1-2",
            "uids=0-1-2;gids=",
            "uids=0-1;gids=0-1-2",
            "uids=0-1-0;gids=0-1-2",
            "uids=4294967295-0-2;gids=0-1-2",
            "uids=+1-0-2;gids=0-1-2",
            "x=0-1-2;uids=0-1-2;gids=0-1-2",
            "uids=0-1-2-3;gids=0-1-2",
        ] {
            assert!(bad.parse::<IdMap>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_entry_of_oci_says_the_same() {
        let entry = serde_json::json!({"uidMappings": [{"containerID": 0, "hostID": 7, "size": 1}],
            "gidMappings": [{"containerID": 1, "hostID": 8, "size": 2}]});
        assert_eq!(from_oci(&entry).unwrap().unwrap(), "uids=0-7-1;gids=1-8-2");
        assert_eq!(from_oci(&serde_json::json!({})).unwrap(), None);
        assert!(
            from_oci(&serde_json::json!({"uidMappings": [{"hostID": 7}], "gidMappings": []}))
                .is_err()
        );
    }
}
