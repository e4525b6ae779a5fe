//! Why a controller is in no hierarchy that can be used from here.

use std::path::Path;

use crate::hierarchy::{Hierarchies, Version};

/// A controller that the kernel has.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// As on v1.
    name: String,
    /// Of v1; 0: in none.
    hierarchy: u32,
    enabled: bool,
}

/// All that the kernel was built with. None: there is no /proc/cgroups.
pub(crate) fn known() -> Option<Vec<Known>> {
    let text = std::fs::read_to_string("/proc/cgroups").ok()?;
    Some(parse(&text))
}

/// The lines of /proc/cgroups: name, hierarchy, number of groups, enabled.
pub(crate) fn parse(text: &str) -> Vec<Known> {
    let known = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        Some(Known {
            name: fields
                .next()
                .filter(|name| !name.starts_with('#'))?
                .to_owned(),
            hierarchy: fields.next()?.parse().ok()?,
            enabled: fields.nth(1)? == "1",
        })
    };
    text.lines().filter_map(known).collect()
}

/// Where the controller is that has `v1` as its name on v1 and `v2` on v2, and how to get at it; `unified`: where v2 is mounted.
pub(crate) fn why(known: &[Known], (v1, v2): (&str, &str), unified: Option<&Path>) -> String {
    const V1_ALONE: [&str; 5] = ["cpuacct", "devices", "freezer", "net_cls", "net_prio"];
    let unified = unified
        .filter(|_| !V1_ALONE.contains(&v1))
        .map(Path::display);
    match (known.iter().find(|known| known.name == v1), unified) {
        (None, None) => "this kernel is built without it".into(),
        // Linux 6.14 and later do not list what they have for v2 alone.
        (None, Some(mount)) => format!(
            "the v2 group mounted at {mount} was not given it, or this kernel is built without it"
        ),
        (Some(Known { enabled: false, .. }), _) => {
            format!("switched off at boot: cgroup_enable={v1}, or no cgroup_disable={v1}")
        }
        (Some(Known { hierarchy: 0, .. }), Some(mount)) => format!(
            "it is in the v2 hierarchy, of which the group mounted at {mount} was not given it: +{v2} into cgroup.subtree_control above it"
        ),
        (Some(Known { hierarchy: 0, .. }), None) => {
            format!("mount -t cgroup -o {v1} none /sys/fs/cgroup/{v1}")
        }
        (Some(Known { hierarchy, .. }), _) => {
            // All controllers of a hierarchy are mounted together.
            let together = known.iter().filter(|other| other.hierarchy == *hierarchy);
            let together: Vec<&str> = together.map(|other| other.name.as_str()).collect();
            let names = together.join(",");
            format!(
                "it is in the v1 hierarchy {hierarchy}, which is not mounted here: mount -t cgroup -o {names} none DIR"
            )
        }
    }
}

/// The error about the limit `name`, whose controller is in none of `hierarchies`.
pub(crate) fn problem(hierarchies: &Hierarchies, name: &str) -> String {
    let (v1, v2) = (Version::V1.controller(name), Version::V2.controller(name));
    let why = known().map(|known| why(&known, (v1, v2), hierarchies.unified_mount()));
    let why = why.unwrap_or_else(|| "see /proc/self/mountinfo".into());
    format!("{name}: no {v2} controller can be used here ({why})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_elsewhere_is_said_to_be_there() {
        let known = parse(
            "#subsys_name hierarchy num_cgroups enabled\nmemory 0 9 1\ncpu 3 1 1\ncpuacct 3 1 1\nfreezer 0 1 1\nhugetlb 0 1 0\n",
        );
        let v2 = Some(Path::new("/c/unified"));
        for (names, unified, text) in [
            (
                ("memory", "memory"),
                v2,
                "it is in the v2 hierarchy, of which the group mounted at /c/unified was not given it: +memory into cgroup.subtree_control above it",
            ),
            (
                ("memory", "memory"),
                None,
                "mount -t cgroup -o memory none /sys/fs/cgroup/memory",
            ),
            (
                ("cpu", "cpu"),
                v2,
                "it is in the v1 hierarchy 3, which is not mounted here: mount -t cgroup -o cpu,cpuacct none DIR",
            ),
            // which v2 has not
            (
                ("freezer", "freezer"),
                v2,
                "mount -t cgroup -o freezer none /sys/fs/cgroup/freezer",
            ),
            (
                ("hugetlb", "hugetlb"),
                v2,
                "switched off at boot: cgroup_enable=hugetlb, or no cgroup_disable=hugetlb",
            ),
            (("blkio", "io"), None, "this kernel is built without it"),
            (
                ("blkio", "io"),
                v2,
                "the v2 group mounted at /c/unified was not given it, or this kernel is built without it",
            ),
        ] {
            assert_eq!(why(&known, names, unified), text);
        }
    }
}
