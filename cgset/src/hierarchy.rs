//! Which cgroup hierarchies there are, and where: per controller, from /proc/self/mountinfo and /proc/self/cgroup.
//!
//! No path is taken for granted: v1, v2 and hybrid, controllers mounted together (cpu,cpuacct), a cgroup
//! namespace, a container's bind mount and a mount that another one covers are all told apart by what the kernel lists.

use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags, major, minor};
use sys::{Call, Mount};

use crate::error::Error;
use crate::membership::Membership;

/// Which interface a hierarchy has; cgroups(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// One hierarchy per controller, or per set of controllers.
    V1,
    /// The unified hierarchy.
    V2,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) version: Version,
    /// As the kernel orders them: `["cpu", "cpuacct"]`.
    pub(crate) controllers: Vec<String>,
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// What of it is mounted, in the terms of /proc/PID/cgroup: "/", or a container's group.
    pub(crate) root: String,
    pub(crate) read_only: bool,
    device: String,
}

impl Hierarchy {
    /// The key under which a record names this hierarchy's group: `cpu,cpuacct`.
    pub(crate) fn key(&self) -> String {
        self.controllers.join(",")
    }

    /// Whether `st_dev` of stat(2) is that of this hierarchy.
    pub(crate) fn is_of_device(&self, device: u64) -> bool {
        self.device == format!("{}:{}", major(device), minor(device))
    }

    /// The path that /proc/PID/cgroup shows for `group` (`pod-foo/app`), a path below the mount.
    pub(crate) fn proc_path(&self, group: &str) -> String {
        format!("{}/{group}", self.root.trim_end_matches('/'))
    }
}

/// Every hierarchy that can be used from here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hierarchies {
    list: Vec<Hierarchy>,
    /// Where v2 is mounted without a controller.
    bare_v2: Option<PathBuf>,
    own: Membership,
}

impl Hierarchies {
    /// Of this process.
    pub(crate) fn detect() -> Result<Self, Error> {
        let mountinfo = read(Path::new("/proc/self/mountinfo"))?;
        let own = read(Path::new("/proc/self/cgroup"))?;
        Ok(Self::parse(
            &mountinfo,
            &String::from_utf8_lossy(&own),
            |mount| {
                let text = read(&mount.join("cgroup.controllers")).unwrap_or_default();
                String::from_utf8_lossy(&text).into_owned()
            },
        ))
    }

    /// From the two files' text; `v2_controllers` reads `cgroup.controllers` of a v2 mount.
    pub(crate) fn parse(
        mountinfo: &[u8],
        own: &str,
        v2_controllers: impl Fn(&Path) -> String,
    ) -> Self {
        let lines = mountinfo.split(|&byte| byte == b'\n');
        let mounts: Vec<Mount> = lines.filter_map(Mount::parse).collect();
        let v1_controllers: Vec<&str> = own.lines().flat_map(v1_controllers_of).collect();
        let mut found: Vec<Hierarchy> = Vec::new();
        let mut bare_v2 = None;
        for mount in mounts
            .iter()
            .filter(|mount| is_cgroup(mount) && is_visible(mount, &mounts))
        {
            let (version, controllers) = match &mount.kind[..] {
                "cgroup" => (Version::V1, options_among(mount, &v1_controllers)),
                _ => (Version::V2, words(&v2_controllers(&mount.point))),
            };
            if controllers.is_empty() {
                // name=systemd, or a v2 tree whose controllers are all on v1
                bare_v2 = bare_v2.or((version == Version::V2).then(|| mount.point.clone()));
                continue;
            }
            let hierarchy = Hierarchy {
                version,
                controllers,
                mount: mount.point.clone(),
                root: mount.root.to_string_lossy().into_owned(),
                read_only: is_read_only(mount),
                device: mount.device.clone(),
            };
            match found
                .iter_mut()
                .find(|other| other.device == hierarchy.device)
            {
                Some(other) if better(&hierarchy, other) => *other = hierarchy,
                Some(_) => {}
                None => found.push(hierarchy),
            }
        }
        let own = Membership::parse(own);
        Self {
            list: found,
            bare_v2,
            own,
        }
    }

    /// Without a freezer that is of no use here: it is a hierarchy for nothing but that, and a pod can do without.
    pub(crate) fn without_freezer_unless(mut self, is_usable: impl Fn(&Hierarchy) -> bool) -> Self {
        self.list
            .retain(|hierarchy| hierarchy.controllers != ["freezer"] || is_usable(hierarchy));
        self
    }

