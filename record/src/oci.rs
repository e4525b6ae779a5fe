//! Typed views of the record's keys, checked where they are read: a record may come from an untrusted place.
//!
//! Names and shapes are those of the OCI runtime specification's config.md and config-linux.md.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::object::kind;
use crate::{Error, Id, Namespace, ProcessId, Record, names};

/// An entry of `linux.namespaces`: with a path it is joined, without one it is new.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NamespaceEntry {
    /// `type`: which kind
    #[cfg_attr(test, schemars(rename = "type"))]
    pub kind: Namespace,
    /// `path`, absolute
    pub path: Option<PathBuf>,
}

/// An entry of `mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Mount {
    /// Absolute, in the box.
    #[cfg_attr(test, schemars(regex(pattern = "^/")))]
    pub destination: PathBuf,
    /// File system, or `bind`; without it a bind mount, when the options say so.
    #[cfg_attr(test, schemars(rename = "type"))]
    pub kind: Option<String>,
    /// Of a bind mount the path outside; of others what mount(2) takes.
    pub source: Option<String>,
    /// As mount(8) and the specification spell them.
    #[cfg_attr(test, schemars(default))]
    pub options: Vec<String>,
}

/// The groups that `cgset` made, as `nsrun` joins them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// Controllers (`cpu,cpuacct` where they share a mount; `unified` on v2) and the pod's directory in their hierarchy.
    pub dirs: Vec<(String, PathBuf)>,
    /// The child group for the process that holds the pod.
    pub join: Option<Id>,
}

impl Record {
    /// `linux.namespaces`, each kind at most once.
    ///
    /// # Errors
    /// Another shape, an unknown or repeated type, a path that is not absolute.
    pub fn namespaces(&self) -> Result<Vec<NamespaceEntry>, Error> {
        let mut found: Vec<NamespaceEntry> = Vec::new();
        for entry in self.array("/linux/namespaces")? {
            let name = string(entry, "linux.namespaces", "type")?.unwrap_or("");
            let kind = Namespace::from_oci(name).ok_or_else(|| {
                Error::Record(format!(
                    "linux.namespaces: {name:?} is no type of namespace"
                ))
            })?;
            if found.iter().any(|earlier| earlier.kind == kind) {
                return Err(Error::Record(format!(
                    "linux.namespaces: {name} comes twice"
                )));
            }
            let path = string(entry, "linux.namespaces", "path")?;
            // runtimes in the wild write "path":"" for "new"
            let path = path
                .filter(|path| !path.is_empty())
                .map(|path| absolute("linux.namespaces", path));
            found.push(NamespaceEntry {
                kind,
                path: path.transpose()?,
            });
        }
        Ok(found)
    }

    /// The path of the entry of `kind` in `linux.namespaces`.
    ///
    /// # Errors
    /// As [`Record::namespaces`].
    pub fn namespace_path(&self, kind: Namespace) -> Result<Option<PathBuf>, Error> {
        Ok(self
            .namespaces()?
            .into_iter()
            .find(|entry| entry.kind == kind)
            .and_then(|entry| entry.path))
    }

    /// Sets or removes the path of the entry of `kind` in `linux.namespaces`; adds the entry if there is none.
    ///
    /// # Errors
    /// As [`Record::namespaces`]; also a path that is not UTF-8.
    pub fn set_namespace(&mut self, kind: Namespace, path: Option<&Path>) -> Result<(), Error> {
        self.namespaces()?;
        let path = match path {
            None => None,
            Some(path) => Some(path.to_str().ok_or_else(|| {
                Error::Failed(format!(
                    "linux.namespaces: {} is not UTF-8, JSON cannot hold it",
                    path.display()
                ))
            })?),
        };
        let mut entries = self.array("/linux/namespaces")?.to_vec();
        let at = entries
            .iter()
            .position(|entry| entry["type"] == kind.oci())
            .unwrap_or(entries.len());
        if at == entries.len() {
            entries.push(json!({"type": kind.oci()}));
        }
        if let Some(entry) = entries[at].as_object_mut() {
            match path {
                Some(path) => entry.insert("path".into(), path.into()),
                None => entry.shift_remove("path"),
            };
        }
        self.set_at(&["linux", "namespaces"], entries.into())
    }

    /// `hostname`
    ///
    /// # Errors
    /// No string, or one that sethostname(2) does not take (64 bytes, no NUL) or that a line of a file cannot hold.
    pub fn hostname(&self) -> Result<Option<&str>, Error> {
        let Some(name) = self.string_at("/hostname")? else {
            return Ok(None);
        };
        if name.len() > 64 || name.chars().any(char::is_control) {
            return Err(Error::Record(format!(
                "hostname: {name:?} is no host name (64 bytes at most)"
            )));
        }
        Ok(Some(name))
    }

    /// `linux.cgroupsPath`
    ///
    /// # Errors
    /// No string, not absolute, or with "..".
    pub fn cgroups_path(&self) -> Result<Option<PathBuf>, Error> {
        self.string_at("/linux/cgroupsPath")?
            .map(|path| absolute("linux.cgroupsPath", path))
            .transpose()
    }

