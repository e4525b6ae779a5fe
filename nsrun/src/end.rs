//! `nsrun down`: ends every process of a pod, and nobody else.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use record::{Down, Id, Namespace, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;
use sys::{Call, SysError, pidfd_send_signal, pidfd_wait};

use crate::cli::DownArgs;
use crate::error::Error;
use crate::pin;
use crate::pod::{Found, Pod, Process};
use crate::procfs::{self, Status};
use crate::request::holder_path;
use crate::state::State;
use crate::step::{self, kinds};
use crate::sys as own;

/// How long a process may take to end after KILL.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long those that started the processes may take to reap them all. A zombie holds nothing but its pid.
const REAPING: Duration = Duration::from_millis(20);

/// After this long the pod is searched again for processes that were started meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// `nsrun down`
pub(crate) fn down(arguments: &DownArgs) -> ExitCode {
    sys::allow_descriptors();
    if arguments.dry_run {
        return record::show(crate::TOOL, &arguments.source, dry_run);
    }
    record::down(crate::TOOL, &arguments.source, |down| {
        undo_pod(down, arguments)
    })
}

fn dry_run(record: &Record) -> Result<String, Error> {
    let state = record.get(crate::TOOL).and_then(State::from_json);
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(record::Error::Record)?;
    let pod = Pod::new(&id, state.as_ref(), record.groups()?.as_ref())?;
    let (others, holder) = split(pod.processes()?, &pod);
    let line = |process: &Process| {
        let name = procfs::command(process.pid).unwrap_or_default();
        format!(
            "pidfd_send_signal(pidfd of {}, SIGTERM): {name}\n",
            process.pid
        )
    };
    let pins = state
        .map(|state| pin::left(&id, &state))
        .transpose()?
        .unwrap_or_default();
    let ends = others.iter().chain(&holder).map(line);
    let unpins = pins
        .iter()
        .map(|(_, path)| format!("umount({}, MNT_DETACH)\n", path.display()));
    Ok(ends.chain(unpins).collect())
}

/// Ends the processes and takes the paths out of the record.
fn undo_pod(down: &mut Down, arguments: &DownArgs) -> Result<(), Error> {
    let of = |state: &Option<Value>| state.as_ref().and_then(State::from_json);
    let state = believed(&down.id, of(&down.state), of(&down.indexed))?;
    let groups = down.record.groups()?;
    let named = |error| named(&down.id, error);
    let pod = Pod::new(&down.id, state.as_ref(), groups.as_ref()).map_err(named)?;
    end(&pod, arguments.grace, arguments.verbose).map_err(named)?;
    unpin(down, arguments.verbose).map_err(named)?;
    // Of every state there is: a record may have lain in a file while the pod was made anew.
    let states = [down.state.as_ref(), down.indexed.as_ref()];
    for state in states.into_iter().flatten().filter_map(State::from_json) {
        for kind in Namespace::ALL {
            // What nobody can read is no path of ours; the record keeps it.
            let Ok(path) = down.record.namespace_path(kind) else {
                break;
            };
            let is_ours =
                |path| path == holder_path(state.holder.pid, kind) || path == state.path(kind);
            if path.is_some_and(is_ours) && kinds(state.made).contains(&kind) {
                down.record.set_namespace(kind, None)?;
            }
        }
    }
    Ok(())
}

/// Pins are mounts outside of the pod: only the index is believed about them, as anybody can read the inode of a name in
/// /run/netns and write it into a record.
fn unpin(down: &Down, verbose: bool) -> Result<(), Error> {
    if let Some(state) = down.indexed.as_ref().and_then(State::from_json) {
        return pin::unpin(&down.id, &state, verbose);
    }
    let recorded = down.state.as_ref().and_then(State::from_json);
    let left = recorded
        .map(|state| pin::left(&down.id, &state))
        .transpose()?;
    match left.unwrap_or_default().first() {
        None => Ok(()),
        Some((_, path)) => Err(Error::Failed(format!(
            "{} is pinned, and {} knows nothing of it (umount and rm, or ip netns delete)",
            path.display(),
            record::names::run_dir().display()
        ))),
    }
}

fn named(id: &Id, error: Error) -> Error {
    match error {
        Error::Failed(text) => Error::Failed(format!("{id}: {text}")),
        other => other,
    }
}

