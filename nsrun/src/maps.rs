//! The maps of a new user namespace: which, and who writes them; user_namespaces(7).

use std::fs;
use std::os::fd::BorrowedFd;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use record::{IdMapping, Record};
use sys::SysError;

use crate::error::Error;
use crate::id_args::{MapArgs, Setgroups};
use crate::idmap::{IdMap, Owned, Range, Spec};
use crate::{procfs, subids};

/// What is written for a new user namespace, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) users: Option<IdMap>,
    pub(crate) groups: Option<IdMap>,
    setgroups: Option<Setgroups>,
    pub(crate) by: Writer,
}

/// Who writes maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The process in the new user namespace: itself alone is what it may map.
    Itself,
    /// A process that stays outside and has CAP_SETUID and CAP_SETGID there.
    Parent,
    /// newuidmap(1) and newgidmap(1), which know whose subordinate ids they are.
    Helpers,
}

/// What a record says: `linux.uidMappings` and `linux.gidMappings`.
#[derive(Debug, Default)]
pub(crate) struct RecordedMaps {
    users: Vec<Range>,
    groups: Vec<Range>,
}

impl RecordedMaps {
    /// Of `record`.
    ///
    /// # Errors
    /// No ids.
    pub(crate) fn of(record: &Record) -> Result<Self, record::Error> {
        let side = |key: &str, entries: Vec<IdMapping>| {
            let range = |entry: IdMapping| {
                Range::new(entry.container_id, entry.host_id, entry.size)
                    .map_err(|why| record::Error::Record(format!("linux.{key}: {why}")))
            };
            entries
                .into_iter()
                .map(range)
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            users: side("uidMappings", record.uid_mappings()?)?,
            groups: side("gidMappings", record.gid_mappings()?)?,
        })
    }
}

impl Maps {
    /// From the options, which override, and the record. None: nothing is mapped.
    ///
    /// `is_privileged`: with CAP_SETUID and CAP_SETGID where the new user namespace is made.
    ///
    /// # Errors
    /// Ids that overlap, and ids that nobody has.
    pub(crate) fn new(
        arguments: &MapArgs,
        recorded: &RecordedMaps,
        is_privileged: bool,
    ) -> Result<Option<Self>, Error> {
        // Those of the record count where the options say nothing of users and groups at all.
        let given = arguments.maps();
        let side = |given: Vec<Spec>, recorded: &[Range], owned: fn() -> Owned, name: &str| {
            let recorded = recorded.iter().copied().map(Spec::Range).collect();
            let specs = if arguments.is_given() {
                given
            } else {
                recorded
            };
            if specs.is_empty() {
                return Ok(None);
            }
            IdMap::new(&specs, &owned()).map_err(|why| Error::Usage(format!("{name}: {why}")))
        };
        let (users, groups) = given.map_err(Error::Usage)?;
        let users = side(users, &recorded.users, subids::users, "--map-users")?;
        let groups = side(groups, &recorded.groups, subids::groups, "--map-groups")?;
        let setgroups = arguments.setgroups;
        if users.is_none() && groups.is_none() && setgroups.is_none() {
            return Ok(None);
        }
        let (uid, gid) = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        let is_simple = users.as_ref().is_none_or(|map| map.is_only(uid))
            && groups.as_ref().is_none_or(|map| map.is_only(gid))
            && setgroups != Some(Setgroups::Allow);
        let by = match (is_simple, is_privileged) {
            (true, _) => Writer::Itself,
            (false, true) => Writer::Parent,
            (false, false) => Writer::Helpers,
        };
        if by == Writer::Helpers && setgroups.is_some() {
            return Err(Error::Usage(
                "--setgroups: without CAP_SETGID it is newgidmap(1) that decides".into(),
            ));
        }
        // Before an unprivileged process may map its group, it has to give up setgroups(2).
        let deny = by == Writer::Itself && groups.is_some();
        Ok(Some(Self {
            users,
            groups,
            setgroups: if deny {
                Some(Setgroups::Deny)
            } else {
                setgroups
            },
            by,
        }))
    }

