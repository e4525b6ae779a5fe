//! `cgset freeze` and `cgset thaw`: every process of a pod stands still, and goes on.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use record::Record;

use crate::cli::{FreezeArgs, NameArgs};
use crate::error::Error;
use crate::group::{Group, IsGone as _};
use crate::hierarchy::{Hierarchies, Version};
use crate::remove::{Standing, processes};
use crate::talk::Talk;
use crate::usage::field;
use crate::version::File;
use crate::{TOOL, pod};

/// How long a process may take to come to a point where it can stand still, unless it is said otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// `cgset freeze`
pub(crate) fn freeze(args: &FreezeArgs) -> ExitCode {
    let talk = Talk::from(args.of.talk);
    let patience = args.timeout.unwrap_or(PATIENCE);
    act(&args.of, true, |standing, id| {
        freeze_all(standing, id, patience, talk)
    })
}

/// `cgset thaw`
pub(crate) fn thaw(args: &NameArgs) -> ExitCode {
    act(args, false, |standing, _| {
        thaw_all(freezer(standing)?, Talk::from(args.talk))
    })
}

fn act(
    args: &NameArgs,
    frozen: bool,
    work: impl Fn(&[Standing<'_>], &str) -> Result<(), Error>,
) -> ExitCode {
    record::show(TOOL, &args.source, |record: &Record| {
        let hierarchies = Hierarchies::detect()?;
        let standing = pod::groups(record, &hierarchies, args.name.as_ref())?;
        if args.dry_run {
            return would_write(freezer(&standing)?, frozen);
        }
        let path = standing.first().map(|standing| standing.path.clone());
        work(&standing, &path.unwrap_or_default()).map(|()| String::new())
    })
}

/// For `--dry-run`.
fn would_write(target: &Standing<'_>, frozen: bool) -> Result<String, Error> {
    let File { name, text, .. } = order(target.hierarchy.version, frozen);
    let groups = match frozen {
        true => vec![target.pod.itself()?],
        false => target.pod.itself()?.tree()?,
    };
    let line = |group: &Group| format!("write({}/{name}, {text})\n", group.path().display());
    Ok(groups.iter().map(line).collect())
}

/// The one of the pod's groups by which it is frozen.
pub(crate) fn freezer<'a, 'b>(standing: &'a [Standing<'b>]) -> Result<&'a Standing<'b>, Error> {
    let found = standing.iter().find(|standing| {
        standing.is_v1_of("freezer")
            || (standing.hierarchy.version == Version::V2 && standing.pod.has("cgroup.freeze"))
    });
    found.ok_or_else(|| {
        Error::Failed(
            "the pod has no freezer group (on v1 the freezer is to be mounted before cgset up; on v2 it came with Linux 5.2)"
                .into(),
        )
    })
}

/// The file that says what shall be, and the text for it.
fn order(version: Version, frozen: bool) -> File {
    match (version, frozen) {
        (Version::V1, true) => File::new("freezer.state", "FROZEN".into()),
        (Version::V1, false) => File::new("freezer.state", "THAWED".into()),
        (Version::V2, true) => File::new("cgroup.freeze", "1".into()),
        (Version::V2, false) => File::new("cgroup.freeze", "0".into()),
    }
}

/// Whether everything in the group stands still.
pub(crate) fn is_frozen(group: &Group, version: Version) -> Result<bool, Error> {
    Ok(match version {
        Version::V1 => group.read("freezer.state")?.trim() == "FROZEN",
        Version::V2 => field(&group.read("cgroup.events")?, "frozen").is_some_and(|is| is == 1),
    })
}

fn freeze_all(
    standing: &[Standing<'_>],
    path: &str,
    patience: Duration,
    talk: Talk,
) -> Result<(), Error> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    if processes(standing)?.contains(&own) {
        return Err(Error::Failed(format!(
            "{path}: cgset itself is in it (call it from outside)"
        )));
    }
    let target = freezer(standing)?;
    let answer = freeze_one(target, path, patience, talk);
    if answer.is_err() {
        // Half of a pod that stands still is worth less than none.
        thaw_all(target, talk)?;
    }
    answer
}

fn freeze_one(
    target: &Standing<'_>,
    path: &str,
    patience: Duration,
    talk: Talk,
) -> Result<(), Error> {
    let version = target.hierarchy.version;
    let file = order(version, true);
    let until = Instant::now() + patience;
    loop {
        // v1 tries again with each write: who was forked meanwhile is frozen then.
        target.pod.write(&file)?;
        if is_frozen(&target.pod, version)? {
            let (dir, name, text) = (target.pod.path().display(), &file.name, &file.text);
            talk.step(|| format!("write({dir}/{name}, {text})"));
            return Ok(());
        }
        if Instant::now() > until {
            return Err(Error::Failed(format!(
                "{path}: not frozen after {} s, thawed again (a process in uninterruptible sleep?)",
                patience.as_secs_f64()
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The group and all below it: one that was frozen by itself would stay so.
fn thaw_all(target: &Standing<'_>, talk: Talk) -> Result<(), Error> {
    let file = order(target.hierarchy.version, false);
    for group in target.pod.itself()?.tree()? {
        match group.write(&file) {
            Err(error) if error.is_gone() => continue,
            answer => answer?,
        }
        let (dir, name, text) = (group.path().display(), &file.name, &file.text);
        talk.step(|| format!("write({dir}/{name}, {text})"));
    }
    Ok(())
}
