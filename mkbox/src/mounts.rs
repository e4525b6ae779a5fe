//! What is mounted in a box, as OCI's `mounts` say it: from flags, and back into system calls. Pure.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use record::Mount;
use rustix::mount::MountAttrFlags;
use serde_json::{Map, Value, json};

use crate::error::Error;

/// `--bind SRC:DST[:OPTION,…]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BindFlag {
    source: String,
    destination: String,
    options: Vec<String>,
}

impl FromStr for BindFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let source = parts
            .next()
            .filter(|source| !source.is_empty())
            .ok_or("SRC is missing")?;
        let destination = parts.next().ok_or("DST is missing (SRC:DST[:ro])")?;
        inside(destination)?;
        let options: Vec<String> = parts.next().map_or_else(Vec::new, |list| {
            list.split(',').map(str::to_owned).collect()
        });
        let flag = Self {
            source: source.to_owned(),
            destination: destination.to_owned(),
            options,
        };
        Planned::new(&flag.to_mount(Path::new("/")))?;
        Ok(flag)
    }
}

impl BindFlag {
    /// The entry; a relative SRC counts from `here`.
    fn to_mount(&self, here: &Path) -> Mount {
        let has = |names: &[&str]| {
            self.options
                .iter()
                .any(|option| names.contains(&option.as_str()))
        };
        let mut options = self.options.clone();
        if !has(&["ro", "rw", "rro"]) {
            options.insert(0, "rw".into());
        }
        if !has(&["bind", "rbind"]) {
            options.insert(0, "bind".into());
        }
        Mount {
            destination: PathBuf::from(&self.destination),
            kind: Some("bind".into()),
            source: here.join(&self.source).to_str().map(str::to_owned),
            options,
        }
    }
}

/// An absolute path in the box, not the root itself, without `..`.
pub(crate) fn inside(path: &str) -> Result<(), String> {
    let parts: Vec<Component<'_>> = Path::new(path).components().collect();
    let is_fine = parts.first() == Some(&Component::RootDir)
        && parts.len() > 1
        && parts[1..]
            .iter()
            .all(|part| matches!(part, Component::Normal(_)));
    if is_fine {
        Ok(())
    } else {
        Err(format!(
            "{path:?} is no absolute path below / without \"..\""
        ))
    }
}

