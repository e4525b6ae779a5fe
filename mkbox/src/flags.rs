//! The flags of `up` that ask for mounts, in the words of docker(1) and Kubernetes, as OCI's `mounts`. Pure.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use record::Mount;

use crate::error::Error;
use crate::mounts::Planned;
use crate::volumes::{Check, Item, Volume, bytes, mode};

/// One mount that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    destination: String,
    kind: String,
    /// As the user wrote it; None: what is made beside the box.
    source: Option<String>,
    options: Vec<String>,
    volume: Volume,
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

/// `--mount KEY=VALUE,…`, as docker(1), and the volumes of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountFlag(Wish);

/// `--proc[=OPTION,…]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcFlag(Wish);

/// Everything that mounts something.
#[derive(Debug, Clone, Copy)]
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

fn words(list: &str) -> Vec<String> {
    let words = list.split(',').filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

impl Wish {
    fn filesystem(destination: &str, kind: &str, options: &[&str]) -> Self {
        Self {
            destination: destination.into(),
            kind: kind.into(),
            source: Some(kind.into()),
            options: owned(options),
            volume: Volume::None,
        }
    }

    /// Of a file or directory outside, `default` being how it is bound unless the options say it.
    fn bind(source: &str, destination: &str, options: &str, default: &str) -> Self {
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
    fn checked(self) -> Result<Self, String> {
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

/// The fields of a line of comma-separated values: one in double quotes may have commas, and `""` for a quote.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, tail) = rest.split_once(',').unwrap_or((rest, ""));
            fields.push(field.to_owned());
            if tail.is_empty() {
                return Ok(fields);
            }
            rest = tail;
            continue;
        };
        let mut field = String::new();
        let mut tail = quoted;
        loop {
            let (piece, after) = tail.split_once('"').ok_or("a quote is not closed")?;
            field.push_str(piece);
            tail = after;
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    tail = after;
                }
                None => break,
            }
        }
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(tail) => rest = tail,
            None if tail.is_empty() => return Ok(fields),
            None => return Err("a quote is closed within a field".into()),
        }
    }
}

/// The keys of one `--mount`.
#[derive(Debug, Default)]
struct Keys {
    kind: String,
    source: Option<String>,
    destination: Option<String>,
    options: Vec<String>,
    /// Keys that only some kinds have.
    special: Vec<(String, String)>,
}

impl Keys {
    fn read(text: &str) -> Result<Self, String> {
        let mut keys = Self::default();
        for field in fields(text)? {
            let (key, value) = field
                .split_once('=')
                .map_or((field.as_str(), None), |(key, value)| (key, Some(value)));
            let given = || {
                value
                    .map(str::to_owned)
                    .ok_or(format!("{key} needs a value"))
            };
            let is_on = |value: Option<&str>| match value {
                None | Some("true" | "1") => Ok(true),
                Some("false" | "0") => Ok(false),
                Some(other) => Err(format!("{key}={other}: is neither true nor false")),
            };
            match key {
                "type" => keys.kind = given()?,
                "source" | "src" => keys.source = Some(given()?),
                "destination" | "dst" | "target" => keys.destination = Some(given()?),
                "readonly" | "readOnly" | "ro" => {
                    keys.options
                        .push(if is_on(value)? { "ro" } else { "rw" }.into());
                }
                "bind-propagation" => keys.options.push(given()?),
                "bind-recursive" => match value {
                    Some("enabled" | "writable") => keys.options.push("rbind".into()),
                    Some("disabled") => keys.options.push("bind".into()),
                    Some("readonly") => keys.options.extend(owned(&["rbind", "rro"])),
                    _ => return Err(format!("{field}: enabled, disabled, writable or readonly")),
                },
                "tmpfs-size" => keys.options.push(format!("size={}", given()?)),
                "tmpfs-mode" => keys.options.push(format!("mode={}", given()?)),
                "medium" | "sizeLimit" | "hostpath-type" | "defaultMode" | "item" | "optional" => {
                    keys.special
                        .push((key.into(), value.unwrap_or("true").into()));
                }
                "" => return Err("a field is empty".into()),
                _ => keys.options.push(field.clone()),
            }
        }
        Ok(keys)
    }

