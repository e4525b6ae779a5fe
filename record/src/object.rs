//! The record: one JSON object whose unknown parts pass through untouched.

use std::fmt;

use serde_json::de::{SliceRead, StreamDeserializer};
use serde_json::{Map, Value};

use crate::strict::Strict;
use crate::{Error, Id, OCI_VERSION};

/// Bytes of one record. An OCI configuration with a seccomp profile has some 50 000.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// One JSON object. Order of keys and every digit of its numbers are kept as they were read.
///
/// Escapes of strings and the plus of an exponent are written in their usual spelling.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    object: Map<String, Value>,
}

impl Record {
    /// A pod of which only the name is known.
    #[must_use]
    pub fn new(id: &Id) -> Self {
        let mut record = Self { object: Map::new() };
        record.set("ociVersion", OCI_VERSION.into());
        record.set("id", id.as_ref().into());
        record
    }

    /// Reads one record: one JSON object, white space around it, nothing else. 1 MiB at most.
    ///
    /// # Errors
    /// No object, a second value, a key that comes twice, an id that is none. Also nesting of more than 128.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut records = Self::parse_all(bytes)?;
        match (records.pop(), records.is_empty()) {
            (Some(record), true) => Ok(record),
            (None, _) => Err(Error::Record(
                "no record (did the tool before this one fail?)".into(),
            )),
            (Some(_), false) => Err(Error::Record("more than one record".into())),
        }
    }

    /// Reads any number of records, white space between them or not.
    pub(crate) fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, Error> {
        // serde_json passes numbers to visitors as a map with this key; one in the text could pose as a number.
        const PRIVATE: &[u8] = b"$serde_json::private::";
        if bytes.windows(PRIVATE.len()).any(|window| window == PRIVATE) {
            return Err(Error::Record(
                "a key begins with \"$serde_json::private::\"".into(),
            ));
        }
        let mut values = StreamDeserializer::<_, Strict>::new(SliceRead::new(bytes));
        let mut records = Vec::new();
        let mut begin = 0;
        while let Some(value) = values.next() {
            let value = value
                .map_err(|error| Error::Record(format!("no JSON: {error}")))?
                .0;
            if values.byte_offset() - begin > MAX_BYTES {
                return Err(Error::Record("the record is larger than 1 MiB".into()));
            }
            begin = values.byte_offset();
            let Value::Object(object) = value else {
                return Err(Error::Record(format!(
                    "{} is no record, it must be an object",
                    kind(&value)
                )));
            };
            let record = Self { object };
            record.check_head()?;
            records.push(record);
        }
        Ok(records)
    }

    /// The two keys that belong to no tool.
    fn check_head(&self) -> Result<(), Error> {
        match self.get("id") {
            None => {}
            Some(Value::String(id)) => {
                id.parse::<Id>()
                    .map_err(|problem| Error::Record(format!("id: {problem}")))?;
            }
            Some(other) => {
                return Err(Error::Record(format!(
                    "id is {}, it must be a string",
                    kind(other)
                )));
            }
        }
        match self.get("ociVersion") {
            None | Some(Value::String(_)) => Ok(()),
            Some(other) => Err(Error::Record(format!(
                "ociVersion is {}, it must be a string",
                kind(other)
            ))),
        }
    }

    /// The name of the pod; a configuration that comes from elsewhere has none yet.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.get("id").and_then(Value::as_str)
    }

    /// The value of a top-level key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.object.get(key)
    }

    /// Sets a top-level key: in its place if it is there, else as the last.
    pub fn set(&mut self, key: &str, value: Value) {
        self.object.insert(key.to_owned(), value);
    }

    /// Takes a top-level key out; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.object.shift_remove(key)
    }

    /// The value at a JSON pointer (RFC 6901): `/linux/resources`.
    #[must_use]
    pub fn pointer(&self, pointer: &str) -> Option<&Value> {
        let path = pointer.strip_prefix('/')?;
        let (key, rest) = path.find('/').map_or((path, ""), |at| path.split_at(at));
        self.get(key)?.pointer(rest)
    }

    /// Sets the value at a path of keys, `["linux", "cgroupsPath"]`; makes the objects on the way.
    ///
    /// # Errors
    /// Something on the way is there and no object.
    pub fn set_at(&mut self, path: &[&str], value: Value) -> Result<(), Error> {
        let Some((last, parents)) = path.split_last() else {
            return Ok(());
        };
        let mut object = &mut self.object;
        for &key in parents {
            let next = object
                .entry(key)
                .or_insert_with(|| Value::Object(Map::new()));
            let found = kind(next);
            object = next
                .as_object_mut()
                .ok_or_else(|| Error::Record(format!("{key} is {found}, it must be an object")))?;
        }
        object.insert((*last).to_owned(), value);
        Ok(())
    }

    /// Takes the value at a path of keys out. Objects on the way stay, even when they are empty then.
    pub fn remove_at(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let mut object = &mut self.object;
        for &key in parents {
            object = object.get_mut(key)?.as_object_mut()?;
        }
        object.shift_remove(*last)
    }

    /// The tool that failed on this record and what it said.
    #[must_use]
    pub fn failed(&self) -> Option<(&str, &str)> {
        let failed = self.get("failed")?;
        let text = |key| failed.get(key).and_then(Value::as_str).unwrap_or("unknown");
        Some((text("tool"), text("error")))
    }

    /// The record on one line, with the newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = self.to_string();
        line.push('\n');
        line
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(&self.object).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// What a value is, as an error says it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Record, String> {
        Record::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn order_of_keys_and_spelling_of_numbers_are_kept() {
        let line = "{\"z\":1.50,\"a\":123456789012345678901234567890,\"m\":[1e-400,-0,0.0],\"id\":\"x\"}\n";
        assert_eq!(parse(line).unwrap().to_line(), line);
    }

    #[test]
    fn pretty_printed_records_become_one_line() {
        let record = parse("\n{\n  \"id\": \"x\",\n  \"k\": [\n 1,\n 2 ]\n}\n\n").unwrap();
        assert_eq!(record.to_line(), "{\"id\":\"x\",\"k\":[1,2]}\n");
    }

    #[test]
    fn what_is_no_record_says_why() {
        for (text, problem) in [
            ("", "no record (did the tool before this one fail?)"),
            (" \n", "no record (did the tool before this one fail?)"),
            ("{} {}", "more than one record"),
            ("[]", "an array is no record, it must be an object"),
            ("7", "a number is no record, it must be an object"),
            ("{\"id\":7}", "id is a number, it must be a string"),
            (
                "{\"a\":1,\"a\":2}",
                "no JSON: the key \"a\" comes twice at line 1 column 10",
            ),
            (
                "{\"a\":{\"b\":1,\"b\":2}}",
                "no JSON: the key \"b\" comes twice at line 1 column 15",
            ),
            (
                "{\"a\":",
                "no JSON: EOF while parsing a value at line 1 column 5",
            ),
            (
                "{\"$serde_json::private::Number\":\"1\"}",
                "a key begins with \"$serde_json::private::\"",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), problem, "{text}");
        }
        assert!(
            parse("{\"id\":\"../x\"}")
                .unwrap_err()
                .starts_with("id: \"../x\" is no id")
        );
        assert!(parse("not json").unwrap_err().starts_with("no JSON: "));
        assert!(Record::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn nesting_and_size_have_a_limit() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&deep).unwrap_err().contains("recursion limit"));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_BYTES));
        assert_eq!(
            parse(&large).unwrap_err(),
            "the record is larger than 1 MiB"
        );
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let whole =
            r#"{"ociVersion":"1.2.1","id":"foo","n":12,"linux":{"namespaces":[{"type":"pid"}]}}"#;
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
        assert!(parse(whole).is_ok());
    }

    #[test]
    fn a_path_is_made_and_removed() {
        let mut record = parse(r#"{"linux":{"a":1},"s":"x"}"#).unwrap();
        record
            .set_at(&["linux", "resources", "pids"], 7.into())
            .unwrap();
        assert_eq!(
            record.to_line(),
            "{\"linux\":{\"a\":1,\"resources\":{\"pids\":7}},\"s\":\"x\"}\n"
        );
        assert_eq!(record.pointer("/linux/resources/pids"), Some(&7.into()));
        assert_eq!(record.pointer("/linux/nothing"), None);
        assert_eq!(
            record.remove_at(&["linux", "resources", "pids"]),
            Some(7.into())
        );
        assert_eq!(record.remove_at(&["linux", "resources", "pids"]), None);
        let refused = record.set_at(&["s", "t"], 1.into()).unwrap_err();
        assert_eq!(refused.to_string(), "s is a string, it must be an object");
    }

    /// Any JSON value, numbers of any length included.
    fn any_value() -> impl Strategy<Value = Value> {
        let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?(e[+-]?[0-9]{1,5})?";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number.prop_map(|text| Value::Number(text.parse().unwrap())),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..8)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    /// Any object that can be a record.
    fn any_record() -> impl Strategy<Value = Record> {
        let entries = prop::collection::vec((any::<String>(), any_value()), 0..12);
        entries.prop_map(|entries| {
            let mut object: Map<String, Value> = entries.into_iter().collect();
            object.shift_remove("id");
            object.shift_remove("ociVersion");
            Record { object }
        })
    }

    proptest! {
        #[test]
        fn any_object_survives_reading_and_writing(record in any_record()) {
            let line = record.to_line();
            prop_assert_eq!(line.matches('\n').count(), 1);
            let again = Record::parse(line.as_bytes()).unwrap();
            prop_assert_eq!(&again, &record);
            prop_assert_eq!(again.to_line(), line);
        }

        #[test]
        fn any_object_survives_a_tool_that_does_not_own_its_keys(record in any_record(), state in any_value()) {
            prop_assume!(record.get("cgset").is_none());
            let mut passed = Record::parse(record.to_line().as_bytes()).unwrap();
            passed.set("cgset", state);
            let mut back = Record::parse(passed.to_line().as_bytes()).unwrap();
            back.remove("cgset");
            prop_assert_eq!(back.to_line(), record.to_line());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Record::parse(&bytes);
        }

        #[test]
        fn nearly_json_does_not_make_it_panic(text in "[\\[\\]{}\",:0-9eE.+\\-a-z\\\\ \n]{0,80}") {
            let _ = Record::parse(text.as_bytes());
        }
    }
}
