//! `mkbox down`: removes boxes, by their records, by name, or by path through the marker beside them.

use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;

use record::{Down, Known, SourceArgs};

use crate::cli::{self, DownArgs};
use crate::error::Error;
use crate::place::{Marker, Place};
use crate::remove::remove_but;
use crate::state::State;
use crate::{TOOL, print};

/// Runs the verb.
pub(crate) fn down(args: &DownArgs) -> ExitCode {
    let source = match source(&args.source, args.root.as_deref()) {
        Ok(source) => source,
        Err(error) => return print(Err(error)),
    };
    if args.dry_run {
        return record::show(TOOL, &source, |record| {
            let state = record.get(TOOL).map(State::from_json).transpose()?;
            let lines = state.map(|state| would_remove(&state, &args.keep));
            Ok::<_, Error>(lines.unwrap_or_default())
        });
    }
    let mut tell = |line: String| {
        if args.verbose > 0 {
            record::trace(TOOL, line);
        }
    };
    record::down(TOOL, &source, |down| one(down, args, &mut tell))
}

/// Where the record of `root`, a box that was named by its path, is to be had.
///
/// # Errors
/// There is a directory there, and nothing says that it is a box.
pub(crate) fn source(given: &SourceArgs, root: Option<&str>) -> Result<SourceArgs, Error> {
    let Some(root) = root else {
        return Ok(given.clone());
    };
    let place = Place::find(Path::new(root))?;
    if let Some(parent) = place.open_parent()?
        && let Marker::Of(_) = place.read_marker(parent.as_fd())?
    {
        let pod = Some(place.marker_path());
        return Ok(SourceArgs { id: None, pod });
    }
    let id = cli::id_of(root).map_err(Error::Usage)?;
    if place.path.exists() && record::known(TOOL, &id) == Known::Nothing {
        let marker = place.marker_path();
        return Err(Error::Failed(format!(
            "BOX {root}: no box of mkbox, there is no {} beside it",
            marker.display()
        )));
    }
    Ok(SourceArgs {
        id: Some(id),
        pod: None,
    })
}

fn one(down: &mut Down, args: &DownArgs, tell: &mut dyn FnMut(String)) -> Result<(), Error> {
    let root = args.root.as_deref();
    let path = |value: &serde_json::Value| State::from_json(value).map(|state| state.root);
    if let (Some(state), Some(indexed)) = (&down.state, &down.indexed) {
        let (recorded, indexed) = (path(state)?, path(indexed)?);
        if recorded != indexed {
            return Err(Error::Failed(format!(
                "down({}): the record says {recorded}, the index {indexed}: not removed",
                down.id
            )));
        }
    }
    if let Some(root) = root {
        let wanted = Place::find(Path::new(root))?;
        for state in down.state.iter().chain(&down.indexed) {
            let found = path(state)?;
            if Path::new(&found) != wanted.path {
                return Err(Error::Failed(format!(
                    "BOX {root}: the box of {} is at {found}",
                    down.id
                )));
            }
        }
    }
    // The index knows of an interrupted up what the record cannot; the record has the identity that was promised.
    for state in down.state.iter().chain(&down.indexed) {
        remove_but(&down.id, state, &args.keep, tell)?;
    }
    Ok(())
}

fn would_remove(state: &State, keep: &[String]) -> String {
    let mut lines = Vec::new();
    if state.extra.mounted.is_some() {
        lines.push(format!("umount2({})", state.root));
    }
    lines.push(format!("unlink({}/*)", state.root));
    let kept = keep.iter().chain(&state.extra.keep);
    lines.extend(kept.map(|path| format!("kept: {}/{path}", state.root)));
    if let (true, Ok(place)) = (state.extra.has_store, Place::recorded(&state.root)) {
        lines.push(format!(
            "unlink({0}/*)\nrmdir({0})",
            place.store_path().display()
        ));
    }
    if !state.existed {
        lines.push(format!("rmdir({})", state.root));
    }
    lines.extend(
        state
            .made
            .iter()
            .rev()
            .map(|made| format!("rmdir({made}) if it is empty")),
    );
    lines.join("\n") + "\n"
}
