//! The verbs as every tool has them: read a record, do one thing, write the record.

use std::cell::RefCell;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use sys::Call;

use crate::index::{self, Index};
use crate::{Error, Failure, Id, Record, SourceArgs, TOOLS, report, source};

/// Key of the index (never of a record): the tools that were at work when it was last written.
const PENDING: &str = "pending";

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
        let mut indexed = self.record.clone();
        indexed.remove("failed");
        for tool in TOOLS {
            // Their keys only from their own hand: who finds no record of an `up` has nothing to take down.
            match self.before.as_ref().and_then(|before| before.get(tool)) {
                Some(theirs) => indexed.set(tool, theirs.clone()),
                None => drop(indexed.remove(tool)),
            }
        }
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
/// with any part of it not being there.
pub fn up<E: Failure + From<Error>>(
    tool: &'static str,
    source: &SourceArgs,
    work: impl FnOnce(&mut Up) -> Result<Value, E>,
    undo: impl Fn(&Id, &Value) -> Result<(), E>,
) -> ExitCode {
    let (id, given) = match source.read() {
        Ok(read) => read,
        Err(error) => return refuse(tool, &error),
    };
    if let Some((by, _)) = given.failed() {
        let error = Error::Record(format!(
            "{id}: {by} failed on this record ({by} down --id {id} clears it)"
        ));
        report(tool, &error);
        return match source.is_stdin() && write_stdout(tool, &given) {
            true => ExitCode::FAILURE,
            false => ExitCode::from(2),
        };
    }
    let answer = begin(tool, id, &given, &undo).and_then(|up| run(up, work, &undo));
    match answer {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(tool, &error);
            write_stdout(tool, &failed(given, tool, &error.to_string()));
            status(&error)
        }
    }
}

/// Locks the id and brings it into a state in which the tool either is up or has nothing.
fn begin<E: Failure + From<Error>>(
    tool: &'static str,
    id: Id,
    given: &Record,
    undo: &impl Fn(&Id, &Value) -> Result<(), E>,
) -> Result<Up, E> {
    let index = Index::create(&id)?;
    let before = index.read()?;
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
        up.state = None;
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
        let rest = without(up.tool, up.before.unwrap_or_else(|| Record::new(&up.id)));
        up.index.write_or_remove(&rest)?;
    } else if up.before.is_none() {
        // Nothing was begun, and nothing is known.
        up.index.write_or_remove(&Record::new(&up.id))?;
    }
    Err(error)
}

/// A record of the index, when `tool` has nothing in it any more.
fn without(tool: &str, mut indexed: Record) -> Record {
    indexed.remove(tool);
    let pending = indexed.remove(PENDING);
    let others = pending
        .iter()
        .filter_map(Value::as_array)
        .flatten()
        .filter(|name| **name != tool);
    let others: Vec<Value> = others.cloned().collect();
    if !others.is_empty() {
        indexed.set(PENDING, others.into());
    }
    indexed
}

/// What one `down` works on.
#[derive(Debug)]
pub struct Down {
    /// The pod's name.
    pub id: Id,
    /// For the spec paths that the tool wrote and now removes.
    pub record: Record,
    /// The tool's key in the record.
    pub state: Option<Value>,
    /// The tool's key in the index; of an `up` that was killed it tells what was about to be made.
    pub indexed: Option<Value>,
}