    /// The hierarchy that has `controller` (as this kernel calls it there: `blkio` on v1, `io` on v2).
    pub(crate) fn of(&self, controller: &str) -> Option<&Hierarchy> {
        self.list
            .iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }

    /// The unified hierarchy, if it has controllers here.
    pub(crate) fn unified(&self) -> Option<&Hierarchy> {
        self.list
            .iter()
            .find(|hierarchy| hierarchy.version == Version::V2)
    }

    /// Where a v2 hierarchy is mounted that has no controllers here.
    pub(crate) fn bare_v2(&self) -> Option<&Path> {
        self.bare_v2.as_deref()
    }

    /// Where v2 is mounted, with controllers or without.
    pub(crate) fn unified_mount(&self) -> Option<&Path> {
        let unified = self.unified().map(|hierarchy| hierarchy.mount.as_path());
        unified.or(self.bare_v2())
    }

    /// Where this process was when they were found.
    pub(crate) fn own(&self) -> &Membership {
        &self.own
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Hierarchy> {
        self.list.iter()
    }
}

/// Of two mounts of one hierarchy: writable before read-only, the whole before a part, the shorter path.
fn better(new: &Hierarchy, old: &Hierarchy) -> bool {
    let rank = |h: &Hierarchy| {
        (
            h.read_only,
            h.root != "/",
            h.root.len(),
            h.mount.as_os_str().len(),
        )
    };
    rank(new) < rank(old)
}

/// The whole of a small file, in as few system calls as there can be: std asks for a size, which these files do not have.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let call = || format!("open({})", path.display());
    let file = rustix::fs::open(path, flags, Mode::empty()).call(call)?;
    // at once: they are put together anew for each read(2)
    let mut text = Vec::with_capacity(16 << 10);
    loop {
        let before = text.len();
        text.reserve(4 << 10);
        let read = rustix::io::read(&file, spare_capacity(&mut text));
        match read {
            Err(rustix::io::Errno::INTR) => {}
            answer => {
                answer.call(|| format!("read({})", path.display()))?;
                if text.len() == before {
                    return Ok(text);
                }
            }
        }
    }
}

fn is_cgroup(mount: &Mount) -> bool {
    matches!(&mount.kind[..], "cgroup" | "cgroup2")
}

fn is_read_only(mount: &Mount) -> bool {
    let mut options = mount.flags.split(',').chain(mount.options.split(','));
    options.any(|option| option == "ro")
}

fn options_among(mount: &Mount, known: &[&str]) -> Vec<String> {
    let options = mount
        .options
        .split(',')
        .filter(|option| known.contains(option));
    options.map(str::to_owned).collect()
}

/// Whether its path leads to it: no other mount lies over it or over a directory on the way.
fn is_visible(mount: &Mount, all: &[Mount]) -> bool {
    // From the mount itself to the root; each with the place, seen from it, that the way leads on to.
    let (mut link, mut way) = (mount, &mount.point);
    for _ in 0..all.len() {
        // On the way itself lies the next link; on the mount itself whatever is there hides it.
        let covers = |other: &Mount| {
            other.parent == link.id
                && other.id != link.id
                && way.starts_with(&other.point)
                && (link.id == mount.id || other.point != *way)
        };
        if all.iter().any(covers) {
            return false;
        }
        let parent = all
            .iter()
            .find(|other| other.id == link.parent && other.id != link.id);
        let Some(parent) = parent else { break };
        (link, way) = (parent, &link.point);
    }
    true
}

