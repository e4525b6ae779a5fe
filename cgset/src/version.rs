//! The seam between the two versions of cgroups: what a limit needs to know of the hierarchy it lands in.

use serde_json::Value as Json;

use crate::absent;
use crate::devices;
use crate::error::Error;
use crate::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::limits::{Limits, Value};
use crate::units;
use crate::{v1, v2};

/// One write(2) into a group's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn new(name: &str, text: String) -> Self {
        Self {
            name: name.to_owned(),
            text,
        }
    }
}

/// Reads one file of a group.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Result<String, Error>;

impl Version {
    /// The files that set `name`, in order.
    pub(crate) fn files(self, name: &str, value: &Value, all: &Limits) -> Result<Vec<File>, Error> {
        match self {
            Self::V1 => v1::files(name, value, all),
            Self::V2 => v2::files(name, value, all),
        }
    }

    /// What the kernel made of `name`.
    pub(crate) fn effective(
        self,
        name: &str,
        value: &Value,
        read: Read<'_>,
    ) -> Result<Vec<(String, Json)>, Error> {
        match self {
            Self::V1 => v1::effective(name, value, read),
            Self::V2 => v2::effective(name, value, read),
        }
    }

    /// Whether a group of the controllers `key` has `name`, or can say what to use instead.
    pub(crate) fn has(self, key: &str, name: &str) -> bool {
        let wanted = self.controller(name);
        key.split(',').any(|controller| controller == wanted)
            || (self == Self::V2 && (is_in_every_group(name) || is_v1s(name)))
    }

    /// The controller that `name` needs in a hierarchy of this version.
    pub(crate) fn controller(self, name: &str) -> &str {
        match self {
            Self::V1 => v1::controller(name),
            Self::V2 => v2::controller(name),
        }
    }
}

/// The hierarchy whose controller has `name`: on a hybrid machine each limit has its own.
pub(crate) fn home<'a>(hierarchies: &'a Hierarchies, name: &str) -> Result<&'a Hierarchy, Error> {
    let on = |version: Version| {
        let found = hierarchies.of(version.controller(name));
        found.filter(|hierarchy| hierarchy.version == version)
    };
    let found = on(Version::V1).or_else(|| on(Version::V2)).or_else(|| {
        // What every v2 group has; and where all is v2, v1's controllers, to be told what to use instead.
        let all_v2 = hierarchies
            .iter()
            .all(|hierarchy| hierarchy.version == Version::V2);
        hierarchies
            .unified()
            .filter(|_| is_in_every_group(name) || (is_v1s(name) && all_v2))
    });
    found.ok_or_else(|| Error::Failed(absent::problem(hierarchies, name)))
}

/// Names that a v2 group has whatever its controllers are.
fn is_in_every_group(name: &str) -> bool {
    name.starts_with("cgroup.") || name == devices::NAME
}

/// Names of which v2 has no controller.
fn is_v1s(name: &str) -> bool {
    const V1_ONLY: [&str; 6] = [
        "freezer.",
        "devices.",
        "net_cls.",
        "net_prio.",
        "cpuacct.",
        "blkio.",
    ];
    V1_ONLY.iter().any(|prefix| name.starts_with(prefix))
}

/// A number where it is one, else the text without its newline.
pub(crate) fn scalar(text: &str) -> Json {
    let text = text.trim_end();
    units::number(text).map_or_else(|| text.into(), Json::from)
}

/// What both versions are tested with.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::vocabulary::{Machine, parse_all};

    fn limits(words: &[&str]) -> Limits {
        parse_all(words.iter().copied(), &Machine { memory_total: || 0 }).unwrap()
    }

    /// The files that `words` become: `NAME=TEXT`.
    pub(crate) fn written(version: Version, words: &[&str]) -> Result<Vec<String>, String> {
        let limits = limits(words);
        let mut lines = Vec::new();
        for (name, value) in limits.iter() {
            let files = version.files(name, value, &limits);
            for file in files.map_err(|error| error.to_string())? {
                lines.push(format!("{}={}", file.name, file.text));
            }
        }
        Ok(lines)
    }

    /// What is read back of `words` where `kernel` has the text of each file: `NAME=VALUE`.
    pub(crate) fn made(
        version: Version,
        words: &[&str],
        kernel: fn(&str) -> &'static str,
    ) -> Vec<String> {
        let read = |file: &str| Ok(kernel(file).to_owned());
        let limits = limits(words);
        let pairs = limits
            .iter()
            .flat_map(|(name, value)| version.effective(name, value, &read).unwrap());
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}
