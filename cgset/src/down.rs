//! `cgset down`: removes what `up` made, and what `exec` made below it.

use std::process::ExitCode;

use record::{Down, Id, Record, names};
use serde_json::Value as Json;

use crate::cli::DownArgs;
use crate::error::Error;
use crate::hierarchy::Hierarchies;
use crate::remove::{self, Live};
use crate::state::{Member, State};
use crate::talk::Talk;
use crate::{TOOL, place};

/// Runs the verb.
pub(crate) fn down(args: &DownArgs) -> ExitCode {
    if args.dry_run {
        return record::show(TOOL, &args.source, dry_run);
    }
    record::down(TOOL, &args.source, |down| work(down, args))
}

fn work(down: &mut Down, args: &DownArgs) -> Result<(), Error> {
    let live = match &args.to {
        Some(group) => Live::MoveTo(group),
        None if args.kill => Live::Kill,
        None => Live::Refuse,
    };
    down.record.groups()?; // a record that names another pod's groups is a bad one
    let hierarchies = Hierarchies::detect()?;
    refuse_stale(down)?;
    let found = found(&down.id, down.indexed.as_ref(), down.state.as_ref())?;
    let indexed = down.indexed.as_ref().map(State::from_json).transpose()?;
    // An `up` that was killed may have moved processes that had no limit before.
    for moved in indexed.iter().flat_map(|state| &state.moved) {
        place::bring_back(moved, &hierarchies, &found.path(&down.id))?;
    }
    let talk = Talk::from(args.talk);
    remove::remove(
        &remove::open(&found.members, &hierarchies, (&found.parent, &down.id))?,
        &down.id,
        live,
        talk,
    )?;
    // A record alone takes no other group away.
    if let Some(state) = indexed.filter(|state| state.parent == found.parent) {
        state.parents.remove(&hierarchies, talk)?;
    }
    // One with a parent in it is a wish: the next `up` is to make the pod there again.
    let ours = format!("/{}", names::group(&down.id));
    if down
        .record
        .pointer("/linux/cgroupsPath")
        .and_then(Json::as_str)
        == Some(&ours)
    {
        down.record.remove_at(&["linux", "cgroupsPath"]);
    }
    if down
        .record
        .get("linux")
        .and_then(Json::as_object)
        .is_some_and(serde_json::Map::is_empty)
    {
        down.record.remove("linux"); // it was made for the path
    }
    Ok(())
}

/// A record that lay in a file while the pod was taken down and made anew is not of the pod that is up.
fn refuse_stale(down: &Down) -> Result<(), Error> {
    let (Some(recorded), Some(indexed)) = (&down.state, &down.indexed) else {
        return Ok(());
    };
    let (recorded, indexed) = (State::from_json(recorded)?, State::from_json(indexed)?);
    let differs = |member: &Member| {
        let same = indexed.members.iter().find(|other| other.key == member.key);
        let inode = same.and_then(|other| other.inode);
        member.inode.is_some() && inode.is_some() && inode != member.inode
    };
    if recorded.members.iter().any(differs) {
        let id = &down.id;
        return Err(Error::Failed(format!(
            "{id}: the record is of groups that are gone, the pod that is up has others (cgset down --id {id})"
        )));
    }
    Ok(())
}

/// The groups to look for and where they are. The index is believed when it says "about to be made"; a record is not, it must know the inode.
fn found(id: &Id, indexed: Option<&Json>, state: Option<&Json>) -> Result<State, Error> {
    let mut found = State::default();
    if let Some(indexed) = indexed.map(State::from_json).transpose()?
        && indexed.is_of_this_boot()?
    {
        found = indexed;
    }
    if let Some(state) = state.map(State::from_json).transpose()?
        && state.is_of_this_boot()?
    {
        if found.members.is_empty() {
            found.parent = state.parent;
        } else if found.parent != state.parent {
            return Err(Error::Failed(format!(
                "{id}: the record is of groups in /{}, the pod that is up has its in /{} (cgset down --id {id})",
                state.parent, found.parent
            )));
        }
        for member in state.members {
            let known = found.members.iter().any(|other| other.key == member.key);
            if member.inode.is_some() {
                if !found.members.contains(&member) {
                    found.members.push(member);
                }
            } else if !known {
                return Err(Error::Usage(format!(
                    "cgset.inodes: none for {} of {id}, and the index knows none",
                    member.key
                )));
            }
        }
    }
    Ok(found)
}

fn dry_run(record: &Record) -> Result<String, Error> {
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(Error::Usage)?;
    record.groups()?;
    let hierarchies = Hierarchies::detect()?;
    let found = found(&id, None, record.get(TOOL))?;
    let mut lines = String::new();
    for standing in remove::open(&found.members, &hierarchies, (&found.parent, &id))? {
        let tree = standing.pod.tree()?;
        for group in tree.iter().rev() {
            lines.push_str(&format!("rmdir({})\n", group.path().display()));
        }
    }
    Ok(lines)
}
