//! `check`: what this kernel, user and file system allow mkbox, what is missing and how to get it.

use std::process::ExitCode;

use nix::errno::Errno;
use sys::{Answer, Answers, Check, Checks, Module};

mod entry;
mod facts;
mod files;
mod overlay;
#[cfg(test)]
mod tests;

use crate::TOOL;
use crate::attach::NEEDS_ADMIN;
use crate::cli::CheckArgs;
use facts::Facts;

/// What there is without mount_setattr(2).
const MOUNT_SETATTR_SINCE: &str =
    "Linux 5.12 has it; before, options of single mounts go by a remount, those of whole trees not";

/// What `mkbox exec` does to enter a box: name of the check and of the answer, the call, since when there is such a call,
/// and whether every box needs it.
const STEPS: [(&str, &str, &str, bool); 6] = [
    ("propagation", "mount(/, MS_REC|MS_SLAVE)", "", true),
    (
        "open_tree",
        "open_tree(OPEN_TREE_CLONE)",
        "Linux 5.2 has it",
        true,
    ),
    ("fsmount", "fsmount(tmpfs)", "Linux 5.2 has it", true),
    (
        "mount_setattr",
        "mount_setattr(MOUNT_ATTR_RDONLY)",
        MOUNT_SETATTR_SINCE,
        false,
    ),
    ("move_mount", "move_mount()", "Linux 5.2 has it", true),
    ("pivot_root", "pivot_root(., .)", "", true),
];

/// `mkbox check`
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let directory = args.root.as_deref().unwrap_or(".");
    judge(Facts::gather(directory.as_ref())).finish(args.json)
}

/// From what was found to what it means.
fn judge(facts: Facts) -> Checks {
    let mut list = of_namespaces(&facts);
    list.extend(of_entry(&facts));
    list.extend(of_directory(&facts));
    list.extend(of_overlay(&facts));
    let found = match facts.proc {
        true => "mounted on /proc",
        false => "no proc is mounted on /proc",
    };
    list.push(
        Check::new("proc", facts.proc, found)
            .needed(true)
            .hint(Some("mount -t proc proc /proc")),
    );
    list.push(facts.run_dir);
    Checks::new(TOOL, list)
}

fn went(answers: &Answers, name: &str) -> bool {
    answers.of(name) == Some(Ok(()))
}

/// A mount namespace of this user, or of root of a user namespace: one of them is needed.
fn of_namespaces(facts: &Facts) -> Vec<Check> {
    let (direct, nested) = (went(&facts.direct, "unshare"), went(&facts.nested, "map"));
    let hint = |answer: Option<Answer>| match answer.and_then(Result::err) {
        Some(Errno::EPERM) => Some(NEEDS_ADMIN),
        _ => None,
    };
    let own = facts.direct.of("unshare");
    let own = Check::tried(
        "namespace.mount",
        "unshare(CLONE_NEWNS)",
        own,
        "as this user",
    )
    .needed(direct || !nested)
    .hint(hint(own));
    let refused = [
        ("unshare", "unshare(CLONE_NEWUSER|CLONE_NEWNS)"),
        ("map", "write(/proc/self/uid_map)"),
    ]
    .into_iter()
    .find(|(name, _)| !went(&facts.nested, name));
    let (name, call) = refused.unwrap_or(("map", ""));
    let nested = Check::tried(
        "rootless.mount",
        call,
        facts.nested.of(name),
        "as root of a new user namespace: nsrun exec --map-root-user -- mkbox exec",
    )
    .needed(!direct)
    .hint(Some("nsrun check tells why"));
    vec![own, nested]
}

