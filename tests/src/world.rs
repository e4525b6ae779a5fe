//! What there is in a node, as lines that can be compared.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mountinfo::mounts;
use crate::settings;

/// Trees whose files are compared; all others of a node are read-only or the kernel's.
const TREES: [&str; 6] = ["/run", "/var/lib", "/home", "/tmp", "/dev", "/dev/shm"];

/// Larger files are compared by size only.
const HASHED_BYTES: u64 = 1 << 20;

/// A set of lines, `kind: thing`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World(BTreeSet<String>);

impl World {
    /// As [`World::lines`] wrote it.
    #[must_use]
    pub fn from_lines(text: &str) -> Self {
        Self(text.lines().map(str::to_owned).collect())
    }

    /// One thing a line.
    #[must_use]
    pub fn lines(&self) -> String {
        self.0
            .iter()
            .fold(String::new(), |text, line| text + line + "\n")
    }

    /// The things of one kind.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{kind}: ");
        self.0
            .iter()
            .filter_map(move |line| line.strip_prefix(&prefix))
    }

    /// Without the things of which `leave_out` says so: for tests that keep something on purpose.
    #[must_use]
    pub fn without(&self, leave_out: impl Fn(&str) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|line| !leave_out(line))
                .cloned()
                .collect(),
        )
    }

    /// Without the notes of the last address that was given in a network, which stay when it is given back.
    #[must_use]
    pub fn without_last_addresses(&self) -> Self {
        self.without(|line| line.contains("/last_reserved_ip."))
    }

    /// What `now` has more (`+`) and less (`-`); None when they are the same.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<String> {
        let mut text = String::new();
        for gone in self.0.difference(&now.0) {
            let _ = writeln!(text, "  - {gone}");
        }
        for new in now.0.difference(&self.0) {
            let _ = writeln!(text, "  + {new}");
        }
        (!text.is_empty()).then_some(text)
    }

    /// Of the node that the caller runs in; the caller and the shells that it was called from are left out.
    ///
    /// # Errors
    /// No /proc, or `ip` is not installed.
    pub fn snapshot() -> io::Result<Self> {
        let mut lines = BTreeSet::new();
        let mut add = |kind: &str, thing: String| {
            lines.insert(format!("{kind}: {thing}"));
        };
        for thing in mount_lines()? {
            add("mount", thing);
        }
        for (kind, command) in [
            ("link", "ip -o link"),
            ("address", "ip -o address"),
            ("route", "ip -o route show table all"),
            ("route", "ip -6 -o route show table all"),
            ("rule", "ip -o rule"),
            // Those that somebody set: what the kernel learns goes with its interface or in time.
            ("neighbour", "ip -o neighbour show nud permanent"),
            ("neighbour", "ip -o neighbour show proxy"),
        ] {
            for thing in output_of(command)? {
                // An address of the link layer is probed for a second before the kernel takes it.
                if !thing.starts_with("local fe80::") {
                    add(kind, thing.replace(" tentative", ""));
                }
            }
        }
        // not installed: then netwire has no nft to speak of either, it speaks netlink
        // In order within a table; which of two was made first says nothing.
        let (mut table, mut number) = (String::new(), 0);
        for thing in output_of("nft list ruleset").unwrap_or_default() {
            number += 1;
            if let Some(name) = thing.strip_prefix("table ") {
                (table, number) = (name.trim_end_matches(" {").to_owned(), 0);
            }
            add("nft", format!("{table} {number:05} {thing}"));
        }
        settings::sysctls(&mut add);
        settings::queues(|command| output_of(command).unwrap_or_default(), &mut add);
        add(
            "hostname",
            fs::read_to_string("/proc/sys/kernel/hostname")?
                .trim_end()
                .into(),
        );
        processes(&mut add)?;
        groups(Path::new("/sys/fs/cgroup"), &mut add);
        let mounted: BTreeSet<PathBuf> = mounts()?.into_iter().map(|mount| mount.point).collect();
        for tree in TREES {
            files(Path::new(tree), &mounted, &mut add);
        }
        Ok(Self(lines))
    }
}

