//! What of the host's own stands in the way of packets that are forwarded: found, named, and changed only on request.
//!
//! Whether a packet may be forwarded is asked of the interface it comes in by (`IN_DEV_FORWARD`). Our own interfaces do; for
//! answers from the world and for published ports the host's must as well. And each chain at the hook "forward"
//! has to let it pass, whoever's it is.

use std::fs;
use std::path::PathBuf;

use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use sys::{SysError, ToErrno};

use crate::error::Error;
use crate::link::{self, By};
use crate::netlink::{Request, Socket, string};
use crate::nft::{self, NFGENMSG, find, number};
use crate::ruleset::{self, ACCEPT, FOREIGN, Family, INET, IPV4, IPV6};

/// An interface of the default route, and whose.
#[derive(Debug)]
pub(crate) struct Uplink {
    pub(crate) family: &'static Family,
    pub(crate) name: String,
}

impl PartialEq for Uplink {
    fn eq(&self, other: &Self) -> bool {
        self.family.opened == other.family.opened && self.name == other.name
    }
}

impl Uplink {
    fn is_ipv4(&self) -> bool {
        self.family.opened == IPV4.opened
    }

    /// As sysctl(8) has it. Of IPv6, `forwarding` of one interface says what it is and not what it does; Linux 6.17 has another.
    pub(crate) fn sysctl(&self) -> String {
        let (family, switch) = match self.is_ipv4() {
            true => ("ipv4", "forwarding"),
            false => ("ipv6", "force_forwarding"),
        };
        format!("net.{family}.conf.{}.{switch}", self.name)
    }

    fn path(&self) -> PathBuf {
        let (family, switch) = match self.is_ipv4() {
            true => ("ipv4", "forwarding"),
            false => ("ipv6", "force_forwarding"),
        };
        ["/proc/sys/net", family, "conf", &self.name, switch]
            .iter()
            .collect()
    }

    fn forwards(&self) -> Result<bool, Error> {
        if !self.is_ipv4() && forwards_ipv6() {
            return Ok(true);
        }
        let path = self.path();
        match fs::read_to_string(&path) {
            Ok(value) => Ok(value.trim_end() != "0"),
            Err(error) if error.to_errno() == Errno::ENOENT => Ok(false),
            Err(error) => Err(SysError::new(format!("read({})", path.display()), error).into()),
        }
    }

    fn set(&self, value: &str) -> Result<(), Error> {
        let path = self.path();
        match fs::write(&path, value) {
            Err(error) if error.to_errno() != Errno::ENOENT => {
                let error = SysError::new(format!("write({}, {value})", path.display()), error);
                Err(match error.errno {
                    Errno::EROFS => error.hint("is /proc/sys read-only here?"),
                    _ => error,
                }
                .into())
            }
            _ => Ok(()),
        }
    }
}

/// Whether the machine as a whole forwards IPv6.
pub(crate) fn forwards_ipv6() -> bool {
    let all = fs::read_to_string("/proc/sys/net/ipv6/conf/all/forwarding");
    all.is_ok_and(|all| all.trim_end() != "0")
}

/// The interfaces of the host's default routes.
pub(crate) fn uplinks(ipv4: bool, ipv6: bool) -> Result<Vec<Uplink>, Error> {
    let mut host = Socket::open(false)?;
    let mut found = Vec::new();
    let families = [
        (ipv4, &IPV4, AddressFamily::Inet),
        (ipv6, &IPV6, AddressFamily::Inet6),
    ];
    for (_, family, number) in families.into_iter().filter(|(wanted, ..)| *wanted) {
        for index in link::default_route(Socket::open(false)?, number)? {
            if let Some(link) = link::find(&mut host, By::Index(index), false)? {
                found.push(Uplink {
                    family,
                    name: link.name,
                });
            }
        }
    }
    Ok(found)
}

/// Those of them that do not forward: what comes in there reaches no pod.
pub(crate) fn closed(ipv4: bool, ipv6: bool) -> Result<Vec<Uplink>, Error> {
    let mut still = Vec::new();
    for uplink in uplinks(ipv4, ipv6)? {
        if !uplink.forwards()? {
            still.push(uplink);
        }
    }
    Ok(still)
}

/// Makes them forward.
pub(crate) fn open(uplinks: &[Uplink]) -> Result<(), Error> {
    uplinks.iter().try_for_each(|uplink| uplink.set("1"))
}

/// Makes them forward no more; one that is gone does not.
pub(crate) fn close(uplinks: &[Uplink]) -> Result<(), Error> {
    uplinks.iter().try_for_each(|uplink| uplink.set("0"))
}

/// A chain at the hook "forward".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    family: u8,
    table: String,
    name: String,
    drops: bool,
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = nft::family_name(self.family);
        write!(f, "{family} {} {}", self.table, self.name)
    }
}

