//! Devices of the machine: made in the box, or shipped in it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::{Attempt, Report, Why};

/// Their names, major and minor numbers. Reading is all that is tried.
const DEVICES: [(&str, SFlag, u64, u64); 4] = [
    ("mem", SFlag::S_IFCHR, 1, 1),
    ("kmsg", SFlag::S_IFCHR, 1, 11),
    ("loop0", SFlag::S_IFBLK, 7, 0),
    ("tun", SFlag::S_IFCHR, 10, 200),
];

/// `attack devices SHIPPED...`: nodes that are in the box already.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    for (name, kind, major, minor) in DEVICES {
        report.line(
            format_args!("make-{name}"),
            made(name, kind, makedev(major, minor)),
        );
    }
    for path in arguments {
        report.line(
            format_args!("shipped{}", path.replace('/', "-")),
            opened(path).why(),
        );
    }
    let there = [
        "/dev/kmsg",
        "/dev/mem",
        "/dev/port",
        "/dev/loop-control",
        "/dev/fuse",
        "/dev/net/tun",
        "/dev/kvm",
    ];
    for path in there {
        report.line(
            format_args!("there{}", path.replace('/', "-")),
            opened(path).why(),
        );
    }
}

fn opened(path: &str) -> io::Result<String> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    Ok(format!("{path} opens"))
}

/// Made anywhere; and it must be one: a whiteout, which anybody may make, is none.
fn made(name: &str, kind: SFlag, device: u64) -> Attempt {
    let mut last = String::new();
    for dir in ["/", "/tmp", "/dev", "/dev/shm"] {
        let path = format!("{dir}/attack-{name}");
        if let Err(errno) = mknod(path.as_str(), kind, Mode::S_IRUSR, device) {
            last = format!("mknod: {}", errno.desc());
            continue;
        }
        let outcome = opened(&path);
        fs::remove_file(&path).why()?;
        match outcome {
            Ok(got) => return Ok(got),
            // Made, and no such thing on this machine, or kept for somebody else.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENXIO | libc::ENODEV | libc::EBUSY)
                ) =>
            {
                return Ok(format!("{path}: {error}"));
            }
            Err(error) => last = format!("open: {error}"),
        }
    }
    Err(last)
}
