//! `mkbox up`: makes the box that is asked for, or finds that it is there.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use record::{Id, Record, SourceArgs, Up};
use rustix::fs::Mode;
use serde_json::Value;
use sys::{Call, SysError};

use crate::assemble::Assembly;
use crate::boxfile::Why;
use crate::cli::{self, UpArgs};
use crate::error::Error;
use crate::existing::{Found, look};
use crate::fill::{Filled, Filler, say};
use crate::from::Manner;
use crate::manifest::{Entry, Kind};
use crate::place::Place;
use crate::plan::{Arrow, Step};
use crate::remove::remove;
use crate::request::Request;
use crate::root::{Identity, Root};
use crate::state::State;
use crate::{TOOL, etc, manifest, overlay, verify, volumes, within};

/// Runs the verb.
pub(crate) fn up(args: &UpArgs) -> ExitCode {
    let mut source = args.source.clone();
    if let (Some(root), None, None) = (&args.root, &source.id, &source.pod) {
        match cli::id_of(root) {
            Ok(id) => source.id = Some(id),
            Err(problem) => {
                record::report(TOOL, problem);
                return ExitCode::from(2);
            }
        }
    }
    if args.dry_run {
        return dry_run(args, &source);
    }
    record::up(
        TOOL,
        &source,
        |up| make(up, args),
        |id, state| remove(id, state, &mut |_| {}),
    )
}

fn make(up: &mut Up, args: &UpArgs) -> Result<Value, Error> {
    let before = up.state().map(State::from_json).transpose()?;
    let mut request = Request::new(args, up.record(), before.as_ref())?;
    let mut state = request.state();
    match look(up.id(), &request, before.as_ref())? {
        Found::Nothing => {}
        Found::Empty => state.existed = true,
        Found::Stale(made) => state.made.splice(0..0, made).for_each(drop),
        Found::Equal(mut found) => {
            request.etc = etc::union(&found.extra.etc, &request.etc)?;
            found.extra.etc = etc::names(&request.etc);
            as_written(|| refresh(up.id(), &request, &found, up.record()))?;
            let found = mount_again(up.id(), &request, *found)?;
            request.write_spec(up.record_mut(), &found)?;
            return Ok(found.to_json());
        }
    }
    up.intend(&state.to_json())?;
    let id = up.id().clone();
    let record = up.record().clone();
    let state = as_written(|| build(&id, &request, &record, state, args))?;
    warn(&request);
    request.write_spec(up.record_mut(), &state)?;
    Ok(state.to_json())
}

/// Does `work` with modes that are meant as they are written.
fn as_written<T>(work: impl FnOnce() -> T) -> T {
    let umask = rustix::process::umask(Mode::empty());
    let answer = work();
    rustix::process::umask(umask);
    answer
}

/// Makes the box. Before each step that makes something stands the one that writes it down.
fn build(
    id: &Id,
    request: &Request,
    record: &Record,
    mut state: State,
    args: &UpArgs,
) -> Result<State, Error> {
    let place = &request.place;
    make_missing(place)?;
    let parent = place
        .open_parent()?
        .ok_or(Errno::ENOENT)
        .call(|| format!("open({})", place.parent.display()))?;
    let parent = parent.as_fd();
    place.claim(parent, &Request::claim(id, &state))?;
    let (root, identity) = make_directory(place, parent, state.existed)?;
    state.identity = Some(identity);
    let store = state.extra.has_store.then(|| make_store(place, parent));
    let store = store.transpose()?;
    if let Some(store) = &store {
        state.extra.store = Some(store.identity()?);
    }
    place.replace_claim(parent, &Request::claim(id, &state))?;
    let upper = layer(&state, store.as_ref())?;
    let top = upper.as_ref().unwrap_or(&root);
    let shown = args.root.as_deref().unwrap_or(&state.root);
    let filled = fill(top, request, record, args, shown)?;
    state.filled = Some(count(&filled.entries));
    place.write_manifest(parent, &manifest::to_text(&filled.entries))?;
    make_volumes(request, store.as_ref())?;
    if let Some(within) = &request.within {
        state.extra.mounted = Some(within.mounted.clone());
    }
    let marker = request.marker(id, &state)?;
    place.replace_marker(parent, &marker)?;
    if let Some(within) = &request.within {
        within.mount(&Assembly::new(place.path.clone(), Some(&marker))?.lasting())?;
    }
    // Of a box that there is: after a failure the reason stands alone.
    filled.notices.iter().for_each(|line| say(line));
    Ok(state)
}

