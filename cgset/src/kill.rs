//! Ending every process of a pod, those that fork faster than they are killed included.

use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use record::Record;
use serde_json::Value as Json;

use crate::cli::NameArgs;
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Hierarchies;
use crate::membership::Membership;
use crate::remove::{Standing, processes, wait_for};
use crate::talk::Talk;
use crate::version::{File, scalar};
use crate::{TOOL, pod};

/// Within this the next one is dead, or it is an error: one in uninterruptible sleep may take for ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// Within this all are. A thousand take 60 ms, on a machine that has nothing else to do.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(60);

/// `cgset kill`
pub(crate) fn verb(args: &NameArgs) -> ExitCode {
    record::show(
        TOOL,
        &args.source,
        |record: &Record| -> Result<String, Error> {
            let hierarchies = Hierarchies::detect()?;
            let standing = pod::groups(record, &hierarchies, args.name.as_ref())?;
            if args.dry_run {
                return would_kill(&standing);
            }
            kill(&standing, Talk::from(args.talk)).map(|()| String::new())
        },
    )
}

/// For `--dry-run`: what is written, and who dies of it.
fn would_kill(standing: &[Standing<'_>]) -> Result<String, Error> {
    let mut text = String::new();
    for group in standing.iter().map(|standing| &standing.pod) {
        for (file, value) in [("pids.max", 0), ("cgroup.kill", 1)] {
            if group.has(file) {
                text += &format!("write({}/{file}, {value})\n", group.path().display());
            }
        }
    }
    for pid in processes(standing)? {
        text += &format!("pidfd_send_signal({pid}, SIGKILL)\n");
    }
    Ok(text)
}

/// Kills all, waits until all are gone.
///
/// `cgroup.kill` (Linux 5.14) where a group is on v2. Where there is a pids controller nothing can fork any more
/// while we do it. A v1 freezer would only keep the dying from dying: everything is thawed.
pub(crate) fn kill(standing: &[Standing<'_>], talk: Talk) -> Result<(), Error> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    if processes(standing)?.contains(&own) {
        return Err(Error::Failed(
            "kill: cgset itself is in the group (call it from outside)".into(),
        ));
    }
    let stops = stop_forks(standing, talk)?;
    let answer = kill_all(standing, talk);
    // Those that live on, or come later, are to have the limit that was there.
    for (group, limit) in stops {
        group.write(&File::new("pids.max", limit))?;
    }
    answer
}

fn kill_all(standing: &[Standing<'_>], talk: Talk) -> Result<(), Error> {
    let last = Instant::now() + PATIENCE_IN_ALL;
    let (mut fewest, mut until) = (usize::MAX, last);
    loop {
        let mut is_told = false;
        for group in standing.iter().map(|standing| &standing.pod) {
            if group.has("cgroup.kill") {
                is_told = true;
                group.write(&File::new("cgroup.kill", "1".into()))?;
                talk.step(|| format!("write({}/cgroup.kill, 1)", group.path().display()));
            }
        }
        let left = processes(standing)?;
        let Some(first) = left.first() else {
            return Ok(());
        };
        if left.len() < fewest {
            fewest = left.len();
            until = last.min(Instant::now() + PATIENCE);
        }
        // Nobody is left out by the kernel where it does this itself.
        for &pid in left.iter().filter(|_| !is_told) {
            end(pid, standing, talk)?;
        }
        thaw(standing)?;
        if Instant::now() > until {
            return Err(still_there(&left));
        }
        wait_for(*first);
    }
}

fn still_there(left: &[i32]) -> Error {
    const SHOWN: usize = 8;
    let list = left.iter().take(SHOWN).map(ToString::to_string);
    let mut list = list.collect::<Vec<_>>().join(", ");
    if left.len() > SHOWN {
        list.push_str(&format!(" and {} more", left.len() - SHOWN));
    }
    let seconds = PATIENCE.as_secs();
    Error::Failed(format!(
        "kill: still there after {seconds} s: {list} (in uninterruptible sleep, or of another pid namespace)"
    ))
}

/// SIGKILL to `pid`, if the number still means a process of the pod.
fn end(pid: i32, standing: &[Standing<'_>], talk: Talk) -> Result<(), Error> {
    let pidfd = match sys::pidfd_open(pid) {
        Ok(pidfd) => pidfd,
        Err(error) if error.errno == Errno::ESRCH => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // Held by the descriptor, then asked: what is killed is what was asked about.
    let is_ours = Membership::of(pid).is_ok_and(|now| {
        standing
            .iter()
            .any(|standing| now.is_within(standing.hierarchy, &standing.path))
    });
    if !is_ours {
        return Ok(());
    }
    match sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL) {
        Err(error) if error.errno == Errno::ESRCH => {}
        answer => {
            answer?;
            talk.step(|| format!("pidfd_send_signal({pid}, SIGKILL)"));
        }
    }
    Ok(())
}

/// `pids.max` 0 in the pod's groups that have one: fork(2) fails. Returns what it was.
fn stop_forks<'a>(
    standing: &'a [Standing<'_>],
    talk: Talk,
) -> Result<Vec<(&'a Group, String)>, Error> {
    let mut stopped = Vec::new();
    for group in standing
        .iter()
        .map(|standing| &standing.pod)
        .filter(|group| group.has("pids.max"))
    {
        let limit = match scalar(&group.read("pids.max")?) {
            Json::String(text) => text,
            number => number.to_string(),
        };
        group.write(&File::new("pids.max", "0".into()))?;
        talk.step(|| format!("write({}/pids.max, 0)", group.path().display()));
        stopped.push((group, limit));
    }
    Ok(stopped)
}

/// A frozen process does not die on v1; one in a frozen group of its own below neither.
fn thaw(standing: &[Standing<'_>]) -> Result<(), Error> {
    for standing in standing
        .iter()
        .filter(|standing| standing.pod.has("freezer.state"))
    {
        let Some(pod) = standing.pod.descendant("")? else {
            continue;
        };
        for group in pod.tree()? {
            match group.write(&File::new("freezer.state", "THAWED".into())) {
                Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENODEV) => {}
                answer => answer?,
            }
        }
    }
    Ok(())
}
