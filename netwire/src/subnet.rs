//! A subnet, and which of its addresses may be given away.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network in CIDR notation: `10.244.0.0/24`.
///
/// Its first address is the gateway's, as host-local and kindnet have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    network: Ipv4Addr,
    prefix: u8,
}

impl Subnet {
    /// The length of the prefix.
    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// The address of the network itself.
    pub(crate) fn network(self) -> Ipv4Addr {
        self.network
    }

    /// The host's address in every pod's eyes: the first one.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() + 1)
    }

    /// The last address, to all.
    pub(crate) fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.network.to_bits() | !self.mask())
    }

    /// How many addresses there are for pods: all but the network's, the gateway's and the broadcast.
    pub(crate) fn capacity(self) -> u32 {
        !self.mask() - 2
    }

    /// Whether `address` lies in the subnet.
    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.network.to_bits()
    }

    /// Why a pod cannot have `address`; None: it can.
    pub(crate) fn refuses(self, address: Ipv4Addr) -> Option<String> {
        let why = if !self.contains(address) {
            format!("is not in {self}")
        } else if address == self.network {
            format!("is the address of the network {self}")
        } else if address == self.gateway() {
            format!("is the gateway of {self}")
        } else if address == self.broadcast() {
            format!("is the broadcast address of {self}")
        } else {
            return None;
        };
        Some(format!("{address} {why}"))
    }

    /// Every address a pod can have, beginning with the one after `last` and going round once.
    ///
    /// Round robin: an address that was just given back is the last one to be given again.
    pub(crate) fn addresses_after(self, last: Option<Ipv4Addr>) -> impl Iterator<Item = Ipv4Addr> {
        let first = self.gateway().to_bits() + 1;
        let count = self.capacity();
        let last = last.filter(|&last| self.refuses(last).is_none());
        let start = last.map_or(0, |last| last.to_bits() - first + 1);
        (0..count).map(move |step| {
            let offset = (u64::from(start) + u64::from(step)) % u64::from(count);
            Ipv4Addr::from_bits(first + u32::try_from(offset).unwrap_or_default())
        })
    }

    fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text
            .split_once('/')
            .ok_or("no prefix length (as in 10.244.0.0/24)")?;
        if address.contains(':') {
            return Err("IPv6 is not supported yet".into());
        }
        let address: Ipv4Addr = address
            .parse()
            .map_err(|_| format!("{address:?} is no IPv4 address"))?;
        // digits only: u8's own parser would take "+24"
        let digits = length.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = length
            .parse::<u8>()
            .ok()
            .filter(|&prefix| digits && prefix <= 32);
        let prefix = prefix.ok_or_else(|| format!("{length:?} is no prefix length (1 to 30)"))?;
        if prefix > 30 {
            return Err(format!(
                "/{prefix} has no room for a gateway and a pod (/30 is the smallest)"
            ));
        }
        if prefix == 0 {
            return Err("/0 is every address there is, not a subnet".into());
        }
        let mut subnet = Self {
            network: address,
            prefix,
        };
        subnet.network = Ipv4Addr::from_bits(address.to_bits() & subnet.mask());
        if subnet.network != address {
            return Err(format!("host bits are set (did you mean {subnet}?)"));
        }
        let ends = [subnet.network, subnet.broadcast()];
        if ends
            .iter()
            .any(|end| end.octets()[0] == 0 || end.is_loopback() || end.octets()[0] >= 224)
        {
            return Err("pods cannot have addresses of this range".into());
        }
        Ok(subnet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn address(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_subnet_says_why() {
        for (text, why) in [
            ("10.244.0.0", "no prefix length (as in 10.244.0.0/24)"),
            (
                "10.244.0.0/31",
                "/31 has no room for a gateway and a pod (/30 is the smallest)",
            ),
            (
                "10.244.0.0/32",
                "/32 has no room for a gateway and a pod (/30 is the smallest)",
            ),
            ("0.0.0.0/0", "/0 is every address there is, not a subnet"),
            (
                "10.244.0.7/24",
                "host bits are set (did you mean 10.244.0.0/24?)",
            ),
            ("10.244.0.0/33", "\"33\" is no prefix length (1 to 30)"),
            ("10.244.0.0/+24", "\"+24\" is no prefix length (1 to 30)"),
            ("10.244.0.0/", "\"\" is no prefix length (1 to 30)"),
            ("10.244.0/24", "\"10.244.0\" is no IPv4 address"),
            ("fd00::/64", "IPv6 is not supported yet"),
            ("127.1.0.0/16", "pods cannot have addresses of this range"),
            ("224.0.0.0/24", "pods cannot have addresses of this range"),
            ("0.0.0.0/8", "pods cannot have addresses of this range"),
        ] {
            assert_eq!(text.parse::<Subnet>().unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn network_gateway_and_broadcast_are_never_given() {
        let given: Vec<_> = subnet("10.244.0.0/29").addresses_after(None).collect();
        let expected: Vec<_> = (2..=6)
            .map(|host| Ipv4Addr::new(10, 244, 0, host))
            .collect();
        assert_eq!(given, expected);
        for refused in [
            "10.244.0.0",
            "10.244.0.1",
            "10.244.0.7",
            "10.244.0.8",
            "10.243.255.255",
        ] {
            assert!(
                subnet("10.244.0.0/29").refuses(address(refused)).is_some(),
                "{refused}"
            );
        }
        assert_eq!(subnet("10.244.0.0/30").addresses_after(None).count(), 1);
    }

    #[test]
    fn it_goes_round_once_from_the_last_one() {
        let given: Vec<_> = subnet("10.244.0.0/29")
            .addresses_after(Some(address("10.244.0.4")))
            .collect();
        let hosts: Vec<_> = given.iter().map(|address| address.octets()[3]).collect();
        assert_eq!(hosts, [5, 6, 2, 3, 4]);
        let strange = subnet("10.244.0.0/29")
            .addresses_after(Some(address("192.0.2.1")))
            .next();
        assert_eq!(strange, Some(address("10.244.0.2")));
        let end = subnet("10.244.0.0/29")
            .addresses_after(Some(address("10.244.0.6")))
            .next();
        assert_eq!(end, Some(address("10.244.0.2")));
    }

    #[test]
    fn a_wide_subnet_neither_overflows_nor_loses_an_address() {
        let wide = subnet("128.0.0.0/2");
        assert_eq!(wide.capacity(), (1 << 30) - 3);
        assert_eq!(wide.broadcast(), address("191.255.255.255"));
        let round = wide
            .addresses_after(Some(address("191.255.255.254")))
            .next();
        assert_eq!(round, Some(address("128.0.0.2")));
    }
}
