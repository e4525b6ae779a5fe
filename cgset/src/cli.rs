//! What the user typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use record::{Id, SchemaArgs, SourceArgs};

use crate::owner::Owner;
use crate::wait::{Event, Pressure};

/// Creates, limits, joins and removes the control groups of a pod
#[derive(Debug, Parser)]
#[command(
    name = "cgset",
    version,
    disable_help_subcommand = true,
    after_help = "Example: cgset up --id foo memory.max=64Mi pids.max=100 | cgset down"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) schema: SchemaArgs,
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
    /// Show the pod's groups and their processes as a tree, with use and limits as bars
    Tree(TreeArgs),
    /// Show what the pod's groups use, again and again
    Watch(WatchArgs),
    /// Wait until something has come to pass in the pod's groups
    Wait(WaitArgs),
    /// Let every process in the pod's groups stand still
    Freeze(FreezeArgs),
    /// Let them go on
    #[command(after_help = "Example: cgset thaw app <foo.json")]
    Thaw(NameArgs),
    /// End every process in the pod's groups, which stay
    #[command(after_help = "Example: cgset kill app <foo.json")]
    Kill(NameArgs),
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
#[command(
    after_help = "Example: cgset up --id foo memory.max=512Mi pids.max=100 | nsrun up --net >foo.json"
)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Move this process into the pod's group "exec" (may be repeated)
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Vec<i32>,
    /// Make the pod's group in GROUP, which is made where it is missing
    #[arg(long, value_name = "GROUP")]
    pub(crate) parent: Option<String>,
    /// Kubernetes' resources of a container, or a list of them: JSON, or a file
    #[arg(long, value_name = "RESOURCES")]
    pub(crate) kube: Option<String>,
    /// Let this user and group make groups in the pod's, below its limits
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
#[command(
    after_help = "Example: cgset exec -P foo.json app memory.max=64Mi -- nsrun exec -P foo.json -- ls"
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
    /// The pod by its name; without NAME it is made where there is none
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<Id>,
    /// Kubernetes' resources of a container, or a list of them: JSON, or a file
    #[arg(long, value_name = "RESOURCES")]
    pub(crate) kube: Option<String>,
    /// Stay until CMD has ended, tell of the OOM killer, remove the group
    #[arg(long)]
    pub(crate) rm: bool,
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
#[command(after_help = "Example: cgset show <foo.json")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Print one JSON object per pod instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: cgset tree <foo.json")]
pub(crate) struct TreeArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: cgset watch --interval 0.5 --count 2 <foo.json")]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// From one sample to the next
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(crate) interval: Duration,
    /// End after so many samples
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Print one JSON object per sample, on a terminal too
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which groups.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) talk: Talk,
    /// Print what would be written and to whom, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// This container's group alone, with all below it
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<Id>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: cgset freeze app <foo.json; cgset thaw app <foo.json")]
pub(crate) struct FreezeArgs {
    #[command(flatten)]
    pub(crate) of: NameArgs,
    /// Thaw them again if they do not all stand still after SECONDS [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("event").required(true))]
#[command(after_help = "Example: cgset wait --empty --timeout 10 app <foo.json")]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) of: NameArgs,
    /// Until the OOM killer has ended more than N processes in them
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "0", group = "event")]
    oom: Option<u64>,
    /// Until no process is in them
    #[arg(long, group = "event")]
    empty: bool,
    /// Until every process in them stands still
    #[arg(long, group = "event")]
    frozen: bool,
    /// Until somebody had to wait for memory, cpu or io (memory:150ms/1s)
    #[arg(long, value_name = "RESOURCE", group = "event")]
    pressure: Option<Pressure>,
    /// Give up after SECONDS, with status 1
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
}

impl WaitArgs {
    /// The one that was given.
    pub(crate) fn event(&self) -> Event {
        match (self.oom, &self.pressure) {
            (Some(above), _) => Event::Oom(above),
            (None, Some(pressure)) => Event::Pressure(pressure.clone()),
            (None, None) if self.frozen => Event::Frozen,
            (None, None) => Event::Empty,
        }
    }
}

/// Seconds with a fraction, up to three years.
fn seconds(text: &str) -> Result<Duration, String> {
    let is_plain = text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
    let number = text.parse::<f64>().ok().filter(|_| is_plain);
    let number = number.filter(|number| (0.0..1e8).contains(number));
    number
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "not a number of seconds".into())
}

/// Not so short that watching is all the machine does.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = seconds(text)?;
    match interval < Duration::from_millis(50) {
        true => Err("less than 0.05 s".into()),
        false => Ok(interval),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example: nsrun down <foo.json | cgset down >/dev/null")]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// End the processes that are still in the groups
    #[arg(long, conflicts_with = "to")]
    pub(crate) kill: bool,
    /// Move the processes that are still in the groups to GROUP: / or /other
    #[arg(long, value_name = "GROUP")]
    pub(crate) to: Option<String>,
    /// Print what would be removed, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) talk: Talk,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: cgset check --json")]
pub(crate) struct CheckArgs {
    /// Print one JSON object on one line instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn completions_are_those_of_the_command_line() {
        ::tests::completions::are_up_to_date(Cli::command());
    }
}
