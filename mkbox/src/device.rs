//! Devices that a record asks for, `linux.devices`: made in the /dev that is the box's own, else the host's, bound.
//! Never made in the box's directory, which outlives the command and may be looked at by anybody.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use record::Record;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid, chownat, mknodat, statat};
use serde_json::Value;
use sys::{Call, SysError};

use crate::attach::clone_fd;
use crate::error::Error;
use crate::mounted::Mounted;
use crate::root::{PointKind, Root};

/// What runtimes give a device of which the record says no more.
const MODE: u64 = 0o666;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// In the box.
    pub(crate) path: PathBuf,
    kind: FileType,
    numbers: (u32, u32),
    mode: u32,
    user: u32,
    group: u32,
}

/// All of a record.
///
/// # Errors
/// One that is none.
pub(crate) fn read(record: &Record) -> Result<Vec<Device>, Error> {
    let list = match record.pointer("/linux/devices") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("must be a list of devices")),
    };
    list.iter()
        .map(|entry| Device::read(entry).map_err(|problem| wrong(&problem)))
        .collect()
}

fn wrong(problem: &str) -> Error {
    record::Error::Record(format!("linux.devices: {problem}")).into()
}

impl Device {
    fn read(entry: &Value) -> Result<Self, String> {
        let text = |key| entry.get(key).and_then(Value::as_str);
        let path = text("path").filter(|path| !path.contains('\0'));
        let path = path.ok_or("a device has no path")?;
        crate::flags::inside(path)?;
        let kind = match text("type") {
            Some("c" | "u") => FileType::CharacterDevice,
            Some("b") => FileType::BlockDevice,
            Some("p") => FileType::Fifo,
            _ => return Err(format!("{path}: its type is none of c, u, b, p")),
        };
        let number = |key: &str, default: Option<u64>| {
            let value = match entry.get(key) {
                None | Some(Value::Null) => default,
                Some(value) => value.as_u64(),
            };
            let value = value.and_then(|value| u32::try_from(value).ok());
            value.ok_or_else(|| format!("{path}: {key} is no number that it could be"))
        };
        let has_numbers = kind != FileType::Fifo;
        let default = (!has_numbers).then_some(0);
        Ok(Self {
            numbers: (number("major", default)?, number("minor", default)?),
            mode: number("fileMode", Some(MODE))? & 0o7777,
            user: number("uid", Some(0))?,
            group: number("gid", Some(0))?,
            path: path.into(),
            kind,
        })
    }

    /// The step, for `--dry-run`.
    pub(crate) fn describe(&self) -> String {
        let (major, minor) = self.numbers;
        let path = self.path.display();
        match self.kind {
            FileType::Fifo => format!("mknod({path}, p)"),
            FileType::BlockDevice => format!("mknod({path}, b {major}:{minor})"),
            _ => format!("mknod({path}, c {major}:{minor})"),
        }
    }

    /// The host's, if it has the same one at the same path.
    pub(crate) fn of_host(&self) -> Option<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &self.path, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&fd).ok()?;
        (self.kind != FileType::Fifo && self.is_it(&stat)).then_some(fd)
    }

    fn is_it(&self, stat: &rustix::fs::Stat) -> bool {
        let rdev = rustix::fs::makedev(self.numbers.0, self.numbers.1);
        FileType::from_raw_mode(stat.st_mode) == self.kind && stat.st_rdev == rdev
    }

    /// Puts it in its place; `host` is what [`Device::of_host`] found, `in_own_dev` whether it lies in a /dev that is nobody
    /// else's.
    ///
    /// # Errors
    /// The first call that fails.
    pub(crate) fn place(
        &self,
        mounted: &Mounted,
        host: Option<OwnedFd>,
        in_own_dev: bool,
    ) -> Result<(), SysError> {
        let (root, inside) = mounted.around(&self.path);
        let made = match in_own_dev {
            true => self.make(root, inside),
            false => Err(SysError::new(self.describe(), Errno::EPERM)
                .hint("the box has no /dev of its own (--dev), nor the host this device")),
        };
        // Root of a user namespace makes no devices. What is there already is covered.
        let refused = match made {
            Ok(()) => return Ok(()),
            Err(error) if matches!(error.errno, Errno::EPERM | Errno::EEXIST) => error,
            Err(error) => return Err(error),
        };
        let host = host.ok_or(refused)?;
        let point = root.mount_point(inside, PointKind::File)?;
        clone_fd(host.as_fd(), false, || self.path.display().to_string())?
            .move_onto(point.as_fd(), || root.show(inside))
    }

    /// Makes it in the /dev behind `root`.
    fn make(&self, root: &Root, inside: &Path) -> Result<(), SysError> {
        let call = || self.describe();
        let above = inside.parent().unwrap_or(Path::new(""));
        let above = root.mount_point(above, PointKind::Directory)?;
        let name = inside.file_name().ok_or(Errno::EINVAL).call(call)?;
        let rdev = rustix::fs::makedev(self.numbers.0, self.numbers.1);
        // The mode as it is written: changed by name afterwards, it could be that of another file.
        let umask = rustix::process::umask(Mode::empty());
        let made = mknodat(&above, name, self.kind, Mode::from(self.mode), rdev);
        rustix::process::umask(umask);
        match made {
            Err(rustix::io::Errno::EXIST) => {
                let there = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW);
                match there.is_ok_and(|stat| self.is_it(&stat)) {
                    true => return Ok(()),
                    false => return Err(SysError::new(call(), Errno::EEXIST)),
                }
            }
            made => made.call(call)?,
        }
        if (self.user, self.group) == (0, 0) {
            return Ok(());
        }
        let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
        chownat(
            &above,
            name,
            Some(user),
            Some(group),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .call(|| format!("chown({})", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(text: &str) -> Result<Vec<Device>, String> {
        let record = format!(r#"{{"linux":{{"devices":{text}}}}}"#);
        read(&Record::parse(record.as_bytes()).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn devices_are_read_as_oci_has_them() {
        let list = r#"[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":438,"uid":5,"gid":6},
            {"path":"/dev/sda","type":"b","major":8,"minor":0},{"path":"/run/pipe","type":"p"}]"#;
        let read = devices(list).unwrap();
        let described: Vec<String> = read.iter().map(Device::describe).collect();
        let wanted = [
            "mknod(/dev/fuse, c 10:229)",
            "mknod(/dev/sda, b 8:0)",
            "mknod(/run/pipe, p)",
        ];
        assert_eq!(described, wanted);
        assert_eq!((read[0].mode, read[0].user, read[0].group), (0o666, 5, 6));
        assert_eq!((read[1].mode, read[1].user), (0o666, 0));
        assert_eq!(devices("null"), Ok(vec![]));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for (bad, problem) in [
            ("{}", "must be a list of devices"),
            ("[{}]", "a device has no path"),
            (r#"[{"path":"/a/../b","type":"c"}]"#, "is no absolute path"),
            (r#"[{"path":"/a","type":"x"}]"#, "its type is none of"),
            (
                r#"[{"path":"/a","type":"c","major":1}]"#,
                "minor is no number",
            ),
            (
                r#"[{"path":"/a","type":"c","major":-1,"minor":0}]"#,
                "major is no number",
            ),
        ] {
            let error = devices(bad).unwrap_err();
            assert!(error.contains(problem), "{bad}: {error}");
        }
    }
}
