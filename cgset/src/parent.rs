//! The group that pods are made in, where it is not the top of each hierarchy: found, made with what leads to it, and
//! taken away by the last pod that was in it.

use std::collections::BTreeMap;

use nix::errno::Errno;
use record::Id;
use serde_json::{Map, Value as Json};

use crate::TOOL;
use crate::error::Error;
use crate::group::{Group, IsGone as _};
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::make;
use crate::state::State;
use crate::talk::Talk;

/// `/` and `/a/b` as paths below a mount; None: not a group's path.
pub(crate) fn below_mount(group: &str) -> Option<&str> {
    let path = group.trim_matches('/');
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.chars().any(char::is_control)
    };
    let is_path = group.starts_with('/')
        && group.len() < 4096
        && (path.is_empty() || path.split('/').all(is_plain));
    is_path.then_some(path)
}

/// What `option` was given, as a path below each mount.
pub(crate) fn given<'a>(option: &str, group: &'a str) -> Result<&'a str, Error> {
    below_mount(group).ok_or_else(|| {
        Error::Usage(format!(
            "{option} {}: not a group's path (/ or /other)",
            group.escape_debug()
        ))
    })
}

/// The parent that `linux.cgroupsPath` names, when it is of the form `/PARENT/pod-ID`.
pub(crate) fn of_path<'a>(cgroups_path: &'a str, pod: &str) -> Option<&'a str> {
    let path = below_mount(cgroups_path)?;
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    (name == pod).then_some(parent)
}

/// `name` in the group `parent`, both below a mount.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

/// Parents that pods made, by the key of their hierarchy: `{"memory": ["/a", "/a/b"]}`; outer ones first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Made(BTreeMap<String, Vec<String>>);

impl Made {
    /// What is missing of `path` in the hierarchy `key`, or was made by a pod that is known: it goes with the last of them.
    pub(crate) fn note(
        &mut self,
        key: &str,
        mount: &Group,
        path: &str,
        others: &[Self],
    ) -> Result<(), Error> {
        let mut ours = Vec::new();
        for prefix in prefixes(path) {
            let is_known = |other: &Self| {
                other
                    .0
                    .get(key)
                    .is_some_and(|list| list.iter().any(|made| made == prefix))
            };
            if mount.descendant(prefix)?.is_none() || others.iter().any(is_known) {
                ours.push(prefix.to_owned());
            }
        }
        if !ours.is_empty() {
            self.0.insert(key.to_owned(), ours);
        }
        Ok(())
    }

    /// How they are made, a line each.
    pub(crate) fn lines(&self, hierarchies: &Hierarchies) -> String {
        let mut lines = String::new();
        for (key, paths) in &self.0 {
            let first = key.split(',').next().unwrap_or_default();
            for path in paths {
                if let Some(hierarchy) = hierarchies.of(first) {
                    let dir = hierarchy.mount.join(path);
                    lines.push_str(&format!("mkdir({})\n", dir.display()));
                }
            }
        }
        lines
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn to_json(&self) -> Json {
        let list = |paths: &Vec<String>| {
            paths
                .iter()
                .map(|path| format!("/{path}").into())
                .collect::<Vec<Json>>()
        };
        Json::Object(
            self.0
                .iter()
                .map(|(key, paths)| (key.clone(), list(paths).into()))
                .collect(),
        )
    }

    /// Only what leads to `parent` is taken.
    pub(crate) fn from_json(map: &Map<String, Json>, parent: &str) -> Self {
        let of = |list: &Json| -> Vec<String> {
            let named: Vec<&str> = list
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|path| below_mount(path.as_str()?))
                .collect();
            prefixes(parent)
                .filter(|prefix| named.contains(prefix))
                .map(str::to_owned)
                .collect()
        };
        Self(
            map.iter()
                .map(|(key, list)| (key.clone(), of(list)))
                .collect(),
        )
    }

