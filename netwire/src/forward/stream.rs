//! One connection of TCP: two sockets, and what is on its way between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use rustix::event::epoll::EventFlags;
use rustix::net::{Shutdown, connect, shutdown, sockopt};
use rustix::pipe::{SpliceFlags, splice};
use sys::{SysError, ToErrno};

use super::listen::socket;
use super::pipes::{Pipe, Pipes, SIZE};
use crate::publish::Protocol;

/// How many pieces are moved for one connection before another has its turn.
const ROUNDS: usize = 16;

/// Descriptors of a connection at most: two sockets, a pipe each way.
pub(super) const DESCRIPTORS: usize = 6;

/// A socket, and what the kernel said of it last (epoll is edge-triggered: it says so once).
#[derive(Debug)]
pub(super) struct End {
    pub(super) fd: OwnedFd,
    readable: bool,
    writable: bool,
}

impl End {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            readable: false,
            writable: false,
        }
    }

    pub(super) fn note(&mut self, flags: EventFlags) {
        let over = EventFlags::ERR | EventFlags::HUP;
        self.readable |= flags.intersects(EventFlags::IN | EventFlags::RDHUP | over);
        self.writable |= flags.intersects(EventFlags::OUT | over);
    }

    /// Whoever is at the other side shall not take what follows for a proper end.
    fn reset(&self) {
        let _ = sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }
}

/// How a direction broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Who was to take it is not there any more.
    Gone,
    /// Nothing more will come of it, and neither side may know.
    Broken,
}

impl Fault {
    fn of_writing(errno: Errno) -> Self {
        match errno {
            Errno::EPIPE | Errno::ECONNRESET => Self::Gone,
            _ => Self::Broken,
        }
    }
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// Only while something is in it.
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    /// The end of the stream was read …
    ended: bool,
    /// … and handed on.
    shut: bool,
    bytes: u64,
}

impl Way {
    /// Moves what there is, as far as it is taken. True: there is more.
    ///
    /// A pipe is filled only when it is empty: then "not now" is always the socket's answer and never the pipe's.
    fn pump(&mut self, from: &mut End, to: &mut End, pipes: &mut Pipes) -> Result<bool, Fault> {
        for _ in 0..ROUNDS {
            if self.held == 0 && !self.fill(from, pipes).map_err(|_| Fault::Broken)? {
                self.rest(pipes);
                if self.ended && !self.shut {
                    self.shut = true;
                    // The other side may be gone as well; that is as good.
                    let _ = shutdown(&to.fd, Shutdown::Write);
                }
                return Ok(false);
            }
            if !self.drain(to).map_err(Fault::of_writing)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Nobody takes what comes this way any more.
    fn give_up(&mut self) {
        *self = Self {
            ended: true,
            shut: true,
            bytes: self.bytes,
            ..Self::default()
        };
    }

    /// True: something is in the pipe.
    fn fill(&mut self, from: &mut End, pipes: &mut Pipes) -> Result<bool, Errno> {
        if self.ended || !from.readable {
            return Ok(false);
        }
        let pipe = match &self.pipe {
            Some(pipe) => pipe,
            None => self.pipe.insert(pipes.take()?),
        };
        match moved(&from.fd, &pipe.writer, SIZE)? {
            Some(0) => self.ended = true,
            Some(bytes) => self.held = bytes,
            None => from.readable = false,
        }
        Ok(self.held > 0)
    }

    /// True: the pipe is empty.
    fn drain(&mut self, to: &mut End) -> Result<bool, Errno> {
        let Some(pipe) = &self.pipe else {
            return Ok(true);
        };
        while self.held > 0 {
            if !to.writable {
                return Ok(false);
            }
            match moved(&pipe.reader, &to.fd, self.held)? {
                Some(bytes) => {
                    self.held -= bytes;
                    self.bytes += bytes as u64;
                }
                None => to.writable = false,
            }
        }
        Ok(true)
    }

    fn rest(&mut self, pipes: &mut Pipes) {
        if let Some(pipe) = self.pipe.take() {
            pipes.give(pipe);
        }
    }
}

/// splice(2). None: not now.
fn moved(from: &impl AsFd, to: &impl AsFd, bytes: usize) -> Result<Option<usize>, Errno> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        return match splice(from, None, to, None, bytes, flags) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Err(error.to_errno()),
        };
    }
}

/// What became of a connection.
#[derive(Debug)]
pub(super) enum Turn {
    /// Something has to happen first.
    Waits,
    /// It was interrupted for the others' sake.
    HasMore,
    /// Both directions have come to their end.
    Done,
    /// The first address of the pod did not take it: another socket is on its way to the second.
    Again,
    /// One side broke it off.
    Broken,
    /// The pod did not take it.
    Refused(SysError),
}

