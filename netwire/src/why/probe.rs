//! One connection is tried, from in the pod.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use nix::errno::Errno;
use sys::ToErrno;

use crate::publish::Protocol;

/// Who takes longer does not answer; the kernel asks a second time after one second.
const PATIENCE: Duration = Duration::from_millis(1500);
/// A datagram that is refused is so at once.
const REFUSAL: Duration = Duration::from_millis(200);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Connected,
    Refused,
    /// Nothing came back.
    Silent,
    /// The kernel, or somebody on the way, says that it does not go.
    Unreachable(Errno),
    /// Of UDP: nobody said no.
    Unknown,
}

/// In the network namespace of the calling thread.
pub(super) fn probe(to: SocketAddr, protocol: Protocol) -> Answer {
    let answer = match protocol {
        Protocol::Udp => datagram(to),
        _ => TcpStream::connect_timeout(&to, PATIENCE).map(|_| Answer::Connected),
    };
    answer.unwrap_or_else(|error| match error.kind() {
        ErrorKind::ConnectionRefused => Answer::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Answer::Silent,
        _ => Answer::Unreachable(error.to_errno()),
    })
}

fn datagram(to: SocketAddr) -> std::io::Result<Answer> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(REFUSAL))?;
    // Empty: most servers take no notice of it.
    socket.send(&[])?;
    match socket.recv(&mut [0; 16]) {
        Ok(_) => Ok(Answer::Connected),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(Answer::Unknown)
        }
        Err(error) => Err(error),
    }
}
