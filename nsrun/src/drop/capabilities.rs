//! Which capabilities CMD has; capabilities(7).

use std::collections::HashSet;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use serde_json::{Value, json};

/// What docker 20 to 28 leave a container.
const DOCKER: [Capability; 14] = [
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_RAW,
    Capability::CAP_SETFCAP,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
    Capability::CAP_SYS_CHROOT,
];

/// Of those, what podman 4 does not leave.
const NOT_PODMAN: [Capability; 3] = [
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_MKNOD,
    Capability::CAP_NET_RAW,
];

/// `--caps`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Docker,
    Podman,
    /// What the caller has.
    Keep,
    /// These, and no others; none without an option.
    These(HashSet<Capability>),
}

impl std::str::FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "none" => Self::These(HashSet::new()),
            "docker" => Self::Docker,
            "podman" => Self::Podman,
            "keep" => Self::Keep,
            "all" => Self::These(caps::all()),
            _ => Self::These(text.split(',').map(named).collect::<Result<_, _>>()?),
        })
    }
}

/// A capability by its name, with or without `CAP_`, in any case.
///
/// # Errors
/// None has that name; the nearest ones, as the user reads it.
pub(crate) fn named(text: &str) -> Result<Capability, String> {
    let upper = text.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") {
        upper
    } else {
        format!("CAP_{upper}")
    };
    full.parse::<Capability>().map_err(|_| {
        let mut names: Vec<String> = caps::all().iter().map(name).collect();
        names.sort_by_key(|name| {
            (
                distance(name, &full[4..].to_ascii_lowercase()),
                name.clone(),
            )
        });
        format!("{text:?} is no capability ({}, {}?)", names[0], names[1])
    })
}

/// `net_raw`
fn name(capability: &Capability) -> String {
    capability.to_string()[4..].to_ascii_lowercase()
}

/// Levenshtein's: how many letters have to be changed.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let here = row[j + 1];
            row[j + 1] = (before + usize::from(a != b)).min(here + 1).min(row[j] + 1);
            before = here;
        }
    }
    row[other.len()]
}

/// The five sets of CMD before it is exec'd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sets {
    pub(crate) bounding: HashSet<Capability>,
    /// What the bounding set of the caller has beyond that.
    dropped: HashSet<Capability>,
    /// Permitted and effective.
    pub(crate) effective: HashSet<Capability>,
    /// Inheritable and ambient: what an exec leaves a user who is not root.
    pub(crate) ambient: HashSet<Capability>,
    /// Root gets nothing by being root, for good.
    pub(crate) no_root: bool,
}

impl Sets {
    /// For `request`, of a caller with these sets; `is_root`: CMD will be.
    pub(crate) fn new(
        request: &Request,
        permitted: &HashSet<Capability>,
        bounding: &HashSet<Capability>,
        is_root: bool,
    ) -> Self {
        let docker: HashSet<_> = DOCKER.into_iter().collect();
        let (wanted, is_explicit) = match request {
            Request::Docker => (docker, false),
            Request::Podman => (&docker - &NOT_PODMAN.into_iter().collect(), false),
            Request::Keep => (bounding.clone(), false),
            Request::These(these) => (these.clone(), true),
        };
        // Cut to what there is: nobody gets more than he has.
        let present = bounding;
        let bounding: HashSet<_> = wanted.intersection(present).copied().collect();
        let effective: HashSet<_> = bounding.intersection(permitted).copied().collect();
        Self {
            no_root: bounding.is_empty(),
            // As docker has it: who is not root has none, unless they were named.
            ambient: if is_explicit && !is_root {
                effective.clone()
            } else {
                HashSet::new()
            },
            effective,
            dropped: present.difference(&bounding).copied().collect(),
            bounding,
        }
    }

    /// As `process.capabilities` of an OCI configuration.
    pub(crate) fn to_json(&self) -> Value {
        let list = |set: &HashSet<Capability>| {
            let mut names: Vec<String> = set.iter().map(Capability::to_string).collect();
            names.sort();
            names
        };
        let (effective, ambient) = (list(&self.effective), list(&self.ambient));
        json!({
            "bounding": list(&self.bounding),
            "effective": effective,
            "permitted": effective,
            "inheritable": ambient,
            "ambient": ambient,
        })
    }

