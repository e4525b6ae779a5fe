//! `mkbox exec`: makes the box the root of this process, in a mount namespace of its own, and runs CMD there.
//!
//! The host's mount table never changes: every mount is made in the new namespace, after propagation out of it ended.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sched::{CloneFlags, unshare};
use record::Record;
use rustix::fs::{CWD, Mode, ResolveFlags, openat2};
use rustix::process::{DumpableBehavior, fchdir, set_dumpable_behavior};
use sys::{Call, ExecError, Program, SysError};

use crate::assemble::Assembly;
use crate::attach::{needs_admin, read_only_copy};
use crate::cli::ExecArgs;
use crate::error::Error;
use crate::handed::Handed;
use crate::pivot::{end_propagation, pivot};
use crate::place::{Marker, Place};
use crate::root::DIRECTORY;
use crate::state::State;
use crate::{TOOL, boundary, print};

/// Ours that CMD may be without being in the box: the rest of a chain.
const OWN: [&str; 2] = ["nsrun", "pause"];
/// The status of our own failures: 0 to 124 are CMD's.
const OURS: u8 = 125;

/// Runs the verb.
pub(crate) fn exec(args: &ExecArgs) -> ExitCode {
    let (root, command) = args.split();
    let command = if command.is_empty() {
        vec![shell()]
    } else {
        command.to_vec()
    };
    let entry = match Entry::new(args, root, &command) {
        Ok(entry) => entry,
        Err(error) => {
            record::report(TOOL, &error);
            return ExitCode::from(OURS);
        }
    };
    if args.dry_run {
        return print(Ok(entry.describe()));
    }
    match entry.enter(&command) {
        Ok(never) => match never {},
        Err(Failed::Ours(error)) => {
            record::report(TOOL, &error);
            ExitCode::from(OURS)
        }
        Err(Failed::Command(error)) => {
            record::report(TOOL, &error);
            ExitCode::from(error.status())
        }
    }
}

/// What nsrun(1) and unshare(1) run when nothing is said.
fn shell() -> OsString {
    std::env::var_os("SHELL")
        .filter(|shell| !shell.is_empty())
        .unwrap_or_else(|| "/bin/sh".into())
}

/// Why CMD does not run.
enum Failed {
    Ours(Error),
    Command(ExecError),
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Ours(error.into())
    }
}

/// What is done, as data.
struct Entry {
    assembly: Assembly,
    /// Where CMD begins, in the box.
    cwd: PathBuf,
    /// A program of the host that runs in the box.
    own: Option<PathBuf>,
    verbose: bool,
}

impl Entry {
    fn new(args: &ExecArgs, root: Option<&OsString>, command: &[OsString]) -> Result<Self, Error> {
        let (path, record) = match (&args.pod, root) {
            (Some(pod), _) => {
                let record = record::for_exec(pod)?;
                let path = record.root()?;
                let path = path.ok_or_else(|| {
                    record::Error::Record(format!("{}: the record has no root.path", pod.display()))
                })?;
                refuse_another(&path, &record)?;
                (path, Some(record))
            }
            (None, Some(root)) => by_name(Path::new(root))?,
            (None, None) => return Err(Error::Usage("BOX is missing (or -P FILE)".into())),
        };
        if let Some(line) = behind_pause(command) {
            return Err(Error::Usage(line));
        }
        let own = command
            .first()
            .filter(|name| OWN.iter().any(|own| name.as_os_str() == *own));
        let mut assembly = Assembly::new(path, record.as_ref())?;
        if boundary::is_one(command) {
            assembly.confine(record.as_ref());
        }
        Ok(Self {
            cwd: match &args.wd {
                Some(wd) => wd.clone(),
                None => cwd(record.as_ref())?,
            },
            assembly,
            own: own.and_then(|name| find_own(name)),
            verbose: args.verbose > 0,
        })
    }

    fn say(&self, line: impl FnOnce() -> String) {
        if self.verbose {
            record::trace(TOOL, line());
        }
    }

    /// The steps, for `--dry-run`.
    fn describe(&self) -> String {
        let mut lines = vec![
            "unshare(CLONE_NEWNS)".to_owned(),
            "mount(/, MS_REC|MS_SLAVE)".into(),
        ];
        lines.extend(self.assembly.describe());
        lines.extend(
            [
                "mount(/, MS_REC|MS_PRIVATE)",
                "pivot_root(., .)",
                "umount2(., MNT_DETACH)",
            ]
            .map(str::to_owned),
        );
        lines.push(format!("chdir({})", self.cwd.display()));
        lines.join("\n") + "\n"
    }

