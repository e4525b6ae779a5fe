//! Which ids of a new user namespace stand for which of its parent; user_namespaces(7). Pure.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// Ids that follow each other, and their counterparts in the parent user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// The first one inside.
    pub(crate) inside: u32,
    /// The first one in the parent user namespace.
    pub(crate) outside: u32,
    /// How many; at least one.
    pub(crate) count: u32,
}

/// What `--map-users` and `--map-groups` take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spec {
    /// `IN:OUT:N`
    Range(Range),
    /// `root`: the caller is 0.
    Root,
    /// `self`: the caller is who he is.
    Own,
    /// `auto`: the caller's subordinate ids fill what is free inside, from 0 on; subuid(5).
    Auto,
    /// `subids`: the caller's subordinate ids are who they are.
    Subids,
    /// `all`: everybody who is known here is who he is.
    All,
}

/// Who the caller is, and whom he may map.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    /// His effective id.
    pub(crate) own: u32,
    /// Of /etc/subuid or /etc/subgid: first and count.
    pub(crate) subids: Vec<(u32, u32)>,
    /// What the user namespace of the caller knows: first and count.
    pub(crate) known: Vec<(u32, u32)>,
}

/// A map, as the kernel takes it: no two ranges overlap, inside or outside.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct IdMap(pub(crate) Vec<Range>);

/// UID_GID_MAP_MAX_EXTENTS of the kernel, Linux 4.15.
const MAX_RANGES: usize = 340;

/// Ids there are: 4294967295 is "no id".
const END: u64 = u32::MAX as u64;

impl Range {
    /// Ids there are.
    ///
    /// # Errors
    /// What the user reads.
    pub(crate) fn new(inside: u32, outside: u32, count: u32) -> Result<Self, String> {
        let range = Self {
            inside,
            outside,
            count,
        };
        if count == 0 {
            return Err(format!("{range} is empty"));
        }
        if range.end_inside() > END || range.end_outside() > END {
            return Err(format!("{range} goes beyond the last id, 4294967294"));
        }
        Ok(range)
    }

    /// One id.
    pub(crate) fn one(inside: u32, outside: u32) -> Self {
        Self {
            inside,
            outside,
            count: 1,
        }
    }

    fn end_inside(&self) -> u64 {
        u64::from(self.inside) + u64::from(self.count)
    }

    fn end_outside(&self) -> u64 {
        u64::from(self.outside) + u64::from(self.count)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no IN:OUT:N");
        let number = |part: &str| {
            // u32 takes a plus sign
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<u32>().ok()).flatten()
        };
        let parts: Vec<_> = text.split(':').map(number).collect();
        let [Some(inside), Some(outside), Some(count)] = parts[..] else {
            return Err(bad());
        };
        Self::new(inside, outside, count)
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "root" => Self::Root,
            "self" => Self::Own,
            "auto" => Self::Auto,
            "subids" => Self::Subids,
            "all" => Self::All,
            _ => Self::Range(
                text.parse()
                    .map_err(|why| format!("{why} (or root, self, auto, subids, all)"))?,
            ),
        })
    }
}

impl IdMap {
    /// What `specs` mean for a caller who is `owned`. None: nothing is mapped.
    ///
    /// # Errors
    /// Two ranges overlap, or the caller has no subordinate ids: what the user reads.
    pub(crate) fn new(specs: &[Spec], owned: &Owned) -> Result<Option<Self>, String> {
        let mut map = Self::default();
        for spec in specs {
            match spec {
                Spec::Range(range) => map.0.push(*range),
                Spec::Root => map.0.push(Range::one(0, owned.own)),
                Spec::Own => map.0.push(Range::one(owned.own, owned.own)),
                Spec::Subids => map.identity(owned.subids()?),
                Spec::All => map.identity(&owned.known),
                Spec::Auto => {}
            }
        }
        map.check()?;
        if specs.contains(&Spec::Auto) {
            map.fill(owned.subids()?);
            map.check()?;
        }
        map.0.sort_by_key(|range| range.inside);
        Ok((!map.0.is_empty()).then_some(map))
    }

    fn identity(&mut self, ids: &[(u32, u32)]) {
        let ranges = ids.iter().map(|&(first, count)| Range {
            inside: first,
            outside: first,
            count,
        });
        self.0.extend(ranges);
    }

