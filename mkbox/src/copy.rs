//! The contents of one file into another, in the kernel where it can: shared blocks, else copy_file_range(2), else bytes.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

use rustix::fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek};
use rustix::io::Errno;

use crate::progress::Progress;

/// At once: what a progress bar can wait for.
const CHUNK: usize = 32 << 20;

/// Copies files, and remembers which file systems do not share blocks.
#[derive(Debug, Default)]
pub(crate) struct Copier {
    /// Devices of sources whose files could not be cloned to where the copies go.
    unshared: Mutex<HashSet<u64>>,
}

impl Copier {
    /// Copies all of `source` into `target`, which is empty; how many bytes that were. Holes stay holes.
    ///
    /// # Errors
    /// What read(2) and write(2) answer.
    pub(crate) fn copy(
        &self,
        source: &File,
        metadata: &Metadata,
        target: &File,
        progress: &Progress,
    ) -> io::Result<u64> {
        let bytes = metadata.size();
        if bytes > 0 && self.clone_blocks(source, target, metadata.dev()) {
            progress.add(bytes);
            return Ok(bytes);
        }
        if metadata.blocks() * 512 < bytes {
            return sparse(source, target, bytes, progress);
        }
        match bytes {
            // A file of /proc tells no length.
            0 => by_bytes(source, target, u64::MAX, progress),
            // One that grows is copied as long as it was.
            bytes => dense(source, target, bytes, progress),
        }
    }

    /// FICLONE, ioctl_ficlonerange(2): false where the two are on no file system, or not on the same one, that does it.
    fn clone_blocks(&self, source: &File, target: &File, device: u64) -> bool {
        let mut unshared = self
            .unshared
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if unshared.contains(&device) {
            return false;
        }
        match ioctl_ficlone(target, source) {
            Ok(()) => true,
            Err(_) => {
                unshared.insert(device);
                false
            }
        }
    }
}

/// Up to `limit` bytes from where both files stand; how many there were.
fn dense(source: &File, target: &File, limit: u64, progress: &Progress) -> io::Result<u64> {
    let mut copied = 0;
    while copied < limit {
        let chunk = usize::try_from(limit - copied).unwrap_or(CHUNK).min(CHUNK);
        match copy_file_range(source, None, target, None, chunk) {
            // Of a file of /proc or /sys the kernel says that it is at its end.
            Ok(0) if copied == 0 => return by_bytes(source, target, limit, progress),
            Ok(0) => break,
            Ok(bytes) => {
                copied += bytes as u64;
                progress.add(bytes as u64);
            }
            Err(Errno::INTR) => {}
            // Two file systems before Linux 5.19, one that has no such call, or a seccomp filter.
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM)
                if copied == 0 =>
            {
                return by_bytes(source, target, limit, progress);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(copied)
}

/// sendfile(2), else read(2) and write(2).
fn by_bytes(source: &File, target: &File, limit: u64, progress: &Progress) -> io::Result<u64> {
    let mut copied = 0;
    while copied < limit {
        let chunk = (limit - copied).min(CHUNK as u64);
        let bytes = io::copy(&mut source.take(chunk), &mut &*target)?;
        if bytes == 0 {
            break;
        }
        copied += bytes;
        progress.add(bytes);
    }
    Ok(copied)
}

fn sparse(source: &File, target: &File, bytes: u64, progress: &Progress) -> io::Result<u64> {
    let mut at = 0;
    while at < bytes {
        let begin = match seek(source, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // No data up to the end.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(source, SeekFrom::Hole(begin))?;
        seek(source, SeekFrom::Start(begin))?;
        seek(target, SeekFrom::Start(begin))?;
        if dense(source, target, end - begin, progress)? < end - begin {
            // The file has become shorter.
            break;
        }
        at = end;
    }
    ftruncate(target, bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn memory(name: &str) -> File {
        rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)
            .unwrap()
            .into()
    }

    fn copy(source: &File, target: &File) -> u64 {
        let progress = Progress::new(None, false);
        let metadata = source.metadata().unwrap();
        Copier::default()
            .copy(source, &metadata, target, &progress)
            .unwrap()
    }

    #[test]
    fn holes_stay_holes_and_data_stays_where_it_was() {
        let (source, target) = (memory("source"), memory("target"));
        source.set_len(8 << 20).unwrap();
        source.write_all_at(b"head", 0).unwrap();
        source.write_all_at(b"middle", (4 << 20) + 17).unwrap();
        assert_eq!(copy(&source, &target), 8 << 20);
        let (from, to) = (source.metadata().unwrap(), target.metadata().unwrap());
        assert_eq!((from.size(), from.blocks()), (to.size(), to.blocks()));
        let mut bytes = [0; 6];
        target.read_exact_at(&mut bytes, (4 << 20) + 17).unwrap();
        assert_eq!(&bytes, b"middle");
    }

    #[test]
    fn a_dense_file_is_copied_whole() {
        let (source, target) = (memory("source"), memory("target"));
        let text: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        source.write_all_at(&text, 0).unwrap();
        assert_eq!(copy(&source, &target), text.len() as u64);
        let mut copied = vec![0; text.len()];
        target.read_exact_at(&mut copied, 0).unwrap();
        assert_eq!(copied, text);
    }

    #[test]
    fn a_file_that_hides_its_length_is_copied_too() {
        let (source, target) = (File::open("/proc/self/stat").unwrap(), memory("target"));
        assert!(copy(&source, &target) > 10);
        assert_eq!(copy(&memory("empty"), &target), 0);
    }
}
