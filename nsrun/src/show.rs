//! `nsrun show`: who is in a pod, and which of its namespaces each of them shares with whom.

use std::process::ExitCode;

use crate::cli::ShowArgs;
use crate::error::Error;
use crate::pod;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::table;
use crate::view::View;

/// `nsrun show`
pub(crate) fn show(arguments: &ShowArgs) -> ExitCode {
    pod::allow_descriptors();
    if arguments.all {
        return match all(arguments).and_then(|text| crate::run::print(&text)) {
            Ok(status) => status.into(),
            Err(error) => {
                record::report(crate::TOOL, &error);
                ExitCode::FAILURE
            }
        };
    }
    let mut snapshot = None;
    record::show(crate::TOOL, &arguments.source, |record| {
        let snapshot = match &snapshot {
            Some(taken) => taken,
            None => snapshot.insert(Snapshot::take()?),
        };
        let view = View::of(record, snapshot)?;
        Ok::<_, Error>(match (arguments.json, arguments.tree) {
            (true, _) => format!("{}\n", view.to_json()),
            (false, true) => table::cut(&view.to_tree(), table::width()),
            (false, false) => table::cut(&view.to_table(), table::width()),
        })
    })
}

/// Every pod that the index knows.
fn all(arguments: &ShowArgs) -> Result<String, Error> {
    let snapshot = Snapshot::take()?;
    let mut views = Vec::new();
    for id in record::ids()? {
        // One that goes down in this moment is none any more.
        let Some(known) = record::indexed(&id)? else {
            continue;
        };
        // A box, or a group alone.
        if known.get(crate::TOOL).and_then(State::from_json).is_some() {
            views.push(View::of(&known, &snapshot)?);
        }
    }
    Ok(match (arguments.json, arguments.tree) {
        (true, _) => views
            .iter()
            .map(|view| format!("{}\n", view.to_json()))
            .collect(),
        (false, true) => {
            let trees: String = views.iter().map(View::to_tree).collect();
            table::cut(&trees, table::width())
        }
        (false, false) => table::cut(&table::list(&views), table::width()),
    })
}
