//! What `up` will do, as data: the contents of a box in order, and how an existing box differs from them. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use record::Mount;

use crate::boxfile::{BoxFile, Why};
use crate::closure::Closure;
use crate::mounts::{self, Planned, What};
use crate::origin::Origin;
use crate::root::PointKind;

/// One thing to make in an empty box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A copy, or another name of one.
    File(BoxFile),
    /// A symbolic link: its path and its target.
    Link(PathBuf, PathBuf, Why),
    /// A directory, or what something will be mounted on.
    Point(PathBuf, PointKind),
    /// What a program or library of the host will be mounted on: one empty file under many names.
    Program(PathBuf),
}

/// The contents of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// The layout first, then files, then mount points. `is_directory` answers for the source of a bind mount.
    pub(crate) fn new(
        closure: Closure,
        mounts: &[Planned],
        is_directory: impl Fn(&Path) -> bool,
    ) -> Self {
        let (layout, links): (Vec<_>, Vec<_>) = closure
            .links
            .into_iter()
            .partition(|(_, _, why)| *why == Why::Layout);
        let directory = |path| Step::Point(path, PointKind::Directory);
        let link = |(path, target, why)| Step::Link(path, target, why);
        let mut steps: Vec<Step> = closure.directories.into_iter().map(directory).collect();
        steps.extend(layout.into_iter().map(link));
        steps.extend(closure.files.into_iter().map(Step::File));
        steps.extend(links.into_iter().map(link));
        // Of what is mounted so far, that on which something else can lie: no files, of which there may be many.
        let mut above: Vec<&Path> = Vec::new();
        for mount in mounts {
            let kind = match &mount.what {
                What::Bind { source, .. } if !is_directory(source) => PointKind::File,
                _ => PointKind::Directory,
            };
            let is_covered = above
                .iter()
                .any(|above| mount.destination.starts_with(above));
            if kind == PointKind::Directory {
                above.push(&mount.destination);
            }
            if is_covered {
                // It lies on the earlier mount, and is made there when the box is entered.
                continue;
            }
            steps.push(Step::Point(mount.destination.clone(), kind));
        }
        Self { steps }
    }

    /// The files that are copied.
    pub(crate) fn files(&self) -> impl Iterator<Item = &BoxFile> {
        self.steps.iter().filter_map(|step| match step {
            Step::File(file) => Some(file),
            Step::Link(..) | Step::Point(..) | Step::Program(_) => None,
        })
    }
}

/// A path in the box, as a line of cp(1) shows it: `'/bin/ls' -> 'box/bin/ls'`.
pub(crate) struct Arrow<'a> {
    pub(crate) file: &'a BoxFile,
    pub(crate) root: &'a str,
    pub(crate) origin: &'a Origin,
}

impl fmt::Display for Arrow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root.trim_end_matches('/');
        let (source, destination) = (
            self.origin.shown(&self.file.source),
            self.file.destination.display(),
        );
        let source = source.display();
        let line = format!("'{source}' -> '{root}{destination}'");
        // A name may hold anything; a line is a line.
        line.chars().try_for_each(|c| {
            if c.is_control() {
                write!(f, "{}", c.escape_default())
            } else {
                write!(f, "{c}")
            }
        })
    }
}

/// Says how an existing box was asked for differently; None when it was not.
pub(crate) fn difference(
    made: &[String],
    wanted: &[String],
    mounted: &[Mount],
    wished: &[Mount],
) -> Option<String> {
    let only = |these: &[String], those: &[String]| {
        let names: Vec<&str> = these
            .iter()
            .filter(|name| !those.contains(name))
            .map(String::as_str)
            .collect();
        (!names.is_empty()).then(|| names.join(","))
    };
    if let Some(names) = only(wanted, made) {
        return Some(format!("it has no {names}"));
    }
    if let Some(names) = only(made, wanted) {
        return Some(format!("it was made with {names} too"));
    }
    let missing = |these: &[Mount], those: &[Mount]| {
        these
            .iter()
            .find(|mount| !those.contains(mount))
            .map(mounts::describe)
    };
    if let Some(mount) = missing(wished, mounted) {
        return Some(format!("it has no mount {mount}"));
    }
    missing(mounted, wished).map(|mount| format!("it was made with the mount {mount} too"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Attributes;

    fn planned(destination: &str, source: Option<&str>) -> Planned {
        let what = match source {
            Some(source) => What::Bind {
                source: source.into(),
                recursive: false,
            },
            None => What::FileSystem {
                kind: "tmpfs".into(),
                source: "tmpfs".into(),
                options: vec![],
            },
        };
        Planned {
            destination: destination.into(),
            what,
            own: Attributes::NONE,
            recursive: Attributes::NONE,
            propagation: None,
            idmap: None,
        }
    }

    #[test]
    fn a_mount_point_is_of_its_sources_kind_and_made_only_in_the_box_itself() {
        let mounts = [
            planned("/dev", None),
            planned("/dev/shm", None),
            planned("/data", Some("/dir")),
            planned("/etc/hosts", Some("/file")),
            planned("/device", None),
        ];
        let plan = Plan::new(Closure::default(), &mounts, |source| {
            source == Path::new("/dir")
        });
        let points = [
            ("/dev", PointKind::Directory),
            ("/data", PointKind::Directory),
            ("/etc/hosts", PointKind::File),
            ("/device", PointKind::Directory),
        ];
        assert_eq!(
            plan.steps,
            points.map(|(path, kind)| Step::Point(path.into(), kind))
        );
        assert_eq!(plan.files().count(), 0);
    }

    #[test]
    fn a_difference_is_named() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (ls, both) = (names(&["ls"]), names(&["rm", "ls"]));
        assert_eq!(difference(&both, &names(&["ls", "rm"]), &[], &[]), None);
        assert_eq!(difference(&ls, &both, &[], &[]).unwrap(), "it has no rm");
        assert_eq!(
            difference(&both, &ls, &[], &[]).unwrap(),
            "it was made with rm too"
        );
        let proc = [Mount {
            destination: "/proc".into(),
            kind: Some("proc".into()),
            source: Some("proc".into()),
            options: ["nosuid", "noexec", "nodev"].map(str::to_owned).into(),
        }];
        assert_eq!(
            difference(&ls, &ls, &[], &proc).unwrap(),
            "it has no mount /proc  proc (nosuid,noexec,nodev)"
        );
        assert_eq!(
            difference(&ls, &ls, &proc, &[]).unwrap(),
            "it was made with the mount /proc  proc (nosuid,noexec,nodev) too"
        );
    }
}
