//! What is in a box and why: a JSON file beside it, `.NAME.mkbox.manifest`.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use serde_json::{Map, Value, json};
use sys::SysError;

use crate::boxfile::{BoxFile, Why};
use crate::origin::Origin;
use crate::root::{PointKind, Root};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// Another name of the file there.
    Hard(PathBuf),
    Directory,
    /// A symbolic link and its target.
    Link(PathBuf),
    /// What is rare: `fifo`, `char`, `block`, `socket`.
    Other(String),
}

/// One thing in a box. Directories that only lie on the way to others have no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// In the box, absolute there.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// Permissions, without the type.
    pub(crate) mode: u32,
    pub(crate) bytes: u64,
    /// Seconds and nanoseconds since 1970 of the last change of its contents; None where it does not matter.
    pub(crate) mtime: Option<(i64, u64)>,
    pub(crate) source: Option<PathBuf>,
    pub(crate) why: Why,
    /// SHA-256 of the contents, in hexadecimal.
    pub(crate) sha256: Option<String>,
}

impl Entry {
    /// Of the copy of `file`, as it is planned.
    pub(crate) fn file(file: &BoxFile, origin: &Origin) -> Self {
        Self {
            path: file.destination.clone(),
            kind: Kind::File,
            mode: file.mode & 0o777,
            bytes: file.bytes,
            mtime: None,
            source: Some(origin.shown(&file.source)),
            why: file.why.clone(),
            sha256: None,
        }
    }

    /// Of a symbolic link.
    pub(crate) fn link(path: &Path, target: &Path, why: Why) -> Self {
        Self {
            path: path.to_owned(),
            kind: Kind::Link(target.to_owned()),
            mode: 0o777,
            bytes: 0,
            mtime: None,
            source: None,
            why,
            sha256: None,
        }
    }

    /// Of a place that something will be mounted on, or an empty directory.
    pub(crate) fn point(path: &Path, kind: PointKind, why: Why) -> Self {
        let (kind, mode) = match kind {
            PointKind::Directory => (Kind::Directory, 0o755),
            PointKind::File => (Kind::File, 0o644),
        };
        Self {
            kind,
            mode,
            ..Self::link(path, Path::new(""), why)
        }
    }

    pub(crate) fn set_times(&mut self, stat: &Stat) {
        self.mtime = Some((stat.st_mtime, stat.st_mtime_nsec));
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "path", &self.path);
        let kind = match &self.kind {
            Kind::File | Kind::Hard(_) => "file",
            Kind::Directory => "directory",
            Kind::Link(_) => "symlink",
            Kind::Other(name) => name,
        };
        object.insert("type".into(), kind.into());
        match &self.kind {
            Kind::Hard(first) => put(&mut object, "link", first),
            Kind::Link(target) => put(&mut object, "target", target),
            _ => {}
        }
        object.insert("mode".into(), format!("{:04o}", self.mode).into());
        if matches!(self.kind, Kind::File | Kind::Hard(_)) {
            object.insert("size".into(), self.bytes.into());
        }
        if let Some((seconds, nanoseconds)) = self.mtime {
            object.insert("mtime".into(), json!([seconds, nanoseconds]));
        }
        if let Some(source) = &self.source {
            put(&mut object, "source", source);
        }
        self.why.write(&mut object);
        if let Some(sum) = &self.sha256 {
            object.insert("sha256".into(), sum.as_str().into());
        }
        object.into()
    }

    /// Reads what [`Entry::to_json`] wrote; None when it is something else.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let kind = match object.get("type")?.as_str()? {
            "file" => get(object, "link").map_or(Kind::File, Kind::Hard),
            "directory" => Kind::Directory,
            "symlink" => Kind::Link(get(object, "target")?),
            other => Kind::Other(other.to_owned()),
        };
        let mtime = object.get("mtime").map(|mtime| {
            let part = |at: usize| mtime.get(at);
            Some((part(0)?.as_i64()?, part(1)?.as_u64()?))
        });
        Some(Self {
            path: get(object, "path").filter(|path| path.is_absolute())?,
            kind,
            mode: u32::from_str_radix(object.get("mode")?.as_str()?, 8).ok()?,
            bytes: object.get("size").map_or(Some(0), Value::as_u64)?,
            mtime: mtime.map_or(Some(None), |mtime| mtime.map(Some))?,
            source: get(object, "source"),
            why: Why::read(object)?,
            sha256: object
                .get("sha256")
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }
}

