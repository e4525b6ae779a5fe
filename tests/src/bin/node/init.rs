//! `node init TOOLS SCRIPTS`: PID 1 of a node; builds what is seen in it, then reaps until the test is over.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tests::mountinfo::mounts;

use crate::cgroups::{Hierarchy, hierarchies};
use crate::{Answer, Tried, say};

const TOOLS: [&str; 6] = ["pause", "mkbox", "nsrun", "cgset", "netwire", "podspec"];

/// What programs expect in /dev.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

pub(crate) fn init(arguments: &[OsString]) -> Answer<ExitCode> {
    let [tools, scripts] = arguments else {
        return Err("init TOOLS SCRIPTS".into());
    };
    let hierarchies = hierarchies()?;
    mount_flags("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    everything_read_only()?;
    // First, while /tmp and /home still show where the tools are.
    tmpfs("/mnt", 0o755)?;
    bring_in(Path::new(tools), Path::new(scripts))?;
    devices()?;
    let own = [
        ("/run", 0o755),
        ("/var/lib", 0o755),
        ("/home", 0o755),
        ("/tmp", 0o1777),
    ];
    uncover_below(&own.map(|(path, _)| Path::new(path)))?;
    for (path, mode) in own {
        tmpfs(path, mode)?;
    }
    // mount(8) makes the last one when it is first used.
    for dir in ["/home/namespace", "/var/lib/cni", "/run/mount"] {
        fs::create_dir(dir).tried(dir)?;
    }
    // proc comes first: mountinfo of the machine's would not tell of this namespace any more.
    uncover("/proc");
    file_system("proc", "/proc", MsFlags::empty(), None)?;
    uncover("/sys");
    file_system("sysfs", "/sys", MsFlags::MS_RDONLY, None)?;
    control_groups(&hierarchies)?;
    network()?;
    mount_flags("/", MsFlags::MS_REC | MsFlags::MS_SHARED)?;
    reap()?;
    say("ready\n")?;
    // Nothing comes but the end: the test is over, or it was killed.
    let _ = io::stdin().read(&mut [0]);
    Ok(ExitCode::SUCCESS)
}

/// No file of the machine can be changed from here, whatever a tool does wrong.
fn everything_read_only() -> Answer<()> {
    for found in mounts().tried("mountinfo")? {
        let kept = found.options.split(',').map(|option| match option {
            "nosuid" => MsFlags::MS_NOSUID,
            "nodev" => MsFlags::MS_NODEV,
            "noexec" => MsFlags::MS_NOEXEC,
            "noatime" => MsFlags::MS_NOATIME,
            "nodiratime" => MsFlags::MS_NODIRATIME,
            "relatime" => MsFlags::MS_RELATIME,
            _ => MsFlags::empty(),
        });
        let flags = kept.fold(
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY,
            |all, flag| all | flag,
        );
        let remounted = mount(
            None::<&str>,
            &found.point,
            None::<&str>,
            flags,
            None::<&str>,
        );
        // What another mount covers cannot be reached by its path, and so not be written to either.
        if let Err(error) = remounted
            && found.point == Path::new("/")
        {
            return Err(error).tried("remount / read-only");
        }
    }
    Ok(())
}

/// The tools under test, this helper, and the repository's scripts.
fn bring_in(tools: &Path, scripts: &Path) -> Answer<()> {
    fs::create_dir("/mnt/tools").tried("/mnt/tools")?;
    for tool in TOOLS {
        bind_file(&tools.join(tool), &Path::new("/mnt/tools").join(tool))?;
    }
    let own = env::current_exe().tried("/proc/self/exe")?;
    bind_file(&own, Path::new("/mnt/node"))?;
    // Built with it by any test of this crate, and not by `cargo build --bin node`.
    let attack = own.with_file_name("attack");
    if attack.is_file() {
        bind_file(&attack, Path::new("/mnt/attack"))?;
    }
    if scripts.is_dir() {
        fs::create_dir("/mnt/scripts").tried("/mnt/scripts")?;
        bind(scripts, Path::new("/mnt/scripts"))?;
    }
    Ok(())
}

fn devices() -> Answer<()> {
    let new = PathBuf::from("/mnt/dev");
    fs::create_dir(&new).tried("/mnt/dev")?;
    tmpfs("/mnt/dev", 0o755)?;
    for device in DEVICES {
        bind_file(&Path::new("/dev").join(device), &new.join(device))?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlink(target, new.join(link)).tried(link)?;
    }
    for dir in ["pts", "shm"] {
        fs::create_dir(new.join(dir)).tried(dir)?;
    }
    file_system(
        "devpts",
        "/mnt/dev/pts",
        MsFlags::empty(),
        Some("newinstance,ptmxmode=0666,mode=620"),
    )?;
    tmpfs("/mnt/dev/shm", 0o1777)?;
    uncover("/dev");
    mount(
        Some("/mnt/dev"),
        "/dev",
        None::<&str>,
        MsFlags::MS_MOVE,
        None::<&str>,
    )
    .tried("/dev")?;
    fs::remove_dir("/mnt/dev").tried("/mnt/dev")
}

/// The machine's hierarchies again, with the node's group as their root: cgroup_namespaces(7).
fn control_groups(hierarchies: &[Hierarchy]) -> Answer<()> {
    if let [Hierarchy { point, v1: None }] = hierarchies {
        return file_system("cgroup2", &point.to_string_lossy(), MsFlags::empty(), None);
    }
    tmpfs("/sys/fs/cgroup", 0o755)?;
    for hierarchy in hierarchies {
        let point = hierarchy.point.to_string_lossy();
        fs::create_dir_all(&hierarchy.point).tried(&point)?;
        let kind = if hierarchy.v1.is_some() {
            "cgroup"
        } else {
            "cgroup2"
        };
        file_system(kind, &point, MsFlags::empty(), hierarchy.v1.as_deref())?;
    }
    Ok(())
}

fn network() -> Answer<()> {
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    if !up.tried("ip (package iproute2)")?.success() {
        return Err("ip link set lo up failed".into());
    }
    // A new namespace takes over the machine's.
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").tried("ip_forward")?;
    fs::write("/proc/sys/kernel/hostname", "node").tried("hostname")
}

/// Reaps whatever is left to PID 1, in a thread of its own.
fn reap() -> Answer<()> {
    let children = SigSet::from(Signal::SIGCHLD);
    // Inherited by the thread: the signal waits until sigwait(3) takes it.
    children.thread_block().tried("sigprocmask")?;
    thread::spawn(move || {
        loop {
            let _ = children.wait();
            while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                if status == WaitStatus::StillAlive {
                    break;
                }
            }
        }
    });
    Ok(())
}

