//! A classic BPF program out of verdicts about system calls; seccomp(2). Pure.

use syscalls::Sysno;

/// What the kernel does about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Allow,
    /// The call fails with this errno.
    Errno(u16),
    KillProcess,
    KillThread,
    /// SIGSYS
    Trap,
    /// Allowed, and in the audit log.
    Log,
    /// For a tracer, with this message.
    Trace(u16),
}

/// How an argument is compared; as the libseccomp manual names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// `argument & value == value_two`
    MaskedEq,
    /// The lower 32 bits only: all that the kernel looks at in an ioctl(2) request or a socket(2) family.
    LowEq,
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compare {
    /// 0 to 5
    pub(crate) index: u8,
    pub(crate) op: Op,
    pub(crate) value: u64,
    pub(crate) value_two: u64,
}

/// An action for the calls whose arguments meet all conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) conditions: Vec<Compare>,
    pub(crate) action: Action,
}

/// What becomes of one call: the first rule that fits, else the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) rules: Vec<Rule>,
    pub(crate) otherwise: Action,
}

/// Verdicts about all calls of one processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Those that differ. The first is about the numbers that got none.
    verdicts: Vec<Verdict>,
    /// For each number the place of its verdict. Numbers beyond are calls of a later kernel.
    places: Vec<u16>,
    /// About those.
    pub(crate) beyond: Action,
}

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

impl Verdict {
    /// The same whatever the arguments are.
    pub(crate) fn always(action: Action) -> Self {
        Self {
            rules: Vec::new(),
            otherwise: action,
        }
    }
}

fn instruction(code: u16, k: u32) -> Instruction {
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Where a comparison goes on.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The next instruction.
    On,
    /// Behind this condition: it is met.
    Met,
    /// Behind this rule.
    Unmet,
}

impl Compare {
    /// The instructions, and for each where it goes on when its comparison holds and when not.
    fn code(&self) -> Vec<(Instruction, Way, Way)> {
        use Way::{Met, On, Unmet};
        let at = ARGUMENTS_AT + 8 * u32::from(self.index);
        // Little endian, as all processors that nsrun is built for.
        let (low, high) = (
            (instruction(LD, at), On, On),
            (instruction(LD, at + 4), On, On),
        );
        let halves = |value: u64| ((value >> 32) as u32, value as u32);
        let (value_high, value_low) = halves(self.value);
        let jump = |code, k, yes, no| (instruction(code, k), yes, no);
        match self.op {
            Op::LowEq => vec![low, jump(JEQ, value_low, Met, Unmet)],
            Op::Eq => vec![
                high,
                jump(JEQ, value_high, On, Unmet),
                low,
                jump(JEQ, value_low, Met, Unmet),
            ],
            Op::Ne => vec![
                high,
                jump(JEQ, value_high, On, Met),
                low,
                jump(JEQ, value_low, Unmet, Met),
            ],
            Op::Gt | Op::Ge => {
                let last = if self.op == Op::Gt { JGT } else { JGE };
                vec![
                    high,
                    jump(JGT, value_high, Met, On),
                    jump(JEQ, value_high, On, Unmet),
                    low,
                    jump(last, value_low, Met, Unmet),
                ]
            }
            Op::Lt | Op::Le => {
                let last = if self.op == Op::Lt { JGE } else { JGT };
                vec![
                    high,
                    jump(JGT, value_high, Unmet, On),
                    jump(JEQ, value_high, On, Met),
                    low,
                    jump(last, value_low, Unmet, Met),
                ]
            }
            Op::MaskedEq => {
                let (two_high, two_low) = halves(self.value_two);
                vec![
                    high,
                    jump(AND, value_high, On, On),
                    jump(JEQ, two_high, On, Unmet),
                    low,
                    jump(AND, value_low, On, On),
                    jump(JEQ, two_low, Met, Unmet),
                ]
            }
        }
    }
}

impl Rule {
    fn code(&self) -> Result<Vec<Instruction>, String> {
        let conditions: Vec<_> = self.conditions.iter().map(Compare::code).collect();
        let length: usize = conditions.iter().map(Vec::len).sum();
        let mut program = Vec::with_capacity(length + 1);
        for condition in conditions {
            let end = program.len() + condition.len();
            for (mut instruction, yes, no) in condition {
                let here = program.len() + 1;
                let distance = |way| match way {
                    Way::On => Some(0),
                    Way::Met => u8::try_from(end - here).ok(),
                    // over the action too
                    Way::Unmet => u8::try_from(length + 1 - here).ok(),
                };
                let (Some(jt), Some(jf)) = (distance(yes), distance(no)) else {
                    return Err("a rule has too many conditions".into());
                };
                if matches!(instruction.code, JEQ | JGT | JGE) {
                    (instruction.jt, instruction.jf) = (jt, jf);
                }
                program.push(instruction);
            }
        }
        program.push(instruction(RET, self.action.code()));
        Ok(program)
    }
}

