//! Who CMD is: a number, or a name in the box's own /etc/passwd.
//!
//! Everything in a box is hostile: its files are read by this small reader and no library of it (CVE-2019-14271), without
//! following a link, waiting for a FIFO or reading a gigabyte (CVE-2024-9676), and a number is exact or refused (CVE-2026-30892).

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use sys::{Call, SysError};

use crate::error::Error;
use crate::subids::number;

/// More is no /etc/passwd.
const MAX: u64 = 1 << 20;

/// `--user UID[:GID[,GROUP...]]`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    user: String,
    group: Option<String>,
    groups: Vec<String>,
}

impl std::str::FromStr for Request {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no UID[:GID[,GROUP...]]");
        let (user, group) = match text.split_once(':') {
            Some((user, rest)) => (user, Some(rest)),
            None => (text, None),
        };
        let mut groups = group
            .into_iter()
            .flat_map(|groups| groups.split(','))
            .map(str::to_owned);
        let request = Self {
            user: user.to_owned(),
            group: groups.next(),
            groups: groups.collect(),
        };
        let all = [&request.user]
            .into_iter()
            .chain(&request.group)
            .chain(&request.groups);
        // What looks like a number is one, or nothing; a name is a name everywhere.
        for part in all {
            let is_name = part
                .bytes()
                .next()
                .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.-$".contains(&byte));
            if !is_name && number(part).is_err() {
                return Err(bad());
            }
        }
        Ok(request)
    }
}

/// Who CMD is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Beside `gid`.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: Option<OsString>,
}

impl Request {
    /// Looks it up here.
    ///
    /// # Errors
    /// A name that is not there, a file that is none.
    pub(crate) fn find(&self) -> Result<User, Error> {
        let uid = number(&self.user).ok();
        // A number needs no file; one that is no file is only missed by who asks for a name.
        let passwd = match read("/etc/passwd") {
            Err(_) if uid.is_some() => Vec::new(),
            answer => answer?,
        };
        let entry = lines(&passwd).find(|fields| match uid {
            Some(uid) => id(fields, 2) == Some(uid),
            None => fields[0] == self.user.as_bytes(),
        });
        let missing =
            |name: &str, file: &str| Error::Failed(format!("--user: {name} is not in {file}"));
        let uid = uid
            .or_else(|| id(entry.as_ref()?, 2))
            .ok_or_else(|| missing(&self.user, "/etc/passwd"))?;
        let needs_group = self
            .group
            .iter()
            .chain(&self.groups)
            .any(|name| number(name).is_err());
        let group = match read("/etc/group") {
            Err(_) if !needs_group => Vec::new(),
            answer => answer?,
        };
        let find_group = |name: &String| match number(name) {
            Ok(gid) => Ok(gid),
            Err(_) => lines(&group)
                .find(|fields| fields[0] == name.as_bytes())
                .and_then(|fields| id(&fields, 2))
                .ok_or_else(|| missing(name, "/etc/group")),
        };
        let gid = match (&self.group, &entry) {
            (Some(name), _) => find_group(name)?,
            (None, Some(fields)) => {
                id(fields, 3).ok_or_else(|| missing("its group", "/etc/passwd"))?
            }
            // Not 0, as docker has it: nobody asked for root's group.
            (None, None) => uid,
        };
        let mut groups: Vec<u32> = self
            .groups
            .iter()
            .map(find_group)
            .collect::<Result<_, _>>()?;
        if let (None, Some(fields)) = (&self.group, &entry) {
            groups.extend(memberships(&group, fields[0]));
        }
        groups.retain(|other| *other != gid);
        groups.sort_unstable();
        groups.dedup();
        let home =
            entry.and_then(|fields| fields.get(5).map(|home| OsString::from_vec(home.to_vec())));
        let is_path = |home: &OsString| home.as_encoded_bytes().starts_with(b"/");
        Ok(User {
            uid,
            gid,
            groups,
            home: home.filter(is_path),
        })
    }
}

/// The groups that list `user` as a member.
pub(super) fn memberships(group: &[u8], user: &[u8]) -> Vec<u32> {
    lines(group)
        .filter(|fields| {
            let members = fields
                .get(3)
                .into_iter()
                .flat_map(|list| list.split(|&byte| byte == b','));
            members.into_iter().any(|member| member == user)
        })
        .filter_map(|fields| id(&fields, 2))
        // Linux takes 65536 groups; a box does not get to choose so many.
        .take(1024)
        .collect()
}

/// Lines of at least four fields.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|&byte| byte == b'\n')
        .map(|line| line.split(|&byte| byte == b':').collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 4 && !fields[0].is_empty())
}

pub(super) fn id(fields: &[&[u8]], place: usize) -> Option<u32> {
    number(std::str::from_utf8(fields.get(place)?).ok()?).ok()
}

/// The text of a file that may be anything.
fn read(path: &str) -> Result<Vec<u8>, SysError> {
    let call = || format!("open({path})");
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).call(call)?;
    let found = fstat(&file).call(|| format!("fstat({path})"))?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(SysError::new(call(), Errno::EINVAL).hint("not a regular file"));
    }
    let mut text = Vec::new();
    File::from(file)
        .take(MAX + 1)
        .read_to_end(&mut text)
        .call(|| format!("read({path})"))?;
    if text.len() as u64 > MAX {
        return Err(SysError::new(format!("read({path})"), Errno::EFBIG).hint("more than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_exact_or_refused() {
        for good in [
            "0",
            "1000",
            "1000:100",
            "1000:100,5,6",
            "root",
            "www-data:adm",
            "_apt",
            "4294967294",
            "a.b:c$",
        ] {
            assert!(good.parse::<Request>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ":",
            "1000:",
            ":100",
            "1000:100,",
            "1000:,5",
            "1000:100:5",
            "0x0",
            "-1",
            "+1",
            " 1",
            "1 ",
            "1e3",
            "1.5",
            "4294967295",
            "4294967296",
            "99999999999999999999",
            "root:0x0",
            "a b",
            "a/b",
            "a\nb",
            "\u{e4}",
            "0b1",
            "1_000",
            "1000,5",
            "root:-1",
            "1000:100,0x5",
            "$HOME",
            "-",
            "--",
            "007x",
            "\u{0661}",
            "1000:100;id",
        ] {
            assert!(bad.parse::<Request>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lines_that_are_nonsense_are_passed_over() {
        let passwd = b"\n:\nx\nroot:x:0:0:root:/root:/bin/sh\nbad:x:-1:0::/:/\nlong:x:4294967295:7\nmaria:x:1000:100:M:/home/maria:/bin/sh\xff";
        let names: Vec<_> = lines(passwd)
            .map(|fields| (fields[0].to_vec(), id(&fields, 2)))
            .collect();
        assert_eq!(
            names,
            [
                (b"root".to_vec(), Some(0)),
                (b"bad".to_vec(), None),
                (b"long".to_vec(), None),
                (b"maria".to_vec(), Some(1000))
            ]
        );
        let group =
            b"root:x:0:\nadm:x:4:maria,joe\ndocker:x:999:joe\nbad:x:y:maria\nm:x:7:joe,maria\n";
        assert_eq!(memberships(group, b"maria"), [4, 7]);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        assert_eq!(
            read("/proc").unwrap_err().to_string(),
            "open(/proc): Invalid argument (not a regular file)"
        );
        assert!(
            read("/dev/zero")
                .unwrap_err()
                .to_string()
                .contains("not a regular file")
        );
        assert!(
            read("/proc/self/exe")
                .unwrap_err()
                .to_string()
                .contains("open(/proc/self/exe): ")
        );
    }
}
