//! What becomes of each system call, as data.

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

/// Numbers that follow each other and share a verdict.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) first: u32,
    /// How many.
    pub(crate) count: u32,
    pub(crate) rules: &'a [Rule],
    pub(crate) otherwise: Action,
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
        self.set_all([number], verdict);
    }

    /// The same verdict about several numbers.
    pub(crate) fn set_all(&mut self, numbers: impl IntoIterator<Item = u32>, verdict: Verdict) {
        let found = self.verdicts.iter().position(|other| *other == verdict);
        let place = found.unwrap_or_else(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        });
        for number in numbers {
            if let Some(entry) = self.places.get_mut(number as usize) {
                // There are fewer calls than that, and so fewer verdicts.
                *entry = place as u16;
            }
        }
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

    /// All numbers in order, the last segment being about those beyond.
    pub(crate) fn segments(&self) -> Vec<Segment<'_>> {
        let mut segments: Vec<Segment<'_>> = Vec::with_capacity(self.places.len() + 1);
        let mut before = None;
        for (number, place) in self.places.iter().enumerate() {
            if before == Some(place)
                && let Some(segment) = segments.last_mut()
            {
                segment.count += 1;
                continue;
            }
            before = Some(place);
            let verdict = &self.verdicts[usize::from(*place)];
            segments.push(Segment {
                first: number as u32,
                count: 1,
                rules: &verdict.rules,
                otherwise: verdict.otherwise,
            });
        }
        segments.push(Segment {
            first: self.places.len() as u32,
            count: 1,
            rules: &[],
            otherwise: self.beyond,
        });
        segments
    }
}
