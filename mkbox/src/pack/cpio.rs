//! The box as a cpio archive of the kind `newc`, which the kernel unpacks into an initramfs:
//! Documentation/driver-api/early-userspace/buffer-format.rst

use std::io::{self, Read, Write};

use rustix::fs::{FileType, major, minor};

use super::{Archive, Packed, bytes};

const MAGIC: &[u8] = b"070701";
const END: &[u8] = b"TRAILER!!!";
/// tar and cpio write whole blocks.
const BLOCK: u64 = 512;

pub(super) struct Cpio<'a> {
    output: &'a mut dyn Write,
    written: u64,
}

impl<'a> Cpio<'a> {
    pub(super) fn new(output: &'a mut dyn Write) -> Self {
        Self { output, written: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Zeros up to a multiple of `size`.
    fn pad(&mut self, size: u64) -> io::Result<()> {
        let zeros = self.written.next_multiple_of(size) - self.written;
        self.write(&[0; BLOCK as usize][..usize::try_from(zeros).unwrap_or(0)])
    }

    /// The thirteen numbers, and the name with its NUL.
    fn header(&mut self, numbers: [u32; 11], name: &[u8]) -> io::Result<()> {
        let mut text = MAGIC.to_vec();
        let length =
            u32::try_from(name.len() + 1).map_err(|_| io::Error::other("its name is too long"))?;
        for number in numbers.into_iter().chain([length, 0]) {
            text.extend(format!("{number:08x}").into_bytes());
        }
        text.extend(name);
        text.push(0);
        self.write(&text)?;
        self.pad(4)
    }
}

impl Archive for Cpio<'_> {
    fn add(&mut self, packed: &Packed, contents: Option<&mut dyn Read>) -> io::Result<()> {
        let stat = &packed.stat;
        let is_device = matches!(
            packed.kind,
            FileType::CharacterDevice | FileType::BlockDevice
        );
        let device = if is_device { stat.st_rdev } else { 0 };
        let size = match (packed.kind, &contents) {
            (FileType::Symlink, _) => bytes(&packed.target).len() as u64,
            (_, Some(_)) => packed.bytes(),
            (_, None) => 0,
        };
        let size = u32::try_from(size)
            .map_err(|_| io::Error::other("is too large for cpio, which ends at 4 GB"))?;
        // What a directory says depends on the file system; the kernel asks whether there is more than one.
        let links = if packed.kind == FileType::Directory {
            2
        } else {
            packed.names
        };
        let numbers = [
            packed.number,
            stat.st_mode,
            stat.st_uid,
            stat.st_gid,
            links,
            u32::try_from(packed.mtime.clamp(0, u32::MAX.into())).unwrap_or(0),
            size,
            0,
            0,
            major(device),
            minor(device),
        ];
        self.header(numbers, bytes(&packed.path))?;
        if packed.kind == FileType::Symlink {
            self.write(bytes(&packed.target))?;
        }
        if let Some(contents) = contents {
            self.written += io::copy(contents, &mut self.output)?;
        }
        self.pad(4)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.header([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], END)?;
        self.pad(BLOCK)
    }
}
