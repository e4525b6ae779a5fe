//! The node's groups in the machine's hierarchies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tests::mountinfo::mounts;

use crate::{Answer, Tried};

/// How long the kernel may take to forget the processes of a group.
const PATIENCE: Duration = Duration::from_secs(10);

/// A hierarchy of control groups.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    /// Where it is mounted, on the machine and in the node.
    pub(crate) point: PathBuf,
    /// For mount(2): `memory`, `name=systemd`; None is v2.
    pub(crate) v1: Option<String>,
}

/// Those that a node has: all of v1, or v2 where there is nothing else.
pub(crate) fn hierarchies() -> Answer<Vec<Hierarchy>> {
    let mounts = mounts().tried("mountinfo")?;
    let below = mounts
        .iter()
        .filter(|mount| mount.point.starts_with("/sys/fs/cgroup"));
    let (mut v1, mut v2) = (Vec::new(), Vec::new());
    for mount in below {
        let point = mount.point.clone();
        match mount.kind.as_str() {
            "cgroup" => v1.push(Hierarchy {
                point,
                v1: Some(subsystems(&mount.super_options)),
            }),
            "cgroup2" => v2.push(Hierarchy { point, v1: None }),
            _ => {}
        }
    }
    let controls = |hierarchy: &Hierarchy| {
        hierarchy
            .v1
            .as_ref()
            .is_some_and(|name| !name.starts_with("name="))
    };
    Ok(if v1.iter().any(controls) { v1 } else { v2 })
}

/// `rw,cpu,cpuacct` without what is no subsystem.
fn subsystems(super_options: &str) -> String {
    let noise = ["rw", "ro", "xattr", "clone_children"];
    let names = super_options
        .split(',')
        .filter(|name| !noise.contains(name) && !name.starts_with("release_agent="));
    names.collect::<Vec<_>>().join(",")
}

impl Hierarchy {
    pub(crate) fn group(&self, name: &str) -> PathBuf {
        self.point.join(name)
    }

    /// What a process of the node writes itself into. On v2 that is a leaf, so that the node's root may have children with
    /// controllers: cgroups(7), "no internal processes".
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        match self.v1 {
            Some(_) => self.group(name).join("tasks"),
            None => self.group(name).join("init/cgroup.procs"),
        }
    }

    /// Makes the node's group.
    pub(crate) fn make(&self, name: &str) -> Answer<()> {
        let group = self.group(name);
        fs::create_dir(&group).tried(group.display())?;
        match self.v1.as_deref() {
            Some(names) if names.split(',').any(|name| name == "cpuset") => {
                // An empty set takes no process.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let value = fs::read(self.point.join(file)).tried(file)?;
                    fs::write(group.join(file), value).tried(file)?;
                }
            }
            Some(_) => {}
            None => {
                let controllers = fs::read_to_string(self.point.join("cgroup.controllers"))
                    .tried("cgroup.controllers")?;
                for controller in controllers.split_whitespace() {
                    // One by one: what cannot be handed down is missing in the node as well.
                    let _ = fs::write(
                        self.point.join("cgroup.subtree_control"),
                        format!("+{controller}"),
                    );
                }
                fs::create_dir(group.join("init")).tried("init")?;
            }
        }
        Ok(())
    }

    /// Thaws what is frozen, so that it can end.
    pub(crate) fn thaw(&self, name: &str) {
        for group in below(&self.group(name)) {
            let _ = match self.v1 {
                Some(_) => fs::write(group.join("freezer.state"), "THAWED"),
                None => fs::write(group.join("cgroup.freeze"), "0"),
            };
        }
    }

    /// Removes the node's group and all below, once its processes are gone.
    pub(crate) fn remove(&self, name: &str) -> Answer<()> {
        let group = self.group(name);
        let until = Instant::now() + PATIENCE;
        loop {
            let failed = below(&group)
                .into_iter()
                .rev()
                .find_map(|dir| fs::remove_dir(dir).err());
            match failed {
                None => return Ok(()),
                Some(error) if Instant::now() > until => return Err(error).tried(group.display()),
                Some(_) => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// `dir` and all directories below it, parents first.
fn below(dir: &Path) -> Vec<PathBuf> {
    fn collect(dir: PathBuf, found: &mut Vec<PathBuf>) -> io::Result<()> {
        let entries = fs::read_dir(&dir)?;
        found.push(dir);
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                collect(entry.path(), found)?;
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    // What is gone meanwhile need not be found.
    let _ = collect(dir.to_owned(), &mut found);
    found
}