    /// Everything in order; each step has to be where it is.
    fn enter(&self, command: &[OsString]) -> Result<Infallible, Failed> {
        // First of all: nothing the caller had open gets in, and nobody in the box can look into this process.
        sys::close_on_exec_from(3)?;
        let handed = self.own.as_ref().map(|_| Handed::new(command));
        let handed = handed.transpose()?;
        let command = handed.as_ref().map_or(command, |handed| &handed.command);
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .call(|| "prctl(PR_SET_DUMPABLE, 0)".into())?;
        let umask = rustix::process::umask(Mode::from(0o022));
        if self.verbose {
            record::report(
                TOOL,
                "a box is for trusted programs: CMD keeps all privileges",
            );
        }
        unshare(CloneFlags::CLONE_NEWNS)
            .call(|| "unshare(CLONE_NEWNS)".into())
            .map_err(needs_admin)?;
        self.say(|| "unshare(CLONE_NEWNS)".into());
        let shared = self.assembly.open_shared()?;
        let real = end_propagation()?;
        self.say(|| "mount(/, MS_REC|MS_SLAVE)".into());
        // The caller's view ends with the pivot: what comes from there is opened now.
        let own = self.own.as_deref().map(read_only_copy).transpose()?;
        let say = |line: &dyn Fn() -> String| self.say(line);
        let mounted = self.assembly.assemble(shared, &say)?;
        pivot(mounted.root().as_fd(), &self.assembly.path, real, &say)?;
        drop(mounted);
        self.assembly.finish()?;
        self.begin_in_cwd()?;
        rustix::process::umask(umask);
        sys::restore_signals();
        let command = sys::Command::new(command);
        Err(Failed::Command(match own {
            Some(program) => command.exec_program(&Program::File(program), true),
            None => command.exec(),
        }))
    }

    /// Goes to where CMD begins: through no link of /proc, which could lead out of the box by a descriptor that is still
    /// open (CVE-2024-21626).
    fn begin_in_cwd(&self) -> Result<(), SysError> {
        if self.cwd == Path::new("/") {
            return Ok(());
        }
        let call = || format!("chdir({})", self.cwd.display());
        let fd: OwnedFd = openat2(
            CWD,
            &self.cwd,
            DIRECTORY,
            Mode::empty(),
            ResolveFlags::NO_MAGICLINKS,
        )
        .call(call)?;
        fchdir(&fd).call(call)
    }
}

/// What `pause -- nsrun` would be: a program of the box that has not been dropped. pause(1) looks its command up where it is.
fn behind_pause(command: &[OsString]) -> Option<String> {
    let (pause, rest) = command.split_first()?;
    let next = rest.iter().find(|word| *word != "--")?;
    (pause == "pause" && next == "nsrun").then(|| {
        "pause -- nsrun: behind pause it would be the nsrun of the box (nsrun exec --init -- mkbox exec BOX -- nsrun drop)".into()
    })
}

/// A record of a box leads into that box: in any other directory, mount points would be made that nobody asked for.
fn refuse_another(path: &Path, record: &Record) -> Result<(), Error> {
    let state = record.get(TOOL).map(State::from_json).transpose()?;
    match state.filter(|state| Path::new(&state.root) != path) {
        None => Ok(()),
        Some(state) => Err(record::Error::Record(format!(
            "root.path is {}, and the box of the record is {} (without the key mkbox it may be any)",
            path.display(),
            state.root
        ))
        .into()),
    }
}

/// `process.cwd`, else the root.
fn cwd(record: Option<&Record>) -> Result<PathBuf, Error> {
    match record.and_then(|record| record.pointer("/process/cwd")) {
        None | Some(serde_json::Value::Null) => Ok("/".into()),
        Some(cwd) => {
            let path = cwd
                .as_str()
                .filter(|path| path.starts_with('/') && !path.contains('\0'));
            let path = path.map(PathBuf::from);
            path.ok_or_else(|| {
                record::Error::Record("process.cwd: must be an absolute path".into()).into()
            })
        }
    }
}

/// The box that is called by its path: with the record in its marker, or any directory without one.
fn by_name(path: &Path) -> Result<(PathBuf, Option<Record>), Error> {
    let real = std::fs::canonicalize(path).call(|| format!("realpath({})", path.display()))?;
    let Ok(place) = Place::find(&real) else {
        return Ok((real, None));
    };
    let Some(parent) = place.open_parent()? else {
        return Ok((real, None));
    };
    // A marker of somebody else is no reason not to enter the directory; it is one not to believe it.
    match place.read_marker(parent.as_fd()) {
        Ok(Marker::Of(record)) => Ok((real, Some(*record))),
        _ => Ok((real, None)),
    }
}

/// The host's `name`: beside this program, where it was installed with it, else along PATH. None: the box may have one.
fn find_own(name: &OsStr) -> Option<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join(name)));
    beside
        .filter(|path| path.is_file())
        .or_else(|| crate::program::find(name.to_str()?).ok())
}
