//! What is mounted in a box, as OCI's `mounts` say it, and what that means for the kernel. Pure.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use foldhash::HashMap;
use record::{Mount, Record};
use rustix::mount::MountPropagationFlags;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::idmap::{self, IdMap};
use crate::options::{Attributes, Options};

/// The `mounts` of a record, each with the ids that it takes from elsewhere in the record.
///
/// # Errors
/// Another shape.
pub(crate) fn read(record: &Record) -> Result<Vec<Mount>, Error> {
    let mut mounts = record.mounts()?;
    let entries = record.get("mounts").and_then(Value::as_array);
    for (mount, entry) in mounts.iter_mut().zip(entries.into_iter().flatten()) {
        for option in &mut mount.options {
            if !matches!(option.as_str(), "idmap" | "ridmap") {
                continue;
            }
            let ids = match idmap::from_oci(entry)? {
                None => idmap::of_record(record)?,
                ids => ids,
            };
            if let Some(ids) = ids {
                option.push('=');
                option.push_str(&ids);
            }
        }
    }
    Ok(mounts)
}

/// An entry as it stands in a record.
pub(crate) fn to_json(mount: &Mount) -> Value {
    let mut entry = Map::new();
    entry.insert(
        "destination".into(),
        json!(mount.destination.to_string_lossy()),
    );
    for (key, value) in [("type", &mount.kind), ("source", &mount.source)] {
        if let Some(value) = value {
            entry.insert(key.into(), value.as_str().into());
        }
    }
    if !mount.options.is_empty() {
        entry.insert("options".into(), json!(mount.options));
    }
    entry.into()
}

/// On one line, for people.
pub(crate) fn describe(mount: &Mount) -> String {
    let kind = mount.kind.as_deref().unwrap_or("none");
    let source = mount.source.as_deref().filter(|source| *source != kind);
    let mut line = format!("{}  {kind}", mount.destination.display());
    if let Some(source) = source {
        line.push_str(&format!(" {source}"));
    }
    if !mount.options.is_empty() {
        line.push_str(&format!(" ({})", mount.options.join(",")));
    }
    line
}

/// `given` with `wanted` behind it.
///
/// # Errors
/// Two different mounts on one place.
pub(crate) fn merge(given: Vec<Mount>, wanted: Vec<Mount>) -> Result<Vec<Mount>, Error> {
    let mut merged = given;
    let places = merged.iter().enumerate();
    let mut places: HashMap<OsString, usize> = places
        .rev()
        .map(|(at, mount)| (mount.destination.clone().into(), at))
        .collect();
    for mount in wanted {
        let place = mount.destination.as_os_str();
        match places.get(place).map(|&at| &merged[at]) {
            None => {
                places.insert(place.to_owned(), merged.len());
                merged.push(mount);
            }
            Some(there) if *there == mount => {}
            Some(there) => {
                return Err(Error::Usage(format!(
                    "mounts: {} is asked for, and the record has {}",
                    describe(&mount),
                    describe(there)
                )));
            }
        }
    }
    Ok(merged)
}

/// A mount, ready to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) destination: PathBuf,
    pub(crate) what: What,
    /// Of the mount itself.
    pub(crate) own: Attributes,
    /// Of it and everything mounted below it.
    pub(crate) recursive: Attributes,
    /// None: private.
    pub(crate) propagation: Option<MountPropagationFlags>,
    /// Other owners than on the disk; true when for what is mounted below as well.
    pub(crate) idmap: Option<(IdMap, bool)>,
}

/// Where the mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A file or directory of the caller's.
    Bind { source: PathBuf, recursive: bool },
    /// A new instance of a file system, with its own options.
    FileSystem {
        kind: String,
        source: String,
        options: Vec<(String, Option<String>)>,
    },
    /// The groups that the caller is in, of whichever versions are mounted here.
    Groups,
}

impl Planned {
    /// What `mount` asks for.
    ///
    /// # Errors
    /// What it lacks, or which of its options cannot be.
    pub(crate) fn new(mount: &Mount) -> Result<Self, String> {
        let place = mount.destination.display();
        if mount.destination.parent().is_none() {
            return Err(format!(
                "{place}: nothing can be mounted on the root of the box"
            ));
        }
        let has = |name: &str| mount.options.iter().any(|option| option == name);
        let kind = mount.kind.as_deref().unwrap_or("none");
        let is_bind = kind == "bind" || has("bind") || has("rbind");
        let options =
            Options::new(&mount.options).map_err(|problem| format!("{place}: {problem}"))?;
        if let Some((option, _)) = options.filesystem.first().filter(|_| is_bind) {
            return Err(format!("{place}: a bind mount has no option {option:?}"));
        }
        let source = mount.source.as_deref();
        let what = if is_bind {
            let source = source.filter(|source| source.starts_with('/'));
            let source = source.ok_or_else(|| {
                format!("{place}: the source of a bind mount must be an absolute path")
            })?;
            What::Bind {
                source: source.into(),
                recursive: has("rbind"),
            }
        } else if kind == "none" {
            return Err(format!("{place}: a mount needs a type, or the option bind"));
        } else if kind == "cgroup" {
            What::Groups
        } else {
            What::FileSystem {
                kind: kind.into(),
                source: source.unwrap_or(kind).into(),
                options: options.filesystem,
            }
        };
        Ok(Self {
            destination: mount.destination.clone(),
            what,
            own: options.own,
            recursive: options.recursive,
            propagation: options.propagation,
            idmap: options.idmap,
        })
    }

