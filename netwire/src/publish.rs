//! `--publish`: ports of the host that lead to ports of the pod.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::str::FromStr;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{Ipv6V6Only, ReuseAddr};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, bind, setsockopt,
    socket,
};
use serde_json::{Map, Value};
use sys::SysError;

use crate::error::Error;

/// What has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// As CNI's portMappings has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// From `IPPROTO_…`
    pub(crate) fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.number() == number)
    }

    /// `IPPROTO_…`
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| format!("{text:?} is neither tcp, udp nor sctp"))
    }
}

/// A run of ports of the host, and one as long of the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Publish {
    /// None: any address of the host.
    pub(crate) host_ip: Option<IpAddr>,
    pub(crate) host_port: u16,
    pub(crate) port: u16,
    /// How many, from 1.
    pub(crate) count: u16,
    pub(crate) protocol: Protocol,
}

impl Publish {
    /// Each port of the host with the one it leads to.
    pub(crate) fn pairs(self) -> impl Iterator<Item = (u16, u16)> {
        (0..self.count).map(move |at| (self.host_port + at, self.port + at))
    }

    /// Whether 127.0.0.1 is among the addresses.
    pub(crate) fn is_on_loopback(self) -> bool {
        self.host_ip
            .is_none_or(|ip| ip.is_ipv4() && ip.is_loopback())
    }

    /// A port that both would take.
    pub(crate) fn overlap(self, other: Self) -> Option<u16> {
        let last = |of: Self| u32::from(of.host_port) + u32::from(of.count) - 1;
        let first = self.host_port.max(other.host_port);
        let same = self.protocol == other.protocol
            && (self.host_ip == other.host_ip || self.host_ip.is_none() || other.host_ip.is_none());
        (same && u32::from(first) <= last(self).min(last(other))).then_some(first)
    }

    /// As CNI's `portMappings` has it, and `range` as podman has it beside.
    pub(crate) fn to_json(self) -> Value {
        let mut object = Map::new();
        if let Some(host_ip) = self.host_ip {
            object.insert("hostIP".into(), host_ip.to_string().into());
        }
        object.insert("hostPort".into(), self.host_port.into());
        object.insert("containerPort".into(), self.port.into());
        object.insert("protocol".into(), self.protocol.name().into());
        if self.count > 1 {
            object.insert("range".into(), self.count.into());
        }
        object.into()
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let bad = || format!("{value} is no port mapping");
        let number = |key: &str| -> Option<u16> { value.get(key)?.as_u64()?.try_into().ok() };
        let host_ip = value.get("hostIP").and_then(Value::as_str);
        let protocol = value.get("protocol").and_then(Value::as_str);
        let found = Self {
            host_ip: host_ip.map(str::parse).transpose().map_err(|_| bad())?,
            host_port: number("hostPort").ok_or_else(bad)?,
            port: number("containerPort").ok_or_else(bad)?,
            count: number("range").unwrap_or(1),
            protocol: protocol.unwrap_or_default().parse()?,
        };
        let fits =
            |from: u16| from > 0 && from.checked_add(found.count.saturating_sub(1)).is_some();
        let good = found.count > 0 && fits(found.host_port) && fits(found.port);
        good.then_some(found).ok_or_else(bad)
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(IpAddr::V6(host_ip)) => write!(f, "[{host_ip}]:")?,
            Some(host_ip) => write!(f, "{host_ip}:")?,
            None => {}
        }
        let last = self.count - 1;
        write!(f, "{}", self.host_port)?;
        if last > 0 {
            write!(
                f,
                "-{}:{}-{}",
                self.host_port + last,
                self.port,
                self.port + last
            )?;
        } else {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.protocol.name())
    }
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
        let shape = "[HOSTIP:]HOSTPORT:PORT[/tcp|udp|sctp] is expected";
        let (host, pod) = ports.rsplit_once(':').ok_or(shape)?;
        let (host_ip, host) = match host.rsplit_once(':') {
            Some((ip, host)) => {
                let brackets = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
                let parsed: Option<IpAddr> = match brackets {
                    Some(ip) => ip.parse().ok().map(Ipv6Addr::into),
                    None => ip.parse().ok().map(Ipv4Addr::into),
                };
                let ip = parsed.ok_or_else(|| {
                    format!("{ip:?} is neither an IPv4 address nor an IPv6 one in []")
                })?;
                // 0.0.0.0 and ::, which servers mean by it
                ((!ip.is_unspecified()).then_some(ip), host)
            }
            None => (None, host),
        };
        let ((host_port, count), (port, pod_count)) = (range(host)?, range(pod)?);
        if count != pod_count {
            return Err(format!("{count} ports of the host, {pod_count} of the pod"));
        }
        Ok(Self {
            host_ip,
            host_port,
            port,
            count,
            protocol: protocol.parse()?,
        })
    }
}

/// The first port of `N` or `N-M`, and how many there are.
pub(crate) fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| {
        // digits only: u16's own parser would take "+80"
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let port = text.parse::<u16>().ok().filter(|&port| digits && port > 0);
        port.ok_or_else(|| format!("{text:?} is no port (1 to 65535)"))
    };
    let (first, last) = (port(first)?, port(last)?);
    match last.checked_sub(first) {
        Some(more) => Ok((first, more + 1)),
        None => Err(format!("{text:?} ends before it begins")),
    }
}

/// Refuses ports on which a process of the host listens: it would hear nothing any more.
///
/// `unspecified` are the addresses for "any" of the families the pod has.
pub(crate) fn refuse_taken(ports: &[Publish], unspecified: &[IpAddr]) -> Result<(), Error> {
    for publish in ports {
        let ips = publish.host_ip.map_or(unspecified.to_vec(), |ip| vec![ip]);
        for (host_port, _) in publish.pairs() {
            for ip in &ips {
                refuse_taken_one(*publish, SocketAddr::new(*ip, host_port))?;
            }
        }
    }
    Ok(())
}