    /// The value of `key`, which only some kinds have.
    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.special.iter().position(|(name, _)| name == key)?;
        Some(self.special.remove(at).1)
    }
}

impl FromStr for MountFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys = Keys::read(text)?;
        let destination = keys.destination.take().ok_or("target is missing")?;
        let needs_source = |source: Option<String>| source.ok_or("source is missing".to_owned());
        let kind = std::mem::take(&mut keys.kind);
        let options = keys.options.join(",");
        let wish = match kind.as_str() {
            "" | "bind" => Wish::bind(
                &needs_source(keys.source.take())?,
                &destination,
                &options,
                "rbind",
            ),
            "hostPath" => {
                let source = needs_source(keys.source.take())?;
                let mut wish = Wish::bind(&source, &destination, &options, "rbind");
                let check = keys.take("hostpath-type").unwrap_or_default();
                wish.volume = Volume::HostPath(check.parse()?);
                wish
            }
            "emptyDir" => empty_dir(&mut keys, &destination, &options)?,
            "configMap" | "secret" => files(&mut keys, &destination, &options)?,
            "volume" | "npipe" | "cluster" => {
                return Err(format!(
                    "type={kind}: there are no volumes by name (bind, hostPath, emptyDir, configMap, secret, or a file system)"
                ));
            }
            _ => Wish {
                destination,
                source: Some(keys.source.take().unwrap_or_else(|| kind.clone())),
                options: std::mem::take(&mut keys.options),
                kind: kind.clone(),
                volume: Volume::None,
            },
        };
        if let Some((key, _)) = keys.special.first() {
            return Err(format!("a mount of type {kind:?} has no {key}"));
        }
        if let Some(source) = keys.source {
            return Err(format!("a mount of type {kind} has no source ({source})"));
        }
        wish.checked().map(Self)
    }
}

/// Kubernetes' emptyDir: a directory beside the box, or with `medium=Memory` a tmpfs.
fn empty_dir(keys: &mut Keys, destination: &str, options: &str) -> Result<Wish, String> {
    let limit = keys
        .take("sizeLimit")
        .map(|limit| bytes(&limit))
        .transpose()?;
    match keys.take("medium").as_deref() {
        Some("Memory") => {
            let mut wish = Wish::filesystem(destination, "tmpfs", &["nosuid", "nodev", "mode=777"]);
            wish.options
                .extend(limit.map(|limit| format!("size={limit}")));
            wish.options.extend(words(options));
            Ok(wish)
        }
        None | Some("") if limit.is_some() => Err(
            "sizeLimit needs medium=Memory: a directory on a disk has no size of its own".into(),
        ),
        None | Some("") => Ok(Wish {
            source: None,
            volume: Volume::EmptyDir,
            ..Wish::bind("", destination, options, "bind")
        }),
        Some(other) => Err(format!("medium={other}: Memory, or none")),
    }
}

