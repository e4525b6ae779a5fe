//! Where a box lies, and the marker beside it that says whose it is.
//!
//! The marker of `DIR/NAME` is `DIR/.NAME.mkbox`: a record of the box alone. It is there before the box and goes after it.
//! Until it holds the box's identity nothing has been put into the box, so only an empty directory counts as ours.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use record::Record;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, openat2, renameat_with, unlinkat};
use sys::{Call, SysError};

use crate::error::Error;
use crate::root::{BENEATH, DIRECTORY};
use crate::text::short;

/// A marker is a record.
const MARKER_BYTES: u64 = 1 << 20;

/// `NAME_MAX`, and `PATH_MAX` without the zero at its end; limits.h.
const NAME_BYTES: usize = 255;
const PATH_BYTES: usize = 4095;

/// A path at which there is a box, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Absolute, without links.
    pub(crate) path: PathBuf,
    pub(crate) parent: PathBuf,
    pub(crate) name: String,
    /// The directories above the box that are not there, outermost first.
    pub(crate) missing: Vec<PathBuf>,
}

impl Place {
    /// Of the box that the user calls `text`.
    ///
    /// # Errors
    /// It is no name of a directory that could be made: `/`, `.`, `..`, or below something that is none.
    pub(crate) fn find(text: &Path) -> Result<Self, Error> {
        let shown = short(text);
        let usage = |problem: &str| Error::Usage(format!("BOX {shown}: {problem}"));
        let Some(Component::Normal(name)) = text.components().next_back() else {
            return Err(usage("does not end in the name of a directory"));
        };
        let name = name
            .to_str()
            .ok_or_else(|| usage("is not UTF-8, a record cannot hold it"))?;
        let here = std::env::current_dir().call(|| "getcwd".into())?;
        let mut above = here.join(text.parent().unwrap_or(Path::new("")));
        let mut missing = Vec::new();
        let parent = loop {
            match std::fs::canonicalize(&above) {
                Ok(real) => break real,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if std::fs::symlink_metadata(&above).is_ok() {
                        return Err(usage("a symbolic link on the way leads nowhere"));
                    }
                    let Some(Component::Normal(last)) = above.components().next_back() else {
                        return Err(usage("has .. below a directory that does not exist"));
                    };
                    missing.push(last.to_owned());
                    above.pop();
                }
                Err(error) => {
                    return Err(SysError::new(format!("realpath({})", short(&above)), error).into());
                }
            }
        };
        let mut place = Self {
            path: PathBuf::new(),
            parent,
            name: name.to_owned(),
            missing: Vec::new(),
        };
        for name in missing.iter().rev() {
            place.parent.push(name);
            place.missing.push(place.parent.clone());
        }
        place.path = place.parent.join(name);
        // What could not be made would be found out when the directories above it are there.
        let beside = place.manifest_name().len();
        if beside > NAME_BYTES || place.parent.as_os_str().len() + 1 + beside > PATH_BYTES {
            return Err(usage(
                "File name too long (what lies beside it has 16 bytes more)",
            ));
        }
        if place.path.to_str().is_none() {
            return Err(usage("is not UTF-8, a record cannot hold it"));
        }
        Ok(place)
    }

    /// Of a box whose path a record or index holds: as it was found then.
    ///
    /// # Errors
    /// No absolute path that ends in a name.
    pub(crate) fn recorded(path: &str) -> Result<Self, Error> {
        let bad = || {
            record::Error::Record(format!(
                "mkbox.root: {path:?} is no absolute path of a directory"
            ))
        };
        let parts: Vec<Component<'_>> = Path::new(path).components().collect();
        let is_plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
        let is_fine = parts.first() == Some(&Component::RootDir)
            && parts.len() > 1
            && parts[1..].iter().all(is_plain);
        let (Some(parent), Some(name), true) = (
            Path::new(path).parent(),
            parts.last(),
            is_fine && !path.contains('\0'),
        ) else {
            return Err(bad().into());
        };
        let name = name.as_os_str().to_str().ok_or_else(bad)?.to_owned();
        Ok(Self {
            path: path.into(),
            parent: parent.into(),
            name,
            missing: Vec::new(),
        })
    }

    /// The directory above the box, held; None when it does not exist.
    ///
    /// # Errors
    /// What open(2) answers.
    pub(crate) fn open_parent(&self) -> Result<Option<OwnedFd>, SysError> {
        match rustix::fs::openat(CWD, &self.parent, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(SysError::new(
                format!("open({})", short(&self.parent)),
                errno,
            )),
        }
    }

    /// What the marker is called, beside the box.
    pub(crate) fn marker_name(&self) -> String {
        format!(".{}.mkbox", self.name)
    }

    /// The path of the marker.
    pub(crate) fn marker_path(&self) -> PathBuf {
        self.parent.join(self.marker_name())
    }

    /// What the directory for volumes and layers is called, beside the box.
    pub(crate) fn store_name(&self) -> String {
        format!(".{}.mkbox.d", self.name)
    }

    /// The path of that directory.
    pub(crate) fn store_path(&self) -> PathBuf {
        self.parent.join(self.store_name())
    }

    fn new_marker_name(&self) -> String {
        format!(".{}.mkbox.new", self.name)
    }

    /// Writes the marker of a box that is about to be made.
    ///
    /// # Errors
    /// `EEXIST`: there is one.
    pub(crate) fn claim(&self, parent: BorrowedFd<'_>, record: &Record) -> Result<(), SysError> {
        self.write(parent, &self.marker_name(), record)
    }

    /// Replaces the marker in one step.
    ///
    /// # Errors
    /// What open(2), write(2) and rename(2) answer.
    pub(crate) fn replace_marker(
        &self,
        parent: BorrowedFd<'_>,
        record: &Record,
    ) -> Result<(), SysError> {
        let new = self.write_new_marker(parent, record)?;
        rustix::fs::renameat(parent, &new, parent, self.marker_name())
            .call(|| format!("rename({})", short(&self.marker_path())))
    }

    /// Replaces a marker that was written a moment ago. ext4 sends a file that replaces another one to the disk at once, for
    /// the sake of those who rename instead of fsync(2); two that change places it does not.
    ///
    /// # Errors
    /// As of [`Place::replace_marker`].
    pub(crate) fn replace_claim(
        &self,
        parent: BorrowedFd<'_>,
        record: &Record,
    ) -> Result<(), SysError> {
        let new = self.write_new_marker(parent, record)?;
        match renameat_with(
            parent,
            &new,
            parent,
            self.marker_name(),
            RenameFlags::EXCHANGE,
        ) {
            Ok(()) => unlink(parent, &new, &self.parent),
            // Not every file system can.
            Err(_) => self.replace_marker(parent, record),
        }
    }

    /// Writes what the marker will be, beside it, over one that a killed `up` left; its name.
    fn write_new_marker(
        &self,
        parent: BorrowedFd<'_>,
        record: &Record,
    ) -> Result<String, SysError> {
        let new = self.new_marker_name();
        unlink(parent, &new, &self.parent)?;
        self.write(parent, &new, record)?;
        Ok(new)
    }

    /// What the manifest is called, beside the box.
    pub(crate) fn manifest_name(&self) -> String {
        format!(".{}.mkbox.manifest", self.name)
    }

    /// Writes the manifest; one that a killed `up` left is replaced.
    ///
    /// # Errors
    /// What open(2) and write(2) answer.
    pub(crate) fn write_manifest(
        &self,
        parent: BorrowedFd<'_>,
        text: &str,
    ) -> Result<(), SysError> {
        unlink(parent, &self.manifest_name(), &self.parent)?;
        self.write_text(parent, &self.manifest_name(), text)
    }

    fn write(&self, parent: BorrowedFd<'_>, name: &str, record: &Record) -> Result<(), SysError> {
        self.write_text(parent, name, &record.to_line())
    }

    fn write_text(&self, parent: BorrowedFd<'_>, name: &str, text: &str) -> Result<(), SysError> {
        let shown = self.parent.join(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = openat2(parent, name, flags, Mode::from(0o600), BENEATH)
            .call(|| format!("open({})", short(&shown)))?;
        File::from(fd)
            .write_all(text.as_bytes())
            .call(|| format!("write({})", short(&shown)))
    }

    /// Reads the marker. One that somebody else owns is none.
    ///
    /// # Errors
    /// What open(2) and read(2) answer; it holds no record.
    pub(crate) fn read_marker(&self, parent: BorrowedFd<'_>) -> Result<Marker, Error> {
        let name = self.marker_name();
        let call = |call: &str| format!("{call}({})", short(&self.marker_path()));
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match openat2(parent, name, flags, Mode::empty(), BENEATH) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::NOENT) => return Ok(Marker::None),
            Err(errno) => return Err(SysError::new(call("open"), errno).into()),
        };
        let stat = rustix::fs::fstat(&file).call(|| call("fstat"))?;
        let is_file =
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
        if !is_file || stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(Error::Failed(format!(
                "{} is no marker of ours",
                short(&self.marker_path())
            )));
        }
        let mut bytes = Vec::new();
        file.take(MARKER_BYTES)
            .read_to_end(&mut bytes)
            .call(|| call("read"))?;
        if bytes.is_empty() {
            return Ok(Marker::Empty);
        }
        let record = Record::parse(&bytes);
        let record = record
            .map_err(|error| Error::Failed(format!("{}: {error}", short(&self.marker_path()))))?;
        Ok(Marker::Of(Box::new(record)))
    }

    /// Removes the manifest and the marker, and one that was about to replace it.
    ///
    /// # Errors
    /// What unlink(2) answers, "not there" excepted.
    pub(crate) fn remove_marker(&self, parent: BorrowedFd<'_>) -> Result<(), SysError> {
        unlink(parent, &self.manifest_name(), &self.parent)?;
        unlink(parent, &self.new_marker_name(), &self.parent)?;
        unlink(parent, &self.marker_name(), &self.parent)
    }
}

