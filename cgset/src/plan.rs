//! What will be made and written, as data: which groups in which hierarchies, which files in which order.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use crate::devices;
use crate::error::Error;
use crate::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::limits::{Limits, Value, formula};
use crate::make;
use crate::owner::Owner;
use crate::version::{File, home};

/// The controllers a pod always has a group of, where they are mounted: so that its use can be shown, and
/// limits be given to its containers later.
pub(crate) const ALWAYS: [&str; 4] = ["memory", "cpu", "cpuacct", "pids"];

/// A group in one hierarchy and what is written into it.
#[derive(Debug, Clone)]
pub(crate) struct GroupPlan<'a> {
    pub(crate) hierarchy: &'a Hierarchy,
    /// The controllers by which a record names the group: `cpu,cpuacct`.
    pub(crate) key: String,
    pub(crate) files: Vec<File>,
}

/// One group per hierarchy, all of one name.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    /// Path of the group below each mount: `pod-foo`, `pod-foo/app`.
    pub(crate) name: String,
    pub(crate) groups: Vec<GroupPlan<'a>>,
    limits: &'a Limits,
}

impl<'a> Plan<'a> {
    /// Of a pod: the hierarchies it always has, and those that its limits need.
    pub(crate) fn of_pod(
        name: String,
        hierarchies: &'a Hierarchies,
        limits: &'a Limits,
    ) -> Result<Self, Error> {
        let mut needed: Vec<(&Hierarchy, Vec<&str>)> = Vec::new();
        let mut need = |hierarchy: &'a Hierarchy, controller: &'a str| match needed
            .iter_mut()
            .find(|(other, _)| *other == hierarchy)
        {
            Some((_, controllers)) => controllers.push(controller),
            None => needed.push((hierarchy, vec![controller])),
        };
        for controller in ALWAYS {
            if let Some(hierarchy) = hierarchies.of(controller) {
                need(hierarchy, controller);
            }
        }
        // v1 can let only those stand still that are in a group of the freezer; on v2 every group can.
        if let Some(freezer) = hierarchies.of("freezer") {
            need(freezer, "freezer");
        }
        for (name, _) in limits.iter() {
            let hierarchy = home(hierarchies, name)?;
            need(hierarchy, hierarchy.version.controller(name));
        }
        if needed.is_empty() {
            return Err(Error::Failed(no_hierarchy(hierarchies)));
        }
        let groups = needed.into_iter().map(|(hierarchy, controllers)| {
            let key = match hierarchy.version {
                Version::V1 => hierarchy.key(),
                Version::V2 => enabled(hierarchy, &controllers),
            };
            GroupPlan {
                hierarchy,
                key,
                files: Vec::new(),
            }
        });
        Self {
            name,
            groups: groups.collect(),
            limits,
        }
        .with_files()
    }

