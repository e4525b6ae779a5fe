//! `nsrun show`: who is in a pod, and which of its namespaces each of them shares with whom.

use std::process::ExitCode;

use record::{Id, Record};

use crate::cli::ShowArgs;
use crate::error::Error;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::table;
use crate::view::View;

/// `nsrun show`
pub(crate) fn show(arguments: &ShowArgs) -> ExitCode {
    sys::allow_descriptors();
    if arguments.all {
        let shown = all(arguments).and_then(|(text, is_all)| {
            crate::run::print(&text)?;
            Ok(is_all)
        });
        return match shown {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
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

/// Every pod that the index knows, and whether that was each: what is wrong with one is said, and hides no other.
fn all(arguments: &ShowArgs) -> Result<(String, bool), Error> {
    let snapshot = Snapshot::take()?;
    let (mut views, mut is_all) = (Vec::new(), true);
    for id in record::ids()? {
        match one(&id, &snapshot) {
            Ok(view) => views.extend(view),
            Err(error) => {
                let error = format!("{id}: {error}");
                crate::run::report(&error);
                is_all = false;
            }
        }
    }
    let text = match (arguments.json, arguments.tree) {
        (true, _) => views
            .iter()
            .map(|view| format!("{}\n", view.to_json()))
            .collect(),
        (false, true) => {
            let trees: String = views.iter().map(View::to_tree).collect();
            table::cut(&trees, table::width())
        }
        (false, false) => table::cut(&table::list(&views), table::width()),
    };
    Ok((text, is_all))
}

/// None: it goes down in this moment; or it is a box, or a group alone.
fn one(id: &Id, snapshot: &Snapshot) -> Result<Option<View>, Error> {
    let known = record::indexed(id)?;
    let is_pod = |known: &Record| known.get(crate::TOOL).and_then(State::from_json).is_some();
    let known = known.filter(is_pod);
    known.map(|known| View::of(&known, snapshot)).transpose()
}
