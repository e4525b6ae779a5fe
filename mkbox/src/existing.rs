//! What lies where a box is to be made: nothing, something of others, or the very box.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use record::{Id, Record};
use rustix::fs::{AtFlags, FileType, statat};
use sys::SysError;

use crate::error::Error;
use crate::place::{Marker, Place};
use crate::remove::remove;
use crate::request::Request;
use crate::root::Root;
use crate::state::State;
use crate::wishes::Wishes;
use crate::{TOOL, mounts, plan, spec};

/// What is at the place of the box.
pub(crate) enum Found {
    Nothing,
    /// An empty directory, which becomes the box.
    Empty,
    /// The marker of a box of ours that somebody removed, with the directories above that were made for it.
    Stale(Vec<String>),
    /// The box that is asked for.
    Equal(Box<State>),
}

/// Looks at the place before anything is made there.
///
/// # Errors
/// Something is there that is not what is asked for.
pub(crate) fn look(id: &Id, request: &Request, before: Option<&State>) -> Result<Found, Error> {
    let place = &request.place;
    let shown = place.path.display();
    if let Some(before) = before
        .filter(|before| Path::new(&before.root) != place.path && Path::new(&before.root).exists())
    {
        return Err(Error::Failed(format!(
            "BOX {shown}: the box of {id} is at {} (another name: --id ID)",
            before.root
        )));
    }
    let Some(parent) = place.open_parent()? else {
        return Ok(Found::Nothing);
    };
    let parent = parent.as_fd();
    let marker = place.read_marker(parent)?;
    let taken = |problem: &str| Error::Failed(format!("BOX {shown}: {problem}"));
    match statat(parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => return stale(id, request, marker),
        Err(errno) => return Err(SysError::new(format!("stat({shown})"), errno).into()),
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {}
            FileType::Symlink => return Err(taken("is a symbolic link")),
            _ => return Err(taken("is no directory")),
        },
    }
    let root = match Root::open_in(parent, &place.name, &place.path) {
        Ok(root) => root,
        Err(error) if error.errno == Errno::EXDEV => match &marker {
            // Mounted by an up of ours, in this namespace.
            Marker::Of(marker) if is_mounted(marker) => Root::open(&place.path)?,
            _ => return Err(taken("is a mount point")),
        },
        Err(error) => return Err(error.into()),
    };
    match marker {
        Marker::Of(marker) => equal(id, request, &root, &marker)
            .map(Box::new)
            .map(Found::Equal),
        Marker::Empty => Err(half_made(place)),
        Marker::None if root.is_empty()? => no_store(request, parent).map(|()| Found::Empty),
        Marker::None => Err(taken("is not empty")),
    }
}

/// A marker without a box.
fn stale(id: &Id, request: &Request, marker: Marker) -> Result<Found, Error> {
    let place = &request.place;
    let Marker::Of(marker) = marker else {
        return if matches!(marker, Marker::None) {
            let parent = place.open_parent()?;
            parent.map_or(Ok(()), |parent| no_store(request, parent.as_fd()))?;
            Ok(Found::Nothing)
        } else {
            Err(half_made(place))
        };
    };
    let state = marker.get(TOOL).map(State::from_json).transpose()?;
    let state = state
        .filter(|_| marker.id() == Some(id.as_ref()))
        .ok_or_else(|| half_made(place))?;
    remove(id, &state.to_json(), &mut |_| {})?;
    // The directories above may have gone with it, and are made again then.
    let left = state
        .made
        .into_iter()
        .filter(|made| Path::new(made).exists());
    Ok(Found::Stale(left.collect()))
}

/// The directory beside the box is not there yet, where one is wanted.
fn no_store(request: &Request, parent: BorrowedFd<'_>) -> Result<(), Error> {
    let place = &request.place;
    let is_wanted = request.state().extra.has_store;
    let there = statat(parent, place.store_name(), AtFlags::SYMLINK_NOFOLLOW);
    if is_wanted && there.is_ok() {
        return Err(Error::Failed(format!(
            "BOX {}: {} is there, and is of no box of mkbox",
            place.path.display(),
            place.store_path().display()
        )));
    }
    Ok(())
}

fn is_mounted(marker: &Record) -> bool {
    let state = marker.get(TOOL).map(State::from_json);
    state.is_some_and(|state| state.is_ok_and(|state| state.extra.mounted.is_some()))
}

fn half_made(place: &Place) -> Error {
    let shown = place.path.display();
    Error::Failed(format!(
        "BOX {shown}: {} is left of another up (mkbox down {shown})",
        place.marker_path().display()
    ))
}

/// Says how a box lies on other layers than it was asked for.
fn other_layers(made: &State, wanted: &State) -> Option<String> {
    let show = |state: &State| match &state.extra.overlay {
        Some(layers) => layers.lower.join(":"),
        None => "none".into(),
    };
    let (made, wanted) = (show(made), show(wanted));
    (made != wanted).then(|| format!("it was made with the layers {made}, not {wanted}"))
}

/// The state of the box behind `root`, if it is what is asked for.
fn equal(id: &Id, request: &Request, root: &Root, marker: &Record) -> Result<State, Error> {
    let shown = request.place.path.display();
    let differs = |difference: String| {
        Error::Failed(format!(
            "BOX {shown}: {difference} (mkbox down {shown} removes it)"
        ))
    };
    if marker.id() != Some(id.as_ref()) {
        return Err(differs(format!(
            "is the box of {}",
            marker.id().unwrap_or("nobody")
        )));
    }
    let state = marker.get(TOOL).map(State::from_json).transpose()?;
    let state = state
        .filter(|state| Path::new(&state.root) == request.place.path && state.filled.is_some());
    let state = state.ok_or_else(|| half_made(&request.place))?;
    // Layers that are mounted hide the directory they lie on.
    let is_hidden = state.extra.mounted.is_some() && state.extra.overlay.is_some();
    if state.identity != Some(root.identity()?) && !is_hidden {
        return Err(differs(
            "is another directory than the one that was made".into(),
        ));
    }
    let difference = plan::difference(
        &state.copy,
        &request.copy,
        &mounts::read(marker)?,
        &request.mounts,
    );
    let difference = difference
        .or_else(|| Wishes::difference(&state.wishes, &request.wishes))
        .or_else(|| spec::difference(marker, &request.spec))
        .or_else(|| other_layers(&state, &request.state()));
    if let Some(difference) = difference {
        return Err(differs(difference));
    }
    // Of an overlay the files lie beside the box.
    let files = request
        .plan
        .files()
        .filter(|_| state.extra.overlay.is_none());
    // What was written from a record has another size each time.
    let is_written = |path: &Path| {
        let name = path.strip_prefix("/etc").ok().and_then(Path::to_str);
        name.is_some_and(|name| state.extra.etc.iter().any(|known| known == name))
    };
    for file in files.filter(|file| !is_written(&file.destination)) {
        let there = root.stat(&file.destination)?;
        match there.map(|stat| u64::try_from(stat.st_size).unwrap_or(0)) {
            None => return Err(differs(format!("it has no {}", file.destination.display()))),
            Some(bytes) if bytes != file.bytes => {
                let (path, wanted) = (file.destination.display(), file.bytes);
                let source = request.origin.shown(&file.source);
                return Err(differs(format!(
                    "its {path} has {bytes} bytes, {} has {wanted}",
                    source.display()
                )));
            }
            Some(_) => {}
        }
    }
    Ok(state)
}
