//! Processes that are there before the pod's groups are: found, remembered where they were, and moved in.

use std::time::Instant;

use nix::errno::Errno;
use record::{ProcessId, Record};

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Hierarchy;
use crate::membership::Membership;
use crate::place::{self, Target, price};
use crate::plan::Plan;
use crate::state::{EXEC, Moved, PAUSE};
use crate::talk::Talk;

/// Processes that are there before the groups are.
pub(crate) struct Newcomers {
    /// The process that holds the pod, and what it started: into `pause`.
    pub(crate) holder: Option<ProcessId>,
    /// Those of `--pid`: into `exec`.
    pub(crate) named: Vec<ProcessId>,
}

impl Newcomers {
    /// Looked up before anything is made: a wrong pid makes nothing.
    pub(crate) fn find(record: &Record, pids: &[i32]) -> Result<Self, Error> {
        let named = pids
            .iter()
            .map(|&pid| ProcessId::of(pid))
            .collect::<Result<Vec<_>, _>>()?;
        let holder = record.holder()?;
        if let Some(holder) = &holder
            && holder.open()?.is_none()
        {
            return Err(Error::Failed(format!(
                "nsrun.pid: process {} is gone, or another by now (nsrun down, then nsrun up)",
                holder.pid
            )));
        }
        Ok(Self { holder, named })
    }

    /// The groups in the pod that are needed at once.
    pub(crate) fn leaves(&self) -> &'static [&'static str] {
        if self.named.is_empty() {
            &[PAUSE]
        } else {
            &[PAUSE, EXEC]
        }
    }

    fn all(&self) -> Vec<ProcessId> {
        let held = self.holder.iter().flat_map(place::with_descendants);
        held.chain(self.named.iter().cloned()).collect()
    }

    pub(crate) fn origins(&self, plan: &Plan<'_>) -> Result<Vec<Moved>, Error> {
        let keys: Vec<(String, &Hierarchy)> = plan
            .groups
            .iter()
            .map(|group| (group.key.clone(), group.hierarchy))
            .collect();
        self.all()
            .iter()
            .map(|process| place::origin(process, &keys))
            .collect()
    }

    /// Moves those that are not in the pod yet, and says so.
    pub(crate) fn place(&self, plan: &Plan<'_>, talk: Talk) -> Result<(), Error> {
        let begin = Instant::now();
        let mut moved = Vec::new();
        if let Some(holder) = &self.holder {
            moved.extend(place_tree(holder, &target(plan, PAUSE)?, talk)?);
        }
        if !self.named.is_empty() {
            let target = target(plan, EXEC)?;
            for process in &self.named {
                if place::place(process, &target, talk)? {
                    moved.push(process.pid);
                }
            }
        }
        if let Some(first) = moved.first() {
            let who = match moved.len() {
                1 => format!("process {first} was"),
                count => format!("process {first} and {} more were", count - 1),
            };
            let price = price(begin.elapsed(), "what is begun in the pod is not moved");
            talk.note(format_args!("{}: {who} moved into it; {price}", plan.name));
        }
        Ok(())
    }
}

/// Moves `holder` and all it started; the pids of those that were outside.
///
/// What was started while its parent was moved is found the next time; what is started after that is in the group.
fn place_tree(holder: &ProcessId, target: &Target<'_>, talk: Talk) -> Result<Vec<i32>, Error> {
    const ROUNDS: usize = 100;
    let mut moved = Vec::new();
    for _ in 0..ROUNDS {
        let mut outside = place::with_descendants(holder);
        outside.retain(|process| is_outside(process, target));
        if outside.is_empty() {
            return Ok(moved);
        }
        for process in &outside {
            match place::place(process, target, talk) {
                Err(error) if is_gone(&error) && process != holder => {}
                answer => moved.extend(answer?.then_some(process.pid)),
            }
        }
    }
    Err(Error::Failed(format!(
        "nsrun.pid: {} starts processes faster than they can be moved",
        holder.pid
    )))
}

fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Sys(error) if matches!(error.errno, Errno::ESRCH | Errno::ENOENT))
}

fn is_outside(process: &ProcessId, target: &Target<'_>) -> bool {
    Membership::of(process.pid).is_ok_and(|membership| {
        target
            .groups
            .iter()
            .any(|(_, hierarchy, _)| !membership.is_within(hierarchy, &target.pod))
    })
}

/// The group `name` of the pod in each of its hierarchies, made where it is missing.
fn target<'a>(plan: &Plan<'a>, name: &str) -> Result<Target<'a>, Error> {
    let mut groups = Vec::new();
    for planned in &plan.groups {
        let mount = Group::mounted(planned.hierarchy)?;
        let pod = mount.descendant(&plan.name)?.ok_or_else(|| {
            Error::Failed(format!(
                "{}: the group is gone",
                plan.dir(planned).display()
            ))
        })?;
        let (group, _) = pod.leaf(name)?;
        group.inherit_cpuset(&pod, &planned.key)?;
        groups.push((planned.key.clone(), planned.hierarchy, group));
    }
    Ok(Target {
        groups,
        pod: plan.name.clone(),
    })
}
