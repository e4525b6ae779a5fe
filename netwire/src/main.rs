//! netwire wires a pod's network namespace to the host: veth, addresses, routes, leases.

mod announce;
mod antispoof;
mod bridge;
mod check;
mod choice;
mod cidr;
mod cli;
mod conntrack;
mod device;
mod dns;
mod down;
mod drift;
mod enforce;
mod error;
mod firewall;
mod forward;
mod forwarding;
mod gc;
mod ipv6;
mod lease;
mod link;
mod mode;
mod namespace;
mod netlink;
mod nft;
mod picture;
mod plan;
mod policy;
mod publish;
mod rate;
mod reapply;
mod removal;
mod requests;
mod reserve;
mod routes;
mod ruleset;
mod service;
mod show;
mod state;
mod subnet;
mod sys;
mod sysctl;
mod up;
mod uplink;
mod verify;
mod why;
mod wire;

use std::io::{self, Write};
use std::process::ExitCode;

use ::sys::Call;
use record::{Failure, Id, Record, SourceArgs};

use crate::cli::{CheckArgs, Cli, ForwardArgs, ShowArgs, UpArgs, Verb, WhyArgs};
use crate::error::Error;

/// The name in messages, in the record and in the index.
const TOOL: &str = "netwire";

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
        Verb::Up(args) if args.dry_run => print_plan(args),
        Verb::Up(args) => record::up(TOOL, &args.source, |up| up::up(up, args), down::undo),
        Verb::Show(args) => print_what_is(args),
        Verb::Policy(args) if args.dry_run => {
            record::show(TOOL, &args.source, |record| enforce::dry_run(record, args))
        }
        Verb::Policy(args) => {
            let change = |up: &mut record::Up| enforce::policy(up, args);
            record::up(TOOL, &args.source, change, down::undo)
        }
        Verb::Reapply(args) => print(reapply::reapply(args)),
        Verb::Gc(args) => print_and_judge(gc::gc(args)),
        Verb::Forward(args) => forward_one(args),
        Verb::Why(args) => print_why(args),
        Verb::Check(args) if args.source.id.is_none() && args.source.pod.is_none() => {
            check::check(args)
        }
        Verb::Check(args) => print_drift(args),
        Verb::Service(verb) => print(service::run(verb)),
        Verb::Down(args) if args.dry_run => {
            record::show(TOOL, &args.source, |record| down::dry_run(record, args))
        }
        Verb::Down(args) => record::down(TOOL, &args.source, |down| down::down(down, args)),
    }
}

/// `up --dry-run`: reads the record as `show` does and touches nothing.
fn print_plan(args: &UpArgs) -> ExitCode {
    let plan = |record: &Record| -> Result<String, Error> {
        let id: Id = record
            .id()
            .unwrap_or_default()
            .parse()
            .map_err(record::Error::Record)?;
        up::dry_run(record, &id, args)
    };
    let SourceArgs {
        id: Some(id),
        pod: None,
    } = &args.source
    else {
        return record::show(TOOL, &args.source, plan);
    };
    // A name alone starts a new record; show would look for one of that name.
    print(plan(&Record::new(id)))
}

/// What a verb without a record has to say.
fn print(text: Result<String, Error>) -> ExitCode {
    let printed = text.and_then(|text| {
        let written = io::stdout().lock().write_all(text.as_bytes());
        Ok(written.call(|| "write(stdout)".into())?)
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            record::report(TOOL, &error);
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

/// `check` of pods: an object for each, and 1 when one is not as its record says.
fn print_drift(args: &CheckArgs) -> ExitCode {
    let mut all_ok = true;
    let code = record::show(TOOL, &args.source, |record| {
        let (text, ok) = verify::verify(record)?;
        all_ok &= ok;
        Ok::<_, Error>(text)
    });
    if all_ok { code } else { ExitCode::FAILURE }
}

/// `show --all`: what is wrong with one pod does not hide the others.
fn show_all(args: &ShowArgs) -> Result<String, Error> {
    let mut text = String::new();
    if !args.json {
        text += &show::row(&show::HEAD);
    }
    for id in record::ids()? {
        let Some(record) = record::indexed(&id)? else {
            continue;
        };
        if record.get(TOOL).is_none() {
            continue;
        }
        let shown = match args.json {
            true => show::json(&record),
            false => show::table(&record, args.verbose),
        };
        match shown {
            Ok(shown) => text += &shown,
            Err(error) => record::report(TOOL, format_args!("{id}: {error}")),
        }
    }
    Ok(text)
}

/// `forward`: of one pod, as it does not end by itself.
fn forward_one(args: &ForwardArgs) -> ExitCode {
    let record = record::one(&args.source).map_err(Error::from);
    match record.and_then(|record| forward::forward(&record, args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            record::report(TOOL, &error);
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

/// `why`: a line, and a status for scripts.
fn print_why(args: &WhyArgs) -> ExitCode {
    let record = record::one(&args.source).map_err(Error::from);
    print_and_judge(record.and_then(|record| why::why(&record, args)))
}

/// A text, and 1 when what it says is not all that should be.
fn print_and_judge(answer: Result<(String, bool), Error>) -> ExitCode {
    let mut is_good = false;
    let printed = print(answer.map(|(text, good)| {
        is_good = good;
        text
    }));
    match printed == ExitCode::SUCCESS && !is_good {
        true => ExitCode::FAILURE,
        false => printed,
    }
}

/// `show`: one table for all records, or a JSON object for each.
fn print_what_is(args: &ShowArgs) -> ExitCode {
    let mut head = show::row(&show::HEAD);
    match args {
        ShowArgs { svg: true, .. } => return print(picture::svg()),
        ShowArgs { dot: true, .. } => return print(picture::dot()),
        ShowArgs { all: true, .. } => return print(show_all(args)),
        _ => {}
    }
    record::show(TOOL, &args.source, |record| match args.json {
        true => show::json(record),
        false => Ok(std::mem::take(&mut head) + &show::table(record, args.verbose)?),
    })
}