    /// Of a child of a pod that has `groups`, by key: it has the same, and only limits that go there.
    pub(crate) fn of_child(
        name: String,
        groups: &[(String, &'a Hierarchy)],
        limits: &'a Limits,
    ) -> Result<Self, Error> {
        let groups = groups.iter().map(|(key, hierarchy)| GroupPlan {
            hierarchy,
            key: key.clone(),
            files: Vec::new(),
        });
        Self {
            name,
            groups: groups.collect(),
            limits,
        }
        .with_files()
    }

    /// Translates the limits into files of their groups.
    fn with_files(mut self) -> Result<Self, Error> {
        for (name, value) in in_order(self.limits) {
            let at = self.place_of(name)?;
            let files = self.groups[at]
                .hierarchy
                .version
                .files(name, value, self.limits)?;
            self.groups[at].files.extend(files);
        }
        Ok(self)
    }

    /// Which of the groups has the file of `name`.
    pub(crate) fn place_of(&self, name: &str) -> Result<usize, Error> {
        let has = |group: &GroupPlan<'_>| group.hierarchy.version.has(&group.key, name);
        self.groups.iter().position(has).ok_or_else(|| {
            let controller = Version::V1.controller(name);
            Error::Failed(format!(
                "{name}: the pod has no {controller} group (give the pod a limit of it in cgset up)"
            ))
        })
    }

    /// The files and what is written into them, by which two plans are told apart however their limits were spelt.
    pub(crate) fn written(&self) -> Map<String, Json> {
        let mut written = Map::new();
        for file in self.groups.iter().flat_map(|group| &group.files) {
            // v1's two files for one list, of which the order counts
            let (name, new) = match file.name.split_once('.') {
                Some((devices::NAME, verdict)) => {
                    (devices::NAME.to_owned(), format!("{verdict} {}", file.text))
                }
                _ => (file.name.clone(), file.text.clone()),
            };
            match written.get_mut(&name) {
                // one write for each device
                Some(Json::String(text)) => {
                    text.push('\n');
                    text.push_str(&new);
                }
                _ => drop(written.insert(name, new.into())),
            }
        }
        written
    }

    /// How limits are called and written where that is not as they were asked for, a line each.
    pub(crate) fn translations(&self) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        for (name, value) in self.limits.iter() {
            let version = self.groups[self.place_of(name)?].hierarchy.version;
            let written = version.files(name, value, self.limits)?;
            let written = written
                .iter()
                .map(|file| format!("{}={}", file.name, file.text));
            let written: Vec<String> = written.collect();
            let asked = value.spelt(name).into_iter();
            let asked: Vec<String> = asked.map(|(key, text)| format!("{key}={text}")).collect();
            if asked != written {
                let by = formula(name).map_or_else(String::new, |formula| format!(" ({formula})"));
                lines.push(format!(
                    "{}: on {version} {}{by}",
                    asked.join(" "),
                    written.join(" ")
                ));
            }
        }
        Ok(lines)
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.limits
    }

    /// Where the group of `plan` is.
    pub(crate) fn dir(&self, group: &GroupPlan<'_>) -> PathBuf {
        group.hierarchy.mount.join(&self.name)
    }

    /// The steps of a pod's `up` as they are taken, a line each: groups, then limits, and the groups in it in between as
    /// its version wants it.
    pub(crate) fn pod_lines(&self, leaves: &[&str], delegate: Option<Owner>) -> String {
        let mut lines = String::new();
        for group in &self.groups {
            let dir = self.dir(group);
            // a String takes everything
            let _ = writeln!(lines, "mkdir({})", dir.display());
            if group.hierarchy.version == Version::V2 && !group.key.is_empty() {
                let file = dir.join("cgroup.subtree_control");
                let given = format!("+{}", group.key.replace(',', " +"));
                let _ = writeln!(lines, "write({}, {given})", file.display());
            }
        }
        let of = |version: Version| {
            let groups = self.groups.iter();
            groups.filter(move |group| group.hierarchy.version == version)
        };
        let add_leaves = |lines: &mut String, version| {
            for dir in of(version).map(|group| self.dir(group)) {
                for leaf in leaves {
                    let leaf = dir.join(leaf);
                    let _ = writeln!(lines, "mkdir({})", leaf.display());
                    if let Some(owner) = delegate {
                        let _ = writeln!(lines, "chown({}, {owner})", leaf.display());
                    }
                }
                if let Some(owner) = delegate {
                    let _ = writeln!(lines, "chown({}, {owner})", dir.display());
                }
            }
        };
        add_leaves(&mut lines, Version::V2);
        self.groups
            .iter()
            .for_each(|group| self.add_files(&mut lines, group));
        add_leaves(&mut lines, Version::V1);
        lines
    }

    /// The steps as they are taken for a group in a pod, a line each.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        for group in &self.groups {
            let _ = writeln!(lines, "mkdir({})", self.dir(group).display());
        }
        self.groups
            .iter()
            .for_each(|group| self.add_files(&mut lines, group));
        lines
    }

    fn add_files(&self, lines: &mut String, group: &GroupPlan<'_>) {
        for file in &group.files {
            let _ = writeln!(lines, "{}", make::call(&self.dir(group), file));
        }
    }
}

/// A limit of swap is counted with that of memory: it comes after it. Freezing comes last of all.
fn in_order(limits: &Limits) -> impl Iterator<Item = (&str, &Value)> {
    let rank = |name: &str| match name {
        "memory.swap.max" | "cpu.max.burst" => 1,
        "cgroup.freeze" => 2,
        _ => 0,
    };
    (0..3).flat_map(move |wanted| limits.iter().filter(move |(name, _)| rank(name) == wanted))
}

/// The controllers that are needed, each once, as the kernel orders them.
fn enabled(hierarchy: &Hierarchy, needed: &[&str]) -> String {
    let names = hierarchy
        .controllers
        .iter()
        .map(String::as_str)
        .filter(|name| needed.contains(name));
    names.collect::<Vec<_>>().join(",")
}

/// How to get one where none is mounted.
pub(crate) const MOUNT_HINT: &str = "mount -t cgroup2 none /sys/fs/cgroup";
/// The hierarchies there are do not have what every pod gets.
pub(crate) const NONE_OF_ALWAYS: &str = "none of memory, cpu, cpuacct and pids is mounted here";

fn no_hierarchy(hierarchies: &Hierarchies) -> String {
    match hierarchies.iter().next() {
        None => format!("no cgroup hierarchy with controllers is mounted here ({MOUNT_HINT})"),
        Some(_) => NONE_OF_ALWAYS.into(),
    }
}
