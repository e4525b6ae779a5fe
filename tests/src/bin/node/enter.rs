//! `node enter TOOLS SCRIPTS JOIN…`: joins the node's groups, makes its namespaces, waits for its init.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};

use nix::sched::{CloneFlags, unshare};

use crate::{Answer, Tried, say};

/// The namespaces of a node; not the user's: root is root.
pub(crate) const NAMESPACES: [(&str, CloneFlags); 6] = [
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("pid", CloneFlags::CLONE_NEWPID),
    // last: after it the machine's /proc is out of sight
    ("mnt", CloneFlags::CLONE_NEWNS),
];

pub(crate) fn enter(arguments: &[OsString]) -> Answer<ExitCode> {
    let [tools, scripts, joins @ ..] = arguments else {
        return Err("enter TOOLS SCRIPTS JOIN…".into());
    };
    for file in joins {
        // On v2 the root of the cgroup namespace is the parent of the group of its init.
        let root = file
            .to_string_lossy()
            .replace("/init/cgroup.procs", "/cgroup.procs");
        fs::write(&root, "0").tried(&root)?;
    }
    let flags = NAMESPACES.iter().map(|(_, flag)| *flag).collect();
    unshare(flags).tried("unshare")?;
    for file in joins {
        if file.to_string_lossy().ends_with("/init/cgroup.procs") {
            fs::write(file, "0").tried(file.display())?;
        }
    }
    let mut init = Command::new(env::current_exe().tried("/proc/self/exe")?)
        .arg("init")
        .args([tools, scripts])
        .spawn()
        .tried("node init")?;
    say(&format!("init {}\n", init.id()))?;
    // Killed when a test runs out of time, else it ends well.
    init.wait().tried("wait")?;
    Ok(ExitCode::SUCCESS)
}
