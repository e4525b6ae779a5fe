//! When CMD runs, on which processors, and how early its reads and writes come: `scheduler`, `execCPUAffinity` and
//! `ioPriority` of a record; sched(7), ioprio_set(2).

use std::fmt::Display;
use std::ops::RangeInclusive;

use ::sys::{Call, SysError};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, getpid};
use serde_json::{Value, json};

use crate::sys;

/// The first process of a pid namespace.
const INIT: Pid = Pid::from_raw(1);

/// As linux/ioprio.h has them.
const IO_CLASSES: [(&str, i32); 3] = [
    ("IOPRIO_CLASS_RT", 1),
    ("IOPRIO_CLASS_BE", 2),
    ("IOPRIO_CLASS_IDLE", 3),
];

/// SCHED_ISO, which OCI has too, is in no kernel.
const POLICIES: [(&str, i32); 6] = [
    ("SCHED_OTHER", libc::SCHED_OTHER),
    ("SCHED_FIFO", libc::SCHED_FIFO),
    ("SCHED_RR", libc::SCHED_RR),
    ("SCHED_BATCH", libc::SCHED_BATCH),
    ("SCHED_IDLE", libc::SCHED_IDLE),
    ("SCHED_DEADLINE", libc::SCHED_DEADLINE),
];

/// Those of OCI but for the two of utilization clamps, whose values OCI has no place for.
const FLAGS: [(&str, i32); 5] = [
    ("SCHED_FLAG_RESET_ON_FORK", libc::SCHED_FLAG_RESET_ON_FORK),
    ("SCHED_FLAG_RECLAIM", libc::SCHED_FLAG_RECLAIM),
    ("SCHED_FLAG_DL_OVERRUN", libc::SCHED_FLAG_DL_OVERRUN),
    ("SCHED_FLAG_KEEP_POLICY", libc::SCHED_FLAG_KEEP_POLICY),
    ("SCHED_FLAG_KEEP_PARAMS", libc::SCHED_FLAG_KEEP_PARAMS),
];

/// What a record says of it; what it does not say is as the caller has it.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    pub(crate) affinity: Option<Affinity>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) io: Option<IoPriority>,
}

impl Schedule {
    /// While the capabilities are there that some of it needs.
    ///
    /// # Errors
    /// `EPERM`: more than the caller may have.
    pub(crate) fn set(&self, say: &dyn Fn(&dyn Display)) -> Result<(), SysError> {
        // OCI has it for what joins a container, and not for its process 1.
        if let Some(affinity) = self.affinity.as_ref().filter(|_| getpid() != INIT) {
            affinity.set()?;
            say(affinity);
        }
        if let Some(scheduler) = &self.scheduler {
            scheduler.set()?;
            say(scheduler);
        }
        if let Some(io) = &self.io {
            io.set()?;
            say(io);
        }
        Ok(())
    }
}

/// `process.scheduler`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scheduler {
    policy: i32,
    flags: i32,
    nice: i32,
    priority: u32,
    /// Nanoseconds, these three.
    runtime: u64,
    deadline: u64,
    period: u64,
}

