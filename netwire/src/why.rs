//! `why`: what stands between a pod and what it wants to reach.
//!
//! The way of a packet is walked in the order in which the kernel would: name, lo, route, the pod's own rules, the host's end, the
//! host's rules and routes, translation, tracked connections, and at last one connection is tried. The first thing that stands
//! in the way for sure is the answer. What only might (rules that are not understood, no way back) counts when that
//! connection gets no answer.

#[cfg(test)]
mod bad_input;
mod dns;
mod forwarded;
mod kernel;
mod machine;
mod probe;
mod registers;
mod rules;
mod target;
mod tracked;
mod walk;

use record::Record;
use serde_json::{Value, json};

use crate::cli::WhyArgs;
use crate::error::Error;

pub(crate) use target::Target;

/// How far a step lets the packet go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Maybe it is not.
    Doubtful,
    Closed,
}

/// One step, and what is found there.
#[derive(Debug, Clone)]
struct Step {
    name: &'static str,
    way: Way,
    text: String,
}

/// All steps that were walked, and the one that is the answer.
#[derive(Debug, Default)]
struct Walk {
    steps: Vec<Step>,
    answer: Option<usize>,
}

impl Walk {
    fn add(&mut self, name: &'static str, way: Way, text: impl Into<String>) {
        let text = text.into();
        self.steps.push(Step { name, way, text });
    }

    fn open(&mut self, name: &'static str, text: impl Into<String>) {
        self.add(name, Way::Open, text);
    }

    fn doubt(&mut self, name: &'static str, text: impl Into<String>) {
        self.add(name, Way::Doubtful, text);
    }

    /// What stands in the way for sure: nothing after it is reached.
    fn close(&mut self, name: &'static str, text: impl Into<String>) {
        self.add(name, Way::Closed, text);
        self.answer.get_or_insert(self.steps.len() - 1);
    }

    fn is_closed(&self) -> bool {
        self.answer.is_some()
    }

    /// Nothing came back: the first doubt was right.
    fn believe_doubts(&mut self) -> bool {
        let doubt = |step: &Step| step.way == Way::Doubtful;
        self.answer = self.answer.or(self.steps.iter().position(doubt));
        self.is_closed()
    }

    fn finding(&self) -> Option<&Step> {
        self.steps.get(self.answer?)
    }
}

/// What is to be printed, and whether nothing stands in the way.
pub(crate) fn why(record: &Record, args: &WhyArgs) -> Result<(String, bool), Error> {
    let walk = walk::walk(record, &args.target)?;
    let text = match args.json {
        true => format!("{}\n", to_json(record, args, &walk)),
        false => to_text(&walk, args.verbose),
    };
    Ok((text, walk.finding().is_none()))
}

fn to_text(walk: &Walk, verbose: bool) -> String {
    let mut text = String::new();
    for (at, step) in walk.steps.iter().enumerate().filter(|_| verbose) {
        let mark = match step.way {
            _ if walk.answer == Some(at) => "NO",
            Way::Open => "ok",
            Way::Doubtful => "?",
            Way::Closed => "no",
        };
        text += &format!("{mark:<3} {:<10} {}\n", step.name, step.text);
    }
    match walk.finding() {
        Some(step) => text + &format!("{}: {}\n", step.name, step.text),
        None => text + "nothing stands in the way\n",
    }
}

fn to_json(record: &Record, args: &WhyArgs, walk: &Walk) -> Value {
    let object = |step: &Step| {
        let way = match step.way {
            Way::Open => "open",
            Way::Doubtful => "doubtful",
            Way::Closed => "closed",
        };
        json!({"step": step.name, "way": way, "text": step.text})
    };
    let finding = walk.finding();
    json!({
        "id": record.id(),
        "target": args.target.to_string(),
        "ok": finding.is_none(),
        "finding": finding.map(|step| json!({"step": step.name, "text": step.text})),
        "steps": walk.steps.iter().map(object).collect::<Vec<_>>(),
    })
}
