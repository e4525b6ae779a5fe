//! nsrun: runs a command in new and joined namespaces, and keeps the namespaces of a pod.

use std::process::ExitCode;

mod affinity;
#[cfg(test)]
mod bad_input;
mod birth;
mod cause;
mod check;
mod cli;
mod credentials;
mod describe;
mod drop;
mod end;
mod error;
mod find;
mod groups;
mod holder;
mod id_args;
mod idmap;
mod kill;
mod maps;
mod namespace_args;
mod namespaces;
mod netns;
mod offset;
mod pin;
mod plan;
mod pod;
mod procfs;
mod request;
mod restart;
mod run;
mod same;
mod show;
mod signals;
mod snapshot;
mod state;
mod step;
mod subids;
mod sys;
mod table;
mod terminal;
mod values;
mod view;
mod wait;

use cli::{Cli, DropCli, DropVerb, ExecCli, ExecVerb, Verb};

/// As it calls itself on stderr and in records.
pub(crate) const TOOL: &str = "nsrun";

#[cfg(not(test))]
#[global_allocator]
static ARENA: ::sys::Arena = ::sys::Arena::new();

/// The same, counted for tests of bad input.
#[cfg(test)]
#[global_allocator]
static ARENA: fuzz::Counting<::sys::Arena> = fuzz::Counting::new(::sys::Arena::new());

fn main() -> ExitCode {
    let verb = match std::env::args_os().nth(1) {
        Some(verb) if verb == "exec" => record::parse_cli(TOOL).map(
            |ExecCli {
                 verb: ExecVerb::Exec(arguments),
             }| Verb::Exec(arguments),
        ),
        Some(verb) if verb == "drop" => record::parse_cli(TOOL).map(
            |DropCli {
                 verb: DropVerb::Drop(arguments),
             }| Verb::Drop(arguments),
        ),
        _ => record::parse_cli(TOOL).map(|Cli { verb, .. }| verb),
    };
    match verb {
        Ok(Verb::Up(arguments)) => holder::up(&arguments),
        Ok(Verb::Exec(arguments)) => run::exec(&arguments),
        Ok(Verb::Drop(arguments)) => drop::drop_and_run(&arguments),
        Ok(Verb::Show(arguments)) => show::show(&arguments),
        Ok(Verb::Down(arguments)) => end::down(&arguments),
        Ok(Verb::Wait(arguments)) => wait::wait(&arguments),
        Ok(Verb::Kill(arguments)) => kill::kill(&arguments),
        Ok(Verb::Check(arguments)) => check::check(&arguments),
        Err(status) => status,
    }
}
