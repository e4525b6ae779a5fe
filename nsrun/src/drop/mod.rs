//! `nsrun drop`: the last link of a chain, and the boundary: this process gives up what CMD shall not have, and becomes it.

mod apply;
#[cfg(test)]
mod bad_input;
mod capabilities;
mod cli;
mod label;
mod limits;
mod process;
mod profile;
mod schedule;
mod seccomp;
mod user;

use std::fmt::Write as _;
use std::process::ExitCode;

use ::sys::Command;

pub(crate) use cli::DropArgs;
pub(crate) use seccomp::Instruction;

use crate::error::Error;
use crate::run::{self, report};
use profile::Profile;

/// `nsrun drop`
pub(crate) fn drop_and_run(arguments: &DropArgs) -> ExitCode {
    match run(arguments) {
        Ok(status) => status.into(),
        Err(error) => {
            report(&error);
            error.exec_status().into()
        }
    }
}

/// Becomes CMD; returns only with an error, or the status of a dry run.
fn run(arguments: &DropArgs) -> Result<u8, Error> {
    let record = arguments.pod.as_deref().map(record::for_exec).transpose()?;
    let profile = Profile::new(arguments, record.as_ref())?;
    if arguments.dry_run {
        return run::print(&shown(&profile, arguments.json));
    }
    let command = Command::new(&profile.command).with_environment(&profile.environment);
    apply::apply(&profile, arguments.verbose)?;
    Err(command.exec().into())
}

/// The profile as a user reads it, or a program.
fn shown(profile: &Profile, json: bool) -> String {
    let object = profile.to_json();
    if json {
        return format!("{object}\n");
    }
    let mut text = String::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        let _ = writeln!(text, "{key}: {value}");
    }
    text
}
