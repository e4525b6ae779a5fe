//! Who the caller is, and which ids are his to map; passwd(5), subuid(5), subgid(5).

use std::fs;

use crate::idmap::{IdMap, Owned};

/// Of users.
pub(crate) fn users() -> Owned {
    owned(
        nix::unistd::geteuid().as_raw(),
        "/etc/subuid",
        "/proc/self/uid_map",
    )
}

/// Of groups. In /etc/subgid too it is the user whose they are.
pub(crate) fn groups() -> Owned {
    owned(
        nix::unistd::getegid().as_raw(),
        "/etc/subgid",
        "/proc/self/gid_map",
    )
}

fn owned(own: u32, subids: &str, known: &str) -> Owned {
    let uid = nix::unistd::geteuid().as_raw();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let known = IdMap::parse(&read(known)).0.into_iter();
    Owned {
        own,
        subids: ranges(&read(subids), uid, name(&read("/etc/passwd"), uid)),
        known: known.map(|range| (range.inside, range.count)).collect(),
    }
}

/// The id that `text` is or names in /etc/passwd or /etc/group.
///
/// # Errors
/// Nobody has that name; what the user reads.
pub(crate) fn id(text: &str, file: &str) -> Result<u32, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return number(text);
    }
    let lines = fs::read_to_string(file).unwrap_or_default();
    let found = fields(&lines).find(|[name, _, _]| *name == text);
    found
        .and_then(|[_, _, id]| number(id).ok())
        .ok_or_else(|| format!("{text:?} is no number and not in {file}"))
}

/// An id in decimal; 4294967295 is "no id".
///
/// # Errors
/// What the user reads.
pub(crate) fn number(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse::<u32>().ok().filter(|_| digits);
    id.filter(|&id| id != u32::MAX)
        .ok_or_else(|| format!("{text:?} is no id (0 to 4294967294)"))
}

/// The caller as /etc/passwd calls him; his number where it does not.
pub(crate) fn user() -> String {
    let uid = nix::unistd::geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name(&passwd, uid).map_or_else(|| uid.to_string(), str::to_owned)
}

/// The name of `uid` in the text of /etc/passwd.
pub(crate) fn name(passwd: &str, uid: u32) -> Option<&str> {
    let uid = uid.to_string();
    fields(passwd)
        .find(|[_, _, id]| *id == uid)
        .map(|[name, ..]| name)
}

/// First and count of each range that is `uid`'s or `name`'s.
pub(crate) fn ranges(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let uid = uid.to_string();
    fields(text)
        .filter(|[owner, ..]| *owner == uid || Some(*owner) == name)
        .filter_map(|[_, first, count]| {
            let (first, count) = (number(first).ok()?, number(count).ok()?);
            (count > 0 && first.checked_add(count).is_some()).then_some((first, count))
        })
        .collect()
}

/// The first three fields of each line that has them.
fn fields(text: &str) -> impl Iterator<Item = [&str; 3]> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        Some([fields.next()?, fields.next()?, fields.next()?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_found_by_name_and_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nmaria:x:1001:1001::/home/maria:/bin/sh\n";
        assert_eq!(name(passwd, 1001), Some("maria"));
        assert_eq!(name(passwd, 7), None);
        let subuid = "maria:100000:65536\n1001:300000:10\njoe:165536:65536\nmaria:x:1\nmaria:7\nmaria:4294967290:9\nmaria:5:0\n";
        assert_eq!(
            ranges(subuid, 1001, Some("maria")),
            [(100_000, 65_536), (300_000, 10)]
        );
        assert_eq!(ranges(subuid, 7, None), []);
    }

    #[test]
    fn an_id_is_exact_or_refused() {
        assert_eq!(id("0", "/etc/passwd"), Ok(0));
        assert_eq!(id("root", "/etc/passwd"), Ok(0));
        assert_eq!(id("4294967294", "/etc/passwd"), Ok(4_294_967_294));
        for bad in [
            "",
            "4294967295",
            "4294967296",
            "-1",
            "+1",
            "0x0",
            "1000:",
            " 1",
            "1e3",
            "1.0",
        ] {
            assert!(id(bad, "/etc/passwd").is_err(), "{bad:?}");
            assert!(number(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            id("nobody-has-this", "/etc/passwd"),
            Err("\"nobody-has-this\" is no number and not in /etc/passwd".into())
        );
    }
}
