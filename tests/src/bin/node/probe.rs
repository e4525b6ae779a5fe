//! `node probe`: what the process that runs it may do and has, a line for each thing; for comparing what starts it.
#![expect(
    unsafe_code,
    reason = "keyctl and the request that types have no safe wrapper"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::process::ExitCode;

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::stat::{Mode, umask};
use nix::unistd::getsid;

use crate::{Answer, Tried, say};

pub(crate) fn probe() -> Answer<ExitCode> {
    // Rust ignores it before main.
    sys::restore_sigpipe();
    // First: what follows opens files.
    let descriptors = descriptors()?;
    let status = fs::read_to_string("/proc/self/status").tried("/proc/self/status")?;
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or("?").trim().to_owned()
    };
    let bits = |name: &str| u64::from_str_radix(&field(name), 16).map_or(0, u64::count_ones);
    let gid = field("Gid").split_whitespace().next().map(str::to_owned);
    let groups: Vec<String> = field("Groups")
        .split_whitespace()
        .map(str::to_owned)
        .filter(|group| Some(group) != gid.as_ref())
        .collect();
    let limits = fs::read_to_string("/proc/self/limits").tried("/proc/self/limits")?;
    let limit = |name: &str| {
        let values = limits.lines().find_map(|line| line.strip_prefix(name));
        let soft = values.and_then(|values| values.split_whitespace().next());
        soft.unwrap_or("?").to_owned()
    };
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let mask = umask(Mode::empty());
    let facts: BTreeMap<&str, String> = [
        ("effective", bits("CapEff").to_string()),
        ("permitted", bits("CapPrm").to_string()),
        ("bounding", bits("CapBnd").to_string()),
        ("inheritable", bits("CapInh").to_string()),
        ("ambient", bits("CapAmb").to_string()),
        ("no_new_privs", field("NoNewPrivs")),
        ("seccomp", field("Seccomp")),
        ("groups", groups.join(",")),
        ("umask", format!("{:03o}", mask.bits())),
        ("core", limit("Max core file size")),
        ("nofile", limit("Max open files")),
        ("descriptors", descriptors),
        ("environment", names.join(",")),
        ("keyring", keyring()),
        (
            "session",
            getsid(None).map_or_else(|_| "?".into(), |session| session.to_string()),
        ),
        ("signals", (bits("SigBlk") + bits("SigIgn")).to_string()),
        ("typing", typing().to_string()),
        ("vsock", family(AddressFamily::Vsock).to_string()),
        ("alg", family(AddressFamily::Alg).to_string()),
        ("packet", packet().to_string()),
        ("kcore", reads("/proc/kcore").to_string()),
        (
            "sysctl",
            writes("/proc/sys/kernel/core_pattern").to_string(),
        ),
        ("sysrq", writes("/proc/sysrq-trigger").to_string()),
        // Last: afterwards this process is somebody else.
        (
            "user-namespace",
            unshare(CloneFlags::CLONE_NEWUSER).is_ok().to_string(),
        ),
    ]
    .into_iter()
    .collect();
    let line = |(name, value): (&&str, &String)| format!("{name} {value}\n");
    say(&facts.iter().map(line).collect::<String>())
}

/// Those above 2 that are open, but for the one that lists them.
fn descriptors() -> Answer<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").tried("/proc/self/fd")? {
        let entry = entry.tried("/proc/self/fd")?;
        let leads = fs::read_link(entry.path());
        let is_list = leads.is_ok_and(|leads| leads.ends_with("fd") && leads.starts_with("/proc"));
        let number: u32 = entry
            .file_name()
            .to_string_lossy()
            .parse()
            .tried("a number")?;
        if number > 2 && !is_list {
            found.push(number.to_string());
        }
    }
    Ok(found.join(","))
}

/// `node keyed CMD...`: has a session keyring of its own, says which, and becomes CMD.
pub(crate) fn keyed(command: &[OsString]) -> Answer<ExitCode> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let name = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring; nothing is read.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name) };
    let serial = nix::errno::Errno::result(answer).tried("keyctl(KEYCTL_JOIN_SESSION_KEYRING)")?;
    say(&format!("callers-keyring {serial}\n"))?;
    Err(sys::exec(command).to_string())
}

/// The serial number of the session keyring, or why there is none to be had.
fn keyring() -> String {
    const GET_KEYRING_ID: libc::c_long = 0;
    const SESSION: libc::c_long = -3;
    // SAFETY: this request takes three integers and touches no memory.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, GET_KEYRING_ID, SESSION, 0_i64) };
    nix::errno::Errno::result(answer).map_or_else(|errno| errno.to_string(), |id| id.to_string())
}

/// Whether the request that types into a terminal gets as far as the question which terminal.
fn typing() -> bool {
    // SAFETY: the kernel reads one byte of a live array. Descriptor -1 is none, so nothing is typed.
    let answer = unsafe { libc::ioctl(-1, libc::TIOCSTI, c"x".as_ptr()) };
    nix::errno::Errno::result(answer) == Err(nix::errno::Errno::EBADF)
}

fn family(family: AddressFamily) -> bool {
    let kind = match family {
        AddressFamily::Alg => SockType::SeqPacket,
        _ => SockType::Stream,
    };
    let made = socket(family, kind, SockFlag::empty(), None);
    // A kernel without it is no filter.
    !matches!(made, Err(nix::errno::Errno::EPERM))
}

fn packet() -> bool {
    socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::empty(),
        None,
    )
    .is_ok()
}

fn reads(path: &str) -> bool {
    let mut byte = [0];
    let read = fs::File::open(path).and_then(|mut file| file.read(&mut byte));
    read.is_ok_and(|count| count == 1)
}

fn writes(path: &str) -> bool {
    OpenOptions::new().write(true).open(path).is_ok()
}
