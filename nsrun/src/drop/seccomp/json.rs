//! Profiles as docker writes them and as `linux.seccomp` of an OCI configuration has them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;
use syscalls::Sysno;

use super::super::capabilities::{self, Set};
use super::filter::{Action, Compare, Filter, Op, Rule, Verdict};
use super::names::number;

/// Of this processor, as profiles name it: in `architectures`, and in `includes`.
#[cfg(target_arch = "x86_64")]
const ARCH: (&str, &str) = ("SCMP_ARCH_X86_64", "amd64");
#[cfg(target_arch = "aarch64")]
const ARCH: (&str, &str) = ("SCMP_ARCH_AARCH64", "arm64");
#[cfg(target_arch = "riscv64")]
const ARCH: (&str, &str) = ("SCMP_ARCH_RISCV64", "riscv64");

/// What a profile is read for.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) capabilities: Set,
    /// Version and patch level of the kernel.
    pub(crate) kernel: (u32, u32),
}

/// A profile that was read.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) filter: Filter,
    /// SECCOMP_FILTER_FLAG_… of seccomp(2).
    pub(crate) flags: u32,
}

/// Reads a profile.
///
/// # Errors
/// What is wrong with it, as the user reads it.
pub(crate) fn profile(value: &Value, machine: &Machine) -> Result<Profile, String> {
    let object = value.as_object().ok_or("a profile is an object")?;
    if let Some(name) = ["listenerPath", "listenerMetadata"]
        .iter()
        .find(|name| object.get(**name).is_some_and(|value| *value != ""))
    {
        return Err(format!("{name}: no process stays that could listen"));
    }
    let architectures = object.get("architectures").and_then(Value::as_array);
    let is_for_us =
        architectures.is_none_or(|list| list.is_empty() || list.iter().any(|arch| arch == ARCH.0));
    if !is_for_us {
        return Err(format!("architectures: {} is not among them", ARCH.0));
    }
    let default = action(
        object.get("defaultAction"),
        object.get("defaultErrnoRet"),
        "defaultAction",
    )?;
    let mut unconditional: BTreeMap<u32, Action> = BTreeMap::new();
    let mut conditional: BTreeMap<u32, Vec<Rule>> = BTreeMap::new();
    for entry in array(object.get("syscalls"), "syscalls")? {
        if !applies(entry, machine)? {
            continue;
        }
        let action = action(
            entry.get("action"),
            entry.get("errnoRet"),
            "syscalls: action",
        )?;
        // As runc has it: what is said of a call by default is not said again.
        if action == default {
            continue;
        }
        let alternatives = alternatives(conditions(entry)?);
        for name in names(entry)? {
            let Some(number) = number(name)? else {
                continue;
            };
            if alternatives.is_empty() {
                unconditional.entry(number).or_insert(action);
            }
            let rule = |conditions: &Vec<Compare>| Rule {
                conditions: conditions.clone(),
                action,
            };
            let rules = alternatives.iter().map(rule);
            conditional.entry(number).or_default().extend(rules);
        }
    }
    // Unless it allows whatever it does not name: programs try an older call when they hear ENOSYS.
    let beyond = match default {
        Action::Allow | Action::Log => default,
        _ => Action::Errno(libc::ENOSYS as u16),
    };
    let mut filter = Filter::new(default, Sysno::last().id().cast_unsigned(), beyond);
    for (number, rules) in conditional
        .into_iter()
        .filter(|(_, rules)| !rules.is_empty())
    {
        let otherwise = default;
        filter.set(number, Verdict { rules, otherwise });
    }
    // As libseccomp has it: a rule without a condition is the whole truth.
    for (number, action) in unconditional {
        filter.set(number, Verdict::always(action));
    }
    Ok(Profile {
        filter,
        flags: flags(object.get("flags"))?,
    })
}

fn array<'a>(value: Option<&'a Value>, place: &str) -> Result<&'a [Value], String> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(array)) => Ok(array),
        Some(_) => Err(format!("{place} must be an array")),
    }
}

fn flags(value: Option<&Value>) -> Result<u32, String> {
    let mut all = 0;
    for flag in array(value, "flags")? {
        all |= match flag.as_str() {
            // nsrun has one thread, so there is nobody to bring along
            Some("SECCOMP_FILTER_FLAG_TSYNC") => 0,
            Some("SECCOMP_FILTER_FLAG_LOG") => 2,
            Some("SECCOMP_FILTER_FLAG_SPEC_ALLOW") => 4,
            _ => return Err(format!("flags: {flag} is not known")),
        };
    }
    Ok(all)
}

