//! What the user typed; opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use nix::sys::signal::Signal;
use record::{SchemaArgs, SourceArgs};

use crate::drop::DropArgs;
use crate::id_args::CredentialArgs;
use crate::namespace_args::NamespaceArgs;
use crate::values::{any_signal, seconds, signal, yes_no};

/// Runs a command in new and joined namespaces, and keeps the namespaces of a pod.
#[derive(Debug, Parser)]
#[command(
    name = "nsrun",
    version,
    after_help = "Example:\n  nsrun up --id foo --net | nsrun down"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) schema: SchemaArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The same with one verb: building the options of the other three takes as long as parsing, and only `exec` counts it.
#[derive(Debug, Parser)]
#[command(name = "nsrun", version)]
pub(crate) struct ExecCli {
    #[command(subcommand)]
    pub(crate) verb: ExecVerb,
}

/// See [`ExecCli`].
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum ExecVerb {
    /// Run CMD in new and joined namespaces
    Exec(ExecArgs),
}

/// The same with `drop`.
#[derive(Debug, Parser)]
#[command(name = "nsrun", version)]
pub(crate) struct DropCli {
    #[command(subcommand)]
    pub(crate) verb: DropVerb,
}

/// See [`DropCli`].
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum DropVerb {
    /// Give up what CMD shall not have, and become it
    Drop(DropArgs),
}

/// One of the verbs.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Verb {
    /// Make namespaces and a process that holds them: a record in, a record out
    Up(UpArgs),
    /// Run CMD in new and joined namespaces
    Exec(ExecArgs),
    /// Give up what CMD shall not have, and become it: the last link of a chain
    Drop(DropArgs),
    /// Tell which processes are in a pod and which of its namespaces they share
    Show(ShowArgs),
    /// End every process of a pod: records in, records out
    Down(DownArgs),
    /// Wait until the process that holds a pod has ended, and print its status
    Wait(WaitArgs),
    /// Send a signal to the process that holds a pod, or to all in it
    Kill(KillArgs),
    /// Tell what this kernel, user and machine allow, what is missing and how to get it
    Check(CheckArgs),
}

/// `nsrun up`
#[derive(Debug, Args)]
#[command(override_usage = "nsrun up [--id ID | -P FILE] [OPTIONS] [-- CMD...]")]
#[command(after_help = "Example: nsrun up --id foo --net --ipc --uts >foo.json")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) namespaces: NamespaceArgs,
    /// Append stdout and stderr of the process that stays to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Pin the namespaces to files, which outlive pause: /run/netns/ID
    #[arg(long)]
    pub(crate) pin: bool,
    /// Of exec; CMD of up is run under pause anyway
    #[arg(long = "init", hide = true)]
    _init: bool,
    /// Run CMD under the process that holds the pod
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// `nsrun exec`
#[derive(Debug, Args)]
#[command(override_usage = "nsrun exec [-P FILE] [OPTIONS] [--] [CMD...]")]
#[command(after_help = "Example: nsrun exec --net --mount --pid --mount-proc -- ps ax")]
pub(crate) struct ExecArgs {
    /// Join the namespaces and groups that the record in FILE names
    #[arg(short = 'P', long = "pod", value_name = "FILE")]
    pub(crate) pod: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) namespaces: NamespaceArgs,
    /// Run CMD as a child and wait for it; a pid namespace implies it
    #[arg(short, long)]
    pub(crate) fork: bool,
    /// Become CMD in any case; only what CMD starts is in a pid namespace
    #[arg(short = 'F', long, conflicts_with_all = ["fork", "kill_child"])]
    pub(crate) no_fork: bool,
    /// What CMD gets when nsrun ends first [default: KILL]; implies --fork
    #[arg(long, value_name = "SIG", num_args = 0..=1, require_equals = true, default_missing_value = "KILL", value_parser = signal)]
    pub(crate) kill_child: Option<Signal>,
    /// A terminal of CMD's own [default: on one, before drop or --setuid]
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_parser = yes_no, conflicts_with = "no_fork")]
    pub(crate) pty: Option<bool>,
    /// Enter the groups of the target process
    #[arg(long, requires = "target")]
    pub(crate) join_cgroup: bool,
    /// Give CMD the environment of the target process
    #[arg(short, long, requires = "target")]
    pub(crate) env: bool,
    #[command(flatten)]
    pub(crate) credentials: CredentialArgs,
    /// Run CMD under pause, which hands signals on and reaps as process 1
    #[arg(long)]
    pub(crate) init: bool,
    /// What to run [default: $SHELL, else /bin/sh]
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// `nsrun show`
#[derive(Debug, Args)]
#[command(override_usage = "nsrun show [--id ID | -P FILE | --all] [OPTIONS]")]
#[command(after_help = "Example: nsrun show --tree <foo.json")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Every pod that the index knows, a line for each
    #[arg(short, long, conflicts_with_all = ["id", "pod"])]
    pub(crate) all: bool,
    /// Processes below those that started them, each with the namespaces of its own
    #[arg(long)]
    pub(crate) tree: bool,
    /// One JSON object on one line for each pod
    #[arg(long)]
    pub(crate) json: bool,
}