    /// `linux.resources`
    ///
    /// # Errors
    /// No object.
    pub fn resources(&self) -> Result<Option<&Map<String, Value>>, Error> {
        match self.pointer("/linux/resources") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(wrong("linux.resources", other, "an object")),
        }
    }

    /// `root.path`, absolute; in an OCI bundle it may be relative to the bundle, here it may not.
    ///
    /// # Errors
    /// No string, not absolute, or with "..".
    pub fn root(&self) -> Result<Option<PathBuf>, Error> {
        self.string_at("/root/path")?
            .map(|path| absolute("root.path", path))
            .transpose()
    }

    /// `mounts`
    ///
    /// # Errors
    /// Another shape, a destination that is not absolute or has "..".
    pub fn mounts(&self) -> Result<Vec<Mount>, Error> {
        self.array("/mounts")?.iter().map(mount).collect()
    }

    /// `cgset.groups` and `cgset.join`
    ///
    /// # Errors
    /// Another shape, or directories that are not the pod's.
    pub fn groups(&self) -> Result<Option<Groups>, Error> {
        let (Some(state), Some(id)) = (self.get("cgset"), self.id()) else {
            return Ok(None);
        };
        let id: Id = id.parse().map_err(Error::Record)?;
        let Some(groups) = state.get("groups") else {
            return Ok(None);
        };
        let groups = groups
            .as_object()
            .ok_or_else(|| wrong("cgset.groups", groups, "an object"))?;
        let mut dirs = Vec::new();
        for (controllers, dir) in groups {
            let dir = dir
                .as_str()
                .ok_or_else(|| wrong("cgset.groups", dir, "a string"))?;
            let dir = absolute("cgset.groups", dir)?;
            if dir.file_name() != Some(names::group(&id).as_ref()) {
                return Err(Error::Record(format!(
                    "cgset.groups: {} is not the group of {id}",
                    dir.display()
                )));
            }
            dirs.push((controllers.clone(), dir));
        }
        let join = string(state, "cgset", "join")?
            .map(str::parse)
            .transpose()
            .map_err(Error::Record)?;
        Ok(Some(Groups { dirs, join }))
    }

    /// The process that holds the pod: `nsrun.pid`, `nsrun.starttime`, `nsrun.boot_id`.
    ///
    /// # Errors
    /// `nsrun` is there and these are not, or not of their types.
    pub fn holder(&self) -> Result<Option<ProcessId>, Error> {
        let Some(state) = self.get("nsrun") else {
            return Ok(None);
        };
        let holder = ProcessId::from_json(state);
        holder
            .map(Some)
            .ok_or_else(|| Error::Record("nsrun: no pid with starttime and boot_id".into()))
    }

    /// Inode of the pod's namespace of `kind`, as nsrun found it: `nsrun.namespaces.net`.
    #[must_use]
    pub fn namespace_inode(&self, kind: Namespace) -> Option<u64> {
        self.get("nsrun")?
            .get("namespaces")?
            .get(kind.proc_name())?
            .as_u64()
    }

    fn array(&self, pointer: &str) -> Result<&[Value], Error> {
        match self.pointer(pointer) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(array)) => Ok(array),
            Some(other) => Err(wrong(&dotted(pointer), other, "an array")),
        }
    }

    fn string_at(&self, pointer: &str) -> Result<Option<&str>, Error> {
        match self.pointer(pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(&dotted(pointer), other, "a string")),
        }
    }
}

fn mount(entry: &Value) -> Result<Mount, Error> {
    let destination = string(entry, "mounts", "destination")?
        .ok_or_else(|| Error::Record("mounts: an entry has no destination".into()))?;
    let mut options = Vec::new();
    match entry.get("options") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) => {
            for option in list {
                let text = option
                    .as_str()
                    .ok_or_else(|| wrong("mounts: an option", option, "a string"))?;
                options.push(no_nul("mounts", text)?.to_owned());
            }
        }
        Some(other) => return Err(wrong("mounts.options", other, "an array")),
    }
    Ok(Mount {
        destination: absolute("mounts", destination)?,
        kind: string(entry, "mounts", "type")?.map(str::to_owned),
        source: string(entry, "mounts", "source")?.map(str::to_owned),
        options,
    })
}

/// The string `key` of `entry`, which must be an object; null is as good as not there.
fn string<'a>(entry: &'a Value, place: &str, key: &str) -> Result<Option<&'a str>, Error> {
    let entry = entry
        .as_object()
        .ok_or_else(|| wrong(place, entry, "an object"))?;
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => no_nul(place, text).map(Some),
        Some(other) => Err(wrong(&format!("{place}.{key}"), other, "a string")),
    }
}

fn no_nul<'a>(place: &str, text: &'a str) -> Result<&'a str, Error> {
    if text.contains('\0') {
        return Err(Error::Record(format!("{place}: {text:?} has a NUL")));
    }
    Ok(text)
}

/// An absolute path without "..": it means the same whoever resolves it.
fn absolute(place: &str, text: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(no_nul(place, text)?);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(Error::Record(format!(
            "{place}: {text:?} is not an absolute path without \"..\""
        )));
    }
    Ok(path)
}

