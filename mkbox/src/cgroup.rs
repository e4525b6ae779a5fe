//! The groups that a box sees at its `cgroup` mount: those that the process is in, and what is below them.
//!
//! With version 2 alone that is one mount. With version 1 it is a tmpfs with a directory for each hierarchy, as the
//! host has it.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::symlinkat;
use rustix::mount::MountAttrFlags;
use sys::{Call, Mount, SysError, mountinfo};

use crate::attach::{Tree, clone_path};
use crate::filesystem::new_filesystem;
use crate::mounts::Planned;
use crate::root::{PointKind, Root};

/// One hierarchy, as far as it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
struct View {
    /// Of the directory: `cpu,cpuacct`; empty for version 2 alone, which is mounted on the place itself.
    name: String,
    /// Controllers that share the hierarchy, each of which gets a link.
    links: Vec<String>,
    from: Origin,
}

/// Where a hierarchy is had from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// A directory below the host's mount of it.
    Path(PathBuf),
    /// A mount of its own, whose root is that of this process's cgroup namespace; of these controllers, or version 2.
    New(Option<Vec<String>>),
}

/// The groups, ready to be mounted.
#[derive(Debug)]
pub(crate) struct Groups {
    /// For more than one hierarchy.
    base: Tree,
    views: Vec<(View, Tree)>,
}

/// Opens the groups of this process; `base` is an empty tmpfs for them.
///
/// # Errors
/// /proc cannot be read, or a hierarchy cannot be mounted.
pub(crate) fn open(mount: &Planned, base: Tree) -> Result<Groups, SysError> {
    let own = fs::read_to_string("/proc/self/cgroup").call(|| "open(/proc/self/cgroup)".into())?;
    let views = views(&own, &mountinfo("self")?);
    let attributes = mount.own.set | mount.recursive.set;
    let opened = views.into_iter().map(|view| {
        let mut tree = match &view.from {
            Origin::Path(path) => clone_path(path, false)?,
            Origin::New(controllers) => fresh(controllers.as_deref(), attributes, mount)?,
        };
        tree.change(mount.own, &mount.destination)?;
        Ok((view, tree))
    });
    Ok(Groups {
        base,
        views: opened.collect::<Result<_, SysError>>()?,
    })
}

fn fresh(
    controllers: Option<&[String]>,
    attributes: MountAttrFlags,
    mount: &Planned,
) -> Result<Tree, SysError> {
    let kind = if controllers.is_some() {
        "cgroup"
    } else {
        "cgroup2"
    };
    let options: Vec<(String, Option<String>)> = controllers
        .unwrap_or_default()
        .iter()
        .flat_map(|name| match name.split_once('=') {
            // A hierarchy with a name has no controller.
            Some((key, value)) => vec![("none".into(), None), (key.into(), Some(value.into()))],
            None => vec![(name.clone(), None)],
        })
        .collect();
    new_filesystem(
        kind,
        "cgroup",
        &options,
        attributes,
        mount.destination.display(),
    )
}

/// What /proc/self/cgroup and the mount table make of it; cgroups(7).
fn views(own: &str, mounts: &[Mount]) -> Vec<View> {
    let mut views = Vec::new();
    let mut unified = None;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if controllers.is_empty() {
            let mount = mounts.iter().find(|mount| mount.kind == "cgroup2");
            unified = mount.map(|mount| place(mount, path).map_or(Origin::New(None), Origin::Path));
            continue;
        }
        let names: Vec<String> = controllers.split(',').map(str::to_owned).collect();
        let is_it = |mount: &&Mount| {
            let mut options = mount.options.split(',');
            mount.kind == "cgroup" && options.any(|option| option == names[0])
        };
        let Some(mount) = mounts.iter().find(is_it) else {
            continue;
        };
        let name = mount.point.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or(controllers).to_owned();
        let from =
            place(mount, path).map_or_else(|| Origin::New(Some(names.clone())), Origin::Path);
        let links = names
            .into_iter()
            .filter(|link| *link != name && !link.contains('='));
        views.push(View {
            links: links.collect(),
            name,
            from,
        });
    }
    if let Some(from) = unified.or_else(|| views.is_empty().then_some(Origin::New(None))) {
        let name = if views.is_empty() { "" } else { "unified" };
        views.push(View {
            name: name.into(),
            links: Vec::new(),
            from,
        });
    }
    views
}

