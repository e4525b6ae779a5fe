//! What the caller did not mean to hand on: variables, of this process and of others that are seen.

use std::fs;

use crate::{Attempt, Report, text};

/// `attack secrets NAME`: a variable that the caller has.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let name = text(arguments, 0);
    report.line(
        "environment",
        std::env::var(name).map_err(|error| error.to_string()),
    );
    report.line("environ-of-others", others(name));
    report.line("command-lines", command_lines());
}

fn others(name: &str) -> Attempt {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let environs = entries.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    let mut texts = environs.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let found = texts.find(|text| {
        text.split('\0')
            .any(|pair| pair.starts_with(&format!("{name}=")))
    });
    found
        .map(|_| "it is in another's".into())
        .ok_or_else(|| "nobody shows it".into())
}

/// What the chain was told.
fn command_lines() -> Attempt {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    let mut others = lines.filter(|line| !line.is_empty() && !line.contains("attack"));
    others
        .next()
        .map(|line| line.replace('\0', " "))
        .ok_or_else(|| "only our own are seen".into())
}
