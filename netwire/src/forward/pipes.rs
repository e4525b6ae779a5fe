//! Pipes, through which the kernel moves what came in by one socket on to another without copying it: splice(2).

use std::os::fd::OwnedFd;

use nix::errno::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use sys::ToErrno;

/// Bytes: a pipe has a slot for each 4 KiB, and each takes one piece of what the network gave, often more than that.
pub(super) const SIZE: usize = 256 << 10;

/// An empty pipe, or one of which its user knows what is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) reader: OwnedFd,
    pub(super) writer: OwnedFd,
}

/// Pipes that are not in use: who has nothing in flight needs none.
#[derive(Debug)]
pub(super) struct Pipes {
    spare: Vec<Pipe>,
    /// As many are kept.
    keep: usize,
}

/// More than that are in flight at once only in a moment.
const KEEP: usize = 64;

impl Pipes {
    /// For a process that may have so many `descriptors`.
    pub(super) fn new(descriptors: usize) -> Self {
        Self {
            spare: Vec::new(),
            keep: KEEP.min(descriptors / 32),
        }
    }

    /// What those take that are not in use, at most.
    pub(super) fn descriptors(&self) -> usize {
        2 * self.keep
    }

    /// An empty one.
    pub(super) fn take(&mut self) -> Result<Pipe, Errno> {
        if let Some(pipe) = self.spare.pop() {
            return Ok(pipe);
        }
        let flags = PipeFlags::NONBLOCK | PipeFlags::CLOEXEC;
        let (reader, writer) = pipe_with(flags).map_err(|error| error.to_errno())?;
        // A user who has many may get no larger ones; it goes on in smaller pieces then.
        let _ = fcntl_setpipe_size(&writer, SIZE);
        Ok(Pipe { reader, writer })
    }

    /// Back, and empty.
    pub(super) fn give(&mut self, pipe: Pipe) {
        if self.spare.len() < self.keep {
            self.spare.push(pipe);
        }
    }
}
