//! mkbox: makes, enters and removes a root filesystem.

use std::io::{self, Write};
use std::process::ExitCode;

use ::sys::Call;
use record::Failure;

mod arch;
mod assemble;
mod attach;
#[cfg(test)]
mod bad_input;
mod boundary;
mod boxfile;
mod bundles;
mod busy;
mod cgroup;
mod check;
mod cli;
mod closure;
mod compiled;
mod contents;
mod copy;
mod dev;
mod device;
mod digest;
mod dlopen;
mod down;
mod elf;
mod enter;
mod error;
mod etc;
mod existing;
mod extra;
mod filesystem;
mod fill;
mod flags;
mod from;
mod handed;
mod host;
mod idmap;
mod imports;
mod keep;
mod ldcache;
mod ldconf;
mod loader;
mod locales;
mod manifest;
mod mask;
mod measure;
mod mount_args;
mod mount_flag;
mod mounted;
mod mounts;
mod options;
mod origin;
mod overlay;
mod pack;
mod pivot;
mod place;
mod plan;
mod program;
mod progress;
mod remove;
mod request;
mod root;
mod search;
mod show;
mod spec;
mod state;
mod sys;
mod text;
mod tree;
mod up;
mod verify;
mod volumes;
mod walk;
mod warnings;
mod window;
mod wishes;
mod within;

use cli::{Cli, Verb};
use error::Error;

/// As it calls itself on stderr and in records.
pub(crate) const TOOL: &str = "mkbox";

#[cfg(not(test))]
#[global_allocator]
static ARENA: ::sys::Arena = ::sys::Arena::new();

/// The same, counted for tests of bad input.
#[cfg(test)]
#[global_allocator]
static ARENA: fuzz::Counting<::sys::Arena> = fuzz::Counting::new(::sys::Arena::new());

fn main() -> ExitCode {
    let cli: Cli = match record::parse_cli(TOOL) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match &cli.verb {
        Verb::Up(args) => up::up(args),
        Verb::Exec(args) => enter::exec(args),
        Verb::Show(args) => show::show(args),
        Verb::Down(args) => down::down(args),
        Verb::Check(args) => check::check(args),
        Verb::Verify(args) => verify::verify(args),
        Verb::Pack(args) => pack::pack(args),
    }
}

/// Prints what a verb has to say, or why it has nothing.
pub(crate) fn print(answer: Result<String, Error>) -> ExitCode {
    match answer.and_then(|text| write(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            record::report(TOOL, &error);
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

fn write(text: &str) -> Result<(), Error> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    Ok(written.call(|| "write(stdout)".into())?)
}