/// Kubernetes' configMap and secret: copies of the files of a directory, with modes, that cannot be written.
fn files(keys: &mut Keys, destination: &str, options: &str) -> Result<Wish, String> {
    let directory = keys.source.take().ok_or("source is missing")?;
    let mode = keys
        .take("defaultMode")
        .map_or(Ok(0o644), |text| mode(&text))?;
    let optional = match keys.take("optional").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(format!("optional={other}: is neither true nor false")),
    };
    let mut items = Vec::new();
    while let Some(item) = keys.take("item") {
        items.push(item.parse::<Item>()?);
    }
    let options = if options.is_empty() { "ro" } else { options };
    let mut wish = Wish::bind("", destination, options, "bind");
    wish.options.extend(owned(&["nosuid", "nodev"]));
    Ok(Wish {
        source: None,
        volume: Volume::Files {
            directory: directory.into(),
            mode,
            items,
            optional,
        },
        ..wish
    })
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
    use crate::mounts::{describe, to_json};

    const NONE: Flags<'_> = Flags {
        proc: None,
        sys: false,
        cgroup: false,
        dev: false,
        tmpfs: &[],
        mount: &[],
        volume: &[],
        bind: &[],
    };

    fn lines(flags: &Flags<'_>) -> Vec<String> {
        let wished = wishes(flags, Path::new("/here"), Path::new("/store")).unwrap();
        wished
            .iter()
            .map(|wished| to_json(&wished.mount).to_string())
            .collect()
    }

    fn mount(text: &str) -> Wished {
        let flag = text.parse().unwrap();
        let flags = Flags {
            mount: &[flag],
            ..NONE
        };
        wishes(&flags, Path::new("/here"), Path::new("/store"))
            .unwrap()
            .remove(0)
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
            ..NONE
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
    fn mounts_are_asked_for_as_docker_does() {
        let same = |text: &str, line: &str| {
            let Wished { mount, volume } = mount(text);
            assert_eq!(
                (describe(&mount).as_str(), volume),
                (line, Volume::None),
                "{text}"
            );
        };
        same("type=bind,src=/x,dst=/y,readonly", "/y  bind /x (rbind,ro)");
        same(
            "source=/x,target=/y,bind-propagation=rslave",
            "/y  bind /x (rbind,rw,rslave)",
        );
        same(
            "type=bind,src=/x,dst=/y,bind-recursive=readonly",
            "/y  bind /x (rbind,rro)",
        );
        same(
            r#"type=bind,"src=/a,b:c",dst=/y"#,
            "/y  bind /a,b:c (rbind,rw)",
        );
        same(
            "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770",
            "/t  tmpfs (size=1m,mode=1770)",
        );
        same("type=proc,dst=/p,hidepid=2,ro", "/p  proc (hidepid=2,ro)");
        same(
            "type=emptyDir,dst=/e,medium=Memory,sizeLimit=64Mi",
            "/e  tmpfs (nosuid,nodev,mode=777,size=67108864)",
        );
    }

    #[test]
    fn volumes_are_asked_for_as_kubernetes_does() {
        let host =
            mount("type=hostPath,source=/x,target=/y,hostpath-type=DirectoryOrCreate,readOnly");
        assert_eq!(describe(&host.mount), "/y  bind /x (rbind,ro)");
        assert_eq!(host.volume, Volume::HostPath(Check::DirectoryOrCreate));
        let empty = mount("type=emptyDir,target=/var/cache");
        assert_eq!(
            describe(&empty.mount),
            "/var/cache  bind /store/volumes/var~1cache (bind,rw)"
        );
        assert_eq!(empty.volume, Volume::EmptyDir);
        let secret =
            mount("type=secret,source=keys,target=/etc/keys,defaultMode=0400,item=a:b/c:0440");
        assert_eq!(
            describe(&secret.mount),
            "/etc/keys  bind /store/volumes/etc~1keys (bind,ro,nosuid,nodev)"
        );
        assert_eq!(
            secret.volume,
            Volume::Files {
                directory: "/here/keys".into(),
                mode: 0o400,
                items: vec!["a:b/c:0440".parse().unwrap()],
                optional: false
            }
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
        for bad in [
            "",
            "type=bind",
            "type=bind,src=/x",
            "type=bind,dst=/y",
            "type=volume,src=x,dst=/y",
            "src,dst=/y",
            "type=bind,src=/x,dst=/y,medium=Memory",
            "type=emptyDir,src=/x,dst=/y",
            "type=emptyDir,dst=/y,sizeLimit=1",
            "type=emptyDir,dst=/y,medium=Memory,sizeLimit=lots",
            "type=hostPath,src=/x,dst=/y,hostpath-type=Dir",
            "type=secret,src=/x,dst=/y,item=a",
            "type=secret,src=/x,dst=/y,item=a:../b",
            "type=secret,src=/x,dst=/y,defaultMode=9",
            "type=bind,src=/x,dst=/y,readonly=maybe",
            "type=bind,\"src=/x,dst=/y",
            "type=bind,src=/x,dst=/y,,",
        ] {
            assert!(bad.parse::<MountFlag>().is_err(), "{bad}");
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
