//! An overlay, mounted by a child in a mount namespace of its own.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount as mount_filesystem};
use rustix::process::fchdir;
use sys::{Module, Teller, ToErrno};

use super::entry::{move_onto, new_tmpfs, seal};

/// Whether the kernel knows it, by /proc/filesystems: to ask for one would have it load the module.
pub(super) fn find() -> Module {
    let known = fs::read_to_string("/proc/filesystems").map(|list| {
        let mut kinds = list.lines().filter_map(|line| line.split('\t').nth(1));
        kinds.any(|kind| kind == "overlay")
    });
    match known {
        Ok(true) => Module::There,
        Ok(false) => Module::of_file("overlay"),
        Err(_) => Module::Unknown,
    }
}

/// All its layers are in memory, mounted on `directory`, which no other namespace sees.
pub(super) fn mount(tell: &mut Teller, directory: &Path) {
    if seal(tell).is_none() {
        return;
    }
    let (Ok(memory), Ok(place)) = (new_tmpfs(), open(directory, OFlags::PATH, Mode::empty()))
    else {
        return;
    };
    if move_onto(&memory, place.as_fd()).is_err() || fchdir(&memory).is_err() {
        return;
    }
    let made = ["lower", "upper", "work", "merged"].map(fs::create_dir);
    if let Some(error) = made.into_iter().find_map(Result::err) {
        tell.tell("overlay", Err::<(), _>(error.to_errno()));
        return;
    }
    let attempt = |options: &str| -> rustix::io::Result<()> {
        let options = CString::new(options).unwrap_or_default();
        mount_filesystem(
            "overlay",
            "merged",
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
    };
    const LAYERS: &str = "lowerdir=lower,upperdir=upper,workdir=work";
    // Who is root in a user namespace only may have to keep its marks in user.* attributes; Linux 5.11.
    let answer = attempt(LAYERS).or_else(|_| attempt(&format!("{LAYERS},userxattr")));
    tell.tell("overlay", answer);
}
