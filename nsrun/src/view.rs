//! What /proc says of a pod now: its processes, and the namespaces they are in.

use std::path::PathBuf;

use record::{Id, Namespace, Record};
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::pin;
use crate::pod::{self, Pod};
use crate::procfs::{self, Identity, Status};
use crate::snapshot::{Namespaces, Snapshot};
use crate::state::State;
use crate::step::kinds;

/// One process of the pod.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) pid: i32,
    /// In its own pid namespace.
    pub(crate) own_pid: i32,
    pub(crate) parent: i32,
    pub(crate) uid: u32,
    /// Kinds in which it is where the process that holds the pod is.
    pub(crate) shares: Vec<Namespace>,
    pub(crate) namespaces: Namespaces,
    pub(crate) command: String,
}

/// Whose a namespace is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This pod made it.
    Pod,
    /// That pod made it.
    OtherPod(Id),
    /// Ours, who look.
    Host,
    /// The process that holds the pod joined it, and no pod made it.
    Joined,
    /// Of a process in the pod, as a container's.
    Process,
}

/// A namespace that some process of the pod is in, or that is pinned.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) kind: Namespace,
    pub(crate) identity: Identity,
    pub(crate) whose: Whose,
    /// A file that holds it.
    pub(crate) path: Option<PathBuf>,
    /// Places in the list of members.
    pub(crate) members: Vec<usize>,
}

/// What /proc says of a pod now.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) id: Id,
    pub(crate) state: State,
    pub(crate) is_up: bool,
    /// Those that hold the pod's namespaces without a process.
    pub(crate) pins: pin::Pins,
    pub(crate) members: Vec<Member>,
    pub(crate) used: Vec<Used>,
    /// Of the process that holds the pod; of one that is gone, as far as it is known.
    pub(crate) reference: Namespaces,
    pub(crate) host: Namespaces,
}

impl View {
    /// Of the pod in `record`.
    ///
    /// # Errors
    /// It has no namespaces, or /proc cannot be read.
    pub(crate) fn of(record: &Record, snapshot: &Snapshot) -> Result<Self, Error> {
        let id: Id = record
            .id()
            .unwrap_or_default()
            .parse()
            .map_err(record::Error::Record)?;
        let state = record.get(crate::TOOL).and_then(State::from_json);
        let state =
            state.ok_or_else(|| Error::Failed(format!("{id}: has no namespaces (nsrun up)")))?;
        let state = current(&id, state);
        let is_up = state.holder.open()?.is_some();
        let groups = record.groups().ok().flatten();
        let (reference, pids) = if is_up {
            let reference = snapshot.of_process(state.holder.pid);
            let pids = members(&state, &reference, groups.as_ref(), snapshot);
            (reference, pids)
        } else {
            let pod = Pod::new(&id, Some(&state), groups.as_ref())?;
            let left = pod.processes()?;
            (pod.identities(), left.iter().map(|left| left.pid).collect())
        };
        let describe = |pid| member(pid, &reference, snapshot);
        let mut members: Vec<Member> = pids.into_iter().filter_map(describe).collect();
        // First, as the one whose namespaces they are.
        members.sort_by_key(|member| (member.pid != state.holder.pid, member.pid));
        let mut view = Self {
            pins: pin::left(&id, &state)?,
            id,
            state,
            is_up,
            members,
            used: Vec::new(),
            reference,
            host: snapshot.own.clone(),
        };
        view.used = view.uses(record, &snapshot.pods);
        Ok(view)
    }

    /// Namespaces in the order of who is in them: the pod's own first.
    fn uses(&self, record: &Record, pods: &[(Id, State)]) -> Vec<Used> {
        let mut used: Vec<Used> = Vec::new();
        let mut add = |kind, identity, member| {
            let is_it = |used: &&mut Used| used.kind == kind && used.identity == identity;
            if let Some(found) = used.iter_mut().find(is_it) {
                found.members.extend(member);
            } else {
                used.push(Used {
                    kind,
                    identity,
                    whose: Whose::Process,
                    path: None,
                    members: Vec::from_iter(member),
                });
            }
        };
        for (kind, identity) in &self.reference {
            add(*kind, *identity, None);
        }
        for (place, member) in self.members.iter().enumerate() {
            for (kind, identity) in &member.namespaces {
                add(*kind, *identity, Some(place));
            }
        }
        let entries = record.namespaces().unwrap_or_default();
        for used in &mut used {
            used.whose = self.whose(used.kind, used.identity, pods);
            used.path = self.state.pin(used.kind).cloned().or_else(|| {
                let named = entries.iter().find(|entry| entry.kind == used.kind);
                named?.path.clone()
            });
            // What /proc shows holds nothing.
            used.path = used.path.take().filter(|path| {
                !path.starts_with("/proc") && procfs::identity(path) == Some(used.identity)
            });
        }
        used
    }

