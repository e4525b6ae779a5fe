//! `up`: make it so, or undo it and say why.

use std::process::ExitCode;

use serde_json::Value;

use crate::filter::{failed, refuse, status, write_record, write_stdout};
use crate::index::{Index, PENDING, at_rest, indexed, is_pending, with_their_keys, without};
use crate::{Error, Failure, Id, Record, SourceArgs, report};

/// Key of an intended state: what `undo` goes back to, instead of to nothing.
pub const RESTORES: &str = "restores";

/// One `up` of one tool.
#[derive(Debug)]
pub struct Up {
    tool: &'static str,
    id: Id,
    /// As it will be written; the tool sets the spec keys it owns.
    record: Record,
    state: Option<Value>,
    index: Index,
    /// What the index held when we came.
    before: Option<Record>,
    /// Written ahead in this run.
    intended: Option<Value>,
}

impl Up {
    /// The pod's name.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The record as it was read.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// For the spec keys that the tool owns.
    pub fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// What an earlier, finished `up` of this tool made for this id: to be verified against the kernel, then success
    /// if it is what is wanted, else an error that says the difference.
    #[must_use]
    pub fn state(&self) -> Option<&Value> {
        self.state.as_ref()
    }

    /// Writes down what is about to be made: before the first effect, and again when more is known (a pid).
    ///
    /// # Errors
    /// The index cannot be written; nothing may be made then.
    pub fn intend(&mut self, state: &Value) -> Result<(), Error> {
        self.intended = Some(state.clone());
        let mut indexed = self.indexed(Some(state.clone()));
        let mut pending: Vec<Value> = self.pending_of_others();
        pending.push(self.tool.into());
        indexed.set(PENDING, pending.into());
        self.index.write(&indexed)
    }

    /// The record for the index: the spec keys of this pipe, what other tools wrote there, and our own `state`.
    fn indexed(&self, state: Option<Value>) -> Record {
        let mut indexed = with_their_keys(self.record.clone(), self.before.as_ref());
        match state {
            Some(state) => indexed.set(self.tool, state),
            None => drop(indexed.remove(self.tool)),
        }
        let pending = self.pending_of_others();
        if !pending.is_empty() {
            indexed.set(PENDING, pending.into());
        }
        indexed
    }

    fn pending_of_others(&self) -> Vec<Value> {
        let pending = self
            .before
            .as_ref()
            .and_then(|before| before.get(PENDING))
            .and_then(Value::as_array);
        pending
            .into_iter()
            .flatten()
            .filter(|tool| **tool != self.tool)
            .cloned()
            .collect()
    }
}

/// `up`: reads the record, locks the id, cleans away what a killed `up` of this tool left, runs `work`, and writes the
/// record with what `work` returned under the tool's own key.
///
/// When `work` fails, what it intended is undone and the record that was read is written with `failed` in it. When nobody
/// takes the record, what was made is undone too. `undo` gets the state as it was last intended and must cope
/// with any part of it not being there. A state that was intended on top of another one has that under `restores`: `undo`
/// then goes back to it, and it is what the index has afterwards.
pub fn up<E: Failure + From<Error>>(
    tool: &'static str,
    source: &SourceArgs,
    work: impl FnOnce(&mut Up) -> Result<Value, E>,
    undo: impl Fn(&Id, &Value) -> Result<(), E>,
) -> ExitCode {
    let (id, mut given) = match source.read() {
        Ok(read) => read,
        Err(error) => return refuse(tool, &error),
    };
    given.remove(PENDING);
    if let Some((by, _)) = given.failed() {
        let error = Error::Record(format!(
            "{id}: {by} failed on this record{}",
            downs(&id, &given, by)
        ));
        report(tool, &error);
        return match source.is_stdin() && write_stdout(tool, &given) {
            true => ExitCode::FAILURE,
            false => ExitCode::from(2),
        };
    }
    let answer = begin(tool, id.clone(), &given, &undo).and_then(|up| run(up, work, &undo));
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(tool, &error);
            // A pod that was only named may be up already: then the record is of what there is.
            let named = source.pod.is_none() && source.id.is_some();
            let known = Some(&id)
                .filter(|_| named)
                .and_then(|id| indexed(id).ok().flatten());
            let record = known.unwrap_or(given);
            let said = error.to_string();
            if let Err(second) = write_record(&failed(record, tool, &said))
                && second.to_string() != said
            {
                report(tool, second);
            }
            status(&error)
        }
    }
}

/// What takes down all that a failed record tells of, in the order in which pods go down.
fn downs(id: &Id, record: &Record, failed: &str) -> String {
    let concerned = |tool: &&str| *tool == failed || record.get(tool).is_some();
    let tools = ["nsrun", "netwire", "cgset", "mkbox"];
    let down = |tool| format!("{tool} down --id {id}");
    let downs: Vec<_> = tools.into_iter().filter(concerned).map(down).collect();
    match downs.is_empty() {
        true => String::new(),
        false => format!(" (to begin again: {})", downs.join(", ")),
    }
}

/// Locks the id and brings it into a state in which the tool either is up or has nothing.
fn begin<E: Failure + From<Error>>(
    tool: &'static str,
    id: Id,
    given: &Record,
    undo: &impl Fn(&Id, &Value) -> Result<(), E>,
) -> Result<Up, E> {
    let (index, before) = Index::create(&id)?;
    let indexed = before.as_ref().and_then(|before| before.get(tool)).cloned();
    let state = indexed.clone().or_else(|| given.get(tool).cloned());
    let mut up = Up {
        tool,
        id,
        record: given.clone(),
        state,
        index,
        before,
        intended: None,
    };
    if let Some(half) = indexed.filter(|_| is_pending(up.before.as_ref(), tool)) {
        undo(&up.id, &half)?;
        up.state = half.get(RESTORES).cloned();
    }
    Ok(up)
}

/// Runs `work`; what it made is in the index and on stdout afterwards, or is undone.
fn run<E: Failure + From<Error>>(
    mut up: Up,
    work: impl FnOnce(&mut Up) -> Result<Value, E>,
    undo: &impl Fn(&Id, &Value) -> Result<(), E>,
) -> Result<(), E> {
    let answer = work(&mut up).and_then(|state| {
        up.record.set(up.tool, state.clone());
        up.index.write(&up.indexed(Some(state)))?;
        write_record(&up.record)?;
        Ok(())
    });
    let Err(error) = answer else { return Ok(()) };
    if let Some(state) = &up.intended {
        if let Err(second) = undo(&up.id, state) {
            // The write-ahead stays in the index, so that `down --id` can try again.
            let again =
                format_args!("{second} (not undone: {} down --id {})", up.tool, up.id).to_string();
            report(up.tool, again);
            return Err(error);
        }
        let mut rest = up.before.unwrap_or_else(|| Record::new(&up.id));
        rest = match state.get(RESTORES) {
            Some(earlier) => {
                rest.set(up.tool, earlier.clone());
                at_rest(up.tool, rest)
            }
            None => without(up.tool, rest),
        };
        up.index.write_or_remove(&rest)?;
    } else if up.before.is_none() {
        // Nothing was begun, and nothing is known.
        up.index.write_or_remove(&Record::new(&up.id))?;
    }
    Err(error)
}
