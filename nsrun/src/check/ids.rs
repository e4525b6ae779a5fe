//! Ranges of user and group ids that an ordinary user may map, and the two programs that do it; subuid(5).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::statvfs::{FsFlags, statvfs};
use rustix::fs::getxattr;
use serde_json::{Value, json};
use sys::Check;

use crate::idmap::Owned;
use crate::{cause, subids};

/// Of users and of groups.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// Name of this user in /etc/passwd; else its number.
    pub(crate) user: String,
    pub(crate) maps: Vec<Map>,
    /// No program can gain rights by being executed.
    pub(crate) no_new_privs: bool,
}

/// What there is for one of the two.
#[derive(Debug)]
pub(crate) struct Map {
    /// `newuidmap` or `newgidmap`
    pub(crate) program: &'static str,
    /// Where it is, and whether it has the right to do it.
    pub(crate) found: Option<(PathBuf, bool)>,
    /// `/etc/subuid` or `/etc/subgid`
    pub(crate) file: &'static str,
    /// First number and how many.
    pub(crate) ranges: Vec<(u32, u32)>,
}

impl Ids {
    pub(crate) fn gather() -> Self {
        let map = |program, file, owned: Owned| Map {
            program,
            found: find(program),
            file,
            ranges: owned.subids,
        };
        Self {
            maps: vec![
                map("newuidmap", "/etc/subuid", subids::users()),
                map("newgidmap", "/etc/subgid", subids::groups()),
            ],
            no_new_privs: cause::status("NoNewPrivs").is_some_and(|set| set == "1"),
            user: subids::user(),
        }
    }
}

fn find(program: &str) -> Option<(PathBuf, bool)> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let path = std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())?;
    let set_uid =
        fs::metadata(&path).is_ok_and(|found| found.uid() == 0 && found.mode() & 0o4000 != 0);
    let with_caps = getxattr(&path, c"security.capability", &mut [0_u8; 64][..]).is_ok();
    let nosuid = statvfs(&path).is_ok_and(|on| on.flags().contains(FsFlags::ST_NOSUID));
    let works = (set_uid || with_caps) && !nosuid;
    Some((path, works))
}

/// Root writes any map itself; others need both programs and a range.
pub(crate) fn judge(ids: &Ids, is_root: bool) -> Vec<Check> {
    let mut list = Vec::new();
    for map in &ids.maps {
        let program = match &map.found {
            _ if is_root => Check::new(map.program, true, "root needs none"),
            Some((path, true)) if !ids.no_new_privs => {
                Check::new(map.program, true, path.display().to_string())
            }
            Some((path, true)) => Check::new(map.program, false, path.display().to_string())
                .hint(Some("no_new_privs is set here: it gains no right")),
            Some((path, false)) => {
                let found = format!(
                    "{}: neither set-user-ID root nor with a capability",
                    path.display()
                );
                Check::new(map.program, false, found)
                    .hint(Some("reinstall the package uidmap, not on a nosuid mount"))
            }
            None => Check::new(map.program, false, "not in PATH")
                .hint(Some("install the package uidmap (shadow-utils)")),
        };
        list.push(program);
    }
    for map in &ids.maps {
        let shown: Vec<String> = map
            .ranges
            .iter()
            .map(|(first, count)| format!("{first}:{count}"))
            .collect();
        let name = map.file.trim_start_matches("/etc/");
        let check = match (map.ranges.is_empty(), is_root) {
            (true, true) => Check::new(name, true, "root needs none"),
            (true, false) => Check::new(name, false, format!("no range of {} in {}", ids.user, map.file)).hint(Some(
                format!("usermod --add-{name}s 100000-165535 {}, as root: only one id can be mapped without", ids.user),
            )),
            _ => Check::new(name, true, shown.join(" ")),
        };
        let ranges: Vec<Value> = map
            .ranges
            .iter()
            .map(|(first, count)| json!([first, count]))
            .collect();
        list.push(check.with("ranges", ranges));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(found: Option<(&str, bool)>, ranges: &[(u32, u32)], no_new_privs: bool) -> Ids {
        let map = |program, file| Map {
            program,
            found: found.map(|(path, works)| (path.into(), works)),
            file,
            ranges: ranges.to_vec(),
        };
        Ids {
            user: "web".into(),
            maps: vec![
                map("newuidmap", "/etc/subuid"),
                map("newgidmap", "/etc/subgid"),
            ],
            no_new_privs,
        }
    }

    #[test]
    fn what_is_missing_is_named_and_root_needs_none_of_it() {
        let list = judge(&ids(None, &[], false), false);
        let names: Vec<&str> = list.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["newuidmap", "newgidmap", "subuid", "subgid"]);
        assert!(
            list.iter()
                .all(|check| !check.ok && !check.needed && check.hint.is_some())
        );
        assert_eq!(list[2].found, "no range of web in /etc/subuid");
        let hint = list[3].hint.as_deref().unwrap();
        assert!(
            hint.starts_with("usermod --add-subgids 100000-165535 web"),
            "{hint}"
        );
        let list = judge(&ids(None, &[], false), true);
        assert!(
            list.iter()
                .all(|check| check.ok && check.found == "root needs none")
        );

        let path = Some(("/usr/bin/newuidmap", true));
        let list = judge(&ids(path, &[(100_000, 65536), (1, 2)], false), false);
        assert!(list.iter().all(|check| check.ok));
        assert_eq!(list[2].found, "100000:65536 1:2");
        assert!(!judge(&ids(path, &[], true), false)[0].ok, "no_new_privs");
        let list = judge(&ids(Some(("/usr/bin/newuidmap", false)), &[], false), false);
        assert!(list[0].found.contains("neither set-user-ID"));
    }
}
