//! What is found, without a word of what it means. What would change something is done in a new network namespace.

use std::fs;

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use sys::{Answer, Answers, Check, Module, Teller, ToErrno, in_child};

use super::{kinds, nftables};
use crate::error::Error;
use crate::netlink::{Request, Socket};
use crate::requests;

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) proc: bool,
    /// Answers of the network namespace we are in: `netlink`, `net-admin`.
    pub(crate) here: Answers,
    /// Of a new one of this user: `unshare`, `veth`, `bridge`, `nftables`.
    pub(crate) direct: Answers,
    /// The same as root of a user namespace.
    pub(crate) nested: Answers,
    pub(crate) veth: Module,
    pub(crate) bridge: Module,
    pub(crate) nf_tables: Module,
    /// Chains that forwarded packets go through; None: may not be asked.
    pub(crate) forwards: Option<Vec<nftables::Forward>>,
    /// The xtables of old have a table "filter" here.
    pub(crate) legacy_filter: bool,
    /// `net.ipv6.conf.all.disable_ipv6`; None: no IPv6.
    pub(crate) ipv6_disabled: Option<bool>,
    /// `net.ipv4.ip_forward`
    pub(crate) ip_forward: Option<bool>,
    pub(crate) sysctl: Answer,
    pub(crate) run_dir: Check,
}

impl Facts {
    /// Of this process on this machine.
    pub(crate) fn gather() -> Self {
        let here = in_child(try_here);
        let veth = kinds::find(&InfoKind::Veth, "veth");
        let bridge = kinds::find(&InfoKind::Bridge, "bridge");
        // Where no module can be loaded, the question itself does no harm.
        let nf_tables = match Module::can_load() {
            true => Module::of("nf_tables"),
            false => Module::There,
        };
        let inside = |tell: &mut Teller| {
            for (module, name, make) in [
                (veth, "veth", make_veth as fn() -> Result<(), Error>),
                (bridge, "bridge", make_bridge),
                (nf_tables, "nftables", nftables::answers),
            ] {
                if module == Module::There {
                    tell.tell(name, make().map_err(|error| error.errno()));
                }
            }
        };
        let direct = in_child(|tell| {
            if tell
                .tell("unshare", unshare(CloneFlags::CLONE_NEWNET))
                .is_some()
            {
                inside(tell);
            }
        });
        let nested = in_child(|tell| {
            if sys::enter_user_namespace(tell, CloneFlags::CLONE_NEWNET, true) {
                inside(tell);
            }
        });
        let switch = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim() != "0");
        let tables = fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
        Self {
            proc: fs::metadata("/proc/self").is_ok(),
            forwards: forwards(nf_tables),
            legacy_filter: tables.lines().any(|table| table == "filter"),
            ipv6_disabled: switch("/proc/sys/net/ipv6/conf/all/disable_ipv6"),
            ip_forward: switch("/proc/sys/net/ipv4/ip_forward"),
            sysctl: accessat(
                CWD,
                "/proc/sys/net/ipv4/ip_forward",
                Access::WRITE_OK,
                AtFlags::EACCESS,
            )
            .map_err(|errno| errno.to_errno()),
            run_dir: record::check_run_dir(),
            here,
            direct,
            nested,
            veth,
            bridge,
            nf_tables,
        }
    }
}

/// A request to remove the interface that is neither numbered nor named: who may not remove any is told so first, and for
/// who may it is no request at all.
fn try_here(tell: &mut Teller) {
    let socket = Socket::open(false).map_err(|error| error.errno());
    let Some(mut socket) = tell.tell("netlink", socket) else {
        return;
    };
    let answer = match socket.batch(vec![requests::remove("", 0)]) {
        Err(error) if error.errno() != Errno::EINVAL => Err(error.errno()),
        _ => Ok(()),
    };
    tell.tell("net-admin", answer);
}

/// Names and policies cross the border between child and parent as words.
fn forwards(nf_tables: Module) -> Option<Vec<nftables::Forward>> {
    if nf_tables != Module::There {
        return Some(Vec::new());
    }
    let answers = in_child(|tell| match nftables::forwards() {
        Ok(list) => {
            for forward in list {
                let policy = if forward.drops {
                    Err(Errno::EACCES)
                } else {
                    Ok(())
                };
                tell.tell(&forward.name.replace(char::is_whitespace, "/"), policy);
            }
            tell.tell("end", Ok::<_, Errno>(()));
        }
        Err(error) => drop(tell.tell("end", Err::<(), _>(error.errno()))),
    });
    let is_whole = answers.of("end") == Some(Ok(()));
    let told = answers.told().filter(|(name, _)| *name != "end");
    let list = told.map(|(name, policy)| nftables::Forward {
        name: name.replace('/', " "),
        drops: policy.is_err(),
    });
    is_whole.then(|| list.collect())
}

fn make_veth() -> Result<(), Error> {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![LinkAttribute::IfName("probe1".into())];
    make(
        InfoKind::Veth,
        Some(LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)))),
    )
}

fn make_bridge() -> Result<(), Error> {
    make(InfoKind::Bridge, None)
}

fn make(kind: InfoKind, data: Option<LinkInfo>) -> Result<(), Error> {
    let mut message = LinkMessage::default();
    let name = format!("probe-{}", if data.is_some() { "pair" } else { "one" });
    let info = [LinkInfo::Kind(kind)].into_iter().chain(data).collect();
    message.attributes = vec![
        LinkAttribute::IfName(name.clone()),
        LinkAttribute::LinkInfo(info),
    ];
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    let request = Request::new("RTM_NEWLINK", &name, libc::RTM_NEWLINK, flags, &message);
    Socket::open(false)?.batch(vec![request]).map(drop)
}