/// The state whose processes may be signalled. Only what the index confirms is believed while it has something: a record comes
/// from anywhere.
pub(crate) fn believed(
    id: &Id,
    recorded: Option<State>,
    indexed: Option<State>,
) -> Result<Option<State>, Error> {
    match (recorded, indexed) {
        // Another process holds the same pod by now.
        (Some(recorded), Some(indexed)) if recorded.is_pinned_as(&indexed) => Ok(Some(indexed)),
        (Some(recorded), Some(indexed)) if recorded.holder != indexed.holder => {
            if indexed.holder.open()?.is_none() {
                return Ok(Some(indexed));
            }
            Err(Error::Failed(format!(
                "{id}: the record is of process {}, the pod that is up is of process {} (nsrun down --id {id})",
                recorded.holder.pid, indexed.holder.pid
            )))
        }
        (_, Some(indexed)) => Ok(Some(indexed)),
        (Some(recorded), None) => confirmed(id, recorded),
        (None, None) => Ok(None),
    }
}

/// Without an index the holder has to look like one: `pause --id ID`.
fn confirmed(id: &Id, state: State) -> Result<Option<State>, Error> {
    let pid = state.holder.pid;
    if state.holder.open()?.is_none() {
        return Ok(Some(state));
    }
    let command = procfs::command(pid).unwrap_or_default();
    let mut words = command.split(' ');
    let is_pause = words
        .next()
        .is_some_and(|name| name.rsplit('/').next() == Some("pause"));
    if is_pause && words.next() == Some("--id") && words.next() == Some(id.as_ref()) {
        return Ok(Some(state));
    }
    let dir = record::names::run_dir();
    Err(Error::Failed(format!(
        "{id}: process {pid} ({command}) is not its pause, and {} knows of none",
        dir.display()
    )))
}

/// Undoes a failed or interrupted `up`: nobody was told of the pod, so nobody in it is asked.
///
/// One that was to be held again goes back to being held by its pins: only the new process ends.
pub(crate) fn undo(id: &Id, state: &Value) -> Result<(), Error> {
    let restores = state.get(record::RESTORES).is_some();
    let Some(state) = State::from_json(state) else {
        return Ok(());
    };
    if !restores {
        end(&Pod::new(id, Some(&state), None)?, Duration::ZERO, false)?;
        return pin::unpin(id, &state, false);
    }
    let pid = state.holder.pid;
    let Some(pidfd) = state.holder.open()? else {
        return Ok(());
    };
    let holder = || {
        let ended = pidfd_wait(pidfd.as_fd(), Duration::ZERO)?;
        let pidfd = pidfd.try_clone().call(|| "dup(pidfd)".into())?;
        let processes = (!ended).then_some(Process { pid, pidfd });
        Ok(Found {
            processes: processes.into_iter().collect(),
            missed: None,
        })
    };
    let mut ending = Ending::new(holder, false)?;
    ending.kill(None)?;
    Ok(reap(ending.met.into_values())?)
}

/// The processes in the namespaces of a pod whose holder is gone.
pub(crate) fn left(id: &Id, state: &State) -> Result<Vec<i32>, Error> {
    Ok(Pod::new(id, Some(state), None)?
        .processes()?
        .iter()
        .map(|process| process.pid)
        .collect())
}

/// The process that holds the pod is the last: with it a pid namespace would end at once.
pub(crate) fn split(processes: Vec<Process>, pod: &Pod) -> (Vec<Process>, Vec<Process>) {
    processes
        .into_iter()
        .partition(|process| Some(process.pid) != pod.holder)
}

/// TERM, a time to react, KILL; the same for the process that holds the pod. Returns when nobody is left.
fn end(pod: &Pod, grace: Duration, verbose: bool) -> Result<(), Error> {
    pod.thaw();
    let until = Instant::now() + grace;
    let mut ending = Ending::new(|| pod.find(), verbose)?;
    for spared in [pod.holder, None] {
        ending.ask(spared, until)?;
        ending.kill(spared)?;
    }
    Ok(reap(ending.met.into_values())?)
}

/// Processes on their way out. Each look at who is there reads all of /proc and the groups: there are as few as can be.
struct Ending<F> {
    find: F,
    /// As it was at the last look; who has ended since is no other process.
    found: Found,
    /// Those of earlier looks, to be reaped.
    met: BTreeMap<i32, Process>,
    /// Not all could be held at once: the others have to be found yet, and need the descriptors of those of earlier looks.
    has_few: bool,
    verbose: bool,
}

impl<F: Fn() -> Result<Found, Error>> Ending<F> {
    fn new(find: F, verbose: bool) -> Result<Self, Error> {
        let found = find()?;
        Ok(Self {
            has_few: found.missed.is_some(),
            find,
            found,
            met: BTreeMap::new(),
            verbose,
        })
    }

