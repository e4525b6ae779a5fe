//! Which capabilities CMD has; capabilities(7).

use nix::errno::Errno;
use rustix::thread::{
    CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};
use serde_json::{Value, json};
use sys::ToErrno;

/// Capabilities, a bit for each.
pub(crate) use rustix::thread::CapabilitySet as Set;

/// What docker 20 to 28 leave a container.
const DOCKER: Set = PODMAN
    .union(Set::AUDIT_WRITE)
    .union(Set::MKNOD)
    .union(Set::NET_RAW);

/// What podman 4 leaves of those.
const PODMAN: Set = Set::CHOWN
    .union(Set::DAC_OVERRIDE)
    .union(Set::FOWNER)
    .union(Set::FSETID)
    .union(Set::KILL)
    .union(Set::NET_BIND_SERVICE)
    .union(Set::SETFCAP)
    .union(Set::SETGID)
    .union(Set::SETPCAP)
    .union(Set::SETUID)
    .union(Set::SYS_CHROOT);

/// `--caps`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Docker,
    Podman,
    /// What the caller has.
    Keep,
    /// These, and no others; none without an option.
    These(Set),
    /// As `process.capabilities` of a record lists them.
    Listed(Listed),
}

/// `process.capabilities`, but the inheritable set: that is never more than the ambient one (CVE-2022-24769).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) bounding: Set,
    pub(crate) permitted: Set,
    pub(crate) effective: Set,
    pub(crate) ambient: Set,
}

impl std::str::FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "none" => Self::These(Set::empty()),
            "docker" => Self::Docker,
            "podman" => Self::Podman,
            "keep" => Self::Keep,
            "all" => Self::These(every()),
            _ => Self::These(
                text.split(',')
                    .map(named)
                    .collect::<Result<Vec<Set>, _>>()?
                    .into_iter()
                    .collect(),
            ),
        })
    }
}

/// Those that have a name.
fn every() -> Set {
    Set::all().iter_names().map(|(_, one)| one).collect()
}

/// A capability by its name, with or without `CAP_`, in any case.
///
/// # Errors
/// None has that name; the nearest ones, as the user reads it.
pub(crate) fn named(text: &str) -> Result<Set, String> {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    Set::from_name(short).ok_or_else(|| {
        let mut names: Vec<String> = every()
            .iter_names()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        let typed = short.to_ascii_lowercase();
        names.sort_by_key(|name| (distance(name, &typed), name.clone()));
        format!("{text:?} is no capability ({}, {}?)", names[0], names[1])
    })
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
    pub(crate) bounding: Set,
    pub(crate) permitted: Set,
    pub(crate) effective: Set,
    /// Inheritable and ambient: what an exec leaves a user who is not root.
    pub(crate) ambient: Set,
    /// Root gets nothing by being root, for good.
    pub(crate) no_root: bool,
}

impl Sets {
    /// For `request`, of a caller who has `permitted` and of whose bounding set `present` is the part that he is asked for;
    /// `is_root`: CMD will be.
    pub(crate) fn new(
        request: &Request,
        permitted: Set,
        present: impl FnOnce(Set) -> Result<Set, Errno>,
        is_root: bool,
    ) -> Result<Self, Errno> {
        let same = |bounding, ambient| Listed {
            bounding,
            permitted: bounding,
            effective: bounding,
            ambient,
        };
        let wanted = match request {
            // As docker has it: who is not root has none, unless they were named.
            Request::Docker => same(DOCKER, Set::empty()),
            Request::Podman => same(PODMAN, Set::empty()),
            Request::Keep => same(Set::all(), Set::empty()),
            Request::These(these) if is_root => same(*these, Set::empty()),
            Request::These(these) => same(*these, *these),
            Request::Listed(listed) => *listed,
        };
        // Cut to what there is: nobody gets more than he has.
        let bounding = present(wanted.bounding)?;
        let permitted = wanted.permitted & bounding & permitted;
        Ok(Self {
            bounding,
            permitted,
            effective: wanted.effective & permitted,
            ambient: wanted.ambient & permitted,
            no_root: bounding.is_empty(),
        })
    }

    /// As `process.capabilities` of an OCI configuration.
    pub(crate) fn to_json(&self) -> Value {
        let list = |set: Set| {
            let mut names: Vec<String> = set
                .iter_names()
                .map(|(name, _)| format!("CAP_{name}"))
                .collect();
            names.sort();
            names
        };
        let ambient = list(self.ambient);
        json!({
            "bounding": list(self.bounding),
            "effective": list(self.effective),
            "permitted": list(self.permitted),
            "inheritable": ambient,
            "ambient": ambient,
        })
    }

    /// Takes away what no exec shall bring back. The first of the two steps: afterwards ids change.
    ///
    /// # Errors
    /// `EPERM`: it needs CAP_SETPCAP.
    pub(crate) fn drop_bounding(&self) -> Result<(), Errno> {
        for one in singles(Set::all()).filter(|one| !self.bounding.contains(*one)) {
            match remove_capability_from_bounding_set(one) {
                Ok(()) => {}
                Err(rustix::io::Errno::INVAL) => break,
                Err(errno) => return Err(errno.to_errno()),
            }
        }
        Ok(())
    }

