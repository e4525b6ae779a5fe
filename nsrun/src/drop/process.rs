//! `process` of a record, which may come from anywhere.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::capabilities::{self, Listed, Set};
use super::label::{Label, Module};
use super::limits::Limit;
use super::user::User;
use crate::error::Error;

/// `process` of a record: it may come from anywhere.
pub(crate) struct Process<'a>(pub(crate) Option<&'a Value>);

impl Process<'_> {
    fn get(&self, pointer: &str) -> Option<&Value> {
        self.0?.pointer(pointer).filter(|value| !value.is_null())
    }

    fn wrong(key: &str, value: &Value) -> Error {
        record::Error::Record(format!("process.{key}: {value} is not what OCI has there")).into()
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.get(&format!("/{key}")) else {
            return Ok(None);
        };
        let is_score = |number: &i64| (-1000..=1000).contains(number);
        let number = value.as_i64().filter(is_score);
        number.map(Some).ok_or_else(|| Self::wrong(key, value))
    }

    pub(crate) fn no_new_privs(&self) -> bool {
        self.get("/noNewPrivileges")
            .and_then(Value::as_bool)
            .unwrap_or(true)
    }

    pub(crate) fn texts(&self, key: &str) -> Result<Vec<OsString>, Error> {
        let Some(value) = self.get(&format!("/{key}")) else {
            return Ok(Vec::new());
        };
        let text = |value: &Value| {
            value
                .as_str()
                .filter(|text| !text.contains('\0'))
                .map(OsString::from)
        };
        let list = value
            .as_array()
            .map(|list| list.iter().map(text).collect::<Option<Vec<_>>>());
        list.flatten().ok_or_else(|| Self::wrong(key, value))
    }

    pub(crate) fn cwd(&self) -> Result<Option<PathBuf>, Error> {
        let Some(value) = self.get("/cwd") else {
            return Ok(None);
        };
        let path = value
            .as_str()
            .filter(|path| path.starts_with('/') && !path.contains('\0'));
        path.map(|path| Some(path.into()))
            .ok_or_else(|| Self::wrong("cwd", value))
    }

    fn id(&self, key: &str) -> Result<Option<u32>, Error> {
        let Some(value) = self.get(&format!("/user/{key}")) else {
            return Ok(None);
        };
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.filter(|id| *id != u32::MAX);
        id.map(Some)
            .ok_or_else(|| Self::wrong(&format!("user.{key}"), value))
    }

    pub(crate) fn umask(&self) -> Result<Option<u32>, Error> {
        Ok(self.id("umask")?.map(|umask| umask & 0o777))
    }

    pub(crate) fn user(&self) -> Result<Option<User>, Error> {
        let Some(uid) = self.id("uid")? else {
            return Ok(None);
        };
        let gid = self.id("gid")?.unwrap_or(0);
        let mut groups = Vec::new();
        if let Some(list) = self.get("/user/additionalGids") {
            let id = |id: &Value| {
                u32::try_from(id.as_u64()?)
                    .ok()
                    .filter(|id| *id != u32::MAX)
            };
            let ids = list
                .as_array()
                .map(|list| list.iter().map(id).collect::<Option<Vec<_>>>());
            groups = ids
                .flatten()
                .ok_or_else(|| Self::wrong("user.additionalGids", list))?;
        }
        groups.retain(|other| *other != gid);
        Ok(Some(User {
            uid,
            gid,
            groups,
            home: None,
        }))
    }

    /// Without the key: none.
    pub(crate) fn capabilities(&self) -> Result<capabilities::Request, Error> {
        Ok(capabilities::Request::Listed(Listed {
            bounding: self.capability_set("bounding")?,
            permitted: self.capability_set("permitted")?,
            effective: self.capability_set("effective")?,
            ambient: self.capability_set("ambient")?,
        }))
    }

    fn capability_set(&self, name: &str) -> Result<Set, Error> {
        let Some(value) = self.get(&format!("/capabilities/{name}")) else {
            return Ok(Set::empty());
        };
        let key = format!("capabilities.{name}");
        let list = value.as_array().ok_or_else(|| Self::wrong(&key, value))?;
        let mut found = Set::empty();
        for name in list {
            let name = name.as_str().ok_or_else(|| Self::wrong(&key, name))?;
            found |= capabilities::named(name)
                .map_err(|why| record::Error::Record(format!("process.{key}: {why}")))?;
        }
        Ok(found)
    }

    /// Of a security module; an empty one is none.
    pub(crate) fn label(&self, module: Module) -> Result<Option<Label>, Error> {
        let key = module.key();
        let Some(value) = self.get(&format!("/{key}")) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| Self::wrong(key, value))?;
        if text.is_empty() {
            return Ok(None);
        }
        let label = Label::new(module, text);
        label.map(Some).ok_or_else(|| Self::wrong(key, value))
    }

    pub(crate) fn limits(&self) -> Result<Vec<Limit>, Error> {
        let Some(value) = self.get("/rlimits") else {
            return Ok(Vec::new());
        };
        let list = value
            .as_array()
            .ok_or_else(|| Self::wrong("rlimits", value))?;
        let limit = |entry: &Value| match Limit::from_json(entry) {
            Some(Ok(limit)) => Ok(limit),
            _ => Err(Self::wrong("rlimits", entry)),
        };
        list.iter().map(limit).collect()
    }
}
