//! What is to be forwarded, as it is typed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::publish::Protocol;

/// A port of this machine and the one of the pod that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Where to listen; None: on 127.0.0.1, and on ::1 where there is one.
    pub(super) host: Option<IpAddr>,
    /// 0: a free one.
    pub(super) host_port: u16,
    pub(super) port: u16,
    /// TCP or UDP.
    pub(super) protocol: Protocol,
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = "[[HOSTADDR:]HOSTPORT:]PORT[/tcp|udp] is expected";
        let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Err(format!("{other:?} is neither tcp nor udp")),
        };
        let Some((before, port)) = ports.rsplit_once(':') else {
            let port = number(ports, 1).map_err(|why| format!("{why}; {shape}"))?;
            return Ok(Self {
                host: None,
                host_port: port,
                port,
                protocol,
            });
        };
        let (host, host_port) = match before.rsplit_once(':') {
            Some((host, host_port)) => (address(host)?, host_port),
            None => (None, before),
        };
        let host_port = match host_port {
            "" => 0,
            digits => number(digits, 0)?,
        };
        Ok(Self {
            host,
            host_port,
            port: number(port, 1)?,
            protocol,
        })
    }
}

/// As publish has it, and `localhost` for the loopback of both families.
fn address(text: &str) -> Result<Option<IpAddr>, String> {
    if text == "localhost" {
        return Ok(None);
    }
    let brackets = text.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    let parsed: Option<IpAddr> = match brackets {
        Some(ip) => ip.parse().ok().map(Ipv6Addr::into),
        None => text.parse().ok().map(Ipv4Addr::into),
    };
    let none = || format!("{text:?} is neither an IPv4 address nor an IPv6 one in []");
    parsed.map(Some).ok_or_else(none)
}

fn number(text: &str, least: u16) -> Result<u16, String> {
    // digits only: u16's own parser would take "+80"
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|&port| digits && port >= least);
    port.ok_or_else(|| format!("{text:?} is no port ({least} to 65535)"))
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:")?,
            Some(host) => write!(f, "{host}:")?,
            None => {}
        }
        let (host_port, port, name) = (self.host_port, self.port, self.protocol.name());
        write!(f, "{host_port}:{port}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_of_kubectl_type_is_understood() {
        for (text, shown) in [
            ("8080:80", "8080:80/tcp"),
            ("80", "80:80/tcp"),
            (":80", "0:80/tcp"),
            ("0:80", "0:80/tcp"),
            ("53:5353/udp", "53:5353/udp"),
            ("localhost:8080:80", "8080:80/tcp"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080:80/tcp"),
            ("127.0.0.2::80", "127.0.0.2:0:80/tcp"),
            ("[::1]:8080:80/udp", "[::1]:8080:80/udp"),
        ] {
            let spec: Spec = text.parse().unwrap();
            assert_eq!(spec.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(spec));
        }
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            (
                "",
                "\"\" is no port (1 to 65535); [[HOSTADDR:]HOSTPORT:]PORT[/tcp|udp] is expected",
            ),
            ("8080:0", "\"0\" is no port (1 to 65535)"),
            ("8080:", "\"\" is no port (1 to 65535)"),
            ("65536:80", "\"65536\" is no port (0 to 65535)"),
            ("+1:80", "\"+1\" is no port (0 to 65535)"),
            ("80:80/sctp", "\"sctp\" is neither tcp nor udp"),
            (
                "::1:80:80",
                "\"::1\" is neither an IPv4 address nor an IPv6 one in []",
            ),
            (
                "host:80:80",
                "\"host\" is neither an IPv4 address nor an IPv6 one in []",
            ),
        ] {
            assert_eq!(text.parse::<Spec>().unwrap_err(), why, "{text}");
        }
    }
}
