//! What an archive asks of a file beside its bytes: its names, its length, its capabilities.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat, fgetxattr};
use sys::SysError;

use crate::walk::Item;

const CAPABILITY: &std::ffi::CStr = c"security.capability";
/// File capabilities are some 24 bytes.
const CAPABILITY_BYTES: usize = 256;

/// Numbers in the order of the walk: inodes differ from one disk to the next.
#[derive(Default)]
pub(super) struct Numbers {
    last: u32,
    /// Files of several names, by device and inode.
    linked: HashMap<(u64, u64), Linked>,
}

#[derive(Default)]
struct Linked {
    /// How many names it has in the box, and how many of them were met.
    names: u32,
    met: u32,
    number: u32,
    first: PathBuf,
}

impl Numbers {
    /// Looks for files of several names.
    pub(super) fn count(&mut self, item: &Item<'_>) {
        if item.stat.st_nlink > 1 && item.kind() != FileType::Directory {
            let key = (item.stat.st_dev, item.stat.st_ino);
            self.linked.entry(key).or_default().names += 1;
        }
    }

    /// The number of a file, its first name if this is another, how many names it has, and whether this is the last.
    pub(super) fn meet(&mut self, path: &Path, stat: &Stat) -> (u32, Option<PathBuf>, u32, bool) {
        let linked = self.linked.get_mut(&(stat.st_dev, stat.st_ino));
        let Some(linked) = linked else {
            self.last += 1;
            return (self.last, None, 1, true);
        };
        linked.met += 1;
        let first = (linked.met > 1).then(|| linked.first.clone());
        if first.is_none() {
            self.last += 1;
            linked.number = self.last;
            linked.first = path.to_owned();
        }
        (
            linked.number,
            first,
            linked.names,
            linked.met >= linked.names,
        )
    }
}

/// A file that is as long as its header will say, or an error.
pub(super) struct Exactly {
    pub(super) file: File,
    left: u64,
}

impl Exactly {
    pub(super) fn open(item: &Item<'_>) -> Result<Self, SysError> {
        Ok(Self {
            file: item.open()?.into(),
            left: item.bytes(),
        })
    }
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.file.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::other("became shorter while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

pub(super) fn capability(file: &File) -> Option<Vec<u8>> {
    let mut value = vec![0; CAPABILITY_BYTES];
    let bytes = fgetxattr(file, CAPABILITY, &mut value[..]).ok()?;
    value.truncate(bytes);
    Some(value)
}