fn mount_lines() -> io::Result<Vec<String>> {
    let line = |mount: crate::mountinfo::Mount| {
        format!(
            "{:?} is {} {:?} of {} ({}; {}; {})",
            mount.point,
            mount.kind,
            mount.root,
            mount.source,
            mount.options,
            mount.super_options,
            mount.propagation
        )
    };
    let mut found: Vec<String> = mounts()?.into_iter().map(line).collect();
    found.sort();
    // Two mounts on the same point may look alike.
    let numbered = found.iter().enumerate().map(|(index, line)| {
        let same = found[..index]
            .iter()
            .filter(|earlier| *earlier == line)
            .count();
        if same == 0 {
            line.clone()
        } else {
            format!("{line}, {same} below")
        }
    });
    Ok(numbered.collect())
}

fn output_of(command: &str) -> io::Result<Vec<String>> {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect())
}

/// All but the init, this process and its ancestors, and what the init has yet to reap; and the namespaces they hold.
fn processes(add: &mut impl FnMut(&str, String)) -> io::Result<()> {
    let callers = callers();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((comm, state, parent)) = comm_state_and_parent(&stat) else {
            continue;
        };
        if callers.contains(&pid) || (parent == 1 && matches!(state, "Z" | "X")) {
            continue;
        }
        // What was left behind to wait for the kernel ends by itself, and holds nothing of a pod.
        if comm == sys::LINGERS {
            continue;
        }
        for kind in ["net", "mnt", "pid", "uts", "ipc", "cgroup", "user", "time"] {
            if let Ok(namespace) = fs::read_link(entry.path().join("ns").join(kind)) {
                add("namespace", namespace.display().to_string());
            }
        }
        if pid == 1 {
            continue;
        }
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        add(
            "process",
            format!("{pid} {comm} ({state}) {}", arguments.trim_end()),
        );
    }
    Ok(())
}

/// This process, its parent, and so on up to the edge of the node.
fn callers() -> Vec<u32> {
    let mut callers = vec![std::process::id()];
    while let Some(&last) = callers.last() {
        let stat = fs::read_to_string(format!("/proc/{last}/stat")).unwrap_or_default();
        match comm_state_and_parent(&stat) {
            Some((_, _, parent)) if parent > 1 => callers.push(parent),
            _ => break,
        }
    }
    callers
}

/// Fields 2 to 4 of proc_pid_stat(5), which one read takes at one instant.
fn comm_state_and_parent(stat: &str) -> Option<(&str, &str, u32)> {
    let (start, end) = (stat.find('(')?, stat.rfind(')')?);
    let mut fields = stat[end + 1..].split_ascii_whitespace();
    Some((
        stat.get(start + 1..end)?,
        fields.next()?,
        fields.next()?.parse().ok()?,
    ))
}

/// Every group of the node below the roots of its hierarchies.
fn groups(dir: &Path, add: &mut impl FnMut(&str, String)) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add("group", entry.path().display().to_string());
            groups(&entry.path(), add);
        }
    }
}

/// What is in `dir`, and below what is no mount.
fn files(dir: &Path, mounted: &BTreeSet<PathBuf>, add: &mut impl FnMut(&str, String)) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        add("file", describe(&path, &meta));
        if meta.is_dir() && !mounted.contains(&path) {
            files(&path, mounted, add);
        }
    }
}

fn describe(path: &Path, meta: &Metadata) -> String {
    let owner = format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid());
    let content = if meta.is_symlink() {
        fs::read_link(path)
            .map(|target| format!("-> {}", target.display()))
            .unwrap_or_default()
    } else if meta.is_file() && meta.len() <= HASHED_BYTES {
        let mut hasher = DefaultHasher::new();
        fs::read(path).unwrap_or_default().hash(&mut hasher);
        format!("{} bytes {:x}", meta.len(), hasher.finish())
    } else if meta.is_file() {
        format!("{} bytes", meta.len())
    } else {
        String::new()
    };
    format!("{} ({owner}) {content}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_both_sides() {
        let before = World::from_lines("mount: a\nlink: lo\n");
        let after = World::from_lines("link: lo\ngroup: g\n");
        assert_eq!(
            before.difference(&after).unwrap(),
            "  - mount: a\n  + group: g\n"
        );
        assert_eq!(before.difference(&before.clone()), None);
        assert_eq!(after.of("group").collect::<Vec<_>>(), ["g"]);
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        assert_eq!(
            comm_state_and_parent("7 (a) b) S 1 7 7 0"),
            Some(("a) b", "S", 1))
        );
    }
}
