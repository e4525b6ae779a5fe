//! Making groups and setting limits, as a plan says; and reading back what the kernel made of them.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use serde_json::{Map, Value as Json};
use sys::SysError;

use crate::devices::{self, Rules};
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Version;
use crate::limits::{Limits, Value};
use crate::plan::Plan;
use crate::talk::Talk;
use crate::units::{self, Amount};
use crate::version::File;

/// Writes the plan's files, one group after the other. `groups` are in the plan's order.
///
/// That all of them are there is known before the first is written.
pub(crate) fn write(plan: &Plan<'_>, groups: &[Group], talk: Talk) -> Result<(), Error> {
    talk.steps(|| plan.translations())?;
    let mut opened = Vec::new();
    for (planned, group) in plan.groups.iter().zip(groups) {
        let files = planned.files.iter();
        let files = files.filter(|file| file.name != devices::NAME);
        let files = files.map(|file| Ok((file, group.open_to_write(&file.name)?)));
        opened.push((group, files.collect::<Result<Vec<_>, SysError>>()?));
    }
    if let Some(Value::Devices(rules)) = plan.limits().get(devices::NAME) {
        attach(plan, groups, rules, talk)?;
    }
    for (group, files) in &opened {
        let mut files = files.iter().peekable();
        while let Some(this) = files.next() {
            let answer = write_one(group, this, talk);
            match (answer, files.peek()) {
                (Err(Error::Sys(error)), Some(next))
                    if error.errno == Errno::EINVAL && are_bound(this.0, next.0) =>
                {
                    // Each of the two must fit the other at every moment, so one of the two orders goes.
                    write_one(group, next, talk)?;
                    write_one(group, this, talk)?;
                    files.next();
                }
                (answer, _) => answer?,
            }
        }
    }
    Ok(())
}

/// Whether all of the plan's files have the text that is to be written. `groups` are in the plan's order.
pub(crate) fn is_so(plan: &Plan<'_>, groups: &[Group]) -> bool {
    let mut files = plan.groups.iter().zip(groups).flat_map(|(planned, group)| {
        let files = planned.files.iter();
        files.map(move |file| (group, file))
    });
    files.all(|(group, file)| {
        let found = group.read(&file.name);
        found.is_ok_and(|text| text.trim_end() == file.text)
    })
}

/// The rules of devices, where v2 has no file for them.
fn attach(plan: &Plan<'_>, groups: &[Group], rules: &Rules, talk: Talk) -> Result<(), Error> {
    for (planned, group) in plan.groups.iter().zip(groups) {
        for file in planned
            .files
            .iter()
            .filter(|file| file.name == devices::NAME)
        {
            devices::attach(rules, group)?;
            talk.step(|| call(group.path(), file));
        }
    }
    Ok(())
}

/// The call that sets one file, for people.
pub(crate) fn call(dir: &Path, file: &File) -> String {
    let (dir, text) = (dir.display(), &file.text);
    match file.name.as_str() {
        devices::NAME => format!("bpf(BPF_PROG_ATTACH, {dir}, {text})"),
        name => format!("write({dir}/{name}, {text})"),
    }
}

fn write_one(group: &Group, (file, opened): &(&File, fs::File), talk: Talk) -> Result<(), Error> {
    // v1 refuses a limit below what is used; v2 would call the OOM killer, if there is anything to kill.
    if file.name == "memory.max" && group.read("cgroup.events")?.contains("populated 1") {
        let used = group.read("memory.current")?;
        if units::number(used.trim()).map(Amount::Exactly) > units::count(&file.text) {
            return Err(SysError::new(call(group.path(), file), Errno::EBUSY)
                .hint("the group uses more than that")
                .into());
        }
    }
    group.write_into(opened, file)?;
    talk.step(|| call(group.path(), file));
    Ok(())
}

/// Pairs of v1 of which one bounds the other.
fn are_bound(first: &File, second: &File) -> bool {
    matches!(
        (first.name.as_str(), second.name.as_str()),
        ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
            | ("cpu.cfs_period_us", "cpu.cfs_quota_us")
    )
}

/// What the kernel has now for each of `limits`.
pub(crate) fn read_back(
    plan: &Plan<'_>,
    groups: &[Group],
    limits: &Limits,
) -> Result<Map<String, Json>, Error> {
    let mut effective = Map::new();
    for (name, value) in limits.iter() {
        let at = plan.place_of(name)?;
        let (version, group) = (plan.groups[at].hierarchy.version, &groups[at]);
        if matches!(value, Value::Text(_)) && group.is_write_only(name) {
            continue; // memory.force_empty
        }
        if let (Version::V2, Value::Devices(rules)) = (version, value) {
            effective.insert(name.to_owned(), devices::attached(rules, group)?);
            continue;
        }
        let read = |file: &str| group.read(file).map_err(Error::from);
        effective.extend(version.effective(name, value, &read)?);
    }
    Ok(effective)
}

/// Says where the kernel made something else of a number than the page it rounds down to.
pub(crate) fn note_differences(limits: &Limits, effective: &Map<String, Json>, talk: Talk) {
    for (name, value) in limits.iter() {
        let Value::Amount(Amount::Exactly(asked)) = value else {
            continue;
        };
        let Some(made) = effective.get(name) else {
            continue;
        };
        let is_close = made
            .as_u64()
            .is_some_and(|made| (made > 0 || *asked == 0) && asked.abs_diff(made) < 4096);
        // more than there can be is no limit
        let is_no_limit = made == "max" && *asked >= 1 << 62;
        if !is_close && !is_no_limit {
            talk.note(format_args!(
                "{name}={asked}: the kernel made it {}",
                plain(made)
            ));
        }
    }
}

/// Says which limits of a group that was there are others now: whoever is in it has them from here on.
pub(crate) fn note_changes(
    group: &str,
    before: Option<&Map<String, Json>>,
    after: &Map<String, Json>,
    talk: Talk,
) {
    for (name, new) in after {
        let old = before.and_then(|before| before.get(name));
        if let Some(old) = old.filter(|old| *old != new) {
            let (old, new) = (plain(old), plain(new));
            talk.note(format_args!(
                "{group}: {name} was {old}, is {new} from now on"
            ));
        }
    }
}

/// A JSON value without quotes.
pub(crate) fn plain(value: &Json) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The v2 controllers that the group above has to give before a group can have them; nothing on v1.
pub(crate) fn enable(parent: &Group, version: Version, key: &str, talk: Talk) -> Result<(), Error> {
    parent.enable(key)?;
    if version == Version::V2 {
        talk.step(|| {
            format!(
                "write({}/cgroup.subtree_control, +{})",
                parent.path().display(),
                key.replace(',', " +")
            )
        });
    }
    Ok(())
}