/// The entries that the flags of `up` ask for, in the order proc, tmpfs, bind: what is bound may lie in a tmpfs.
pub(crate) fn from_flags(
    proc: bool,
    tmpfs: &[String],
    bind: &[BindFlag],
    here: &Path,
) -> Result<Vec<Mount>, Error> {
    let mut mounts = Vec::new();
    let filesystem = |destination: &str, kind: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.into()),
        source: Some(kind.into()),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    };
    if proc {
        mounts.push(filesystem("/proc", "proc", &["nosuid", "noexec", "nodev"]));
    }
    for destination in tmpfs {
        inside(destination).map_err(|problem| Error::Usage(format!("--tmpfs {problem}")))?;
        mounts.push(filesystem(
            destination,
            "tmpfs",
            &["nosuid", "nodev", "mode=755"],
        ));
    }
    for flag in bind {
        let mount = flag.to_mount(here);
        if mount.source.is_none() {
            return Err(Error::Usage(format!(
                "--bind {}: the current directory is not UTF-8",
                flag.source
            )));
        }
        mounts.push(mount);
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
pub(crate) fn merge(given: &[Mount], wanted: &[Mount]) -> Result<Vec<Mount>, Error> {
    let mut merged: Vec<Mount> = given.to_vec();
    for mount in wanted {
        match merged
            .iter()
            .find(|there| there.destination == mount.destination)
        {
            None => merged.push(mount.clone()),
            Some(there) if there == mount => {}
            Some(there) => {
                return Err(Error::Usage(format!(
                    "mounts: {} is asked for, and the record has {}",
                    describe(mount),
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
    pub(crate) attributes: MountAttrFlags,
    /// Of it and everything mounted below it.
    pub(crate) recursive: MountAttrFlags,
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
}

/// Options that are a mount attribute, and those that are its default.
const ATTRIBUTES: [(&str, MountAttrFlags); 8] = [
    ("ro", MountAttrFlags::MOUNT_ATTR_RDONLY),
    ("nosuid", MountAttrFlags::MOUNT_ATTR_NOSUID),
    ("nodev", MountAttrFlags::MOUNT_ATTR_NODEV),
    ("noexec", MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ("noatime", MountAttrFlags::MOUNT_ATTR_NOATIME),
    ("nodiratime", MountAttrFlags::MOUNT_ATTR_NODIRATIME),
    ("strictatime", MountAttrFlags::MOUNT_ATTR_STRICTATIME),
    ("nosymfollow", MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW),
];
/// What a mount is anyway, in the box: no other namespace sees its mounts.
const DEFAULTS: [&str; 13] = [
    "rw",
    "suid",
    "dev",
    "exec",
    "atime",
    "diratime",
    "relatime",
    "nostrictatime",
    "symfollow",
    "defaults",
    "private",
    "rprivate",
    "async",
];
/// Propagation to or from outside, which a box has none of.
const PROPAGATION: [&str; 6] = [
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
];

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
        if let Some((option, _)) = options.own.first().filter(|_| is_bind) {
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
        } else {
            // The specification's "cgroup" leaves the version to the runtime; version 2 can be mounted by anybody.
            let kind = if kind == "cgroup" { "cgroup2" } else { kind };
            if kind == "none" {
                return Err(format!("{place}: a mount needs a type, or the option bind"));
            }
            What::FileSystem {
                kind: kind.into(),
                source: source.unwrap_or(kind).into(),
                options: options.own,
            }
        };
        Ok(Self {
            destination: mount.destination.clone(),
            what,
            attributes: options.attributes,
            recursive: options.recursive,
        })
    }
}

/// The options of an entry, sorted.
struct Options {
    attributes: MountAttrFlags,
    recursive: MountAttrFlags,
    /// Those of the file system.
    own: Vec<(String, Option<String>)>,
}

impl Options {
    fn new(options: &[String]) -> Result<Self, String> {
        let none = MountAttrFlags::empty();
        let mut sorted = Self {
            attributes: none,
            recursive: none,
            own: Vec::new(),
        };
        let attribute = |name: &str| {
            let known = ATTRIBUTES.iter().find(|(known, _)| *known == name);
            known.map(|&(_, flag)| flag)
        };
        for option in options.iter().map(String::as_str) {
            if let Some(flag) = attribute(option) {
                sorted.attributes |= flag;
            } else if let Some(flag) = option.strip_prefix('r').and_then(attribute) {
                sorted.recursive |= flag;
            } else if PROPAGATION.contains(&option) {
                return Err(format!(
                    "the option {option} is not supported: a box's mounts are private"
                ));
            } else if !DEFAULTS.contains(&option) && !matches!(option, "bind" | "rbind") {
                let pair = option.split_once('=');
                let (key, value) = pair.map_or((option, None), |(key, value)| (key, Some(value)));
                sorted.own.push((key.to_owned(), value.map(str::to_owned)));
            }
        }
        Ok(sorted)
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
    use std::slice::from_ref;

    fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
        Mount {
            destination: "/data".into(),
            kind: Some(kind.into()),
            source: Some(source.into()),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        }
    }

    #[test]
    fn flags_become_oci_entries() {
        let bind =
            ["/tmp:/data", "x:/a/b:ro", "/s:/r:rbind,nosuid"].map(|flag| flag.parse().unwrap());
        let mounts = from_flags(true, &["/run".into()], &bind, Path::new("/here")).unwrap();
        let json: Vec<String> = mounts
            .iter()
            .map(|mount| to_json(mount).to_string())
            .collect();
        assert_eq!(
            json,
            [
                r#"{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]}"#,
                r#"{"destination":"/run","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","mode=755"]}"#,
                r#"{"destination":"/data","type":"bind","source":"/tmp","options":["bind","rw"]}"#,
                r#"{"destination":"/a/b","type":"bind","source":"/here/x","options":["bind","ro"]}"#,
                r#"{"destination":"/r","type":"bind","source":"/s","options":["rw","rbind","nosuid"]}"#,
            ]
        );
        assert_eq!(describe(&mounts[0]), "/proc  proc (nosuid,noexec,nodev)");
        assert_eq!(describe(&mounts[2]), "/data  bind /tmp (bind,rw)");
    }

    #[test]
    fn flags_that_could_leave_the_box_or_mean_nothing_are_refused() {
        for bad in [
            "",
            "/tmp",
            ":/data",
            "/tmp:",
            "/tmp:data",
            "/tmp:/",
            "/tmp:/../x",
            "/tmp:/a/..",
            "/tmp:/d:bogus",
            "/tmp:/d:rshared",
        ] {
            assert!(bad.parse::<BindFlag>().is_err(), "{bad}");
        }
        assert!(from_flags(false, &["run".into()], &[], Path::new("/")).is_err());
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
        assert_eq!(planned.attributes, all);
        let options = [("mode", "1777"), ("size", "65536k")]
            .map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
        let what = What::FileSystem {
            kind: "tmpfs".into(),
            source: "shm".into(),
            options: options.into(),
        };
        assert_eq!(planned.what, what);
        let planned = Planned::new(&mount("none", "/x", &["rbind", "rro", "rprivate"])).unwrap();
        assert_eq!(
            planned.what,
            What::Bind {
                source: "/x".into(),
                recursive: true
            }
        );
        assert_eq!(
            (planned.attributes, planned.recursive),
            (MountAttrFlags::empty(), MountAttrFlags::MOUNT_ATTR_RDONLY)
        );
    }

    #[test]
    fn entries_of_a_record_that_cannot_be_are_refused() {
        for bad in [
            mount("bind", "relative", &[]),
            mount("bind", "/x", &["size=1"]),
            mount("none", "x", &[]),
            mount("tmpfs", "x", &["rslave"]),
        ] {
            assert!(Planned::new(&bad).is_err(), "{bad:?}");
        }
        let mut root = mount("tmpfs", "x", &[]);
        root.destination = "/".into();
        assert!(Planned::new(&root).is_err());
    }

    #[test]
    fn equal_mounts_are_one_and_different_ones_on_one_place_an_error() {
        let (one, other) = (
            mount("bind", "/x", &["bind"]),
            mount("bind", "/y", &["bind"]),
        );
        assert_eq!(merge(from_ref(&one), from_ref(&one)).unwrap().len(), 1);
        let refused = merge(&[one], &[other]).unwrap_err().to_string();
        assert_eq!(
            refused,
            "mounts: /data  bind /y (bind) is asked for, and the record has /data  bind /x (bind)"
        );
    }
}
