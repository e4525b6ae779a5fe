//! What `up` made, as it is kept under the key `nsrun` of the record and the index.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use record::{Namespace, ProcessId};
use serde_json::{Map, Value, json};
use sys::{Call, SysError};

use crate::pin::Pins;
use crate::request::holder_path;
use crate::{step, sys as own};

/// `root`, `wd`, `log` and `mountProc` of the process that holds the pod, those that were asked for.
pub(crate) type Options = BTreeMap<String, String>;

/// A pod's namespaces and the process that holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// The process that holds them.
    pub(crate) holder: ProcessId,
    /// Inodes of all eight; trusted only while the holder lives, as the kernel gives them out again at once.
    pub(crate) inodes: Vec<(Namespace, u64)>,
    /// Numbers that are never given out again, where the kernel has them (Linux 6.18).
    pub(crate) ids: Vec<(Namespace, u64)>,
    /// The `CLONE_NEW…` bits of those that were new.
    pub(crate) made: i32,
    /// In a new UTS namespace.
    pub(crate) hostname: Option<String>,
    /// What runs under the holder.
    pub(crate) command: Vec<String>,
    /// How it was started.
    pub(crate) options: Options,
    /// Files that hold namespaces of it.
    pub(crate) pins: Pins,
}

impl State {
    /// Of the living process `pid`.
    ///
    /// # Errors
    /// It is gone, or may not be looked at.
    pub(crate) fn of(
        pid: i32,
        made: i32,
        hostname: Option<&str>,
        command: Vec<String>,
    ) -> Result<Self, SysError> {
        let mut state = Self {
            holder: ProcessId::of(pid)?,
            inodes: Vec::new(),
            ids: Vec::new(),
            made,
            hostname: hostname.map(str::to_owned),
            command,
            options: Options::new(),
            pins: Pins::new(),
        };
        for kind in Namespace::ALL {
            let path = holder_path(pid, kind);
            let inode = match std::fs::metadata(&path) {
                Ok(found) => found.ino(),
                // A kernel without this kind.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error).call(|| format!("stat({})", path.display())),
            };
            state.inodes.push((kind, inode));
            if made & kind.clone_flag() != 0 {
                let file = File::open(&path).call(|| format!("open({})", path.display()))?;
                state
                    .ids
                    .extend(own::ns_id(file.as_fd()).map(|id| (kind, id)));
            }
        }
        Ok(state)
    }

    /// As it is written.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = self.holder.to_json();
        let numbers = |list: &[(Namespace, u64)]| -> Value {
            list.iter()
                .map(|(kind, number)| (kind.proc_name().to_owned(), json!(number)))
                .collect::<Map<_, _>>()
                .into()
        };
        object["namespaces"] = numbers(&self.inodes);
        if !self.ids.is_empty() {
            object["ids"] = numbers(&self.ids);
        }
        object["made"] = step::kinds(self.made)
            .iter()
            .map(|kind| kind.proc_name())
            .collect();
        if let Some(hostname) = &self.hostname {
            object["hostname"] = hostname.as_str().into();
        }
        if !self.command.is_empty() {
            object["command"] = self.command.clone().into();
        }
        if !self.options.is_empty() {
            object["options"] = json!(self.options);
        }
        if !self.pins.is_empty() {
            let pins = self.pins.iter().map(|(kind, path)| {
                (
                    kind.proc_name().to_owned(),
                    path.to_string_lossy().into_owned().into(),
                )
            });
            object["pins"] = pins.collect::<Map<String, Value>>().into();
        }
        object
    }

    /// None: it says of no process.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let kind_of = |name: &str| {
            Namespace::ALL
                .into_iter()
                .find(|kind| kind.proc_name() == name)
        };
        let numbers = |key: &str| -> Vec<(Namespace, u64)> {
            let object = value.get(key).and_then(Value::as_object);
            object
                .into_iter()
                .flatten()
                .filter_map(|(name, number)| Some((kind_of(name)?, number.as_u64()?)))
                .collect()
        };
        let pins = value.get("pins").and_then(Value::as_object);
        let texts = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
        };
        Some(Self {
            holder: ProcessId::from_json(value)?,
            inodes: numbers("namespaces"),
            ids: numbers("ids"),
            made: texts("made")
                .filter_map(kind_of)
                .fold(0, |flags, kind| flags | kind.clone_flag()),
            hostname: value
                .get("hostname")
                .and_then(Value::as_str)
                .map(str::to_owned),
            command: texts("command").map(str::to_owned).collect(),
            options: value
                .get("options")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned())))
                .collect(),
            pins: pins
                .into_iter()
                .flatten()
                .filter_map(|(name, path)| Some((kind_of(name)?, path.as_str()?.into())))
                .collect(),
        })
    }

    /// Where the namespace of `kind` is pinned.
    pub(crate) fn pin(&self, kind: Namespace) -> Option<&PathBuf> {
        self.pins
            .iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, path)| path)
    }

    /// The file by which others join the pod's namespace of `kind`: its pin, which outlives the holder, else the holder's.
    pub(crate) fn path(&self, kind: Namespace) -> PathBuf {
        self.pin(kind)
            .cloned()
            .unwrap_or_else(|| holder_path(self.holder.pid, kind))
    }

    /// Both are of one pod that its pins hold, whichever process does.
    pub(crate) fn is_pinned_as(&self, other: &Self) -> bool {
        let lasts = |(kind, _): &&(Namespace, PathBuf)| *kind != Namespace::Pid;
        let same = |(kind, _): &(Namespace, PathBuf)| self.inode(*kind) == other.inode(*kind);
        self.pins == other.pins
            && self.holder.boot_id == other.holder.boot_id
            && self.pins.iter().any(|pin| lasts(&pin))
            && self.pins.iter().filter(lasts).all(same)
    }

    /// The recorded inode of `kind`.
    pub(crate) fn inode(&self, kind: Namespace) -> Option<u64> {
        self.inodes
            .iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, inode)| *inode)
    }

    /// The recorded unique number of `kind`.
    pub(crate) fn id(&self, kind: Namespace) -> Option<u64> {
        self.ids
            .iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs;

    #[test]
    fn what_is_written_is_read() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let made = libc::CLONE_NEWNET | libc::CLONE_NEWUTS;
        let mut state = State::of(pid, made, Some("h"), vec!["sleep".into()]).unwrap();
        state.pins = vec![(Namespace::Network, "/run/netns/x".into())];
        state.options.insert("log".into(), "/var/log/x".into());
        assert_eq!(
            state.path(Namespace::Network),
            PathBuf::from("/run/netns/x")
        );
        assert_eq!(state.path(Namespace::Uts), holder_path(pid, Namespace::Uts));
        assert_eq!(state.inodes.len(), 8);
        assert_eq!(State::from_json(&state.to_json()), Some(state.clone()));
        assert_eq!(state.to_json()["made"], json!(["net", "uts"]));
        assert_eq!(
            state.inode(Namespace::Mount),
            procfs::identity("/proc/self/ns/mnt").map(|(_, inode)| inode)
        );
    }

    #[test]
    fn a_state_without_start_time_is_none() {
        assert_eq!(State::from_json(&json!({"pid": 7, "made": ["net"]})), None);
    }
}