impl Filter {
    /// The same about all numbers up to `last`, and about those beyond.
    pub(crate) fn new(default: Action, last: u32, beyond: Action) -> Self {
        Self {
            verdicts: vec![Verdict::always(default)],
            places: vec![0; last as usize + 1],
            beyond,
        }
    }

    /// A verdict about one number, which the filter has to know.
    pub(crate) fn set(&mut self, number: u32, verdict: Verdict) {
        let found = self.verdicts.iter().position(|other| *other == verdict);
        let place = found.unwrap_or_else(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        });
        if let Some(entry) = self.places.get_mut(number as usize) {
            // There are fewer calls than that, and so fewer verdicts.
            *entry = place as u16;
        }
    }

    /// The program: which processor, then a binary search for the call, then its arguments.
    ///
    /// # Errors
    /// It would be longer than the kernel takes.
    pub(crate) fn program(&self) -> Result<Vec<Instruction>, String> {
        let mut program = vec![
            instruction(LD, ARCH_AT),
            Instruction {
                code: JEQ,
                jt: 1,
                jf: 0,
                k: ARCH,
            },
            // Calls of another processor have other numbers. libseccomp kills as well.
            instruction(RET, Action::KillProcess.code()),
            instruction(LD, NR_AT),
        ];
        search(&self.segments(), &mut program)?;
        if program.len() > MAX {
            return Err(format!(
                "{} instructions, and the kernel takes {MAX} at most",
                program.len()
            ));
        }
        Ok(program)
    }

    /// Whatever the arguments are, `call` does not happen.
    pub(crate) fn refuses(&self, call: Sysno) -> bool {
        let verdict = self.verdict(call.id().cast_unsigned());
        let happens = |action| matches!(action, Action::Allow | Action::Log | Action::Trace(_));
        verdict.is_some_and(|verdict| {
            !happens(verdict.otherwise) && !verdict.rules.iter().any(|rule| happens(rule.action))
        })
    }

    /// What becomes of `number`. None: it is beyond.
    pub(crate) fn verdict(&self, number: u32) -> Option<&Verdict> {
        let place = self.places.get(number as usize)?;
        self.verdicts.get(usize::from(*place))
    }

    /// The numbers at which another verdict begins; those between are as the one before.
    fn segments(&self) -> Vec<Segment<'_>> {
        let mut segments: Vec<Segment<'_>> = Vec::with_capacity(self.places.len());
        for (number, place) in self.places.iter().enumerate() {
            if number == 0 || self.places[number - 1] != *place {
                let verdict = &self.verdicts[usize::from(*place)];
                segments.push((number as u32, &verdict.rules, verdict.otherwise));
            }
        }
        segments.push((self.places.len() as u32, &[], self.beyond));
        segments
    }
}

/// The first number, and what becomes of it and the next ones.
type Segment<'a> = (u32, &'a [Rule], Action);

