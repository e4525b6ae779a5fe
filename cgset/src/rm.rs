//! What is left to do when the command of `exec --rm` has ended.

use std::process::{Command, Stdio};

use record::{Id, Record};
use sys::Call;

use crate::error::Error;
use crate::hierarchy::Hierarchies;
use crate::make::plain;
use crate::remove::{Standing, processes};
use crate::show::size;
use crate::snapshot::Snapshot;
use crate::talk::Talk;
use crate::usage::oom_kills;
use crate::{TOOL, kill, pod};

/// Says whether the OOM killer was there, ends who is left, and removes the group `child`; with `whole_pod` the pod too.
pub(crate) fn clear(
    record: &Record,
    hierarchies: &Hierarchies,
    child: &Id,
    whole_pod: bool,
    talk: Talk,
) -> Result<(), Error> {
    let standing = pod::groups(record, hierarchies, Some(child))?;
    tell_oom(record, &standing)?;
    let left = processes(&standing)?.len();
    if left > 0 {
        let path = standing.first().map_or("", |standing| &standing.path);
        let (noun, verb) = match left {
            1 => ("process", "is"),
            _ => ("processes", "are"),
        };
        talk.note(format_args!(
            "{path}: {left} {noun} of it {verb} left and ended now"
        ));
        kill::kill(&standing, talk)?;
    }
    for standing in &standing {
        standing.remove(talk)?;
    }
    if !whole_pod {
        return Ok(());
    }
    let id = pod::id_of(record)?;
    let call = || format!("exec({TOOL} down --id {id})");
    let down = Command::new("/proc/self/exe")
        .args(["down", "--id", &id])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match down.call(call)?.success() {
        true => Ok(()),
        false => Err(Error::Said),
    }
}

/// A fact for people and scripts, not to be silenced: a status of 137 alone may be anybody's SIGKILL.
fn tell_oom(record: &Record, standing: &[Standing<'_>]) -> Result<(), Error> {
    let Some(kills @ 1..) = oom_kills(standing)? else {
        return Ok(());
    };
    let now = Snapshot::take(record, standing)?;
    let usage = now.groups.values().next();
    let value = |name: &str| {
        let value = usage.and_then(|usage| usage.values.get(name));
        value.map_or_else(
            || "unknown".into(),
            |value| match value.is_string() {
                true => plain(value),
                false => size(value),
            },
        )
    };
    let processes = match kills {
        1 => "1 process".to_owned(),
        kills => format!("{kills} processes"),
    };
    record::report(
        TOOL,
        format_args!(
            "{}: the OOM killer ended {processes} in it (memory.max {}, memory.peak {})",
            now.path,
            value("memory.max"),
            value("memory.peak"),
        ),
    );
    Ok(())
}
