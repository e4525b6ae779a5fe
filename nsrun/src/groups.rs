//! The groups of a pod that a process enters.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};
use record::Groups;
use sys::{Call, Mount, SysError, ToErrno, mountinfo};

use crate::error::Error;

/// A group to be entered: a child of the pod's group, which itself holds no process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) dir: PathBuf,
    pub(crate) v2: bool,
}

impl Group {
    /// The groups `child` of the pod, without those that this process is in or below of already.
    ///
    /// # Errors
    /// A directory that is no cgroup.
    pub(crate) fn of(groups: &Groups, child: &str) -> Result<Vec<Self>, Error> {
        let own =
            fs::read_to_string("/proc/self/cgroup").call(|| "open(/proc/self/cgroup)".into())?;
        let mounts = mountinfo("self")?;
        let mut wanted = Vec::new();
        for (controllers, dir) in &groups.dirs {
            let v2 = is_v2(dir)?;
            let controllers = if v2 { "" } else { controllers };
            if !is_within(&own, controllers, &in_hierarchy(&mounts, dir)) {
                wanted.push(Self {
                    dir: dir.join(child),
                    v2,
                });
            }
        }
        Ok(wanted)
    }

    /// The groups that process `pid` is in, without those that this process is in as well.
    ///
    /// # Errors
    /// It is gone; no mount shows one of its groups.
    pub(crate) fn of_process(pid: i32) -> Result<Vec<Self>, Error> {
        let read = |path: String| fs::read_to_string(&path).call(|| format!("open({path})"));
        let own = read("/proc/self/cgroup".into())?;
        let theirs = read(format!("/proc/{pid}/cgroup"))?;
        let mounts = mountinfo("self")?;
        let mut wanted = Vec::new();
        for line in theirs
            .lines()
            .filter(|line| !own.lines().any(|own| own == *line))
        {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let dir = in_mount(&mounts, controllers, Path::new(path)).ok_or_else(|| {
                Error::Failed(format!(
                    "no mount shows the group {path} ({controllers}) of process {pid}"
                ))
            })?;
            wanted.push(Self {
                v2: controllers.is_empty(),
                dir,
            });
        }
        Ok(wanted)
    }

    /// Makes it if it is not there, and opens what it is entered by.
    ///
    /// # Errors
    /// The call that failed.
    pub(crate) fn open(&self) -> Result<OwnedFd, SysError> {
        match fs::create_dir(&self.dir) {
            Ok(()) => self.inherit_cpuset()?,
            Err(error) if error.to_errno() == Errno::EEXIST => {}
            Err(error) => {
                return Err(SysError::new(
                    format!("mkdir({})", self.dir.display()),
                    error,
                ));
            }
        }
        let (path, flags) = if self.v2 {
            (self.dir.clone(), OFlag::O_PATH | OFlag::O_DIRECTORY)
        } else {
            (self.dir.join("tasks"), OFlag::O_WRONLY)
        };
        open(&path, flags | OFlag::O_CLOEXEC, Mode::empty())
            .call(|| format!("open({})", path.display()))
    }

