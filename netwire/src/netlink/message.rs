//! What comes back: messages in a datagram, the errors among them, and numbers in their payload.

use netlink_packet_core::NlasIterator;
use nix::errno::Errno;

/// struct nlmsghdr of linux/netlink.h.
pub(super) const HEADER: usize = 16;

pub(super) const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;
pub(super) const NLMSG_DONE: u16 = libc::NLMSG_DONE as u16;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// One message from the kernel.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

/// The first message of `bytes`, and what follows it. None: no (further) whole message.
pub(super) fn split(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
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
pub(super) fn answer(message: &Message<'_>) -> Result<(), (Errno, Option<String>)> {
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

/// Every message of a datagram that may be anything.
#[cfg(test)]
pub(crate) fn each(mut bytes: &[u8], mut look: impl FnMut(&[u8])) {
    while let Some((message, rest)) = split(bytes) {
        if message.kind == NLMSG_ERROR {
            let _ = answer(&message);
        }
        look(message.payload);
        assert!(
            rest.len() < bytes.len(),
            "the next message is behind this one"
        );
        bytes = rest;
    }
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
