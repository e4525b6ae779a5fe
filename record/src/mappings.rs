//! Typed views of what the record says about users and clocks in its own user and time namespace.

use serde_json::Value;

use crate::object::kind;
use crate::{Error, Record};

/// An entry of `linux.uidMappings` or `linux.gidMappings`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct IdMapping {
    /// `containerID`: the first id inside.
    #[cfg_attr(test, schemars(rename = "containerID"))]
    pub container_id: u32,
    /// `hostID`: the first id outside.
    #[cfg_attr(test, schemars(rename = "hostID"))]
    pub host_id: u32,
    /// How many ids.
    pub size: u32,
}

impl Record {
    /// `linux.uidMappings`
    ///
    /// # Errors
    /// Another shape, or numbers that are no ids.
    pub fn uid_mappings(&self) -> Result<Vec<IdMapping>, Error> {
        self.mappings("uidMappings")
    }

    /// `linux.gidMappings`
    ///
    /// # Errors
    /// As [`Record::uid_mappings`].
    pub fn gid_mappings(&self) -> Result<Vec<IdMapping>, Error> {
        self.mappings("gidMappings")
    }

    fn mappings(&self, key: &str) -> Result<Vec<IdMapping>, Error> {
        let entries = match self.pointer(&format!("/linux/{key}")) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                return Err(Error::Record(format!(
                    "linux.{key} is {}, it must be an array",
                    kind(other)
                )));
            }
        };
        let mapping = |entry: &Value| {
            let number = |name: &str| entry.get(name)?.as_u64()?.try_into().ok();
            Some(IdMapping {
                container_id: number("containerID")?,
                host_id: number("hostID")?,
                size: number("size")?,
            })
        };
        entries
            .iter()
            .map(|entry| {
                mapping(entry).ok_or_else(|| {
                    Error::Record(format!(
                        "linux.{key}: {entry} has no containerID, hostID and size of 32 bits"
                    ))
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read() {
        let record = |text: &str| Record::parse(text.as_bytes()).unwrap();
        let pod = record(
            r#"{"linux":{"uidMappings":[{"containerID":0,"hostID":4294967294,"size":1}],"gidMappings":null}}"#,
        );
        let mapping = IdMapping {
            container_id: 0,
            host_id: 4_294_967_294,
            size: 1,
        };
        assert_eq!(pod.uid_mappings().unwrap(), [mapping]);
        assert_eq!(pod.gid_mappings().unwrap(), []);
        for bad in [
            r#"{"linux":{"uidMappings":{}}}"#,
            r#"{"linux":{"uidMappings":[7]}}"#,
            r#"{"linux":{"uidMappings":[{"containerID":0,"hostID":1}]}}"#,
            r#"{"linux":{"uidMappings":[{"containerID":-1,"hostID":1,"size":1}]}}"#,
            r#"{"linux":{"uidMappings":[{"containerID":0,"hostID":4294967296,"size":1}]}}"#,
        ] {
            assert!(record(bad).uid_mappings().is_err(), "{bad}");
        }
    }
}
