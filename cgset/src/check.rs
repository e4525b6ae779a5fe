//! `check`: what cgset can do with the hierarchies of this machine, what is missing and how to get it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use serde_json::json;
use sys::{Check, Checks};

mod facts;
#[cfg(test)]
mod tests;

use crate::cli::CheckArgs;
use crate::hierarchy::Version;
use crate::hints;
use crate::plan::{ALWAYS, MOUNT_HINT, NONE_OF_ALWAYS};
use crate::systemd;
use crate::{TOOL, absent};
use facts::{Facts, Tree};

/// What limits are named after: on v2, and on v1 where it is called otherwise.
const CONTROLLERS: [(&str, &str); 7] = [
    ("memory", "memory"),
    ("cpu", "cpu"),
    ("pids", "pids"),
    ("cpuset", "cpuset"),
    ("io", "blkio"),
    ("hugetlb", "hugetlb"),
    ("rdma", "rdma"),
];

/// `cgset check`
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    judge(Facts::gather()).finish(args.json)
}

/// From what was found to what it means.
fn judge(facts: Facts) -> Checks {
    let mut list = vec![of_proc(&facts), of_hierarchies(&facts)];
    list.extend(CONTROLLERS.map(|(v2, v1)| of_controller(&facts, v2, v1)));
    for tree in &facts.trees {
        list.push(of_groups(tree));
        if tree.version == Version::V2 && tree.is_always() {
            list.push(of_subtree(tree));
        }
    }
    list.push(of_delegation(&facts));
    list.extend(of_features(&facts));
    list.push(facts.run_dir);
    Checks::new(TOOL, list)
}

fn of_proc(facts: &Facts) -> Check {
    let found = match facts.proc {
        true => "mounted on /proc",
        false => "no proc is mounted on /proc",
    };
    Check::new("proc", facts.proc, found)
        .needed(true)
        .hint(Some("mount -t proc proc /proc"))
}

/// Which versions there are, and what they control.
fn of_hierarchies(facts: &Facts) -> Check {
    let of = |version| {
        let trees = facts
            .trees
            .iter()
            .filter(move |tree| tree.version == version);
        trees.map(Tree::key).collect::<Vec<_>>().join(" ")
    };
    let (v1, v2) = (of(Version::V1), of(Version::V2));
    let (found, version) = match (v1.is_empty(), v2.is_empty()) {
        (false, false) => (format!("v1: {v1}; v2: {v2}"), "hybrid"),
        (false, true) if facts.bare_v2.is_some() => {
            (format!("v1: {v1}; v2 without controllers"), "hybrid")
        }
        (false, true) => (format!("v1: {v1}"), "v1"),
        (true, false) => (format!("v2: {v2}"), "v2"),
        (true, true) if facts.bare_v2.is_some() => ("v2 without controllers".into(), "v2"),
        (true, true) => ("none is mounted".into(), "none"),
    };
    let mut controllers = facts.trees.iter().flat_map(|tree| &tree.controllers);
    let ok = controllers.any(|name| ALWAYS.contains(&name.as_str()));
    Check::new("hierarchies", ok, found)
        .needed(true)
        .hint(Some(if facts.trees.is_empty() {
            MOUNT_HINT
        } else {
            NONE_OF_ALWAYS
        }))
        .with("version", version)
}

/// Where limits of `v2` go.
fn of_controller(facts: &Facts, v2: &str, v1: &str) -> Check {
    let name = format!("controller.{v2}");
    let tree = facts.trees.iter().find(|tree| tree.has(v1, v2));
    let Some(tree) = tree else {
        return Check::new(name, false, "in no hierarchy here").hint(why_none(facts, v2, v1));
    };
    let place = tree.mount.display();
    let (found, version) = match tree.version {
        Version::V1 => (format!("v1, {place}"), 1),
        Version::V2 => (format!("v2, {place}"), 2),
    };
    let enabled = tree.version == Version::V1 || tree.given.iter().any(|given| given == v2);
    let delegated = tree.own.as_ref().is_some_and(|(_, answer)| answer.is_ok());
    Check::new(name, true, found)
        .with("version", version)
        .with("mount", tree.mount.to_string_lossy())
        .with("enabled", enabled)
        .with("delegated", delegated)
        .with("owner", tree.owner.clone())
}

/// Why a controller is in no hierarchy.
fn why_none(facts: &Facts, v2: &str, v1: &str) -> Option<String> {
    let none = facts.trees.is_empty() && facts.bare_v2.is_none();
    // To mount one at all comes first, and is said there.
    let known = facts.known.as_ref().filter(|_| !none)?;
    Some(absent::why(known, (v1, v2), unified(facts)))
}

/// Where v2 is mounted, with controllers or without.
fn unified(facts: &Facts) -> Option<&Path> {
    let mut trees = facts.trees.iter();
    let unified = trees.find(|tree| tree.version == Version::V2);
    unified
        .map(|tree| &tree.mount)
        .or(facts.bare_v2.as_ref())
        .map(PathBuf::as_path)
}

/// Whether groups can be made below the mount. Every pod gets one in these hierarchies.
fn of_groups(tree: &Tree) -> Check {
    let place = tree.mount.display();
    let name = match tree.version {
        Version::V1 => format!("groups.{}", tree.key()),
        Version::V2 => "groups.v2".into(),
    };
    let (call, found) = (
        format!("access({place}, W_OK)"),
        format!("can be made in {place}"),
    );
    let answer = match tree.read_only {
        true => Err(Errno::EROFS),
        false => tree.writable,
    };
    Check::tried(name, &call, Some(answer), found)
        .needed(tree.is_always())
        .hint(answer.err().and_then(hints::make))
        .with("mount", tree.mount.to_string_lossy())
        .with("controllers", tree.controllers.clone())
}

