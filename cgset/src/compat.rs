//! libcgroup's cgset(1), so that scripts that have it keep working: `cgset -r memory.max=1G GROUP...` and
//! `cgset --copy-from SOURCE GROUP...`.
//!
//! Values go to the files as they are, as there: no translation, no units of ours. The group is one that exists.

use std::ffi::OsString;
use std::process::ExitCode;

use nix::errno::Errno;

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::version::File;
use crate::{TOOL, absent, parent};

/// Whether the command line is libcgroup's.
pub(crate) fn is_meant(arguments: &[OsString]) -> bool {
    let first = arguments.get(1).and_then(|first| first.to_str());
    first.is_some_and(|first| {
        first.starts_with("-r") || first == "--copy-from" || first.starts_with("--copy-from=")
    })
}

/// Runs it. As there, every group is tried even if one fails, and the status is not 0 then.
pub(crate) fn set(arguments: &[OsString]) -> ExitCode {
    let answer = Wishes::parse(&arguments[1..])
        .and_then(|wishes| Ok((Hierarchies::detect()?, wishes)))
        .map(|(hierarchies, wishes)| wishes.apply(&hierarchies));
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            record::report(TOOL, &error);
            ExitCode::from(if matches!(error, Error::Usage(_)) {
                2
            } else {
                1
            })
        }
    }
}

/// What was typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// Names of files and what is written into them, in order.
    settings: Vec<(String, String)>,
    source: Option<String>,
    /// Paths below the mounts; of all of them the same settings.
    groups: Vec<String>,
}

impl Wishes {
    pub(crate) fn parse(arguments: &[OsString]) -> Result<Self, Error> {
        let usage = |problem: String| {
            Error::Usage(format!(
                "{problem} (as libcgroup's: cgset -r NAME=VALUE... GROUP..., cgset --copy-from SOURCE GROUP...)"
            ))
        };
        let mut found = Self::default();
        let mut words = arguments.iter().map(|word| word.to_string_lossy());
        let mut only_groups = false;
        while let Some(word) = words.next() {
            let mut value = |short: &str| match word.strip_prefix(short) {
                Some("") | None => words
                    .next()
                    .map(|next| next.into_owned())
                    .ok_or_else(|| usage(format!("{word}: a value is missing"))),
                Some(rest) => Ok(rest.trim_start_matches('=').to_owned()),
            };
            if only_groups || !word.starts_with('-') {
                found.groups.push(group_path(&word)?);
            } else if word == "--" {
                only_groups = true;
            } else if word.starts_with("--copy-from") {
                found.source = Some(group_path(&value("--copy-from")?)?);
            } else if word.starts_with("-r") {
                let setting = value("-r")?;
                let (name, text) = setting
                    .split_once('=')
                    .ok_or_else(|| usage(format!("-r {setting}: not NAME=VALUE")))?;
                if !is_file_name(name) {
                    return Err(usage(format!(
                        "-r {}: not the name of a file",
                        name.escape_debug()
                    )));
                }
                found.settings.push((name.to_owned(), text.to_owned()));
            } else {
                return Err(usage(format!("{word}: unknown option")));
            }
        }
        match (found.source.is_some(), found.settings.is_empty()) {
            (true, false) => Err(usage("-r and --copy-from exclude each other".into())),
            (false, true) => Err(usage("nothing to set".into())),
            _ if found.groups.is_empty() => Err(usage("no group is named".into())),
            _ => Ok(found),
        }
    }

    /// True: all of it went.
    fn apply(&self, hierarchies: &Hierarchies) -> bool {
        let mut all = true;
        for group in &self.groups {
            let answer = match &self.source {
                Some(source) => copy(hierarchies, source, group),
                None => self
                    .settings
                    .iter()
                    .try_for_each(|(name, text)| write(hierarchies, group, name, text)),
            };
            if let Err(error) = answer {
                record::report(TOOL, error);
                all = false;
            }
        }
        all
    }
}

/// With or without a slash in front, as there; nothing that leads out of the mount.
fn group_path(text: &str) -> Result<String, Error> {
    let absolute = format!("/{}", text.trim_start_matches('/'));
    let path = parent::below_mount(&absolute).filter(|_| !text.is_empty());
    path.map(str::to_owned)
        .ok_or_else(|| Error::Usage(format!("{}: not a group's path", text.escape_debug())))
}

/// `CONTROLLER.FILE`, one component.
fn is_file_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_');
    name.split_once('.')
        .is_some_and(|(controller, file)| !controller.is_empty() && !file.is_empty())
        && name.bytes().all(is_plain)
}

/// The hierarchy in which a file of this name is.
fn home<'a>(hierarchies: &'a Hierarchies, name: &str) -> Result<&'a Hierarchy, Error> {
    let controller = name.split('.').next().unwrap_or_default();
    let found = match controller {
        "cgroup" => hierarchies.unified(),
        controller => hierarchies.of(controller),
    };
    found.ok_or_else(|| Error::Failed(absent::problem(hierarchies, name)))
}