fn action(value: Option<&Value>, errno: Option<&Value>, place: &str) -> Result<Action, String> {
    let errno = match errno {
        None | Some(Value::Null) => libc::EPERM as u16,
        Some(number) => number
            .as_u64()
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| *number < 4096)
            .ok_or_else(|| format!("{place}: {number} is no errno"))?,
    };
    match value.and_then(Value::as_str) {
        Some("SCMP_ACT_ALLOW") => Ok(Action::Allow),
        Some("SCMP_ACT_ERRNO") => Ok(Action::Errno(errno)),
        Some("SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD") => Ok(Action::KillThread),
        Some("SCMP_ACT_KILL_PROCESS") => Ok(Action::KillProcess),
        Some("SCMP_ACT_TRAP") => Ok(Action::Trap),
        Some("SCMP_ACT_LOG") => Ok(Action::Log),
        Some("SCMP_ACT_TRACE") => Ok(Action::Trace(errno)),
        Some("SCMP_ACT_NOTIFY") => Err(format!(
            "{place}: SCMP_ACT_NOTIFY: no process stays that could listen"
        )),
        Some(other) => Err(format!("{place}: {other:?} is not known")),
        None => Err(format!("{place} is missing")),
    }
}

/// Of one entry: `names`, or the older `name`.
fn names(entry: &Value) -> Result<Vec<&str>, String> {
    let text = |value: &'_ Value| format!("syscalls: {value} is no name");
    if let Some(name) = entry.get("name").filter(|name| *name != "") {
        return Ok(vec![name.as_str().ok_or_else(|| text(name))?]);
    }
    let names = array(entry.get("names"), "syscalls: names")?;
    let name = |value| Value::as_str(value).ok_or_else(|| text(value));
    names.iter().map(name).collect()
}

/// All conditions of an entry must hold, but where two are about one argument: then each is a rule of its own, as runc
/// takes it: libseccomp knows no rule with two conditions on one argument.
fn alternatives(conditions: Vec<Compare>) -> Vec<Vec<Compare>> {
    let is_twice = |compare: &Compare| {
        let about = |other: &&Compare| other.index == compare.index;
        conditions.iter().filter(about).count() > 1
    };
    if conditions.is_empty() {
        Vec::new()
    } else if conditions.iter().any(is_twice) {
        conditions.into_iter().map(|one| vec![one]).collect()
    } else {
        vec![conditions]
    }
}

fn conditions(entry: &Value) -> Result<Vec<Compare>, String> {
    let condition = |argument: &Value| {
        let number = |key: &str| match argument.get(key) {
            None | Some(Value::Null) => Some(0),
            Some(value) => value.as_u64(),
        };
        let op = match argument.get("op").and_then(Value::as_str)? {
            "SCMP_CMP_EQ" => Op::Eq,
            "SCMP_CMP_NE" => Op::Ne,
            "SCMP_CMP_LT" => Op::Lt,
            "SCMP_CMP_LE" => Op::Le,
            "SCMP_CMP_GT" => Op::Gt,
            "SCMP_CMP_GE" => Op::Ge,
            "SCMP_CMP_MASKED_EQ" => Op::MaskedEq,
            _ => return None,
        };
        Some(Compare {
            index: number("index").filter(|index| *index < 6)? as u8,
            op,
            value: number("value")?,
            value_two: number("valueTwo")?,
        })
    };
    array(entry.get("args"), "syscalls: args")?
        .iter()
        .map(|argument| {
            condition(argument).ok_or_else(|| format!("syscalls: args: {argument} is no condition"))
        })
        .collect()
}

/// docker's `includes` (all must hold) and `excludes` (none may).
fn applies(entry: &Value, machine: &Machine) -> Result<bool, String> {
    let (includes, excludes) = (entry.get("includes"), entry.get("excludes"));
    let list = |filter: Option<&'_ Value>, key: &str| -> Result<Vec<String>, String> {
        let list = array(filter.and_then(|filter| filter.get(key)), key)?;
        Ok(list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect())
    };
    let has = |name: &String| {
        capabilities::named(name).is_ok_and(|one| machine.capabilities.contains(one))
    };
    let is_arch = |name: &String| name == ARCH.1;
    let is_new_enough = |filter: Option<&Value>| -> Result<Option<bool>, String> {
        let Some(least) = filter
            .and_then(|filter| filter.get("minKernel"))
            .and_then(Value::as_str)
        else {
            return Ok(None);
        };
        let least = version(least).ok_or_else(|| format!("minKernel: {least:?} is no version"))?;
        Ok(Some(machine.kernel >= least))
    };
    let (caps, arches) = (list(includes, "caps")?, list(includes, "arches")?);
    let is_included = caps.iter().all(has)
        && (arches.is_empty() || arches.iter().any(is_arch))
        && is_new_enough(includes)? != Some(false);
    let is_excluded = list(excludes, "caps")?.iter().any(has)
        || list(excludes, "arches")?.iter().any(is_arch)
        || is_new_enough(excludes)? == Some(true);
    Ok(is_included && !is_excluded)
}

/// Version and patch level of a release such as `6.1.0-13-amd64`.
pub(crate) fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}
