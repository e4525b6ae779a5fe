//! `nsrun show`: who is in a pod, and which of its namespaces each of them shares.

use std::fmt::Write as _;
use std::process::ExitCode;

use record::{Namespace, Record};
use serde_json::{Value, json};

use crate::cli::ShowArgs;
use crate::error::Error;
use crate::procfs::{self, Identity, Status};
use crate::state::State;
use crate::step::kinds;

/// `nsrun show`
pub(crate) fn show(arguments: &ShowArgs) -> ExitCode {
    record::show(crate::TOOL, &arguments.source, |record| {
        let view = View::of(record)?;
        Ok::<_, Error>(if arguments.json {
            format!("{}\n", view.to_json())
        } else {
            view.to_table()
        })
    })
}

/// One process of the pod.
struct Member {
    pid: i32,
    /// In its own pid namespace.
    own_pid: i32,
    shares: Vec<Namespace>,
    inodes: Vec<(Namespace, u64)>,
    command: String,
}

/// What /proc says of a pod now.
struct View<'a> {
    id: &'a str,
    state: State,
    is_up: bool,
    members: Vec<Member>,
}

impl<'a> View<'a> {
    fn of(record: &'a Record) -> Result<Self, Error> {
        let id = record.id().unwrap_or_default();
        let state = record.get(crate::TOOL).and_then(State::from_json);
        let state =
            state.ok_or_else(|| Error::Failed(format!("{id}: has no namespaces (nsrun up)")))?;
        let is_up = state.holder.open()?.is_some();
        let members = if is_up { members(&state)? } else { Vec::new() };
        Ok(Self {
            id,
            state,
            is_up,
            members,
        })
    }

    fn to_json(&self) -> Value {
        let members = self.members.iter().map(|member| {
            let shares: Vec<_> = member.shares.iter().map(|kind| kind.proc_name()).collect();
            let inodes: serde_json::Map<_, _> =
                member.inodes.iter().map(|(kind, inode)| (kind.proc_name().to_owned(), json!(inode))).collect();
            json!({"pid": member.pid, "nspid": member.own_pid, "shares": shares, "namespaces": inodes, "command": member.command})
        });
        let made: Vec<_> = kinds(self.state.made)
            .iter()
            .map(|kind| kind.proc_name())
            .collect();
        json!({
            "id": self.id,
            "up": self.is_up,
            "pid": self.state.holder.pid,
            "made": made,
            "processes": members.collect::<Vec<_>>(),
        })
    }

    /// `+`: the pod's own, shared. `=`: shared with the pod and with whoever made it. `-`: another.
    fn to_table(&self) -> String {
        let (id, pid) = (self.id, self.state.holder.pid);
        if !self.is_up {
            return format!("{id}: down (process {pid} that held it is gone)\n");
        }
        let made = kinds(self.state.made);
        let names: Vec<_> = made.iter().map(|kind| kind.flag()).collect();
        let mut text = format!(
            "{id}: up, held by process {pid}, own namespaces: {}\n",
            names.join(" ")
        );
        let _ = write!(text, "{:>8} {:>6} ", "PID", "NSPID");
        let kinds = Namespace::ALL.map(Namespace::proc_name).join(" ");
        let _ = writeln!(text, " {kinds}  COMMAND");
        for member in &self.members {
            let _ = write!(text, "{:>8} {:>6} ", member.pid, member.own_pid);
            for kind in Namespace::ALL {
                let mark = match (member.shares.contains(&kind), made.contains(&kind)) {
                    (true, true) => "+",
                    (true, false) => "=",
                    (false, _) => "-",
                };
                let _ = write!(text, " {mark:^width$}", width = kind.proc_name().len());
            }
            let _ = writeln!(text, "  {}", member.command);
        }
        text
    }
}

/// Every process that shares a namespace of the pod's own with the one that holds it.
fn members(state: &State) -> Result<Vec<Member>, Error> {
    let holder = of_process(state.holder.pid);
    let own = |kind: &Namespace| state.made & kind.clone_flag() != 0;
    let mut members = Vec::new();
    for pid in procfs::pids()? {
        let found = of_process(pid);
        let shared = holder.iter().filter(|entry| found.contains(entry));
        let shares: Vec<Namespace> = shared.map(|(kind, _)| *kind).collect();
        // A pod that only joined namespaces has none of its own: there it is the holder alone.
        let is_member = if state.made == 0 {
            pid == state.holder.pid
        } else {
            shares.iter().any(own)
        };
        let (true, Some(command)) = (is_member, procfs::command(pid)) else {
            continue;
        };
        let own_pid = Status::of(pid)
            .and_then(|status| status.pids.last().copied())
            .unwrap_or(pid);
        let inodes = found
            .into_iter()
            .map(|(kind, (_, inode))| (kind, inode))
            .collect();
        members.push(Member {
            pid,
            own_pid,
            shares,
            inodes,
            command,
        });
    }
    members.sort_by_key(|member| member.pid);
    Ok(members)
}

fn of_process(pid: i32) -> Vec<(Namespace, Identity)> {
    Namespace::ALL
        .into_iter()
        .filter_map(|kind| Some((kind, procfs::namespace(pid, kind)?)))
        .collect()
}
