//! What a script said, and what it should have said.

use std::fmt;

use serde_json::Value;

/// How a command in a node ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// What ran.
    pub script: String,
    /// Exit status; 128+N for one that a signal ended.
    pub status: i32,
    /// As text: what is not UTF-8 is replaced.
    pub stdout: String,
    /// As text.
    pub stderr: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "$ {}\n[status {}]\n{}{}",
            self.script,
            self.status,
            indent("stdout", &self.stdout),
            indent("stderr", &self.stderr)
        )
    }
}

fn indent(name: &str, text: &str) -> String {
    // Enough to understand a failure; all of a record of a megabyte is not needed for that.
    let lines: Vec<&str> = text.lines().collect();
    let (head, tail) = lines.split_at(lines.len().saturating_sub(40).min(10));
    let left_out = tail.len().saturating_sub(40);
    let mut shown: Vec<String> = head.iter().copied().map(short).collect();
    if left_out > 0 {
        shown.push(format!("({left_out} lines)"));
    }
    shown.extend(tail[left_out..].iter().copied().map(short));
    let shown = shown.into_iter();
    shown.map(|line| format!("  {name}: {line}\n")).collect()
}

fn short(line: &str) -> String {
    match line.char_indices().nth(2000) {
        Some((end, _)) => format!("{}… ({} bytes)", &line[..end], line.len()),
        None => line.to_owned(),
    }
}

impl Output {
    /// Status 0, else a panic that shows everything.
    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends(0)
    }

    /// Exactly this status, else a panic that shows everything.
    #[track_caller]
    pub fn ends(self, status: i32) -> Self {
        assert_eq!(self.status, status, "status of\n{self}");
        self
    }

    /// stdout is exactly this, white space at its end aside.
    #[track_caller]
    pub fn prints(self, expected: &str) -> Self {
        assert_eq!(self.stdout.trim_end(), expected, "stdout of\n{self}");
        self
    }

    /// Some line of stdout or stderr has this in it.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        assert!(
            self.stdout.contains(part) || self.stderr.contains(part),
            "{part:?} is not in\n{self}"
        );
        self
    }

    /// One clear line on stderr: it names its tool, and no other line, no panic and no backtrace is there.
    #[track_caller]
    pub fn says_one_line(self, tool: &str) -> Self {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "lines on stderr of\n{self}");
        let line = lines[0];
        assert!(
            line.starts_with(&format!("{tool}: ")) && !line.contains("panicked"),
            "{line:?} is no error line of\n{self}"
        );
        assert!(!line.ends_with('.'), "a full stop ends {line:?}");
        self
    }

    /// stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("{error} in stdout of\n{self}"),
        }
    }
}

/// The step of a line of `-v`, and how many milliseconds it says; None: it is no such line.
#[must_use]
pub fn step(line: &str) -> Option<(&str, f64)> {
    let (step, time) = line.strip_suffix('>')?.rsplit_once(" <")?;
    let (ms, count) = time.split_once(" ms")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, decimals) = ms.split_once('.')?;
    let is_time = is_number(whole) && is_number(decimals) && decimals.len() == 3;
    let is_count = count.is_empty() || count.strip_prefix(" for ").is_some_and(is_number);
    (is_time && is_count).then_some((step, ms.parse().ok()?))
}

/// What `-v` said, without how long it took.
#[must_use]
pub fn without_times(text: &str) -> String {
    let lines = text.lines();
    lines
        .map(|line| step(line).map_or(line, |(step, _)| step).to_owned() + "\n")
        .collect()
}