fn unlink(parent: BorrowedFd<'_>, name: &str, shown: &Path) -> Result<(), SysError> {
    match unlinkat(parent.as_fd(), name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(errno) => Err(SysError::new(
            format!("unlink({})", short(&shown.join(name))),
            errno,
        )),
    }
}

/// What lies beside a box.
#[derive(Debug)]
pub(crate) enum Marker {
    None,
    /// `up` was killed between making the file and writing it: the box itself was not begun.
    Empty,
    Of(Box<Record>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_needs_a_name() {
        for bad in ["/", ".", "..", "a/..", "/tmp/..", "", "./"] {
            assert!(
                matches!(Place::find(Path::new(bad)), Err(Error::Usage(_))),
                "{bad:?}"
            );
        }
        for bad in ["", "/", "a", "/a/../b", "/a/..", "/a\0b"] {
            assert!(Place::recorded(bad).is_err(), "{bad:?}");
        }
        assert!(Place::find(Path::new("/no/such/../box")).is_err());
        let is_fine = |parent: usize, name: usize| {
            let path = format!("/tmp{}/{}", "/d".repeat(parent / 2), "n".repeat(name));
            Place::find(Path::new(&path)).is_ok()
        };
        assert!(is_fine(0, 239) && !is_fine(0, 240));
        assert!(is_fine(4090 - 20 - 16 - 1, 20) && !is_fine(4092 - 20 - 16, 20));
    }

    #[test]
    fn missing_directories_are_counted_from_outside() {
        let place = Place::find(Path::new("/tmp/mkbox-none/b/box/")).unwrap();
        assert_eq!(
            place.missing,
            ["/tmp/mkbox-none", "/tmp/mkbox-none/b"].map(PathBuf::from)
        );
        assert_eq!(place.path, Path::new("/tmp/mkbox-none/b/box"));
        assert_eq!(
            place.marker_path(),
            Path::new("/tmp/mkbox-none/b/.box.mkbox")
        );
        let known = Place::recorded("/tmp/mkbox-none/b/box").unwrap();
        assert_eq!(
            (known.path, known.parent, known.name),
            (place.path, place.parent, place.name)
        );
    }
}
