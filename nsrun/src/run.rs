//! `nsrun exec`: this process, or a child that it waits for, becomes CMD.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{IsTerminal, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ::sys::parent::{self, Callers};
use ::sys::{Call, Command, SysError, exit_now};
use caps::{CapSet, Capability};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpid};
use record::{Namespace, Record};
use rustix::fs::CWD;

use crate::cli::ExecArgs;
use crate::error::Error;
use crate::find::{find_pause, find_self};
use crate::groups::Group;
use crate::maps::{Maps, RecordedMaps};
use crate::namespace_args::NamespaceArgs;
use crate::offset::Offsets;
use crate::plan::{Clone3, End, Facts, Plan};
use crate::request::{Recorded, Request};
use crate::step::{self, Resources, Step};
use crate::terminal::Pty;
use crate::{namespaces, procfs, sys};

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
    let pty = terminal(arguments, argv)?;
    let end = End::Run {
        fork: fork(arguments).or(pty.is_some().then_some(true)),
        terminal: pty.is_some(),
        kill_child: arguments.kill_child.unwrap_or(Signal::SIGKILL),
        credentials: arguments.credentials,
    };
    let mut groups = match pod.as_ref().map(Record::groups).transpose()?.flatten() {
        Some(groups) => Group::of(&groups, "exec")?,
        None => Vec::new(),
    };
    if let Some(pid) = arguments
        .namespaces
        .target
        .filter(|_| arguments.join_cgroup)
    {
        groups = Group::of_process(pid)?;
    }
    let request = request(arguments, pod.as_ref())?;
    let mut command = if arguments.init {
        under_pause(argv, &request, &arguments.namespaces)?
    } else if is_own(argv) && goes_elsewhere(&request, &arguments.namespaces) {
        Command::new(argv).found(find_self()?)
    } else {
        Command::new(argv)
    };
    if let Some(pid) = arguments.namespaces.target.filter(|_| arguments.env) {
        command = command.with_environment(&procfs::environment(pid)?);
    }
    let maps = maps(&arguments.namespaces, &request, &RecordedMaps::default())?;
    let asked = Asked {
        arguments: &arguments.namespaces,
        request: &request,
        pod: pod.as_ref(),
        groups: &groups,
        maps: maps.as_ref(),
        offsets: arguments.namespaces.offsets(),
    };
    let (plan, mut resources) = asked.prepare(end)?;
    resources.pty = pty;
    if arguments.namespaces.dry_run {
        return print(&plan.lines(&command.line()));
    }
    for group in &groups {
        resources.groups.push(group.open()?);
    }
    let verbose = arguments.namespaces.verbose;
    do_all(&plan.before, &resources, verbose)?;
    match &plan.clone {
        Some(clone) => as_child(clone, &plan, resources, &command, verbose),
        None => {
            do_all(&plan.after, &resources, verbose)?;
            Err(become_command(&command, &Callers::unchanged(), verbose))
        }
    }
}

/// A terminal of its own for CMD: it was asked for, or who types would share his with what is dropped or another user.
fn terminal(arguments: &ExecArgs, argv: &[OsString]) -> Result<Option<Pty>, SysError> {
    let is_nsrun = |word: &OsString| Path::new(word).file_name() == Some("nsrun".as_ref());
    let drops = argv
        .windows(2)
        .any(|words| is_nsrun(&words[0]) && words[1] == "drop");
    let is_other = |uid| {
        let is_own = uid == nix::unistd::geteuid().as_raw();
        // In a user namespace of ours root is who we are.
        !(is_own || uid == 0 && arguments.namespaces.maps.is_given())
    };
    let shares = drops || arguments.credentials.setuid.is_some_and(is_other);
    match arguments.pty {
        Some(false) => Ok(None),
        Some(true) => Pty::open().map(Some),
        None if !shares || arguments.no_fork || !std::io::stdin().is_terminal() => Ok(None),
        // Where no terminal can be made (no /dev/ptmx), drop leaves the session, and with it the terminal, or types nothing.
        None => Ok(Pty::open().ok()),
    }
}

