//! `/proc/PID/mountinfo` as proc_pid_mountinfo(5) describes it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What of the file system is seen here.
    pub root: PathBuf,
    /// Where it is seen.
    pub point: PathBuf,
    /// Of this mount: `rw,nosuid`
    pub options: String,
    /// `shared:7 master:3`
    pub propagation: String,
    /// Kind of file system.
    pub kind: String,
    /// What was mounted.
    pub source: String,
    /// Of the file system: `rw,memory`
    pub super_options: String,
}

/// The mounts of the caller's mount namespace, in the order in which they were made.
///
/// # Errors
/// No /proc.
pub fn mounts() -> io::Result<Vec<Mount>> {
    let text = fs::read("/proc/self/mountinfo")?;
    let lines = text
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    Ok(lines.filter_map(parse).collect())
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut next = || fields.next().map(unescape);
    let (_id, _parent, _device) = (next()?, next()?, next()?);
    let (root, point, options) = (next()?, next()?, next()?);
    let mut propagation = Vec::new();
    loop {
        match next()? {
            end if end == "-" => break,
            field => propagation.push(text(field)),
        }
    }
    Some(Mount {
        root: root.into(),
        point: point.into(),
        options: text(options),
        propagation: propagation.join(" "),
        kind: text(next()?),
        source: text(next()?),
        super_options: text(next()?),
    })
}

fn text(field: OsString) -> String {
    field.to_string_lossy().into_owned()
}

/// `\040` is a blank; tab, newline and backslash are written the same way.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        match (byte, octal) {
            (b'\\', Some(value)) => {
                bytes.push(value);
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402 rw,noatime shared:7 master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.root, PathBuf::from("/mnt1"));
        assert_eq!(mount.point, PathBuf::from("/mnt 2"));
        assert_eq!(mount.propagation, "shared:7 master:1");
        assert_eq!(
            (mount.kind.as_str(), mount.source.as_str()),
            ("ext3", "/dev/root")
        );
        assert_eq!(mount.super_options, "rw,errors=continue");
    }

    #[test]
    fn a_private_mount_has_no_propagation() {
        let mount = parse(b"21 1 0:19 / /proc rw - proc proc rw").unwrap();
        assert_eq!(mount.propagation, "");
        assert_eq!(parse(b"21 1 0:19 / /proc rw"), None);
    }
}
