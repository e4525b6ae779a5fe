//! A socket for requests to rtnetlink(7) and to nfnetlink, many in one system call.
//!
//! netlink-packet-route builds the bodies of the former, [`crate::nft`] those of the latter; what comes back is read here,
//! as far as it is needed.

mod message;
mod request;

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::SndBufForce;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use sys::{Call, CloseLater};

use crate::TOOL;
use crate::error::{Error, NEEDS_NF_TABLES};
use crate::nft;
use crate::sys::setsockopt_netlink;

#[cfg(test)]
pub(crate) use message::each;
use message::{Message, NLMSG_DONE, NLMSG_ERROR, answer, split};
pub(crate) use message::{string, u16_at, u32_at, u64_at};
pub(crate) use request::{NEEDS_NET_ADMIN, Request};

/// Datagrams of a dump are no larger than what we offer to read, and the kernel stops at 32 KiB; the first is never larger than
/// 8 KiB (`NLMSG_GOODSIZE`). A page that is touched for the first time costs more than a call.
const BUFFER: usize = 32 << 10;
const BUFFER_AT_FIRST: usize = 8 << 10;

/// A netlink socket: it acts on the network namespace it was opened in, whoever uses it.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    /// Its family, for messages: `NETLINK_ROUTE`.
    family: &'static str,
    sequence: u32,
    verbose: bool,
    buffer: Vec<u8>,
    /// Of a netfilter socket, after the descriptor in this order: close(2) of any waits for an RCU grace period, 7 to 25 ms,
    /// while elements that somebody deleted are not freed yet (`nft_rcv_nl_event`).
    _later: Option<CloseLater>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Of family `NETLINK_ROUTE`, in the network namespace of the calling thread. `verbose`: says on stderr what was done.
    pub(crate) fn open(verbose: bool) -> Result<Self, Error> {
        Self::of(SockProtocol::NetlinkRoute, "NETLINK_ROUTE", verbose)
    }

    /// Of family `NETLINK_NETFILTER`: tables, and connections that are tracked.
    pub(crate) fn netfilter(verbose: bool) -> Result<Self, Error> {
        Self::of(SockProtocol::NetlinkNetFilter, "NETLINK_NETFILTER", verbose).map_err(|error| {
            match error {
                Error::Record(record::Error::Sys(error))
                    if error.errno == Errno::EPROTONOSUPPORT =>
                {
                    error.hint(NEEDS_NF_TABLES).into()
                }
                error => error,
            }
        })
    }

    fn of(protocol: SockProtocol, family: &'static str, verbose: bool) -> Result<Self, Error> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)
            .call(|| format!("socket(AF_NETLINK, {family})"))?;
        // Linux 4.12, 4.3 and 4.20: better messages, shorter answers, and dumps of what was asked for only.
        for option in [
            libc::NETLINK_EXT_ACK,
            libc::NETLINK_CAP_ACK,
            libc::NETLINK_GET_STRICT_CHK,
        ] {
            setsockopt_netlink(fd.as_fd(), option)?;
        }
        let later = match protocol {
            SockProtocol::NetlinkNetFilter => CloseLater::new(fd.as_fd()),
            _ => None,
        };
        Ok(Self {
            fd,
            family,
            sequence: 0,
            verbose,
            buffer: vec![0; BUFFER_AT_FIRST],
            _later: later,
        })
    }

    /// Sends all requests at once and returns the data the kernel answers with, in order.
    ///
    /// The kernel works through all of them even when one fails, so none may rely on one before it.
    ///
    /// # Errors
    /// The first request that was refused.
    pub(crate) fn batch(&mut self, mut requests: Vec<Request>) -> Result<Vec<Vec<u8>>, Error> {
        let first = self.sequence + 1;
        let count = requests.len();
        for (at, request) in requests.iter_mut().enumerate() {
            self.sequence += 1;
            // Errors of all are answered anyway; the last one's answer says that all were worked through.
            request.number(self.sequence, at + 1 == count);
        }
        let bytes = datagram(&requests);
        self.send(&bytes)?;
        let last = self.sequence;
        let mut data = Vec::new();
        let mut failed: Option<Error> = None;
        self.receive(|message| {
            let Some(request) = message
                .sequence
                .checked_sub(first)
                .and_then(|at| requests.get(at as usize))
            else {
                return true;
            };
            if message.kind != NLMSG_ERROR {
                data.push(message.payload.to_vec());
                return true;
            }
            if let Err((errno, text)) = answer(message) {
                failed.get_or_insert_with(|| request.refused(errno, text));
            }
            message.sequence != last
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.say(&requests);
        Ok(data)
    }

    /// With `verbose`: what was done.
    pub(crate) fn say(&self, requests: &[Request]) {
        // questions are no steps
        let steps = requests
            .iter()
            .filter(|request| self.verbose && !request.is_question());
        let steps: Vec<&String> = steps.map(|request| &request.call).collect();
        record::trace_all(TOOL, &steps);
    }

    /// Sends the requests as one transaction of nf_tables: all of them take effect at once, or none does.
    ///
    /// # Errors
    /// `ERESTART`: the ruleset is not of this `generation` any more. Else the first request that was refused.
    pub(crate) fn transaction(
        &mut self,
        generation: u32,
        requests: Vec<Request>,
    ) -> Result<(), Error> {
        let (begin, end) = nft::batch(generation);
        let first = self.sequence + 1;
        let last = requests.len();
        let mut all = vec![begin];
        all.extend(requests);
        all.push(end);
        for (at, request) in all.iter_mut().enumerate() {
            self.sequence += 1;
            // Before Linux 6.10 the end of a batch is never answered, so it is the last request that is asked to.
            request.number(self.sequence, at == last);
        }
        self.make_room(all.iter().map(|request| request.bytes().len()).sum())?;
        self.send_all(&all)?;
        let mut failed: Option<Error> = None;
        self.receive(|message| {
            let at = message.sequence.checked_sub(first).map(|at| at as usize);
            let Some((at, request)) = at.and_then(|at| Some((at, all.get(at)?))) else {
                return true;
            };
            if let Err((errno, text)) = answer(message) {
                failed.get_or_insert_with(|| request.refused(errno, text));
            }
            // An error at the beginning or the end is one of the transaction, and nothing follows it.
            at != last && at != 0 && at != last + 1
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.say(&all[1..=last]);
        Ok(())
    }

    /// A transaction is one datagram, and the usual buffer takes some 200 kB.
    fn make_room(&self, bytes: usize) -> Result<(), Error> {
        if bytes > 64 << 10 {
            let room = bytes.saturating_mul(2);
            socket::setsockopt(&self.fd, SndBufForce, &room)
                .call(|| format!("setsockopt(SO_SNDBUFFORCE, {room})"))?;
        }
        Ok(())
    }

    /// Sends one request for many answers and hands each to `see`, until there are no more or `see` says false.
    ///
    /// The rest of a dump that was broken off stays in the socket: it is of no further use then, hence `self`.
    pub(crate) fn dump(
        mut self,
        request: Request,
        see: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Error> {
        self.dump_some(request, see)
    }

    /// The same, and all of them: the socket can be used again.
    pub(crate) fn dump_all(
        &mut self,
        request: Request,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        self.dump_some(request, |payload| {
            see(payload);
            true
        })
    }

    fn dump_some(
        &mut self,
        mut request: Request,
        mut see: impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Error> {
        self.sequence += 1;
        request.number(self.sequence, false);
        self.send(request.bytes())?;
        let (mut failed, sequence) = (None, self.sequence);
        self.receive(|message| match message.kind {
            // what an earlier request left
            _ if message.sequence != sequence => true,
            // "done" tells as well what went wrong on the way
            NLMSG_DONE | NLMSG_ERROR => {
                failed = answer(message)
                    .err()
                    .map(|(errno, text)| request.refused(errno, text));
                false
            }
            _ => see(message.payload),
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        loop {
            match socket::send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(errno)
                        .call(|| format!("send({})", self.family))
                        .map_err(Error::from);
                }
            }
        }
    }

    /// As one datagram, which the kernel puts together if it can.
    fn send_all(&self, requests: &[Request]) -> Result<(), Error> {
        const UIO_MAXIOV: usize = 1024;
        if requests.len() > UIO_MAXIOV {
            return self.send(&datagram(requests));
        }
        let parts: Vec<IoSlice<'_>> = requests
            .iter()
            .map(|request| IoSlice::new(request.bytes()))
            .collect();
        loop {
            let sent =
                socket::sendmsg::<()>(self.fd.as_raw_fd(), &parts, &[], MsgFlags::empty(), None);
            match sent {
                Err(Errno::EINTR) => {}
                sent => {
                    sent.call(|| format!("sendmsg({})", self.family))?;
                    return Ok(());
                }
            }
        }
    }

    /// Hands every message that arrives to `see`, until it says false.
    fn receive(&mut self, mut see: impl FnMut(&Message<'_>) -> bool) -> Result<(), Error> {
        loop {
            let length =
                match socket::recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                    Ok(length) => length,
                    Err(Errno::EINTR) => continue,
                    Err(errno) => {
                        return Err(errno)
                            .call(|| format!("recv({})", self.family))
                            .map_err(Error::from);
                    }
                };
            let mut rest = &self.buffer[..length];
            while let Some((message, next)) = split(rest) {
                if !see(&message) {
                    return Ok(());
                }
                rest = next;
            }
            if length > BUFFER_AT_FIRST / 4 {
                self.buffer.resize(BUFFER, 0);
            }
        }
    }
}

/// All of them, one after the other.
fn datagram(requests: &[Request]) -> Vec<u8> {
    let parts: Vec<&[u8]> = requests.iter().map(Request::bytes).collect();
    parts.concat()
}
