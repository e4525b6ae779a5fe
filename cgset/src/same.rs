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
    let again = format!("cgset down --id {id} first");
    let differs = |what: String| Err(Error::Failed(format!("{what} ({again})")));
    if state.parent != place.parent {
        return differs(format!(
            "{}: is in /{}, not in /{}",
            place.name, state.parent, place.parent
        ));
    }
    let wanted = place.delegate.map(|owner| owner.to_string());
    if state.delegate != wanted {
        let whose = |owner: &Option<String>| owner.clone().unwrap_or_else(|| "nobody".into());
        return differs(format!(
            "{}: is delegated to {}, not to {}",
            plan.name,
            whose(&state.delegate),
            whose(&wanted)
        ));
    }
    let keys = |keys: Vec<&str>| keys.join(" ");
    let there = keys(
        state
            .members
            .iter()
            .map(|member| member.key.as_str())
            .collect(),
    );
    let wanted = keys(plan.groups.iter().map(|group| group.key.as_str()).collect());
    let asked = plan.written();
    for (file, value) in &asked {
        match state.written.get(file) {
            Some(old) if old == value => {}
            Some(old) => {
                return differs(format!(
                    "{}: {file} is {}, not {}",
                    plan.name,
                    make::plain(old),
                    make::plain(value)
                ));
            }
            None => {
                return differs(format!(
                    "{}: {file} is not set, {} is asked for",
                    plan.name,
                    make::plain(value)
                ));
            }
        }
    }
    if let Some((file, old)) = state
        .written
        .iter()
        .find(|(file, _)| asked.get(*file).is_none())
    {
        return differs(format!(
            "{}: {file} is {}, none is asked for",
            plan.name,
            make::plain(old)
        ));
    }
    if there != wanted {
        return differs(format!(
            "{}: has groups in {there}, {wanted} are asked for",
            plan.name
        ));
    }
    let mut groups = Vec::new();
    for (planned, member) in plan.groups.iter().zip(&state.members) {
        let found = Group::below(planned.hierarchy, &plan.name)?;
        match found {
            Some(group) if Some(group.inode()?) == member.inode => groups.push(group),
            _ => {
                return differs(format!(
                    "{}: is gone or not the pod's own",
                    plan.dir(planned).display()
                ));
            }
        }
    }
    let now = make::read_back(plan, &groups, plan.limits())?;
    for (key, made) in &state.effective {
        let found = now.get(key).unwrap_or(&Json::Null);
        if found != made {
            return differs(format!(
                "{}: {key} is {} by now, not {}",
                plan.name,
                make::plain(found),
                make::plain(made)
            ));
        }
    }
    Ok(())
}