fn refuse_taken_one(publish: Publish, address: SocketAddr) -> Result<(), Error> {
    let (port, name) = (address.port(), publish.protocol.name());
    match try_bind(publish.protocol, address) {
        Ok(()) => Ok(()),
        Err(Errno::EADDRINUSE) => Err(Error::failed(format!(
            "--publish {publish}: {port}/{name} is taken, by a process of the host"
        ))),
        Err(errno) => {
            let error = SysError::new(format!("bind({address}/{name})"), errno);
            Err(match errno {
                Errno::EADDRNOTAVAIL => error.hint("no address of this host"),
                _ => error,
            }
            .into())
        }
    }
}

/// Whether nobody has the port: takes it for a moment.
pub(crate) fn try_bind(protocol: Protocol, address: SocketAddr) -> Result<(), Errno> {
    let (kind, number) = match protocol {
        Protocol::Tcp => (SockType::Stream, SockProtocol::Tcp),
        Protocol::Udp => (SockType::Datagram, SockProtocol::Udp),
        // Without the protocol in the kernel nobody listens, and asking for it would bring it there. Packets are forwarded all the same.
        Protocol::Sctp if !Path::new("/proc/net/sctp").exists() => return Ok(()),
        Protocol::Sctp => (SockType::Stream, SockProtocol::Sctp),
    };
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, number)?;
    if protocol == Protocol::Tcp {
        // Connections that have ended do not count. With it two of UDP could share a port.
        setsockopt(&socket, ReuseAddr, &true)?;
    }
    match address {
        SocketAddr::V4(address) => bind(socket.as_raw_fd(), &SockaddrIn::from(address)),
        SocketAddr::V6(address) => {
            setsockopt(&socket, Ipv6V6Only, &true)?;
            bind(socket.as_raw_fd(), &SockaddrIn6::from(address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_users_type_is_understood() {
        for (text, shown) in [
            ("8080:80", "8080:80/tcp"),
            ("0.0.0.0:8080:80", "8080:80/tcp"),
            ("[::]:8080:80", "8080:80/tcp"),
            ("[fd00::1]:8080:80", "[fd00::1]:8080:80/tcp"),
            ("127.0.0.1:53:5353/udp", "127.0.0.1:53:5353/udp"),
            ("8000-8009:9000-9009/sctp", "8000-8009:9000-9009/sctp"),
            ("1-65535:1-65535", "1-65535:1-65535/tcp"),
        ] {
            let publish: Publish = text.parse().unwrap();
            assert_eq!(publish.to_string(), shown);
            assert_eq!(
                Publish::from_json(&publish.to_json()),
                Ok(publish),
                "{text}"
            );
        }
        let range: Publish = "8000-8002:9000-9002".parse().unwrap();
        let pairs: Vec<_> = range.pairs().collect();
        assert_eq!(pairs, [(8000, 9000), (8001, 9001), (8002, 9002)]);
    }

    #[test]
    fn what_is_none_says_why() {
        let shape = "[HOSTIP:]HOSTPORT:PORT[/tcp|udp|sctp] is expected";
        for (text, why) in [
            ("80", shape),
            ("", shape),
            ("8080:0", "\"0\" is no port (1 to 65535)"),
            ("65536:80", "\"65536\" is no port (1 to 65535)"),
            ("+80:80", "\"+80\" is no port (1 to 65535)"),
            (":80", "\"\" is no port (1 to 65535)"),
            ("80:80/icmp", "\"icmp\" is neither tcp, udp nor sctp"),
            ("90-80:80", "\"90-80\" ends before it begins"),
            ("80-90:80", "11 ports of the host, 1 of the pod"),
            (
                "localhost:80:80",
                "\"localhost\" is neither an IPv4 address nor an IPv6 one in []",
            ),
            (
                "::1:80:80",
                "\"::1\" is neither an IPv4 address nor an IPv6 one in []",
            ),
        ] {
            assert_eq!(text.parse::<Publish>().unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn two_that_would_take_the_same_port_are_seen() {
        let overlap = |one: &str, other: &str| {
            let parse = |text: &str| text.parse::<Publish>().unwrap();
            parse(one).overlap(parse(other))
        };
        assert_eq!(overlap("80:80", "80:81"), Some(80));
        assert_eq!(overlap("127.0.0.1:80:80", "80:81"), Some(80));
        assert_eq!(overlap("1-9:1-9", "9-10:9-10"), Some(9));
        assert_eq!(overlap("80:80", "80:80/udp"), None);
        assert_eq!(overlap("1-9:1-9", "10:10"), None);
        assert_eq!(overlap("127.0.0.1:80:80", "127.0.0.2:80:80"), None);
    }

    #[test]
    fn a_tampered_one_is_refused() {
        for text in [
            r#"{"hostPort":0,"containerPort":80,"protocol":"tcp"}"#,
            r#"{"hostPort":70000,"containerPort":80,"protocol":"tcp"}"#,
            r#"{"hostPort":65535,"containerPort":80,"protocol":"tcp","range":2}"#,
            r#"{"hostPort":80,"containerPort":80,"protocol":"tcp","range":0}"#,
            r#"{"hostPort":80,"containerPort":80}"#,
            r#"{"hostPort":80,"containerPort":80,"protocol":"tcp","hostIP":"x"}"#,
            "7",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(Publish::from_json(&value).is_err(), "{text}");
        }
    }
}
