//! A range of addresses, of any size.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::subnet::Subnet;

/// `10.96.0.0/12`; without a length, the one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    first: Ipv4Addr,
    prefix: u8,
}

impl Cidr {
    /// The lowest address.
    pub(crate) fn first(self) -> Ipv4Addr {
        self.first
    }

    /// The highest one.
    pub(crate) fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() | !mask(self.prefix))
    }

    /// Whether the whole of `other` lies in it.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix
            && other.first.to_bits() & mask(self.prefix) == self.first.to_bits()
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl From<Subnet> for Cidr {
    fn from(subnet: Subnet) -> Self {
        Self {
            first: subnet.network(),
            prefix: subnet.prefix(),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        if address.contains(':') {
            return Err("IPv6 is not supported yet".into());
        }
        let parsed = address.parse::<Ipv4Addr>();
        let address = parsed.map_err(|_| format!("{address:?} is no IPv4 address"))?;
        // digits only: u8's own parser would take "+24"
        let digits = length.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = length
            .parse()
            .ok()
            .filter(|&prefix: &u8| digits && prefix <= 32);
        let prefix = prefix.ok_or_else(|| format!("{length:?} is no prefix length (0 to 32)"))?;
        let first = Ipv4Addr::from_bits(address.to_bits() & mask(prefix));
        let range = Self { first, prefix };
        match first == address {
            true => Ok(range),
            false => Err(format!("host bits are set (did you mean {range}?)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn ends_and_what_lies_between() {
        assert_eq!(
            range("10.96.0.0/12").last(),
            Ipv4Addr::new(10, 111, 255, 255)
        );
        assert_eq!(range("0.0.0.0/0").last(), Ipv4Addr::BROADCAST);
        assert_eq!(range("192.0.2.7").to_string(), "192.0.2.7/32");
        assert!(range("10.0.0.0/8").covers(range("10.96.0.0/12")));
        assert!(range("0.0.0.0/0").covers(range("10.96.0.0/12")));
        assert!(!range("10.96.0.0/12").covers(range("10.0.0.0/8")));
        assert!(!range("10.96.0.0/12").covers(range("10.112.0.0/12")));
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("10.0.0.1/8", "host bits are set (did you mean 10.0.0.0/8?)"),
            ("10.0.0.0/33", "\"33\" is no prefix length (0 to 32)"),
            ("10.0.0.0/+8", "\"+8\" is no prefix length (0 to 32)"),
            ("x/8", "\"x\" is no IPv4 address"),
            ("fd00::/8", "IPv6 is not supported yet"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap_err(), why, "{text}");
        }
    }
}
