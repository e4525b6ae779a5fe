//! Resource limits of CMD; getrlimit(2).

use nix::errno::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::{Value, json};
use sys::ToErrno;

/// `--rlimit NAME=SOFT[:HARD]`; None is "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    resource: Resource,
    soft: Option<u64>,
    hard: Option<u64>,
}

const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no NAME=SOFT[:HARD]");
        let (name, values) = text.split_once('=').ok_or_else(bad)?;
        let value = |text: &str| match text {
            "unlimited" | "infinity" => Ok(None),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Some).map_err(|_| bad())
            }
            _ => Err(bad()),
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        Self::new(name, value(soft)?, value(hard)?)
    }
}

impl Limit {
    /// By name: `nofile`, `RLIMIT_NOFILE`.
    ///
    /// # Errors
    /// No such name, or soft above hard; as the user reads it.
    pub(crate) fn new(name: &str, soft: Option<u64>, hard: Option<u64>) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let short = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        let found = RESOURCES.iter().find(|(name, _)| *name == short);
        let (_, resource) = found.ok_or_else(|| {
            let names: Vec<_> = RESOURCES.iter().map(|(name, _)| *name).collect();
            format!("{name:?} is no limit ({})", names.join(" "))
        })?;
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            return Err(format!("{name}: the soft limit is above the hard one"));
        }
        Ok(Self {
            resource: *resource,
            soft,
            hard,
        })
    }

    /// From an entry of `process.rlimits`. None: it is none.
    pub(crate) fn from_json(value: &Value) -> Option<Result<Self, String>> {
        let number = |key| {
            value
                .get(key)?
                .as_u64()
                .map(|number| Some(number).filter(|number| *number != u64::MAX))
        };
        Some(Self::new(
            value.get("type")?.as_str()?,
            number("soft")?,
            number("hard")?,
        ))
    }

    /// As `process.rlimits` has it.
    pub(crate) fn to_json(self) -> Value {
        json!({"type": format!("RLIMIT_{}", self.name().to_ascii_uppercase()), "soft": self.soft.unwrap_or(u64::MAX), "hard": self.hard.unwrap_or(u64::MAX)})
    }

    fn name(self) -> &'static str {
        let found = RESOURCES
            .iter()
            .find(|(_, resource)| *resource == self.resource);
        found.map_or("", |(name, _)| name)
    }

    /// What is not given is as it is, but for dumps of memory, and descriptors as select(2) can take them.
    pub(crate) fn defaults(given: &[Self]) -> Vec<Self> {
        let most = sys::most_descriptors();
        let standard = [
            Self {
                resource: Resource::Core,
                soft: Some(0),
                hard: Some(0),
            },
            Self {
                resource: Resource::Nofile,
                soft: Some(most.unwrap_or(1024).min(1024)),
                hard: most,
            },
        ];
        let is_free = |limit: &Self| given.iter().all(|other| other.resource != limit.resource);
        standard
            .into_iter()
            .filter(is_free)
            .chain(given.iter().copied())
            .collect()
    }

    /// Sets it.
    ///
    /// # Errors
    /// `EPERM`: above the hard limit there is.
    pub(crate) fn set(self) -> Result<(), Errno> {
        let limit = Rlimit {
            current: self.soft,
            maximum: self.hard,
        };
        setrlimit(self.resource, limit).map_err(|errno| errno.to_errno())
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |value: Option<u64>| value.map_or("unlimited".into(), |value| value.to_string());
        write!(f, "{}={}:{}", self.name(), text(self.soft), text(self.hard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_shown() {
        for (text, shown) in [
            ("nofile=1024", "nofile=1024:1024"),
            ("RLIMIT_NOFILE=1024:4096", "nofile=1024:4096"),
            ("core=0:unlimited", "core=0:unlimited"),
            ("as=infinity", "as=unlimited:unlimited"),
        ] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!(limit.to_string(), shown);
            assert_eq!(Limit::from_json(&limit.to_json()), Some(Ok(limit)));
        }
        for bad in [
            "",
            "nofile",
            "nofile=",
            "nofile=x",
            "nofile=-1",
            "nofile=2:1",
            "nofile=1:2:3",
            "files=7",
            "nofile=99999999999999999999",
        ] {
            assert!(bad.parse::<Limit>().is_err(), "{bad}");
        }
        assert!("files=7".parse::<Limit>().unwrap_err().contains("nofile"));
    }

    #[test]
    fn what_is_given_is_not_a_default() {
        let given: Limit = "core=7".parse().unwrap();
        let all = Limit::defaults(&[given]);
        assert_eq!(all.len(), 2);
        assert!(all.contains(&given) && all.iter().any(|limit| limit.name() == "nofile"));
    }
}
