//! The command line, and the one line a tool says on stderr.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use rustix::fs::{FileType, fstat};

use crate::filter::{failed, write_stdout};
use crate::{SCHEMA, SourceArgs, trace};

/// `--schema`, for the help of every tool; [`parse_cli`] does it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SchemaArgs {
    /// Print the JSON Schema of the record, pod-record(5)
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// One line on stderr: `tool: message`.
pub fn report(tool: &str, message: impl Display) {
    // One write, so that the lines of a pipe's tools do not mix; a stderr that is closed is the user's wish.
    let line = format!("{tool}: {message}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The command line of `tool`, or the status to end with.
///
/// Help, version and schema go to stdout. An error is one line; the status is 2, of `exec` and `drop` 125, because 2 may be CMD's.
/// A filter that cannot read its command line still hands its record on, as failed: others have made things by then.
///
/// # Errors
/// The status, after everything was said.
pub fn parse_cli<C: Parser>(tool: &'static str) -> Result<C, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.len() == 2 && arguments[1] == "--schema" {
        return Err(print(SCHEMA));
    }
    trace::begin(&arguments);
    let error = match C::try_parse_from(&arguments) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let verb = arguments
        .get(1)
        .and_then(|verb| verb.to_str())
        .unwrap_or("");
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Err(print(&error.render().to_string()));
    }
    let line = one_line(&error);
    let known = error.kind() != ErrorKind::InvalidSubcommand
        && verb.starts_with(|c: char| c.is_ascii_lowercase());
    let line = format!(
        "{line} (see {tool} {}--help)",
        if known {
            format!("{verb} ")
        } else {
            String::new()
        }
    );
    report(tool, &line);
    if matches!(verb, "up" | "down") && reads_stdin(tool, &arguments[2..]) {
        let stdin = SourceArgs::default();
        for record in stdin.read_all().unwrap_or_default() {
            let record = if record.failed().is_some() {
                record
            } else {
                failed(record, tool, &line)
            };
            write_stdout(tool, &record);
        }
    }
    Err(ExitCode::from(if matches!(verb, "exec" | "drop") {
        125
    } else {
        2
    }))
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A record waits on stdin as far as an unreadable command line can tell: it is a pipe and nothing names a pod.
fn reads_stdin(tool: &str, arguments: &[OsString]) -> bool {
    let names = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text.starts_with("--id") || text.starts_with("-P") || text.starts_with("--pod")
    };
    // mkbox's operand names a record as well
    tool != "mkbox"
        && !arguments.iter().any(names)
        && fstat(io::stdin().as_fd())
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// clap's message without its frame: what is wrong, on one line.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        || error.kind() == ErrorKind::MissingSubcommand
    {
        return "a verb is missing".into();
    }
    let text = error.render().to_string();
    let lines = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim);
    let line = lines.collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "tool")]
    struct Cli {
        #[command(flatten)]
        source: SourceArgs,
        #[arg(long)]
        subnet: u32,
    }

    fn line(arguments: &[&str]) -> String {
        one_line(&Cli::try_parse_from(arguments).unwrap_err())
    }

    #[test]
    fn errors_of_the_command_line_are_one_line() {
        assert_eq!(
            line(&["tool", "--bogus"]),
            "unexpected argument '--bogus' found"
        );
        assert_eq!(
            line(&["tool"]),
            "the following required arguments were not provided: --subnet <SUBNET>"
        );
        assert!(
            line(&["tool", "--id", "../x"])
                .starts_with("invalid value '../x' for '--id <ID>': \"../x\" is no id")
        );
    }

    #[test]
    fn a_named_pod_leaves_stdin_alone() {
        for named in [
            ["--id", "x"],
            ["--id=x", "y"],
            ["-P", "f"],
            ["-Pf", "y"],
            ["--pod=f", "y"],
        ] {
            assert!(!reads_stdin("nsrun", &named.map(OsString::from)));
        }
    }
}
