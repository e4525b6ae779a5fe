//! Which devices a group may use: rules, in the order in which they were given. The last one that speaks of a device decides.

mod program;

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::units;

pub(crate) use program::{attach, attached};

/// The name of the limit, and of what is shown of it.
pub(crate) const NAME: &str = "devices";

/// What is done with a device: mknod(2), reading, writing. The kernel's numbers; linux/bpf.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Access(u8);

impl Access {
    pub(crate) const ALL: Self = Self(7);
    const LETTERS: [(u8, char); 3] = [(2, 'r'), (4, 'w'), (1, 'm')];

    pub(crate) fn bits(self) -> u8 {
        self.0
    }

    fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = Self::LETTERS.iter().filter(|(bit, _)| self.0 & bit != 0);
        letters.try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

impl FromStr for Access {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bits = 0;
        for letter in text.chars() {
            let known = Self::LETTERS.iter().find(|(_, known)| *known == letter);
            bits |= known.ok_or(())?.0;
        }
        if bits == 0 { Err(()) } else { Ok(Self(bits)) }
    }
}

/// Block or character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Block,
    Character,
}

/// Devices of one kind; None is every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Devices {
    pub(crate) kind: Kind,
    pub(crate) major: Option<u32>,
    pub(crate) minor: Option<u32>,
}

impl Devices {
    fn meets(self, other: Self) -> bool {
        let meets = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.kind == other.kind && meets(self.major, other.major) && meets(self.minor, other.minor)
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Block => 'b',
            Kind::Character => 'c',
        };
        let number = |number: Option<u32>| number.map_or_else(|| "*".into(), |n| n.to_string());
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rule {
    pub(crate) allow: bool,
    /// None: every device there is, in every way.
    pub(crate) of: Option<Devices>,
    pub(crate) access: Access,
}

impl fmt::Display for Rule {
    /// As v1's files have it: `c 1:3 rwm`, or `a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            Some(devices) => write!(f, "{devices} {}", self.access),
            None => f.write_str("a"),
        }
    }
}

/// Rules in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

