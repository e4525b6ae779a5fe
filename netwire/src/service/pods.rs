//! Pods, as far as services know them: their annotations, and their addresses.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::{Deserializer, Value};
use sys::Call;

use crate::error::Error;
use crate::lease::Directory;

/// `--select app=dns,tier=back`: all of them have to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector(Vec<(String, String)>);

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pairs = text.split(',').map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("{pair:?}: KEY=VALUE is expected")),
        });
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        f.write_str(&pairs.join(","))
    }
}

impl Selector {
    fn chooses(&self, record: &Value) -> bool {
        let has = |(key, value): &(String, String)| {
            let annotations = record.get("annotations");
            annotations
                .and_then(|all| all.get(key))
                .and_then(Value::as_str)
                == Some(value)
        };
        self.0.iter().all(has)
    }
}

/// A pod that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) id: String,
    /// One of a family at most: that of its first interface.
    pub(crate) ips: Vec<IpAddr>,
}

impl Pod {
    fn of(record: &Value) -> Option<Self> {
        let id = record.get("id")?.as_str()?;
        id.parse::<record::Id>().ok()?;
        let mut ips: Vec<IpAddr> = Vec::new();
        for entry in record.get("netwire")?.get("ips")?.as_array()? {
            let address = entry
                .get("address")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let address = address.split('/').next().unwrap_or_default();
            if let Ok(ip) = address.parse::<IpAddr>()
                && !ips.iter().any(|other| other.is_ipv4() == ip.is_ipv4())
            {
                ips.push(ip);
            }
        }
        let id = id.to_owned();
        (!ips.is_empty()).then_some(Self { id, ips })
    }
}

/// The pods whose records are in `paths`, or in the index where none is given; only those that `selector` chooses.
pub(crate) fn pods(paths: &[PathBuf], selector: Option<&Selector>) -> Result<Vec<Pod>, Error> {
    let records = match paths {
        [] => indexed()?,
        _ => {
            let mut records = Vec::new();
            for path in paths {
                read(path, &mut records)?;
            }
            records
        }
    };
    let chosen = records.iter().filter(|record| {
        record.get("failed").is_none() && selector.is_none_or(|selector| selector.chooses(record))
    });
    let mut pods: Vec<Pod> = chosen.filter_map(Pod::of).collect();
    pods.sort_by(|one, other| one.id.cmp(&other.id));
    pods.dedup();
    Ok(pods)
}

/// Every record in a file, or in the files of a directory that are called `*.json`.
fn read(path: &Path, records: &mut Vec<Value>) -> Result<(), Error> {
    if path.is_dir() {
        let entries = fs::read_dir(path).call(|| format!("opendir({})", path.display()))?;
        let files: io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut files = files.call(|| format!("getdents({})", path.display()))?;
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
                && file.is_file()
        });
        files.sort();
        return files.iter().try_for_each(|file| read(file, records));
    }
    let bytes = fs::read(path).call(|| format!("open({})", path.display()))?;
    for value in Deserializer::from_slice(&bytes).into_iter::<Value>() {
        let value = value.map_err(|why| Error::record(format!("{}: {why}", path.display())))?;
        records.push(value);
    }
    Ok(())
}

fn indexed() -> Result<Vec<Value>, Error> {
    let mut records = Vec::new();
    for id in record::ids()? {
        if let Some(record) = record::indexed(&id)? {
            let mut value = serde_json::Map::new();
            value.insert("id".into(), id.as_ref().into());
            for key in ["annotations", "netwire", "failed"] {
                if let Some(of) = record.get(key) {
                    value.insert(key.into(), of.clone());
                }
            }
            records.push(value.into());
        }
    }
    Ok(records)
}

/// Which of the addresses no pod of this machine has.
///
/// Leases are asked first, as there is a file for each; the records only where that is not enough.
pub(crate) fn unknown(addresses: BTreeSet<IpAddr>) -> Result<BTreeSet<IpAddr>, Error> {
    let mut unknown = addresses;
    if unknown.is_empty() {
        return Ok(unknown);
    }
    for network in Directory::all()? {
        let leases: HashSet<IpAddr> = network.leases()?.into_iter().collect();
        unknown.retain(|address| !leases.contains(address));
    }
    if !unknown.is_empty() {
        for pod in pods(&[], None)? {
            unknown.retain(|address| !pod.ips.contains(address));
        }
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_wants_all_it_names() {
        let selector: Selector = "app=dns,tier=back".parse().unwrap();
        let record = |annotations: Value| json!({"id": "a", "annotations": annotations});
        assert!(selector.chooses(&record(json!({"app": "dns", "tier": "back", "x": "y"}))));
        assert!(!selector.chooses(&record(json!({"app": "dns"}))));
        assert!(!selector.chooses(&record(json!({"app": "dns", "tier": 1}))));
        assert!(!selector.chooses(&json!({"id": "a"})));
        for bad in ["", "app", "=x", "app=dns,"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pod_has_one_address_of_a_family() {
        let record = json!({"id": "a", "netwire": {"ips": [
            {"address": "10.244.0.2/24"}, {"address": "fd00::2/64"}, {"address": "10.9.0.2/24"}]}});
        let ips = vec!["10.244.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        assert_eq!(
            Pod::of(&record),
            Some(Pod {
                id: "a".into(),
                ips
            })
        );
        assert_eq!(
            Pod::of(&json!({"id": "../a", "netwire": {"ips": [{"address": "10.0.0.1/8"}]}})),
            None
        );
        assert_eq!(Pod::of(&json!({"id": "a"})), None);
    }
}
