//! A subnet, and which of its addresses may be given away.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::cidr::{Cidr, bits, with_bits};

/// A network in CIDR notation: `10.244.0.0/24`, `fd00:244::/64`.
///
/// Its first address is the gateway's, as host-local and kindnet have it, unless another is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    range: Cidr,
    gateway: IpAddr,
}

impl Subnet {
    /// The length of the prefix.
    pub(crate) fn prefix(self) -> u8 {
        self.range.prefix()
    }

    /// The address of the network itself; of IPv6, of any router on it.
    pub(crate) fn network(self) -> IpAddr {
        self.range.first()
    }

    /// Where pods send what is for others: the host, as a rule.
    pub(crate) fn gateway(self) -> IpAddr {
        self.gateway
    }

    /// Whether that is the first address.
    pub(crate) fn has_usual_gateway(self) -> bool {
        self.gateway == first_of(self.range)
    }

    /// The same with another gateway.
    ///
    /// # Errors
    /// Why that one cannot be it.
    pub(crate) fn with_gateway(self, gateway: IpAddr) -> Result<Self, String> {
        let with = Self { gateway, ..self };
        match self.gateway == gateway {
            true => Ok(with),
            false => self.refuses(gateway).map_or(Ok(with), Err),
        }
    }

    /// The last address, to all. IPv6 has none.
    pub(crate) fn broadcast(self) -> Option<IpAddr> {
        self.is_ipv4().then(|| self.range.last())
    }

    pub(crate) fn is_ipv4(self) -> bool {
        self.network().is_ipv4()
    }

    /// The first and the last address for pods, as numbers: all but the network's and the broadcast. The gateway is among
    /// them, unless it is the first.
    pub(crate) fn usable(self) -> (u128, u128) {
        let last = bits(self.range.last()) - u128::from(self.is_ipv4());
        let first = bits(self.network()) + 1;
        (first + u128::from(self.has_usual_gateway()), last)
    }

    /// Whether an address lies in both.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.range.covers(other.range) || other.range.covers(self.range)
    }

    /// Whether `address` lies in the subnet.
    pub(crate) fn contains(self, address: IpAddr) -> bool {
        self.range.contains(address)
    }

    /// Why a pod cannot have `address`; None: it can.
    pub(crate) fn refuses(self, address: IpAddr) -> Option<String> {
        let why = if !self.contains(address) {
            format!("is not in {self}")
        } else if address == self.network() {
            format!("is the address of the network {self}")
        } else if address == self.gateway() {
            format!("is the gateway of {self}")
        } else if Some(address) == self.broadcast() {
            format!("is the broadcast address of {self}")
        } else {
            return None;
        };
        Some(format!("{address} {why}"))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.range.fmt(f)
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = text
            .split_once('/')
            .ok_or("no prefix length (as in 10.244.0.0/24)")?;
        let parsed = address.parse::<IpAddr>();
        let like = parsed.map_err(|_| format!("{address:?} is no IP address"))?;
        let longest = if like.is_ipv4() { 30 } else { 126 };
        // digits only: u8's own parser would take "+24"
        let digits = length.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = length.parse::<u8>().ok();
        let prefix = prefix.filter(|&prefix| digits && prefix <= longest + 2);
        let prefix =
            prefix.ok_or_else(|| format!("{length:?} is no prefix length (1 to {longest})"))?;
        if prefix > longest {
            return Err(format!(
                "/{prefix} has no room for a gateway and a pod (/{longest} is the smallest)"
            ));
        }
        if prefix == 0 {
            return Err("/0 is every address there is, not a subnet".into());
        }
        let range: Cidr = text.parse()?;
        if [range.first(), range.last()].into_iter().any(is_for_no_pod) {
            return Err("pods cannot have addresses of this range".into());
        }
        let gateway = first_of(range);
        Ok(Self { range, gateway })
    }
}

fn first_of(range: Cidr) -> IpAddr {
    with_bits(range.first(), bits(range.first()) + 1)
}

/// Loopback, multicast, of the link, and whatever else means something by itself.
fn is_for_no_pod(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            first == 0 || address.is_loopback() || first >= 224
        }
        IpAddr::V6(address) => {
            let first = address.segments()[0];
            first == 0 || address.is_unicast_link_local() || address.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn offered(text: &str, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
        offered_of(subnet(text), last)
    }

    fn offered_of(subnet: Subnet, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
        crate::choice::Choice::default().addresses_after(subnet, last)
    }

    fn address(text: &str) -> IpAddr {
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
            ("10.244.0/24", "\"10.244.0\" is no IP address"),
            (
                "fd00::/127",
                "/127 has no room for a gateway and a pod (/126 is the smallest)",
            ),
            ("fd00::/129", "\"129\" is no prefix length (1 to 126)"),
            ("fe80::/64", "pods cannot have addresses of this range"),
            ("ff00::/8", "pods cannot have addresses of this range"),
            ("::/64", "pods cannot have addresses of this range"),
            ("127.1.0.0/16", "pods cannot have addresses of this range"),
            ("224.0.0.0/24", "pods cannot have addresses of this range"),
            ("0.0.0.0/8", "pods cannot have addresses of this range"),
        ] {
            assert_eq!(text.parse::<Subnet>().unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn network_gateway_and_broadcast_are_never_given() {
        let given: Vec<_> = offered("10.244.0.0/29", None).collect();
        let expected: Vec<_> = (2..=6)
            .map(|host| IpAddr::from([10, 244, 0, host]))
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
        assert_eq!(offered("10.244.0.0/30", None).count(), 1);
    }

    #[test]
    fn it_goes_round_once_from_the_last_one() {
        let given: Vec<_> = offered("10.244.0.0/29", Some(address("10.244.0.4"))).collect();
        let hosts: Vec<_> = given.iter().map(|address| bits(*address) & 0xff).collect();
        assert_eq!(hosts, [5, 6, 2, 3, 4]);
        let strange = offered("10.244.0.0/29", Some(address("192.0.2.1"))).next();
        assert_eq!(strange, Some(address("10.244.0.2")));
        let end = offered("10.244.0.0/29", Some(address("10.244.0.6"))).next();
        assert_eq!(end, Some(address("10.244.0.2")));
    }

    #[test]
    fn a_wide_subnet_neither_overflows_nor_loses_an_address() {
        let wide = subnet("128.0.0.0/2");
        let (first, last) = wide.usable();
        assert_eq!(last - first + 1, (1 << 30) - 3);
        assert_eq!(wide.broadcast(), Some(address("191.255.255.255")));
        let round = offered_of(wide, Some(address("191.255.255.254"))).next();
        assert_eq!(round, Some(address("128.0.0.2")));
    }

    #[test]
    fn ipv6_has_no_broadcast_and_no_end() {
        let small: Vec<_> = offered("fd00::/126", None).collect();
        assert_eq!(small, ["fd00::2", "fd00::3"].map(address));
        let round = offered("fd00::/126", Some(address("fd00::2"))).next();
        assert_eq!(round, Some(address("fd00::3")));
        let wide = subnet("4000::/2");
        let last = address("7fff:ffff:ffff:ffff:ffff:ffff:ffff:fffe");
        assert_eq!(
            offered_of(wide, Some(last)).next(),
            Some(address("7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
        );
        assert_eq!(subnet("fd00::/64").gateway(), address("fd00::1"));
        assert!(subnet("fd00::/64").refuses(address("10.0.0.1")).is_some());
    }
}
