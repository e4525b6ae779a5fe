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
pub(crate) struct ServiceUpArgs {
    /// [NAMESPACE/]NAME of the service; without it services are read from stdin, ours or of Kubernetes
    pub(crate) name: Option<Name>,

    /// Its address, of IPv4, of IPv6, or one of each
    #[arg(long, value_name = "IP", requires = "name")]
    pub(crate) vip: Vec<IpAddr>,

    /// An address that leads to it as well (may be repeated)
    #[arg(long, value_name = "IP", requires = "name")]
    pub(crate) external_ip: Vec<IpAddr>,

    /// A port of it, tcp unless it says udp or sctp, and that of the pods (may be repeated)
    #[arg(
        long,
        value_name = "[NAME:]PORT[:TARGET][/PROTOCOL]",
        requires = "name"
    )]
    pub(crate) port: Vec<PortArg>,

    /// A port of the machine that leads to a port of the service (may be repeated)
    #[arg(long, value_name = "NODEPORT[:PORT][/PROTOCOL]", requires = "name")]
    pub(crate) node_port: Vec<NodePort>,

    #[command(flatten)]
    pub(crate) to: Endpoints,

    /// A client comes to the same endpoint again within this time: 90, 10m, 3h
    #[arg(long, value_name = "TIME", requires = "name")]
    pub(crate) affinity: Option<Seconds>,

    /// What this range sends to the service is dropped (may be repeated)
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
    /// An endpoint; without a port, at the port of the service (may be repeated)
    #[arg(long, value_name = "ADDRESS[:PORT][,weight=N]", requires = "name")]
    pub(crate) to: Vec<Target>,

    /// Pods that have these annotations in their records are endpoints: app=dns,tier=back
    #[arg(long, value_name = "KEY=VALUE,...", requires = "name")]
    pub(crate) select: Option<Selector>,

    /// Records of pods, a file or a directory of them; without it, the pods of this machine (may be repeated)
    #[arg(long, value_name = "FILE|DIR", requires = "select")]
    pub(crate) pods: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServiceSetArgs {
    /// [NAMESPACE/]NAME of the service; without it services are read from stdin, and become as they are there
    pub(crate) name: Option<Name>,

    #[command(flatten)]
    pub(crate) to: Endpoints,

    /// An endpoint more (may be repeated)
    #[arg(long, value_name = "ADDRESS[:PORT][,weight=N]", requires = "name")]
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
pub(crate) struct ServiceShowArgs {
    /// Only these; without one, all
    pub(crate) name: Vec<Name>,

    /// One JSON object per service instead of a table: what up reads
    #[arg(long)]
    pub(crate) json: bool,

    /// The rules that kube-proxy would have made of them, as iptables-save(8) prints them
    #[arg(long, conflicts_with = "json")]
    pub(crate) iptables: bool,

    /// The same of IPv6, as ip6tables-save(8)
    #[arg(long, conflicts_with_all = ["json", "iptables"])]
    pub(crate) ip6tables: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// What all names end with
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub(crate) domain: Domain,

    /// Write FILE, whole or not at all, instead of stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

use super::spelling::Domain;
