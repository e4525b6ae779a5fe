//! What the user typed; opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use record::{Id, SourceArgs};

use crate::mount_args::MountArgs;

/// Makes, enters and removes a root filesystem: programs with exactly the libraries they need.
#[derive(Debug, Parser)]
#[command(name = "mkbox", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// One of the four.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Verb {
    /// Make a box and fill it: a record in (or BOX), a record out
    Up(Box<UpArgs>),
    /// Run CMD with the box as its root, in a mount namespace of its own
    Exec(ExecArgs),
    /// Tell what is in a box, what will be mounted there, and who runs in it
    Show(ShowArgs),
    /// Remove a box: records in, records out
    Down(DownArgs),
    /// Tell what this kernel, user and file system allow, what is missing and how to get it
    Check(CheckArgs),
}

/// `mkbox up`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox up [--copy PROG,...] [--proc] [--bind SRC:DST[:ro]] [--tmpfs DST] [OPTIONS] BOX\n       \
                            mkbox up -P FILE [OPTIONS] [BOX]"
)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Copy these programs, with their libraries, into the box
    #[arg(long, value_name = "PROG", value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) copy: Vec<String>,
    #[command(flatten)]
    pub(crate) mounts: MountArgs,
    /// Print the plan to stdout and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print each file as it is copied
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Directory to make; its name names the record [default: the record's root.path]
    #[arg(value_name = "BOX")]
    pub(crate) root: Option<String>,
}

/// `mkbox exec`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox exec [-v] [-w DIR] BOX [--] [CMD...]\n       mkbox exec [-v] [-w DIR] -P FILE [--] [CMD...]"
)]
pub(crate) struct ExecArgs {
    /// Enter the box of the record in FILE
    #[arg(short = 'P', long = "pod", value_name = "FILE")]
    pub(crate) pod: Option<PathBuf>,
    /// Begin in DIR, a path in the box [default: the record's process.cwd, else /]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) wd: Option<PathBuf>,
    /// Print the steps to stdout and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print each step as it is done
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The box, unless -P names one, and what to run in it [default: $SHELL, else /bin/sh]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "BOX CMD"
    )]
    pub(crate) words: Vec<OsString>,
}

impl ExecArgs {
    /// BOX and CMD.
    pub(crate) fn split(&self) -> (Option<&OsString>, &[OsString]) {
        let (root, command) = match (&self.pod, self.words.split_first()) {
            (None, Some((root, command))) => (Some(root), command),
            _ => (None, &self.words[..]),
        };
        let command = match command.split_first() {
            Some((dashes, rest)) if dashes == "--" => rest,
            _ => command,
        };
        (root, command)
    }
}

/// `mkbox show`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox show [--json] BOX\n       mkbox show [--json] [--id ID | -P FILE]"
)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// The box to show
    #[arg(value_name = "BOX", conflicts_with_all = ["id", "pod"])]
    pub(crate) root: Option<String>,
}

/// `mkbox down`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox down [-v] [--keep DIR]... BOX\n       mkbox down [-v] [--keep DIR]... [--id ID | -P FILE]"
)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Leave DIR, a path in the box, where it is
    #[arg(long, value_name = "DIR", value_parser = inside)]
    pub(crate) keep: Vec<String>,
    /// Print what would be removed and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print each step as it is done
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The box to remove
    #[arg(value_name = "BOX", conflicts_with_all = ["id", "pod"])]
    pub(crate) root: Option<String>,
}

/// `mkbox check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Print one JSON object on one line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the box is or would be [default: the current directory]
    #[arg(value_name = "BOX")]
    pub(crate) root: Option<String>,
}

/// A path in a box, with or without a slash before it.
fn inside(path: &str) -> Result<String, String> {
    let relative = path.trim_start_matches('/').trim_end_matches('/');
    if crate::extra::is_inside(relative) {
        return Ok(relative.to_owned());
    }
    Err(format!("{path:?} is no path in the box without \"..\""))
}

/// The record's name of a box at `path`: its last component.
pub(crate) fn id_of(path: &str) -> Result<Id, String> {
    let name = std::path::Path::new(path)
        .file_name()
        .and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("BOX {path:?} does not end in a name"))?;
    name.parse()
        .map_err(|problem| format!("BOX {path:?}: {problem}; name the record with --id ID"))
}
