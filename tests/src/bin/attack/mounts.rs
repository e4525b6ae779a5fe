//! A mount that is made in the box and seen outside of it.

use std::fs;
use std::io::{Read, stdin};

use nix::mount::{MsFlags, mount};

use crate::{Report, Why};

/// `attack mounts DIR`: mounts something called attack on DIR and stays until stdin ends. Who is outside looks meanwhile.
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    let dir = crate::text(arguments, 0);
    let none: Option<&str> = None;
    let made = fs::create_dir_all(dir)
        .why()
        .and_then(|()| mount(Some("attack"), dir, Some("tmpfs"), MsFlags::empty(), none).why());
    report.line("tmpfs", made.map(|()| format!("mounted on {dir}")));
    let _ = stdin().read(&mut [0]);
}
