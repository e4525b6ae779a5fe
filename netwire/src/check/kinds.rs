//! Kinds of interfaces that the kernel knows, asked so that it does not load a module to answer.

use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use nix::errno::Errno;
use sys::{Module, in_child};

use crate::error::Error;
use crate::link;
use crate::netlink::{Request, Socket};

/// Whether it knows `kind`, whose module is called the same; asked by a child.
pub(crate) fn find(kind: &InfoKind, name: &str) -> Module {
    let known = in_child(|tell| {
        let known = is_known(kind, name).map_err(|error| error.errno());
        let known = known.and_then(|known| known.then_some(()).ok_or(Errno::ENODEV));
        tell.tell("known", known);
    });
    match known.of("known") {
        Some(Ok(())) => Module::There,
        Some(Err(Errno::ENODEV)) => Module::of_file(name),
        _ => Module::Unknown,
    }
}

/// A dump that names a kind has interfaces of that kind only, unless the kernel does not know it: then it has all, and
/// every namespace has lo. To make one, or to ask what one can do, would have the kernel load a module.
fn is_known(kind: &InfoKind, name: &str) -> Result<bool, Error> {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind.clone())])];
    let what = format!("type {name}");
    let flags = libc::NLM_F_DUMP;
    let request = Request::new("RTM_GETLINK", &what, libc::RTM_GETLINK, flags, &message);
    let mut others = false;
    Socket::open(false)?.dump(request, |payload| {
        others |= link::kind(payload).as_deref() != Some(name);
        true
    })?;
    Ok(!others)
}