impl Scheduler {
    /// The kernel would cut a nice value that is out of range, and pass over what its policy has no use for.
    ///
    /// # Errors
    /// What is wrong with it, beginning with its key.
    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let policy = named(value, "policy", &POLICIES)?;
        let is = |policies: &[i32]| policies.contains(&policy);
        let of = |key: &str, is_used: bool, range: RangeInclusive<i64>| {
            let unused = if is_used { range } else { 0..=0 };
            number(value, key, unused)
        };
        let is_deadline = is(&[libc::SCHED_DEADLINE]);
        let time = |key| of(key, is_deadline, 0..=i64::MAX).map(i64::cast_unsigned);
        let is_fair = is(&[libc::SCHED_OTHER, libc::SCHED_BATCH]);
        let is_real_time = is(&[libc::SCHED_FIFO, libc::SCHED_RR]);
        let scheduler = Self {
            policy,
            flags: flags(value)?,
            nice: of("nice", is_fair, -20..=19)? as i32,
            priority: of("priority", is_real_time, 1..=99)? as u32,
            runtime: time("runtime")?,
            deadline: time("deadline")?,
            period: time("period")?,
        };
        let Self {
            runtime,
            deadline,
            period,
            ..
        } = scheduler;
        let is_order = 0 < runtime && runtime <= deadline && (period == 0 || deadline <= period);
        if is_deadline && !is_order {
            return Err(format!(
                "runtime: {runtime} is not above 0 and up to deadline, {deadline}, and that up to period, {period}"
            ));
        }
        Ok(scheduler)
    }

    pub(crate) fn to_json(&self) -> Value {
        let has = |flag: i32| self.flags & flag != 0;
        let flags = FLAGS.iter().filter(|(_, flag)| has(*flag));
        let mut object = json!({
            "policy": name(self.policy, &POLICIES),
            "flags": flags.map(|(name, _)| *name).collect::<Vec<_>>(),
        });
        match self.policy {
            libc::SCHED_OTHER | libc::SCHED_BATCH => object["nice"] = self.nice.into(),
            libc::SCHED_FIFO | libc::SCHED_RR => object["priority"] = self.priority.into(),
            libc::SCHED_DEADLINE => {
                object["runtime"] = self.runtime.into();
                object["deadline"] = self.deadline.into();
                object["period"] = self.period.into();
            }
            _ => {}
        }
        object
    }

    fn set(&self) -> Result<(), SysError> {
        let attributes = libc::sched_attr {
            size: 0,
            sched_policy: self.policy.cast_unsigned(),
            sched_flags: u64::from(self.flags.cast_unsigned()),
            sched_nice: self.nice,
            sched_priority: self.priority,
            sched_runtime: self.runtime,
            sched_deadline: self.deadline,
            sched_period: self.period,
        };
        let answer = sys::sched_setattr(attributes).call(|| self.to_string());
        answer.map_err(|error| match error.errno {
            Errno::EPERM if self.priority > 0 => {
                error.hint("needs CAP_SYS_NICE, and on cgroup v1 cpu.rt_runtime_us above 0")
            }
            Errno::EPERM => error.hint("needs CAP_SYS_NICE"),
            Errno::EBUSY => error.hint("the processors have no such time left"),
            _ => error,
        })
    }
}

impl Display for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sched_setattr({}", name(self.policy, &POLICIES))?;
        match self.policy {
            libc::SCHED_OTHER | libc::SCHED_BATCH => write!(f, ", nice {}", self.nice)?,
            libc::SCHED_FIFO | libc::SCHED_RR => write!(f, ", priority {}", self.priority)?,
            libc::SCHED_DEADLINE => write!(f, ", {}/{}", self.runtime, self.deadline)?,
            _ => {}
        }
        write!(f, ")")
    }
}

fn flags(value: &Value) -> Result<i32, String> {
    let Some(list) = value.get("flags").filter(|list| !list.is_null()) else {
        return Ok(0);
    };
    let mut all = 0;
    for flag in list.as_array().ok_or_else(|| odd("flags", list))? {
        if flag
            .as_str()
            .is_some_and(|flag| flag.starts_with("SCHED_FLAG_UTIL_CLAMP_M"))
        {
            return Err(format!("flags: {flag} needs a value, which OCI has not"));
        }
        all |= number_of(flag, &FLAGS).ok_or_else(|| odd("flags", flag))?;
    }
    Ok(all)
}

/// `process.ioPriority`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IoPriority {
    class: i32,
    priority: i32,
}

impl IoPriority {
    /// # Errors
    /// What is wrong with it, beginning with its key.
    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        Ok(Self {
            class: named(value, "class", &IO_CLASSES)?,
            priority: number(value, "priority", 0..=7)? as i32,
        })
    }

    pub(crate) fn to_json(self) -> Value {
        json!({"class": name(self.class, &IO_CLASSES), "priority": self.priority})
    }

    fn set(self) -> Result<(), SysError> {
        let answer = sys::ioprio_set(self.class, self.priority).call(|| self.to_string());
        answer.map_err(|error| match error.errno {
            Errno::EPERM => error.hint("needs CAP_SYS_NICE or CAP_SYS_ADMIN"),
            _ => error,
        })
    }
}

impl Display for IoPriority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let class = name(self.class, &IO_CLASSES);
        write!(f, "ioprio_set({class}, {})", self.priority)
    }
}

