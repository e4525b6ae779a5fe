//! mkbox: makes, enters and removes a root filesystem.

use std::io::{self, Write};
use std::process::ExitCode;

use ::sys::Call;
use record::Failure;

mod assemble;
mod attach;
mod busy;
mod cgroup;
mod check;
mod cli;
mod closure;
mod dev;
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
mod host;
mod idmap;
mod keep;
mod ldcache;
mod loader;
mod mask;
mod mount_args;
mod mount_flag;
mod mounted;
mod mounts;
mod options;
mod overlay;
mod pivot;
mod place;
mod plan;
mod program;
mod remove;
mod request;
mod root;
mod search;
mod show;
mod spec;
mod state;
mod sys;
mod tree;
mod up;
mod volumes;
mod window;
mod within;

use cli::{Cli, Verb};
use error::Error;

/// As it calls itself on stderr and in records.
pub(crate) const TOOL: &str = "mkbox";

#[global_allocator]
static ARENA: ::sys::Arena = ::sys::Arena::new();

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
