//! A range of addresses, of any size.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::subnet::Subnet;

/// `10.96.0.0/12` or `fd00::/48`; without a length, the one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    first: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// From its lowest address.
    pub(crate) fn new(first: IpAddr, prefix: u8) -> Self {
        Self { first, prefix }
    }

    /// The lowest address.
    pub(crate) fn first(self) -> IpAddr {
        self.first
    }

    /// The highest one.
    pub(crate) fn last(self) -> IpAddr {
        with_bits(
            self.first,
            bits(self.first) | host_mask(self.first, self.prefix),
        )
    }

    /// The length of the prefix.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in it.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        let network = bits(address) & !host_mask(address, self.prefix);
        address.is_ipv4() == self.first.is_ipv4() && network == bits(self.first)
    }

    /// Whether the whole of `other` lies in it.
    pub(crate) fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.first)
    }
}

/// How many bits an address of this family has.
pub(crate) fn width(like: IpAddr) -> u8 {
    match like {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// An address as a number.
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// And back, of the family of `like`.
pub(crate) fn with_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

/// An address as it is in a packet.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

/// The bits behind a prefix.
pub(crate) fn host_mask(like: IpAddr, prefix: u8) -> u128 {
    let host = width(like).saturating_sub(prefix);
    1_u128
        .checked_shl(host.into())
        .map_or(u128::MAX, |bit| bit - 1)
}

impl From<Subnet> for Cidr {
    fn from(subnet: Subnet) -> Self {
        Self::new(subnet.network(), subnet.prefix())
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
        let (address, length) = text
            .split_once('/')
            .map_or((text, None), |(a, l)| (a, Some(l)));
        let parsed = address.parse::<IpAddr>();
        let address = parsed.map_err(|_| format!("{address:?} is no IP address"))?;
        let longest = width(address);
        let prefix = length.map_or(Some(longest), |length| {
            // digits only: u8's own parser would take "+24"
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            length
                .parse()
                .ok()
                .filter(|&prefix: &u8| digits && prefix <= longest)
        });
        let prefix = prefix.ok_or_else(|| {
            let length = length.unwrap_or_default();
            format!("{length:?} is no prefix length (0 to {longest})")
        })?;
        let range = Self::new(
            with_bits(address, bits(address) & !host_mask(address, prefix)),
            prefix,
        );
        match range.first == address {
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
        assert_eq!(range("10.96.0.0/12").last().to_string(), "10.111.255.255");
        assert_eq!(range("0.0.0.0/0").last(), Ipv4Addr::BROADCAST);
        assert_eq!(range("fd00::/120").last().to_string(), "fd00::ff");
        assert_eq!(range("::/0").last(), Ipv6Addr::from_bits(u128::MAX));
        assert!(range("fd00::/8").covers(range("fd00:1::/32")));
        assert!(!range("::/0").covers(range("10.0.0.0/8")));
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
            ("x/8", "\"x\" is no IP address"),
            ("fd00::/129", "\"129\" is no prefix length (0 to 128)"),
            ("fd00::1/64", "host bits are set (did you mean fd00::/64?)"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap_err(), why, "{text}");
        }
    }
}
