//! The flags of `up` that ask for mounts, in the words of docker(1) and Kubernetes, as OCI's `mounts`. Pure.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use record::Mount;

use crate::error::Error;
use crate::mount_flag::MountFlag;
use crate::mounts::Planned;
use crate::volumes::{Check, Volume};

/// One mount that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) destination: String,
    pub(crate) kind: String,
    /// As the user wrote it; None: what is made beside the box.
    pub(crate) source: Option<String>,
    pub(crate) options: Vec<String>,
    pub(crate) volume: Volume,
}

/// A mount, and what has to be done for its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wished {
    pub(crate) mount: Mount,
    pub(crate) volume: Volume,
}

/// `--bind SRC:DST[:OPTION,…]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BindFlag(Wish);

/// `--volume SRC:DST[:OPTION,…]`, as docker(1): recursive, and a SRC that is missing is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeFlag(Wish);

/// `--tmpfs DST[:OPTION,…]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TmpfsFlag(Wish);

/// `--proc[=OPTION,…]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcFlag(Wish);

/// Everything that mounts something.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags<'a> {
    pub(crate) proc: Option<&'a ProcFlag>,
    pub(crate) sys: bool,
    pub(crate) cgroup: bool,
    pub(crate) dev: bool,
    pub(crate) tmpfs: &'a [TmpfsFlag],
    pub(crate) mount: &'a [MountFlag],
    pub(crate) volume: &'a [VolumeFlag],
    pub(crate) bind: &'a [BindFlag],
}

pub(crate) fn words(list: &str) -> Vec<String> {
    let words = list.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

pub(crate) fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

impl Wish {
    pub(crate) fn filesystem(destination: &str, kind: &str, options: &[&str]) -> Self {
        Self {
            destination: destination.into(),
            kind: kind.into(),
            source: Some(kind.into()),
            options: owned(options),
            volume: Volume::None,
        }
    }

    /// Of a file or directory outside, `default` being how it is bound unless the options say it.
    pub(crate) fn bind(source: &str, destination: &str, options: &str, default: &str) -> Self {
        let mut options = words(options);
        let has = |options: &[String], names: &[&str]| {
            options
                .iter()
                .any(|option| names.contains(&option.as_str()))
        };
        if !has(&options, &["ro", "rw", "rro", "rrw"]) {
            options.insert(0, "rw".into());
        }
        if !has(&options, &["bind", "rbind"]) {
            options.insert(0, default.into());
        }
        Self {
            destination: destination.to_owned(),
            kind: "bind".into(),
            source: Some(source.to_owned()),
            options,
            volume: Volume::None,
        }
    }

    /// As far as it can be told without looking at the machine.
    pub(crate) fn checked(self) -> Result<Self, String> {
        inside(&self.destination)?;
        Planned::new(&self.to_mount(Path::new("/"), Path::new("/")))?;
        Ok(self)
    }

    /// The entry; a relative source counts from `here`, what is made for it lies in `store`.
    fn to_mount(&self, here: &Path, store: &Path) -> Mount {
        let source = match &self.source {
            None => store.join(store_name(&self.destination)),
            Some(source) if self.kind == "bind" => here.join(source),
            Some(source) => source.into(),
        };
        Mount {
            destination: PathBuf::from(&self.destination),
            kind: Some(self.kind.clone()),
            source: source.to_str().map(str::to_owned),
            options: self.options.clone(),
        }
    }
}

/// What is made for the volume at `destination`, in the directory beside the box. No two places give one name.
pub(crate) fn store_name(destination: &str) -> String {
    let parts = Path::new(destination)
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
    let names: Vec<String> = parts.map(|name| name.replace('~', "~0")).collect();
    format!("volumes/{}", names.join("~1"))
}

/// SRC, DST and the options behind them.
fn three(text: &str) -> Result<(&str, &str, &str), String> {
    let mut parts = text.splitn(3, ':');
    let source = parts
        .next()
        .filter(|source| !source.is_empty())
        .ok_or("SRC is missing")?;
    let destination = parts.next().ok_or("DST is missing (SRC:DST[:ro])")?;
    Ok((source, destination, parts.next().unwrap_or("")))
}

impl FromStr for BindFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, destination, options) = three(text)?;
        let wish = Wish::bind(source, destination, options, "bind");
        wish.checked().map(Self)
    }
}

impl FromStr for VolumeFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, destination, options) = three(text)?;
        if !source.contains('/') {
            return Err(format!(
                "{source}: SRC needs a slash, there are no volumes by name (./{source} for a directory here)"
            ));
        }
        let mut wish = Wish::bind(source, destination, options, "rbind");
        wish.volume = Volume::HostPath(Check::AnyOrCreate);
        wish.checked().map(Self)
    }
}