/// A name is bytes and JSON is text: one that is no UTF-8 stands beside it in hexadecimal, under the key with `Hex`.
fn put(object: &mut Map<String, Value>, key: &str, path: &Path) {
    object.insert(key.into(), path.to_string_lossy().into());
    if path.to_str().is_none() {
        let bytes = path.as_os_str().as_bytes();
        object.insert(format!("{key}Hex"), hex(bytes).into());
    }
}

fn get(object: &Map<String, Value>, key: &str) -> Option<PathBuf> {
    if let Some(text) = object.get(&format!("{key}Hex")) {
        let digits = text.as_str()?.as_bytes().chunks(2);
        let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.map(byte).collect();
        return Some(std::ffi::OsString::from_vec(bytes?).into());
    }
    Some(OsStr::new(object.get(key)?.as_str()?).into())
}

/// What a manifest calls a kind of file.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::CharacterDevice => "char",
        FileType::BlockDevice => "block",
        _ => "socket",
    }
}

/// Two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entries of a base and of what was put upon it: of two for one file the upper one counts, also where it got there
/// through a link of the base.
///
/// # Errors
/// What openat2(2) answers.
pub(crate) fn upon(
    root: &Root,
    base: Vec<Entry>,
    upper: Vec<Entry>,
) -> Result<Vec<Entry>, SysError> {
    let inode = |path: &Path| {
        let stat = root.stat_itself(path)?;
        Ok::<_, SysError>(stat.map(|stat| (stat.st_dev, stat.st_ino)))
    };
    let mut taken = HashSet::new();
    for entry in &upper {
        taken.extend(inode(&entry.path)?);
    }
    let mut entries = Vec::with_capacity(base.len() + upper.len());
    for entry in base {
        if inode(&entry.path)?.is_some_and(|inode| !taken.contains(&inode)) {
            entries.push(entry);
        }
    }
    entries.extend(upper);
    Ok(entries)
}

/// Puts `newer` in the place of the entries of the same paths.
pub(crate) fn replace(entries: &mut Vec<Entry>, newer: Vec<Entry>) {
    entries.retain(|entry| !newer.iter().any(|new| new.path == entry.path));
    entries.extend(newer);
}

/// As the file beside the box has them: an object, each entry on a line of its own.
pub(crate) fn to_text(entries: &[Entry]) -> String {
    let lines: Vec<String> = entries
        .iter()
        .map(|entry| entry.to_json().to_string())
        .collect();
    format!("{{\"entries\":[\n{}\n]}}\n", lines.join(",\n"))
}

/// Reads what [`to_text`] wrote; None when it is something else.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<Entry>> {
    let value: Value = serde_json::from_slice(text).ok()?;
    value
        .get("entries")?
        .as_array()?
        .iter()
        .map(Entry::from_json)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: PathBuf::from(OsStr::from_bytes(path)),
            bytes: if kind == Kind::File { 7 } else { 0 },
            kind,
            mode: 0o755,
            mtime: Some((1, 999)),
            source: Some("/x".into()),
            why: Why::Asked("x".into()),
            sha256: Some("ab".into()),
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_whatever_the_names() {
        let entries = vec![
            entry(b"/bin/x", Kind::File),
            entry(
                b"/bin/\xff\n\"",
                Kind::Hard(OsStr::from_bytes(b"/bin/\xfe").into()),
            ),
            entry(b"/lib", Kind::Link("usr/lib".into())),
            entry(b"/d", Kind::Directory),
            entry(b"/f", Kind::Other("fifo".into())),
        ];
        assert_eq!(parse(to_text(&entries).as_bytes()), Some(entries));
        assert_eq!(parse(to_text(&[]).as_bytes()), Some(vec![]));
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"entries":[7]}"#,
            r#"{"entries":[{"path":"x"}]}"#,
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
