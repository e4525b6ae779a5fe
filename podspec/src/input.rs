//! What is read: a file or stdin, as a whole and not without end.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use serde_json::Value;
use sys::Call;

use crate::error::Error;

/// Bytes of a record, as for the other tools.
pub(crate) const MAX_RECORD: usize = 1 << 20;

/// All bytes of `file`, or of stdin where it is None or `-`.
///
/// # Errors
/// It cannot be read, is a terminal, or has more than `max`.
pub(crate) fn bytes(file: Option<&Path>, max: usize, what: &str) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let name = name_of(file);
    match file.filter(|file| !is_stdin(file)) {
        Some(file) => {
            let file = File::open(file).call(|| format!("open({name})"))?;
            let read = file.take(max as u64 + 1).read_to_end(&mut bytes);
            read.call(|| format!("read({name})"))?;
        }
        None => {
            let stdin = io::stdin();
            if stdin.is_terminal() {
                return Err(Error::Input(format!(
                    "stdin is a terminal, a {what} was expected"
                )));
            }
            let read = stdin.lock().take(max as u64 + 1).read_to_end(&mut bytes);
            read.call(|| "read(stdin)".into())?;
        }
    }
    match bytes.len() <= max {
        true => Ok(bytes),
        false => Err(Error::Input(format!(
            "{name}: larger than {} MiB, no {what}",
            max >> 20
        ))),
    }
}

/// One JSON value: a record, or the configuration of an image.
///
/// # Errors
/// As [`bytes`], and no JSON.
pub(crate) fn json(file: Option<&Path>) -> Result<Value, Error> {
    let mut all = jsons(file)?;
    match (all.pop(), all.is_empty()) {
        (Some(value), true) => Ok(value),
        (None, _) => Err(Error::Input(format!("{}: no record", name_of(file)))),
        (Some(_), false) => Err(Error::Input(format!(
            "{}: more than one record",
            name_of(file)
        ))),
    }
}

/// Any number of them.
///
/// # Errors
/// As [`bytes`], and no JSON.
pub(crate) fn jsons(file: Option<&Path>) -> Result<Vec<Value>, Error> {
    let text = bytes(file, MAX_RECORD, "record")?;
    let values = serde_json::Deserializer::from_slice(&text).into_iter();
    let values: Result<Vec<Value>, _> = values.collect();
    values.map_err(|error| Error::Input(format!("{}: no JSON: {error}", name_of(file))))
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn name_of(file: Option<&Path>) -> String {
    file.filter(|file| !is_stdin(file))
        .map_or_else(|| "stdin".into(), |file| file.display().to_string())
}