/// `nsrun down`
#[derive(Debug, Args)]
#[command(after_help = "Example: nsrun down <foo.json | netwire down | cgset down >/dev/null")]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// How long processes may take from TERM to KILL [default: 10]
    #[arg(long, value_name = "SECONDS", default_value = "10", hide_default_value = true, value_parser = seconds)]
    pub(crate) grace: Duration,
    /// Print the steps in order and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Say each step as it is done, with its system call
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// `nsrun check`
#[derive(Debug, Args)]
#[command(after_help = "Example: nsrun check --json")]
pub(crate) struct CheckArgs {
    /// One JSON object on one line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// `nsrun wait`
#[derive(Debug, Args)]
#[command(override_usage = "nsrun wait [--id ID | -P FILE] [--timeout SECONDS]")]
#[command(after_help = "Example: nsrun kill <foo.json; nsrun wait --timeout 10 <foo.json")]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Give up after SECONDS, with status 1
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,
    /// Say nothing when the status is not known
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `nsrun kill`
#[derive(Debug, Args)]
#[command(override_usage = "nsrun kill [--id ID | -P FILE] [--all] [SIGNAL]")]
#[command(after_help = "Example: nsrun kill --all HUP <foo.json")]
pub(crate) struct KillArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// To every process in the pod
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Print whom it would be sent to, and send nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Name or number; 0 only asks whether it is there [default: TERM]
    #[arg(value_name = "SIGNAL", default_value = "TERM", hide_default_value = true, allow_hyphen_values = true, value_parser = any_signal)]
    pub(crate) signal: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace_args::Choice;
    use record::Namespace;

    fn exec(arguments: &[&str]) -> ExecArgs {
        let line = ["nsrun", "exec"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().verb {
            Verb::Exec(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn completions_are_those_of_the_command_line() {
        use clap::CommandFactory;
        ::tests::completions::are_up_to_date(Cli::command());
    }

    #[test]
    fn options_stop_at_the_first_operand() {
        let line = [
            "--pid",
            "--net",
            "--fork",
            "--mount-proc=/box/proc",
            "chroot",
            "/box",
            "/bin/bash",
            "-c",
            "--net",
        ];
        let arguments = exec(&line);
        assert_eq!(
            arguments.command,
            ["chroot", "/box", "/bin/bash", "-c", "--net"]
        );
        assert_eq!(arguments.namespaces.mount_proc, Some("/box/proc".into()));
        assert_eq!(exec(&["--", "-x"]).command, ["-x"]);
        assert!(Cli::try_parse_from(["nsrun", "exec", "--bogus", "true"]).is_err());
    }

    #[test]
    fn short_options_bundle_as_in_unshare() {
        let arguments = exec(&["-mpiunf", "true"]);
        for kind in [
            Namespace::Mount,
            Namespace::Pid,
            Namespace::Ipc,
            Namespace::Uts,
            Namespace::Network,
        ] {
            assert_eq!(
                arguments.namespaces.choice(kind),
                Some(Choice::Bare),
                "{kind:?}"
            );
        }
        assert!(arguments.fork);
        assert_eq!(arguments.command, ["true"]);
    }

    #[test]
    fn a_value_says_whose_namespace_it_is() {
        let arguments = exec(&[
            "--net=/run/netns/a",
            "--pid=42",
            "--uts=host",
            "--ipc=new",
            "--mount=./7",
            "true",
        ])
        .namespaces;
        assert_eq!(
            arguments.choice(Namespace::Network),
            Some(Choice::File("/run/netns/a".into()))
        );
        assert_eq!(arguments.choice(Namespace::Pid), Some(Choice::Process(42)));
        assert_eq!(arguments.choice(Namespace::Uts), Some(Choice::Host));
        assert_eq!(arguments.choice(Namespace::Ipc), Some(Choice::New));
        assert_eq!(
            arguments.choice(Namespace::Mount),
            Some(Choice::File("./7".into()))
        );
        assert_eq!(arguments.choice(Namespace::Time), None);
    }

    #[test]
    fn a_child_is_killed_by_a_signal_of_one_s_choice() {
        assert_eq!(
            exec(&["--kill-child", "true"]).kill_child,
            Some(Signal::SIGKILL)
        );
        assert_eq!(
            exec(&["--kill-child=HUP", "true"]).kill_child,
            Some(Signal::SIGHUP)
        );
    }
}