    fn look(&mut self) -> Result<(), Error> {
        for process in std::mem::take(&mut self.found.processes) {
            self.met.entry(process.pid).or_insert(process);
        }
        if self.has_few {
            self.met.clear();
        }
        self.found = (self.find)()?;
        self.has_few |= self.found.missed.is_some();
        Ok(())
    }

    /// Of the last look.
    fn without(&self, spared: Option<i32>) -> impl Iterator<Item = &Process> {
        let found = self.found.processes.iter();
        found.filter(move |process| Some(process.pid) != spared)
    }

    /// Sends TERM to each that is there, and waits for those whom it can end.
    ///
    /// What they start in order to end well gets no TERM, and the time it takes; unless nobody can tell it from who was there.
    fn ask(&mut self, spared: Option<i32>, until: Instant) -> Result<(), Error> {
        if Instant::now() >= until {
            return Ok(());
        }
        let mut asked = HashSet::new();
        loop {
            let is_first = asked.is_empty();
            let mut is_new = false;
            for process in self.without(spared) {
                if (is_first || self.has_few) && asked.insert(process.pid) {
                    ask_one(process, self.verbose)?;
                    is_new = true;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            // Asked again: what was caught at first may be ignored by now.
            match self.without(spared).find(|process| reacts(process)) {
                _ if left.is_zero() => return Ok(()),
                Some(process) => {
                    pidfd_wait(process.pidfd.as_fd(), LOOK.min(left))?;
                }
                // They have ended by now, and there are others.
                None if is_new && self.has_few => {}
                None => return Ok(()),
            }
            self.look()?;
        }
    }

    /// Sends KILL until there is nobody left to send it to.
    fn kill(&mut self, spared: Option<i32>) -> Result<(), Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(first) = self.without(spared).next() else {
                return Ok(());
            };
            if Instant::now() >= until {
                let name = procfs::command(first.pid).unwrap_or_default();
                return Err(Error::Failed(format!(
                    "process {} ({name}) does not end after SIGKILL",
                    first.pid
                )));
            }
            for process in self.without(spared) {
                send(process, Signal::SIGKILL, self.verbose)?;
            }
            for process in self.without(spared) {
                let left = until.saturating_duration_since(Instant::now());
                pidfd_wait(process.pidfd.as_fd(), left)?;
            }
            self.look()?;
        }
    }
}

fn ask_one(process: &Process, verbose: bool) -> Result<(), SysError> {
    if reacts(process) {
        send(process, Signal::SIGTERM, verbose)?;
        // A stopped process takes it when it goes on.
        send(process, Signal::SIGCONT, false)?;
    }
    Ok(())
}

/// "Already gone" is as good as sent.
fn send(process: &Process, signal: Signal, verbose: bool) -> Result<(), SysError> {
    match pidfd_send_signal(process.pidfd.as_fd(), signal as i32) {
        Err(error) if error.errno == Errno::ESRCH => Ok(()),
        Err(mut error) => {
            error.call = format!("pidfd_send_signal(pidfd of {}, {signal})", process.pid);
            Err(error)
        }
        Ok(()) => {
            if verbose {
                step::say(&format_args!(
                    "pidfd_send_signal(pidfd of {}, {signal})",
                    process.pid
                ));
            }
            Ok(())
        }
    }
}

/// What TERM cannot end is not waited for; an nsrun that waits for its command ends with it, and the command is asked.
fn reacts(process: &Process) -> bool {
    // Its mask would not tell: while it waits for signals /proc shows none as blocked.
    let exe = |pid: &str| procfs::identity(format!("/proc/{pid}/exe"));
    Status::of(process.pid).is_some_and(|status| status.reacts_to(libc::SIGTERM))
        && exe(&process.pid.to_string()) != exe("self")
}

/// Reaps children of ours, and gives the parents of others a moment to: afterwards their pids are free.
fn reap(ended: impl Iterator<Item = Process>) -> Result<(), SysError> {
    let until = Instant::now() + REAPING;
    for process in ended {
        let _ = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
        while own::pidfd_exists(process.pidfd.as_fd()) && Instant::now() < until {
            // Since Linux 6.9 a pidfd hangs up when its process is reaped; before, this is a pause of a millisecond.
            let mut fds = [PollFd::new(&process.pidfd, PollFlags::empty())];
            let moment = Timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000,
            };
            match poll(&mut fds, Some(&moment)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).call(|| "poll(pidfd)".into()),
            }
        }
    }
    Ok(())
}
