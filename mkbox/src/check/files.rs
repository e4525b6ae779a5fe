//! What of a copy the kernel can do in a directory, tried with files that never have a name.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, copy_file_range, ioctl_ficlone, open};
use rustix::io::pwrite;
use sys::Teller;

/// A block of every file system that shares blocks.
const BLOCK: usize = 64 << 10;

/// Tells `tmpfile`, `copy_file_range` and `reflink`.
pub(super) fn copy(tell: &mut Teller, directory: &Path) {
    let unnamed = || -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        open(directory, flags, Mode::RUSR | Mode::WUSR)
    };
    let pair = unnamed().and_then(|source| {
        pwrite(&source, &[b'x'; BLOCK], 0)?;
        Ok((source, unnamed()?, unnamed()?))
    });
    let Some((source, copy, clone)) = tell.tell("tmpfile", pair) else {
        return;
    };
    let copied = copy_file_range(&source, Some(&mut 0), &copy, Some(&mut 0), BLOCK);
    tell.tell("copy_file_range", copied);
    tell.tell("reflink", ioctl_ficlone(&clone, &source));
}