    /// Takes away what no exec shall bring back. The first of the two steps: afterwards ids change.
    ///
    /// # Errors
    /// `EPERM`: it needs CAP_SETPCAP.
    pub(crate) fn drop_bounding(&self) -> Result<(), Errno> {
        for capability in &self.dropped {
            // caps hides the errno, which is this one for a capability that was there.
            caps::drop(None, CapSet::Bounding, *capability).map_err(|_| Errno::EPERM)?;
        }
        Ok(())
    }

    /// Sets the other four. The second step.
    ///
    /// # Errors
    /// `EPERM`: more than there is.
    pub(crate) fn take(&self) -> Result<(), Errno> {
        let set = |set, value: &HashSet<Capability>| {
            caps::set(None, set, value).map_err(|_| Errno::EPERM)
        };
        caps::clear(None, CapSet::Ambient).map_err(|_| Errno::EPERM)?;
        set(CapSet::Inheritable, &self.ambient)?;
        // Effective first: it may not be more than permitted at any time.
        set(CapSet::Effective, &self.effective)?;
        set(CapSet::Permitted, &self.effective)?;
        for capability in &self.ambient {
            caps::raise(None, CapSet::Ambient, *capability).map_err(|_| Errno::EPERM)?;
        }
        Ok(())
    }
}

/// What this process has: permitted and bounding.
///
/// # Errors
/// capget(2) failed.
pub(crate) fn present() -> Result<(HashSet<Capability>, HashSet<Capability>), Errno> {
    let read = |set| caps::read(None, set).map_err(|_| Errno::EPERM);
    Ok((read(CapSet::Permitted)?, read(CapSet::Bounding)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> HashSet<Capability> {
        names.iter().map(|name| named(name).unwrap()).collect()
    }

    #[test]
    fn a_capability_has_a_name_and_a_misspelt_one_its_neighbours() {
        for text in ["net_raw", "CAP_NET_RAW", "cap_net_raw", "Net_Raw"] {
            assert_eq!(named(text), Ok(Capability::CAP_NET_RAW));
        }
        let message = named("net_row").unwrap_err();
        assert!(
            message.starts_with("\"net_row\" is no capability (net_raw, "),
            "{message}"
        );
        for bad in ["", "cap_", "7", "net raw"] {
            assert!(named(bad).is_err(), "{bad:?}");
        }
        assert_eq!("none".parse(), Ok(Request::These(HashSet::new())));
        assert_eq!(
            "chown,kill".parse(),
            Ok(Request::These(set(&["chown", "kill"])))
        );
        assert!("chown,".parse::<Request>().is_err());
    }

    #[test]
    fn nobody_gets_more_than_he_has() {
        let all = caps::all();
        let sets = |request: &str, permitted, bounding, is_root| {
            Sets::new(&request.parse().unwrap(), permitted, bounding, is_root)
        };
        let none = sets("none", &all, &all, true);
        assert!(none.no_root && none.bounding.is_empty() && none.effective.is_empty());
        let docker = sets("docker", &all, &all, true);
        assert_eq!((docker.effective.len(), docker.no_root), (14, false));
        assert!(docker.ambient.is_empty());
        assert_eq!(sets("podman", &all, &all, true).effective.len(), 11);
        let few = set(&["chown", "net_raw"]);
        assert_eq!(sets("docker", &few, &few, true).effective, few);
        assert_eq!(sets("all", &few, &all, true).effective, few);
        assert_eq!(sets("keep", &few, &all, true).bounding, all);
    }

    #[test]
    fn who_is_not_root_has_what_was_named_and_not_what_a_preset_has() {
        let all = caps::all();
        let named = Sets::new(&"net_bind_service".parse().unwrap(), &all, &all, false);
        assert_eq!(named.ambient, set(&["net_bind_service"]));
        let preset = Sets::new(&Request::Docker, &all, &all, false);
        assert!(preset.ambient.is_empty());
        assert_eq!(named.to_json()["ambient"], json!(["CAP_NET_BIND_SERVICE"]));
    }
}