    /// Of all pods that the index knows, but for `own`.
    pub(crate) fn by_others(own: &Id) -> Result<Vec<Self>, Error> {
        let mut found = Vec::new();
        for id in record::ids()?.into_iter().filter(|id| id != own) {
            let state = record::indexed(&id)
                .ok()
                .flatten()
                .and_then(|record| State::from_json(record.get(TOOL)?).ok());
            // one that is being made or removed at this moment may be read as nothing
            let Some(state) = state else { continue };
            if !state.parents.is_empty() && state.is_of_this_boot()? {
                found.push(state.parents);
            }
        }
        Ok(found)
    }

    /// Removes those that are empty, inner ones first.
    pub(crate) fn remove(&self, hierarchies: &Hierarchies, talk: Talk) -> Result<(), Error> {
        for (key, paths) in &self.0 {
            let hierarchy = key
                .split(',')
                .find_map(|controller| hierarchies.of(controller));
            let Some(hierarchy) = hierarchy else { continue };
            let mount = Group::mounted(hierarchy)?;
            for path in paths.iter().rev() {
                let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
                let Some(above) = mount.descendant(above)? else {
                    continue;
                };
                match above.remove_child(name) {
                    Err(error)
                        if matches!(
                            error.errno,
                            Errno::ENOENT | Errno::EBUSY | Errno::ENOTEMPTY
                        ) =>
                    {
                        continue;
                    }
                    answer => answer?,
                }
                talk.step(|| format!("rmdir({})", above.path().join(name).display()));
            }
        }
        Ok(())
    }
}

/// `a` and `a/b` of `a/b`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    ends.chain((!path.is_empty()).then_some(path.len()))
        .map(|end| &path[..end])
}

/// The pod's group `name` in `parent`, made with all that leads to it. On v2 each group on the way gives on what is in `key`.
pub(crate) fn make_in(
    mount: &Group,
    parent: &str,
    name: &str,
    (hierarchy, key): (&Hierarchy, &str),
    talk: Talk,
) -> Result<Group, Error> {
    /// How often the last pod of a parent may take it away beneath us.
    const TRIES: usize = 50;
    let enable = |group: &Group| make::enable(group, hierarchy.version, key, talk);
    let make = || {
        let mut above = mount.itself()?;
        for part in parent.split('/').filter(|part| !part.is_empty()) {
            enable(&above)?;
            let group = match above.child(part)? {
                Some(group) => group,
                None => {
                    let made = above.child_or_new(part)?;
                    talk.step(|| format!("mkdir({})", above.path().join(part).display()));
                    made
                }
            };
            group.inherit_cpuset(&above, key)?;
            above = group;
        }
        enable(&above)?;
        Ok(above.make_child(name)?)
    };
    for _ in 1..TRIES {
        match make() {
            Err(Error::Sys(error)) if error.is_gone() && !parent.is_empty() => {}
            answer => return answer,
        }
    }
    make()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_a_path_below_the_mount_and_nothing_else() {
        assert_eq!(below_mount("/"), Some(""));
        assert_eq!(below_mount("/a/b/"), Some("a/b"));
        for bad in ["", "a", "/../x", "/a/./b", "/a//b", "/a\0", "..", "/a\n"] {
            assert_eq!(below_mount(bad), None, "{bad:?}");
        }
        assert_eq!(below_mount(&format!("/{}", "x".repeat(256))), None);
    }

    #[test]
    fn a_parent_is_read_from_the_path_of_the_pods_own_group_only() {
        assert_eq!(of_path("/pod-foo", "pod-foo"), Some(""));
        assert_eq!(of_path("/a/b/pod-foo", "pod-foo"), Some("a/b"));
        for other in [
            "/a/pod-bar",
            "a/pod-foo",
            "/a/../pod-foo",
            "x.slice:cri:y",
            "/",
        ] {
            assert_eq!(of_path(other, "pod-foo"), None, "{other}");
        }
    }

    #[test]
    fn only_what_leads_to_the_parent_can_be_taken_away() {
        let json: Json =
            serde_json::from_str(r#"{"memory":["/a","/other","/a/b","/a/b/c","../x"],"pids":7}"#)
                .unwrap();
        let made = Made::from_json(json.as_object().unwrap(), "a/b");
        assert_eq!(
            made.to_json().to_string(),
            r#"{"memory":["/a","/a/b"],"pids":[]}"#
        );
    }
}
