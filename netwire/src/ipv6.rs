//! What IPv6 needs beside addresses and routes, at both ends of the pair, before they are up.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use sys::{SysError, ToErrno};

use crate::TOOL;
use crate::error::Error;
use crate::uplink;

/// The switches of an interface, in the network namespace of the calling thread.
fn switches(interface: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv6/conf").join(interface)
}

/// Refuses a kernel that has no IPv6.
pub(crate) fn refuse_without() -> Result<(), Error> {
    match fs::exists("/proc/sys/net/ipv6/conf") {
        Ok(true) => Ok(()),
        _ => Err(Error::failed(
            "this kernel has no IPv6 (--subnet of IPv4 only)",
        )),
    }
}

/// At either end: IPv6 is on, whatever the default is, and no router is believed. The address of the link is made of a
/// hardware address that nobody else has: while it is probed, a second and more, nobody could be asked for his.
pub(crate) fn prepare(interface: &str) -> Result<(), Error> {
    let switches = switches(interface);
    set(&switches.join("disable_ipv6"), "0")?;
    set(&switches.join("accept_dad"), "0")?;
    set(&switches.join("accept_ra"), "0")
}

/// At the host's end: what comes in is forwarded.
///
/// IPv6 asks the machine as a whole; since Linux 6.17 an interface can have its own answer.
pub(crate) fn forward(interface: &str) -> Result<(), Error> {
    if uplink::forwards_ipv6() {
        return Ok(());
    }
    let force = switches(interface).join("force_forwarding");
    if fs::exists(&force).unwrap_or(false) {
        return set(&force, "1");
    }
    record::report(
        TOOL,
        "net.ipv6.conf.all.forwarding is 0: over IPv6 the pod reaches the host alone (before Linux 6.17 that is the only switch)",
    );
    Ok(())
}

/// As `--dry-run` has it.
pub(crate) fn steps(interface: &str) -> [String; 2] {
    let switches = switches(interface);
    let path = switches.display();
    ["accept_dad", "accept_ra"].map(|switch| format!("write({path}/{switch}, 0)"))
}

fn set(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(|error| {
        let call = format!("write({}, {value})", path.display());
        match error.to_errno() {
            Errno::EROFS => SysError::new(call, Errno::EROFS).hint("is /proc/sys read-only here?"),
            errno => SysError::new(call, errno),
        }
        .into()
    })
}
