//! What the verbs share: reading, refusing, writing; and the two that make nothing.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use sys::Call;

use crate::{Error, Failure, Record, SourceArgs, index, report, source};

/// `show`: prints what `work` says of each record of stdin, of `-P FILE`, or of the index by `--id`.
pub fn show<E: Failure + From<Error>>(
    tool: &'static str,
    source: &SourceArgs,
    mut work: impl FnMut(&Record) -> Result<String, E>,
) -> ExitCode {
    let records = match (&source.id, &source.pod) {
        (Some(id), None) => index::indexed(id).and_then(|found| {
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

/// The one record of a verb that does not go through many: of stdin, of `-P FILE`, or of the index by `--id`.
///
/// # Errors
/// None, or more than one.
pub fn one(source: &SourceArgs) -> Result<Record, Error> {
    if let (Some(id), None) = (&source.id, &source.pod) {
        let found = index::indexed(id)?;
        return found.ok_or_else(|| Error::Failed(format!("{id}: no such pod")));
    }
    let mut records = source.read_all()?;
    match (records.pop(), records.len()) {
        (Some(record), 0) => Ok(record),
        (_, more) => Err(Error::Record(format!(
            "{} records, and one pod at a time",
            more + 1
        ))),
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

/// `record` as it is handed on after a failure.
pub(crate) fn failed(mut record: Record, tool: &str, error: &str) -> Record {
    record.set("failed", json!({"tool": tool, "error": error}));
    record
}

/// Without a record there is nothing to hand on.
pub(crate) fn refuse(tool: &str, error: &Error) -> ExitCode {
    report(tool, error);
    status(error)
}

pub(crate) fn status(error: &impl Failure) -> ExitCode {
    ExitCode::from(if error.is_usage() { 2 } else { 1 })
}

/// Writes a record and says when nobody takes it; true when it went.
pub(crate) fn write_stdout(tool: &str, record: &Record) -> bool {
    write_record(record)
        .map_err(|error| report(tool, error))
        .is_ok()
}

/// One record, one line, one write.
pub(crate) fn write_record(record: &Record) -> Result<(), Error> {
    print(&record.to_line())
}

fn print(text: &str) -> Result<(), Error> {
    // What has been done already does not fail for want of somebody to tell nothing to.
    if text.is_empty() {
        return Ok(());
    }
    if sys::stdout_was_closed() {
        return Err(sys::SysError::new("write(stdout)", nix::errno::Errno::EBADF).into());
    }
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    Ok(written.call(|| "write(stdout)".into())?)
}