/// The controllers of one line of /proc/self/cgroup that are on v1; a named hierarchy has none.
fn v1_controllers_of(line: &str) -> impl Iterator<Item = &str> {
    let controllers = line.split(':').nth(1).unwrap_or_default();
    controllers
        .split(',')
        .filter(|name| !name.is_empty() && !name.starts_with("name="))
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
";
    const HYBRID_OWN: &str =
        "4:memory:/user.slice\n3:cpu,cpuacct:/\n2:pids:/\n1:name=systemd:/\n0::/\n";

    fn parse(mountinfo: &str, own: &str, v2: &str) -> Hierarchies {
        Hierarchies::parse(mountinfo.as_bytes(), own, |_| v2.to_owned())
    }

    fn mount_of<'a>(found: &'a Hierarchies, controller: &str) -> Option<&'a str> {
        found
            .of(controller)
            .and_then(|hierarchy| hierarchy.mount.to_str())
    }

    #[test]
    fn hybrid_is_told_apart_per_controller() {
        let found = parse(HYBRID, HYBRID_OWN, "hugetlb rdma\n");
        assert_eq!(mount_of(&found, "cpu"), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(found.of("cpuacct"), found.of("cpu"));
        assert_eq!(found.of("cpu").unwrap().key(), "cpu,cpuacct");
        assert_eq!(found.of("memory").unwrap().version, Version::V1);
        assert_eq!(found.of("hugetlb").unwrap().version, Version::V2);
        // pids has a hierarchy that is mounted elsewhere, not here
        assert_eq!(found.of("pids"), None);
        assert_eq!(found.iter().count(), 3);
    }

    #[test]
    fn a_pure_v2_machine_has_one_hierarchy() {
        let text = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n";
        let found = parse(
            text,
            "0::/user.slice/x.scope\n",
            "cpuset cpu io memory pids\n",
        );
        assert_eq!(mount_of(&found, "memory"), Some("/sys/fs/cgroup"));
        assert_eq!(found.unified().unwrap().key(), "cpuset,cpu,io,memory,pids");
        assert_eq!(found.of("cpuacct"), None);
    }

    #[test]
    fn the_mount_point_may_be_anywhere_and_have_blanks() {
        let text = "9 1 0:32 / /tmp/my\\040groups rw - cgroup none rw,memory\n";
        let found = parse(text, "4:memory:/\n", "");
        assert_eq!(mount_of(&found, "memory"), Some("/tmp/my groups"));
    }

    #[test]
    fn a_covered_mount_is_not_used() {
        let covered = format!("{HYBRID}50 41 0:50 / /sys/fs/cgroup/unified rw - tmpfs none rw\n");
        let found = parse(&covered, HYBRID_OWN, "hugetlb\n");
        assert_eq!(found.of("hugetlb"), None);
        assert!(found.of("memory").is_some());
        // a mount over the directory that holds all of them
        let hidden = format!("{HYBRID}50 31 0:50 / /sys/fs/cgroup rw - tmpfs none rw\n");
        assert_eq!(parse(&hidden, HYBRID_OWN, "hugetlb\n").iter().count(), 0);
        // and one further up
        let hidden = format!(
            "23 1 0:22 / /sys rw - sysfs sysfs rw\n{HYBRID}50 23 0:50 / /sys/fs rw - tmpfs none rw\n"
        );
        assert_eq!(parse(&hidden, HYBRID_OWN, "hugetlb\n").iter().count(), 0);
        // a mount somewhere else covers nothing
        let beside = format!("{HYBRID}50 31 0:50 / /sys/fs/cgroup/unified2 rw - tmpfs none rw\n");
        assert_eq!(parse(&beside, HYBRID_OWN, "hugetlb\n").iter().count(), 3);
    }

    #[test]
    fn of_two_mounts_the_writable_whole_one_is_taken() {
        let text = "\
1 0 0:32 / /ro ro - cgroup cgroup rw,memory
2 0 0:32 /docker/abc /part rw - cgroup cgroup rw,memory
3 0 0:32 / /a/longer/whole rw - cgroup cgroup rw,memory
4 0 0:32 / /whole rw - cgroup cgroup rw,memory
";
        assert_eq!(
            mount_of(&parse(text, "4:memory:/\n", ""), "memory"),
            Some("/whole")
        );
    }

    #[test]
    fn a_containers_part_of_a_hierarchy_keeps_the_kernels_path() {
        let text = "2 0 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = parse(text, "4:memory:/docker/abc\n", "");
        let memory = found.of("memory").unwrap();
        assert_eq!(memory.proc_path("pod-foo/app"), "/docker/abc/pod-foo/app");
        let inside = Membership::parse("4:memory:/docker/abc/pod-foo/app/x\n");
        assert!(inside.is_within(memory, "pod-foo") && inside.is_within(memory, "pod-foo/app"));
        assert!(!inside.is_within(memory, "pod-foo/ap") && !inside.is_within(memory, "pod-bar"));
        assert!(!Membership::parse("4:memory:/docker/abc\n").is_within(memory, "pod-foo"));
    }

    #[test]
    fn membership_is_read_per_hierarchy() {
        let found = parse(HYBRID, HYBRID_OWN, "hugetlb\n");
        let own = Membership::parse("4:memory:/a:b\n3:cpu,cpuacct:/c\n0::/u\n");
        assert_eq!(own.group_in(found.of("memory").unwrap()), Some("/a:b"));
        assert_eq!(own.group_in(found.of("cpuacct").unwrap()), Some("/c"));
        assert_eq!(own.group_in(found.of("hugetlb").unwrap()), Some("/u"));
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        let found = parse(
            "\nnonsense\n1 2 3\n1 2 0:1 / /x rw - cgroup\n",
            "x\n:\n::\n",
            "memory",
        );
        assert_eq!(found.iter().count(), 0);
    }
}
