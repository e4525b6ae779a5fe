//! What was made, as the key `mkbox` of a record, an index or a marker tells it.

use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::extra::Extra;
use crate::root::Identity;
use crate::wishes::Wishes;

/// A box that was made, is being made, or was about to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) root: String,
    /// None: the box may not exist, or is an empty directory.
    pub(crate) identity: Option<Identity>,
    /// Programs that were asked for.
    pub(crate) copy: Vec<String>,
    /// What else decides about the contents.
    pub(crate) wishes: Wishes,
    /// Directories above the box that were made for it, outermost first.
    pub(crate) made: Vec<String>,
    /// The box was an empty directory before.
    pub(crate) existed: bool,
    /// How many files and bytes were copied; None while it is being filled.
    pub(crate) filled: Option<(u64, u64)>,
    /// What lies beside the box, what is mounted where, what `down` leaves.
    pub(crate) extra: Extra,
}

impl State {
    /// As the value of the key `mkbox`.
    pub(crate) fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("root".into(), self.root.as_str().into());
        if let Some(identity) = self.identity {
            object.insert("identity".into(), identity.to_json());
        }
        if let Some((files, bytes)) = self.filled {
            object.insert("files".into(), files.into());
            object.insert("bytes".into(), bytes.into());
        }
        if !self.copy.is_empty() {
            object.insert("copy".into(), self.copy.clone().into());
        }
        self.wishes.write(&mut object);
        if !self.made.is_empty() {
            object.insert("made".into(), self.made.clone().into());
        }
        if self.existed {
            object.insert("existed".into(), true.into());
        }
        self.extra.write(&mut object);
        object.into()
    }

    /// Reads the value of the key `mkbox`.
    ///
    /// # Errors
    /// Another shape; made directories that are not above the box.
    pub(crate) fn from_json(value: &Value) -> Result<Self, Error> {
        let bad = |key: &str| {
            Error::from(record::Error::Record(format!(
                "mkbox.{key} is not as mkbox wrote it"
            )))
        };
        let root = value
            .get("root")
            .and_then(Value::as_str)
            .ok_or_else(|| bad("root"))?;
        let list = |key: &str| -> Result<Vec<String>, Error> {
            let Some(list) = value.get(key) else {
                return Ok(Vec::new());
            };
            let list = list.as_array().ok_or_else(|| bad(key))?;
            list.iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| bad(key)))
                .collect()
        };
        let made = list("made")?;
        let is_above = |path: &String| {
            Path::new(path).parent().is_some() && Path::new(root).starts_with(path) && path != root
        };
        if !made.iter().all(is_above) {
            return Err(bad("made"));
        }
        let number = |key: &str| {
            value
                .get(key)
                .map(|number| number.as_u64().ok_or_else(|| bad(key)))
                .transpose()
        };
        let identity = value.get("identity");
        let identity =
            identity.map(|identity| Identity::from_json(identity).ok_or_else(|| bad("identity")));
        Ok(Self {
            root: root.to_owned(),
            identity: identity.transpose()?,
            copy: list("copy")?,
            wishes: Wishes::read(value).map_err(bad)?,
            made,
            existed: value
                .get("existed")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            filled: number("files")?.zip(number("bytes")?),
            extra: Extra::read(value)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_record() {
        let mut state = State {
            root: "/a/b/box".into(),
            identity: Some(Identity {
                dev: 7,
                ino: u64::MAX,
            }),
            copy: vec!["ls".into()],
            wishes: Wishes {
                merged_usr: true,
                ..Wishes::default()
            },
            made: vec!["/a".into(), "/a/b".into()],
            existed: true,
            filled: Some((60, 27)),
            extra: Extra::default(),
        };
        assert_eq!(State::from_json(&state.to_json()).unwrap(), state);
        state.identity = None;
        state.filled = None;
        assert_eq!(State::from_json(&state.to_json()).unwrap(), state);
    }

    #[test]
    fn directories_elsewhere_are_never_taken_for_made() {
        for made in ["/", "/etc", "/a/b/box", "/a/b/box/c", "a"] {
            let value = serde_json::json!({"root": "/a/b/box", "made": [made]});
            assert!(State::from_json(&value).is_err(), "{made}");
        }
        assert!(State::from_json(&serde_json::json!({"root": 7})).is_err());
        assert!(State::from_json(&serde_json::json!({"root": "/a", "identity": [1]})).is_err());
    }
}
