//! Undoes what `up` made: never more than that, however much of it there is, and whoever has been there since.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use record::{Id, Record};
use serde_json::Value;

use crate::assemble::Assembly;
use crate::error::Error;
use crate::place::{Marker, Place};
use crate::root::{Root, remove_if_empty};
use crate::state::State;
use crate::{busy, keep, overlay, tree, within};

/// Removes the box that `state`, the value of the key `mkbox` in a record or index, says was made for `id`.
///
/// The order makes every prefix of it something that the next call finishes: contents, box, marker, directories above.
/// `tell` gets a line for each step.
///
/// # Errors
/// The box is not ours, is in use, or something in it cannot be removed. What is removed stays removed.
pub(crate) fn remove(id: &Id, state: &Value, tell: &mut dyn FnMut(String)) -> Result<(), Error> {
    remove_but(id, state, &[], tell)
}

/// The same, and leaves what lies at `keep`, paths in the box, where it is.
///
/// # Errors
/// As [`remove`].
pub(crate) fn remove_but(
    id: &Id,
    state: &Value,
    keep: &[String],
    tell: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let state = State::from_json(state)?;
    let place = Place::recorded(&state.root)?;
    let parent = place.open_parent()?;
    if let Some(parent) = &parent {
        let parent = parent.as_fd();
        let ours = match place.read_marker(parent)? {
            Marker::None => None,
            Marker::Empty => Some(None),
            Marker::Of(record) => {
                check(id, &place, &state, &record)?.map(|marked| Some((marked, *record)))
            }
        };
        match ours {
            None => check_gone(&place, &state, parent)?,
            Some(marked) => {
                if let Some((mut marked, record)) = marked {
                    remember_keep(&place, &mut marked, record.clone(), keep, parent)?;
                    unmount(&place, &marked, &record, tell)?;
                    remove_box(&place, &marked, parent, tell)?;
                }
                place.remove_marker(parent)?;
                tell(format!("unlink({})", place.marker_path().display()));
            }
        }
    }
    for made in state.made.iter().rev() {
        remove_made(Path::new(made), tell);
    }
    Ok(())
}

/// What the marker says of the box, if it speaks of the same box as the record; None when there is nothing of ours.
fn check(id: &Id, place: &Place, state: &State, marker: &Record) -> Result<Option<State>, Error> {
    let refuse = |problem: String| {
        Err(Error::Failed(format!(
            "down({}): {problem}: not removed",
            place.path.display()
        )))
    };
    let Some(value) = marker.get("mkbox") else {
        return refuse(format!("{} names no box", place.marker_path().display()));
    };
    let marked = State::from_json(value)?;
    if marked.root != state.root || marker.id() != Some(id.as_ref()) {
        if state.identity.is_none() {
            // Our `up` came no further than to find that the place was taken.
            return Ok(None);
        }
        let owner = marker.id().unwrap_or("nobody");
        return refuse(format!(
            "its marker says it is the box of {owner} at {}",
            marked.root
        ));
    }
    match (state.identity, marked.identity) {
        (Some(recorded), Some(found)) if recorded != found => {
            refuse("it is not the one that the record speaks of, another was made since".into())
        }
        _ => Ok(Some(marked)),
    }
}

/// Without a marker there is no box of ours: either it is gone already or was never begun.
fn check_gone(place: &Place, state: &State, parent: BorrowedFd<'_>) -> Result<(), Error> {
    let Some(recorded) = state.identity.filter(|_| !state.existed) else {
        return Ok(());
    };
    match Root::open_in(parent, &place.name, &place.path) {
        Ok(root) if root.identity()? == recorded => Err(Error::Failed(format!(
            "down({}): the marker {} is gone, so it may not be ours any more: not removed",
            place.path.display(),
            place.marker_path().display()
        ))),
        // Something else of that name, or nothing.
        _ => Ok(()),
    }
}

/// Writes down what is left in place: should this `down` be killed, the next one leaves it as well.
fn remember_keep(
    place: &Place,
    marked: &mut State,
    mut record: Record,
    keep: &[String],
    parent: BorrowedFd<'_>,
) -> Result<(), Error> {
    let more = keep.iter().filter(|path| !marked.extra.keep.contains(path));
    let more: Vec<String> = more.cloned().collect();
    if more.is_empty() {
        return Ok(());
    }
    marked.extra.keep.extend(more);
    record.set("mkbox", marked.to_json());
    Ok(place.replace_marker(parent, &record)?)
}

/// Unmounts what `up` has mounted.
fn unmount(
    place: &Place,
    marked: &State,
    record: &Record,
    tell: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let Some(mounted) = &marked.extra.mounted else {
        return Ok(());
    };
    let assembly = Assembly::new(place.path.clone(), Some(record))?;
    within::unmount_all(mounted, &assembly, tell)
}