    /// Whether what is mounted on it here is to be seen outside.
    pub(crate) fn is_shared(&self) -> bool {
        self.propagation
            .is_some_and(|flags| flags.contains(MountPropagationFlags::SHARED))
    }

    /// The tmpfs of a minimal /dev: the OCI specification has the devices made in it.
    pub(crate) fn is_dev(&self) -> bool {
        let is_tmpfs = matches!(&self.what, What::FileSystem { kind, .. } if kind == "tmpfs");
        is_tmpfs && self.destination == Path::new("/dev")
    }
}

/// All of them, in order.
///
/// # Errors
/// The first that cannot be.
pub(crate) fn plan(mounts: &[Mount]) -> Result<Vec<Planned>, Error> {
    let planned = mounts.iter().map(Planned::new).collect::<Result<_, _>>();
    planned.map_err(|problem| record::Error::Record(format!("mounts: {problem}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::MountAttrFlags;

    fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
        Mount {
            destination: "/data".into(),
            kind: Some(kind.into()),
            source: Some(source.into()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        }
    }

    #[test]
    fn options_are_attributes_or_the_file_systems_own() {
        let planned = Planned::new(&mount(
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "mode=1777", "size=65536k", "ro"],
        ))
        .unwrap();
        let all = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_RDONLY;
        assert_eq!(planned.own, Attributes::only(all));
        let options = [("mode", "1777"), ("size", "65536k")]
            .map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        let what = What::FileSystem {
            kind: "tmpfs".into(),
            source: "shm".into(),
            options: options.into(),
        };
        assert_eq!(planned.what, what);
        let planned = Planned::new(&mount("none", "/x", &["rbind", "rro", "rshared"])).unwrap();
        assert_eq!(
            planned.what,
            What::Bind {
                source: "/x".into(),
                recursive: true
            }
        );
        let read_only = Attributes::only(MountAttrFlags::MOUNT_ATTR_RDONLY);
        assert_eq!(
            (planned.own, planned.recursive),
            (Attributes::NONE, read_only)
        );
        assert!(planned.is_shared());
    }

    #[test]
    fn entries_of_a_record_that_cannot_be_are_refused() {
        for bad in [
            mount("bind", "relative", &[]),
            mount("bind", "/x", &["size=1"]),
            mount("none", "x", &[]),
            mount("bind", "/x", &["idmap"]),
        ] {
            assert!(Planned::new(&bad).is_err(), "{bad:?}");
        }
        let mut root = mount("tmpfs", "x", &[]);
        root.destination = "/".into();
        assert!(Planned::new(&root).is_err());
    }

    #[test]
    fn ids_come_from_the_entry_or_from_the_record() {
        let ids = |text: &str| {
            let record = Record::parse(text.as_bytes()).unwrap();
            read(&record).unwrap()[0].options.join(",")
        };
        let maps = r#""uidMappings":[{"containerID":0,"hostID":7,"size":1}],"gidMappings":[{"containerID":0,"hostID":8,"size":1}]"#;
        let entry = r#""destination":"/a","type":"bind","source":"/b","options":["bind","idmap"]"#;
        assert_eq!(
            ids(&format!(r#"{{"mounts":[{{{entry},{maps}}}]}}"#)),
            "bind,idmap=uids=0-7-1;gids=0-8-1"
        );
        assert_eq!(
            ids(&format!(r#"{{"linux":{{{maps}}},"mounts":[{{{entry}}}]}}"#)),
            "bind,idmap=uids=0-7-1;gids=0-8-1"
        );
        assert_eq!(ids(&format!(r#"{{"mounts":[{{{entry}}}]}}"#)), "bind,idmap");
    }

    #[test]
    fn equal_mounts_are_one_and_different_ones_on_one_place_an_error() {
        let (one, other) = (
            mount("bind", "/x", &["bind"]),
            mount("bind", "/y", &["bind"]),
        );
        assert_eq!(
            merge(vec![one.clone()], vec![one.clone()]).unwrap().len(),
            1
        );
        let refused = merge(vec![one], vec![other]).unwrap_err().to_string();
        assert_eq!(
            refused,
            "mounts: /data  bind /y (bind) is asked for, and the record has /data  bind /x (bind)"
        );
    }
}