/// Takes away what the machine has mounted here, so that the new one does not lie upon a pile.
fn uncover(path: &str) {
    // Where the machine itself is a container its mounts may be locked together: they are covered then.
    while umount2(path, MntFlags::MNT_DETACH).is_ok() {}
}

/// Takes away what the machine has mounted below these directories: when the machine removes the directory it is on, it
/// would go in the middle of a test.
fn uncover_below(dirs: &[&Path]) -> Answer<()> {
    for found in mounts().tried("mountinfo")?.into_iter().rev() {
        let is_below = |dir: &&Path| found.point.starts_with(dir) && found.point != **dir;
        if dirs.iter().any(is_below) {
            // Locked together where the machine is a container; then it is covered.
            let _ = umount2(&found.point, MntFlags::MNT_DETACH);
        }
    }
    Ok(())
}

fn bind_file(from: &Path, to: &Path) -> Answer<()> {
    File::create(to).tried(to.display())?;
    bind(from, to)
}

fn bind(from: &Path, to: &Path) -> Answer<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).tried(format_args!(
        "{} on {}",
        from.display(),
        to.display()
    ))
}

fn tmpfs(path: &str, mode: u32) -> Answer<()> {
    file_system("tmpfs", path, MsFlags::empty(), None)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).tried(path)
}

fn file_system(kind: &str, path: &str, flags: MsFlags, data: Option<&str>) -> Answer<()> {
    mount(Some(kind), path, Some(kind), flags, data).tried(format_args!("{kind} on {path}"))
}

fn mount_flags(path: &str, flags: MsFlags) -> Answer<()> {
    mount(None::<&str>, path, None::<&str>, flags, None::<&str>)
        .tried(format_args!("{flags:?} on {path}"))
}
