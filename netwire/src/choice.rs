//! Which addresses of a subnet may be given to who asks for none in particular.

use std::net::IpAddr;
use std::str::FromStr;

use crate::cidr::{Cidr, bits, width, with_bits};
use crate::subnet::Subnet;

/// Addresses from one to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    first: IpAddr,
    last: IpAddr,
}

impl Range {
    /// Whether both ends are addresses of `subnet`.
    pub(crate) fn is_in(self, subnet: Subnet) -> bool {
        subnet.contains(self.first) && subnet.contains(self.last)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once('-').ok_or("FIRST-LAST is expected")?;
        let parse = |text: &str| {
            let parsed = text.parse::<IpAddr>();
            parsed.map_err(|_| format!("{text:?} is no IP address"))
        };
        let (first, last) = (parse(first)?, parse(last)?);
        if first.is_ipv4() != last.is_ipv4() {
            return Err("one end is of IPv4 and the other of IPv6".into());
        }
        match bits(first) <= bits(last) {
            true => Ok(Self { first, last }),
            false => Err(format!("{text:?} ends before it begins")),
        }
    }
}

/// `--range` and `--exclude`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// None of a family: all of its subnet.
    pub(crate) ranges: Vec<Range>,
    pub(crate) exclude: Vec<Cidr>,
}

impl Choice {
    /// Every address of `subnet` that may be given, beginning with the one after `last` and going round once.
    ///
    /// Round robin: an address that was just given back is the last one to be given again.
    pub(crate) fn addresses_after(
        &self,
        subnet: Subnet,
        last: Option<IpAddr>,
    ) -> impl Iterator<Item = IpAddr> + use<> {
        let network = subnet.network();
        let last = last.filter(|&last| subnet.contains(last)).map_or(0, bits);
        let runs = self.runs(subnet);
        let after = runs
            .clone()
            .into_iter()
            .map(move |(from, to)| from.max(last.saturating_add(1))..=to);
        let before = runs.into_iter().map(move |(from, to)| from..=to.min(last));
        after
            .chain(before)
            .flatten()
            .map(move |address| with_bits(network, address))
    }

    /// The same as runs from one number to another: a subnet of IPv6 is too large to look at its addresses one by one.
    fn runs(&self, subnet: Subnet) -> Vec<(u128, u128)> {
        let (first, last) = subnet.usable();
        let of_family = |address: IpAddr| address.is_ipv4() == subnet.is_ipv4();
        let ranges = self.ranges.iter().filter(|range| of_family(range.first));
        let mut runs: Vec<(u128, u128)> = ranges
            .map(|range| (bits(range.first).max(first), bits(range.last).min(last)))
            .collect();
        if runs.is_empty() {
            runs.push((first, last));
        }
        runs.sort_unstable();
        let gateway = Cidr::new(subnet.gateway(), width(subnet.gateway()));
        let excluded = self.exclude.iter().chain([&gateway]);
        for range in excluded.filter(|range| of_family(range.first())) {
            let (from, to) = (bits(range.first()), bits(range.last()));
            runs = runs
                .into_iter()
                .flat_map(|(first, last)| {
                    // what lies before it, and what lies behind
                    let before = (first, last.min(from.saturating_sub(1)));
                    let behind = (first.max(to.saturating_add(1)), last);
                    match to < first || from > last {
                        true => [Some((first, last)), None],
                        false => [
                            (from > first).then_some(before),
                            (to < last).then_some(behind),
                        ],
                    }
                })
                .flatten()
                .collect();
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("10.0.0.1", "FIRST-LAST is expected"),
            ("10.0.0.1-x", "\"x\" is no IP address"),
            (
                "10.0.0.1-fd00::1",
                "one end is of IPv4 and the other of IPv6",
            ),
            (
                "10.0.0.2-10.0.0.1",
                "\"10.0.0.2-10.0.0.1\" ends before it begins",
            ),
        ] {
            assert_eq!(text.parse::<Range>().unwrap_err(), why);
        }
    }

    fn given(choice: &Choice, subnet: &str, last: &str) -> Vec<String> {
        let last = last.parse().ok();
        let all = choice.addresses_after(subnet.parse().unwrap(), last);
        all.take(20).map(|address| address.to_string()).collect()
    }

    #[test]
    fn only_what_is_allowed_is_given_and_all_of_it_once() {
        let choice = Choice {
            ranges: ["10.0.0.3-10.0.0.6", "10.0.0.9-10.0.0.20"]
                .map(|range| range.parse().unwrap())
                .into(),
            exclude: ["10.0.0.5", "10.0.0.12/30"]
                .map(|range| range.parse().unwrap())
                .into(),
        };
        let all = [
            "10.0.0.3",
            "10.0.0.4",
            "10.0.0.6",
            "10.0.0.9",
            "10.0.0.10",
            "10.0.0.11",
        ];
        assert_eq!(given(&choice, "10.0.0.0/28", ""), all);
        let mut round = all;
        round.rotate_left(4);
        assert_eq!(given(&choice, "10.0.0.0/28", "10.0.0.9"), round);
        // a range of one family says nothing of the other
        assert_eq!(given(&choice, "fd00::/126", ""), ["fd00::2", "fd00::3"]);
    }

    #[test]
    fn a_subnet_of_ipv6_that_is_excluded_ends_at_once() {
        let exclude = |range: &str| Choice {
            ranges: Vec::new(),
            exclude: vec![range.parse().unwrap()],
        };
        assert_eq!(given(&exclude("fd00::/64"), "fd00::/64", ""), [""; 0]);
        assert_eq!(
            given(&exclude("fd00::/65"), "fd00::/64", "")[0],
            "fd00::8000:0:0:0"
        );
        assert_eq!(given(&exclude("::/0"), "fd00::/64", ""), [""; 0]);
    }
}
