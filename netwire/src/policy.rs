//! `--allow` and `--deny`: who may begin to talk to the pod, and to whom the pod may.
//!
//! As in a NetworkPolicy of Kubernetes, what is allowed is listed and the rest is denied as soon as anything is; beside it
//! there is a list of what is denied whatever else is said, as `except` there.

mod rule;

use std::fmt;

use serde_json::{Map, Value};

use crate::cidr::Cidr;

pub(crate) use rule::{PeerPorts, Rule};

/// Rules of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    /// Of whom everything is meant; none lies in another, because the ranges of a set must not overlap.
    pub(crate) fn everything(&self, ipv4: bool) -> Vec<Cidr> {
        let mut kept: Vec<Cidr> = Vec::new();
        for range in self.0.iter().filter_map(|rule| rule.everything(ipv4)) {
            if kept.iter().any(|other| other.covers(range)) {
                continue;
            }
            kept.retain(|other| !range.covers(*other));
            kept.push(range);
        }
        kept
    }

    /// Of whom some ports are meant. No two overlap: of a range that lies in another, what that one has is left out.
    pub(crate) fn ports(&self, ipv4: bool) -> Vec<PeerPorts> {
        let mut all: Vec<PeerPorts> = self.0.iter().filter_map(|rule| rule.ports(ipv4)).collect();
        // the largest range first
        all.sort_by_key(|of| (of.peer.prefix(), of.first));
        let mut kept: Vec<PeerPorts> = Vec::new();
        for of in all {
            let wider = kept
                .iter()
                .filter(|other| other.protocol == of.protocol && other.peer.covers(of.peer));
            let taken: Vec<(u16, u16)> = wider.map(|other| (other.first, other.last)).collect();
            kept.extend(
                without((of.first, of.last), taken)
                    .into_iter()
                    .map(|(first, last)| PeerPorts { first, last, ..of }),
            );
        }
        kept
    }
}

/// What is left of `whole` when all of `taken` is taken away.
fn without(whole: (u16, u16), mut taken: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    taken.sort_unstable();
    let (mut left, mut from) = (Vec::new(), u32::from(whole.0));
    for (first, last) in taken {
        if u32::from(first) > from && first <= whole.1 {
            left.extend(u16::try_from(from).ok().map(|from| (from, first - 1)));
        }
        from = from.max(u32::from(last) + 1);
    }
    if from <= u32::from(whole.1) {
        left.extend(u16::try_from(from).ok().map(|from| (from, whole.1)));
    }
    left
}

/// What may come in, or go out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Direction {
    /// Only what is allowed passes.
    pub(crate) isolated: bool,
    pub(crate) deny: Rules,
    pub(crate) allow: Rules,
}

impl Direction {
    /// From what was typed.
    ///
    /// # Errors
    /// A rule that could never mean anything, which is not what was wanted.
    fn new(
        allow: (&str, &[Rule]),
        deny: (&str, &[Rule]),
        has: (bool, bool),
    ) -> Result<Self, String> {
        for (flag, rules) in [allow, deny] {
            if let Some(rule) = rules.iter().find(|rule| !rule.concerns(has.0, has.1)) {
                return Err(format!(
                    "{flag} {rule}: the pod has no address of that family"
                ));
            }
        }
        let denied = deny.1.iter().filter(|rule| !rule.is_all());
        let dead = denied.clone().find_map(|rule| {
            let dead = allow.1.iter().find(|allowed| rule.covers(**allowed))?;
            Some(format!(
                "{} {dead}: {} {rule} denies all of it",
                allow.0, deny.0
            ))
        });
        if let Some(why) = dead {
            return Err(why);
        }
        Ok(Self {
            isolated: !allow.1.is_empty() || deny.1.iter().any(|rule| rule.is_all()),
            deny: Rules(denied.copied().collect()),
            allow: Rules(allow.1.to_vec()),
        })
    }

    fn is_open(&self) -> bool {
        *self == Self::default()
    }

