//! What is looked at once, however many pods are shown: the processes and the pods of the machine.

use record::{Id, Namespace};

use crate::error::Error;
use crate::pin;
use crate::procfs::{self, Identity};
use crate::state::State;

/// Kinds of namespaces and the ones that a process is in.
pub(crate) type Namespaces = Vec<(Namespace, Identity)>;

/// The processes and the pods of the machine, as they were a moment ago.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// In the order of their pids.
    pub(crate) processes: Vec<(i32, Namespaces)>,
    /// Of the index; only those whose namespaces a process or a pin still holds, as inodes of others prove nothing.
    pub(crate) pods: Vec<(Id, State)>,
    /// Ours, who look.
    pub(crate) own: Namespaces,
}

impl Snapshot {
    /// Of now.
    ///
    /// # Errors
    /// No /proc.
    pub(crate) fn take() -> Result<Self, Error> {
        let mut pids = procfs::pids()?;
        pids.sort_unstable();
        let processes = pids.into_iter().map(|pid| (pid, of_process(pid)));
        let known = |id: Id| {
            let known = record::indexed(&id).ok().flatten()?;
            let state = State::from_json(known.get(crate::TOOL)?)?;
            let is_held = state.holder.open().ok().flatten().is_some()
                || pin::left(&id, &state).is_ok_and(|left| !left.is_empty());
            is_held.then_some((id, state))
        };
        Ok(Self {
            processes: processes.collect(),
            pods: record::ids()?.into_iter().filter_map(known).collect(),
            own: of("self"),
        })
    }

    /// Those that `pid` is in; none when it has ended or may not be looked at.
    pub(crate) fn of_process(&self, pid: i32) -> Namespaces {
        let found = self.processes.binary_search_by_key(&pid, |(pid, _)| *pid);
        match found {
            Ok(place) => self.processes[place].1.clone(),
            Err(_) => of_process(pid),
        }
    }
}

fn of_process(pid: i32) -> Namespaces {
    of(&pid.to_string())
}

fn of(process: &str) -> Namespaces {
    let found = |kind: Namespace| {
        let path = format!("/proc/{process}/ns/{}", kind.proc_name());
        Some((kind, procfs::identity(path)?))
    };
    Namespace::ALL.into_iter().filter_map(found).collect()
}
