//! The groups of a pod that is up, for the verbs that look at them or act on what is in them.

use record::{Id, Record};

use crate::TOOL;
use crate::error::Error;
use crate::hierarchy::Hierarchies;
use crate::remove::{self, Standing};
use crate::state::State;

/// The name in a record.
pub(crate) fn id_of(record: &Record) -> Result<Id, Error> {
    let id = record.id().unwrap_or_default();
    id.parse().map_err(Error::Usage)
}

/// The pod's groups, or with `name` those of one of its containers: found by the record, each known to be its own.
pub(crate) fn groups<'a>(
    record: &Record,
    hierarchies: &'a Hierarchies,
    name: Option<&Id>,
) -> Result<Vec<Standing<'a>>, Error> {
    let id = id_of(record)?;
    record.groups()?; // refuses another pod's
    let none = || {
        Error::Failed(format!(
            "{id}: the record has no groups (cgset up makes them)"
        ))
    };
    let state = State::from_json(record.get(TOOL).ok_or_else(none)?)?;
    let mut standing = Vec::new();
    if state.is_of_this_boot()? {
        let known: Vec<_> = state
            .members
            .iter()
            .filter(|member| member.inode.is_some())
            .cloned()
            .collect();
        standing = remove::open(&known, hierarchies, (&state.parent, &id))?;
    }
    if standing.is_empty() {
        return Err(Error::Failed(format!(
            "{id}: its groups are gone (cgset down clears the record)"
        )));
    }
    let Some(name) = name else {
        return Ok(standing);
    };
    let mut children = Vec::new();
    for standing in standing {
        children.extend(standing.child(name)?);
    }
    if children.is_empty() {
        return Err(Error::Failed(format!(
            "{id}: has no group {name} (cgset show has the list)"
        )));
    }
    Ok(children)
}