/// The steps into a box, as this user if it has a mount namespace, else in a user namespace.
fn of_entry(facts: &Facts) -> Vec<Check> {
    let (answers, place) = match went(&facts.direct, "unshare") {
        true => (&facts.direct, "as this user"),
        false => (&facts.nested, "in a user namespace"),
    };
    let mut list = vec![
        Check::tried(
            "openat2",
            "openat2(RESOLVE_BENEATH)",
            facts.openat2,
            "works",
        )
        .needed(true)
        .hint(Some(
            "Linux 5.6 has it; a container's seccomp filter may hide it",
        )),
    ];
    list.extend(STEPS.map(|(name, call, since, needed)| {
        let answer = answers.of(name);
        let hint = match answer.and_then(Result::err) {
            Some(Errno::ENOSYS) if !since.is_empty() => Some(since),
            Some(Errno::EPERM) => Some("a seccomp filter or a security module forbids it"),
            _ => None,
        };
        Check::tried(name, call, answer, place)
            .hint(hint)
            .needed(needed)
    }));
    if let Some(check) = list.iter_mut().find(|check| check.name == "pivot_root") {
        // The first root file system cannot be pivoted away from, and is mounted over instead.
        if check.errno == Some(Errno::EINVAL) && went(answers, "move_root") {
            *check = Check::new(
                "pivot_root",
                true,
                "the box is mounted over the first root, as in an initramfs",
            )
            .needed(true);
        }
    }
    list.push(
        Check::tried(
            "idmap",
            "mount_setattr(MOUNT_ATTR_IDMAP)",
            facts.direct.of("idmap"),
            format!("{} can be mounted with other ids", facts.kind()),
        )
        .hint(match facts.direct.of("idmap") {
            Some(Err(Errno::EINVAL)) => {
                Some("this file system knows none, or Linux is older than 5.12")
            }
            Some(Err(Errno::EPERM)) => Some("only root of the machine may"),
            _ => None,
        }),
    );
    list
}

/// The place for a box, and what of a copy the kernel can do.
fn of_directory(facts: &Facts) -> Vec<Check> {
    let place = facts.directory.display();
    let kind = facts.kind();
    let call = format!("access({place}, W_OK)");
    let writable = Check::tried(
        "box-dir",
        &call,
        Some(facts.writable),
        format!("{place} ({kind})"),
    )
    .needed(true)
    .hint(match facts.writable {
        Err(Errno::EROFS) => Some("it is mounted read-only: make the box elsewhere"),
        _ => Some("make the box where you may write"),
    })
    .with("path", facts.directory.to_string_lossy())
    .with("type", kind);
    let noexec = facts.flags().any(|flag| flag == "noexec");
    let found = match noexec {
        true => format!("{place} is mounted noexec"),
        false => "programs in a box there can be run".into(),
    };
    let exec = Check::new("box-dir.exec", !noexec, found)
        .needed(true)
        .hint(Some(
            "make the box on another file system: its mount inherits noexec",
        ));
    let unnamed = facts.files.of("tmpfile").and_then(Result::err);
    let copy = |name: &str, call: &str, found: &str, without: &'static str| match unnamed {
        Some(errno) => Check::tried(name, "open(O_TMPFILE)", Some(Err(errno)), "")
            .hint(Some("not tried: no unnamed file can be made there")),
        None => Check::tried(name, call, facts.files.of(name), found).hint(Some(without)),
    };
    let cache = match facts.ld_cache {
        Some(true) => Check::new("ld.so.cache", true, "/etc/ld.so.cache"),
        Some(false) => Check::new(
            "ld.so.cache",
            false,
            "/etc/ld.so.cache: in no format of glibc 2.2 or later",
        ),
        None => Check::new("ld.so.cache", false, "no /etc/ld.so.cache"),
    };
    vec![
        writable,
        exec,
        copy(
            "copy_file_range",
            "copy_file_range()",
            "copies are made in the kernel",
            "files are copied by read and write instead",
        ),
        copy(
            "reflink",
            "ioctl(FICLONE)",
            "copies within this file system share their blocks",
            "btrfs, XFS, bcachefs have it; elsewhere a copy takes its room",
        ),
        cache.hint(Some(
            "/etc/ld.so.conf and the loader's own directories are used; ldconfig writes it",
        )),
    ]
}

/// As root and in a user namespace.
fn of_overlay(facts: &Facts) -> [Check; 2] {
    let of = |name: &str, answer: Option<Answer>, found: &str| {
        let check = |ok, found| Check::new(name, ok, found);
        match facts.overlay_module {
            Module::There => {}
            Module::Loadable => {
                return check(
                    true,
                    "a module, which the kernel loads when it is first needed",
                );
            }
            Module::Absent => {
                return check(false, "not in this kernel")
                    .hint(Some("a kernel with CONFIG_OVERLAY_FS"));
            }
            Module::Unknown => {
                return check(false, "not loaded, and no list of modules to look into")
                    .hint(Some("modprobe overlay, as root of the machine"));
            }
        }
        let hint = match answer.and_then(Result::err) {
            Some(Errno::EPERM) => Some("Linux 5.11 allows it in a user namespace"),
            _ => None,
        };
        Check::tried(name, "mount(overlay)", answer, found).hint(hint)
    };
    [
        of("overlay", facts.overlay.of("overlay"), "as this user"),
        of(
            "rootless.overlay",
            facts.nested_overlay.of("overlay"),
            "as root of a new user namespace",
        ),
    ]
}
