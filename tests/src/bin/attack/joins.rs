//! Waits in a container for somebody to join it: who comes from outside is traced, and its files are opened, while it is not
//! yet confined. CVE-2016-9962, CVE-2019-5736.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::processes::trace;
use crate::{Report, text};

/// What was had of those who came.
#[derive(Default)]
struct Had {
    root: u32,
    descriptor: u32,
    traced: u32,
    /// Programs that are not the box's, held until they run nowhere and can be written.
    programs: Vec<File>,
}

/// `attack joins STOP SECRET`: until the file STOP is there. A line for each thing that was ever got of a joiner.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let (stop, secret) = (
        Path::new(text(arguments, 0)),
        text(arguments, 1).trim_start_matches('/'),
    );
    let mut had = Had::default();
    let _ = std::io::stdout().write_all(b"watching\n");
    while !stop.exists() {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids.filter(|pid| *pid != 1) {
            look(pid, secret, &mut had);
        }
    }
    let again = |file: &File| {
        OpenOptions::new()
            .append(true)
            .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .is_ok()
    };
    let written = had.programs.iter().filter(|file| again(file)).count();
    for (what, count) in [
        ("root", had.root.to_string()),
        ("descriptor", had.descriptor.to_string()),
        ("program", written.to_string()),
        ("trace", had.traced.to_string()),
    ] {
        let outcome = if count == "0" {
            Err("of nobody".into())
        } else {
            Ok(format!("{count} times"))
        };
        report.line(what, outcome);
    }
}

/// Whatever can be had of one process.
fn look(pid: i32, secret: &str, had: &mut Had) {
    let dir = PathBuf::from(format!("/proc/{pid}"));
    let leads = |place: PathBuf| {
        let above = [place.join(secret), place.join("../../").join(secret)];
        above.iter().any(|path| fs::metadata(path).is_ok())
    };
    had.root += u32::from(leads(dir.join("root")) || leads(dir.join("cwd")));
    let descriptors = fs::read_dir(dir.join("fd")).into_iter().flatten().flatten();
    had.descriptor += u32::from(descriptors.map(|fd| fd.path()).any(leads));
    // The program is not of the box: its name there means another file, or none.
    let exe = fs::read_link(dir.join("exe"));
    let is_foreign = exe.is_ok_and(|exe| fs::metadata(exe).is_err());
    if is_foreign {
        had.traced += u32::from(trace(Pid::from_raw(pid)).is_ok());
        if had.programs.len() < 64 {
            had.programs.extend(File::open(dir.join("exe")));
        }
    }
}
