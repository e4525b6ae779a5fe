//! What the user typed after `up`.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use nix::errno::Errno;
use record::SourceArgs;
use sys::Call;

use crate::antispoof::{self, When};
use crate::choice::{Choice, Range};
use crate::cidr::Cidr;
use crate::device::Device;
use crate::dns::DnsArgs;
use crate::error::Error;
use crate::lease::{Network, Place};
use crate::link::Mac;
use crate::mode::{Mode, Port};
use crate::namespace::Netns;
use crate::plan::{Ifname, Net, Wanted};
use crate::policy::PolicyArgs;
use crate::publish::Publish;
use crate::rate::Rate;
use crate::subnet::Subnet;
use crate::sysctl::Sysctl;

/// `--mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ModeName {
    Ptp,
    None,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 >foo.json"
)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// The pod's network namespace [default: the record's]
    #[arg(long, value_name = "PID|FILE")]
    pub(crate) netns: Option<Netns>,

    /// Network of its address, one of IPv4, of IPv6, or of each
    #[arg(long, value_name = "CIDR", required_unless_present_any = ["mode", "device"])]
    subnet: Vec<Subnet>,

    /// Interface of the host to move into the pod (may be repeated)
    #[arg(long, value_name = "NAME[:NEWNAME]")]
    pub(crate) device: Vec<Device>,

    /// ptp, a link of its own, or none, lo alone [default: ptp]
    #[arg(
        long,
        value_name = "MODE",
        default_value = "ptp",
        hide_default_value = true,
        hide_possible_values = true
    )]
    mode: ModeName,

    /// Connect it to this bridge instead, made where it is missing
    #[arg(long, value_name = "NAME")]
    bridge: Option<Ifname>,

    /// On the bridge it reaches the host, and no other isolated port
    #[arg(long, requires = "bridge")]
    isolated: bool,

    /// On the bridge it is in this VLAN; the host is in none
    #[arg(long, value_name = "ID", requires = "bridge", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,

    /// Gateway of its family's subnet [default: the first address]
    #[arg(long, value_name = "ADDRESS")]
    gateway: Vec<IpAddr>,

    /// Address of the pod, one of each subnet [default: the next free]
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,

    /// Only addresses from FIRST to LAST are given (may be repeated)
    #[arg(long, value_name = "FIRST-LAST")]
    range: Vec<Range>,

    /// No address of this range is given (may be repeated)
    #[arg(long, value_name = "CIDR")]
    exclude: Vec<Cidr>,

    /// Hardware address of the pod's end
    #[arg(long, value_name = "ADDRESS")]
    mac: Option<Mac>,

    /// Name of the interface in the pod
    #[arg(long, value_name = "NAME", default_value = "eth0")]
    ifname: Ifname,

    /// MTU of both ends [default: that of the default route, or 1500]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(68..=65535))]
    mtu: Option<u32>,

    /// Network whose leases these are, as CNI has it [default: chroot0]
    #[arg(long, value_name = "NAME", conflicts_with = "lease_dir")]
    network: Option<Network>,

    /// Directory of leases of somebody else, in host-local's format
    #[arg(long, value_name = "DIR")]
    lease_dir: Option<PathBuf>,

    /// What the pod sends to the world has the host's address
    #[arg(long)]
    nat: bool,

    /// But not to this range, nor to other pods (may be repeated)
    #[arg(long, value_name = "CIDR", requires = "nat")]
    nat_except: Vec<Cidr>,

    /// Set this sysctl in the pod (may be repeated)
    #[arg(long, value_name = "net.NAME=VALUE")]
    pub(crate) sysctl: Vec<Sysctl>,

    /// Port of the host that leads to the pod's: 8080:80, IP:53:53/udp
    #[arg(long, value_name = "HOSTPORT:PORT")]
    publish: Vec<Publish>,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    pub(crate) dns: DnsArgs,

    /// Let the default route's interfaces forward what these need
    #[arg(long)]
    pub(crate) sysctl_host: bool,

    /// Let chains of others that drop what is forwarded accept the pod's
    #[arg(long)]
    pub(crate) accept_forward: bool,

    /// How much it receives and sends in a second, each way: 10mbit
    #[arg(long, value_name = "RATE[:BURST]")]
    rate: Option<Rate>,

    /// Against passing for another: auto, always, never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    antispoof: When,

    /// Print what would be done, in order, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Say each step as it is done
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl UpArgs {
    /// The subnets, IPv4 first, with the addresses that are asked for.
    fn nets(&self) -> Result<Vec<Net>, Error> {
        let mut subnets = self.subnet.clone();
        for &gateway in &self.gateway {
            let of_family = |subnet: &&mut Subnet| subnet.is_ipv4() == gateway.is_ipv4();
            let subnet = subnets.iter_mut().find(of_family).ok_or_else(|| {
                Error::usage(format!("--gateway {gateway}: no --subnet is of its family"))
            })?;
            let with = subnet.with_gateway(gateway);
            *subnet = with.map_err(|why| Error::usage(format!("--gateway: {why}")))?;
        }
        subnets.sort_by_key(|subnet| !subnet.is_ipv4());
        let mut pairs = subnets.windows(2);
        let same = |pair: &&[Subnet]| {
            pair.iter()
                .all(|subnet| subnet.is_ipv4() == pair[0].is_ipv4())
        };
        if let Some([_, second]) = pairs.find(same) {
            return Err(Error::usage(format!(
                "--subnet {second}: a second one of its family"
            )));
        }
        if let Some(mtu) = self.mtu.filter(|&mtu| mtu < 1280)
            && subnets.iter().any(|subnet| !subnet.is_ipv4())
        {
            return Err(Error::usage(format!(
                "--mtu {mtu}: IPv6 needs 1280 at least"
            )));
        }
        let strange = |range: &&Range| !subnets.iter().any(|subnet| range.is_in(*subnet));
        if let Some(range) = self.range.iter().find(strange) {
            return Err(Error::usage(format!("--range {range}: is in no --subnet")));
        }
        let mut ips = self.ip.clone();
        let mut nets = Vec::new();
        for subnet in subnets {
            let at = ips.iter().position(|ip| ip.is_ipv4() == subnet.is_ipv4());
            let address = at.map(|at| ips.remove(at));
            if let Some(why) = address.and_then(|address| subnet.refuses(address)) {
                return Err(Error::usage(format!("--ip: {why}")));
            }
            nets.push(Net { subnet, address });
        }
        if let Some(ip) = ips.first() {
            return Err(Error::usage(format!(
                "--ip {ip}: no --subnet is left for it"
            )));
        }
        let foreign = self.publish.iter().find(|publish| {
            let of = |ip: IpAddr| nets.iter().any(|net| net.subnet.is_ipv4() == ip.is_ipv4());
            publish.host_ip.is_some_and(|ip| !of(ip))
        });
        match foreign {
            Some(publish) => Err(Error::usage(format!(
                "--publish {publish}: the pod has no address of that family"
            ))),
            None => Ok(nets),
        }
    }

    /// How it is connected.
    fn mode(&self) -> Result<Mode, Error> {
        let port = |bridge: &Ifname| Port {
            bridge: bridge.clone(),
            isolated: self.isolated,
            vlan: self.vlan,
        };
        let bridge = self.bridge.as_ref().map(port);
        match (self.mode, bridge) {
            (ModeName::None, bridge) => {
                let none = self.subnet.is_empty()
                    && bridge.is_none()
                    && self.ip.is_empty()
                    && self.mac.is_none()
                    && self.mtu.is_none()
                    && self.lease_dir.is_none()
                    && self.network.is_none()
                    && !self.nat
                    && self.rate.is_none()
                    && self.publish.is_empty();
                match none {
                    true => Ok(Mode::Loopback),
                    false => Err(Error::usage(
                        "--mode none: there is no interface for the other options",
                    )),
                }
            }
            (ModeName::Ptp, None) if self.subnet.is_empty() && !self.device.is_empty() => {
                Ok(Mode::Loopback)
            }
            (ModeName::Ptp, _) if self.subnet.is_empty() => {
                Err(Error::usage("--subnet is missing (or --mode none)"))
            }
            (ModeName::Ptp, Some(port)) => Ok(Mode::Bridge(port)),
            (ModeName::Ptp, None) => Ok(Mode::Ptp),
        }
    }

    /// Where the leases are.
    fn leases(&self) -> Result<Place, Error> {
        let Some(dir) = &self.lease_dir else {
            return Ok(self
                .network
                .clone()
                .map_or_else(Place::default, Place::Network));
        };
        // The record outlives the working directory, and what is read from one must have no ".." in it.
        let dir = fs::canonicalize(dir)
            .call(|| format!("realpath({})", dir.display()))
            .map_err(|error| match error.errno {
                Errno::ENOENT => error.hint("a pool shared with others is not made here: mkdir it"),
                _ => error,
            })?;
        match dir.to_str().is_some() {
            true => Ok(Place::Directory(dir)),
            false => Err(Error::usage(
                "--lease-dir: not UTF-8, a record cannot hold it",
            )),
        }
    }

    /// What is wanted, checked as far as the command line tells, and the directory it names.
    pub(crate) fn wanted(&self) -> Result<Wanted, Error> {
        let nets = self.nets()?;
        let mode = self.mode()?;
        for (at, one) in self.publish.iter().enumerate() {
            let mut others = self.publish[..at].iter();
            if let Some(port) = others.find_map(|other| one.overlap(*other)) {
                let name = one.protocol.name();
                return Err(Error::usage(format!(
                    "--publish {one}: {port}/{name} is published twice"
                )));
            }
        }
        if (self.sysctl_host || self.accept_forward) && !self.nat && self.publish.is_empty() {
            return Err(Error::usage(
                "--sysctl-host and --accept-forward are for what --nat or --publish forwards",
            ));
        }
        let has = |ipv4: bool| nets.iter().any(|net| net.subnet.is_ipv4() == ipv4);
        let policy = self
            .policy
            .policy(has(true), has(false))
            .map_err(Error::usage)?;
        if nets.is_empty() && !policy.is_open() {
            return Err(Error::usage(
                "--allow and --deny are for a pod with an address",
            ));
        }
        // Of a bridge the frames are looked at, whatever the host's setting is.
        let ptp = mode == Mode::Ptp;
        let loose = ptp && self.antispoof != When::Never && antispoof::is_loose();
        Ok(Wanted {
            ifname: match mode {
                Mode::Loopback => Ifname::loopback(),
                _ => self.ifname.clone(),
            },
            mode,
            nets,
            mac: self.mac,
            choice: Choice {
                ranges: self.range.clone(),
                exclude: self.exclude.clone(),
            },
            mtu: self.mtu,
            leases: self.leases()?,
            nat: self.nat,
            nat_except: self.nat_except.clone(),
            ports: self.publish.clone(),
            rate: self.rate,
            antispoof: self.antispoof,
            loose,
            policy,
        })
    }
}
