//! What the user typed behind `netwire service`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::endpoint::Target;
use super::name::Name;
use super::pods::Selector;
use super::spelling::{NodePort, PortArg, Seconds};
use crate::cidr::Cidr;

/// The verbs, of services.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceVerb {
    /// Makes a service that leads to pods, or many that are read from stdin
    Up(Box<ServiceUpArgs>),
    /// Changes where services lead, live
    Set(Box<ServiceSetArgs>),
    /// Removes services; connections that there are stay
    Down(ServiceDownArgs),
    /// Shows what there is now
    Show(ServiceShowArgs),
    /// Writes the hosts file that name servers answer from: services, and pods
    Names(NamesArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: netwire service up web --vip 10.96.0.10 --port 80 --to 10.244.0.2"
)]
pub(crate) struct ServiceUpArgs {
    /// [NAMESPACE/]NAME of the service; without it services are read from stdin
    pub(crate) name: Option<Name>,

    /// Its address, of IPv4, of IPv6, or one of each
    #[arg(long, value_name = "IP", requires = "name")]
    pub(crate) vip: Vec<IpAddr>,

    /// An address that leads to it as well (may be repeated)
    #[arg(long, value_name = "IP", requires = "name")]
    pub(crate) external_ip: Vec<IpAddr>,

    /// Its port, and the pods'; /udp, /sctp behind (may be repeated)
    #[arg(long, value_name = "[NAME:]PORT[:TARGET]", requires = "name")]
    pub(crate) port: Vec<PortArg>,

    /// Port of the machine that leads to one of it (may be repeated)
    #[arg(long, value_name = "NODEPORT[:PORT]", requires = "name")]
    pub(crate) node_port: Vec<NodePort>,

    #[command(flatten)]
    pub(crate) to: Endpoints,

    /// A client keeps its endpoint within this time: 90, 10m, 3h
    #[arg(long, value_name = "TIME", requires = "name")]
    pub(crate) affinity: Option<Seconds>,

    /// What this range sends to it is dropped (may be repeated)
    #[arg(long, value_name = "CIDR", requires = "name")]
    pub(crate) deny_from: Vec<Cidr>,

    /// Print what would be done, in order, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Where a service leads.
#[derive(Debug, Args)]
pub(crate) struct Endpoints {
    /// An endpoint, with ,weight=N if it has one (may be repeated)
    #[arg(long, value_name = "ADDRESS[:PORT]", requires = "name")]
    pub(crate) to: Vec<Target>,

    /// Pods with these annotations are endpoints: app=dns,tier=back
    #[arg(long, value_name = "KEY=VALUE,...", requires = "name")]
    pub(crate) select: Option<Selector>,

    /// Records of pods [default: of this machine] (may be repeated)
    #[arg(long, value_name = "FILE|DIR", requires = "select")]
    pub(crate) pods: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire service set web --add 10.244.0.3")]
pub(crate) struct ServiceSetArgs {
    /// [NAMESPACE/]NAME of the service; without it services become as stdin says
    pub(crate) name: Option<Name>,

    #[command(flatten)]
    pub(crate) to: Endpoints,

    /// An endpoint more (may be repeated)
    #[arg(long, value_name = "ADDRESS[:PORT]", requires = "name")]
    pub(crate) add: Vec<Target>,

    /// An endpoint less, of a port or of all (may be repeated)
    #[arg(long, value_name = "ADDRESS[:PORT]", requires = "name")]
    pub(crate) remove: Vec<Target>,

    /// Print what would be done, in order, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire service down web")]
pub(crate) struct ServiceDownArgs {
    /// [NAMESPACE/]NAME of the service; several are removed at once
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Vec<Name>,

    /// All services
    #[arg(long)]
    pub(crate) all: bool,

    /// Print what would be done, in order, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire service show --json")]
pub(crate) struct ServiceShowArgs {
    /// Only these; without one, all
    pub(crate) name: Vec<Name>,

    /// One JSON object per service instead of a table: what up reads
    #[arg(long)]
    pub(crate) json: bool,

    /// The rules that kube-proxy would have made, as iptables-save(8) prints
    #[arg(long, conflicts_with = "json")]
    pub(crate) iptables: bool,

    /// The same of IPv6, as ip6tables-save(8)
    #[arg(long, conflicts_with_all = ["json", "iptables"])]
    pub(crate) ip6tables: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: netwire service names --output names")]
pub(crate) struct NamesArgs {
    /// What all names end with
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub(crate) domain: Domain,

    /// Write FILE, whole or not at all, instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

use super::spelling::Domain;
