//! `nsrun kill`: a signal to the process that holds a pod, or to every process in it, and to nobody else.

use std::os::fd::AsFd;
use std::process::ExitCode;

use record::{Id, Record};

use crate::cli::KillArgs;
use crate::end;
use crate::error::Error;
use crate::pod::{Pod, Process};
use crate::state::State;
use crate::sys;

/// `nsrun kill`
pub(crate) fn kill(arguments: &KillArgs) -> ExitCode {
    ::sys::allow_descriptors();
    record::show(crate::TOOL, &arguments.source, |record| {
        let processes = reached(record, arguments)?;
        if arguments.dry_run {
            let call = |process| call(process, arguments.signal) + "\n";
            return Ok(processes.iter().map(call).collect());
        }
        processes
            .iter()
            .try_for_each(|process| send(process, arguments))?;
        Ok::<_, Error>(String::new())
    })
}

/// Whom it is for.
fn reached(record: &Record, arguments: &KillArgs) -> Result<Vec<Process>, Error> {
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(record::Error::Record)?;
    let of = |record: &Record| State::from_json(record.get(crate::TOOL)?);
    let indexed = record::indexed(&id)?.as_ref().and_then(of);
    let state = end::believed(&id, of(record), indexed)?;
    let none = || Error::Failed(format!("{id}: has no namespaces (nsrun up)"));
    let state = state.ok_or_else(none)?;
    if arguments.all {
        let groups = record.groups()?;
        let pod = Pod::new(&id, Some(&state), groups.as_ref())?;
        let (others, holder) = end::split(pod.processes()?, &pod);
        return Ok(others.into_iter().chain(holder).collect());
    }
    let pid = state.holder.pid;
    match state.holder.open()? {
        Some(pidfd) => Ok(vec![Process { pid, pidfd }]),
        None => Err(Error::Failed(format!(
            "{id}: process {pid} that held it is gone"
        ))),
    }
}

/// Of many, one that has ended meanwhile is as good as reached.
fn send(process: &Process, arguments: &KillArgs) -> Result<(), Error> {
    use nix::errno::Errno;
    match sys::pidfd_kill(process.pidfd.as_fd(), arguments.signal) {
        Err(Errno::ESRCH) if arguments.all => Ok(()),
        Err(errno) => {
            let call = call(process, arguments.signal);
            Err(::sys::SysError::new(call, errno).into())
        }
        Ok(()) => Ok(()),
    }
}

fn call(process: &Process, signal: i32) -> String {
    format!("pidfd_send_signal(pidfd of {}, {signal})", process.pid)
}
