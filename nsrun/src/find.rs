//! The `pause` that goes with this nsrun, and this nsrun itself.

use std::path::PathBuf;

use ::sys::{Call, Program};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access};

use crate::error::Error;

/// The `pause` beside this nsrun, else that of PATH.
///
/// By descriptor when it is run `elsewhere`, in another root: there its path leads nowhere, or to a program that is not ours.
///
/// # Errors
/// There is none.
pub(crate) fn find_pause(elsewhere: bool) -> Result<Program, Error> {
    let found = pause_file();
    let found = found
        .ok_or_else(|| Error::Failed("pause: found neither beside nsrun nor in PATH".into()))?;
    let found = std::path::absolute(&found).unwrap_or(found);
    if !elsewhere {
        return Ok(Program::at(&found));
    }
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    Ok(Program::File(
        open(&found, flags, Mode::empty()).call(|| format!("open({})", found.display()))?,
    ))
}

/// This nsrun, by descriptor.
///
/// # Errors
/// What open(2) answers, as where there is no /proc.
pub(crate) fn find_self() -> Result<Program, Error> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let file = open("/proc/self/exe", flags, Mode::empty());
    Ok(Program::File(file.call(|| "open(/proc/self/exe)".into())?))
}

/// The file of pause.
pub(crate) fn pause_file() -> Option<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("pause")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|dir| dir.join("pause"));
    let runs = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    beside.into_iter().chain(in_path).find(runs)
}