fn wrong(place: &str, found: &Value, wanted: &str) -> Error {
    Error::Record(format!("{place} is {}, it must be {wanted}", kind(found)))
}

fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn namespaces_are_read_and_set_in_place() {
        let mut pod = record(
            r#"{"linux":{"x":1,"namespaces":[{"type":"network","path":"/proc/7/ns/net","y":2},{"type":"pid"}]}}"#,
        );
        assert_eq!(
            pod.namespace_path(Namespace::Network).unwrap(),
            Some("/proc/7/ns/net".into())
        );
        assert_eq!(pod.namespace_path(Namespace::Pid).unwrap(), None);
        pod.set_namespace(Namespace::Network, None).unwrap();
        pod.set_namespace(Namespace::Pid, Some(Path::new("/proc/8/ns/pid")))
            .unwrap();
        pod.set_namespace(Namespace::Uts, None).unwrap();
        assert_eq!(
            pod.to_string(),
            r#"{"linux":{"x":1,"namespaces":[{"type":"network","y":2},{"type":"pid","path":"/proc/8/ns/pid"},{"type":"uts"}]}}"#
        );
    }

    #[test]
    fn shapes_that_are_not_ocis_are_refused() {
        for (text, problem) in [
            (r#"{"linux":7}"#, ""),
            (
                r#"{"linux":{"namespaces":{}}}"#,
                "linux.namespaces is an object, it must be an array",
            ),
            (
                r#"{"linux":{"namespaces":[7]}}"#,
                "linux.namespaces is a number, it must be an object",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"net"}]}}"#,
                "linux.namespaces: \"net\" is no type of namespace",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]}}"#,
                "linux.namespaces: pid comes twice",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"pid","path":"ns/pid"}]}}"#,
                "linux.namespaces: \"ns/pid\" is not an absolute path without \"..\"",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"pid","path":"/a/../b"}]}}"#,
                "linux.namespaces: \"/a/../b\" is not an absolute path without \"..\"",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"pid","path":"/a\u0000b"}]}}"#,
                "linux.namespaces: \"/a\\0b\" has a NUL",
            ),
        ] {
            let answer = record(text).namespaces().map_err(|error| error.to_string());
            if problem.is_empty() {
                assert_eq!(answer, Ok(vec![]));
            } else {
                assert_eq!(answer, Err(problem.to_owned()));
            }
        }
    }

    #[test]
    fn mounts_keep_what_the_specification_names() {
        let pod = record(
            r#"{"mounts":[{"destination":"/data","type":"bind","source":"/tmp","options":["rbind","ro"]},{"destination":"/proc"}]}"#,
        );
        let mounts = pod.mounts().unwrap();
        assert_eq!(mounts[0].options, ["rbind", "ro"]);
        assert_eq!(mounts[0].source.as_deref(), Some("/tmp"));
        assert_eq!(mounts[1].kind, None);
        for bad in [
            r#"[{}]"#,
            r#"[{"destination":"x"}]"#,
            r#"[{"destination":"/x/../../y"}]"#,
            r#"[{"destination":"/x","options":[1]}]"#,
        ] {
            assert!(
                record(&format!("{{\"mounts\":{bad}}}")).mounts().is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn groups_of_another_pod_are_refused() {
        let own = r#"{"id":"foo","cgset":{"groups":{"memory":"/sys/fs/cgroup/memory/pod-foo"},"join":"pause"}}"#;
        let groups = record(own).groups().unwrap().unwrap();
        assert_eq!(
            groups.dirs,
            [(
                "memory".to_owned(),
                PathBuf::from("/sys/fs/cgroup/memory/pod-foo")
            )]
        );
        assert_eq!(groups.join.as_deref(), Some("pause"));
        assert_eq!(record(r#"{"id":"foo"}"#).groups().unwrap(), None);
        for bad in [
            own.replace("/pod-foo", "/pod-bar"),
            own.replace("/memory/pod-foo", "/memory/../pod-foo"),
            own.replace("pause", "../x"),
        ] {
            assert!(record(&bad).groups().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_holder_without_start_time_is_no_holder() {
        assert_eq!(record("{}").holder().unwrap(), None);
        assert!(record(r#"{"nsrun":{"pid":7}}"#).holder().is_err());
        let holder =
            record(r#"{"nsrun":{"pid":7,"starttime":8,"boot_id":"b","namespaces":{"net":9}}}"#);
        assert_eq!(
            holder.holder().unwrap().map(|process| process.starttime),
            Some(8)
        );
        assert_eq!(holder.namespace_inode(Namespace::Network), Some(9));
    }

    #[test]
    fn a_host_name_that_could_add_a_line_is_refused() {
        assert!(record(r#"{"hostname":"a\nb"}"#).hostname().is_err());
        assert!(record(r#"{"hostname":7}"#).hostname().is_err());
        assert_eq!(
            record(r#"{"hostname":"a.b"}"#).hostname().unwrap(),
            Some("a.b")
        );
    }
}
