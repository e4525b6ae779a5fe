//! The box as a tar archive: GNU headers, and a pax header only where a file has capabilities.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, major, minor};
use tar::{Builder, EntryType, Header};

use super::{Archive, Packed};

pub(super) struct Tar<'a>(Builder<&'a mut dyn Write>);

impl<'a> Tar<'a> {
    pub(super) fn new(output: &'a mut dyn Write) -> Self {
        Self(Builder::new(output))
    }
}

impl Archive for Tar<'_> {
    fn add(&mut self, packed: &Packed, contents: Option<&mut dyn Read>) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(packed.stat.st_mode & 0o7777);
        header.set_uid(packed.stat.st_uid.into());
        header.set_gid(packed.stat.st_gid.into());
        // Before 1970 there is no time in a tar header.
        header.set_mtime(u64::try_from(packed.mtime).unwrap_or(0));
        let bytes = contents.as_ref().map_or(0, |_| packed.bytes());
        header.set_size(bytes);
        if let Some(value) = &packed.capability {
            let pair = ("SCHILY.xattr.security.capability", &value[..]);
            self.0.append_pax_extensions([pair])?;
        }
        if let Some(first) = &packed.first {
            header.set_entry_type(EntryType::Link);
            return self.0.append_link(&mut header, &packed.path, first);
        }
        let kind = match packed.kind {
            FileType::Symlink => {
                header.set_entry_type(EntryType::Symlink);
                return self
                    .0
                    .append_link(&mut header, &packed.path, &packed.target);
            }
            FileType::Directory => EntryType::Directory,
            FileType::Fifo => EntryType::Fifo,
            FileType::CharacterDevice => EntryType::Char,
            FileType::BlockDevice => EntryType::Block,
            _ => EntryType::Regular,
        };
        header.set_entry_type(kind);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(major(packed.stat.st_rdev))?;
            header.set_device_minor(minor(packed.stat.st_rdev))?;
        }
        let mut path = packed.path.as_os_str().as_bytes().to_vec();
        if kind == EntryType::Directory {
            path.push(b'/');
        }
        let path: &std::ffi::OsStr = OsStrExt::from_bytes(&path);
        match contents {
            Some(contents) => self.0.append_data(&mut header, path, contents),
            None => self.0.append_data(&mut header, path, io::empty()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.finish()
    }
}
