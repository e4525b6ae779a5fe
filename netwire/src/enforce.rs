//! `policy`: other rules for a pod that is up.

use record::{Id, RESTORES, Record, Up};
use serde_json::Value;

use crate::cli::EnforceArgs;
use crate::error::Error;
use crate::firewall;
use crate::state::{self, Attachment};

/// Replaces the rules of the pod's interfaces, or of one, by those of `args`: in one transaction for each interface.
pub(crate) fn policy(up: &mut Up, args: &EnforceArgs) -> Result<Value, Error> {
    let named = args.source.pod.is_none() && args.source.id.is_some();
    if let Some(known) = record::indexed(up.id())?.filter(|_| named) {
        *up.record_mut() = known;
    }
    let id = up.id().clone();
    let before = up.state().cloned();
    let before = before.ok_or_else(|| state::not_wired(&id))?;
    let (after, changed) = wanted(&id, &before, args)?;
    let mut intended = after.clone();
    intended[RESTORES] = before;
    up.intend(&intended)?;
    for attachment in &changed {
        firewall::change(&id, attachment, args.verbose)?;
    }
    Ok(after)
}

/// `policy --dry-run`: a line for each change of the tables.
pub(crate) fn dry_run(record: &Record, args: &EnforceArgs) -> Result<String, Error> {
    let (id, before) = state::of(record)?;
    let (_, changed) = wanted(&id, before, args)?;
    let mut text = String::new();
    for attachment in &changed {
        let changes = firewall::changes(&id, attachment)?;
        let changes = changes.iter().filter(|change| !change.is_question());
        changes.for_each(|change| text += &format!("host: {}\n", change.call));
    }
    Ok(text)
}

/// The state with the rules of `args`, and the interfaces that they are for.
fn wanted(id: &Id, before: &Value, args: &EnforceArgs) -> Result<(Value, Vec<Attachment>), Error> {
    let mut after = before.clone();
    let mut changed = Vec::new();
    for (at, attachment) in state::attachments(before)?.into_iter().enumerate() {
        let ifname = attachment.ifname.as_ref();
        if attachment.nets.is_empty()
            || args.ifname.as_ref().is_some_and(|of| of.as_ref() != ifname)
        {
            continue;
        }
        let has = |ipv4: bool| attachment.has(ipv4);
        let policy = args.policy.policy(has(true), has(false));
        let attachment = Attachment {
            policy: policy.map_err(Error::usage)?,
            ..attachment
        };
        let entry = &mut after["attachments"][at];
        match attachment.policy.is_open() {
            true => drop(
                entry
                    .as_object_mut()
                    .and_then(|entry| entry.remove("policy")),
            ),
            false => entry["policy"] = attachment.policy.to_json(),
        }
        changed.push(attachment);
    }
    if changed.is_empty() {
        let which = args
            .ifname
            .as_ref()
            .map_or("eth0", |ifname| ifname.as_ref());
        return Err(Error::failed(format!(
            "{id}: has no {which} with an address"
        )));
    }
    Ok((after, changed))
}

/// Gives the interfaces that were about to get other rules those of before.
pub(crate) fn restore(
    id: &Id,
    before: &[Attachment],
    intended: &[Attachment],
) -> Result<(), Error> {
    let other = |earlier: &&Attachment| {
        let mut intended = intended.iter();
        let same = intended.find(|one| one.ifname == earlier.ifname);
        same.is_some_and(|one| one.policy != earlier.policy)
    };
    before
        .iter()
        .filter(other)
        .try_for_each(|earlier| firewall::change(id, earlier, false))
}