/// Removes the box itself.
fn remove_box(
    place: &Place,
    marked: &State,
    parent: BorrowedFd<'_>,
    tell: &mut dyn FnMut(String),
) -> Result<(), Error> {
    let shown = place.path.display();
    let name = place.name.as_ref();
    let Some(identity) = marked.identity else {
        // Nothing was put into it yet: what is not empty is not ours.
        if !marked.existed && remove_if_empty(parent, name, &place.path)? {
            tell(format!("rmdir({shown})"));
        }
        return remove_store(place, marked, parent, tell);
    };
    let root = match Root::open_in(parent, &place.name, &place.path) {
        Ok(root) => root,
        Err(error) if error.errno == Errno::ENOENT => {
            keep::put_back(place, parent)?;
            if let Some(store) = open_store(place, marked, parent)? {
                refuse_users(place, &[(&store, place.store_path())])?;
            }
            return remove_store(place, marked, parent, tell);
        }
        Err(error) => {
            return Err(match error.errno {
                Errno::EXDEV => error.hint("something is mounted on the box"),
                Errno::ELOOP => error.hint("a symbolic link is there instead of the box"),
                _ => error,
            }
            .into());
        }
    };
    if root.identity()? != identity {
        if !marked.extra.keep.is_empty() {
            // What was kept lies there already.
            return remove_store(place, marked, parent, tell);
        }
        return Err(Error::Failed(format!(
            "down({shown}): it is another directory than the one that was made: not removed"
        )));
    }
    let store = open_store(place, marked, parent)?;
    let mut parts = vec![(&root, place.path.clone())];
    parts.extend(store.iter().map(|store| (store, place.store_path())));
    refuse_users(place, &parts)?;
    let keep: Vec<PathBuf> = marked.extra.keep.iter().map(PathBuf::from).collect();
    if let (Some(store), Some(_)) = (&store, &marked.extra.overlay) {
        keep::take_layer(store, &root, &keep)?;
    }
    if let Some(store) = &store {
        keep::take_volumes(store, &root, &keep)?;
    }
    let (removed, kept) = tree::remove_contents_but(&root.readable()?, &place.path, &keep)?;
    tell(format!(
        "unlink({shown}/*): {removed} files and directories"
    ));
    if kept > 0 {
        tell(format!("kept in {shown}: {}", marked.extra.keep.join(", ")));
    }
    remove_store(place, marked, parent, tell)?;
    if marked.existed {
        return Ok(());
    }
    if kept > 0 {
        keep::move_aside(place, parent, &root, &keep)?;
        tree::remove_contents(&root.readable()?, &place.path)?;
    }
    if !remove_if_empty(parent, name, &place.path)? {
        return Err(Error::Failed(format!(
            "rmdir({shown}): something was put into it meanwhile"
        )));
    }
    tell(format!("rmdir({shown})"));
    Ok(keep::put_back(place, parent)?)
}

fn refuse_users(place: &Place, parts: &[(&Root, PathBuf)]) -> Result<(), Error> {
    let users = busy::users(parts)?;
    if users.processes.is_empty() && users.mounts.is_empty() {
        return Ok(());
    }
    let shown = place.path.display();
    Err(Error::Failed(format!("down({shown}): in use: {users}")))
}

/// The directory beside the box, if it is the one that was made.
fn open_store(
    place: &Place,
    marked: &State,
    parent: BorrowedFd<'_>,
) -> Result<Option<Root>, Error> {
    let Some(identity) = marked.extra.store else {
        return Ok(None);
    };
    let (name, path) = (place.store_name(), place.store_path());
    match Root::open_in(parent, &name, &path) {
        Ok(store) if store.identity()? == identity => Ok(Some(store)),
        Ok(_) => Err(Error::Failed(format!(
            "down({}): it is another directory than the one that was made: not removed",
            path.display()
        ))),
        Err(error) if error.errno == Errno::ENOENT => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes what lies beside the box.
fn remove_store(
    place: &Place,
    marked: &State,
    parent: BorrowedFd<'_>,
    tell: &mut dyn FnMut(String),
) -> Result<(), Error> {
    if !marked.extra.has_store {
        return Ok(());
    }
    let path = place.store_path();
    if let Some(store) = open_store(place, marked, parent)? {
        overlay::open_work(&store);
        tree::remove_contents(&store.readable()?, &path)?;
    }
    // Without an identity nothing was put into it: what is not empty is not ours.
    if remove_if_empty(parent, place.store_name().as_ref(), &path)? {
        tell(format!("rmdir({})", path.display()));
    }
    Ok(())
}

/// Removes a directory above the box, if nobody else uses it by now.
fn remove_made(path: &Path, tell: &mut dyn FnMut(String)) {
    // Not empty, a mount point by now, or gone: then it is not for us to remove.
    if rustix::fs::rmdir(path).is_ok() {
        tell(format!("rmdir({})", path.display()));
    }
}
