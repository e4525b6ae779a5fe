//! True input made false: a few changes at a time, the same ones for the same seed.

/// A source of changes. Not random enough for secrets, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Mutator(u64);

/// Numbers at which something ends.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Words that mean something to some parser, or to a shell.
const WORDS: [&str; 56] = [
    "",
    " ",
    "\0",
    "\n",
    "\t",
    "..",
    "/",
    "//",
    "../../etc/passwd",
    "/proc/self/exe",
    "-",
    "--",
    "-1",
    "+1",
    "0",
    "00",
    "0x10",
    "1e9",
    "1.5",
    ".5",
    "NaN",
    "inf",
    "max",
    "none",
    "all",
    "null",
    "true",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
    "-9223372036854775809",
    "Ki",
    "Gi",
    "E",
    "m",
    "k",
    "%",
    ":",
    ",",
    "=",
    "@",
    "0.0.0.0/0",
    "255.255.255.255",
    "::/0",
    "[::1]:80",
    "fe80::1%eth0",
    "$(id)",
    "`id`",
    ";",
    "\u{feff}",
    "\u{202e}",
    "é",
    "{}",
    "[]",
];

impl Mutator {
    /// With a seed that is not 0.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// xorshift64*, of Marsaglia and Vigna.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let number = self.number() >> 16;
        usize::try_from(number)
            .unwrap_or(0)
            .checked_rem(end)
            .unwrap_or(0)
    }

    /// One of them.
    pub fn pick<'a, T: ?Sized>(&mut self, of: &'a [&T]) -> &'a T {
        of[self.below(of.len())]
    }

    /// A word for a text.
    pub fn word(&mut self) -> &'static str {
        self.pick(&WORDS)
    }

    /// Changes `input` one to six times; `other` may lend a part.
    pub fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(6) {
            self.change_once(input, other);
        }
    }

    fn change_once(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len() + 1);
        let length = self.below((input.len() - at).min(64) + 1);
        match self.below(12) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.number() as u8;
                }
            }
            2 => drop(input.drain(at..at + length)),
            3 => input.truncate(at),
            4 => {
                let part = input[at..at + length].to_vec();
                insert(input, at, &part.repeat(1 + self.below(4)));
            }
            5 => {
                let from = self.below(other.len() + 1);
                let count = self.below((other.len() - from).min(256) + 1);
                let part = other[from..from + count].to_vec();
                insert(input, at, &part);
            }
            6 => self.write_edge(input, at),
            7 => self.change_digits(input, at),
            8 | 9 => {
                let word = self.word();
                input.drain(at..at + length);
                insert(input, at, word.as_bytes());
            }
            10 => {
                // The same word again and again: depth, and length.
                let part = [
                    b"[".as_slice(),
                    b"{\"a\":",
                    b"9",
                    b"a",
                    b"/",
                    b"(",
                    b"\0",
                    b"- ",
                    b" ",
                ][self.below(9)];
                let count = self.below(3000);
                insert(input, at, &part.repeat(count));
            }
            _ => {
                let to = self
                    .below(input.len() + 1)
                    .min(input.len().saturating_sub(length));
                let part: Vec<u8> = input.drain(at..at + length).collect();
                insert(input, to.min(input.len()), &part);
            }
        }
    }

    /// A number of two, four or eight bytes becomes one at which something ends.
    fn write_edge(&mut self, input: &mut [u8], at: usize) {
        let edge = EDGES[self.below(EDGES.len())].wrapping_add([0, 1, u64::MAX][self.below(3)]);
        let width = [1, 2, 4, 8][self.below(4)];
        let bytes = match self.below(2) {
            0 => edge.to_le_bytes()[..width].to_vec(),
            _ => edge.to_be_bytes()[8 - width..].to_vec(),
        };
        if let Some(place) = input.get_mut(at..at + width) {
            place.copy_from_slice(&bytes);
        }
    }

    /// The digits around `at` become another number.
    fn change_digits(&mut self, input: &mut Vec<u8>, at: usize) {
        let Some(begin) = input[at..]
            .iter()
            .position(u8::is_ascii_digit)
            .map(|found| at + found)
        else {
            return;
        };
        let digits = input[begin..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let edge = EDGES[self.below(EDGES.len())].wrapping_add([0, 1, u64::MAX][self.below(3)]);
        drop(input.splice(begin..begin + digits, edge.to_string().into_bytes()));
    }
}

fn insert(input: &mut Vec<u8>, at: usize, part: &[u8]) {
    drop(input.splice(at..at, part.iter().copied()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_changes_and_another_others() {
        let changed = |seed| {
            let mut mutator = Mutator::new(seed);
            let mut all = Vec::new();
            for _ in 0..500 {
                let mut input = b"memory.max=512Mi".to_vec();
                mutator.change(&mut input, b"pids.max=7");
                all.push(input);
            }
            all
        };
        assert_eq!(changed(3), changed(3));
        assert_ne!(changed(3), changed(5));
        let different = changed(3)
            .into_iter()
            .filter(|input| input != b"memory.max=512Mi")
            .count();
        assert!(different > 400, "{different}");
    }

    #[test]
    fn nothing_is_needed_to_change_nothing() {
        let mut mutator = Mutator::new(7);
        for _ in 0..2000 {
            let mut input = Vec::new();
            mutator.change(&mut input, b"");
        }
    }
}
