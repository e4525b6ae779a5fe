//! Where a service leads: addresses, ports and their weights.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// What may stand behind `--to`: the port is the service's where none is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) ip: IpAddr,
    pub(crate) port: Option<u16>,
    /// Of how many equal parts it gets, from 1.
    pub(crate) weight: u16,
}

/// One of a port's: `10.244.0.3:53`, `[fd00::3]:53,weight=2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
    pub(crate) weight: u16,
}

impl Endpoint {
    /// Whether both are the same place, whatever their weights.
    pub(crate) fn is_at(self, other: Self) -> bool {
        (self.ip, self.port) == (other.ip, other.port)
    }

    /// Without the weight.
    pub(crate) fn address(self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// Why nothing can be sent to `ip`, if so.
pub(crate) fn refuses(ip: IpAddr) -> Option<String> {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let why = if ip.is_unspecified() {
        "is no address of anybody"
    } else if ip.is_multicast() || broadcast {
        "is of a group"
    } else if ip.is_loopback() {
        "is the loopback of whoever asks"
    } else {
        return None;
    };
    Some(format!("{ip} {why}"))
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (place, weight) = match text.split_once(",weight=") {
            Some((place, weight)) => (place, Some(weight)),
            None => (text, None),
        };
        let weight = weight.map_or(Ok(1), |weight| match weight.parse() {
            Ok(weight) if weight > 0 => Ok(weight),
            _ => Err(format!("weight={weight:?} is not in 1..=65535")),
        })?;
        let bare = place
            .strip_prefix('[')
            .and_then(|place| place.strip_suffix(']'))
            .unwrap_or(place);
        let (ip, port) = match (bare.parse::<IpAddr>(), place.parse::<SocketAddr>()) {
            (Ok(ip), _) => (ip, None),
            (_, Ok(address)) if address.port() > 0 => (address.ip(), Some(address.port())),
            _ => {
                return Err(format!("{text:?}: ADDRESS[:PORT][,weight=N] is expected"));
            }
        };
        match refuses(ip) {
            Some(why) => Err(why),
            None => Ok(Self { ip, port, weight }),
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Target { ip, port, weight } = text.parse()?;
        let port = port.ok_or_else(|| format!("{text:?}: a port is missing"))?;
        Ok(Self { ip, port, weight })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)?;
        match self.weight {
            1 => Ok(()),
            weight => write!(f, ",weight={weight}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_understood() {
        for (text, ip, port, weight) in [
            ("10.244.0.3", "10.244.0.3", None, 1),
            ("10.244.0.3:53", "10.244.0.3", Some(53), 1),
            ("fd00::3", "fd00::3", None, 1),
            ("[fd00::3]", "fd00::3", None, 1),
            ("[fd00::3]:53,weight=7", "fd00::3", Some(53), 7),
        ] {
            let ip = ip.parse().unwrap();
            assert_eq!(text.parse(), Ok(Target { ip, port, weight }), "{text}");
        }
        for text in ["10.244.0.3:53", "[fd00::3]:53,weight=7"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for bad in [
            "",
            "x",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1,weight=0",
            "10.0.0.1,weight=x",
            "127.0.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::1",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        assert!("10.0.0.1".parse::<Endpoint>().is_err());
    }
}