    fn to_json(&self) -> Value {
        let list = |rules: &Rules| -> Value {
            let list = rules.0.iter().map(|rule| rule.to_string().into());
            Value::Array(list.collect())
        };
        let mut object = Map::new();
        object.insert("isolated".into(), self.isolated.into());
        for (key, rules) in [("allow", &self.allow), ("deny", &self.deny)] {
            if !rules.0.is_empty() {
                object.insert(key.into(), list(rules));
            }
        }
        object.into()
    }

    fn from_json(value: &Value) -> Result<Self, String> {
        let rules = |key: &str| -> Result<Rules, String> {
            let list = value.get(key).and_then(Value::as_array);
            let list = list.map(Vec::as_slice).unwrap_or_default();
            let rules = list
                .iter()
                .map(|rule| rule.as_str().unwrap_or_default().parse())
                .collect::<Result<_, _>>()?;
            Ok(Rules(rules))
        };
        let (allow, deny) = (rules("allow")?, rules("deny")?);
        let isolated = value.get("isolated").and_then(Value::as_bool);
        Ok(Self {
            isolated: isolated.unwrap_or(false) || !allow.0.is_empty(),
            deny,
            allow,
        })
    }

    /// As it would be typed.
    fn show(&self, f: &mut fmt::Formatter<'_>, allow: &str, deny: &str) -> fmt::Result {
        if self.isolated && self.allow.0.is_empty() {
            write!(f, " {deny} all")?;
        }
        for (flag, rules) in [(deny, &self.deny), (allow, &self.allow)] {
            rules
                .0
                .iter()
                .try_for_each(|rule| write!(f, " {flag} {rule}"))?;
        }
        Ok(())
    }
}

/// All rules of one interface of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) ingress: Direction,
    pub(crate) egress: Direction,
}

/// As they were typed.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct PolicyArgs {
    /// Who may begin to talk to the pod, and no other (may be repeated)
    #[arg(long, value_name = "PEER[,PORTS]")]
    allow: Vec<Rule>,

    /// Who may not; "all": but who is allowed (may be repeated)
    #[arg(long, value_name = "PEER[,PORTS]")]
    deny: Vec<Rule>,

    /// To whom the pod may begin to talk, and no other (may be repeated)
    #[arg(long, value_name = "PEER[,PORTS]")]
    allow_to: Vec<Rule>,

    /// To whom it may not; "all": but who is allowed (may be repeated)
    #[arg(long, value_name = "PEER[,PORTS]")]
    deny_to: Vec<Rule>,
}

impl PolicyArgs {
    /// For a pod that has addresses of these families.
    pub(crate) fn policy(&self, ipv4: bool, ipv6: bool) -> Result<Policy, String> {
        let has = (ipv4, ipv6);
        Ok(Policy {
            ingress: Direction::new(("--allow", &self.allow), ("--deny", &self.deny), has)?,
            egress: Direction::new(
                ("--allow-to", &self.allow_to),
                ("--deny-to", &self.deny_to),
                has,
            )?,
        })
    }
}

impl Policy {
    /// Whether everything passes.
    pub(crate) fn is_open(&self) -> bool {
        self.ingress.is_open() && self.egress.is_open()
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut object = Map::new();
        for (key, direction) in [("ingress", &self.ingress), ("egress", &self.egress)] {
            if !direction.is_open() {
                object.insert(key.into(), direction.to_json());
            }
        }
        object.into()
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let direction = |key: &str| match value.get(key) {
            Some(value) => Direction::from_json(value),
            None => Ok(Direction::default()),
        };
        Ok(Self {
            ingress: direction("ingress")?,
            egress: direction("egress")?,
        })
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_open() {
            return f.write_str(" no rules");
        }
        self.ingress.show(f, "--allow", "--deny")?;
        self.egress.show(f, "--allow-to", "--deny-to")
    }
}

#[cfg(test)]
mod tests;