    /// Sets the other four. The second step.
    ///
    /// # Errors
    /// `EPERM`: more than there is.
    pub(crate) fn take(&self) -> Result<(), Errno> {
        let sets = CapabilitySets {
            effective: self.effective,
            permitted: self.permitted,
            inheritable: self.ambient,
        };
        clear_ambient_capability_set()
            .and_then(|()| set_capabilities(None, sets))
            .map_err(|errno| errno.to_errno())?;
        singles(self.ambient)
            .try_for_each(|one| configure_capability_in_ambient_set(one, true))
            .map_err(|errno| errno.to_errno())
    }
}

/// One after the other, in the order of the kernel's numbers. Those of a later kernel have no name, and are there as well.
fn singles(set: Set) -> impl Iterator<Item = Set> {
    let bit = |number| Set::from_bits_retain(1_u64 << number);
    (0..u64::BITS)
        .map(bit)
        .filter(move |one| set.contains(*one))
}

/// What this process has: permitted and effective.
///
/// # Errors
/// capget(2) failed.
pub(crate) fn present() -> Result<(Set, Set), Errno> {
    let sets = capabilities(None).map_err(|errno| errno.to_errno())?;
    Ok((sets.permitted, sets.effective))
}

/// What of `wanted` is in the bounding set of this process.
///
/// # Errors
/// None that a kernel has.
pub(crate) fn bounded(wanted: Set) -> Result<Set, Errno> {
    let mut found = Set::empty();
    for one in singles(wanted) {
        match capability_is_in_bounding_set(one) {
            Ok(is_there) => found.set(one, is_there),
            // The kernel knows no such number, and none above it.
            Err(rustix::io::Errno::INVAL) => break,
            Err(errno) => return Err(errno.to_errno()),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> Set {
        names.iter().map(|name| named(name).unwrap()).collect()
    }

    #[test]
    fn a_capability_has_a_name_and_a_misspelt_one_its_neighbours() {
        for text in ["net_raw", "CAP_NET_RAW", "cap_net_raw", "Net_Raw"] {
            assert_eq!(named(text), Ok(Set::NET_RAW));
        }
        let message = named("net_row").unwrap_err();
        assert!(
            message.starts_with("\"net_row\" is no capability (net_raw, "),
            "{message}"
        );
        for bad in ["", "cap_", "7", "net raw", "_"] {
            assert!(named(bad).is_err(), "{bad:?}");
        }
        assert_eq!("none".parse(), Ok(Request::These(Set::empty())));
        assert_eq!(
            "chown,kill".parse(),
            Ok(Request::These(set(&["chown", "kill"])))
        );
        assert!("chown,".parse::<Request>().is_err());
    }

    fn sets(request: &str, permitted: Set, bounding: Set, is_root: bool) -> Sets {
        let request = request.parse().unwrap();
        Sets::new(&request, permitted, |wanted| Ok(wanted & bounding), is_root).unwrap()
    }

    #[test]
    fn nobody_gets_more_than_he_has() {
        let all = every();
        let none = sets("none", all, all, true);
        assert!(none.no_root && none.bounding.is_empty() && none.effective.is_empty());
        let docker = sets("docker", all, all, true);
        let count = |sets: &Sets| sets.effective.bits().count_ones();
        assert_eq!((count(&docker), docker.no_root), (14, false));
        assert!(docker.ambient.is_empty());
        assert_eq!(count(&sets("podman", all, all, true)), 11);
        let few = set(&["chown", "net_raw"]);
        assert_eq!(sets("docker", few, few, true).effective, few);
        assert_eq!(sets("all", few, all, true).effective, few);
        assert_eq!(sets("keep", few, all, true).bounding, all);
    }

    #[test]
    fn a_record_s_sets_are_its_own_and_cut_to_what_there_is() {
        let listed = |bounding: &[&str], effective: &[&str], ambient: &[&str]| {
            let request = Request::Listed(Listed {
                bounding: set(bounding),
                permitted: set(effective),
                effective: set(effective),
                ambient: set(ambient),
            });
            let has = set(&["chown", "kill"]);
            Sets::new(&request, has, |wanted| Ok(wanted & has), false).unwrap()
        };
        // What docker writes for a user who is not root.
        let none = listed(&["chown", "kill"], &[], &[]);
        assert_eq!(none.bounding, set(&["chown", "kill"]));
        assert!(none.permitted.is_empty() && none.effective.is_empty() && none.ambient.is_empty());
        let some = listed(
            &["chown", "setuid"],
            &["chown", "kill", "setuid"],
            &["chown", "kill"],
        );
        assert_eq!(some.effective, set(&["chown"]));
        assert_eq!(some.ambient, set(&["chown"]));
    }

    #[test]
    fn what_a_later_kernel_has_is_kept_or_dropped_as_the_others_are() {
        let later = Set::from_bits_retain(1 << 50);
        let all = every() | later;
        assert_eq!(sets("keep", all, all, true).effective, all);
        assert!(!sets("all", all, all, true).bounding.contains(later));
        assert!(singles(Set::all()).any(|one| one == later));
    }

    #[test]
    fn who_is_not_root_has_what_was_named_and_not_what_a_preset_has() {
        let all = every();
        let named = sets("net_bind_service", all, all, false);
        assert_eq!(named.ambient, set(&["net_bind_service"]));
        assert!(sets("docker", all, all, false).ambient.is_empty());
        assert_eq!(named.to_json()["ambient"], json!(["CAP_NET_BIND_SERVICE"]));
    }
}
