//! `mkbox exec`: makes the box the root of this process, in a mount namespace of its own, and runs CMD there.
//!
//! The host's mount table never changes: every mount is made in the new namespace, after propagation out of it ended.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use record::Record;
use rustix::mount::{
    MountAttrFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount_change, mount_move,
    open_tree, unmount,
};
use rustix::process::{DumpableBehavior, chroot, fchdir, pivot_root, set_dumpable_behavior};
use sys::{Call, ExecError, Program, SysError};

use crate::attach::{attach, describe, move_onto, needs_admin, open_source, read_only_copy};
use crate::cli::ExecArgs;
use crate::error::Error;
use crate::mounts::{self, Planned};
use crate::place::{Marker, Place};
use crate::root::Root;
use crate::state::State;
use crate::sys::mount_setattr;
use crate::{TOOL, print};

/// Ours that CMD may be without being in the box: the rest of a chain.
const OWN: [&str; 2] = ["nsrun", "pause"];
/// Why no mount can be kept from the others.
pub(crate) const NO_MOUNT_POINT: &str =
    "the root directory here is no mount point: not possible inside a chroot";
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
    path: PathBuf,
    /// Of the box that was made; None for a directory that mkbox did not make.
    state: Option<State>,
    mounts: Vec<Planned>,
    /// `root.readonly`
    read_only: bool,
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
                (path, Some(record))
            }
            (None, Some(root)) => by_name(Path::new(root))?,
            (None, None) => return Err(Error::Usage("BOX is missing (or -P FILE)".into())),
        };
        let state = record
            .as_ref()
            .and_then(|record| record.get(TOOL))
            .map(State::from_json)
            .transpose()?;
        if state.as_ref().is_some_and(|state| state.filled.is_none()) {
            return Err(Error::Failed(format!(
                "{}: this box was never finished (mkbox down removes it)",
                path.display()
            )));
        }
        let mounts = record
            .as_ref()
            .map(Record::mounts)
            .transpose()?
            .unwrap_or_default();
        let own = command
            .first()
            .filter(|name| OWN.iter().any(|own| name.as_os_str() == *own));
        Ok(Self {
            state: state.filter(|state| Path::new(&state.root) == path),
            path,
            mounts: mounts::plan(&mounts)?,
            read_only: record
                .as_ref()
                .and_then(|record| record.pointer("/root/readonly")?.as_bool())
                .unwrap_or(false),
            own: own.and_then(|name| find_own(name)),
            verbose: args.verbose > 0,
        })
    }

    fn say(&self, line: impl FnOnce() -> String) {
        if self.verbose {
            // One line of talk: a stderr that takes none is the user's wish.
            let _ = std::io::stderr().write_all(format!("mkbox: {}\n", line()).as_bytes());
        }
    }

    /// The steps, for `--dry-run`.
    fn describe(&self) -> String {
        let path = self.path.display();
        let mut lines = vec![
            "unshare(CLONE_NEWNS)".to_owned(),
            "mount(/, MS_REC|MS_SLAVE)".into(),
            format!("mount({path}, {path}, MS_BIND|MS_REC)"),
        ];
        lines.extend(self.mounts.iter().map(describe));
        if self.read_only {
            lines.push("mount(/, MS_BIND|MS_REMOUNT|MS_RDONLY)".into());
        }
        lines.extend(
            [
                "mount(/, MS_REC|MS_PRIVATE)",
                "pivot_root(., .)",
                "umount2(., MNT_DETACH)",
                "chdir(/)",
            ]
            .map(str::to_owned),
        );
        lines.join("\n") + "\n"
    }

    /// Everything in order; each step has to be where it is.
    fn enter(&self, command: &[OsString]) -> Result<Infallible, Failed> {
        // First of all: nothing the caller had open gets in, and nobody in the box can look into this process.
        sys::close_on_exec_from(3)?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .call(|| "prctl(PR_SET_DUMPABLE, 0)".into())?;
        self.say(|| "a box is for trusted programs: CMD keeps all privileges".into());
        self.say(|| "unshare(CLONE_NEWNS)".into());
        unshare(CloneFlags::CLONE_NEWNS)
            .call(|| "unshare(CLONE_NEWNS)".into())
            .map_err(needs_admin)?;
        // Before the first mount: none of ours reaches the host. Its own still reach us until the box is sealed.
        self.say(|| "mount(/, MS_REC|MS_SLAVE)".into());
        let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change("/", propagation)
            .call(|| "mount(/, MS_REC|MS_SLAVE)".into())
            .map_err(|error| match error.errno {
                Errno::EINVAL => error.hint(NO_MOUNT_POINT),
                _ => error,
            })?;
        // The caller's view ends with the pivot: what comes from there is opened now.
        let own = self.own.as_deref().map(read_only_copy).transpose()?;
        let trees = self
            .mounts
            .iter()
            .map(open_source)
            .collect::<Result<Vec<_>, _>>()?;
        let root = self.bind_root()?;
        for (mount, tree) in self.mounts.iter().zip(trees) {
            self.say(|| describe(mount));
            attach(&root, mount, tree)?;
        }
        if self.read_only {
            // After the mount points were made.
            self.say(|| "mount(/, MS_BIND|MS_REMOUNT|MS_RDONLY)".into());
            mount_setattr(root.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)?;
        }
        self.pivot(&root)?;
        drop(root);
        sys::restore_sigpipe();
        let command = sys::Command::new(command);
        Err(Failed::Command(match own {
            Some(program) => command.exec_program(&Program::File(program), true),
            None => command.exec(),
        }))
    }

    /// Mounts the box on itself, so that it is a mount that can become the root; this process stands in it afterwards.
    fn bind_root(&self) -> Result<Root, Error> {
        let shown = self.path.display();
        let directory = Root::open(&self.path)?;
        let made = self.state.as_ref().and_then(|state| state.identity);
        if made.is_some() && made != Some(directory.identity()?) {
            return Err(Error::Failed(format!(
                "{shown}: it is another directory than the one that the record speaks of"
            )));
        }
        self.say(|| format!("mount({shown}, {shown}, MS_BIND|MS_REC)"));
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH
            | OpenTreeFlags::AT_RECURSIVE;
        let tree =
            open_tree(directory.as_fd(), "", flags).call(|| format!("open_tree({shown})"))?;
        move_onto(&tree, directory.as_fd()).call(|| format!("move_mount({shown})"))?;
        fchdir(&tree).call(|| format!("fchdir({shown})"))?;
        Ok(Root::from_fd(tree, &self.path))
    }

    /// Makes the box, in which this process stands, the root of the namespace; the old root is gone afterwards.
    fn pivot(&self, root: &Root) -> Result<(), Error> {
        // A bind mount on the way may have moved us, in another view of the same directory: back to the box.
        fchdir(root.as_fd()).call(|| "fchdir(box)".into())?;
        let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change(".", propagation).call(|| "mount(., MS_REC|MS_PRIVATE)".into())?;
        self.say(|| "pivot_root(., .)".into());
        match pivot_root(".", ".") {
            Ok(()) => {
                // Both roots are mounted on one place now, the old one on top.
                self.say(|| "umount2(., MNT_DETACH)".into());
                unmount(".", UnmountFlags::DETACH).call(|| "umount2(., MNT_DETACH)".into())?;
            }
            Err(rustix::io::Errno::INVAL) => {
                // The first root file system (an initramfs) cannot be pivoted away from: it is mounted over.
                self.say(|| {
                    "pivot_root(., .): Invalid argument; mount(., /, MS_MOVE) and chroot(.) instead"
                        .into()
                });
                mount_move(".", "/").call(|| "mount(., /, MS_MOVE)".into())?;
                chroot(".").call(|| "chroot(.)".into())?;
            }
            Err(errno) => return Err(SysError::new("pivot_root(., .)", errno).into()),
        }
        nix::unistd::chdir("/").call(|| "chdir(/)".into())?;
        Ok(())
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
