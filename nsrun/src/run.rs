//! `nsrun exec`: this process, or a child that it waits for, becomes CMD.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use ::sys::{Call, Command, SysError};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid, getsid};
use record::{Namespace, Record};

use crate::cli::{ExecArgs, NamespaceArgs};
use crate::error::Error;
use crate::groups::Group;
use crate::plan::{Clone3, End, Facts, Plan};
use crate::request::{Recorded, Request};
use crate::signals::{self, Callers, Reaction};
use crate::step::{self, Resources, Step};
use crate::{namespaces, sys};

/// `nsrun exec`
pub(crate) fn exec(arguments: &ExecArgs) -> ExitCode {
    match run(arguments) {
        Ok(status) => status.into(),
        Err(error) => {
            report(&error);
            error.exec_status().into()
        }
    }
}

/// What runs when no command is given: the user's shell, as in unshare(1).
fn default_shell() -> Vec<OsString> {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    vec![shell.unwrap_or_else(|| "/bin/sh".into())]
}

/// Runs CMD; returns its status if a child was CMD, and does not return if this process was to be it.
fn run(arguments: &ExecArgs) -> Result<u8, Error> {
    let pod = arguments.pod.as_deref().map(record::for_exec).transpose()?;
    let shell;
    let argv = if arguments.command.is_empty() {
        shell = default_shell();
        &shell
    } else {
        &arguments.command
    };
    let command = Command::new(argv);
    let end = End::Run {
        fork: arguments.fork || arguments.kill_child.is_some(),
        kill_child: arguments.kill_child.unwrap_or(Signal::SIGKILL),
    };
    let groups = match pod.as_ref().map(Record::groups).transpose()?.flatten() {
        Some(groups) => Group::of(&groups, "exec")?,
        None => Vec::new(),
    };
    let request = request(&arguments.namespaces, pod.as_ref())?;
    let (plan, mut resources) =
        prepare(&arguments.namespaces, &request, pod.as_ref(), &groups, end)?;
    if arguments.namespaces.dry_run {
        return print(&plan.lines(&command.line()));
    }
    for group in &groups {
        resources.groups.push(group.open()?);
    }
    let verbose = arguments.namespaces.verbose;
    do_all(&plan.before, &resources, verbose)?;
    match &plan.clone {
        Some(clone) => as_child(clone, &plan, &resources, &command, verbose),
        None => {
            do_all(&plan.after, &resources, verbose)?;
            Err(become_command(&command, &Callers::unchanged(), verbose))
        }
    }
}

/// What the options and the record ask for.
fn request(arguments: &NamespaceArgs, pod: Option<&Record>) -> Result<Request, Error> {
    let Some(pod) = pod else {
        return Request::new(arguments, &Recorded::default());
    };
    let recorded = Recorded {
        entries: pod.namespaces()?,
        holder: pod.holder()?.map(|holder| holder.pid),
        make: false,
    };
    let joins_something =
        pod.groups()?.is_some() || recorded.entries.iter().any(|entry| entry.path.is_some());
    if !joins_something {
        let id = pod.id().unwrap_or("the record");
        return Err(
            record::Error::Record(format!("{id}: names no namespace to join (nsrun up)")).into(),
        );
    }
    Request::new(arguments, &recorded)
}

/// Opens what the plan needs, and makes the plan.
pub(crate) fn prepare(
    arguments: &NamespaceArgs,
    request: &Request,
    pod: Option<&Record>,
    groups: &[Group],
    end: End<'_>,
) -> Result<(Plan, Resources), Error> {
    let (handles, fds): (Vec<_>, Vec<_>) = namespaces::open_all(&request.joins, pod)?
        .into_iter()
        .unzip();
    let facts = Facts {
        arguments,
        new: request.new,
        handles: &handles,
        groups,
        privileged: handles.is_empty() || is_privileged(),
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        end,
    };
    let plan = Plan::new(&facts);
    let proc = plan.needs_proc().then(step::open_proc).transpose()?;
    Ok((
        plan,
        Resources {
            handles: fds,
            groups: Vec::new(),
            proc,
        },
    ))
}

fn is_privileged() -> bool {
    caps::has_cap(
        None,
        caps::CapSet::Effective,
        caps::Capability::CAP_SYS_ADMIN,
    )
    .unwrap_or(false)
}

/// Prints a plan.
pub(crate) fn print(text: &str) -> Result<u8, Error> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .call(|| "write(stdout)".into())?;
    Ok(0)
}

/// One step after the other, up to the first that fails.
pub(crate) fn do_all(steps: &[Step], resources: &Resources, verbose: bool) -> Result<(), SysError> {
    for step in steps {
        step.run(resources)?;
        if verbose {
            step::say(step);
        }
    }
    Ok(())
}