/// Appends the search among `segments`.
fn search(segments: &[Segment<'_>], program: &mut Vec<Instruction>) -> Result<(), String> {
    if let [(_, rules, otherwise)] = segments {
        for rule in *rules {
            program.extend(rule.code()?);
        }
        program.push(instruction(RET, otherwise.code()));
        return Ok(());
    }
    let (below, above) = segments.split_at(segments.len() / 2);
    let mut left = Vec::with_capacity(4 * below.len());
    search(below, &mut left)?;
    let k = above[0].0;
    // A jump on a condition reaches 255 instructions, one without a condition all.
    let jump = |jt, jf| Instruction {
        code: JGE,
        jt,
        jf,
        k,
    };
    match u8::try_from(left.len()) {
        Ok(jt) => program.push(jump(jt, 0)),
        Err(_) => program.extend([jump(0, 1), instruction(JA, left.len() as u32)]),
    }
    program.extend(left);
    search(above, program)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel's interpreter answers.
    pub(crate) fn answer(
        program: &[Instruction],
        arch: u32,
        number: u32,
        arguments: [u64; 6],
    ) -> u32 {
        let word = |at: u32| match at {
            NR_AT => number,
            ARCH_AT => arch,
            _ => {
                let argument = arguments[(at as usize - 16) / 8];
                if at.is_multiple_of(8) {
                    argument as u32
                } else {
                    (argument >> 32) as u32
                }
            }
        };
        let (mut at, mut a) = (0, 0_u32);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let holds = match code {
                LD => {
                    a = word(k);
                    continue;
                }
                AND => {
                    a &= k;
                    continue;
                }
                JA => {
                    at += k as usize;
                    continue;
                }
                RET => return k,
                JEQ => a == k,
                JGT => a > k,
                JGE => a >= k,
                other => panic!("{other:#x}"),
            };
            at += usize::from(if holds { jt } else { jf });
        }
    }

    /// The same without a program.
    fn expected(filter: &Filter, number: u32, arguments: [u64; 6]) -> Action {
        let beyond = Verdict::always(filter.beyond);
        let verdict = filter.verdict(number).unwrap_or(&beyond);
        let meets = |compare: &Compare| {
            let argument = arguments[usize::from(compare.index)];
            let value = compare.value;
            match compare.op {
                Op::Eq => argument == value,
                Op::Ne => argument != value,
                Op::Lt => argument < value,
                Op::Le => argument <= value,
                Op::Gt => argument > value,
                Op::Ge => argument >= value,
                Op::MaskedEq => argument & value == compare.value_two,
                Op::LowEq => argument as u32 == value as u32,
            }
        };
        let fits = |rule: &&Rule| rule.conditions.iter().all(meets);
        verdict
            .rules
            .iter()
            .find(fits)
            .map_or(verdict.otherwise, |rule| rule.action)
    }

    fn number() -> impl Strategy<Value = u64> {
        // Near each other, so that comparisons come out both ways, in both halves.
        prop_oneof![
            0_u64..4,
            (0_u64..3).prop_map(|high| high << 32),
            (0_u64..3, 0_u64..3).prop_map(|(high, low)| high << 32 | low),
            any::<u64>()
        ]
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            Just(Action::Allow),
            (1_u16..200).prop_map(Action::Errno),
            Just(Action::KillProcess),
            Just(Action::Trap)
        ]
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let op = prop_oneof![
            Just(Op::Eq),
            Just(Op::Ne),
            Just(Op::Lt),
            Just(Op::Le),
            Just(Op::Gt),
            Just(Op::Ge),
            Just(Op::MaskedEq),
            Just(Op::LowEq)
        ];
        let compare =
            (0_u8..6, op, number(), number()).prop_map(|(index, op, value, value_two)| Compare {
                index,
                op,
                value,
                value_two,
            });
        let rule = (proptest::collection::vec(compare, 1..4), action())
            .prop_map(|(conditions, action)| Rule { conditions, action });
        let verdict = (proptest::collection::vec(rule, 0..4), action())
            .prop_map(|(rules, otherwise)| Verdict { rules, otherwise });
        (
            proptest::collection::btree_map(0_u32..40, verdict, 0..30),
            action(),
            action(),
        )
            .prop_map(|(verdicts, default, beyond)| {
                let mut filter = Filter::new(default, 40, beyond);
                for (number, verdict) in verdicts {
                    filter.set(number, verdict);
                }
                filter
            })
    }

    proptest! {
        /// For whatever filter: the program says what the rules say.
        #[test]
        fn a_program_says_what_its_rules_say(
            filter in filter(),
            calls in proptest::collection::vec((0_u32..43, [number(), number(), number(), number(), number(), number()]), 1..60),
        ) {
            let program = filter.program().unwrap();
            for (number, arguments) in calls {
                let expected = expected(&filter, number, arguments).code();
                prop_assert_eq!(answer(&program, ARCH, number, arguments), expected, "{} {:?}", number, arguments);
            }
            prop_assert_eq!(answer(&program, ARCH, 0x4000_0000, [0; 6]), filter.beyond.code());
            prop_assert_eq!(answer(&program, 0x4000_0003, 1, [0; 6]), Action::KillProcess.code());
        }
    }

    #[test]
    fn jumps_that_are_far_reach() {
        // Every other call has another verdict, so the halves are longer than a conditional jump reaches.
        let numbered = |count| {
            let mut filter = Filter::new(Action::Allow, count, Action::Log);
            for number in 0..count {
                filter.set(number, Verdict::always(Action::Errno(number as u16 + 1)));
            }
            filter
        };
        let filter = numbered(600);
        let program = filter.program().unwrap();
        for number in 0..600 {
            assert_eq!(
                answer(&program, ARCH, number, [0; 6]),
                0x0005_0000 | (number + 1)
            );
        }
        assert_eq!(answer(&program, ARCH, 600, [0; 6]), Action::Allow.code());
        let too_long = numbered(3000);
        assert!(too_long.program().unwrap_err().contains("4096 at most"));
    }
}
