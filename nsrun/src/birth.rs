//! A process that is born in its namespaces, waits to be written down, and execs.

use std::fs::OpenOptions;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ::sys::{Call, Command, Program, SysError, exit_now};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout};
use record::Namespace;

use crate::error::Error;
use crate::plan::Plan;
use crate::run::{self, do_all};
use crate::step::{self, Resources, Step};
use crate::{procfs, signals};

/// What the process that stays has as descriptors 0, 1 and 2.
pub(crate) struct Stdio {
    null: OwnedFd,
    log: Option<OwnedFd>,
}

impl Stdio {
    pub(crate) fn open(log: Option<&Path>) -> Result<Self, SysError> {
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
            .call(|| "open(/dev/null)".into())?;
        let log = log.map(|path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.call(|| format!("open({})", path.display()))
                .map(OwnedFd::from)
        });
        Ok(Self {
            null,
            log: log.transpose()?,
        })
    }

    fn take(&self) -> Result<(), SysError> {
        let out = self.log.as_ref().unwrap_or(&self.null);
        let all = dup2_stdin(&self.null)
            .and_then(|()| dup2_stdout(out))
            .and_then(|()| dup2_stderr(out));
        all.call(|| "dup2()".into())
    }
}

/// Everything the new process needs.
pub(crate) struct Birth<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) resources: &'a Resources,
    pub(crate) stdio: &'a Stdio,
    pub(crate) command: &'a Command,
    pub(crate) program: &'a Program,
    pub(crate) verbose: bool,
}

/// A process that has done its steps and waits to be written down.
pub(crate) struct Born {
    pub(crate) pid: i32,
    /// A byte lets it go on; end of file, also because we were killed, ends it.
    go: Option<PipeWriter>,
    /// Its error; end of file when it has exec'd.
    status: PipeReader,
}

/// What the child writes when its steps are done; anything else is an error.
const READY: u8 = b'+';

impl Birth<'_> {
    /// Has a child do the steps up to the last.
    pub(crate) fn begin(&self, environment: bool) -> Result<Born, Error> {
        let new_pipe = || pipe().call(|| "pipe2(O_CLOEXEC)".into());
        let (go, go_writer) = new_pipe()?;
        let (status, status_writer) = new_pipe()?;
        let Some(pid) = self.fork()? else {
            drop((go_writer, status));
            self.live(go, status_writer, environment)
        };
        drop((go, status_writer));
        let mut born = Born {
            pid,
            go: Some(go_writer),
            status,
        };
        let mut first = [0];
        let count = born.status.read(&mut first).call(|| "read(pipe)".into())?;
        if count == 1 && first[0] == READY {
            return Ok(born);
        }
        let error = born.error(&first[..count])?;
        born.abandon();
        Err(Error::Failed(error))
    }

    /// A child in its namespaces. What joins more than a pid namespace is done by a process between, so that this one stays where it is.
    fn fork(&self) -> Result<Option<i32>, Error> {
        let clone = self
            .plan
            .clone
            .as_ref()
            .ok_or_else(|| Error::Failed("nothing to hold".into()))?;
        let stays = |step: &Step| match step {
            Step::Setns { flags, .. } => flags & !Namespace::Pid.clone_flag() == 0,
            _ => true,
        };
        if self.plan.before.iter().all(stays) {
            do_all(&self.plan.before, self.resources, self.verbose)?;
            return run::clone(clone, self.resources, 0, self.verbose);
        }
        let (mut pid, mut pid_writer) = pipe().call(|| "pipe2(O_CLOEXEC)".into())?;
        let between = ::sys::clone3(0, None).call(|| "clone3()".into())?;
        let Some(between) = between else {
            drop(pid);
            let answer = do_all(&self.plan.before, self.resources, self.verbose)
                .map_err(Error::from)
                .and_then(|()| run::clone(clone, self.resources, libc::CLONE_PARENT, self.verbose));
            let line = match answer {
                Ok(None) => return Ok(None),
                Ok(Some(pid)) => pid.to_string(),
                Err(error) => error.to_string(),
            };
            let _ = pid_writer.write_all(line.as_bytes());
            exit_now(0)
        };
        drop(pid_writer);
        let mut line = String::new();
        pid.read_to_string(&mut line).call(|| "read(pipe)".into())?;
        waitpid(Pid::from_raw(between), None).call(|| format!("waitpid({between})"))?;
        line.parse().map(Some).map_err(|_| Error::Failed(line))
    }

    /// The child: its steps, then it waits until its parent has written it down, then it execs.
    fn live(&self, mut go: PipeReader, mut status: PipeWriter, environment: bool) -> ! {
        let ready = do_all(&self.plan.after, self.resources, self.verbose).map_err(Error::from);
        let ready =
            ready.and_then(|()| Ok(status.write_all(&[READY]).call(|| "write(pipe)".into())?));
        let error = match ready {
            Err(error) => error,
            Ok(()) => {
                if !matches!(go.read(&mut [0]), Ok(1)) {
                    exit_now(125);
                }
                if self.verbose {
                    step::say(&self.command.line());
                }
                let last = self
                    .stdio
                    .take()
                    .and_then(|()| ::sys::close_on_exec_from(3));
                let last = last.and_then(|()| {
                    signals::reset(!environment).call(|| "sigprocmask(SIG_SETMASK)".into())
                });
                match last {
                    Ok(()) => self.command.exec_program(self.program, environment).into(),
                    Err(error) => error.into(),
                }
            }
        };
        let _ = status.write_all(error.to_string().as_bytes());
        exit_now(125)
    }
}

impl Born {
    /// Whether `down` will be able to end it: where a filter or the kernel keeps us from that, nothing is made.
    pub(crate) fn can_be_ended(&self) -> Result<(), Error> {
        let pidfd = ::sys::pidfd_open(self.pid)?;
        // What goes on anyway takes no notice of it.
        Ok(::sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGCONT)?)
    }

    /// Lets it exec, and waits until it has.
    pub(crate) fn let_go(&mut self) -> Result<(), Error> {
        if let Some(mut go) = self.go.take() {
            go.write_all(&[READY]).call(|| "write(pipe)".into())?;
        }
        let error = self.error(&[])?;
        if !error.is_empty() {
            return Err(Error::Failed(error));
        }
        // The end of file was that of an exec, or of a life that somebody else has ended.
        match procfs::has_execed(self.pid) {
            Some(true) => Ok(()),
            _ => Err(Error::Failed(format!(
                "execve(pause): process {} was ended before it came to it",
                self.pid
            ))),
        }
    }

    /// What it says until the end of file.
    fn error(&mut self, head: &[u8]) -> Result<String, SysError> {
        let mut text = head.to_vec();
        self.status
            .read_to_end(&mut text)
            .call(|| "read(pipe)".into())?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits for its end: it has failed, or ends because nobody lets it go on.
    pub(crate) fn abandon(&mut self) {
        let was_let_go = self.go.take().is_none();
        if was_let_go {
            ::sys::kill(self.pid, libc::SIGKILL);
        }
        let _ = waitpid(Pid::from_raw(self.pid), None);
    }
}