    /// They are what the kernel says of process `pid`; nobody is asked about a side that is not mapped.
    pub(crate) fn are_of(&self, pid: i32) -> bool {
        let same = |file: &str, map: &Option<IdMap>| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}"));
            map.as_ref()
                .is_none_or(|map| text.is_ok_and(|text| IdMap::parse(&text) == *map))
        };
        same("uid_map", &self.users) && same("gid_map", &self.groups)
    }

    /// Who makes the namespace is nobody in it, and there is a root he can become.
    pub(crate) fn leaves_us_nobody(&self) -> bool {
        let uid = nix::unistd::geteuid().as_raw();
        self.users
            .as_ref()
            .is_some_and(|map| !map.has_outside(uid) && map.has_inside(0))
    }

    /// The writes, as a user reads them, for the process `who`.
    pub(crate) fn calls(&self, who: &str) -> Vec<String> {
        let mut calls = Vec::new();
        if self.by == Writer::Helpers {
            let call = |(name, map): (&str, &Option<IdMap>)| {
                let map = map.as_ref()?;
                Some(format!("{name} {who} {}", map.text().replace('\n', " ")))
            };
            calls.extend(call(("newuidmap", &self.users)));
            calls.extend(call(("newgidmap", &self.groups)));
            return calls;
        }
        for (file, text) in self.files() {
            let text = text.replace('\n', ", ");
            calls.push(format!("write(/proc/{who}/{file}, {text})"));
        }
        calls
    }

    /// Name below /proc/PID and text, in the order in which the kernel takes them.
    fn files(&self) -> Vec<(&'static str, String)> {
        let setgroups = self
            .setgroups
            .map(|how| ("setgroups", how.word().to_owned()));
        let users = self.users.as_ref().map(|map| ("uid_map", map.text()));
        let groups = self.groups.as_ref().map(|map| ("gid_map", map.text()));
        setgroups.into_iter().chain(users).chain(groups).collect()
    }

    /// Writes them for this process.
    pub(crate) fn write_own(&self, proc: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut files = self.files().into_iter();
        files.try_for_each(|(file, text)| procfs::write(proc, &format!("self/{file}"), &text))
    }

    /// Writes them for `pid`, a child that waits.
    pub(crate) fn write_for(&self, proc: BorrowedFd<'_>, pid: i32) -> Result<(), Error> {
        if self.by == Writer::Helpers {
            help("newuidmap", pid, self.users.as_ref())?;
            return help("newgidmap", pid, self.groups.as_ref());
        }
        let calls = self.calls(&pid.to_string());
        for ((file, text), call) in self.files().into_iter().zip(calls) {
            procfs::write(proc, &format!("{pid}/{file}"), &text).map_err(|errno| SysError {
                call,
                errno,
                hint: match errno {
                    Errno::EPERM => Some("are all of these ids in our own /proc/self/uid_map?"),
                    _ => None,
                },
            })?;
        }
        Ok(())
    }
}

/// newuidmap(1), newgidmap(1): `NAME PID IN OUT N ...`
fn help(name: &str, pid: i32, map: Option<&IdMap>) -> Result<(), Error> {
    let Some(map) = map else { return Ok(()) };
    let answer = Command::new(name)
        .arg(pid.to_string())
        .args(map.text().split_ascii_whitespace())
        .stdin(Stdio::null())
        .output();
    let output = answer.map_err(|error| {
        let error = SysError::new(format!("exec({name})"), error);
        if error.errno == Errno::ENOENT {
            return error
                .hint("the package uidmap has it; or map as root, or yourself alone by -r or -c");
        }
        error
    })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim().replace(|c: char| c.is_control(), " ");
    let text = text.trim_start_matches(name).trim_start_matches(": ");
    Err(Error::Failed(format!(
        "{name}({pid}, {map}): {text} (are all of them in /etc/sub{}id?)",
        if name == "newuidmap" { 'u' } else { 'g' }
    )))
}