/// clone3(2) as planned: None in the child.
pub(crate) fn clone(
    clone: &Clone3,
    resources: &Resources,
    extra: i32,
    verbose: bool,
) -> Result<Option<i32>, SysError> {
    let group = clone.group.map(|place| resources.groups[place].as_fd());
    let answer = sys::clone3(clone.flags | extra, group).map_err(|errno| SysError {
        call: clone.call.clone(),
        errno,
        hint: step::new_hint(clone.flags, errno),
    })?;
    if let Some(pid) = answer.filter(|_| verbose) {
        step::say(&format_args!("{} = {pid}", clone.call));
    }
    Ok(answer)
}

fn become_command(command: &Command, callers: &Callers, verbose: bool) -> Error {
    if verbose {
        step::say(&command.line());
    }
    match callers.restore() {
        Ok(()) => command.exec().into(),
        Err(errno) => SysError::new("sigprocmask(SIG_SETMASK)", errno).into(),
    }
}

/// A child becomes CMD; this process stays, hands signals on and ends as CMD does.
fn as_child(
    clone3: &Clone3,
    plan: &Plan,
    resources: &Resources,
    command: &Command,
    verbose: bool,
) -> Result<u8, Error> {
    let parent = ::sys::pidfd_open(getpid().as_raw())?;
    let callers = Callers::block().call(|| "sigprocmask(SIG_SETMASK)".into())?;
    match clone(clone3, resources, 0, verbose)? {
        Some(pid) => {
            let is_pid_1 = clone3.flags & Namespace::Pid.clone_flag() != 0;
            Ok(wait(Pid::from_raw(pid), is_pid_1)?)
        }
        None => {
            let error = match child(plan, resources, &parent, verbose) {
                Ok(()) => become_command(command, &callers, verbose),
                Err(error) => error,
            };
            report(&error);
            sys::exit_now(error.exec_status())
        }
    }
}

/// What the child does before it becomes CMD.
fn child(plan: &Plan, resources: &Resources, parent: &OwnedFd, verbose: bool) -> Result<(), Error> {
    do_all(&plan.after[..1], resources, verbose)?;
    // The signal was asked for a moment after the birth. getppid(2) could not tell whether the parent ended before: it is 0
    // in a new pid namespace.
    if ::sys::pidfd_wait(parent.as_fd(), Duration::ZERO)? {
        sys::exit_now(125);
    }
    Ok(do_all(&plan.after[1..], resources, verbose)?)
}

fn report(error: &impl Display) {
    record::report(crate::TOOL, error);
}

/// Waits until CMD has ended; its status, 128+N if signal N ended it.
///
/// The kernel does not let a terminal stop PID 1 of a namespace, but it stops whatever that one runs: then we stop for both, or
/// the shell would never have its terminal back.
fn wait(child: Pid, is_pid_1: bool) -> Result<u8, SysError> {
    let all = SigSet::all();
    let mut interrupted = false;
    let leads_session = getsid(None).is_ok_and(|session| session == getpid());
    loop {
        let signal = match sys::sigwaitinfo(&all) {
            Err(Errno::EINTR) => continue,
            answer => answer.call(|| "sigwaitinfo()".into())?,
        };
        match signals::reaction(signal, leads_session) {
            Reaction::Look => {
                if let Some(status) = look(child)? {
                    if interrupted && status == INTERRUPTED {
                        die_interrupted();
                    }
                    return Ok(status);
                }
            }
            // The pid is the child's for as long as it has not been waited for.
            Reaction::Forward => sys::kill(child.as_raw(), signal.number),
            Reaction::Leave => {
                interrupted |= signal.number == libc::SIGINT;
                let stops = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];
                if let Some(&signal) = stops.iter().find(|stop| **stop as i32 == signal.number)
                    && is_pid_1
                {
                    stop(signal)?;
                }
            }
        }
    }
}

/// The status of a command that SIGINT ended.
const INTERRUPTED: u8 = 128 + libc::SIGINT as u8;

/// After Ctrl-C a shell leaves its loop or script only if what it waits for was ended by the signal as well.
fn die_interrupted() {
    ::sys::set_disposition(libc::SIGINT, false);
    sys::kill(getpid().as_raw(), libc::SIGINT);
    let mut set = SigSet::empty();
    set.add(Signal::SIGINT);
    let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
}

/// Takes the changes of all children, some of whom this process may have been handed by who exec'd it.
fn look(child: Pid) -> Result<Option<u8>, SysError> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return Ok(Some(status as u8)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(Some(128 + signal as u8));
            }
            Ok(WaitStatus::Stopped(pid, signal)) if pid == child => stop(signal)?,
            Ok(WaitStatus::StillAlive) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(SysError::new("waitpid()", errno)),
        }
    }
}

/// Stops as CMD was stopped, so that the shell sees it; goes on here when it is continued, as CMD is.
fn stop(signal: Signal) -> Result<(), SysError> {
    let call = || format!("kill(self, {signal})");
    // Signals for stopping by hand have a default that can be asked for; SIGSTOP cannot be blocked.
    if signal != Signal::SIGSTOP {
        ::sys::set_disposition(signal as i32, false);
    }
    let mut set = SigSet::empty();
    set.add(signal);
    nix::sys::signal::kill(getpid(), signal).call(call)?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None).call(call)?;
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).call(call)
}
