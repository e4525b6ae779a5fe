//! A new process for a pod whose namespaces are pinned: its network, and the processes in it, have gone on without.

use record::{Namespace, Record, Up};
use serde_json::Value;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::groups::Group;
use crate::holder::{New, Wanted, hold as give_birth};
use crate::namespace_args::NamespaceArgs;
use crate::offset::Offsets;
use crate::pin;
use crate::plan::End;
use crate::request::{Join, Request, Source};
use crate::run::Asked;
use crate::state::State;
use record::Id;

/// A pid namespace ends with its process 1 whatever pins it; the others are as they were.
const ENDED: i32 = Namespace::Pid.clone_flag();

/// Whether everything that `earlier` pinned is there, but for what ends with its process.
///
/// # Errors
/// Some of it is: nobody can tell what the pod would be.
pub(crate) fn is_pinned(id: &Id, earlier: &State) -> Result<bool, Error> {
    let (mut held, mut missing) = (Vec::new(), Vec::new());
    for pin in &earlier.pins {
        let (kind, _) = pin;
        if kind.clone_flag() & ENDED == 0 {
            match pin::held(id, earlier, *kind)? {
                Some(_) => held.push(pin),
                None => missing.push(pin),
            }
        }
    }
    match (held.first(), missing.first()) {
        (Some(_), None) => Ok(true),
        (None, _) => Ok(false),
        (Some(_), Some((_, path))) => Err(Error::Failed(format!(
            "{id}: process {} that held it is gone, and {} is not what was pinned (nsrun down --id {id})",
            earlier.holder.pid,
            path.display()
        ))),
    }
}

/// Has a process born in the pinned namespaces.
pub(crate) fn hold(
    up: &mut Up,
    earlier: &State,
    mut wanted: Wanted,
    arguments: &UpArgs,
) -> Result<Value, Error> {
    let mut request = Request {
        new: earlier.made & ENDED,
        joins: wanted.request.joins.clone(),
    };
    for (kind, path) in &earlier.pins {
        if kind.clone_flag() & ENDED == 0 {
            request.joins.push(Join {
                kind: *kind,
                source: Source::File(path.clone()),
            });
        }
    }
    // By name alone the record says nothing of limits; the index does.
    if let (true, Some(known)) = (wanted.groups.is_empty(), record::indexed(up.id())?)
        && let Some(groups) = known.groups()?
    {
        wanted.groups = Group::of(&groups, groups.join.as_deref().unwrap_or("pause"))?;
    }
    // Namespaces that are there are neither mapped nor named again; what is about a process is.
    let mut options = NamespaceArgs::default();
    options.root.clone_from(&arguments.namespaces.root);
    options.wd.clone_from(&arguments.namespaces.wd);
    options
        .mount_proc
        .clone_from(&arguments.namespaces.mount_proc);
    options.verbose = arguments.namespaces.verbose;
    let record: Record = up.record().clone();
    let end = End::Hold { hostname: None };
    let asked = Asked {
        arguments: &options,
        request: &request,
        pod: Some(&record),
        groups: &wanted.groups,
        maps: None,
        offsets: Offsets::default(),
    };
    let (plan, resources) = asked.prepare(end)?;
    let new = New {
        made: earlier.made,
        pins: earlier.pins.clone(),
        restores: Some(earlier.clone()),
    };
    give_birth(up, &new, &wanted, (&plan, resources), arguments)
}

/// Pins what is not as it was.
pub(crate) fn pin_anew(pid: i32, state: &State, verbose: bool) -> Result<(), Error> {
    for (kind, path) in &state.pins {
        if kind.clone_flag() & ENDED != 0 {
            pin::pin_anew(pid, *kind, path, verbose)?;
        }
    }
    Ok(())
}