/// Whether the mounted v2 group gives its controllers to the groups below, or can be told to.
fn of_subtree(tree: &Tree) -> Check {
    let is_wanted = |name: &&String| ALWAYS.contains(&name.as_str());
    let is_given = |name: &&String| tree.given.contains(name);
    let wanted = tree.controllers.iter().filter(is_wanted);
    let (given, left): (Vec<&String>, Vec<&String>) = wanted.partition(is_given);
    let words = |names: &[&String]| {
        names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let check = |ok, found| Check::new("subtree-control", ok, found);
    let check = if left.is_empty() {
        check(true, format!("given to groups below: {}", words(&given)))
    } else if tree.own_processes {
        check(false, format!("not given to groups below: {}", words(&left))).hint(Some(
            "a v2 group with processes of its own gives controllers to no group below it: move them into one",
        ))
    } else {
        match tree.subtree_writable {
            Ok(()) => check(
                true,
                format!("up will give to groups below: {}", words(&left)),
            ),
            Err(errno) => Check {
                errno: Some(errno),
                ..check(
                    false,
                    format!("not given to groups below: {}", words(&left)),
                )
            }
            .hint(Some(
                "root writes them into cgroup.subtree_control of the mounted group",
            )),
        }
    };
    check.needed(true).with("given", tree.given.clone())
}

/// Whether an ordinary user has been given the group it is in.
fn of_delegation(facts: &Facts) -> Check {
    if facts.is_root && !facts.systemd {
        return Check::new("delegation", true, "root needs none");
    }
    if let Some(group) = &facts.delegated {
        return Check::new("delegation", true, format!("/{group}, by systemd"));
    }
    if facts.is_root {
        let found = "systemd owns the groups, and has given none of them to this process";
        return Check::new("delegation", false, found).hint(Some(systemd::FOR_ROOT));
    }
    let own = facts.trees.iter().filter_map(|tree| {
        let (path, writable) = tree.own.as_ref()?;
        writable.is_ok().then(|| path.display().to_string())
    });
    let own: Vec<String> = own.collect();
    let check = match own.is_empty() {
        true => Check::new(
            "delegation",
            false,
            "the groups this process is in are not ours",
        ),
        false => Check::new("delegation", true, own.join(" ")),
    };
    check
        .hint(Some(
            "systemd-run --user --scope -p Delegate=yes bash on v2; on v1 root chowns a group and mounts it in the place of the top",
        ))
        .with("groups", own)
}

/// Files that came with later kernels, and births in a group.
fn of_features(facts: &Facts) -> Vec<Check> {
    let v1 = |file: &str| facts.v1_files.iter().any(|known| known == file);
    let v2 = |file: &str| {
        let files = facts.v2_files.as_ref()?;
        Some(files.iter().any(|known| known == file))
    };
    // Files of a controller are in the groups that were given it.
    let seen = |file: &str| match file.starts_with("memory.") && v2("memory.current") != Some(true)
    {
        true => None,
        false => v2(file),
    };
    let feature = |name: &str, file: &str, without: &'static str| {
        let found = match seen(file) {
            Some(true) => "on v2",
            Some(false) => "not on v2",
            None => "no v2 group to look into",
        };
        Check::new(name, seen(file) == Some(true), found)
            .hint(seen(file).is_some().then_some(without))
    };
    let or_v1 = |check: Check, file: &str| match v1(file) {
        true if check.ok => Check {
            found: "on v1 and v2".into(),
            ..check
        },
        true => Check::new(check.name, true, "on v1"),
        false => check,
    };
    let since = "Linux 5.7 has it; a container's seccomp filter may hide it";
    let born = match facts.born_in_group {
        // What was given is no group: a kernel that says so would have put the child there.
        Some(Err(Errno::EBADF)) => Check::new("born-in-group", true, "clone3(CLONE_INTO_CGROUP)"),
        answer => {
            Check::tried("born-in-group", "clone3(CLONE_INTO_CGROUP)", answer, "").hint(Some(since))
        }
    };
    let mut list = vec![
        born,
        feature(
            "cgroup.kill",
            "cgroup.kill",
            "Linux 5.14 has it; down --kill ends one by one without",
        ),
        or_v1(
            feature(
                "freezer",
                "cgroup.freeze",
                "Linux 5.2 has it on v2, the controller freezer on v1",
            ),
            "freezer.state",
        ),
        or_v1(
            feature("memory.peak", "memory.peak", "Linux 5.19 has it on v2"),
            "memory.max_usage_in_bytes",
        ),
        or_v1(
            feature(
                "memory.swap",
                "memory.swap.max",
                "the kernel does not count swap: boot it with swapaccount=1",
            ),
            "memory.memsw.limit_in_bytes",
        ),
    ];
    if unified(facts).is_some() {
        let found = match facts.nsdelegate {
            true => "a cgroup namespace is a border of delegation",
            false => "v2 is mounted without it",
        };
        list.push(
            Check::new("nsdelegate", facts.nsdelegate, found)
                .hint(Some(
                    "mount -o remount,nsdelegate of v2, as root of the machine",
                ))
                .with("features", json!(facts.kernel_features)),
        );
    }
    list
}
