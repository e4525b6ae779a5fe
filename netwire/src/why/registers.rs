//! Registers of nf_tables, of which each byte is known or not, and the steps that compare them.

use crate::nft::{find, number};

/// One byte, known or not.
pub(super) type Byte = Option<u8>;

/// Does a step allow the next?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Yes,
    No,
    Maybe,
    Verdict(i32, Option<String>),
}

/// `NFT_REG_1` to 4 have 16 bytes each, `NFT_REG32_00` to 15 are the same in words.
pub(super) fn register(number: u32) -> Option<usize> {
    match number {
        1..=4 => Some((number as usize - 1) * 16),
        8..=23 => Some((number as usize - 8) * 4),
        _ => None,
    }
}

pub(super) fn known(bytes: &[u8]) -> Vec<Byte> {
    bytes.iter().map(|byte| Some(*byte)).collect()
}

/// Fills whole words: what is behind is 0, and nothing at all is not known.
pub(super) fn put(registers: &mut [Byte; 64], at: usize, bytes: &[Byte]) {
    let end = at + bytes.len().next_multiple_of(4).max(4);
    for (place, register) in registers.iter_mut().enumerate().take(end).skip(at) {
        *register = match bytes.get(place - at) {
            Some(byte) => *byte,
            None if bytes.is_empty() => None,
            None => Some(0),
        };
    }
}

pub(super) fn compare(name: &str, data: &[u8], registers: &[Byte; 64]) -> Step {
    let get = |kind| find(data, kind).and_then(number);
    let value = |kind| find(data, kind).and_then(|value| find(value, 1));
    let (Some(from), Some(operation), Some(first)) = (get(1).and_then(register), get(2), value(3))
    else {
        return Step::Maybe;
    };
    let is = registers.get(from..from + first.len()).unwrap_or_default();
    // A byte that differs tells, whatever the others are.
    let differs = is
        .iter()
        .zip(first)
        .any(|(is, wanted)| is.is_some_and(|is| is != *wanted));
    let all: Option<Vec<u8>> = is.iter().copied().collect();
    let answer = match (name, operation, all) {
        ("cmp", 0, _) if differs => false,
        ("cmp", 1, _) if differs => true,
        (_, _, None) => return Step::Maybe,
        ("range", operation, Some(is)) => {
            let last = value(4).unwrap_or_default();
            let within = first <= is.as_slice() && is.as_slice() <= last;
            within == (operation == 0)
        }
        (_, operation, Some(is)) => match operation {
            0 => is == first,
            1 => is != first,
            2 => is.as_slice() < first,
            3 => is.as_slice() <= first,
            4 => is.as_slice() > first,
            _ => is.as_slice() >= first,
        },
    };
    if answer { Step::Yes } else { Step::No }
}

pub(super) fn bitwise(data: &[u8], registers: &mut [Byte; 64]) {
    let get = |kind| find(data, kind).and_then(number);
    let value = |kind| find(data, kind).and_then(|value| find(value, 1));
    let (Some(from), Some(to)) = (get(1).and_then(register), get(2).and_then(register)) else {
        return;
    };
    let length = get(3).unwrap_or_default() as usize;
    let (mask, xor) = (value(4), value(5));
    let shifted = get(6).unwrap_or_default() != 0;
    let bytes: Vec<Byte> = (0..length.min(64 - from))
        .map(|at| {
            let (mask, xor) = (*mask?.get(at)?, *xor?.get(at)?);
            match (registers[from + at], mask) {
                _ if shifted => None,
                (_, 0) => Some(xor),
                (byte, mask) => Some((byte? & mask) ^ xor),
            }
        })
        .collect();
    put(registers, to, &bytes);
}

pub(super) fn of_verdict(verdict: &[u8]) -> Step {
    let code = find(verdict, 1).and_then(number).unwrap_or_default();
    let to = find(verdict, 2).and_then(crate::netlink::string);
    Step::Verdict(code.cast_signed(), to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::Attributes;

    #[test]
    fn registers_are_words_and_fours_of_words() {
        assert_eq!((register(1), register(2)), (Some(0), Some(16)));
        assert_eq!((register(8), register(12)), (Some(0), Some(16)));
        assert_eq!((register(0), register(24)), (None, None));
    }

    #[test]
    fn what_is_not_known_is_a_maybe_and_a_difference_is_one() {
        let mut registers: [Byte; 64] = [None; 64];
        put(&mut registers, 0, &[Some(10), None]);
        let cmp = |operation, value: &[u8]| {
            let value = Attributes::default().bytes(1, value);
            let data = Attributes::default().number(1, 1).number(2, operation);
            compare("cmp", &data.nested(3, &value).0, &registers)
        };
        assert_eq!(cmp(0, &[10]), Step::Yes);
        assert_eq!(cmp(0, &[10, 1]), Step::Maybe);
        assert_eq!(cmp(0, &[11, 1]), Step::No);
        assert_eq!(cmp(1, &[11, 1]), Step::Yes);
        assert_eq!(cmp(2, &[11]), Step::Yes);
        assert_eq!(cmp(4, &[11]), Step::No);
    }

    #[test]
    fn a_mask_of_zero_needs_no_byte() {
        let mut registers: [Byte; 64] = [None; 64];
        put(&mut registers, 0, &[Some(0xff), None, None, Some(1)]);
        let value = |bytes: [u8; 4]| Attributes::default().bytes(1, &bytes);
        let data = Attributes::default().number(1, 1).number(2, 2).number(3, 4);
        let data = data
            .nested(4, &value([0x0f, 0, 1, 0]))
            .nested(5, &value([0, 7, 0, 0]));
        bitwise(&data.0, &mut registers);
        assert_eq!(registers[16..20], [Some(0x0f), Some(7), None, Some(0)]);
    }
}
