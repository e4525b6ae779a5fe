//! To whom a pod's groups are handed over.

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Version;
use crate::talk::Talk;
use crate::units;

/// Who may make groups in a pod's, and put processes of theirs in: `UID:GID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

impl std::str::FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            // the greatest means "leave it" to chown(2)
            let number = units::number(text).filter(|_| !text.is_empty())?;
            u32::try_from(number).ok().filter(|&id| id != u32::MAX)
        };
        let ids = text
            .split_once(':')
            .and_then(|(uid, gid)| Some((number(uid)?, number(gid)?)));
        let (uid, gid) = ids.ok_or("not UID:GID, two numbers")?;
        Ok(Self { uid, gid })
    }
}

/// Files of a v2 group that go with it when it is delegated, where the kernel does not say; cgroups(7).
const DELEGATED: &str = "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\nmemory.oom.group\n";

impl Owner {
    /// Hands `group` over: the directory and the files by which groups below it are made and filled, none of its limits.
    pub(crate) fn own(self, group: &Group, version: Version, talk: Talk) -> Result<(), Error> {
        let files = match version {
            // Linux 4.15
            Version::V2 => std::fs::read_to_string("/sys/kernel/cgroup/delegate")
                .unwrap_or_else(|_| DELEGATED.to_owned()),
            Version::V1 => "cgroup.procs\ntasks\ncgroup.clone_children\n".to_owned(),
        };
        group.chown(None, self.uid, self.gid)?;
        for file in files.lines().filter(|file| group.has(file)) {
            group.chown(Some(file), self.uid, self.gid)?;
        }
        talk.step(|| format!("chown({}, {self})", group.path().display()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_two_numbers() {
        assert_eq!(
            "1000:100".parse::<Owner>().unwrap(),
            Owner {
                uid: 1000,
                gid: 100
            }
        );
        for bad in [
            "",
            "1000",
            ":",
            "1:",
            ":1",
            "a:b",
            "-1:1",
            "4294967295:1",
            "1:4294967295",
            "1:2:3",
        ] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }
}
