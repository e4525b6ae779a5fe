//! One request, as bytes, and how it is called when it is refused.

use netlink_packet_core::Emitable;
use nix::errno::Errno;

use super::message::HEADER;
use crate::error::{Error, Refused};

/// Who may change anything.
pub(crate) const NEEDS_NET_ADMIN: &str = "needs CAP_NET_ADMIN";

const NLM_F_REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const NLM_F_ACK: u16 = libc::NLM_F_ACK as u16;

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
        let mut bytes = Vec::with_capacity((HEADER + body.len()).next_multiple_of(4));
        bytes.resize(HEADER, 0);
        bytes.extend(body);
        Self::whole(name, what, kind, flags, bytes)
    }

    /// The same with room for the header before the body.
    pub(crate) fn whole(name: &str, what: &str, kind: u16, flags: i32, mut bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        bytes.resize(length.next_multiple_of(4), 0);
        bytes[..4].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        let flags = NLM_F_REQUEST | u16::try_from(flags).unwrap_or_default();
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        Self {
            call: format!("{name}({what})"),
            bytes,
        }
    }

    pub(super) fn number(&mut self, sequence: u32, ack: bool) {
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        if ack {
            let flags = u16::from_ne_bytes([self.bytes[6], self.bytes[7]]) | NLM_F_ACK;
            self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        }
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
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