/// What --fork, --no-fork and --kill-child say.
fn fork(arguments: &ExecArgs) -> Option<bool> {
    let asked = arguments.fork || arguments.kill_child.is_some();
    (asked || arguments.no_fork).then_some(asked)
}

/// `nsrun` without a slash: the rest of a chain, which no other root or mount namespace need have.
fn is_own(argv: &[OsString]) -> bool {
    argv.first().is_some_and(|name| name == crate::TOOL)
}

/// CMD runs where paths may lead elsewhere.
fn goes_elsewhere(request: &Request, arguments: &NamespaceArgs) -> bool {
    let mut joins = request.joins.iter();
    arguments.root.is_some() || joins.any(|join| join.kind == Namespace::Mount)
}

/// `pause -- CMD`: the host's pause, which is found before we are in another root.
fn under_pause(
    argv: &[OsString],
    request: &Request,
    arguments: &NamespaceArgs,
) -> Result<Command, Error> {
    let elsewhere = goes_elsewhere(request, arguments);
    let mut line: Vec<OsString> = vec!["pause".into(), "--".into()];
    line.extend_from_slice(argv);
    Ok(Command::new(&line).found(find_pause(elsewhere)?))
}

/// What the options and the record ask for.
fn request(arguments: &ExecArgs, pod: Option<&Record>) -> Result<Request, Error> {
    let mut recorded = Recorded {
        join_cgroup: arguments.join_cgroup,
        ..Recorded::default()
    };
    let Some(pod) = pod else {
        return Request::new(&arguments.namespaces, &recorded);
    };
    recorded.entries = pod.namespaces()?;
    recorded.holder = pod.holder()?.map(|holder| holder.pid);
    let joins_something =
        pod.groups()?.is_some() || recorded.entries.iter().any(|entry| entry.path.is_some());
    if !joins_something {
        let id = pod.id().unwrap_or("the record");
        return Err(
            record::Error::Record(format!("{id}: names no namespace to join (nsrun up)")).into(),
        );
    }
    Request::new(&arguments.namespaces, &recorded)
}

/// Everything a plan is made from.
pub(crate) struct Asked<'a> {
    pub(crate) arguments: &'a NamespaceArgs,
    pub(crate) request: &'a Request,
    pub(crate) pod: Option<&'a Record>,
    pub(crate) groups: &'a [Group],
    pub(crate) maps: Option<&'a Maps>,
    pub(crate) offsets: Offsets,
}

impl Asked<'_> {
    /// Opens what the plan needs, and makes the plan.
    pub(crate) fn prepare(&self, end: End<'_>) -> Result<(Plan, Resources), Error> {
        let (handles, fds): (Vec<_>, Vec<_>) = namespaces::open_all(&self.request.joins, self.pod)?
            .into_iter()
            .unzip();
        let facts = Facts {
            arguments: self.arguments,
            new: self.request.new,
            handles: &handles,
            groups: self.groups,
            maps: self.maps,
            offsets: self.offsets,
            privileged: handles.is_empty() || has(Capability::CAP_SYS_ADMIN),
            end,
        };
        let plan = Plan::new(&facts);
        if plan.clone.is_none() {
            facts.check_no_fork()?;
        }
        let proc = plan.needs_proc().then(procfs::open).transpose()?;
        Ok((
            plan,
            Resources {
                handles: fds,
                groups: Vec::new(),
                proc,
                pty: None,
            },
        ))
    }
}

/// Who is who in the new user namespace, if there is one.
pub(crate) fn maps(
    arguments: &NamespaceArgs,
    request: &Request,
    recorded: &RecordedMaps,
) -> Result<Option<Maps>, Error> {
    if request.new & Namespace::User.clone_flag() == 0 {
        return Ok(None);
    }
    let is_privileged = has(Capability::CAP_SETUID) && has(Capability::CAP_SETGID);
    Maps::new(&arguments.maps, recorded, is_privileged)
}

fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
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

/// clone3(2) as planned: None in the child, which knows by then who is who in its user namespace.
pub(crate) fn clone(
    clone: &Clone3,
    resources: &Resources,
    extra: i32,
    verbose: bool,
) -> Result<Option<i32>, Error> {
    let Some(maps) = &clone.maps else {
        return Ok(clone_only(clone, resources, extra, verbose)?);
    };
    let (mut go, mut go_writer) = pipe().call(|| "pipe2(O_CLOEXEC)".into())?;
    let Some(pid) = clone_only(clone, resources, extra, verbose)? else {
        drop(go_writer);
        // End of file: the parent could not, and has said so.
        if !matches!(go.read(&mut [0]), Ok(1)) {
            exit_now(125);
        }
        return Ok(None);
    };
    let proc = resources.proc.as_ref().map_or(CWD, AsFd::as_fd);
    let written = maps.write_for(proc, pid);
    if written.is_ok() {
        if verbose {
            record::trace_all(crate::TOOL, &maps.calls(&pid.to_string()));
        }
        go_writer.write_all(b"+").call(|| "write(pipe)".into())?;
    }
    drop(go_writer);
    if written.is_err() && extra & libc::CLONE_PARENT == 0 {
        let _ = waitpid(Pid::from_raw(pid), None);
    }
    written.map(|()| Some(pid))
}

fn clone_only(
    clone: &Clone3,
    resources: &Resources,
    extra: i32,
    verbose: bool,
) -> Result<Option<i32>, SysError> {
    let group = clone.group.map(|place| resources.groups[place].as_fd());
    let answer = ::sys::clone3(clone.flags | extra, group).map_err(|errno| clone.error(errno))?;
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
    mut resources: Resources,
    command: &Command,
    verbose: bool,
) -> Result<u8, Error> {
    let parent = ::sys::pidfd_open(getpid().as_raw())?;
    let callers = Callers::block().call(|| "sigprocmask(SIG_SETMASK)".into())?;
    let mut live = || {
        let error = match child(plan, &resources, &parent, verbose) {
            Ok(()) => become_command(command, &callers, verbose),
            Err(error) => error,
        };
        report(&error);
        error.exec_status()
    };
    // While the child lives in our memory we could not say that it was born.
    let pid = if clone3.is_plain() && !plan.joins_clocks() && !verbose {
        sys::vfork(clone3.flags, &mut live).map_err(|errno| clone3.error(errno))?
    } else {
        match clone(clone3, &resources, 0, verbose)? {
            Some(pid) => pid,
            None => exit_now(live()),
        }
    };
    if let Some(pty) = resources.pty.take() {
        return Ok(pty.relay(Pid::from_raw(pid))?);
    }
    let is_pid_1 = clone3.flags & Namespace::Pid.clone_flag() != 0;
    Ok(parent::wait(Pid::from_raw(pid), is_pid_1)?.status())
}

/// What the child does before it becomes CMD.
fn child(plan: &Plan, resources: &Resources, parent: &OwnedFd, verbose: bool) -> Result<(), Error> {
    for step in &plan.after {
        do_all(std::slice::from_ref(step), resources, verbose)?;
        // The signal was asked for a moment after the birth, or after a change of ids that had forgotten it. getppid(2)
        // could not tell whether the parent ended before: it is 0 in a new pid namespace.
        let asked = matches!(step, Step::DieWithParent(_));
        if asked && ::sys::pidfd_wait(parent.as_fd(), Duration::ZERO)? {
            exit_now(125);
        }
    }
    Ok(())
}

pub(crate) fn report(error: &impl Display) {
    record::report(crate::TOOL, error);
}
