//! What a program answers, by an interpreter of ours, against what its rules say.

use super::super::filter::Verdict;
use super::*;
use proptest::prelude::*;

/// What the kernel's interpreter answers.
pub(crate) fn answer(program: &[Instruction], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
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
