//! What a hostile program in a container tries, to get out of it or at what is not its own: `attack NAME [ARGUMENT...]`.
//!
//! Each attack prints a line for every attempt: `NAME/ATTEMPT got WHAT`, or `NAME/ATTEMPT no WHY`. The status is 0 either way: what
//! is a success here is a failure of somebody else, and the tests count lines. No attempt harms the machine it runs on: files
//! that would change it are opened and closed again, calls have arguments that the kernel refuses after it has asked who calls.

mod calls;
mod cgroups;
mod chroots;
mod descriptors;
mod devices;
mod handles;
mod ipc;
mod joins;
mod kernel_files;
mod keys;
mod mounts;
mod privileges;
mod processes;
mod roots;
mod secrets;
mod sockets;
mod swap;
mod terminal;
mod users;

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// What an attempt brought, or why not.
type Attempt = Result<String, String>;

/// The lines of one attack.
pub(crate) struct Report(&'static str);

impl Report {
    /// One attempt and its outcome.
    fn line(&self, attempt: impl Display, outcome: Attempt) {
        let (word, text) = match outcome {
            Ok(got) => ("got", got),
            Err(why) => ("no", why),
        };
        let text = text.replace('\n', " ");
        // At the beginning of a line, whatever a terminal has echoed.
        let line = format!("\n{}/{attempt} {word} {text}\n", self.0);
        // Nobody to tell it to: then nobody counts it either.
        let _ = io::stdout().write_all(line.as_bytes());
    }
}

/// Why not, as text.
trait Why<T> {
    fn why(self) -> Result<T, String>;
}

impl<T, E: Display> Why<T> for Result<T, E> {
    fn why(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// A number as an argument.
fn number<T: std::str::FromStr>(arguments: &[String], at: usize) -> T {
    let number = arguments.get(at).and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("argument {at} must be a number: {arguments:?}"))
}

fn text(arguments: &[String], at: usize) -> &str {
    let text = arguments.get(at);
    text.unwrap_or_else(|| panic!("argument {at} is missing: {arguments:?}"))
}

type Attack = fn(&Report, &[String]);

const ATTACKS: [(&str, Attack); 19] = [
    ("calls", calls::attack),
    ("cgroups", cgroups::attack),
    ("chroots", chroots::attack),
    ("descriptors", descriptors::attack),
    ("devices", devices::attack),
    ("handles", handles::attack),
    ("ipc", ipc::attack),
    ("joins", joins::attack),
    ("kernel-files", kernel_files::attack),
    ("keys", keys::attack),
    ("mounts", mounts::attack),
    ("privileges", privileges::attack),
    ("processes", processes::attack),
    ("roots", roots::attack),
    ("secrets", secrets::attack),
    ("sockets", sockets::attack),
    ("swap", swap::attack),
    ("terminal", terminal::attack),
    ("users", users::attack),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        return ExitCode::from(2);
    };
    match name.as_str() {
        // What is not an attack, and runs outside.
        "chroot" => chroots::plain(rest),
        "pivot" => chroots::pivot(rest),
        "handle" => handles::of(rest),
        "key" => keys::leave(rest),
        _ => match ATTACKS.iter().find(|(known, _)| known == name) {
            Some((name, attack)) => {
                attack(&Report(name), rest);
                ExitCode::SUCCESS
            }
            None => ExitCode::from(2),
        },
    }
}
