//! What is said while it runs: what went wrong, each connection with `-v`, and how far it is on a terminal.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::is_terminal;
use super::progress::{Counts, line};
use crate::TOOL;

/// The same thing is not said again sooner.
const QUIET: Duration = Duration::from_secs(1);
/// How often the line of a terminal is written anew.
const REFRESH: Duration = Duration::from_millis(500);

/// Says things on stderr.
#[derive(Debug)]
pub(super) struct Reporter {
    id: String,
    verbose: bool,
    /// The line of how far it is.
    progress: bool,
    /// What is on the terminal's last line.
    shown: Option<String>,
    written: Instant,
    /// What was said last, when, and how often it would have been said since.
    last: Option<(String, Instant, u64)>,
}

impl Reporter {
    pub(super) fn new(id: &str, verbose: bool, quiet: bool) -> Self {
        Self {
            id: id.to_owned(),
            verbose,
            progress: !quiet && is_terminal(&io::stderr()),
            shown: None,
            written: Instant::now(),
            last: None,
        }
    }

    /// Whether it has to be called from time to time.
    pub(super) fn has_progress(&self) -> bool {
        self.progress
    }

    /// What went wrong; the same a thousand times a second is said once.
    pub(super) fn fault(&mut self, message: &impl Display) {
        let text = message.to_string();
        let mut more = 0;
        if let Some((last, at, count)) = &mut self.last
            && *last == text
        {
            if at.elapsed() < QUIET {
                *count += 1;
                return;
            }
            more = *count;
        }
        match more {
            0 => self.say(&format!("{}: {text}", self.id)),
            more => self.say(&format!("{}: {text}, {more} times more", self.id)),
        }
        self.last = Some((text, Instant::now(), 0));
    }

    /// A step, with `-v`.
    pub(super) fn step(&mut self, message: impl FnOnce() -> String) {
        if self.verbose {
            self.say(&message());
        }
    }

    fn say(&mut self, text: &str) {
        let clear = if self.shown.take().is_some() {
            "\r\x1b[K"
        } else {
            ""
        };
        let _ = io::stderr().write_all(format!("{clear}{TOOL}: {text}\n").as_bytes());
    }

    /// Whether the terminal's line is to be written anew: not too often.
    pub(super) fn is_due(&self) -> bool {
        self.progress && (self.shown.is_none() || self.written.elapsed() >= REFRESH)
    }

    /// How far it is, on the terminal's last line.
    pub(super) fn progress(&mut self, counts: &Counts) {
        let text = line(counts);
        if self.shown.as_ref() != Some(&text) {
            let _ = io::stderr().write_all(format!("\r{text}\x1b[K").as_bytes());
        }
        (self.shown, self.written) = (Some(text), Instant::now());
    }

    /// The last word.
    pub(super) fn end(&mut self, counts: &Counts) {
        self.step(|| line(counts));
        if self.shown.take().is_some() {
            let _ = io::stderr().write_all(format!("\r{}\x1b[K\n", line(counts)).as_bytes());
        }
    }
}
