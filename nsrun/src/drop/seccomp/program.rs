//! A classic BPF program out of a filter; seccomp(2). Pure.
//!
//! The kernel compiles the program when it is installed, and runs it for every number there is to see which calls are always
//! allowed: what it takes, a tenth of a millisecond, is the length of the program and of the way to each number. So calls
//! with the same answer share one instruction that returns it, and the search begins where it halves the numbers, not the
//! verdicts.

#[cfg(test)]
pub(crate) mod tests;

use super::filter::{Action, Compare, Filter, Op, Rule, Segment};

/// One instruction: as `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

/// AUDIT_ARCH_… of linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCH: u32 = 0xc000_00f3;

/// Places in `struct seccomp_data`, in bytes.
const NR_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// The kernel's limit, BPF_MAXINSNS.
const MAX: usize = 4096;

/// How far a jump on a condition reaches, with room for another jump that is put before it.
const REACH: usize = 250;

const LD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JA: u16 = 0x05; // BPF_JMP | BPF_JA
const JEQ: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const RET: u16 = 0x06; // BPF_RET | BPF_K

impl Action {
    /// SECCOMP_RET_… of linux/seccomp.h.
    fn code(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

impl Filter {
    /// The program: which processor, then a search for the call, then its arguments.
    ///
    /// # Errors
    /// It would be longer than the kernel takes.
    pub(crate) fn program(&self) -> Result<Vec<Instruction>, String> {
        let mut writer = Writer::default();
        let segments = self.segments();
        let search = writer.search(&segments);
        writer.before(search);
        let search = writer.straight(LD, NR_AT);
        // Calls of another processor have other numbers. libseccomp kills as well.
        let killed = writer.answer(Action::KillProcess);
        writer.jump(JEQ, ARCH, search, killed);
        writer.straight(LD, ARCH_AT);
        writer.finish()
    }
}

/// A place in the program: how many instructions there are from it to the end.
type Place = usize;

/// Writes from the last instruction to the first: all jumps lead forward, so each knows where it leads.
#[derive(Default)]
struct Writer {
    backwards: Vec<Instruction>,
    /// Where the nearest instruction with an answer is.
    answers: Vec<(Action, Place)>,
}

impl Writer {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Place {
        self.backwards.push(Instruction { code, jt, jf, k });
        self.backwards.len()
    }

    /// One that goes on with the one that was written before.
    fn straight(&mut self, code: u16, k: u32) -> Place {
        self.push(code, 0, 0, k)
    }

    /// How many instructions a jump that is written next has to leave out to get to `place`.
    fn distance(&self, place: Place) -> usize {
        self.backwards.len() - place
    }

    /// `place`, or a jump to it that a condition reaches.
    fn near(&mut self, place: Place) -> Place {
        match self.distance(place) {
            distance if distance > REACH => self.push(JA, 0, 0, distance as u32),
            _ => place,
        }
    }

    /// Sees to it that what is written next goes on at `place`.
    fn before(&mut self, place: Place) {
        if self.distance(place) > 0 {
            let distance = self.distance(place) as u32;
            self.push(JA, 0, 0, distance);
        }
    }

    /// A comparison, and where it goes on.
    fn jump(&mut self, code: u16, k: u32, yes: Place, no: Place) -> Place {
        let (yes, no) = (self.near(yes), self.near(no));
        let distance = |place| u8::try_from(self.distance(place)).unwrap_or(u8::MAX);
        let (jt, jf) = (distance(yes), distance(no));
        self.push(code, jt, jf, k)
    }

    fn answer(&mut self, action: Action) -> Place {
        let found = self.answers.iter().rposition(|(other, _)| *other == action);
        if let Some(place) = found.map(|at| self.answers[at].1)
            && self.distance(place) <= REACH
        {
            return place;
        }
        let place = self.straight(RET, action.code());
        self.answers.push((action, place));
        place
    }

    /// The search among `segments`, none of which is empty.
    fn search(&mut self, segments: &[Segment<'_>]) -> Place {
        match segments {
            [] => self.answer(Action::KillProcess),
            [segment] => self.verdict(segment.rules, segment.otherwise),
            // One number is another than those around it.
            [below, one, above] if one.count == 1 && is_same(below, above) => {
                let others = self.verdict(below.rules, below.otherwise);
                let this = self.verdict(one.rules, one.otherwise);
                self.jump(JEQ, one.first, this, others)
            }
            _ => {
                let (below, above) = segments.split_at(middle(segments));
                let first = above[0].first;
                let above = self.search(above);
                let below = self.search(below);
                self.jump(JGE, first, above, below)
            }
        }
    }

    fn verdict(&mut self, rules: &[Rule], otherwise: Action) -> Place {
        let mut next = self.answer(otherwise);
        for rule in rules.iter().rev() {
            let mut met = self.answer(rule.action);
            for condition in rule.conditions.iter().rev() {
                met = self.compare(condition, met, next);
            }
            next = met;
        }
        next
    }

    /// Where the comparison begins that goes on at `met` or `unmet`.
    fn compare(&mut self, compare: &Compare, met: Place, unmet: Place) -> Place {
        let at = ARGUMENTS_AT + 8 * u32::from(compare.index);
        let halves = |value: u64| ((value >> 32) as u32, value as u32);
        let (high, low) = halves(compare.value);
        let (two_high, two_low) = halves(compare.value_two);
        // The lower half decides when the upper ones are equal; little endian, as all processors that nsrun is built for.
        let (code, k, yes, no) = match compare.op {
            Op::Eq | Op::LowEq => (JEQ, low, met, unmet),
            Op::MaskedEq => (JEQ, two_low, met, unmet),
            Op::Ne => (JEQ, low, unmet, met),
            Op::Gt => (JGT, low, met, unmet),
            Op::Ge => (JGE, low, met, unmet),
            Op::Lt => (JGE, low, unmet, met),
            Op::Le => (JGT, low, unmet, met),
        };
        self.jump(code, k, yes, no);
        if compare.op == Op::MaskedEq {
            self.straight(AND, low);
        }
        let lower = self.straight(LD, at);
        match compare.op {
            Op::LowEq => return lower,
            Op::Eq => self.jump(JEQ, high, lower, unmet),
            Op::Ne => self.jump(JEQ, high, lower, met),
            Op::MaskedEq => {
                self.jump(JEQ, two_high, lower, unmet);
                self.straight(AND, high)
            }
            Op::Gt | Op::Ge => {
                let equal = self.jump(JEQ, high, lower, unmet);
                self.jump(JGT, high, met, equal)
            }
            Op::Lt | Op::Le => {
                let equal = self.jump(JEQ, high, lower, met);
                self.jump(JGT, high, unmet, equal)
            }
        };
        self.straight(LD, at + 4)
    }

    fn finish(mut self) -> Result<Vec<Instruction>, String> {
        self.backwards.reverse();
        let length = self.backwards.len();
        if length > MAX {
            return Err(format!(
                "{length} instructions, and the kernel takes {MAX} at most"
            ));
        }
        Ok(self.backwards)
    }
}

fn is_same(one: &Segment<'_>, other: &Segment<'_>) -> bool {
    one.rules == other.rules && one.otherwise == other.otherwise
}

/// Where as many numbers are below as above; there are two segments at least.
fn middle(segments: &[Segment<'_>]) -> usize {
    let all: u32 = segments.iter().map(|segment| segment.count).sum();
    let mut below = 0;
    let uneven = |(at, segment): (usize, &Segment<'_>)| {
        below += segment.count;
        (below.abs_diff(all - below), at + 1)
    };
    let splits = segments[..segments.len() - 1].iter().enumerate();
    splits.map(uneven).min().map_or(1, |(_, at)| at)
}
