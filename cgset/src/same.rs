//! Whether what is there is what is wanted: `up` again changes nothing, or says the first difference.

use record::Id;
use serde_json::Value as Json;

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Hierarchies;
use crate::make;
use crate::plan::Plan;
use crate::state::State;
use crate::wanted::Place;

/// Whether any of what an earlier `up` made is still there.
pub(crate) fn is_there(state: &State, hierarchies: &Hierarchies, id: &Id) -> Result<bool, Error> {
    if !state.is_of_this_boot()? {
        return Ok(false);
    }
    for member in state.members.iter().filter(|member| member.inode.is_some()) {
        if member.open(hierarchies, &state.path(id))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An earlier `up` made what is wanted now, and the kernel still has it so; else the first difference.
pub(crate) fn verify(state: &State, plan: &Plan<'_>, place: &Place, id: &Id) -> Result<(), Error> {
    let found = match in_place(state, plan, place).or_else(|| in_limits(state, plan)) {
        None => in_kernel(state, plan)?,
        found => found,
    };
    match found {
        None => Ok(()),
        Some(what) => Err(Error::Failed(format!(
            "{what} (cgset down --id {id} first)"
        ))),
    }
}

/// Where it is and whose.
fn in_place(state: &State, plan: &Plan<'_>, place: &Place) -> Option<String> {
    if state.parent != place.parent {
        return Some(format!(
            "{}: is in /{}, not in /{}",
            place.name, state.parent, place.parent
        ));
    }
    let wanted = place.delegate.map(|owner| owner.to_string());
    let whose = |owner: &Option<String>| owner.clone().unwrap_or_else(|| "nobody".into());
    (state.delegate != wanted).then(|| {
        format!(
            "{}: is delegated to {}, not to {}",
            plan.name,
            whose(&state.delegate),
            whose(&wanted)
        )
    })
}

/// What was written, and into groups of which controllers.
fn in_limits(state: &State, plan: &Plan<'_>) -> Option<String> {
    let asked = plan.written();
    let changed = asked.iter().find_map(|(file, value)| {
        let value = make::plain(value);
        match state.written.get(file).map(make::plain) {
            Some(old) if old == value => None,
            Some(old) => Some(format!("{file} is {old}, not {value}")),
            None => Some(format!("{file} is not set, {value} is asked for")),
        }
    });
    let left = || {
        let mut written = state.written.iter();
        let (file, old) = written.find(|(file, _)| asked.get(*file).is_none())?;
        Some(format!("{file} is {}, none is asked for", make::plain(old)))
    };
    let controllers = || {
        let there = state.members.iter().map(|member| member.key.as_str());
        let wanted = plan.groups.iter().map(|group| group.key.as_str());
        let (there, wanted): (Vec<&str>, Vec<&str>) = (there.collect(), wanted.collect());
        let (there, wanted) = (there.join(" "), wanted.join(" "));
        (there != wanted).then(|| format!("has groups in {there}, {wanted} are asked for"))
    };
    let what = changed.or_else(left).or_else(controllers)?;
    Some(format!("{}: {what}", plan.name))
}

/// What the kernel has by now.
fn in_kernel(state: &State, plan: &Plan<'_>) -> Result<Option<String>, Error> {
    let mut groups = Vec::new();
    for (planned, member) in plan.groups.iter().zip(&state.members) {
        let found = Group::below(planned.hierarchy, &plan.name)?;
        match found {
            Some(group) if Some(group.inode()?) == member.inode => groups.push(group),
            _ => {
                let dir = plan.dir(planned);
                let what = format!("{}: is gone or not the pod's own", dir.display());
                return Ok(Some(what));
            }
        }
    }
    let now = make::read_back(plan, &groups, plan.limits())?;
    let changed = state.effective.iter().find_map(|(key, made)| {
        let found = now.get(key).unwrap_or(&Json::Null);
        (found != made).then(|| {
            let (found, made) = (make::plain(found), make::plain(made));
            format!("{}: {key} is {found} by now, not {made}", plan.name)
        })
    });
    Ok(changed)
}