/// `down`: runs `work` on every record of stdin, or on what the index knows of `--id`, and writes the records without
/// what the tool owned. Where there is nothing to undo, `work` is not called.
pub fn down<E: Failure + From<Error>>(
    tool: &'static str,
    source: &SourceArgs,
    work: impl FnMut(&mut Down) -> Result<(), E>,
) -> ExitCode {
    let records = match (&source.id, &source.pod) {
        (Some(id), None) => {
            index::peek(id).map(|found| vec![found.unwrap_or_else(|| Record::new(id))])
        }
        _ => source.read_all(),
    };
    let records = match records {
        Ok(records) => records,
        Err(error) => return refuse(tool, &error),
    };
    let work = RefCell::new(work);
    let mut code = ExitCode::SUCCESS;
    for mut record in records {
        record.remove(PENDING);
        let written = match down_one(tool, record.clone(), &work) {
            Ok(record) => record,
            Err(error) => {
                report(tool, &error);
                code = status(&error);
                failed(record, tool, &error.to_string())
            }
        };
        if !write_stdout(tool, &written) {
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn down_one<E: Failure + From<Error>>(
    tool: &'static str,
    record: Record,
    work: &RefCell<impl FnMut(&mut Down) -> Result<(), E>>,
) -> Result<Record, E> {
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(Error::Record)?;
    let index = Index::open(&id)?;
    let before = match &index {
        Some(index) => index.read()?,
        None => None,
    };
    let indexed = before.as_ref().and_then(|before| before.get(tool)).cloned();
    let state = record.get(tool).cloned();
    let mut down = Down {
        id,
        record,
        state,
        indexed,
    };
    if down.state.is_some() || down.indexed.is_some() {
        work.borrow_mut()(&mut down)?;
    }
    down.record.remove(tool);
    if down.record.failed().is_some_and(|(by, _)| by == tool) {
        down.record.remove("failed");
    }
    match index {
        Some(index) => {
            let rest = without(tool, before.unwrap_or_else(|| Record::new(&down.id)));
            index.write_or_remove(&rest)?;
        }
        None => index::remove_run_dir(),
    }
    Ok(down.record)
}

/// `show`: prints what `work` says of each record of stdin, of `-P FILE`, or of the index by `--id`.
pub fn show<E: Failure + From<Error>>(
    tool: &'static str,
    source: &SourceArgs,
    mut work: impl FnMut(&Record) -> Result<String, E>,
) -> ExitCode {
    let records = match (&source.id, &source.pod) {
        (Some(id), None) => index::peek(id).and_then(|found| {
            let known = found.ok_or_else(|| Error::Failed(format!("{id}: no such pod")))?;
            Ok(vec![known])
        }),
        _ => source.read_all(),
    };
    let records = match records {
        Ok(records) => records,
        Err(error) => return refuse(tool, &error),
    };
    for record in records {
        let shown = work(&record).and_then(|text| print(&text).map_err(E::from));
        if let Err(error) = shown {
            report(tool, &error);
            return status(&error);
        }
    }
    ExitCode::SUCCESS
}

/// What the index says of one tool and one id, to somebody who does not wait for its lock.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// This tool has nothing there.
    Nothing,
    /// An `up` is at work, was killed, or the index cannot be read: there may be something.
    Unfinished,
    /// What a finished `up` made.
    Up(Value),
}

/// What the index says of `tool` and `id`.
#[must_use]
pub fn known(tool: &str, id: &Id) -> Known {
    match index::peek(id) {
        Ok(Some(indexed)) if is_pending(Some(&indexed), tool) => Known::Unfinished,
        Ok(Some(indexed)) => indexed
            .get(tool)
            .map_or(Known::Nothing, |state| Known::Up(state.clone())),
        Ok(None) if !index::exists(id) => Known::Nothing,
        Ok(None) | Err(_) => Known::Unfinished,
    }
}

/// The record that `exec -P FILE` joins. stdin belongs to CMD, so `-` is refused.
///
/// # Errors
/// No record there, or one on which a tool failed.
pub fn for_exec(pod: &Path) -> Result<Record, Error> {
    if pod.as_os_str() == "-" {
        return Err(Error::Usage(
            "-P -: stdin belongs to the command (use -P FILE or -P /dev/fd/N)".into(),
        ));
    }
    let record = source::read_pod(pod)?;
    match record.failed() {
        Some((tool, error)) => Err(Error::Record(format!(
            "{}: this record is of a pod that failed ({tool}: {error})",
            pod.display()
        ))),
        None => Ok(record),
    }
}

fn is_pending(index: Option<&Record>, tool: &str) -> bool {
    let pending = index
        .and_then(|index| index.get(PENDING))
        .and_then(Value::as_array);
    pending.is_some_and(|tools| tools.iter().any(|name| name == tool))
}

/// `record` as it is handed on after a failure.
pub(crate) fn failed(mut record: Record, tool: &str, error: &str) -> Record {
    record.set("failed", json!({"tool": tool, "error": error}));
    record
}

/// Without a record there is nothing to hand on.
fn refuse(tool: &str, error: &Error) -> ExitCode {
    report(tool, error);
    status(error)
}

fn status(error: &impl Failure) -> ExitCode {
    ExitCode::from(if error.is_usage() { 2 } else { 1 })
}

/// Writes a record and says when nobody takes it; true when it went.
pub(crate) fn write_stdout(tool: &str, record: &Record) -> bool {
    write_record(record)
        .map_err(|error| report(tool, error))
        .is_ok()
}

/// One record, one line, one write.
fn write_record(record: &Record) -> Result<(), Error> {
    print(&record.to_line())
}

fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    Ok(written.call(|| "write(stdout)".into())?)
}
