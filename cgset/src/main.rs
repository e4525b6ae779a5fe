//! Creates, limits, joins and removes the control groups of a pod.

mod absent;
#[cfg(test)]
mod bad_input;
mod branches;
mod check;
mod cli;
mod compat;
mod devices;
mod down;
mod enable;
mod error;
mod exec;
mod freeze;
mod group;
mod group_path;
mod hierarchy;
mod hints;
mod keys;
mod kill;
mod kube;
mod limits;
mod make;
mod membership;
mod nearest;
mod newcomers;
mod oci;
mod owner;
mod parent;
mod place;
mod plan;
mod pod;
mod remove;
mod rm;
mod run;
mod same;
mod show;
mod snapshot;
mod state;
mod sys;
mod systemd;
mod talk;
mod tree;
mod units;
mod up;
mod usage;
mod v1;
mod v2;
mod values;
mod version;
mod vocabulary;
mod wait;
mod wanted;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use record::Failure;

/// The name in errors, and the key in the record.
const TOOL: &str = "cgset";

#[cfg(not(test))]
#[global_allocator]
static ARENA: ::sys::Arena = ::sys::Arena::new();

/// The same, counted for tests of bad input.
#[cfg(test)]
#[global_allocator]
static ARENA: fuzz::Counting<::sys::Arena> = fuzz::Counting::new(::sys::Arena::new());

fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if compat::is_meant(&arguments) {
        return compat::set(&arguments);
    }
    let cli: cli::Cli = match record::parse_cli(TOOL) {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    match &cli.verb {
        cli::Verb::Up(args) => up::up(args),
        cli::Verb::Exec(args) => exec::exec(args),
        cli::Verb::Show(args) => show::show(args),
        cli::Verb::Tree(args) => tree::tree(args),
        cli::Verb::Watch(args) => watch::watch(args),
        cli::Verb::Wait(args) => wait::wait(args),
        cli::Verb::Freeze(args) => freeze::freeze(args),
        cli::Verb::Thaw(args) => freeze::thaw(args),
        cli::Verb::Kill(args) => kill::verb(args),
        cli::Verb::Down(args) => down::down(args),
        cli::Verb::Check(args) => check::check(args),
    }
}

/// Text for stdout, or the error that there is instead.
fn print<E: Failure>(answer: Result<String, E>) -> ExitCode {
    match answer {
        Ok(text) => match std::io::stdout().lock().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            record::report(TOOL, &error);
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}
