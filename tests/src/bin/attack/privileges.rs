//! Files that give privileges to whoever executes them: setuid, and with capabilities.

use std::fs;
use std::process::Command;

use nix::unistd::geteuid;

use crate::{Attempt, Report, Why};

/// `attack privileges`: of /setuid and /filecaps in the box, which are this program; they run `attack privileges --what`.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    if !arguments.is_empty() {
        report.line("what", Ok(format!("euid {} {}", geteuid(), effective())));
        return;
    }
    let before = format!("euid {} {}", geteuid(), effective());
    for path in ["/setuid", "/filecaps"] {
        report.line(path.trim_start_matches('/'), gained(path, &before));
    }
}

fn effective() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("CapEff"));
    line.unwrap_or("CapEff unknown").replace('\t', " ")
}

fn gained(path: &str, before: &str) -> Attempt {
    let output = Command::new(path)
        .args(["privileges", "--what"])
        .output()
        .why()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let after = text
        .trim()
        .strip_prefix("privileges/what got ")
        .ok_or("it said nothing")?;
    match after == before {
        true => Err(format!("still {after}")),
        false => Ok(after.to_owned()),
    }
}
