//! A descriptor whose close(2) would wait, closed by the kernel's own hands.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};

/// What holds a descriptor until a work queue of the kernel closes it: goes after the descriptor itself.
#[derive(Debug)]
pub struct CloseLater {
    _sender: OwnedFd,
    _receiver: OwnedFd,
}

impl CloseLater {
    /// For `fd`, which is closed as usual before this value goes; None: no socket could be made, close(2) will wait.
    ///
    /// A message that nobody can read any more, as it lies in a socket that only itself refers to, holds the descriptor;
    /// the collector of such garbage finds it, unix(7). It works by itself since Linux 6.9; before, it is close(2) that waits.
    #[must_use]
    pub fn new(fd: BorrowedFd<'_>) -> Option<Self> {
        let pair = socketpair(
            AddressFamily::Unix,
            SockType::Datagram,
            None,
            SockFlag::SOCK_CLOEXEC,
        );
        let (sender, receiver) = pair.ok()?;
        sendmsg::<()>(
            sender.as_raw_fd(),
            &[std::io::IoSlice::new(&[0])],
            &[ControlMessage::ScmRights(&[
                receiver.as_raw_fd(),
                fd.as_raw_fd(),
            ])],
            MsgFlags::empty(),
            None,
        )
        .ok()?;
        Some(Self {
            _sender: sender,
            _receiver: receiver,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn it_is_closed_in_the_end_and_not_before() {
        let (held, mut other) = UnixStream::pair().unwrap();
        let later = CloseLater::new(held.as_fd()).unwrap();
        drop(held);
        other.set_nonblocking(true).unwrap();
        let still = other.read(&mut [0]).unwrap_err();
        assert_eq!(still.kind(), ErrorKind::WouldBlock);
        drop(later);
        other.set_nonblocking(false).unwrap();
        // end of file comes when the kernel has closed it
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }
}
