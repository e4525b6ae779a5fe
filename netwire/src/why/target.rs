//! What is to be reached.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::publish::Protocol;

/// An address or a name, and a port if one is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
    /// TCP or UDP.
    pub(super) protocol: Protocol,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    Name(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, protocol) = match text.rsplit_once('/') {
            None => (text, None),
            Some((place, "tcp")) => (place, Some(Protocol::Tcp)),
            Some((place, "udp")) => (place, Some(Protocol::Udp)),
            Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
        };
        let bare: Option<IpAddr> = place.parse().ok();
        let (host, port) = match (bare, place.strip_prefix('[')) {
            (Some(address), _) => (Host::Address(address), None),
            (None, Some(rest)) => {
                let (address, port) = rest.split_once(']').ok_or("a ] is missing")?;
                let address = address.parse();
                let address = address.map_err(|_| format!("{rest:?} is no address of IPv6"))?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or("[ADDR]:PORT is expected")?),
                };
                (Host::Address(address), port)
            }
            (None, None) => {
                let (host, port) = match place.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (place, None),
                };
                (named(host)?, port)
            }
        };
        let port = port.map(|port| {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            let number = port.parse().ok().filter(|&port: &u16| digits && port > 0);
            number.ok_or_else(|| format!("{port:?} is no port (1 to 65535)"))
        });
        let port = port.transpose()?;
        if port.is_none() && protocol.is_some() {
            return Err(format!("{text:?} has a protocol and no port"));
        }
        let protocol = protocol.unwrap_or(Protocol::Tcp);
        Ok(Self {
            host,
            port,
            protocol,
        })
    }
}

fn named(host: &str) -> Result<Host, String> {
    if let Ok(address) = host.parse() {
        return Ok(Host::Address(address));
    }
    let label = |label: &str| {
        let byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(byte)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // what is all numbers was meant to be an address
    let number = host
        .rsplit('.')
        .next()
        .is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    match host.len() <= 253 && host.split('.').all(label) && !number {
        true => Ok(Host::Name(host.to_owned())),
        false => Err(format!("{host:?} is neither an address nor a name")),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (Host::Address(IpAddr::V6(address)), Some(_)) => write!(f, "[{address}]")?,
            (Host::Address(address), _) => write!(f, "{address}")?,
            (Host::Name(name), _) => f.write_str(name)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}/{}", self.protocol.name()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_understood() {
        for (text, shown) in [
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1:80", "10.0.0.1:80/tcp"),
            ("10.0.0.1:53/udp", "10.0.0.1:53/udp"),
            ("::1", "::1"),
            ("[::1]:80", "[::1]:80/tcp"),
            ("[::1]", "::1"),
            ("web", "web"),
            ("www.example.org.:443", "www.example.org:443/tcp"),
            ("_dns._udp.local:53/udp", "_dns._udp.local:53/udp"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("", "\"\" is neither an address nor a name"),
            (
                "1.2.3.4.5",
                "\"1.2.3.4.5\" is neither an address nor a name",
            ),
            ("10.0.0.1:0", "\"0\" is no port (1 to 65535)"),
            ("10.0.0.1:x", "\"x\" is no port (1 to 65535)"),
            (
                "10.0.0.1/udp",
                "\"10.0.0.1/udp\" has a protocol and no port",
            ),
            ("a:80/sctp", "\"sctp\" is neither tcp nor udp"),
            ("a b", "\"a b\" is neither an address nor a name"),
            ("[::1:80", "a ] is missing"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap_err(), why);
        }
    }
}
