//! What the user typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use record::{Id, SourceArgs};

use crate::owner::Owner;

/// Creates, limits, joins and removes the control groups of a pod
#[derive(Debug, Parser)]
#[command(name = "cgset", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the pod's groups and set its limits: record in, record out
    Up(UpArgs),
    /// Enter a group of the pod, made if it is missing, and run a command
    Exec(ExecArgs),
    /// Show the pod's groups: limits, use, and what the OOM killer did
    Show(ShowArgs),
    /// Remove the pod's groups: record in, record out
    Down(DownArgs),
    /// Tell what this kernel, user and machine allow, what is missing and how to get it
    Check(CheckArgs),
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Talk {
    /// Say each step as it is done, with the system call
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Move this process, with all its threads, into the pod's group "exec"; may come more than once
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Vec<i32>,
    /// Make the pod's group in GROUP, a path below each mount, made where it is missing
    #[arg(long, value_name = "GROUP")]
    pub(crate) parent: Option<String>,
    /// Give the pod's groups, but not its limits, to this user and group: they may make groups in it and enter them
    #[arg(long, value_name = "UID:GID")]
    pub(crate) delegate: Option<Owner>,
    /// Print what would be made and written, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) talk: Talk,
    /// Limits: memory.max=512Mi pids.max=100 cpu.max=0.5
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) limits: Vec<String>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "cgset exec -P FILE [NAME] [KEY=VALUE]... -- CMD...\n       cgset exec --id ID [NAME] [KEY=VALUE]... -- CMD..."
)]
pub(crate) struct ExecArgs {
    /// The pod's record, in a file or /dev/fd/N; stdin belongs to the command
    #[arg(
        short = 'P',
        long = "pod",
        value_name = "FILE",
        required_unless_present = "id",
        conflicts_with = "id"
    )]
    pub(crate) pod: Option<PathBuf>,
    /// The pod by its name; without NAME it is made, with these limits, if there is none
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<Id>,
    /// Print what would be made and written, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) talk: Talk,
    /// The container's group in the pod ("exec" if none is named), and its limits
    #[arg(value_name = "NAME|KEY=VALUE")]
    pub(crate) words: Vec<String>,
    /// The command, after `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Print one JSON object per pod instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// End the processes that are still in the groups
    #[arg(long, conflicts_with = "to")]
    pub(crate) kill: bool,
    /// Move the processes that are still in the groups to GROUP, a path below each mount: / or /other
    #[arg(long, value_name = "GROUP")]
    pub(crate) to: Option<String>,
    /// Print what would be removed, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) talk: Talk,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Print one JSON object on one line instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}