/// Kind, major, minor: what every container has; OCI runtime specification, "Default Devices". 136 are the pseudo terminals.
const DEFAULT: [(u32, Option<u32>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// What the OCI runtimes allow whatever a configuration says: to make any device, and to use the default ones.
pub(crate) fn always_allowed() -> Vec<Rule> {
    let allow = |kind, major, minor, access| Rule {
        allow: true,
        of: Some(Devices { kind, major, minor }),
        access: Access(access),
    };
    let make = [Kind::Character, Kind::Block].map(|kind| allow(kind, None, None, 1));
    let usual = DEFAULT.map(|(major, minor)| allow(Kind::Character, Some(major), minor, 7));
    make.into_iter().chain(usual).collect()
}

impl Rules {
    const NONE: Rule = Rule {
        allow: false,
        of: None,
        access: Access::ALL,
    };

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Rule> {
        self.0.iter()
    }

    /// Lays `later` over these. What comes before a rule of every device is of no account, nor is the order of rules of one
    /// verdict: they are sorted, so that the same wishes are the same rules.
    pub(crate) fn extend(&mut self, later: impl IntoIterator<Item = Rule>) {
        self.0.extend(later);
        if let Some(last) = self.0.iter().rposition(|rule| rule.of.is_none()) {
            self.0.drain(..last);
        }
        for run in self.0.chunk_by_mut(|a, b| a.allow == b.allow) {
            run.sort_unstable();
        }
        self.0.dedup();
    }

    /// `devices=LIST`: `none`, `all`, `default`, `allow RULE`, `deny RULE` and `RULE`, which is allowed, with commas between.
    pub(crate) fn list(text: &str) -> Option<Self> {
        let mut rules = Self::default();
        for item in text.split(',').map(str::trim) {
            match item {
                "none" => rules.extend([Self::NONE]),
                "all" => rules.extend([Rule {
                    allow: true,
                    ..Self::NONE
                }]),
                "default" => rules.extend([Self::NONE].into_iter().chain(always_allowed())),
                _ => {
                    let (allow, rule) = match item.split_once(' ') {
                        Some(("deny", rule)) => (false, rule),
                        Some(("allow", rule)) => (true, rule),
                        _ => (true, item),
                    };
                    rules.extend(parse(allow, rule)?);
                }
            }
        }
        Some(rules)
    }

    /// `devices.allow=RULE` and `devices.deny=RULE`, as v1's files take them.
    pub(crate) fn one(allow: bool, text: &str) -> Option<Self> {
        let mut rules = Self::default();
        rules.extend(parse(allow, text)?);
        Some(rules)
    }

    /// In words that [`Rules::list`] reads.
    pub(crate) fn spelt(&self) -> String {
        let item = |rule: &Rule| match (rule.of, rule.allow) {
            (None, true) => "all".to_owned(),
            (None, false) => "none".to_owned(),
            (Some(_), true) => format!("allow {rule}"),
            (Some(_), false) => format!("deny {rule}"),
        };
        self.0.iter().map(item).collect::<Vec<_>>().join(", ")
    }

    /// Without what an OCI runtime allows by itself after them; None where it would allow more than these do.
    pub(crate) fn without_always_allowed(&self) -> Option<Vec<Rule>> {
        let always = always_allowed();
        let begin = self.0.iter().rposition(|rule| !rule.allow);
        let end = &self.0[begin.map_or(0, |at| at + 1)..];
        if !always.iter().all(|rule| end.contains(rule)) {
            // with nothing denied there is nothing to allow
            return begin.is_none().then(|| self.0.clone());
        }
        let rest = end.iter().filter(|rule| !always.contains(rule));
        let begin = self.0[..self.0.len() - end.len()].iter();
        Some(begin.chain(rest).copied().collect())
    }

    /// v1 has no order: a device is taken out of its list by its own name only, and not out of a wider one.
    pub(crate) fn for_v1(&self) -> Result<(), Error> {
        for (at, later) in self.0.iter().enumerate() {
            let clashes = |earlier: &&Rule| match (earlier.of, later.of) {
                (Some(a), Some(b)) => {
                    earlier.allow != later.allow
                        && a != b
                        && a.meets(b)
                        && earlier.access.meets(later.access)
                }
                _ => false,
            };
            if let Some(earlier) = self.0[..at].iter().find(clashes) {
                return Err(Error::Failed(format!(
                    "devices: cgroup v1 cannot tell {later} from {earlier} (no rule may be a part of another of the other kind)"
                )));
            }
        }
        Ok(())
    }
}

/// `c 1:3 rwm`; `a` is every device.
fn parse(allow: bool, text: &str) -> Option<Vec<Rule>> {
    let mut words = text.split_ascii_whitespace();
    let kinds: &[Kind] = match words.next()? {
        "a" => &[Kind::Block, Kind::Character],
        "b" => &[Kind::Block],
        // "u" is OCI's for a character device without a buffer, as mknod(1) has it
        "c" | "u" => &[Kind::Character],
        _ => return None,
    };
    let (numbers, access) = (words.next(), words.next());
    if words.next().is_some() {
        return None;
    }
    let (major, minor) = match numbers {
        None if kinds.len() == 2 => (None, None),
        numbers => {
            let (major, minor) = numbers?.split_once(':')?;
            (number(major)?, number(minor)?)
        }
    };
    let access = match access {
        None if numbers.is_none() => Access::ALL,
        access => access?.parse().ok()?,
    };
    Some(rules(allow, kinds, (major, minor), access))
}

/// One rule for each kind, or one for everything.
pub(crate) fn rules(
    allow: bool,
    kinds: &[Kind],
    (major, minor): (Option<u32>, Option<u32>),
    access: Access,
) -> Vec<Rule> {
    if kinds.len() == 2 && major.is_none() && minor.is_none() && access == Access::ALL {
        let of = None;
        return vec![Rule { allow, of, access }];
    }
    let of = |&kind: &Kind| Rule {
        allow,
        of: Some(Devices { kind, major, minor }),
        access,
    };
    kinds.iter().map(of).collect()
}

/// `*` or a number; None: neither.
fn number(text: &str) -> Option<Option<u32>> {
    match text {
        "*" => Some(None),
        _ => units::number(text)
            .and_then(|number| u32::try_from(number).ok())
            .map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_as_itself() {
        for (text, spelt) in [
            ("none", "none"),
            ("a", "all"),
            ("a *:* rwm", "all"),
            ("deny a", "none"),
            ("c 1:3 rw,deny b 8:* w", "allow c 1:3 rw, deny b 8:* w"),
            ("c 1:3 mwr, none, u 5:* r", "none, allow c 5:* r"),
            ("deny a 5:1 rw", "deny b 5:1 rw, deny c 5:1 rw"),
        ] {
            let rules = Rules::list(text).unwrap();
            assert_eq!(rules.spelt(), spelt, "{text}");
            assert_eq!(Rules::list(spelt).unwrap(), rules, "{text}");
        }
        assert!(
            Rules::list("default").unwrap().spelt().starts_with(
                "none, allow b *:* m, allow c *:* m, allow c 1:3 rwm, allow c 1:5 rwm"
            )
        );
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "x",
            "c",
            "c 1",
            "c 1:3",
            "c 1:3 x",
            "c 1:3 rwm x",
            "d 1:3 r",
            "c -1:3 r",
            "c 1:4294967296 r",
            "none,",
            "a 1:3",
            "allow",
            "deny ",
            "default r",
        ] {
            assert_eq!(Rules::list(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_oci_runtimes_allow_by_themselves_is_left_out_where_it_is_meant() {
        let oci = |text: &str| {
            let rules = Rules::list(text).unwrap().without_always_allowed();
            rules.map(|rules| Rules(rules).spelt())
        };
        assert_eq!(oci("default").as_deref(), Some("none"));
        assert_eq!(
            oci("default, c 10:200 rw").as_deref(),
            Some("none, allow c 10:200 rw")
        );
        assert_eq!(oci("all").as_deref(), Some("all"));
        for stricter in [
            "none",
            "none, c 1:3 rw",
            "default, deny c 1:3 rwm",
            "deny b 8:0 w",
        ] {
            assert_eq!(oci(stricter), None, "{stricter}");
        }
    }

    #[test]
    fn v1_is_not_given_what_it_would_pass_over() {
        let refused = |text: &str| {
            Rules::list(text)
                .unwrap()
                .for_v1()
                .map_err(|e| e.to_string())
        };
        for fine in [
            "default",
            "none, c 1:3 rwm, deny c 1:3 w",
            "c 1:* r, deny c 1:3 w",
            "deny b 8:* w, c 8:0 w",
        ] {
            assert_eq!(refused(fine), Ok(()), "{fine}");
        }
        assert_eq!(
            refused("none, c 1:* rwm, deny c 1:3 w").unwrap_err(),
            "devices: cgroup v1 cannot tell c 1:3 w from c 1:* rwm (no rule may be a part of another of the other kind)"
        );
        assert!(refused("deny c *:3 r, allow c 1:3 r").is_err());
    }
}
