//! What a record and a command line want of a pod's groups: where they are, whose, and their limits.

use std::fs;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use record::{Id, Record, names};
use serde_json::Value as Json;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::kube::Kube;
use crate::limits::{Limits, Value};
use crate::owner::Owner;
use crate::state::State;
use crate::systemd;
use crate::units::{self, Amount};
use crate::vocabulary::{self, Machine};
use crate::{oci, parent};

/// Where the pod's group goes, and whose it is.
pub(crate) struct Place {
    /// A path below each mount; empty: the top.
    pub(crate) parent: String,
    pub(crate) name: String,
    /// `linux.cgroupsPath`
    pub(crate) given: Option<String>,
    pub(crate) delegate: Option<Owner>,
    /// Nobody said where, and systemd is there.
    pub(crate) is_systemds: bool,
}

impl Place {
    /// `--parent`; else where `linux.cgroupsPath` has the pod's own group; else what systemd gave this process, if it is there.
    ///
    /// `known` is what there is of the pod already.
    pub(crate) fn new(
        record: &Record,
        id: &Id,
        args: &UpArgs,
        known: Option<&State>,
    ) -> Result<Self, Error> {
        let name = names::group(id);
        let given = match record.pointer("/linux/cgroupsPath") {
            None | Some(Json::Null) => None,
            Some(Json::String(given)) => Some(given.clone()),
            Some(other) => {
                return Err(Error::Usage(format!(
                    "linux.cgroupsPath: {other} is not a string"
                )));
            }
        };
        let asked = match (&args.parent, &given) {
            (Some(group), _) => Some(parent::given("--parent", group)?),
            (None, Some(given)) => parent::of_path(given, &name),
            (None, None) => None,
        };
        // On v1 it does without what others make in the controllers' hierarchies, and marks nothing there.
        let all = match asked.is_none() && systemd::is_init() {
            true => Hierarchies::detect()?,
            false => Hierarchies::default(),
        };
        let is_systemds = all.unified().is_some();
        let known = known.filter(|_| is_systemds).map(|state| &state.parent);
        let parent = match (asked, known) {
            (Some(parent), _) => parent.to_owned(),
            // where it was made, by whoever it was
            (None, Some(parent)) => parent.clone(),
            (None, None) if is_systemds => systemd::delegated(&all)?.unwrap_or_default(),
            (None, None) => String::new(),
        };
        if parent.split('/').any(|part| part == name) {
            return Err(Error::Usage(format!(
                "--parent /{parent}: is in the pod itself"
            )));
        }
        Ok(Self {
            parent,
            name,
            delegate: args.delegate,
            is_systemds,
            given,
        })
    }

    /// All there are, but for a freezer that nobody asked for and in which we may make no group.
    pub(crate) fn hierarchies(&self, limits: &Limits) -> Result<Hierarchies, Error> {
        let is_asked_for = limits.get("cgroup.freeze").is_some();
        let is_writable = |hierarchy: &Hierarchy| {
            let mut dir = hierarchy.mount.join(&self.parent);
            while !dir.exists() && dir.pop() {}
            let refused = [Errno::EACCES, Errno::EPERM, Errno::EROFS];
            // Any other error is not about who we are: mkdir(2) will say it.
            let answer = access(&dir, AccessFlags::W_OK);
            !hierarchy.read_only && !answer.is_err_and(|errno| refused.contains(&errno))
        };
        let all = Hierarchies::detect()?;
        Ok(all.without_freezer_unless(|freezer| is_asked_for || is_writable(freezer)))
    }

    /// Of the pod's group below each mount.
    pub(crate) fn path(&self) -> String {
        parent::join(&self.parent, &self.name)
    }
}

/// The limits: those of the record, and over them those that were typed.
pub(crate) struct Wanted {
    pub(crate) typed: Limits,
    pub(crate) all: Limits,
    pub(crate) ignored: Vec<String>,
}

impl Wanted {
    pub(crate) fn new(
        record: &Record,
        words: &[String],
        kube: Option<&Kube>,
    ) -> Result<Self, Error> {
        let machine = Machine::this();
        let words = kube.iter().flat_map(|kube| &kube.words).chain(words);
        let typed = vocabulary::parse_all(words.map(String::as_str), &machine)?;
        let resources = oci::read(record, &machine)?;
        let mut all = resources.limits;
        all.extend(typed.clone());
        Ok(Self {
            typed,
            all,
            ignored: resources.ignored,
        })
    }
}

/// Limits above what the machine has, a line each: they limit nobody.
pub(crate) fn more_than_there_is(limits: &Limits, machine: &Machine) -> Vec<String> {
    let mut lines = Vec::new();
    let memory = (machine.memory_total)();
    if let Some(Amount::Exactly(asked)) = limits.memory_max()
        && memory > 0
        && (memory + 1..1 << 62).contains(&asked)
    {
        lines.push(format!(
            "memory.max={asked}: the machine has {memory} (the whole of it may go before this limit is met)"
        ));
    }
    if let Some(Value::Amount(Amount::Exactly(asked))) = limits.get("pids.max")
        && let Some(most) = number_in("/proc/sys/kernel/pid_max")
        && *asked > most
    {
        lines.push(format!(
            "pids.max={asked}: the machine has {most} (kernel.pid_max is met before this limit)"
        ));
    }
    if let Some(Value::CpuMax { quota, period }) = limits.get("cpu.max")
        && let (Some(Amount::Exactly(quota)), period) = (quota, period.unwrap_or(100_000))
        && let Some(cpus) = cpus_online()
        && *quota > cpus.saturating_mul(period)
    {
        lines.push(format!(
            "cpu.max={quota} {period}: the machine has {cpus} cpus (which are busy before this limit is met)"
        ));
    }
    lines
}

/// Of a list like `0-3,7`.
fn cpus_online() -> Option<u64> {
    let list = fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let count = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(units::number(last)?.checked_sub(units::number(first)?)? + 1)
    };
    list.trim().split(',').map(count).sum()
}

fn number_in(file: &str) -> Option<u64> {
    units::number(fs::read_to_string(file).ok()?.trim())
}
