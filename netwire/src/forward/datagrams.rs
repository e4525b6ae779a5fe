//! UDP: each client has a socket of its own in the pod, by which the answers find back, until nothing came for a while.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{RecvFlags, SendFlags, connect, recv, recvfrom, send, sendto};
use sys::{SysError, ToErrno};

use super::listen::{Listener, socket};
use super::stream::{other, refusal};
use crate::publish::Protocol;

/// As many are handed on before others have their turn.
const ROUNDS: usize = 64;
/// No datagram is longer.
const LONGEST: usize = 65536;

/// A client of UDP.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) fd: OwnedFd,
    /// Which listener it came by.
    pub(super) listener: usize,
    pub(super) address: SocketAddr,
    /// Where in the pod it leads.
    pub(super) peer: SocketAddr,
    last: Instant,
    pub(super) there: u64,
    pub(super) back: u64,
}

/// All of them: where they are found by their address, and what is read into.
#[derive(Debug)]
pub(super) struct Datagrams {
    pub(super) places: HashMap<(usize, SocketAddr), usize>,
    /// The listeners whose port in the pod did not answer at 127.0.0.1.
    second: Vec<usize>,
    idle: Duration,
    buffer: Vec<u8>,
}

/// What a client's socket had to say.
#[derive(Debug)]
pub(super) enum Said {
    Answered,
    Refused(SysError),
}

impl Datagrams {
    pub(super) fn new(idle: Duration) -> Self {
        Self {
            places: HashMap::new(),
            second: Vec::new(),
            idle,
            buffer: vec![0; LONGEST],
        }
    }

    /// How many datagrams to take in one turn.
    pub(super) fn rounds() -> std::ops::Range<usize> {
        0..ROUNDS
    }

    /// The next datagram of a listener: who sent it, and how long it is. None: no more for now.
    pub(super) fn next(&mut self, listener: &Listener) -> Option<(SocketAddr, usize)> {
        let flags = RecvFlags::empty();
        // What else it may say (a host unreachable, of an earlier answer) is nobody's concern.
        let (length, _, from) = recvfrom(&listener.fd, self.buffer.as_mut_slice(), flags).ok()?;
        Some((SocketAddr::try_from(from?).ok()?, length))
    }

    /// A socket in the pod for a new client.
    pub(super) fn client(
        &self,
        at: usize,
        listener: &Listener,
        address: SocketAddr,
    ) -> Result<Client, SysError> {
        let first = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.port));
        let peer = match self.second.contains(&at) {
            true => other(first).unwrap_or(first),
            false => first,
        };
        let fd = socket(peer.ip(), Protocol::Udp)?;
        connect(&fd, &peer).map_err(|error| refusal(peer, error.to_errno()))?;
        Ok(Client {
            fd,
            listener: at,
            address,
            peer,
            last: Instant::now(),
            there: 0,
            back: 0,
        })
    }

    /// Hands on what was read last, of `length` bytes.
    pub(super) fn hand_on(&self, client: &mut Client, length: usize) -> Result<(), SysError> {
        client.last = Instant::now();
        let datagram = self.buffer.get(..length).unwrap_or_default();
        match send(&client.fd, datagram, SendFlags::empty()) {
            Ok(_) => client.there += length as u64,
            Err(rustix::io::Errno::CONNREFUSED) => {
                return Err(refusal(client.peer, nix::errno::Errno::ECONNREFUSED));
            }
            // The pod does not keep up: datagrams get lost, as anywhere.
            Err(_) => {}
        }
        Ok(())
    }

    /// Hands back what the pod answered.
    pub(super) fn hand_back(&mut self, client: &mut Client, listener: &Listener) -> Said {
        client.last = Instant::now();
        for _ in 0..ROUNDS {
            match recv(&client.fd, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => {
                    let datagram = self.buffer.get(..length).unwrap_or_default();
                    if sendto(&listener.fd, datagram, SendFlags::empty(), &client.address).is_ok() {
                        client.back += length as u64;
                    }
                }
                Err(rustix::io::Errno::CONNREFUSED) => {
                    return Said::Refused(refusal(client.peer, nix::errno::Errno::ECONNREFUSED));
                }
                Err(_) => break,
            }
        }
        Said::Answered
    }

    /// The pod's port is closed at the address that was tried: the next client gets the other one.
    pub(super) fn try_other(&mut self, listener: usize) {
        match self.second.iter().position(|&at| at == listener) {
            Some(at) => drop(self.second.remove(at)),
            None => self.second.push(listener),
        }
    }

    /// Whether nothing came for so long that the client is taken for gone.
    pub(super) fn is_idle(&self, client: &Client) -> bool {
        client.last.elapsed() >= self.idle
    }

    /// When to look again.
    pub(super) fn interval(&self) -> Duration {
        (self.idle / 4).clamp(Duration::from_millis(100), Duration::from_secs(10))
    }
}
