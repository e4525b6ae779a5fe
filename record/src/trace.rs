//! What `-v` says: one line for each step that was done, in all tools alike, with how long it took.
//!
//! `cgset: mkdir(/sys/fs/cgroup/pod-foo) <0.041 ms>`: the time since the line before, or since the tool began to read its command
//! line, so that the times of a verb add up to all of it. Without `-v` no clock is read.

use std::ffi::OsString;
use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::report;

/// When the last step was said.
static LAST: Mutex<Option<Instant>> = Mutex::new(None);

/// The clock begins to run, if `arguments` may have a `-v`. What CMD takes may look like one; then a clock is read in vain.
pub(crate) fn begin(arguments: &[OsString]) {
    let ours = arguments.iter().skip(1).take_while(|word| *word != "--");
    if ours.map(|word| word.as_encoded_bytes()).any(is_verbose) {
        since_last();
    }
}

fn is_verbose(word: &[u8]) -> bool {
    word == b"--verbose"
        || matches!(word, [b'-', first, ..] if *first != b'-' && word.contains(&b'v'))
}

/// Says on stderr that a step was done.
pub fn trace(tool: &str, step: impl Display) {
    let took = ms(since_last());
    report(tool, format_args!("{step} <{took} ms>"));
}

/// The same of steps that the kernel was asked for at once: each line has the time of all, and how many they are.
pub fn trace_all<S: Display>(tool: &str, steps: &[S]) {
    match steps {
        [] => {}
        [step] => trace(tool, step),
        steps => {
            let (took, count) = (ms(since_last()), steps.len());
            for step in steps {
                report(tool, format_args!("{step} <{took} ms for {count}>"));
            }
        }
    }
}

/// How long ago the last step was; the next one begins now.
fn since_last() -> Duration {
    let now = Instant::now();
    // Nobody panics with it; and what is only said does not fail.
    let last = LAST.lock().ok().and_then(|mut last| last.replace(now));
    last.map_or(Duration::ZERO, |last| now.duration_since(last))
}

fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v_is_found_where_it_may_be_one() {
        for (word, is_one) in [
            ("-v", true),
            ("-vv", true),
            ("-mpv", true),
            ("--verbose", true),
            ("--dev", false),
            ("v", false),
            ("-", false),
            ("-m", false),
        ] {
            assert_eq!(is_verbose(word.as_bytes()), is_one, "{word}");
        }
    }

    #[test]
    fn a_time_is_in_milliseconds_with_three_decimals() {
        assert_eq!(ms(Duration::from_nanos(1_234_567)), "1.235");
        assert_eq!(ms(Duration::ZERO), "0.000");
        assert_eq!(ms(Duration::from_secs(2)), "2000.000");
    }
}