fn make_missing(place: &Place) -> Result<(), SysError> {
    for above in &place.missing {
        match rustix::fs::mkdir(above, Mode::from(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(SysError::new(format!("mkdir({})", above.display()), errno)),
        }
    }
    Ok(())
}

/// Puts everything into `top`: the base, then what is copied, then what is written from the record.
fn fill(
    top: &Root,
    request: &Request,
    record: &Record,
    args: &UpArgs,
    shown: &str,
) -> Result<Filled, Error> {
    let keep_privileges = request.wishes.keep_privileges;
    let manner = Manner {
        keep_privileges,
        is_quiet: args.quiet,
        newest: None,
    };
    let base = request.base.as_ref().map(|base| base.lay(top, manner));
    let base = base.transpose()?;
    let filler = Filler {
        root: top,
        origin: &request.origin,
        arrows: (args.verbose > 0).then_some(shown),
        is_quiet: args.quiet,
        keep_privileges,
        has_base: base.is_some(),
    };
    let mut filled = filler.fill(&request.plan)?;
    manifest::replace(&mut filled.entries, etc::write(top, &request.etc, record)?);
    if let Some(base) = base {
        filled.entries = manifest::upon(top, base.entries, filled.entries)?;
        filled.notices.extend(base.notices);
    }
    Ok(filled)
}

/// Makes the sources of volumes.
fn make_volumes(request: &Request, store: Option<&Root>) -> Result<(), Error> {
    let store_path = request.place.store_path();
    for wished in &request.volumes {
        let source = wished.mount.source.as_deref().map(Path::new);
        let inside = source.and_then(|source| source.strip_prefix(&store_path).ok());
        if let (Some(store), Some(inside)) = (store, inside) {
            volumes::store(store, inside, &wished.volume)?;
        }
    }
    // What is the host's own comes last: it stays whatever fails.
    for wished in &request.volumes {
        if let (volumes::Volume::HostPath(check), Some(source)) =
            (&wished.volume, &wished.mount.source)
        {
            check.make(Path::new(source))?;
        }
    }
    Ok(())
}

/// The directory beside the box: what is in it belongs to the box, and nobody gets at it but through the box's mounts.
fn make_store(place: &Place, parent: BorrowedFd<'_>) -> Result<Root, Error> {
    let (name, path) = (place.store_name(), place.store_path());
    let made = rustix::fs::mkdirat(parent, &name, Mode::from(0o700));
    made.call(|| format!("mkdir({})", path.display()))?;
    Ok(Root::open_in(parent, &name, &path)?)
}

/// Where files go when the box is an overlay: into its writable layer, or one below that is thrown away.
fn layer(state: &State, store: Option<&Root>) -> Result<Option<Root>, Error> {
    let (Some(store), Some(_)) = (store, &state.extra.overlay) else {
        return Ok(None);
    };
    for name in [overlay::UPPER, overlay::WORK] {
        store.make_directory(&Path::new("/").join(name))?;
    }
    let shown = store.show(Path::new(overlay::UPPER));
    Ok(Some(Root::open_in(
        store.as_fd(),
        overlay::UPPER,
        Path::new(&shown),
    )?))
}

/// Makes the mounts of a box that is there in a pod that was made anew, or on a machine that was started again.
fn mount_again(id: &Id, request: &Request, mut state: State) -> Result<State, Error> {
    let place = &request.place;
    let (Some(within), Some(parent)) = (&request.within, place.open_parent()?) else {
        return Ok(state);
    };
    let old = state.extra.mounted.replace(within.mounted.clone());
    let marker = request.marker(id, &state)?;
    let assembly = Assembly::new(place.path.clone(), Some(&marker))?;
    if let Some(old) = old.filter(|old| *old != within.mounted) {
        within::unmount_all(&old, &assembly, &mut |_| ())?;
    }
    place.replace_marker(parent.as_fd(), &marker)?;
    let assembly = assembly.lasting();
    within.mount(&assembly).inspect_err(|_| {
        // What is left of it the next up or down finds by the marker.
        let _ = within::unmount_all(&within.mounted, &assembly, &mut |_| ());
    })?;
    Ok(state)
}

/// Writes again what tells of the pod, in a box that is there: its addresses and aliases may be others by now.
fn refresh(id: &Id, request: &Request, state: &State, record: &Record) -> Result<(), Error> {
    if request.etc.is_empty() {
        return Ok(());
    }
    let place = &request.place;
    let Some(parent) = place.open_parent()? else {
        return Ok(());
    };
    let written = etc::write(&verify::filled(state, place)?, &request.etc, record)?;
    // Which of them there are may be more by now.
    place.replace_marker(parent.as_fd(), &request.marker(id, state)?)?;
    // Without a manifest there is nothing to keep true.
    if let Ok(mut entries) = verify::of(state) {
        manifest::replace(&mut entries, written);
        place.write_manifest(parent.as_fd(), &manifest::to_text(&entries))?;
    }
    Ok(())
}

/// How many files and bytes were copied.
fn count(entries: &[Entry]) -> (u64, u64) {
    let is_copy = |entry: &&Entry| {
        matches!(entry.kind, Kind::File | Kind::Hard(_))
            && !matches!(entry.why, Why::Mount | Why::Etc)
    };
    let files = entries.iter().filter(is_copy);
    let first_names = entries
        .iter()
        .filter(|entry| entry.kind == Kind::File && is_copy(entry));
    (
        files.count() as u64,
        first_names.map(|entry| entry.bytes).sum(),
    )
}

fn make_directory(
    place: &Place,
    parent: BorrowedFd<'_>,
    existed: bool,
) -> Result<(Root, Identity), Error> {
    if !existed {
        let made = rustix::fs::mkdirat(parent, &place.name, Mode::from(0o755));
        made.call(|| format!("mkdir({})", place.path.display()))?;
    }
    let root = Root::open_in(parent, &place.name, &place.path)?;
    if !root.is_empty()? {
        return Err(Error::Failed(format!(
            "BOX {}: is not empty",
            place.path.display()
        )));
    }
    let identity = root.identity()?;
    Ok((root, identity))
}

fn warn(request: &Request) {
    for line in &request.warnings {
        say(&format!("mkbox: {line}"));
    }
}

/// Prints what `up` would do.
fn dry_run(args: &UpArgs, source: &SourceArgs) -> ExitCode {
    let lines = || -> Result<String, Error> {
        let record = match (&source.id, &source.pod) {
            (Some(id), None) => Record::new(id),
            (_, pod) => {
                let pod = pod
                    .as_deref()
                    .filter(|pod| pod.as_os_str() != "-")
                    .unwrap_or(Path::new("/dev/stdin"));
                record::for_exec(pod)?
            }
        };
        let before = record.get(TOOL).map(State::from_json).transpose()?;
        let request = Request::new(args, &record, before.as_ref())?;
        let root = args
            .root
            .clone()
            .unwrap_or_else(|| request.place.path.to_string_lossy().into_owned());
        warn(&request);
        let mut lines: Vec<String> = request
            .place
            .missing
            .iter()
            .map(|path| format!("mkdir({})", path.display()))
            .collect();
        lines.push(format!("mkdir({})", request.place.path.display()));
        if let Some(base) = &request.base {
            lines.push(format!("extract({})", base.shown.display()));
        }
        for step in &request.plan.steps {
            lines.push(match step {
                Step::File(file) => Arrow {
                    file,
                    root: &root,
                    origin: &request.origin,
                }
                .to_string(),
                Step::Link(path, target, _) => {
                    format!(
                        "symlink({}, {}{})",
                        target.display(),
                        request.place.path.display(),
                        path.display()
                    )
                }
                Step::Point(path, _) | Step::Program(path) => {
                    format!("mkdir({}{})", request.place.path.display(), path.display())
                }
            });
        }
        lines.extend(request.describe_rest(&record)?);
        Ok(lines.join("\n") + "\n")
    };
    crate::print(lines())
}
