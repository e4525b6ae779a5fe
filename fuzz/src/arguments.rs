//! Every option of a command line with values that are none.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::{Arg, ArgAction, Command};

use crate::mutate::Mutator;
use crate::target::{self, Target};

/// Calls `parse` with command lines of `command`: each verb, each of its options in turn, with a value from the corpus of
/// `name` (a value on each line) that was changed. An option that is added is tried without being named here.
///
/// # Panics
/// When `parse` does, or takes too much.
pub fn arguments(name: &'static str, command: Command, mut parse: impl FnMut(&[OsString])) {
    let mut lines = Vec::new();
    collect(
        &command,
        &mut vec![command.get_name().to_owned()],
        &mut lines,
    );
    assert!(lines.len() > 5, "{name}: no options were found");
    let mut mutator = Mutator::new(target::seed());
    let per_option = 25;
    Target::new(name)
        .cases(lines.len() * per_option)
        .run(|input| {
            // Of the whole corpus one line is the value, which is changed with the rest.
            let values: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
            let value = values[mutator.below(values.len())].to_vec();
            let line = &lines[mutator.below(lines.len())];
            let mut words: Vec<OsString> = line.words.iter().map(OsString::from).collect();
            words.extend(line.with(OsString::from_vec(value), mutator.below(2) == 0));
            parse(&words);
        });
}

/// One option of one verb.
struct Line {
    words: Vec<String>,
    /// None: an operand.
    option: Option<String>,
}

impl Line {
    fn with(&self, value: OsString, attached: bool) -> Vec<OsString> {
        match &self.option {
            Some(option) if attached => {
                let mut word = OsString::from(format!("{option}="));
                word.push(value);
                vec![word]
            }
            Some(option) => vec![option.into(), value],
            None => vec![value],
        }
    }
}

fn collect(command: &Command, words: &mut Vec<String>, lines: &mut Vec<Line>) {
    let takes_value =
        |argument: &&Arg| matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    for argument in command.get_arguments().filter(takes_value) {
        let long = argument.get_long().map(|long| format!("--{long}"));
        let short = argument.get_short().map(|short| format!("-{short}"));
        lines.push(Line {
            words: words.clone(),
            option: long.or(short),
        });
    }
    for verb in command.get_subcommands() {
        words.push(verb.get_name().to_owned());
        collect(verb, words, lines);
        words.pop();
    }
}
