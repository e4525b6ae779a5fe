//! Where systemd owns the tree: the part of it that this caller was given, and what to type where there is none.
//!
//! systemd is the one writer of its groups, and leaves alone what is below a unit with `Delegate=yes`, which it marks with an
//! extended attribute (systemd.io/CGROUP_DELEGATION).

use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::talk::Talk;

/// What root and others type for a unit of their own; it lasts as long as what they start.
pub(crate) const FOR_ROOT: &str = "systemd-run --scope -p Delegate=yes bash, and this in it";
pub(crate) const FOR_USERS: &str =
    "systemd-run --user --scope -p Delegate=yes bash, and this in it";

/// The group in a delegated one that its processes go to.
const LEAF: &str = "init";

/// Whether systemd is the machine's init; sd_booted(3).
pub(crate) fn is_init() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The nearest delegated group at or above this process's own, as a path below the mount of v2.
pub(crate) fn delegated(hierarchies: &Hierarchies) -> Result<Option<String>, Error> {
    let Some(hierarchy) = hierarchies.unified().filter(|_| is_init()) else {
        return Ok(None);
    };
    let Some(own) = hierarchies.own().below_mount_of(hierarchy) else {
        return Ok(None);
    };
    let mut path = own;
    while !path.is_empty() {
        let group = Group::below(hierarchy, path)?;
        if group.is_some_and(|group| is_marked(&group)) {
            return Ok(Some(path.to_owned()));
        }
        path = path.rsplit_once('/').map_or("", |(above, _)| above);
    }
    Ok(None)
}

/// For root `trusted.delegate`; for others, who cannot see that, `user.delegate` of newer versions.
fn is_marked(group: &Group) -> bool {
    ["trusted.delegate", "user.delegate"]
        .iter()
        .any(|name| group.attribute(name).as_deref() == Some(b"1"))
}

/// Makes the delegated group `path` fit to give controllers to others: its processes go to a leaf, as systemd wants it of
/// whoever is given one.
pub(crate) fn make_room(hierarchy: &Hierarchy, path: &str, talk: Talk) -> Result<(), Error> {
    /// For processes that are started while the others are moved.
    const PATIENCE: Duration = Duration::from_secs(5);
    let Some(group) = Group::below(hierarchy, path)? else {
        return Ok(());
    };
    let until = Instant::now() + PATIENCE;
    let mut moved = 0;
    loop {
        let processes = group.processes()?;
        if processes.is_empty() || Instant::now() > until {
            break;
        }
        let leaf = group.child_or_new(LEAF)?;
        for pid in processes {
            match leaf.take(pid) {
                Ok(()) => {
                    moved += 1;
                    talk.step(|| format!("write({}/cgroup.procs, {pid})", leaf.path().display()));
                }
                Err(error) if error.errno == Errno::ESRCH => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    if moved > 0 {
        let place = group.path().display();
        talk.note(format_args!(
            "{place}: its {moved} processes are in its group {LEAF} now (a v2 group that gives controllers to others has none)"
        ));
    }
    Ok(())
}