/// `process.execCPUAffinity.final`, the one that holds once the group is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Affinity {
    list: String,
    set: CpuSet,
}

impl Affinity {
    /// None: the group's.
    ///
    /// # Errors
    /// What is wrong with it, beginning with its key.
    pub(crate) fn from_json(value: &Value) -> Result<Option<Self>, String> {
        let mut last = None;
        for key in ["initial", "final"] {
            let Some(list) = value.get(key).filter(|list| !list.is_null()) else {
                continue;
            };
            let text = list.as_str().ok_or_else(|| odd(key, list))?;
            let set = processors(text).ok_or_else(|| odd(key, list))?;
            let is_last = key == "final" && set != CpuSet::new();
            last = is_last.then(|| Self {
                list: text.to_owned(),
                set,
            });
        }
        Ok(last)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"final": self.list})
    }

    fn set(&self) -> Result<(), SysError> {
        let answer = sched_setaffinity(Pid::from_raw(0), &self.set).call(|| self.to_string());
        answer.map_err(|error| match error.errno {
            Errno::EINVAL => error.hint("the group has none of these processors"),
            _ => error,
        })
    }
}

impl Display for Affinity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sched_setaffinity({})", self.list)
    }
}

/// `0-3,7`, as cpuset(7) has lists.
fn processors(list: &str) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    for part in list.split(',').map(str::trim) {
        if part.is_empty() && list.trim().is_empty() {
            continue;
        }
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<usize>().ok().filter(|_| is_number)
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= CpuSet::count() {
            return None;
        }
        for processor in first..=last {
            set.set(processor).ok()?;
        }
    }
    Some(set)
}

fn odd(key: &str, value: &Value) -> String {
    format!("{key}: {value} is not what OCI has there")
}

/// 0 where the key is missing, unless that is out of `range`.
fn number(value: &Value, key: &str, range: RangeInclusive<i64>) -> Result<i64, String> {
    let found = value.get(key).filter(|found| !found.is_null());
    let number = found.map_or(Some(0), Value::as_i64);
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let shown = found.map_or_else(|| "nothing".into(), ToString::to_string);
            match (range.start(), range.end()) {
                (0, 0) => format!("{key}: {shown}, and the policy has no {key}"),
                (start, end) => format!("{key}: {shown} is not {start} to {end}"),
            }
        })
}

fn named(value: &Value, key: &str, names: &[(&str, i32)]) -> Result<i32, String> {
    let found = value.get(key).unwrap_or(&Value::Null);
    number_of(found, names).ok_or_else(|| {
        let names: Vec<_> = names.iter().map(|(name, _)| *name).collect();
        format!("{key}: {found} is none of {}", names.join(" "))
    })
}

fn number_of(name: &Value, names: &[(&str, i32)]) -> Option<i32> {
    let found = names.iter().find(|(other, _)| name == other)?;
    Some(found.1)
}

fn name(number: i32, names: &[(&'static str, i32)]) -> &'static str {
    let found = names.iter().find(|(_, other)| *other == number);
    found.map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_shown() {
        for value in [
            json!({"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"], "nice": -20}),
            json!({"policy": "SCHED_RR", "flags": [], "priority": 99}),
            json!({"policy": "SCHED_IDLE", "flags": []}),
            json!({"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN"], "runtime": 5, "deadline": 7, "period": 7}),
        ] {
            assert_eq!(Scheduler::from_json(&value).unwrap().to_json(), value);
        }
        let io = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 7});
        assert_eq!(IoPriority::from_json(&io).unwrap().to_json(), io);
    }

    #[test]
    fn a_list_of_processors_is_numbers_and_ranges() {
        let count = |list| {
            let set = processors(list)?;
            let is_in = |cpu: &usize| set.is_set(*cpu) == Ok(true);
            Some((0..CpuSet::count()).filter(is_in).count())
        };
        for (list, expected) in [("", 0), ("0", 1), ("0-3,7", 5), ("1, 2", 2), ("0-1,1", 2)] {
            assert_eq!(count(list), Some(expected), "{list:?}");
        }
        for bad in [
            "x",
            "3-1",
            "0,",
            "-",
            "+1",
            "0-99999",
            "99999999999999999999",
        ] {
            assert_eq!(count(bad), None, "{bad:?}");
        }
    }
}
