//! `down`: undo exactly what `up` did.

use std::cell::RefCell;
use std::process::ExitCode;

use serde_json::Value;

use crate::filter::{failed, refuse, status, write_stdout};
use crate::index::{self, Index, PENDING, with_their_keys, without};
use crate::{Error, Failure, Id, Record, SourceArgs, report};

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
    /// What of it stays, where only a part was to go; None: nothing does.
    pub kept: Option<Value>,
}

/// `down`: runs `work` on every record of stdin, or on what the index knows of `--id`, and writes the records without
/// what the tool owned. Where there is nothing to undo, `work` is not called.
pub fn down<E: Failure + From<Error>>(
    tool: &'static str,
    source: &SourceArgs,
    work: impl FnMut(&mut Down) -> Result<(), E>,
) -> ExitCode {
    let records = match (&source.id, &source.pod) {
        // What the index knows of it is read when nobody else is at work on it.
        (Some(id), None) => Ok(vec![Given::Name(id.clone())]),
        _ => source
            .read_all()
            .map(|records| records.into_iter().map(Given::Record).collect()),
    };
    let records = match records {
        Ok(records) => records,
        Err(error) => return refuse(tool, &error),
    };
    let work = RefCell::new(work);
    let mut code = ExitCode::SUCCESS;
    for given in records {
        let written = match down_one(tool, given.clone(), &work) {
            Ok(record) => record,
            Err(error) => {
                report(tool, &error);
                code = status(&error);
                failed(given.known(), tool, &error.to_string())
            }
        };
        if !write_stdout(tool, &written) {
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// By what a pod was named.
#[derive(Clone)]
enum Given {
    Record(Record),
    /// All that there is to know is in the index.
    Name(Id),
}

impl Given {
    fn id(&self) -> Result<Id, Error> {
        match self {
            Self::Record(record) => {
                let id = record.id().unwrap_or_default();
                id.parse().map_err(Error::Record)
            }
            Self::Name(id) => Ok(id.clone()),
        }
    }

    /// What is taken down, when `indexed` is what the index has of it.
    fn record(self, indexed: Option<&Record>) -> Record {
        let mut record = match self {
            Self::Record(record) => record,
            Self::Name(id) => indexed.cloned().unwrap_or_else(|| Record::new(&id)),
        };
        record.remove(PENDING);
        record
    }

    /// For who is told that it failed.
    fn known(self) -> Record {
        let indexed = match &self {
            Self::Record(_) => None,
            Self::Name(id) => index::indexed(id).ok().flatten(),
        };
        self.record(indexed.as_ref())
    }
}

fn down_one<E: Failure + From<Error>>(
    tool: &'static str,
    given: Given,
    work: &RefCell<impl FnMut(&mut Down) -> Result<(), E>>,
) -> Result<Record, E> {
    let id = given.id()?;
    let index = Index::open(&id)?;
    let before = match &index {
        Some(index) => index.read()?,
        None => None,
    };
    let indexed = before.as_ref().and_then(|before| before.get(tool)).cloned();
    let record = given.record(before.as_ref());
    let state = record.get(tool).cloned();
    let mut down = Down {
        id,
        record,
        state,
        indexed,
        kept: None,
    };
    let is_ours = down.state.is_some() || down.indexed.is_some();
    if is_ours {
        work.borrow_mut()(&mut down)?;
    }
    match &down.kept {
        Some(kept) => down.record.set(tool, kept.clone()),
        None => drop(down.record.remove(tool)),
    }
    if down.record.failed().is_some_and(|(by, _)| by == tool) {
        down.record.remove("failed");
    }
    match index {
        Some(index) => {
            // A record in which we have nothing may be of an earlier pod: it tells the index nothing.
            let told = before.clone().filter(|_| !is_ours);
            let told = told.unwrap_or_else(|| down.record.clone());
            let mut rest = with_their_keys(told, before.as_ref());
            if let Some(pending) = before.and_then(|mut before| before.remove(PENDING)) {
                rest.set(PENDING, pending);
            }
            let mut rest = without(tool, rest);
            if let Some(kept) = down.kept {
                rest.set(tool, kept);
            }
            index.write_or_remove(&rest)?;
        }
        None => index::remove_run_dir(),
    }
    Ok(down.record)
}
