//! What `mkbox show` tells of the files in a box: their tree with sizes, and why they are there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde_json::Value;

use crate::error::Error;
use crate::manifest::Entry;
use crate::root::Root;
use crate::show::human;
use crate::text::{short, visible};
use crate::walk::walk;

/// Directories below each other that the short tree shows.
const SHORT: usize = 3;

/// One line of a tree.
#[derive(Debug, Default)]
struct Branch {
    is_directory: bool,
    bytes: u64,
    files: u64,
    /// The target of a link, or what is odd about it.
    note: String,
}

/// The tree of a box, with what each directory holds in all; without files and what is deep unless it is to be `whole`.
///
/// # Errors
/// A directory cannot be read.
pub(crate) fn tree(root: &Root, whole: bool) -> Result<String, Error> {
    let mut branches: BTreeMap<PathBuf, Branch> = BTreeMap::new();
    walk(root.readable()?, root.shown(), |item| {
        let is_directory = item.kind() == FileType::Directory;
        let bytes = if item.kind() == FileType::RegularFile {
            item.bytes()
        } else {
            0
        };
        if !is_directory {
            for above in item.path.ancestors().skip(1) {
                let above = branches.entry(above.to_owned()).or_default();
                above.bytes += bytes;
                above.files += 1;
            }
        }
        let depth = item.path.components().count() - 1;
        if !whole && (depth > SHORT || !is_directory && item.kind() != FileType::Symlink) {
            return Ok::<_, Error>(());
        }
        let branch = branches.entry(item.path.to_owned()).or_default();
        branch.is_directory = is_directory;
        branch.note = match item.kind() {
            FileType::Symlink => format!("-> {}", short(&item.target()?)),
            FileType::Directory if item.is_mount => "(something is mounted here)".into(),
            _ => String::new(),
        };
        if !is_directory {
            branch.bytes = bytes;
        }
        Ok(())
    })?;
    branches.remove(Path::new("/"));
    branches.retain(|path, _| whole || path.components().count() - 1 <= SHORT);
    let mut text = String::new();
    for (path, branch) in &branches {
        let depth = path.components().count() - 2;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name: String = name.chars().flat_map(visible).collect();
        let slash = if branch.is_directory { "/" } else { "" };
        let label = format!("{}{name}{slash}", "  ".repeat(depth));
        let what = match branch.is_directory {
            true => format!("{:>9}  {} files", human(branch.bytes), branch.files),
            false if branch.note.is_empty() => format!("{:>9}", human(branch.bytes)),
            false => String::new(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}",
            format!("{label:<42} {what}{}", branch.note).trim_end()
        );
    }
    Ok(text)
}

/// The chain of reasons for `wanted`, a path in the box or the name of a file: each file that is called so.
///
/// # Errors
/// The manifest has no such file.
pub(crate) fn why(entries: &[Entry], wanted: &str, as_json: bool) -> Result<String, Error> {
    let is_it = |entry: &&Entry| match wanted.contains('/') {
        true => entry.path == Path::new(wanted),
        false => entry.path.file_name().is_some_and(|name| name == wanted),
    };
    let found: Vec<&Entry> = entries.iter().filter(is_it).collect();
    if found.is_empty() {
        return Err(Error::Failed(format!(
            "--why {wanted}: no such file was put into the box"
        )));
    }
    let mut text = String::new();
    for entry in found {
        let chain = chain(entries, entry);
        if as_json {
            let values: Vec<Value> = chain.iter().map(|entry| entry.to_json()).collect();
            text += &format!("{}\n", Value::from(values));
            continue;
        }
        text += &format!("{}\n", short(&entry.path));
        for link in chain {
            text += &format!("  {}\n", link.why.say().0);
        }
    }
    Ok(text)
}

/// `entry` and the files that are its reason, one behind the other.
fn chain<'a>(entries: &'a [Entry], entry: &'a Entry) -> Vec<&'a Entry> {
    let mut chain = vec![entry];
    while let Some(by) = chain.last().and_then(|last| last.why.say().1.cloned()) {
        let next = entries.iter().find(|entry| entry.path == by);
        // A manifest that somebody wrote could go round.
        match next.filter(|next| !chain.contains(next)) {
            Some(next) => chain.push(next),
            None => break,
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boxfile::Why;

    #[test]
    fn a_chain_ends_at_what_was_asked_for_and_never_goes_round() {
        let entry = |path: &str, why: Why| Entry::link(Path::new(path), Path::new(""), why);
        let entries = [
            entry("/bin/ls", Why::Asked("ls".into())),
            entry("/lib/a", Why::Needed("/bin/ls".into())),
            entry("/lib/b", Why::Needed("/lib/a".into())),
            entry("/x", Why::Needed("/y".into())),
            entry("/y", Why::Needed("/x".into())),
        ];
        assert_eq!(
            why(&entries, "b", false).unwrap(),
            "/lib/b\n  needed by /lib/a\n  needed by /bin/ls\n  asked for: --copy ls\n"
        );
        assert_eq!(why(&entries, "/x", false).unwrap().lines().count(), 3);
        assert_eq!(
            why(&entries, "/bin/no", false).unwrap_err().to_string(),
            "--why /bin/no: no such file was put into the box"
        );
        assert!(
            why(&entries, "ls", true)
                .unwrap()
                .starts_with(r#"[{"path":"/bin/ls""#)
        );
    }
}
