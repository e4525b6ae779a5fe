//! What is found of the hierarchies, without a word of what it means. Nothing is made and nothing written.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use sys::{Answer, Check, ToErrno, in_child};

use crate::absent::{self, Known};
use crate::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::membership::Membership;
use crate::plan::ALWAYS;
use crate::systemd;

/// Directories of a hierarchy that are looked into for files of later kernels.
const LOOKED_INTO: usize = 32;

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) proc: bool,
    pub(crate) is_root: bool,
    /// It is the init, and so the owner of the tree.
    pub(crate) systemd: bool,
    /// The group that it gave this process.
    pub(crate) delegated: Option<String>,
    pub(crate) trees: Vec<Tree>,
    /// Where a v2 hierarchy is mounted whose controllers are all elsewhere.
    pub(crate) bare_v2: Option<PathBuf>,
    pub(crate) nsdelegate: bool,
    /// Of /proc/cgroups; None: there is none.
    pub(crate) known: Option<Vec<Known>>,
    /// Names of files at the top of v1 hierarchies.
    pub(crate) v1_files: Vec<String>,
    /// Names of files in v2 groups below the top, which lacks most. None: there is no such group to be seen.
    pub(crate) v2_files: Option<Vec<String>>,
    /// /sys/kernel/cgroup/features
    pub(crate) kernel_features: Vec<String>,
    /// Of a birth in what is no group.
    pub(crate) born_in_group: Option<Answer>,
    pub(crate) run_dir: Check,
}

/// One mounted hierarchy with controllers.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) version: Version,
    pub(crate) controllers: Vec<String>,
    pub(crate) mount: PathBuf,
    pub(crate) read_only: bool,
    /// `UID:GID` of the top, as far as it can be seen.
    pub(crate) owner: Option<String>,
    /// Whether this user may make a group at the top.
    pub(crate) writable: Answer,
    /// v2: controllers that groups below have.
    pub(crate) given: Vec<String>,
    pub(crate) subtree_writable: Answer,
    /// v2: the top is no root and has processes, so it can give nothing.
    pub(crate) own_processes: bool,
    /// The group this process is in, as a directory, and whether this user may make groups there.
    pub(crate) own: Option<(PathBuf, Answer)>,
}

impl Tree {
    pub(crate) fn key(&self) -> String {
        self.controllers.join(",")
    }

    pub(crate) fn has(&self, v1: &str, v2: &str) -> bool {
        let name = match self.version {
            Version::V1 => v1,
            Version::V2 => v2,
        };
        self.controllers.iter().any(|controller| controller == name)
    }

    /// Every pod gets a group in it.
    pub(crate) fn is_always(&self) -> bool {
        self.controllers
            .iter()
            .any(|name| ALWAYS.contains(&name.as_str()))
    }

    fn of(hierarchy: &Hierarchy, membership: Option<&Membership>) -> Self {
        let mount = hierarchy.mount.clone();
        let lines = |name: &str| words(&mount.join(name));
        let is_v2 = hierarchy.version == Version::V2;
        // The root of the machine's hierarchy has no cgroup.type, and may give controllers whatever is in it.
        let has_processes =
            || mount.join("cgroup.type").exists() && !lines("cgroup.procs").is_empty();
        Self {
            version: hierarchy.version,
            controllers: hierarchy.controllers.clone(),
            read_only: hierarchy.read_only,
            owner: fs::metadata(&mount)
                .ok()
                .map(|top| format!("{}:{}", top.uid(), top.gid())),
            writable: writable(&mount),
            given: lines("cgroup.subtree_control"),
            subtree_writable: writable(&mount.join("cgroup.subtree_control")),
            own_processes: is_v2 && has_processes(),
            own: membership
                .and_then(|membership| own_group(hierarchy, membership))
                .map(|path| {
                    let answer = writable(&path);
                    (path, answer)
                }),
            mount,
        }
    }
}

impl Facts {
    /// Of this process on this machine.
    pub(crate) fn gather() -> Self {
        let hierarchies = Hierarchies::detect();
        let proc = hierarchies.is_ok();
        let hierarchies = hierarchies.unwrap_or_default();
        let membership = Membership::of("self").ok();
        let mounts = sys::mountinfo("self").unwrap_or_default();
        let v2: Vec<_> = mounts
            .iter()
            .filter(|mount| mount.kind == "cgroup2")
            .collect();
        let trees: Vec<Tree> = hierarchies
            .iter()
            .map(|hierarchy| Tree::of(hierarchy, membership.as_ref()))
            .collect();
        let tops = trees.iter().filter(|tree| tree.version == Version::V1);
        let born = in_child(|tell| {
            let born = fs::File::open("/").map_err(|error| error.to_errno());
            tell.tell(
                "born",
                born.and_then(|root| sys::clone3_into(Some(root.as_fd()))),
            );
        });
        let has_nsdelegate =
            |options: &str| options.split(',').any(|option| option == "nsdelegate");
        Self {
            proc,
            is_root: geteuid().is_root(),
            systemd: systemd::is_init(),
            delegated: systemd::delegated(&hierarchies).ok().flatten(),
            bare_v2: hierarchies.bare_v2().map(Path::to_owned),
            nsdelegate: v2.iter().any(|mount| has_nsdelegate(&mount.options)),
            known: absent::known(),
            v1_files: tops.flat_map(v1_files).collect(),
            v2_files: v2.first().and_then(|mount| files_below(&mount.point)),
            kernel_features: words(Path::new("/sys/kernel/cgroup/features")),
            born_in_group: born.of("born"),
            run_dir: record::check_run_dir(),
            trees,
        }
    }
}

/// Of the freezer every group but the top has files.
fn v1_files(tree: &Tree) -> Vec<String> {
    let mut files = names(&tree.mount);
    if tree.controllers.iter().any(|name| name == "freezer") {
        files.push("freezer.state".into());
    }
    files
}

/// Names of the files in the groups directly below `top`.
fn files_below(top: &Path) -> Option<Vec<String>> {
    let entries = fs::read_dir(top).ok()?.flatten();
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut groups: Vec<PathBuf> = groups.map(|entry| entry.path()).take(LOOKED_INTO).collect();
    if top.join("cgroup.type").exists() {
        groups.push(top.to_owned());
    }
    (!groups.is_empty()).then(|| groups.iter().flat_map(|group| names(group)).collect())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
    entries.filter_map(name).collect()
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// As a directory, if it lies below what is mounted.
fn own_group(hierarchy: &Hierarchy, membership: &Membership) -> Option<PathBuf> {
    let below = membership.below_mount_of(hierarchy)?;
    Some(hierarchy.mount.join(below))
}

fn writable(path: &Path) -> Answer {
    accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).map_err(|errno| errno.to_errno())
}
