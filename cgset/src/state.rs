//! What cgset made, as the record and the index keep it under `cgset`.

use record::{Id, ProcessId, names};
use serde_json::{Map, Value as Json, json};

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::limits::formula;
use crate::parent::{self, Made};

/// The group in the pod that its first process is in.
pub(crate) const PAUSE: &str = "pause";
/// The group in the pod for commands that have no name.
pub(crate) const EXEC: &str = "exec";

/// The pod's group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its controllers: `cpu,cpuacct`.
    pub(crate) key: String,
    /// Where the maker saw it; for other tools. Here it is found by its hierarchy and the pod's name.
    dir: String,
    /// None: about to be made.
    pub(crate) inode: Option<u64>,
}

impl Member {
    pub(crate) fn new(key: &str, dir: &std::path::Path, inode: Option<u64>) -> Self {
        Self {
            key: key.to_owned(),
            dir: dir.to_string_lossy().into_owned(),
            inode,
        }
    }

    /// The hierarchy it is in, if that is mounted here.
    pub(crate) fn hierarchy<'a>(&self, hierarchies: &'a Hierarchies) -> Option<&'a Hierarchy> {
        self.key
            .split(',')
            .find_map(|controller| hierarchies.of(controller))
    }

    /// The group itself, at `path` below the mount, if it is there and no other that came to have its name.
    pub(crate) fn open(
        &self,
        hierarchies: &Hierarchies,
        path: &str,
    ) -> Result<Option<Group>, Error> {
        let Some(hierarchy) = self.hierarchy(hierarchies) else {
            return Ok(None);
        };
        let Some(group) = Group::below(hierarchy, path)? else {
            return Ok(None);
        };
        match self.inode {
            Some(inode) if group.inode()? != inode => Ok(None),
            _ => Ok(Some(group)),
        }
    }
}

/// A process that was moved into the pod, and where it was; kept until `up` is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) process: ProcessId,
    /// Key of the hierarchy, and the group in it as a path below the mount.
    pub(crate) from: Vec<(String, String)>,
}

/// The whole of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) members: Vec<Member>,
    /// The group that the pod's is in, as a path below each mount; empty: the top.
    pub(crate) parent: String,
    /// What of that was made for this pod or others that are known.
    pub(crate) parents: Made,
    /// The class of Kubernetes that its resources are of.
    pub(crate) qos: Option<String>,
    /// To whom it was handed over: `UID:GID`.
    pub(crate) delegate: Option<String>,
    pub(crate) boot_id: String,
    /// Files and what was written into them.
    pub(crate) written: Map<String, Json>,
    /// What the kernel made of them.
    pub(crate) effective: Map<String, Json>,
    pub(crate) moved: Vec<Moved>,
}

impl State {
    /// Path of the pod's group below each mount.
    pub(crate) fn path(&self, id: &Id) -> String {
        parent::join(&self.parent, &names::group(id))
    }

    pub(crate) fn to_json(&self) -> Json {
        let groups: Map<String, Json> = self
            .members
            .iter()
            .map(|member| (member.key.clone(), member.dir.as_str().into()))
            .collect();
        let inodes: Map<String, Json> = self
            .members
            .iter()
            .filter_map(|member| Some((member.key.clone(), member.inode?.into())))
            .collect();
        let mut json = json!({
            "groups": groups, "join": PAUSE, "written": self.written, "effective": self.effective,
            "inodes": inodes, "boot_id": self.boot_id,
        });
        let formulas = self.effective.keys().filter_map(|name| {
            let formula = formula(name)?;
            Some((name.clone(), formula.into()))
        });
        let formulas: Map<String, Json> = formulas.collect();
        if !formulas.is_empty() {
            json["formulas"] = formulas.into();
        }
        if !self.parent.is_empty() {
            json["parent"] = format!("/{}", self.parent).into();
        }
        if !self.parents.is_empty() {
            json["parents"] = self.parents.to_json();
        }
        if let Some(qos) = &self.qos {
            json["qosClass"] = qos.as_str().into();
        }
        if let Some(owner) = &self.delegate {
            json["delegate"] = owner.as_str().into();
        }
        if !self.moved.is_empty() {
            json["moved"] = self.moved.iter().map(Moved::to_json).collect();
        }
        json
    }

