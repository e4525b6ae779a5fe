//! Files read by position, so that several can be read at once, and readers that end.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// A part of a file, read by position: several can be open at once.
#[derive(Debug)]
pub(super) struct At<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl<'a> At<'a> {
    pub(super) fn new(file: &'a File, at: u64, left: u64) -> Self {
        Self { file, at, left }
    }
}

impl std::io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// How much may be read just now. A long name or a pax header is read into memory as a whole, and a few bytes of gzip can
/// be a header of many GB.
#[derive(Debug, Clone)]
pub(super) struct Budget(Rc<Cell<u64>>);

impl Default for Budget {
    fn default() -> Self {
        Self(Rc::new(Cell::new(u64::MAX)))
    }
}

impl Budget {
    pub(super) fn of<R>(&self, reader: R) -> Budgeted<R> {
        Budgeted {
            reader,
            budget: self.clone(),
        }
    }

    /// Does `work` with up to `bytes`.
    pub(super) fn within<T>(&self, bytes: u64, work: impl FnOnce() -> T) -> T {
        self.0.set(bytes);
        let answer = work();
        self.0.set(u64::MAX);
        answer
    }
}

pub(super) struct Budgeted<R> {
    reader: R,
    budget: Budget,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.budget.0.get();
        if left == 0 {
            return Err(std::io::Error::other("a header of more than 1 MiB"));
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = self.reader.read(&mut buffer[..most])?;
        if left != u64::MAX {
            self.budget.0.set(left - read as u64);
        }
        Ok(read)
    }
}

impl<R: std::io::Seek> std::io::Seek for Budgeted<R> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.reader.seek(to)
    }
}

/// A file that is read by position: the descriptor's own is left alone.
pub(super) struct Seekable<'a> {
    pub(super) file: &'a File,
    pub(super) at: u64,
}

impl Read for Seekable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl std::io::Seek for Seekable<'_> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        let to = match to {
            std::io::SeekFrom::Start(at) => Some(at),
            std::io::SeekFrom::Current(by) => self.at.checked_add_signed(by),
            std::io::SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = to.ok_or(std::io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