/// A client, and the pod's server.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) client: End,
    pub(super) pod: End,
    peer: SocketAddr,
    connecting: bool,
    /// It is among those that were interrupted.
    pub(super) queued: bool,
    /// Why the pod's first address did not take it.
    errno: Option<Errno>,
    there: Way,
    back: Way,
}

impl Stream {
    /// Begins to connect to `port` of the pod's 127.0.0.1.
    pub(super) fn begin(client: OwnedFd, port: u16) -> Result<Self, SysError> {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (pod, peer) = match connecting(peer) {
            Ok(pod) => (pod, peer),
            Err(first) => {
                let second = other(peer).ok_or_else(|| first.clone())?;
                (connecting(second).map_err(|_| first)?, second)
            }
        };
        Ok(Self {
            client: End::new(client),
            pod: End::new(pod),
            peer,
            connecting: true,
            queued: false,
            errno: None,
            there: Way::default(),
            back: Way::default(),
        })
    }

    /// Bytes to the pod and back.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.there.bytes, self.back.bytes)
    }

    /// Where in the pod it leads.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Goes on as far as it can.
    pub(super) fn turn(&mut self, pipes: &mut Pipes) -> Turn {
        if self.connecting {
            if !self.pod.writable && !self.pod.readable {
                return Turn::Waits;
            }
            if let Err(errno) = connected(&self.pod.fd) {
                return self.refused(errno);
            }
            self.connecting = false;
        }
        let there = self.there.pump(&mut self.client, &mut self.pod, pipes);
        let back = self.back.pump(&mut self.pod, &mut self.client, pipes);
        match (there, back) {
            // A server may answer and go before it has read all that was asked: the answer still arrives.
            (Err(Fault::Gone), Ok(more)) => {
                self.there.give_up();
                match more {
                    false if self.back.shut => Turn::Done,
                    false => Turn::Waits,
                    true => Turn::HasMore,
                }
            }
            (Err(_), _) | (_, Err(_)) => Turn::Broken,
            (Ok(false), Ok(false)) if self.there.shut && self.back.shut => Turn::Done,
            (Ok(false), Ok(false)) => Turn::Waits,
            _ => Turn::HasMore,
        }
    }

    fn refused(&mut self, errno: Errno) -> Turn {
        let first = refusal(self.peer, errno);
        let Some(second) = other(self.peer) else {
            // What 127.0.0.1 said, of which more is known.
            let first = SocketAddr::from((Ipv4Addr::LOCALHOST, self.peer.port()));
            return Turn::Refused(refusal(first, self.errno.unwrap_or(errno)));
        };
        self.errno = Some(errno);
        match connecting(second) {
            Ok(pod) => {
                (self.pod, self.peer) = (End::new(pod), second);
                Turn::Again
            }
            Err(_) => Turn::Refused(first),
        }
    }

    /// Its end; what is still in flight goes with the pipes. `broken`: both sides see a reset.
    pub(super) fn end(mut self, broken: bool, pipes: &mut Pipes) {
        if broken {
            self.client.reset();
            self.pod.reset();
        }
        for way in [&mut self.there, &mut self.back] {
            if way.held == 0 {
                way.rest(pipes);
            }
        }
    }
}

/// After 127.0.0.1 comes ::1, and nothing after that.
pub(super) fn other(peer: SocketAddr) -> Option<SocketAddr> {
    let second = SocketAddr::new(IpAddr::from(Ipv6Addr::LOCALHOST), peer.port());
    peer.is_ipv4().then_some(second)
}

/// A socket on its way to `peer`.
fn connecting(peer: SocketAddr) -> Result<OwnedFd, SysError> {
    let fd = socket(peer.ip(), Protocol::Tcp)?;
    // Small pieces go on at once, as they came.
    let _ = sockopt::set_tcp_nodelay(&fd, true);
    match connect(&fd, &peer) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(refusal(peer, error.to_errno())),
    }
}

fn connected(fd: &OwnedFd) -> Result<(), Errno> {
    match sockopt::socket_error(fd) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) | Err(error) => Err(error.to_errno()),
    }
}

/// Why the pod's end cannot be had.
pub(super) fn refusal(peer: SocketAddr, errno: Errno) -> SysError {
    let error = SysError::new(format!("connect({peer})"), errno);
    match errno {
        Errno::ECONNREFUSED => error.hint("nothing listens there, in the pod"),
        Errno::ENETUNREACH => error.hint("is lo of the pod down? ip link set lo up"),
        _ => error,
    }
}