    /// From a record or the index: every part may be missing, none may be of another shape.
    pub(crate) fn from_json(json: &Json) -> Result<Self, Error> {
        let object = json.as_object().ok_or_else(|| bad("cgset", json))?;
        let map = |key: &str| match object.get(key) {
            None | Some(Json::Null) => Ok(Map::new()),
            Some(Json::Object(map)) => Ok(map.clone()),
            Some(other) => Err(bad(&format!("cgset.{key}"), other)),
        };
        let inodes = map("inodes")?;
        let mut members = Vec::new();
        for (key, dir) in map("groups")? {
            let dir = dir
                .as_str()
                .ok_or_else(|| bad("cgset.groups", &dir))?
                .to_owned();
            let inode = inodes
                .get(&key)
                .map(|inode| inode.as_u64().ok_or_else(|| bad("cgset.inodes", inode)));
            members.push(Member {
                key,
                dir,
                inode: inode.transpose()?,
            });
        }
        let moved = match object.get("moved") {
            None => Vec::new(),
            Some(Json::Array(list)) => list.iter().filter_map(Moved::from_json).collect(),
            Some(other) => return Err(bad("cgset.moved", other)),
        };
        let parent = match object.get("parent") {
            None | Some(Json::Null) => "",
            Some(Json::String(path)) => parent::below_mount(path).ok_or_else(|| {
                Error::Usage(format!(
                    "cgset.parent: {} is not a group's path",
                    path.escape_debug()
                ))
            })?,
            Some(other) => return Err(bad("cgset.parent", other)),
        };
        let parents = Made::from_json(&map("parents")?, parent);
        let delegate = match object.get("delegate") {
            None | Some(Json::Null) => None,
            Some(Json::String(owner)) => Some(owner.clone()),
            Some(other) => return Err(bad("cgset.delegate", other)),
        };
        let qos = match object.get("qosClass") {
            None | Some(Json::Null) => None,
            Some(Json::String(qos)) => Some(qos.clone()),
            Some(other) => return Err(bad("cgset.qosClass", other)),
        };
        let boot_id = object
            .get("boot_id")
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        Ok(Self {
            members,
            parent: parent.to_owned(),
            parents,
            qos,
            delegate,
            boot_id,
            written: map("written")?,
            effective: map("effective")?,
            moved,
        })
    }

    /// Whether it was made since this machine was started; what was made before went with it.
    pub(crate) fn is_of_this_boot(&self) -> Result<bool, Error> {
        Ok(self.boot_id == record::boot_id()?)
    }
}

impl Moved {
    fn to_json(&self) -> Json {
        let mut json = self.process.to_json();
        json["from"] = Json::Object(
            self.from
                .iter()
                .map(|(key, path)| (key.clone(), path.as_str().into()))
                .collect(),
        );
        json
    }

    fn from_json(json: &Json) -> Option<Self> {
        let process = ProcessId::from_json(json)?;
        let from = json.get("from")?.as_object()?;
        let from = from
            .iter()
            .filter_map(|(key, path)| Some((key.clone(), path.as_str()?.to_owned())));
        Some(Self {
            process,
            from: from.collect(),
        })
    }
}

fn bad(place: &str, found: &Json) -> Error {
    let kind = match found {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    };
    Error::Usage(format!("{place} is {kind}, nothing that cgset writes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn state() -> State {
        State {
            members: vec![
                Member::new(
                    "memory",
                    Path::new("/sys/fs/cgroup/memory/pod-foo"),
                    Some(7),
                ),
                Member::new(
                    "cpu,cpuacct",
                    Path::new("/sys/fs/cgroup/cpu,cpuacct/pod-foo"),
                    None,
                ),
            ],
            parent: "a/b".into(),
            parents: Made::default(),
            qos: Some("Burstable".into()),
            delegate: Some("1:2".into()),
            boot_id: "b".into(),
            written: [("memory.limit_in_bytes".to_owned(), Json::from("10"))]
                .into_iter()
                .collect(),
            effective: [("memory.max".to_owned(), Json::from(0))]
                .into_iter()
                .collect(),
            moved: vec![Moved {
                process: ProcessId {
                    pid: 7,
                    starttime: 8,
                    boot_id: "b".into(),
                    pidns: None,
                },
                from: vec![("memory".into(), "a/b".into())],
            }],
        }
    }

    #[test]
    fn a_state_round_trips() {
        assert_eq!(State::from_json(&state().to_json()).unwrap(), state());
        assert_eq!(State::from_json(&json!({})).unwrap(), State::default());
    }

    #[test]
    fn the_record_has_groups_by_controller_and_the_group_to_join() {
        let json = state().to_json();
        assert_eq!(json["groups"]["memory"], "/sys/fs/cgroup/memory/pod-foo");
        assert_eq!(json["join"], "pause");
        assert_eq!(json["inodes"], json!({"memory": 7}));
        assert_eq!(json.get("formulas"), None);
        let mut weighed = state();
        weighed.effective.insert("cpu.weight".into(), 1.into());
        let formula = &weighed.to_json()["formulas"]["cpu.weight"];
        assert!(formula.as_str().unwrap().contains("log2(cpu.shares)"));
    }

    #[test]
    fn another_shape_is_a_bad_record() {
        for (text, problem) in [
            ("7", "cgset is a number, nothing that cgset writes"),
            (
                r#"{"groups":[]}"#,
                "cgset.groups is an array, nothing that cgset writes",
            ),
            (
                r#"{"groups":{"memory":7}}"#,
                "cgset.groups is a number, nothing that cgset writes",
            ),
            (
                r#"{"groups":{"memory":"/x"},"inodes":{"memory":"x"}}"#,
                "cgset.inodes is a string, nothing that cgset writes",
            ),
            (
                r#"{"parent":"/a/../b"}"#,
                "cgset.parent: /a/../b is not a group's path",
            ),
            (
                r#"{"parent":7}"#,
                "cgset.parent is a number, nothing that cgset writes",
            ),
            (
                r#"{"moved":7}"#,
                "cgset.moved is a number, nothing that cgset writes",
            ),
        ] {
            let refused = State::from_json(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert_eq!(refused.to_string(), problem);
        }
    }
}