    fn whose(&self, kind: Namespace, identity: Identity, pods: &[(Id, State)]) -> Whose {
        let is_reference = self.reference.contains(&(kind, identity));
        if is_reference && kinds(self.state.made).contains(&kind) {
            return Whose::Pod;
        }
        if self.host.contains(&(kind, identity)) {
            return Whose::Host;
        }
        let made_it = |(id, state): &&(Id, State)| {
            *id != self.id
                && kinds(state.made).contains(&kind)
                && state.inode(kind) == Some(identity.1)
        };
        match pods.iter().find(made_it) {
            Some((id, _)) => Whose::OtherPod(id.clone()),
            None if is_reference => Whose::Joined,
            None => Whose::Process,
        }
    }

    /// One object.
    pub(crate) fn to_json(&self) -> Value {
        let members = self.members.iter().map(|member| {
            let shares: Vec<_> = member.shares.iter().map(|kind| kind.proc_name()).collect();
            let inodes: Map<_, _> = member
                .namespaces
                .iter()
                .map(|(kind, (_, inode))| (kind.proc_name().to_owned(), json!(inode)))
                .collect();
            json!({
                "pid": member.pid, "nspid": member.own_pid, "ppid": member.parent, "uid": member.uid,
                "shares": shares, "namespaces": inodes, "command": member.command,
            })
        });
        let used = self.used.iter().map(|used| {
            let pids: Vec<i32> = used
                .members
                .iter()
                .map(|&place| self.members[place].pid)
                .collect();
            let mut object = json!({
                "type": used.kind.proc_name(), "inode": used.identity.1,
                "whose": used.whose.to_string(), "pids": pids,
            });
            if let Some(path) = &used.path {
                object["path"] = path.to_string_lossy().into_owned().into();
            }
            object
        });
        let made: Vec<_> = kinds(self.state.made)
            .iter()
            .map(|kind| kind.proc_name())
            .collect();
        let mut object = json!({
            "id": self.id.as_ref(),
            "up": self.is_up,
            "pid": self.state.holder.pid,
            "made": made,
            "pinned": !self.pins.is_empty(),
            "command": self.state.command,
            "namespaces": used.collect::<Vec<_>>(),
            "processes": members.collect::<Vec<_>>(),
        });
        if let (true, Some(age)) = (self.is_up, procfs::age(self.state.holder.starttime)) {
            object["age"] = age.as_secs().into();
        }
        object
    }

    /// What it is, in the first line.
    pub(crate) fn headline(&self) -> String {
        let (id, pid) = (&self.id, self.state.holder.pid);
        if self.is_up {
            let mut names: Vec<_> = kinds(self.state.made)
                .iter()
                .map(|kind| kind.flag())
                .collect();
            if names.is_empty() {
                names.push("none");
            }
            return format!(
                "{id}: up, held by process {pid}, own namespaces: {}",
                names.join(" ")
            );
        }
        let mut line = format!("{id}: down (process {pid} that held it is gone");
        if !self.pins.is_empty() {
            line += ", its pins are there: nsrun up holds them again";
        }
        line += ")";
        match self.members.len() {
            0 => line,
            1 => line + ", 1 process is left",
            more => format!("{line}, {more} processes are left"),
        }
    }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pod => f.write_str("pod"),
            Self::OtherPod(id) => write!(f, "pod:{id}"),
            Self::Host => f.write_str("host"),
            Self::Joined => f.write_str("joined"),
            Self::Process => f.write_str("process"),
        }
    }
}

/// Of a pod that its pins hold the index knows the present process; the record may have lain in a file.
pub(crate) fn current(id: &Id, state: State) -> State {
    let indexed = record::indexed(id).ok().flatten();
    let indexed = indexed.and_then(|known| State::from_json(known.get(crate::TOOL)?));
    match indexed {
        Some(indexed) if state.is_pinned_as(&indexed) => indexed,
        _ => state,
    }
}

/// Every process that shares a namespace of the pod's own with the one that holds it, or is in its groups.
fn members(
    state: &State,
    reference: &Namespaces,
    groups: Option<&record::Groups>,
    snapshot: &Snapshot,
) -> Vec<i32> {
    let own: Vec<_> = reference
        .iter()
        .filter(|(kind, _)| state.made & kind.clone_flag() != 0)
        .collect();
    let is_inside = |(pid, namespaces): &&(i32, Namespaces)| {
        *pid == state.holder.pid || own.iter().any(|entry| namespaces.contains(entry))
    };
    let inside = snapshot.processes.iter().filter(is_inside);
    let mut pids: Vec<i32> = inside.map(|(pid, _)| *pid).collect();
    pids.extend(groups.map(pod::in_groups).unwrap_or_default());
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn member(pid: i32, reference: &Namespaces, snapshot: &Snapshot) -> Option<Member> {
    let namespaces = snapshot.of_process(pid);
    let shared = reference.iter().filter(|entry| namespaces.contains(entry));
    let shares = shared.map(|(kind, _)| *kind).collect();
    let command = procfs::command(pid)?;
    let status = Status::of(pid)?;
    Some(Member {
        pid,
        own_pid: status.pids.last().copied().unwrap_or(pid),
        parent: status.parent,
        uid: status.uid,
        shares,
        namespaces,
        command,
    })
}
