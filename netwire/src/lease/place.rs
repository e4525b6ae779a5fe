//! Where leases lie, as `up` is told it and the record has it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use record::names;
use serde_json::{Map, Value};

/// Of CNI's host-local; libcni's too, so it is not only a directory of leases.
pub(super) const CNI: &str = "/var/lib/cni";

/// Where an interface's leases are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `--network`: host-local may use the same one.
    Network(Network),
    /// `--lease-dir`: somebody else's.
    Directory(PathBuf),
}

impl Default for Place {
    fn default() -> Self {
        Self::Network(Network("chroot0".into()))
    }
}

impl Place {
    pub(crate) fn dir(&self) -> PathBuf {
        match self {
            Self::Network(Network(name)) => networks().join(name),
            Self::Directory(dir) => dir.clone(),
        }
    }

    pub(crate) fn add_to(&self, object: &mut Map<String, Value>) {
        match self {
            Self::Network(Network(name)) => object.insert("network".into(), name.as_str().into()),
            Self::Directory(dir) => object.insert("leaseDir".into(), dir.to_string_lossy().into()),
        };
    }

    /// The first one where the record names none.
    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        if let Some(dir) = value.get("leaseDir").and_then(Value::as_str) {
            let path = Path::new(dir);
            let plain = path.is_absolute()
                && !dir.contains('\0')
                && !path.components().any(|part| part.as_os_str() == "..");
            return match plain {
                true => Ok(Self::Directory(path.to_owned())),
                false => Err(format!("leaseDir: {dir:?} is no absolute path")),
            };
        }
        let Some(name) = value.get("network") else {
            return Ok(Self::default());
        };
        let parsed = name.as_str().unwrap_or_default().parse();
        parsed
            .map(Self::Network)
            .map_err(|why| format!("network: {why}"))
    }
}

/// A network's name: a directory is called so, and CNI allows no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network(String);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = text.bytes();
        let begins = bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        let goes_on = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        match begins && goes_on && text.len() <= 255 {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "{text:?} is no name of a network (letters, digits, '_', '.' and '-', a letter or digit first)"
            )),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the networks are directories of: host-local's place on this machine, and where the indexes are elsewhere (an ordinary
/// user's, or a chosen directory) one beside them, as no id begins with a dot.
pub(super) fn networks() -> PathBuf {
    match are_of_cni() {
        true => Path::new(CNI).join("networks"),
        false => names::run_dir().join(".networks"),
    }
}

/// Whether they are in host-local's place.
pub(super) fn are_of_cni() -> bool {
    names::run_dir() == Path::new(names::RUN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_one_of_cni() {
        for good in ["chroot0", "kindnet", "a", "0.b_c-D"] {
            assert_eq!(good.parse::<Network>().map(|name| name.0), Ok(good.into()));
        }
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "-a", "_a", "a/b", "a b", "\u{e4}", &long] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_names_a_network_or_a_directory() {
        for place in [
            Place::default(),
            Place::Network("kindnet".parse().unwrap()),
            Place::Directory("/var/lib/cni/networks/kindnet".into()),
        ] {
            let mut object = Map::new();
            place.add_to(&mut object);
            assert_eq!(Place::from_json(&object.into()), Ok(place));
        }
        assert_eq!(Place::from_json(&json!({})), Ok(Place::default()));
        for bad in [
            json!({"leaseDir": "etc"}),
            json!({"leaseDir": "/run/../etc"}),
            json!({"network": "../etc"}),
            json!({"network": 1}),
        ] {
            assert!(Place::from_json(&bad).is_err(), "{bad}");
        }
    }
}
