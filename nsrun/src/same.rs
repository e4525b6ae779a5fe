//! Whether the pod that is up is the one that is wanted.

use std::path::PathBuf;

use record::Id;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::holder::{Wanted, texts};
use crate::procfs;
use crate::request::{Source, holder_path};
use crate::state::{Options, State};
use crate::step::kinds;

/// An error that says the difference, unless the pod that is up is the one that is wanted.
pub(crate) fn same(
    id: &Id,
    earlier: &State,
    wanted: &Wanted,
    arguments: &UpArgs,
) -> Result<(), Error> {
    let list = |flags: i32| match kinds(flags)[..] {
        [] => "no new namespace".to_owned(),
        ref kinds => {
            let names: Vec<_> = kinds.iter().map(|kind| kind.flag()).collect();
            format!("new {}", names.join(","))
        }
    };
    let differs = |what| differs(id, what);
    if earlier.made != wanted.request.new {
        let (has, wants) = (list(earlier.made), list(wanted.request.new));
        return differs(format!("with {has}, not with {wants}"));
    }
    if arguments.pin && earlier.pins.is_empty() {
        return differs("without pins, not with --pin".into());
    }
    for join in &wanted.request.joins {
        let path = match &join.source {
            Source::File(path) => path.clone(),
            Source::Process { pid, .. } => holder_path(*pid, join.kind),
            Source::Holder | Source::Descriptor(_) => continue,
        };
        if procfs::identity(&path).map(|(_, inode)| inode) != earlier.inode(join.kind) {
            return differs(format!(
                "with another {} namespace than {}",
                join.kind.flag(),
                path.display()
            ));
        }
    }
    if earlier.hostname != wanted.hostname {
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        return differs(format!(
            "with host name {}, not {}",
            name(&earlier.hostname),
            name(&wanted.hostname)
        ));
    }
    // What /proc tells of a process that is gone it tells of the next one in the same namespaces.
    if earlier.holder.open()?.is_some() {
        same_inside(id, earlier.holder.pid, wanted)?;
        // Only what is asked for: who has the record alone need not know the rest.
        for (name, value) in process_options(arguments) {
            let has = earlier.options.get(&name);
            if has != Some(&value) {
                let has = has.map_or("none", String::as_str);
                return differs(format!("with {name} {has}, not {value}"));
            }
        }
    }
    let command = texts(&arguments.command);
    if earlier.command != command {
        return differs(format!(
            "with command {:?}, not {:?}",
            earlier.command.join(" "),
            command.join(" ")
        ));
    }
    Ok(())
}

/// An error that says the difference between what is wanted and the namespaces of `pid`, as it sees them itself.
pub(crate) fn same_inside(id: &Id, pid: i32, wanted: &Wanted) -> Result<(), Error> {
    if wanted.maps.as_ref().is_some_and(|maps| !maps.are_of(pid)) {
        return differs(id, "with other users and groups mapped".into());
    }
    if !wanted.offsets.is_of(pid) {
        return differs(id, "with other offsets of its clocks".into());
    }
    Ok(())
}

/// What the options say of the process that holds the pod, and /proc does not: under pause it is CMD's.
pub(crate) fn process_options(arguments: &UpArgs) -> Options {
    let options = &arguments.namespaces;
    let log = arguments.log.as_ref();
    // Where it is does not depend on who looks.
    let log = log.map(|log| std::path::absolute(log).unwrap_or_else(|_| log.clone()));
    let given = [
        ("root", options.root.clone()),
        ("wd", options.wd.clone()),
        ("log", log),
        ("mountProc", options.mount_proc.clone()),
    ];
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    given
        .into_iter()
        .filter_map(|(name, path)| Some((name.to_owned(), text(path?))))
        .collect()
}

fn differs(id: &Id, what: String) -> Result<(), Error> {
    Err(Error::Failed(format!(
        "{id} is up {what} (nsrun down --id {id} first)"
    )))
}
