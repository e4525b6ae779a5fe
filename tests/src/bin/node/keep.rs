//! `node keep NAME TOOLS SCRIPTS`: outlives the node and removes its groups.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;

use crate::cgroups::{Hierarchy, hierarchies};
use crate::{Answer, Tried, say};

/// Until the end of stdin, which is the end of the test.
pub(crate) fn keep(arguments: &[OsString]) -> Answer<ExitCode> {
    let [test, tools, scripts] = arguments else {
        return Err("keep NAME TOOLS SCRIPTS".into());
    };
    let name = format!(
        "chroot0-node-{}-{}",
        test.to_string_lossy(),
        std::process::id()
    );
    let hierarchies = Arc::new(hierarchies()?);
    let made = hierarchies
        .iter()
        .try_for_each(|hierarchy| hierarchy.make(&name));
    let mut answer = made;
    if answer.is_ok() {
        thaw_at_the_end(Arc::clone(&hierarchies), name.clone());
        answer = hold(&hierarchies, &name, tools, scripts);
    }
    for hierarchy in hierarchies.iter() {
        answer = answer.and(hierarchy.remove(&name));
    }
    answer.map(|()| ExitCode::SUCCESS)
}

/// What a tool left frozen could not be ended.
fn thaw_at_the_end(hierarchies: Arc<Vec<Hierarchy>>, name: String) {
    thread::spawn(move || {
        // The init reads the same pipe, and ends with it: nothing is ever written into it.
        let _ = io::stdin().read(&mut [0]);
        for hierarchy in hierarchies.iter() {
            hierarchy.thaw(&name);
        }
    });
}

/// Starts the node and waits for its end.
fn hold(hierarchies: &[Hierarchy], name: &str, tools: &OsString, scripts: &OsString) -> Answer<()> {
    let joins = hierarchies.iter().map(|hierarchy| hierarchy.join(name));
    let joins: Vec<PathBuf> = joins.collect();
    for file in &joins {
        say(&format!("join {}\n", file.display()))?;
    }
    // By its path, which the node can bind; a /proc/self/exe leads into the machine's mount namespace.
    let own = env::current_exe().tried("/proc/self/exe")?;
    let mut enter = Command::new(own)
        .arg("enter")
        .args([tools, scripts])
        .args(joins)
        .spawn()
        .tried("node enter")?;
    let status = enter.wait().tried("wait")?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("node enter: {status}"))
}