/// Where the group at `path` lies below `mount`; None when it does not, as in a cgroup namespace with the host's mounts.
fn place(mount: &Mount, path: &str) -> Option<PathBuf> {
    let below = Path::new(path).strip_prefix(&mount.root).ok()?;
    Some(mount.point.join(below))
}

impl Groups {
    /// Mounts them on `inside`; the mount that lies there is handed back.
    ///
    /// # Errors
    /// The first call that fails.
    pub(crate) fn attach(
        mut self,
        root: &Root,
        inside: &Path,
        mount: &Planned,
    ) -> Result<Tree, SysError> {
        let point = root.mount_point(inside, PointKind::Directory)?;
        let shown = || root.show(inside);
        if self
            .views
            .first()
            .is_some_and(|(view, _)| view.name.is_empty())
        {
            let (_, tree) = self.views.remove(0);
            tree.move_onto(point.as_fd(), shown)?;
            return Ok(tree);
        }
        let mut base = self.base;
        base.move_onto(point.as_fd(), shown)?;
        let fd = base
            .fd
            .try_clone()
            .call(|| "fcntl(F_DUPFD_CLOEXEC)".into())?;
        let top = Root::from_fd(fd, Path::new(&shown()));
        for (view, tree) in &self.views {
            let name = Path::new("/").join(&view.name);
            let point = top.mount_point(&name, PointKind::Directory)?;
            tree.move_onto(point.as_fd(), || top.show(&name))?;
            for link in &view.links {
                let made = symlinkat(&*view.name, top.as_fd(), &**link);
                made.call(|| format!("symlink({})", top.show(Path::new(link))))?;
            }
        }
        base.change_in_place(mount.own, &mount.destination)?;
        Ok(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(line: &str) -> Mount {
        Mount::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn version_1_shows_the_own_group_of_each_hierarchy() {
        let mounts = [
            mount("1 2 0:1 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"),
            mount("3 2 0:2 /pod /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"),
            mount("4 2 0:3 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd"),
            mount("5 2 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"),
        ];
        let own = "4:memory:/pod/app\n3:cpu,cpuacct:/a\n2:name=systemd:/\n1:pids:/x\n0::/u\n";
        let found = views(own, &mounts);
        let path = |path: &str| Origin::Path(path.into());
        let view = |name: &str, links: &[&str], from| View {
            name: name.into(),
            links: links.iter().map(|&link| link.to_owned()).collect(),
            from,
        };
        assert_eq!(
            found,
            [
                view("memory", &[], path("/sys/fs/cgroup/memory/app")),
                view(
                    "cpu,cpuacct",
                    &["cpu", "cpuacct"],
                    path("/sys/fs/cgroup/cpu,cpuacct/a")
                ),
                view("systemd", &[], path("/sys/fs/cgroup/systemd/")),
                view("unified", &[], path("/sys/fs/cgroup/unified/u")),
            ]
        );
    }

    #[test]
    fn version_2_alone_is_one_mount_and_a_namespace_gets_its_own() {
        let host = [mount("1 2 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")];
        assert_eq!(
            views("0::/pod/app\n", &host)[0].from,
            Origin::Path("/sys/fs/cgroup/pod/app".into())
        );
        // In a cgroup namespace the host's mounts lie above its root.
        let above = [
            mount("1 2 0:1 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw"),
            mount("1 2 0:2 /.. /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids"),
        ];
        let found = views("1:pids:/\n0::/\n", &above);
        assert_eq!(found[0].from, Origin::New(Some(vec!["pids".into()])));
        assert_eq!(
            (found[1].name.as_str(), &found[1].from),
            ("unified", &Origin::New(None))
        );
        assert_eq!(views("", &[])[0].from, Origin::New(None));
    }
}