/// The chains of others that packets pass which are forwarded.
fn chains(socket: &mut Socket) -> Result<Vec<Chain>, Error> {
    let none = nft::Attributes::default();
    let message = ("NFT_MSG_GETCHAIN", nft::message::GETCHAIN);
    let mut found = Vec::new();
    let get = nft::request(message, "", libc::NLM_F_DUMP, 0, &none);
    socket.dump_all(get, |payload| found.extend(chain(payload)))?;
    Ok(found)
}

fn chain(payload: &[u8]) -> Option<Chain> {
    const NF_INET_FORWARD: u32 = 2;
    const NF_DROP: u32 = 0;
    let attributes = payload.get(NFGENMSG..)?;
    let family = *payload.first()?;
    let hook = number(find(find(attributes, 4)?, 1)?)?;
    let table = string(find(attributes, 1)?)?;
    let ours = family == INET.family && table == INET.name;
    let ip = ["inet", "ip", "ip6"].contains(&nft::family_name(family));
    let forward = hook == NF_INET_FORWARD && string(find(attributes, 7)?)? == "filter";
    (forward && ip && !ours).then_some(())?;
    Some(Chain {
        family,
        table,
        name: string(find(attributes, 3)?)?,
        drops: find(attributes, 5).and_then(number) == Some(NF_DROP),
    })
}

/// The handles of our rules in a chain.
fn ours(socket: &mut Socket, chain: &Chain) -> Result<Vec<u64>, Error> {
    let attributes = nft::Attributes::default()
        .text(1, &chain.table)
        .text(2, &chain.name);
    let message = ("NFT_MSG_GETRULE", nft::message::GETRULE);
    let get = nft::request(
        message,
        &chain.to_string(),
        libc::NLM_F_DUMP,
        chain.family,
        &attributes,
    );
    let mut handles = Vec::new();
    let mut see = |payload: &[u8]| -> Option<()> {
        let attributes = payload.get(NFGENMSG..)?;
        // Kernels that do not filter send all: the names tell.
        let same = string(find(attributes, 2)?)? == chain.name
            && string(find(attributes, 1)?)? == chain.table;
        if same && nft::comment(find(attributes, 7)?) == FOREIGN {
            handles.push(u64::from_be_bytes(find(attributes, 3)?.try_into().ok()?));
        }
        Some(())
    };
    socket.dump_all(get, |payload| {
        let _ = see(payload);
    })?;
    Ok(handles)
}

/// The chains whose policy drops what no rule accepts, and which have no rule of ours.
pub(crate) fn dropping(ipv4: bool, ipv6: bool) -> Result<Vec<Chain>, Error> {
    dropping_in(&mut Socket::netfilter(false)?, ipv4, ipv6)
}

fn dropping_in(socket: &mut Socket, ipv4: bool, ipv6: bool) -> Result<Vec<Chain>, Error> {
    let mut found = chains(socket)?;
    found.retain(|chain| {
        let concerns = match nft::family_name(chain.family) {
            "ip" => ipv4,
            "ip6" => ipv6,
            _ => true,
        };
        chain.drops && concerns
    });
    let mut without = Vec::new();
    for chain in found {
        if ours(socket, &chain)?.is_empty() {
            without.push(chain);
        }
    }
    Ok(without)
}

fn has_accept(socket: &mut Socket) -> Result<bool, Error> {
    let attributes = nft::Attributes::default()
        .text(1, INET.name)
        .text(3, ACCEPT);
    let message = ("NFT_MSG_GETCHAIN", nft::message::GETCHAIN);
    match socket.batch(vec![nft::request(
        message,
        ACCEPT,
        0,
        nft::INET,
        &attributes,
    )]) {
        Ok(_) => Ok(true),
        Err(error) if error.refused() == Some(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// For one transaction: our chain that marks, and a rule that accepts what is marked in each chain that drops.
pub(crate) fn add_accept(
    socket: &mut Socket,
    ipv4: bool,
    ipv6: bool,
) -> Result<Vec<Request>, Error> {
    let dropping = dropping_in(socket, ipv4, ipv6)?;
    let mut requests = Vec::new();
    if !dropping.is_empty() && !has_accept(socket)? {
        requests.extend(ruleset::create_accept());
    }
    requests.extend(
        dropping
            .iter()
            .map(|chain| ruleset::accept_marked(chain.family, &chain.table, &chain.name)),
    );
    Ok(requests)
}

/// For one transaction: those rules go.
pub(crate) fn remove_accept(socket: &mut Socket) -> Result<Vec<Request>, Error> {
    if !has_accept(socket)? {
        return Ok(Vec::new());
    }
    let mut requests = Vec::new();
    for chain in chains(socket)? {
        for handle in ours(socket, &chain)? {
            let attributes = nft::Attributes::default()
                .text(1, &chain.table)
                .text(2, &chain.name)
                .bytes(3, &handle.to_be_bytes());
            let message = ("NFT_MSG_DELRULE", nft::message::DELRULE);
            let what = format!("{chain} handle {handle}");
            requests.push(nft::request(message, &what, 0, chain.family, &attributes));
        }
    }
    Ok(requests)
}
