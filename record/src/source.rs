//! Where a record comes from.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use sys::{Call, Input};

use crate::object::MAX_BYTES;
use crate::{Error, Id, Record};

/// Bytes of all the records that `down` and `show` read: some 10 000 pods.
const MAX_BYTES_OF_MANY: usize = 64 << 20;

/// Which record a filter reads; the same options for every tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct SourceArgs {
    /// Name of the pod: up begins a record, the others know it
    #[arg(long, value_name = "ID")]
    pub id: Option<Id>,

    /// Read the record from FILE; `-` is stdin, with a name too
    #[arg(short = 'P', long = "pod", value_name = "FILE")]
    pub pod: Option<PathBuf>,
}

impl SourceArgs {
    /// From stdin, where a record may be one that failed and is handed on.
    pub(crate) fn is_stdin(&self) -> bool {
        match &self.pod {
            Some(path) => path.as_os_str() == "-",
            None => self.id.is_none(),
        }
    }

    /// The record of an `up`: new by its name, or one that was read and has a name by now.
    pub(crate) fn read(&self) -> Result<(Id, Record), Error> {
        let mut record = match (&self.pod, &self.id) {
            (None, Some(id)) => Record::new(id),
            (None, None) => in_place("stdin", Record::parse(&read_stdin(MAX_BYTES)?))?,
            (Some(path), _) => read_pod(path)?,
        };
        let id = match (record.id(), &self.id) {
            (Some(found), Some(named)) if found != named.as_ref() => {
                return Err(Error::Usage(format!(
                    "--id {named}: the record is of {found}"
                )));
            }
            (Some(found), _) => found.parse().map_err(Error::Record)?,
            (None, Some(named)) => {
                record.set("id", named.as_ref().into());
                named.clone()
            }
            (None, None) => {
                return Err(Error::Record(
                    "the record has no id (name it: -P FILE --id ID)".into(),
                ));
            }
        };
        Ok((id, record))
    }

    /// The records of a `down` or `show` that is not by name alone; none is an error.
    pub(crate) fn read_all(&self) -> Result<Vec<Record>, Error> {
        let (place, bytes) = match &self.pod {
            Some(path) if path.as_os_str() != "-" => (
                path.display().to_string(),
                read_file(path, MAX_BYTES_OF_MANY)?,
            ),
            _ => ("stdin".to_owned(), read_stdin(MAX_BYTES_OF_MANY)?),
        };
        let mut records = in_place(&place, Record::parse_all(&bytes))?;
        if records.is_empty() {
            return Err(Error::Record(format!(
                "{place}: no record (did the tool before this one fail?)"
            )));
        }
        for record in &mut records {
            match (record.id(), &self.id) {
                (None, Some(named)) => record.set("id", named.as_ref().into()),
                (None, _) => return Err(Error::Record(format!("{place}: the record has no id"))),
                (Some(found), Some(named)) if found != named.as_ref() => {
                    return Err(Error::Usage(format!(
                        "--id {named}: the record is of {found}"
                    )));
                }
                _ => {}
            }
        }
        Ok(records)
    }
}

/// The record in `path`; `-` is stdin.
pub(crate) fn read_pod(path: &Path) -> Result<Record, Error> {
    if path.as_os_str() == "-" {
        return in_place("stdin", Record::parse(&read_stdin(MAX_BYTES)?));
    }
    in_place(
        &path.display().to_string(),
        Record::parse(&read_file(path, MAX_BYTES)?),
    )
}

/// Says where the record that is none came from.
fn in_place<T>(place: &str, answer: Result<T, Error>) -> Result<T, Error> {
    answer.map_err(|error| match error {
        Error::Record(problem) => Error::Record(format!("{place}: {problem}")),
        other => other,
    })
}

fn read_stdin(max: usize) -> Result<Vec<u8>, Error> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Error::Record(
            "stdin: a record is expected, not a terminal (start one with --id ID, or name a file with -P FILE)".into(),
        ));
    }
    // The descriptor itself: a buffer in between would only copy.
    read_to_end("stdin", stdin.lock(), max)
}

fn read_file(path: &Path, max: usize) -> Result<Vec<u8>, Error> {
    let file = Input::open(path).map_err(Error::Sys)?;
    read_to_end(&path.display().to_string(), file, max)
}

/// Everything to end of file, so that the writer is done when we begin; of a longer stream no more than tells.
fn read_to_end(place: &str, stream: impl Read, max: usize) -> Result<Vec<u8>, Error> {
    // White space around a record of the allowed size is allowed as well.
    // As long as most: std begins with 32 bytes and asks again and again.
    let mut bytes = Vec::with_capacity(8 << 10);
    let limit = max + 4096;
    stream
        .take(limit as u64)
        .read_to_end(&mut bytes)
        .call(|| format!("read({place})"))?;
    if bytes.len() >= limit {
        return Err(Error::Record(format!(
            "{place}: larger than {} MiB, no record",
            max >> 20
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A file of its own, gone with the value.
    struct Pod(PathBuf);

    impl Pod {
        fn new(name: &str, text: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("chroot0-source-{}-{name}", std::process::id()));
            fs::write(&path, text).unwrap();
            Self(path)
        }

        fn source(&self, id: Option<&str>) -> SourceArgs {
            SourceArgs {
                id: id.map(|id| id.parse().unwrap()),
                pod: Some(self.0.clone()),
            }
        }
    }

    impl Drop for Pod {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_name_starts_a_new_record() {
        let source = SourceArgs {
            id: Some("foo".parse().unwrap()),
            pod: None,
        };
        let (id, record) = source.read().unwrap();
        assert_eq!(id.as_ref(), "foo");
        assert_eq!(record.to_string(), r#"{"ociVersion":"1.0.2","id":"foo"}"#);
        assert!(!source.is_stdin());
    }

    #[test]
    fn a_configuration_without_a_name_gets_one_and_another_name_is_refused() {
        let bundle = Pod::new("bundle", r#"{"ociVersion":"1.0.2","hostname":"h"}"#);
        let (_, record) = bundle.source(Some("foo")).read().unwrap();
        assert_eq!(
            record.to_string(),
            r#"{"ociVersion":"1.0.2","hostname":"h","id":"foo"}"#
        );
        let nameless = bundle.source(None).read().unwrap_err();
        assert_eq!(
            nameless.to_string(),
            "the record has no id (name it: -P FILE --id ID)"
        );

        let named = Pod::new("named", r#"{"id":"foo"}"#);
        assert_eq!(
            named.source(Some("bar")).read().unwrap_err().to_string(),
            "--id bar: the record is of foo"
        );
        assert_eq!(named.source(None).read().unwrap().0.as_ref(), "foo");
    }

    #[test]
    fn many_records_are_read_and_an_endless_one_is_not() {
        let two = Pod::new("two", "{\"id\":\"a\"}\n{\"id\":\"b\"}\n");
        assert_eq!(two.source(None).read_all().unwrap().len(), 2);
        assert!(
            two.source(None)
                .read()
                .unwrap_err()
                .to_string()
                .ends_with("more than one record")
        );
        let endless = SourceArgs {
            id: None,
            pod: Some("/dev/zero".into()),
        };
        assert_eq!(
            endless.read().unwrap_err().to_string(),
            "/dev/zero: larger than 1 MiB, no record"
        );
    }

    #[test]
    fn a_missing_file_is_a_failed_open() {
        let source = SourceArgs {
            id: None,
            pod: Some("/no/such".into()),
        };
        assert_eq!(
            source.read().unwrap_err().to_string(),
            "open(/no/such): No such file or directory"
        );
    }
}
