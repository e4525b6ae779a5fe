//! What is found, without a word of what it means: mostly by trying, in children that end.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use record::Namespace;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use sys::{Answer, Answers, Check, Mount, Teller, in_child};

use super::ids::Ids;
use crate::cause::{self, Circumstances};

/// Answers to what was tried (None: it came to no try), and what /proc says.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) circumstances: Circumstances,
    pub(crate) clone3: Option<Answer>,
    pub(crate) pidfd: Option<Answer>,
    pub(crate) close_range: Option<Answer>,
    pub(crate) ns_get_id: Option<Answer>,
    /// A proc is on /proc.
    pub(crate) proc: Answer,
    /// Unshared by this user.
    pub(crate) namespaces: Vec<(Namespace, Option<Answer>)>,
    /// The map of a user namespace, written by who made it.
    pub(crate) map: Option<Answer>,
    /// Unshared by root of a user namespace.
    pub(crate) rootless: Vec<(Namespace, Option<Answer>)>,
    pub(crate) fresh_proc: Option<Answer>,
    pub(crate) rootless_proc: Option<Answer>,
    /// What hides parts of /proc; None: unknown.
    pub(crate) masks: Option<Vec<PathBuf>>,
    /// `user.max_*_namespaces`
    pub(crate) limits: Vec<(Namespace, u64)>,
    /// The AppArmor profile this process is under.
    pub(crate) apparmor: Option<String>,
    /// Number of seccomp filters; Linux 5.9.
    pub(crate) seccomp_filters: Option<String>,
    /// `kernel.yama.ptrace_scope`
    pub(crate) yama: Option<String>,
    pub(crate) ids: Ids,
    pub(crate) run_dir: Check,
    pub(crate) pause: Option<PathBuf>,
    pub(crate) oom_score: Option<Answer>,
}

impl Facts {
    /// Of this process on this machine. Ten milliseconds, and nothing is left.
    pub(crate) fn gather() -> Self {
        let calls = in_child(try_calls);
        let direct = in_child(unshare_all);
        let user = in_child(|tell| {
            sys::enter_user_namespace(tell, CloneFlags::empty(), false);
        });
        let nested = in_child(|tell| {
            if sys::enter_user_namespace(tell, CloneFlags::empty(), true) {
                unshare_all(tell);
            }
        });
        let kinds = |answers: &Answers, user: &Answers| {
            let answer = |kind: Namespace| match kind {
                Namespace::User => user.of("unshare"),
                _ => answers.of(kind.flag()),
            };
            Namespace::ALL.map(|kind| (kind, answer(kind))).to_vec()
        };
        let rootless = kinds(&nested, &user).into_iter();
        Self {
            clone3: calls.of("clone3"),
            pidfd: calls.of("pidfd"),
            close_range: calls.of("close_range"),
            ns_get_id: calls.of("ns_get_id"),
            oom_score: calls.of("oom_score"),
            namespaces: kinds(&direct, &user),
            map: nested.of("map"),
            rootless: rootless
                .filter(|(kind, _)| *kind != Namespace::User)
                .collect(),
            fresh_proc: direct.of("proc"),
            rootless_proc: nested.of("proc"),
            proc: proc_is_mounted(),
            masks: sys::mountinfo("self").ok().map(|mounts| masks(&mounts)),
            limits: limits(),
            apparmor: fs::read_to_string("/proc/self/attr/current")
                .ok()
                .map(|profile| profile.trim_end().to_owned()),
            seccomp_filters: cause::status("Seccomp_filters"),
            yama: cause::sysctl("kernel.yama.ptrace_scope"),
            ids: Ids::gather(),
            run_dir: record::check_run_dir(),
            pause: crate::find::pause_file(),
            circumstances: Circumstances::read(),
        }
    }
}

/// In a child, as a filter may end who tries.
fn try_calls(tell: &mut Teller) {
    tell.tell("oom_score", fs::write("/proc/self/oom_score_adj", "-998"));
    if let Ok(own) = File::open("/proc/self/ns/net") {
        let id = crate::sys::ns_id(own.as_fd());
        tell.tell("ns_get_id", id.ok_or(Errno::ENOTTY));
    }
    let own = nix::unistd::getpid().as_raw();
    tell.tell("pidfd", sys::pidfd_open(own).map_err(|error| error.errno));
    tell.tell("close_range", sys::close_range_cloexec(1 << 20));
    tell.tell("clone3", sys::clone3_into(None));
}

/// In a child: one kind after the other, and a proc of the new pid namespace.
fn unshare_all(tell: &mut Teller) {
    let kinds = Namespace::ALL.into_iter();
    let mut new_pid = false;
    for kind in kinds.filter(|kind| *kind != Namespace::User) {
        let flags = CloneFlags::from_bits_retain(kind.clone_flag());
        let made = tell.tell(kind.flag(), unshare(flags)).is_some();
        new_pid |= made && kind == Namespace::Pid;
    }
    if new_pid {
        // Only who is born in a pid namespace gets its proc.
        let inner = in_child(|tell| {
            tell.tell("proc", new_proc());
        });
        tell.pass(&inner, &["proc"]);
    }
}

/// A proc that is mounted nowhere, so that no other mount namespace can see it, but is checked as if it were.
fn new_proc() -> Result<(), rustix::io::Errno> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map(drop)
}

/// `ESRCH`: it is of another pid namespace, and knows us by another number, or not at all.
fn proc_is_mounted() -> Answer {
    if statfs("/proc")?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(Errno::ENODEV);
    }
    let own = std::process::id().to_string();
    match fs::read_link("/proc/self") {
        Ok(link) if link.as_os_str() == own.as_str() => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// What is mounted over parts of the proc on /proc, and /proc itself if it is read-only.
///
/// The kernel lets a user namespace have a fresh proc only if it could see all of another one already; directories that
/// are there for nothing but to be mounted on do not count (`mnt_already_visible`).
pub(super) fn masks(mounts: &[Mount]) -> Vec<PathBuf> {
    let on_proc = |mount: &&Mount| mount.point.as_os_str() == "/proc" && mount.kind == "proc";
    let Some(proc) = mounts.iter().rev().find(on_proc) else {
        return Vec::new();
    };
    let is_for_mounts = |mount: &Mount| {
        ["/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd"]
            .iter()
            .any(|dir| mount.point.as_os_str() == *dir)
    };
    let read_only = proc.flags.split(',').any(|flag| flag == "ro");
    let own = read_only.then(|| proc.point.clone());
    let over = mounts
        .iter()
        .filter(|mount| mount.parent == proc.id && mount.id != proc.id && !is_for_mounts(mount));
    own.into_iter()
        .chain(over.map(|mount| mount.point.clone()))
        .collect()
}

fn limits() -> Vec<(Namespace, u64)> {
    let limit = |kind: Namespace| {
        let value = cause::sysctl(cause::limit_of(kind))?;
        Some((kind, value.parse().ok()?))
    };
    Namespace::ALL.into_iter().filter_map(limit).collect()
}
