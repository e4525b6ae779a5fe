//! `mkbox show`: what is in a box, what will be mounted there, who runs in it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use record::{Mount, Record};
use serde_json::{Value, json};

use crate::busy::{self, Process};
use crate::cli::ShowArgs;
use crate::error::Error;
use crate::measure::{Size, measure};
use crate::place::Place;
use crate::root::Root;
use crate::state::State;
use crate::{TOOL, contents, down, manifest, mounts, print, verify};

/// Runs the verb.
pub(crate) fn show(args: &ShowArgs) -> ExitCode {
    match down::source(&args.source, args.root.as_deref()) {
        Ok(source) => record::show(TOOL, &source, |record| one(record, args)),
        Err(error) => print(Err(error)),
    }
}

/// What exists of a box.
struct Now {
    size: Size,
    processes: Vec<Process>,
}

fn one(record: &Record, args: &ShowArgs) -> Result<String, Error> {
    if args.tree {
        return contents::tree(&verify::open(record, args.root.as_deref())?.1, true);
    }
    if args.manifest || args.why.is_some() {
        return of_manifest(record, args);
    }
    let id = record.id().unwrap_or_default();
    let Some(state) = record.get(TOOL).map(State::from_json).transpose()? else {
        return Err(Error::Failed(format!("{id}: the record has no box")));
    };
    let now = look(&state)?;
    let declared = mounts::read(record)?;
    if args.json {
        return Ok(format!(
            "{}\n",
            as_json(id, &state, now.as_ref(), &declared)
        ));
    }
    let mut text = as_table(id, &state, now.as_ref(), &declared);
    if now.is_some() {
        let root = verify::open(record, args.root.as_deref())?.1;
        match contents::tree(&root, false) {
            Ok(tree) => text += &tree,
            // What a process made in the box does not keep the rest from being shown.
            Err(Error::Sys(error)) if error.errno == Errno::ELOOP => {
                text += "a tree deeper than 256 directories\n";
            }
            Err(error) => return Err(error),
        }
    }
    Ok(text)
}

/// `--manifest` and `--why`
fn of_manifest(record: &Record, args: &ShowArgs) -> Result<String, Error> {
    let (state, root) = verify::open(record, args.root.as_deref())?;
    let mut entries = verify::of(&state)?;
    if let Some(wanted) = &args.why {
        return contents::why(&entries, wanted, args.json);
    }
    if args.sha256 {
        verify::add_sums(&root, &mut entries)?;
    }
    Ok(manifest::to_text(&entries))
}

fn as_json(id: &str, state: &State, now: Option<&Now>, declared: &[Mount]) -> Value {
    let mounts: Vec<Value> = declared.iter().map(mounts::to_json).collect();
    let processes = |now: &Now| {
        let processes = now.processes.iter();
        processes
            .map(|process| json!({"pid": process.pid, "name": process.name}))
            .collect::<Vec<_>>()
    };
    json!({
        "id": id,
        "path": state.root,
        "exists": now.is_some(),
        "copied": state.filled.map(|(files, bytes)| json!({"files": files, "bytes": bytes})),
        "now": now.map(|now| json!({"files": now.size.files, "bytes": now.size.bytes})),
        "mounts": mounts,
        "processes": now.map(processes),
    })
}

fn as_table(id: &str, state: &State, now: Option<&Now>, declared: &[Mount]) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key:<10}{value}");
    };
    let size = |files: u64, bytes: u64| format!("{files} files, {}", human(bytes));
    line("id", id);
    line("path", &state.root);
    match state.filled {
        Some((files, bytes)) => line("copied", &size(files, bytes)),
        None => line("copied", "not finished"),
    }
    match now {
        Some(now) => line("now", &size(now.size.files, now.size.bytes)),
        None => line("now", "gone"),
    }
    // Only the first line of a list has its name.
    for (at, mount) in declared.iter().enumerate() {
        let key = if at == 0 { "mounts" } else { "" };
        line(key, &mounts::describe(mount));
    }
    for (at, process) in now.iter().flat_map(|now| &now.processes).enumerate() {
        let key = if at == 0 { "runs" } else { "" };
        line(key, &format!("{} {}", process.pid, process.name));
    }
    text
}

/// The box itself; None when it is not there or is not the one that was made.
fn look(state: &State) -> Result<Option<Now>, Error> {
    let place = Place::recorded(&state.root)?;
    let root = match Root::open(&place.path) {
        Ok(root) => root,
        Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let identity = root.identity()?;
    // Layers that are mounted hide the directory they lie on.
    let may_be_hidden = state.extra.mounted.is_some() && state.extra.overlay.is_some();
    if state.identity.is_some_and(|made| made != identity) && !may_be_hidden {
        return Ok(None);
    }
    // The files of an overlay lie beside it.
    let files = match state.extra.overlay {
        Some(_) => verify::filled(state, &place)?,
        None => root,
    };
    let layers_of = state.extra.overlay.as_ref().map(|_| place.path.as_path());
    let size = measure(files.readable()?, Path::new(&state.root))?;
    Ok(Some(Now {
        size,
        processes: busy::processes(identity, layers_of)?,
    }))
}

/// Bytes as people read them: powers of 1000, as disks are sold.
pub(crate) fn human(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut at = 0;
    while value >= 1000.0 && at < units.len() - 1 {
        value /= 1000.0;
        at += 1;
    }
    if at == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", units[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_digit_behind_the_point() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(999), "999 B");
        assert_eq!(human(27_030_000), "27.0 MB");
        assert_eq!(human(u64::MAX), "18446744.1 TB");
    }
}
