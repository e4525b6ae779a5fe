//! The sockets that listen, all of them in this network namespace.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, sockopt};
use rustix::net::{ipproto, socket_with};
use sys::{Call, SysError, ToErrno};

use super::spec::Spec;
use crate::error::Error;
use crate::publish::Protocol;

/// How often a free port of 127.0.0.1 may turn out to be taken on ::1.
const ATTEMPTS: usize = 32;

/// A socket that listens, and the port of the pod it is for.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) fd: OwnedFd,
    /// What it was bound to, a free port filled in.
    pub(super) address: SocketAddr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port, name) = (self.address, self.port, self.protocol.name());
        write!(f, "{address} -> {port}/{name}")
    }
}

/// Of all `specs`, in their order.
pub(super) fn all(specs: &[Spec]) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    for spec in specs {
        match spec.host {
            Some(host) => listeners.push(one(*spec, SocketAddr::new(host, spec.host_port))?),
            None => listeners.extend(loopbacks(*spec)?),
        }
    }
    Ok(listeners)
}

/// What [`all`] would listen on, a line each as [`Listener`] has it: a port that is chosen then is 0.
pub(super) fn would(specs: &[Spec]) -> Vec<String> {
    let has_v6 = std::fs::read_to_string("/proc/net/if_inet6").is_ok_and(|text| {
        let loopback = format!("{:032x}", Ipv6Addr::LOCALHOST.to_bits());
        text.lines().any(|line| line.starts_with(&loopback))
    });
    let hosts = |spec: &Spec| match spec.host {
        Some(host) => vec![host],
        None if has_v6 => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        None => vec![Ipv4Addr::LOCALHOST.into()],
    };
    let line = |spec: &Spec, host| {
        let address = SocketAddr::new(host, spec.host_port);
        format!("{address} -> {}/{}", spec.port, spec.protocol.name())
    };
    let lines = specs.iter().flat_map(|spec| {
        let hosts = hosts(spec).into_iter();
        hosts.map(move |host| line(spec, host))
    });
    lines.collect()
}

/// On 127.0.0.1, and with the same port on ::1; one of the two may not be there.
fn loopbacks(spec: Spec) -> Result<Vec<Listener>, Error> {
    let [v4, v6] = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let absent = |error: &SysError| {
        matches!(
            error.errno,
            Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT
        )
    };
    for _ in 0..ATTEMPTS {
        let first = match one(spec, SocketAddr::new(v4, spec.host_port)) {
            Err(error) if absent(&error) => None,
            answer => Some(answer?),
        };
        let port = first
            .as_ref()
            .map_or(spec.host_port, |first| first.address.port());
        match one(spec, SocketAddr::new(v6, port)) {
            Ok(second) => return Ok(first.into_iter().chain([second]).collect()),
            // The free port is not free there: another one.
            Err(error) if spec.host_port == 0 && error.errno == Errno::EADDRINUSE => {}
            Err(error) => match first {
                Some(first) if absent(&error) => return Ok(vec![first]),
                _ => return Err(error.into()),
            },
        }
    }
    Err(Error::failed(format!(
        "{spec}: no port is free on both 127.0.0.1 and ::1"
    )))
}

fn one(spec: Spec, address: SocketAddr) -> Result<Listener, SysError> {
    let name = spec.protocol.name();
    let tcp = spec.protocol == Protocol::Tcp;
    let fd = socket(address.ip(), spec.protocol)?;
    let set = |answer: rustix::io::Result<()>, option: &str| {
        answer.call(|| format!("setsockopt({option})"))
    };
    if tcp {
        // Connections that have ended are no hindrance. What is set here, accepted connections have as well: a client that
        // is gone without a word is found out, and small pieces go on at once, as they came.
        set(sockopt::set_socket_reuseaddr(&fd, true), "SO_REUSEADDR")?;
        set(sockopt::set_socket_keepalive(&fd, true), "SO_KEEPALIVE")?;
        set(sockopt::set_tcp_nodelay(&fd, true), "TCP_NODELAY")?;
    }
    if address.is_ipv6() {
        set(sockopt::set_ipv6_v6only(&fd, true), "IPV6_V6ONLY")?;
    }
    let call = || format!("bind({address}/{name})");
    bind(&fd, &address)
        .call(call)
        .map_err(|error| match error.errno {
            Errno::EADDRINUSE => {
                error.hint("the port is taken; without HOSTPORT, as in :80, a free one is chosen")
            }
            Errno::EADDRNOTAVAIL => error.hint("no address of this host"),
            Errno::EACCES => error.hint(
                "a port below net.ipv4.ip_unprivileged_port_start needs CAP_NET_BIND_SERVICE",
            ),
            _ => error,
        })?;
    if tcp {
        listen(&fd, i32::MAX).call(|| format!("listen({address})"))?;
    }
    let bound = getsockname(&fd).call(|| "getsockname()".into())?;
    Ok(Listener {
        address: SocketAddr::try_from(bound).unwrap_or(address),
        fd,
        port: spec.port,
        protocol: spec.protocol,
    })
}

/// A socket that does not wait, in the network namespace of the calling thread.
pub(super) fn socket(ip: IpAddr, protocol: Protocol) -> Result<OwnedFd, SysError> {
    let (family, name) = match ip {
        IpAddr::V4(_) => (AddressFamily::INET, "AF_INET"),
        IpAddr::V6(_) => (AddressFamily::INET6, "AF_INET6"),
    };
    let (kind, number) = match protocol {
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        _ => (SocketType::STREAM, ipproto::TCP),
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    socket_with(family, kind, flags, Some(number)).map_err(|error| {
        let errno = error.to_errno();
        let error = SysError::new(format!("socket({name}, {})", protocol.name()), errno);
        match errno {
            Errno::EAFNOSUPPORT if ip.is_ipv6() => error.hint("this kernel has no IPv6"),
            _ => error,
        }
    })
}
