//! The mount table of a process, proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::{Call, SysError};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number; statx(2) tells it as `stx_mnt_id`.
    pub id: u64,
    /// The mount it lies on.
    pub parent: u64,
    /// `major:minor`
    pub device: String,
    /// The directory in the file system that is mounted; of a cgroup as seen from the reader's cgroup namespace.
    pub root: PathBuf,
    /// Where, as the process sees it.
    pub point: PathBuf,
    /// Options of this mount alone, separated by commas: `ro`, `nosuid`.
    pub flags: String,
    /// Type of the file system.
    pub kind: String,
    /// What was mounted, as it was called then: a device, or any word.
    pub source: PathBuf,
    /// Options of the file system, separated by commas; of a v1 hierarchy its controllers are among them.
    pub options: String,
}

/// The mounts of `pid` (or `self`), in the order in which they were made.
///
/// # Errors
/// There is no such process, or no /proc.
pub fn mountinfo(pid: impl Display) -> Result<Vec<Mount>, SysError> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = fs::read(&path).call(|| format!("open({path})"))?;
    Ok(text
        .split(|&byte| byte == b'\n')
        .filter_map(Mount::parse)
        .collect())
}

impl Mount {
    /// From a line of the table. None: it is none.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let text = |field: &[u8]| std::str::from_utf8(field).ok().map(str::to_owned);
        let id = text(fields.next()?)?.parse().ok()?;
        let parent = text(fields.next()?)?.parse().ok()?;
        let device = text(fields.next()?)?;
        let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
        let flags = text(fields.next()?)?;
        // Optional fields, of which there may be any number, end with a dash.
        let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = text(fields.next()?)?;
        let source = fields.next().map(unescape).unwrap_or_default();
        let options = fields.next().and_then(text).unwrap_or_default();
        Some(Self {
            id,
            parent,
            device,
            root,
            point,
            flags,
            kind,
            source,
            options,
        })
    }
}

/// Space, tab, newline and backslash stand as `\040` and so on.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| {
            byte == b'\\' && digits.iter().all(|digit| (b'0'..b'8').contains(digit))
        });
        if let Some(digits) = octal {
            let value = |value: u8, digit: &u8| value.wrapping_mul(8).wrapping_add(digit - b'0');
            bytes.push(digits.iter().fold(0, value));
            rest = &tail[3..];
        } else {
            bytes.push(byte);
            rest = tail;
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_optional_fields_and_escapes() {
        let line = br"36 35 98:0 /mnt1 /a\040b\134c rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(
            (mount.id, mount.parent, &mount.device[..]),
            (36, 35, "98:0")
        );
        assert_eq!(
            (mount.root, mount.point),
            ("/mnt1".into(), r"/a b\c".into())
        );
        assert_eq!(
            (&mount.kind[..], &mount.options[..]),
            ("ext3", "rw,errors=continue")
        );
        assert_eq!(mount.source, PathBuf::from("/dev/root"));
        assert_eq!(
            Mount::parse(b"1 2 0:1 / / rw - tmpfs none rw")
                .unwrap()
                .kind,
            "tmpfs"
        );
        assert_eq!(unescape(br"a\0"), PathBuf::from(r"a\0"));
    }

    #[test]
    fn what_is_no_line_is_none() {
        for bad in [
            "",
            "1",
            "x 2 0:1 / / rw - tmpfs none rw",
            "1 2 0:1 / / rw tmpfs none rw",
        ] {
            assert_eq!(Mount::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn our_own_table_has_the_root() {
        let mounts = mountinfo("self").unwrap();
        assert!(mounts.iter().any(|mount| mount.point.as_os_str() == "/"));
        assert!(mountinfo(0).is_err());
    }
}

#[cfg(test)]
mod bad_input {
    use super::*;

    #[test]
    fn a_line_is_read_or_none() {
        fuzz::Target::new("mountinfo").cases(4000).run(|input| {
            for line in input.split(|byte| *byte == b'\n') {
                if let Some(mount) = Mount::parse(line) {
                    assert!(mount.point.as_os_str().len() <= line.len());
                }
            }
        });
    }
}
