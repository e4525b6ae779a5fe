//! `node run PID JOIN… -- COMMAND…`: a command in the node whose init is PID.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use nix::sched::setns;
use nix::unistd::{chdir, setsid};

use crate::enter::NAMESPACES;
use crate::{Answer, Tried};

pub(crate) fn run(arguments: &[OsString]) -> Answer<ExitCode> {
    let Some(split) = arguments.iter().position(|argument| argument == "--") else {
        return Err("run PID JOIN… -- COMMAND…".into());
    };
    let (place, command) = (&arguments[..split], &arguments[split + 1..]);
    let ([pid, joins @ ..], [program, rest @ ..]) = (place, command) else {
        return Err("run PID JOIN… -- COMMAND…".into());
    };
    for file in joins {
        fs::write(file, "0").tried(file.display())?;
    }
    let mut namespaces = Vec::new();
    for (name, flag) in NAMESPACES {
        let path = format!("/proc/{}/ns/{name}", pid.display());
        namespaces.push((File::open(&path).tried(&path)?, flag, path));
    }
    for (namespace, flag, path) in namespaces {
        setns(namespace, flag).tried(path)?;
    }
    // No terminal of the developer is within reach. A leader has none already.
    let _ = setsid();
    chdir("/home/namespace").tried("/home/namespace")?;
    // Who runs the tests may ignore signals, as nohup(1) and a script's background do, and no shell in the node could undo it.
    sys::set_defaults();
    sys::set_mask(0).tried("sigprocmask")?;
    let status = Command::new(program)
        .args(rest)
        .status()
        .tried(program.display())?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(255)))
}