    /// Puts `ids` where nothing is inside yet, from 0 on.
    fn fill(&mut self, ids: &[(u32, u32)]) {
        let mut taken: Vec<_> = self
            .0
            .iter()
            .map(|range| (u64::from(range.inside), range.end_inside()))
            .collect();
        taken.sort_unstable();
        taken.push((END, END));
        let mut ids = ids.iter().copied();
        let mut rest = ids.next();
        let mut free = 0;
        for (begin, end) in taken {
            while let Some((first, count)) = rest.filter(|_| free < begin) {
                let fits = u64::from(count).min(begin - free);
                // Both are below END, which fits u32.
                let (inside, fits) = (free as u32, fits as u32);
                self.0.push(Range {
                    inside,
                    outside: first,
                    count: fits,
                });
                free += u64::from(fits);
                rest = if fits < count {
                    Some((first + fits, count - fits))
                } else {
                    ids.next()
                };
            }
            free = free.max(end);
        }
    }

    /// The kernel says EINVAL to all of these, and others leave a hole without a word.
    fn check(&self) -> Result<(), String> {
        for (place, one) in self.0.iter().enumerate() {
            for other in &self.0[..place] {
                let inside = u64::from(one.inside) < other.end_inside()
                    && u64::from(other.inside) < one.end_inside();
                let outside = u64::from(one.outside) < other.end_outside()
                    && u64::from(other.outside) < one.end_outside();
                if inside || outside {
                    let side = if inside { "inside" } else { "outside" };
                    return Err(format!(
                        "{other} and {one} overlap {side} (inside:outside:count of the whole map: {self})"
                    ));
                }
            }
        }
        if self.0.len() > MAX_RANGES {
            let count = self.0.len();
            return Err(format!(
                "{count} ranges, and the kernel takes {MAX_RANGES} at most"
            ));
        }
        Ok(())
    }

    /// Whether somebody inside is `id`.
    pub(crate) fn has_inside(&self, id: u32) -> bool {
        let id = u64::from(id);
        self.0
            .iter()
            .any(|range| (u64::from(range.inside)..range.end_inside()).contains(&id))
    }

    /// Whether `id` of the parent is somebody inside.
    pub(crate) fn has_outside(&self, id: u32) -> bool {
        let id = u64::from(id);
        self.0
            .iter()
            .any(|range| (u64::from(range.outside)..range.end_outside()).contains(&id))
    }

    /// It is `own` alone: the one map that a process may write for itself.
    pub(crate) fn is_only(&self, own: u32) -> bool {
        matches!(self.0[..], [Range { outside, count: 1, .. }] if outside == own)
    }

    /// As /proc/PID/uid_map takes it.
    pub(crate) fn text(&self) -> String {
        let line = |range: &Range| format!("{} {} {}", range.inside, range.outside, range.count);
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// From /proc/PID/uid_map; lines that are none are left out.
    pub(crate) fn parse(text: &str) -> Self {
        let range = |line: &str| {
            let mut numbers = line
                .split_ascii_whitespace()
                .map(|word| word.parse::<u32>().ok());
            Some(Range {
                inside: numbers.next()??,
                outside: numbers.next()??,
                count: numbers.next()??,
            })
        };
        let mut map = Self(text.lines().filter_map(range).collect());
        map.0.sort_by_key(|range| range.inside);
        map
    }

    /// As `linux.uidMappings` of an OCI configuration.
    pub(crate) fn to_json(&self) -> Value {
        let entry = |range: &Range| json!({"containerID": range.inside, "hostID": range.outside, "size": range.count});
        self.0.iter().map(entry).collect::<Vec<_>>().into()
    }
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            &self
                .0
                .iter()
                .map(Range::to_string)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }
}

