//! Makes and enters the nodes of the tests; see the crate's documentation.

mod advertise;
mod cgroups;
mod enter;
mod init;
mod keep;
mod probe;
mod run;
mod serve;

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// What went wrong, as a sentence; this helper is for developers.
type Answer<T> = Result<T, String>;

/// Says what was tried.
trait Tried<T> {
    fn tried(self, what: impl Display) -> Answer<T>;
}

impl<T, E: Display> Tried<T> for Result<T, E> {
    fn tried(self, what: impl Display) -> Answer<T> {
        self.map_err(|error| format!("{what}: {error}"))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let verb = arguments.first().and_then(|verb| verb.to_str());
    let rest = arguments.get(1..).unwrap_or_default();
    let answer = match verb {
        Some("keep") => keep::keep(rest),
        Some("enter") => enter::enter(rest),
        Some("init") => init::init(rest),
        Some("run") => run::run(rest),
        Some("serve") => serve::serve(rest),
        Some("advertise") => advertise::advertise(rest),
        Some("probe") => probe::probe(),
        Some("keyed") => probe::keyed(rest),
        Some("world") => world(),
        _ => Err("keep, enter, init, run, serve, advertise, probe, keyed or world".into()),
    };
    answer.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "node: {error}");
        ExitCode::from(125)
    })
}

fn world() -> Answer<ExitCode> {
    let world = tests::World::snapshot().tried("snapshot")?;
    say(&world.lines())
}

/// One line to whoever started us.
fn say(text: &str) -> Answer<ExitCode> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .tried("stdout")?;
    Ok(ExitCode::SUCCESS)
}
