//! Where a process is.

use sys::Call as _;

use crate::error::Error;
use crate::hierarchy::{Hierarchy, Version};

/// In which group a process is, by its /proc/PID/cgroup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Membership(String);

impl Membership {
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Of process `pid` (or `self`). `ENOENT`: there is none.
    pub(crate) fn of(pid: impl std::fmt::Display) -> Result<Self, Error> {
        let path = format!("/proc/{pid}/cgroup");
        let text = std::fs::read(&path).call(|| format!("open({path})"))?;
        Ok(Self::parse(&String::from_utf8_lossy(&text)))
    }

    /// The group in `hierarchy`, as /proc/PID/cgroup shows it.
    pub(crate) fn group_in(&self, hierarchy: &Hierarchy) -> Option<&str> {
        self.0.lines().find_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let matches = match hierarchy.version {
                Version::V1 => controllers
                    .split(',')
                    .any(|name| name == hierarchy.controllers[0]),
                Version::V2 => number == "0" && controllers.is_empty(),
            };
            matches.then_some(path)
        })
    }

    /// The group in `hierarchy` as a path below its mount, if it can be seen there.
    pub(crate) fn below_mount_of(&self, hierarchy: &Hierarchy) -> Option<&str> {
        let group = self.group_in(hierarchy)?;
        let below = group.strip_prefix(hierarchy.root.trim_end_matches('/'))?;
        let is_inside = below.is_empty() || below.starts_with('/');
        let below = below.trim_start_matches('/');
        (is_inside && !below.split('/').any(|part| part == "..")).then_some(below)
    }

    /// Whether the process is in `group` (a path below the mount) or below it.
    pub(crate) fn is_within(&self, hierarchy: &Hierarchy, group: &str) -> bool {
        let wanted = hierarchy.proc_path(group);
        let inside = |path: &str| {
            path.strip_prefix(&wanted)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.group_in(hierarchy).is_some_and(inside)
    }
}
