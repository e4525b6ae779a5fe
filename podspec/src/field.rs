//! A value of the manifest with its path, so that every complaint names the field.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::unsupported;

/// `spec.containers[0].image` and what is there.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    pub(crate) path: String,
    pub(crate) value: &'a Value,
}

/// What a value is, as Go's encoding/json calls it in kubectl's answers.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl<'a> Field<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    fn wrong(&self, wanted: &str) -> Error {
        let hint = match (self.value, wanted) {
            (Value::Bool(_) | Value::Number(_), "string") => {
                format!(" (quote it: \"{}\")", self.value)
            }
            _ => String::new(),
        };
        let place = match self.path.as_str() {
            "" => "the manifest",
            path => path,
        };
        Error::Input(format!(
            "{place}: cannot unmarshal {} into type {wanted}{hint}",
            kind(self.value)
        ))
    }

    pub(crate) fn string(&self) -> Result<&'a str, Error> {
        let text = self.value.as_str().ok_or_else(|| self.wrong("string"))?;
        match text.contains('\0') {
            true => Err(self.invalid("must not contain a NUL")),
            false => Ok(text),
        }
    }

    pub(crate) fn boolean(&self) -> Result<bool, Error> {
        self.value.as_bool().ok_or_else(|| self.wrong("boolean"))
    }

    /// A whole number; `80.0` is none.
    pub(crate) fn integer(&self) -> Result<i64, Error> {
        self.value.as_i64().ok_or_else(|| self.wrong("integer"))
    }

    /// The same within limits.
    pub(crate) fn between(&self, first: i64, last: i64) -> Result<i64, Error> {
        let number = self.integer()?;
        match (first..=last).contains(&number) {
            true => Ok(number),
            false => Err(self.invalid(&format!("must be between {first} and {last}, inclusive"))),
        }
    }

    /// A user or group.
    pub(crate) fn id(&self) -> Result<u32, Error> {
        // 4294967295 means "nobody in particular" to the kernel; Kubernetes itself stops at 2^31-1.
        let id = self.between(0, i64::from(i32::MAX))?;
        u32::try_from(id).map_err(|_| self.wrong("integer"))
    }

    pub(crate) fn list(&self) -> Result<Vec<Field<'a>>, Error> {
        let list = self.value.as_array().ok_or_else(|| self.wrong("array"))?;
        let fields = list.iter().enumerate().map(|(at, value)| Field {
            path: format!("{}[{at}]", self.path),
            value,
        });
        Ok(fields.collect())
    }

    pub(crate) fn strings(&self) -> Result<Vec<String>, Error> {
        let list = self.list()?;
        list.iter()
            .map(|item| item.string().map(str::to_owned))
            .collect()
    }

    /// The entries of a map whose keys are the user's own.
    pub(crate) fn entries(&self) -> Result<Vec<(&'a str, Field<'a>)>, Error> {
        let map = self.value.as_object().ok_or_else(|| self.wrong("object"))?;
        let fields = map.iter().map(|(key, value)| {
            let path = format!("{}[{key}]", self.path);
            (key.as_str(), Field { path, value })
        });
        Ok(fields.collect())
    }

    pub(crate) fn object(&self) -> Result<Object<'a>, Error> {
        let map = self.value.as_object().ok_or_else(|| self.wrong("object"))?;
        Ok(Object {
            path: self.path.clone(),
            map,
            known: Vec::new(),
        })
    }

    /// One of these words.
    pub(crate) fn word<'w>(&self, words: &[&'w str]) -> Result<&'w str, Error> {
        let text = self.string()?;
        let found = words.iter().find(|word| **word == text);
        found
            .copied()
            .ok_or_else(|| Error::unsupported(&self.path, text, words))
    }

    pub(crate) fn invalid(&self, problem: &str) -> Error {
        let shown = match self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        // Debug, so that a newline or an escape sequence cannot act on the reader's terminal; and not a megabyte of it.
        let shown: String = shown.chars().take(80).collect();
        Error::invalid(&self.path, &shown, problem)
    }
}

/// An object of which every key has to be asked for.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    pub(crate) fn place(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// The value of `key`; null is the same as nothing, as in Go.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<Field<'a>> {
        self.known.push(key);
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        Some(Field {
            path: self.place(key),
            value,
        })
    }

    pub(crate) fn required(&mut self, key: &'static str) -> Result<Field<'a>, Error> {
        self.get(key)
            .ok_or_else(|| Error::required(&self.place(key)))
    }

    pub(crate) fn string(&mut self, key: &'static str) -> Result<Option<&'a str>, Error> {
        self.get(key).map(|field| field.string()).transpose()
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> Result<Option<bool>, Error> {
        self.get(key).map(|field| field.boolean()).transpose()
    }

    /// The items of a list; none where there is no list.
    pub(crate) fn list(&mut self, key: &'static str) -> Result<Vec<Field<'a>>, Error> {
        self.get(key).map_or(Ok(Vec::new()), |field| field.list())
    }

    pub(crate) fn strings(&mut self, key: &'static str) -> Result<Vec<String>, Error> {
        self.get(key)
            .map_or(Ok(Vec::new()), |field| field.strings())
    }

    /// A field that is there for what it means by default, and has no other meaning here.
    pub(crate) fn only(&mut self, key: &'static str, default: &Value) -> Result<(), Error> {
        match self.get(key) {
            Some(field) if field.value != default => Err(Error::Input(format!(
                "{}: only {default} is understood here",
                field.path
            ))),
            _ => Ok(()),
        }
    }

    /// No key was left over: what is not understood is not ignored.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.check()
    }

    /// The same of an object that is not done with.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let unasked = self
            .map
            .iter()
            .filter(|(key, _)| !self.known.contains(&key.as_str()));
        for (key, value) in unasked {
            let shown: String = key.escape_debug().take(80).collect();
            let place = self.place(&shown);
            match unsupported::why(key) {
                // `status: {}` of kubectl's --dry-run says nothing.
                Some(_) if is_empty(value) => {}
                Some(why) => {
                    return Err(Error::Input(format!("{place}: not supported ({why})")));
                }
                None => return Err(Error::Input(format!("unknown field \"{place}\""))),
            }
        }
        Ok(())
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
