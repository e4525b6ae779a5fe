//! The keys of the record that tell other tools and runtimes of a pod.

use std::path::{Path, PathBuf};

use record::{Namespace, Up};
use serde_json::Value;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::holder::Wanted;
use crate::namespace_args::Choice;
use crate::request::{Source, holder_path};
use crate::state::State;
use crate::step::kinds;

/// The spec keys of what is up now.
pub(crate) fn describe(
    up: &mut Up,
    wanted: &Wanted,
    state: &State,
    arguments: &UpArgs,
) -> Result<(), Error> {
    let request = &wanted.request;
    let left_alone = |kind: &Namespace| arguments.namespaces.choice(*kind) == Some(Choice::Host);
    let record = up.record_mut();
    let unwanted: Vec<_> = Namespace::ALL
        .into_iter()
        .filter(left_alone)
        .map(Namespace::oci)
        .collect();
    if let Some(Value::Array(entries)) = record.pointer("/linux/namespaces") {
        let kept = entries
            .iter()
            .filter(|entry| !unwanted.iter().any(|kind| entry["type"] == *kind));
        let kept: Vec<Value> = kept.cloned().collect();
        record.set_at(&["linux", "namespaces"], kept.into())?;
    }
    for kind in kinds(request.new) {
        record.set_namespace(kind, Some(&state.path(kind)))?;
    }
    for join in &request.joins {
        match &join.source {
            Source::File(path) => record.set_namespace(join.kind, Some(&absolute(path)))?,
            Source::Process { pid, .. } => {
                record.set_namespace(join.kind, Some(&holder_path(*pid, join.kind)))?
            }
            Source::Holder | Source::Descriptor(_) => {}
        }
    }
    if let Some(hostname) = &state.hostname {
        record.set("hostname", hostname.as_str().into());
    }
    if let Some(maps) = &wanted.maps {
        for (key, map) in [("uidMappings", &maps.users), ("gidMappings", &maps.groups)] {
            if let Some(map) = map {
                record.set_at(&["linux", key], map.to_json())?;
            }
        }
    }
    if !wanted.offsets.is_empty() {
        record.set_at(&["linux", "timeOffsets"], wanted.offsets.to_json())?;
    }
    Ok(())
}

/// The file itself is not resolved: in /proc it leads to no path.
fn absolute(path: &Path) -> PathBuf {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (std::fs::canonicalize(dir), path.file_name()) {
        (Ok(dir), Some(name)) => dir.join(name),
        _ => path.to_owned(),
    }
}