impl FromStr for TmpfsFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (destination, options) = text.split_once(':').unwrap_or((text, ""));
        let mut wish = Wish::filesystem(destination, "tmpfs", &["nosuid", "nodev"]);
        wish.options.extend(words(options));
        if !wish
            .options
            .iter()
            .any(|option| option.starts_with("mode="))
        {
            wish.options.push("mode=755".into());
        }
        wish.checked().map(Self)
    }
}

impl FromStr for ProcFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut wish = Wish::filesystem("/proc", "proc", &["nosuid", "noexec", "nodev"]);
        wish.options.extend(words(text));
        wish.checked().map(Self)
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

/// The minimal /dev of the OCI specification; devices and links are made in it when the box is entered.
fn dev() -> Vec<Wish> {
    vec![
        Wish::filesystem(
            "/dev",
            "tmpfs",
            &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"],
        ),
        Wish::filesystem(
            "/dev/pts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
            ],
        ),
        Wish {
            source: Some("shm".into()),
            ..Wish::filesystem(
                "/dev/shm",
                "tmpfs",
                &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
            )
        },
        Wish::filesystem("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ]
}

/// The entries that the flags ask for, each above what may lie on it.
///
/// # Errors
/// A path that JSON cannot hold.
pub(crate) fn wishes(flags: &Flags<'_>, here: &Path, store: &Path) -> Result<Vec<Wished>, Error> {
    let read_only = ["nosuid", "noexec", "nodev", "ro"];
    let mut wishes: Vec<Wish> = flags.proc.map(|flag| flag.0.clone()).into_iter().collect();
    if flags.sys {
        wishes.push(Wish::filesystem("/sys", "sysfs", &read_only));
    }
    if flags.cgroup {
        wishes.push(Wish::filesystem("/sys/fs/cgroup", "cgroup", &read_only));
    }
    if flags.dev {
        wishes.extend(dev());
    }
    wishes.extend(flags.tmpfs.iter().map(|flag| flag.0.clone()));
    wishes.extend(flags.mount.iter().map(|flag| flag.0.clone()));
    wishes.extend(flags.volume.iter().map(|flag| flag.0.clone()));
    wishes.extend(flags.bind.iter().map(|flag| flag.0.clone()));
    // What lies on another mount comes after it, whichever flag it came by.
    wishes.sort_by_key(|wish| Path::new(&wish.destination).components().count());
    let wished = wishes.into_iter().map(|wish| {
        let mount = wish.to_mount(here, store);
        match mount.source {
            Some(_) => Ok(Wished {
                mount,
                volume: wish.volume.resolved(here),
            }),
            None => Err(Error::Usage(format!(
                "{}: the current directory is not UTF-8, a record cannot hold it",
                wish.destination
            ))),
        }
    });
    wished.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::to_json;

    fn lines(flags: &Flags<'_>) -> Vec<String> {
        let wished = wishes(flags, Path::new("/here"), Path::new("/store")).unwrap();
        wished
            .iter()
            .map(|wished| to_json(&wished.mount).to_string())
            .collect()
    }

    #[test]
    fn flags_become_oci_entries_and_what_lies_on_another_comes_after_it() {
        let bind =
            ["/s:/r:rbind,nosuid", "x:/a/b:ro", "/tmp:/data"].map(|flag| flag.parse().unwrap());
        let flags = Flags {
            proc: Some(&"hidepid=2".parse().unwrap()),
            tmpfs: &[
                "/run".parse().unwrap(),
                "/a:size=1m,mode=700".parse().unwrap(),
            ],
            bind: &bind,
            ..Flags::default()
        };
        assert_eq!(
            lines(&flags),
            [
                r#"{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev","hidepid=2"]}"#,
                r#"{"destination":"/run","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","mode=755"]}"#,
                r#"{"destination":"/a","type":"tmpfs","source":"tmpfs","options":["nosuid","nodev","size=1m","mode=700"]}"#,
                r#"{"destination":"/r","type":"bind","source":"/s","options":["rw","rbind","nosuid"]}"#,
                r#"{"destination":"/data","type":"bind","source":"/tmp","options":["bind","rw"]}"#,
                r#"{"destination":"/a/b","type":"bind","source":"/here/x","options":["bind","ro"]}"#,
            ]
        );
    }

    #[test]
    fn no_two_places_share_what_is_made_for_them() {
        assert_ne!(store_name("/a/b"), store_name("/a~1b"));
        assert_eq!(store_name("/a//b/"), store_name("/a/b"));
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
            "/tmp:/d:idmap=1",
        ] {
            assert!(bad.parse::<BindFlag>().is_err(), "{bad}");
            assert!(bad.parse::<VolumeFlag>().is_err(), "{bad}");
        }
        assert!(
            "name:/y"
                .parse::<VolumeFlag>()
                .unwrap_err()
                .contains("by name")
        );
        assert!("run".parse::<TmpfsFlag>().is_err());
    }
}
