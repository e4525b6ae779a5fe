//! What the user typed.

mod up;

use clap::{Args, Parser, Subcommand};
use record::{SchemaArgs, SourceArgs};

pub(crate) use self::up::UpArgs;
use crate::forward::Spec;
use crate::plan::Ifname;
use crate::policy::PolicyArgs;
use crate::service::cli::ServiceVerb;
use crate::why::Target;

/// Wires a pod's network namespace to the host: veth, addresses, routes, leases
#[derive(Debug, Parser)]
#[command(
    name = "netwire",
    version,
    disable_help_subcommand = true,
    after_help = "Example: nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 | nsrun down | netwire down"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) schema: SchemaArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The same for every tool; there is no exec, as netwire does nothing to itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Gives the pod an interface: reads a record, writes it with what was made
    Up(Box<UpArgs>),
    /// Shows what there is now
    Show(ShowArgs),
    /// Gives a pod that is up other rules: reads a record, writes it with them
    Policy(EnforceArgs),
    /// Puts back what pods have in the tables of nf_tables, after somebody flushed them
    Reapply(ReapplyArgs),
    /// Removes what up made: reads records, writes them without it
    Down(DownArgs),
    /// Frees addresses and ports of pods that are no more, as a crash leaves them
    Gc(GcArgs),
    /// Says in one line what stands between the pod and an address, a port or a name
    Why(WhyArgs),
    /// Ports of this machine lead to ports of the pod's loopback, for as long as it runs
    Forward(ForwardArgs),
    /// Tells what this kernel, user and machine allow; of a pod, what is not as its record says
    Check(CheckArgs),
    /// Addresses that lead to pods, as kube-proxy makes them: up, set, down, show, names
    #[command(
        subcommand,
        after_help = "Example: netwire service up web --vip 10.96.0.10 --port 80 --to 10.244.0.2; netwire service show"
    )]
    Service(ServiceVerb),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire why 10.244.0.1 <foo.json")]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// What it wants to reach; IPv6 with a port is written in brackets
    #[arg(value_name = "ADDR|NAME[:PORT[/PROTOCOL]]")]
    pub(crate) target: Target,

    /// One JSON object, with every step
    #[arg(long)]
    pub(crate) json: bool,

    /// Every step of the way, one line each
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire forward 8080:80 <foo.json")]
pub(crate) struct ForwardArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Where to listen, and the port of the pod; without HOSTPORT, as in :80, a free one
    #[arg(required = true, value_name = "[[HOSTADDR:]HOSTPORT:]PORT[/PROTOCOL]")]
    pub(crate) ports: Vec<Spec>,

    /// Forget a client of UDP who was silent for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) udp_idle: u32,

    /// Print where it would listen and what that leads to, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// No progress line on a terminal
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Say each connection on stderr when it ends
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire show --all --svg >pods.svg")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Of every pod that the index knows
    #[arg(long, conflicts_with_all = ["id", "pod"])]
    pub(crate) all: bool,

    /// A picture of all pods and what they are connected by, as SVG
    #[arg(long, requires = "all", conflicts_with_all = ["dot", "json", "verbose"])]
    pub(crate) svg: bool,

    /// The same for graphviz
    #[arg(long, requires = "all", conflicts_with_all = ["json", "verbose"])]
    pub(crate) dot: bool,

    /// One JSON object per pod instead of a table
    #[arg(long)]
    pub(crate) json: bool,

    /// Also hardware addresses, MTU, routes, published ports, all counters
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire policy --allow 10.244.0.0/24,80 <foo.json >foo.new")]
pub(crate) struct EnforceArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) policy: PolicyArgs,

    /// Of this interface of the pod only
    #[arg(long, value_name = "NAME")]
    pub(crate) ifname: Option<Ifname>,

    /// Print what would be changed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire reapply --dry-run")]
pub(crate) struct ReapplyArgs {
    /// Say of whom something is missing, and put back nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire gc --dry-run")]
pub(crate) struct GcArgs {
    /// Say what would be freed, and free nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: nsrun down <foo.json | netwire down >/dev/null")]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Remove this interface of the pod, and leave the others
    #[arg(long, value_name = "NAME")]
    pub(crate) ifname: Option<Ifname>,

    /// Wait until the kernel is done with it, not only until it is gone
    #[arg(long)]
    pub(crate) wait: bool,

    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire check <foo.json")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// One JSON object on one line instead of a table
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