fn open(hierarchy: &Hierarchy, path: &str) -> Result<Group, Error> {
    let mount = Group::mounted(hierarchy)?;
    mount.descendant(path)?.ok_or_else(|| {
        let dir = hierarchy.mount.join(path);
        Error::Sys(sys::SysError::new(
            format!("open({})", dir.display()),
            Errno::ENOENT,
        ))
    })
}

fn write(hierarchies: &Hierarchies, group: &str, name: &str, text: &str) -> Result<(), Error> {
    let group = open(home(hierarchies, name)?, group)?;
    Ok(group.write(&File::new(name, text.to_owned()))?)
}

/// Every limit of `source` that can be written, in every hierarchy that has both groups.
fn copy(hierarchies: &Hierarchies, source: &str, group: &str) -> Result<(), Error> {
    let mut common = 0;
    for hierarchy in hierarchies.iter() {
        let mount = Group::mounted(hierarchy)?;
        let (Some(from), Some(to)) = (mount.descendant(source)?, mount.descendant(group)?) else {
            continue;
        };
        common += 1;
        let names = copied(hierarchy, &from)?;
        // Files that bound each other go in one of two orders only: what is refused is tried again after the rest.
        let refused = copy_files(&names, &from, &to)?;
        if let Some((_, error)) = copy_files(
            &refused
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>(),
            &from,
            &to,
        )?
        .into_iter()
        .next()
        {
            return Err(error.into());
        }
    }
    match common {
        0 => Err(Error::Failed(format!(
            "--copy-from /{source} /{group}: in no hierarchy are both"
        ))),
        _ => Ok(()),
    }
}

/// Those that the kernel refused, and why.
fn copy_files(
    names: &[String],
    from: &Group,
    to: &Group,
) -> Result<Vec<(String, sys::SysError)>, Error> {
    let mut refused = Vec::new();
    for name in names {
        let text = from.read(name)?;
        let there = to.has(name).then(|| to.read(name)).transpose()?;
        if there.is_none_or(|there| there == text) {
            continue; // the same already, or not in that group
        }
        // One write for each line: rates of devices are.
        let written = text
            .lines()
            .try_for_each(|line| to.write(&File::new(name, line.to_owned())));
        if let Err(error) = written {
            refused.push((name.clone(), error));
        }
    }
    Ok(refused)
}

/// Files that are limits: of a controller, to be read and to be written, and no order to the kernel.
fn copied(hierarchy: &Hierarchy, from: &Group) -> Result<Vec<String>, Error> {
    const ORDERS: [&str; 7] = [
        "memory.reclaim",
        "memory.force_empty",
        "memory.pressure_level",
        "memory.oom_control",
        "cpuacct.usage",
        "memory.peak",
        "memory.swap.peak",
    ];
    let is_limit = |name: &String| {
        let controller = name.split('.').next().unwrap_or_default();
        let ours = hierarchy.controllers.iter().any(|own| own == controller);
        let is_count = ["failcnt", "max_usage_in_bytes", "pressure"]
            .iter()
            .any(|count| name.ends_with(count));
        ours && !is_count && !ORDERS.contains(&name.as_str())
    };
    let mut names = from.settable_files()?;
    names.retain(is_limit);
    names.sort();
    if hierarchy.version == Version::V1 {
        // Linux 5.16 and later take nothing but "no limit" there
        names.retain(|name| !name.starts_with("memory.kmem."));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Wishes, String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        Wishes::parse(&words).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_known_by_its_first_argument() {
        let is = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            is_meant(&words)
        };
        assert!(is(&["cgset", "-r", "a.b=1", "g"]) && is(&["cgset", "-ra.b=1", "g"]));
        assert!(is(&["cgset", "--copy-from", "a", "b"]) && is(&["cgset", "--copy-from=a", "b"]));
        assert!(!is(&["cgset"]) && !is(&["cgset", "up", "-r"]) && !is(&["cgset", "--help"]));
    }

    #[test]
    fn options_and_groups_come_in_any_order() {
        let wishes = parse(&[
            "-r",
            "cpu.shares=512",
            "a",
            "-rpids.max=max",
            "/b/c",
            "--",
            "d",
        ]);
        let wishes = wishes.unwrap();
        let settings: Vec<(&str, &str)> = wishes
            .settings
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        assert_eq!(settings, [("cpu.shares", "512"), ("pids.max", "max")]);
        assert_eq!(wishes.groups, ["a", "b/c", "d"]);
        let wishes = parse(&["--copy-from", "/a", "b"]).unwrap();
        assert_eq!(wishes.source.as_deref(), Some("a"));
        // a value may have a "=" of its own
        let wishes = parse(&["-r", "blkio.throttle.read_bps_device=8:0 rbps=1", "a"]).unwrap();
        assert_eq!(wishes.settings[0].1, "8:0 rbps=1");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            &["-r"][..],
            &["-r", "cpu.shares=1"],
            &["-r", "cpu.shares", "a"],
            &["-r", "../x.y=1", "a"],
            &["-r", "a/b.c=1", "a"],
            &["-r", "cpu.shares=1", "../a"],
            &["-r", "cpu.shares=1", ""],
            &["-r", "cpu.shares=1", "a/../b"],
            &["--copy-from", "a"],
            &["--copy-from", "a", "-r", "cpu.shares=1", "b"],
            &["-r", "cpu.shares=1", "-x", "a"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