impl Owned {
    fn subids(&self) -> Result<&[(u32, u32)], String> {
        if self.subids.is_empty() {
            let own = self.own;
            return Err(format!(
                "{own} has no subordinate ids (nsrun check tells how to get some)"
            ));
        }
        Ok(&self.subids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn owned() -> Owned {
        Owned {
            own: 1000,
            subids: vec![(100_000, 65_536)],
            known: vec![(0, u32::MAX)],
        }
    }

    fn map(specs: &[&str]) -> Result<String, String> {
        let specs: Vec<Spec> = specs.iter().map(|text| text.parse().unwrap()).collect();
        Ok(IdMap::new(&specs, &owned())?.map_or("nothing".into(), |map| map.to_string()))
    }

    #[test]
    fn presets_are_what_they_say() {
        assert_eq!(map(&[]), Ok("nothing".into()));
        assert_eq!(map(&["root"]), Ok("0:1000:1".into()));
        assert_eq!(map(&["self"]), Ok("1000:1000:1".into()));
        assert_eq!(map(&["auto"]), Ok("0:100000:65536".into()));
        assert_eq!(map(&["subids"]), Ok("100000:100000:65536".into()));
        assert_eq!(map(&["all"]), Ok("0:0:4294967295".into()));
    }

    #[test]
    fn subordinate_ids_fill_what_is_free_and_none_is_lost() {
        assert_eq!(map(&["root", "auto"]), Ok("0:1000:1 1:100000:65536".into()));
        assert_eq!(
            map(&["auto", "self"]),
            Ok("0:100000:1000 1000:1000:1 1001:101000:64536".into())
        );
        assert_eq!(
            map(&["5:7:5", "auto"]),
            Ok("0:100000:5 5:7:5 10:100005:65531".into())
        );
    }

    #[test]
    fn an_overlap_is_refused_and_the_map_is_shown() {
        assert_eq!(
            map(&["0:1000:10", "9:5000:2"]).unwrap_err(),
            "0:1000:10 and 9:5000:2 overlap inside (inside:outside:count of the whole map: 0:1000:10 9:5000:2)"
        );
        assert!(
            map(&["0:1000:10", "10:1009:2"])
                .unwrap_err()
                .contains("overlap outside")
        );
        // The same id twice outside: whoever is it would be two inside.
        assert!(map(&["root", "self"]).is_err());
        assert!(map(&["0:100000:1", "auto"]).is_err());
        assert!(map(&["0:1000:10", "10:1010:2"]).is_ok());
    }

    #[test]
    fn who_has_no_subordinate_ids_gets_none() {
        let own = Owned {
            own: 7,
            ..Owned::default()
        };
        assert_eq!(
            IdMap::new(&[Spec::Auto], &own),
            Err("7 has no subordinate ids (nsrun check tells how to get some)".into())
        );
    }

    #[test]
    fn ids_are_unsigned_and_32_bits_wide() {
        assert!("4294967294:4294967294:1".parse::<Range>().is_ok());
        assert!("2147483648:3000000000:1000".parse::<Range>().is_ok());
        for bad in [
            "",
            "1",
            "1:2",
            "1:2:0",
            "1:2:3:4",
            "-1:0:1",
            "+1:0:1",
            "0x0:0:1",
            " 1:2:3",
            "1e3:0:1",
            "4294967295:0:1",
            "0:4294967295:1",
            "0:1:4294967295",
            "0:0:4294967296",
        ] {
            assert!(bad.parse::<Range>().is_err(), "{bad}");
        }
        assert_eq!(
            "1,2,3".parse::<Spec>(),
            Err("\"1,2,3\" is no IN:OUT:N (or root, self, auto, subids, all)".into())
        );
    }

    #[test]
    fn a_map_is_read_as_it_is_written() {
        let written = IdMap(vec![
            "0:1000:1".parse().unwrap(),
            "1:100000:65536".parse().unwrap(),
        ]);
        assert_eq!(written.text(), "0 1000 1\n1 100000 65536");
        let read =
            IdMap::parse("         0       1000          1\n         1     100000      65536\n");
        assert_eq!(read, written);
        assert_eq!(
            written.to_json()[1],
            json!({"containerID": 1, "hostID": 100_000, "size": 65_536})
        );
        assert!(written.has_inside(65_536) && !written.has_inside(65_537));
        assert!(written.has_outside(1000) && !written.has_outside(1001));
        assert!(!written.is_only(1000) && IdMap(vec![Range::one(0, 1000)]).is_only(1000));
    }

    proptest! {
        /// Whatever is free and whatever there is to fill it with: every subordinate id is used once, in order, and nothing overlaps.
        #[test]
        fn filling_uses_every_subordinate_id_once(
            fixed in proptest::collection::vec((0_u32..5000, 1_u32..50), 0..6),
            subids in proptest::collection::vec(1_u32..3000, 1..4),
        ) {
            let mut map = IdMap::default();
            for (place, (inside, count)) in fixed.into_iter().enumerate() {
                map.0.push(Range { inside, outside: 10_000 * (place as u32 + 1), count });
                if map.check().is_err() {
                    map.0.pop();
                }
            }
            let fixed_count = map.0.len();
            let subids: Vec<_> = subids.into_iter().enumerate().map(|(place, count)| (1_000_000 * (place as u32 + 1), count)).collect();
            map.fill(&subids);
            prop_assert_eq!(map.check(), Ok(()));
            let filled = &map.0[fixed_count..];
            let used: Vec<u32> = filled.iter().flat_map(|range| range.outside..range.outside + range.count).collect();
            let there: Vec<u32> = subids.iter().flat_map(|&(first, count)| first..first + count).collect();
            prop_assert_eq!(used, there);
            // No hole below the last one.
            let last = filled.iter().map(Range::end_inside).max().unwrap();
            prop_assert!((0..last).all(|id| map.has_inside(id as u32)));
        }
    }
}
