//! What is found, without a word of what it means.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::{
    Access, AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, accessat, openat2, statx,
};
use sys::{Answer, Answers, Check, Module, Mount, ToErrno, in_child};

use super::{entry, files, overlay};
use crate::ldcache::Cache;
use crate::origin::Origin;

#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) proc: bool,
    pub(crate) openat2: Option<Answer>,
    /// The steps into a box, by this user.
    pub(crate) direct: Answers,
    /// The same as root of a user namespace.
    pub(crate) nested: Answers,
    pub(crate) overlay_module: Module,
    pub(crate) overlay: Answers,
    pub(crate) nested_overlay: Answers,
    /// Where the box is or would be.
    pub(crate) directory: PathBuf,
    /// The mount it lies on.
    pub(crate) mount: Option<Mount>,
    pub(crate) writable: Answer,
    /// What of a copy the kernel can do there.
    pub(crate) files: Answers,
    /// None: there is none. False: it cannot be read.
    pub(crate) ld_cache: Option<bool>,
    pub(crate) run_dir: Check,
}

impl Facts {
    /// Of this process, for a box at `path`.
    pub(crate) fn gather(path: &Path) -> Self {
        let directory = nearest(path);
        let overlay_module = overlay::find();
        let as_user = |work: &dyn Fn(&mut sys::Teller)| {
            in_child(|tell| {
                if tell
                    .tell("unshare", unshare(CloneFlags::CLONE_NEWNS))
                    .is_some()
                {
                    work(tell);
                }
            })
        };
        let in_user_namespace = |work: &dyn Fn(&mut sys::Teller)| {
            in_child(|tell| {
                if sys::enter_user_namespace(tell, CloneFlags::CLONE_NEWNS, true) {
                    work(tell);
                }
            })
        };
        let overlay = |tell: &mut sys::Teller| {
            if overlay_module == Module::There {
                overlay::mount(tell, &directory);
            }
        };
        let openat2 = in_child(|tell| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let opened = openat2(CWD, ".", flags, Mode::empty(), ResolveFlags::BENEATH);
            tell.tell("openat2", opened);
        });
        let cache = Path::new("/etc/ld.so.cache");
        Self {
            proc: fs::metadata("/proc/self").is_ok(),
            openat2: openat2.of("openat2"),
            direct: as_user(&|tell| {
                entry::idmap(tell, &directory);
                entry::enter(tell, &directory);
            }),
            nested: in_user_namespace(&|tell| entry::enter(tell, &directory)),
            overlay_module,
            overlay: as_user(&overlay),
            nested_overlay: in_user_namespace(&overlay),
            mount: mount_of(&directory),
            writable: writable(&directory),
            files: in_child(|tell| files::copy(tell, &directory)),
            ld_cache: cache.exists().then(|| {
                let file = Origin::default().open_regular(cache).ok();
                file.and_then(Cache::read).is_some()
            }),
            run_dir: record::check_run_dir(),
            directory,
        }
    }

    /// Type of the file system.
    pub(crate) fn kind(&self) -> &str {
        self.mount.as_ref().map_or("unknown", |mount| &mount.kind)
    }

    /// Options of the mount.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &str> {
        let flags = self.mount.as_ref().map_or("", |mount| &mount.flags);
        flags.split(',')
    }
}

/// `path`, or of the directories above it the first that is there: up makes the others.
fn nearest(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find(|path| path.is_dir());
    let found = found.unwrap_or(Path::new("/"));
    fs::canonicalize(found).unwrap_or_else(|_| found.to_owned())
}

/// By the number that statx(2) tells since Linux 5.8.
fn mount_of(directory: &Path) -> Option<Mount> {
    let found = statx(CWD, directory, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    let mounts = sys::mountinfo("self").ok()?;
    mounts
        .into_iter()
        .find(|mount| mount.id == found.stx_mnt_id)
}

fn writable(directory: &Path) -> Answer {
    accessat(
        CWD,
        directory,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|errno| errno.to_errno())
}
