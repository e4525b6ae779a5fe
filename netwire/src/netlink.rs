//! Requests to rtnetlink(7) and to nfnetlink, many in one system call.
//!
//! netlink-packet-route builds the bodies of the former, [`crate::nft`] those of the latter; what comes back is read here,
//! as far as it is needed.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use netlink_packet_core::{Emitable, NlasIterator};
use nix::errno::Errno;
use nix::sys::socket::sockopt::SndBufForce;
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType};
use sys::Call;

use crate::error::{Error, Refused};
use crate::nft;
use crate::sys::setsockopt_netlink;

/// Who may change anything.
pub(crate) const NEEDS_NET_ADMIN: &str = "needs CAP_NET_ADMIN";

/// struct nlmsghdr of linux/netlink.h.
const HEADER: usize = 16;
/// Datagrams of a dump are no larger than what we offer to read, and the kernel stops at 32 KiB.
const BUFFER: usize = 32 << 10;

const NLM_F_REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const NLM_F_ACK: u16 = libc::NLM_F_ACK as u16;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;

/// One request, complete but for its number.
#[derive(Debug)]
pub(crate) struct Request {
    /// The message and what it asks for, in ip(8)'s words.
    pub(crate) call: String,
    bytes: Vec<u8>,
}

impl Request {
    /// A message of type `kind` (`RTM_…`, whose `name` begins the error it may meet).
    pub(crate) fn new(name: &str, what: &str, kind: u16, flags: i32, body: &impl Emitable) -> Self {
        let mut bytes = vec![0; body.buffer_len()];
        body.emit(&mut bytes);
        Self::raw(name, what, kind, flags, &bytes)
    }

    /// The same with a body that is built already.
    pub(crate) fn raw(name: &str, what: &str, kind: u16, flags: i32, body: &[u8]) -> Self {
        let length = HEADER + body.len();
        let mut bytes = vec![0; length.next_multiple_of(4)];
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = NLM_F_REQUEST | u16::try_from(flags).unwrap_or_default();
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes[HEADER..length].copy_from_slice(body);
        Self {
            call: format!("{name}({what})"),
            bytes,
        }
    }

    fn number(&mut self, sequence: u32, ack: bool) {
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        if ack {
            let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | NLM_F_ACK;
            self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        }
    }

    /// Whether it asks, and changes nothing.
    pub(crate) fn is_question(&self) -> bool {
        self.call.starts_with("RTM_GET")
            || self.call.contains("_MSG_GET")
            || self.call.contains("_CT_GET")
    }

    /// The error this request met.
    pub(crate) fn refused(&self, errno: Errno, text: Option<String>) -> Error {
        let hint = (errno == Errno::EPERM).then_some(NEEDS_NET_ADMIN);
        Error::Refused(Refused {
            call: self.call.clone(),
            errno,
            text,
            hint,
        })
    }
}

/// A netlink socket: it acts on the network namespace it was opened in, whoever uses it.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    /// Its family, for messages: `NETLINK_ROUTE`.
    family: &'static str,
    sequence: u32,
    verbose: bool,
    buffer: Vec<u8>,
}

/// One message from the kernel.
struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
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
                    error.hint("needs nf_tables in the kernel").into()
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
        Ok(Self {
            fd,
            family,
            sequence: 0,
            verbose,
            buffer: vec![0; BUFFER],
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

    fn say(&self, requests: &[Request]) {
        // questions are no steps
        let steps = requests
            .iter()
            .filter(|request| self.verbose && !request.is_question());
        for request in steps {
            record::report("netwire", &request.call);
        }
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
        let bytes = datagram(&all);
        self.make_room(bytes.len())?;
        self.send(&bytes)?;
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
        self.send(&request.bytes)?;
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
        }
    }
}

/// All of them, one after the other.
fn datagram(requests: &[Request]) -> Vec<u8> {
    let parts: Vec<&[u8]> = requests.iter().map(|request| &request.bytes[..]).collect();
    parts.concat()
}

/// The first message of `bytes`, and what follows it. None: no (further) whole message.
fn split(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let payload = bytes.get(HEADER..length)?;
    let message = Message {
        kind: u16_at(bytes, 4)?,
        flags: u16_at(bytes, 6)?,
        sequence: u32_at(bytes, 8)?,
        payload,
    };
    Some((
        message,
        bytes.get(length.next_multiple_of(4)..).unwrap_or_default(),
    ))
}

/// What an `NLMSG_ERROR` says: 0 is "done"; else the errno and, behind a copy of the request's header, maybe a text.
fn answer(message: &Message<'_>) -> Result<(), (Errno, Option<String>)> {
    let code = u32_at(message.payload, 0).unwrap_or_default().cast_signed();
    if code == 0 {
        return Ok(());
    }
    // The whole request comes back unless the answer is capped.
    let request = match message.flags & NLM_F_CAPPED {
        0 => u32_at(message.payload, 4).unwrap_or_default() as usize,
        _ => HEADER,
    };
    let attributes = message
        .payload
        .get(4 + request.next_multiple_of(4)..)
        .unwrap_or_default();
    let mut text = None;
    if message.flags & NLM_F_ACK_TLVS != 0 {
        for attribute in NlasIterator::new(attributes).flatten() {
            if attribute.kind() == NLMSGERR_ATTR_MSG {
                text = string(attribute.value());
            }
        }
    }
    Err((Errno::from_raw(code.saturating_neg()), text))
}

/// The text of an attribute, without its NUL.
pub(crate) fn string(bytes: &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8(bytes[..end].to_vec()).ok()
}

/// The native 16 bits at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_ne_bytes)
}

/// The native 32 bits at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_ne_bytes)
}

/// The native 64 bits at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at + 8)?
        .try_into()
        .ok()
        .map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + payload.len())
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([7, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn messages_are_taken_apart_and_a_cut_one_is_none() {
        let mut bytes = message(16, 0, &[1, 2, 3]);
        bytes.extend(message(3, 2, &[]));
        let (first, rest) = split(&bytes).unwrap();
        assert_eq!((first.kind, first.payload), (16, &[1, 2, 3][..]));
        let (second, rest) = split(rest).unwrap();
        assert_eq!(
            (second.kind, second.flags, second.sequence, rest.len()),
            (3, 2, 7, 0)
        );
        for end in 0..19 {
            assert!(split(&bytes[..end]).is_none(), "{end}");
        }
        assert!(split(&[0; 16]).is_none(), "a length of 0 must not loop");
    }

    #[test]
    fn the_kernels_own_words_are_read() {
        let mut payload = (-libc::EINVAL).to_ne_bytes().to_vec();
        payload.extend([0; HEADER]);
        payload.extend([9, 0, 1, 0]);
        payload.extend(b"boom\0");
        let bytes = message(NLMSG_ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, &payload);
        let (refused, _) = split(&bytes).unwrap();
        assert_eq!(answer(&refused), Err((Errno::EINVAL, Some("boom".into()))));
        let bytes = message(NLMSG_ERROR, 0, &[0; 20]);
        let (done, _) = split(&bytes).unwrap();
        assert_eq!(answer(&done), Ok(()));
    }

    #[test]
    fn no_answer_makes_it_panic() {
        for length in 0..40 {
            for fill in [0_u8, 1, 255] {
                let bytes = message(NLMSG_ERROR, NLM_F_ACK_TLVS, &vec![fill; length]);
                if let Some((message, _)) = split(&bytes) {
                    let _ = answer(&message);
                }
            }
        }
    }
}