    /// A new cpuset group of v1 has no CPU and no memory node, and takes no process until it has; cpuset(7).
    fn inherit_cpuset(&self) -> Result<(), SysError> {
        for name in ["cpuset.cpus", "cpuset.mems"] {
            let (Some(parent), path) = (self.dir.parent(), self.dir.join(name)) else {
                continue;
            };
            let Ok(value) = fs::read(parent.join(name)) else {
                continue;
            };
            if !self.v2 && fs::read(&path).is_ok_and(|present| present.trim_ascii().is_empty()) {
                fs::write(&path, value).call(|| format!("write({})", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Whether `dir` is a cgroup of v2 rather than v1.
///
/// # Errors
/// It is neither, or not there.
pub(crate) fn is_v2(dir: &Path) -> Result<bool, Error> {
    let found = statfs(dir)
        .call(|| format!("statfs({})", dir.display()))?
        .filesystem_type();
    match found {
        CGROUP2_SUPER_MAGIC => Ok(true),
        CGROUP_SUPER_MAGIC => Ok(false),
        _ => Err(
            record::Error::Record(format!("cgset.groups: {} is no cgroup", dir.display())).into(),
        ),
    }
}

/// The path of the group `dir` in its hierarchy, as /proc/PID/cgroup spells it: both are relative to the root of our cgroup
/// namespace. None: the mount that shows it is not in the table.
fn in_hierarchy(mounts: &[Mount], dir: &Path) -> Option<PathBuf> {
    let shows = |mount: &&Mount| mount.kind.starts_with("cgroup") && dir.starts_with(&mount.point);
    // Of mounts on top of each other the last one is seen.
    let mount = mounts
        .iter()
        .filter(shows)
        .max_by_key(|mount| mount.point.components().count())?;
    Some(mount.root.join(dir.strip_prefix(&mount.point).ok()?))
}

/// Where the group `path`, as /proc/PID/cgroup spells it, is found; the counterpart of [`in_hierarchy`].
fn in_mount(mounts: &[Mount], controllers: &str, path: &Path) -> Option<PathBuf> {
    let is_its = |mount: &&Mount| match controllers {
        "" => mount.kind == "cgroup2",
        _ => {
            let mut options = mount.options.split(',');
            mount.kind == "cgroup"
                && controllers
                    .split(',')
                    .all(|name| options.any(|option| option == name))
        }
    };
    let dir = |mount: &Mount| Some(mount.point.join(path.strip_prefix(&mount.root).ok()?));
    // The one that was mounted last may hide the others.
    mounts.iter().rev().filter(is_its).find_map(dir)
}

/// Whether /proc/PID/cgroup, `own`, says that the process is in the group `path` or below it; cgroups(7).
fn is_within(own: &str, controllers: &str, path: &Option<PathBuf>) -> bool {
    let Some(path) = path else { return false };
    own.lines().any(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(found), Some(place)) = (fields.next(), fields.next()) else {
            return false;
        };
        // v2 has none; controllers that share a hierarchy may be named in any order
        let mut names = found.split(',');
        let same = names.any(|name| controllers.split(',').any(|wanted| wanted == name));
        same && Path::new(place).starts_with(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&str]) -> Vec<Mount> {
        lines
            .iter()
            .filter_map(|line| Mount::parse(line.as_bytes()))
            .collect()
    }

    #[test]
    fn a_group_is_found_in_its_hierarchy_through_any_mount() {
        let dir = Path::new("/sys/fs/cgroup/memory/pod-foo");
        let host = table(&[
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs cgroup rw",
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        ]);
        assert_eq!(in_hierarchy(&host, dir), Some("/pod-foo".into()));
        // A container without a cgroup namespace sees its own group mounted, and whole paths.
        let container =
            table(&["35 31 0:32 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"]);
        assert_eq!(
            in_hierarchy(&container, dir),
            Some("/docker/1/pod-foo".into())
        );
        assert_eq!(
            in_hierarchy(
                &table(&["31 23 0:28 / /sys/fs/cgroup rw - tmpfs cgroup rw"]),
                dir
            ),
            None
        );
    }

    #[test]
    fn the_directory_of_a_process_s_group_is_found() {
        let mounts = table(&[
            "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
            "35 31 0:32 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
            "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd",
            "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        ]);
        let dir = |controllers, path| in_mount(&mounts, controllers, Path::new(path));
        assert_eq!(
            dir("cpu,cpuacct", "/a"),
            Some("/sys/fs/cgroup/cpu,cpuacct/a".into())
        );
        assert_eq!(
            dir("memory", "/docker/1/a"),
            Some("/sys/fs/cgroup/memory/a".into())
        );
        assert_eq!(dir("memory", "/docker/2"), None);
        assert_eq!(
            dir("name=systemd", "/"),
            Some("/sys/fs/cgroup/systemd/".into())
        );
        assert_eq!(dir("", "/x"), Some("/sys/fs/cgroup/unified/x".into()));
        assert_eq!(dir("pids", "/"), None);
    }

    #[test]
    fn a_process_is_found_in_its_group_and_below_only() {
        let within = |own: &str| is_within(own, "memory", &Some("/a/pod-foo".into()));
        assert!(within("4:memory:/a/pod-foo\n"));
        assert!(within("5:pids:/\n4:cpu,memory:/a/pod-foo/app/x\n"));
        for other in [
            "0::/a/pod-foo\n",
            "5:pids:/a/pod-foo\n",
            "4:memory:/a\n",
            "4:memory:/pod-foo\n",
            "4:memory:/a/pod-foobar\n",
            "4:memory:/b/pod-foo\n",
        ] {
            assert!(!within(other), "{other}");
        }
    }

    #[test]
    fn a_directory_that_is_no_cgroup_is_refused() {
        let error = is_v2(Path::new("/proc")).unwrap_err();
        assert_eq!(error.to_string(), "cgset.groups: /proc is no cgroup");
    }
}
