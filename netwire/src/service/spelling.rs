//! How ports, times and domains are typed.

use std::str::FromStr;

use super::definition::MOST_SECONDS;
use super::name::is_label;
use crate::publish::Protocol;

/// `--port [NAME:]PORT[:TARGET][/PROTOCOL]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortArg {
    pub(crate) name: Option<String>,
    pub(crate) port: u16,
    pub(crate) target: Option<u16>,
    pub(crate) protocol: Protocol,
}

/// `--node-port NODEPORT[:PORT][/PROTOCOL]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodePort {
    pub(crate) node: u16,
    /// Of the service; None: its only one of the protocol.
    pub(crate) port: Option<u16>,
    /// None: tcp, or the only one there is.
    pub(crate) protocol: Option<Protocol>,
}

/// `--affinity 3h`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u32);

/// `--domain cluster.local`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domain(pub(crate) String);

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{text:?} is no port (1 to 65535)")),
    }
}

/// The text before `/PROTOCOL`, and that.
fn protocol(text: &str) -> Result<(&str, Option<Protocol>), String> {
    match text.split_once('/') {
        Some((rest, protocol)) => Ok((rest, Some(protocol.parse()?))),
        None => Ok((text, None)),
    }
}

impl FromStr for PortArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, protocol) = protocol(text)?;
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (name, rest) = match rest.split_once(':') {
            Some((name, rest)) if !is_number(name) => (Some(name), rest),
            _ => (None, rest),
        };
        if let Some(name) = name.filter(|name| !is_label(name)) {
            return Err(format!(
                "{name:?} is no name of a port (lower-case letters, digits and '-')"
            ));
        }
        let (first, target) = match rest.split_once(':') {
            Some((first, target)) => (first, Some(port(target)?)),
            None => (rest, None),
        };
        Ok(Self {
            name: name.map(str::to_owned),
            port: port(first)?,
            target,
            protocol: protocol.unwrap_or(Protocol::Tcp),
        })
    }
}

impl FromStr for NodePort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, protocol) = protocol(text)?;
        let (node, of) = match rest.split_once(':') {
            Some((node, of)) => (node, Some(port(of)?)),
            None => (rest, None),
        };
        Ok(Self {
            node: port(node)?,
            port: of,
            protocol,
        })
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
            Some(digits) => (digits, &text[digits.len()..]),
            None => (text, "s"),
        };
        let unit = match unit {
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => 1,
        };
        let seconds = digits
            .parse::<u32>()
            .ok()
            .and_then(|count| count.checked_mul(unit));
        match seconds {
            Some(seconds) if (1..=MOST_SECONDS).contains(&seconds) => Ok(Self(seconds)),
            _ => Err("a time from 1s to 1d is expected, as in 90, 10m or 3h".into()),
        }
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text);
        match name.split('.').all(is_label) && name.len() < 200 {
            true => Ok(Self(name.to_owned())),
            false => Err(format!("{text:?} is no name of a domain")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_understood_in_every_spelling() {
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        for (text, name, port, target, protocol) in [
            ("53", None, 53, None, tcp),
            ("53/udp", None, 53, None, udp),
            ("dns:53/udp", Some("dns"), 53, None, udp),
            ("53:5353/udp", None, 53, Some(5353), udp),
            ("dns-tcp:53:5353", Some("dns-tcp"), 53, Some(5353), tcp),
        ] {
            let name = name.map(str::to_owned);
            let expected = PortArg {
                name,
                port,
                target,
                protocol,
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for bad in [
            "", "x", "0", "65536", "Dns:53", "53/icmp", "a:b:53", "53:", "1:2:3",
        ] {
            assert!(bad.parse::<PortArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_node_port_is_understood() {
        let node = |node, port, protocol| {
            Ok(NodePort {
                node,
                port,
                protocol,
            })
        };
        assert_eq!("30053".parse(), node(30_053, None, None));
        assert_eq!(
            "30053:53/udp".parse(),
            node(30_053, Some(53), Some(Protocol::Udp))
        );
        assert!("x:53".parse::<NodePort>().is_err());
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [
            ("90", 90),
            ("10s", 10),
            ("10m", 600),
            ("3h", 10_800),
            ("1d", 86_400),
        ] {
            assert_eq!(text.parse(), Ok(Seconds(seconds)));
        }
        for bad in ["", "0", "2d", "h", "3w", "-1", "99999999999h"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }
}
