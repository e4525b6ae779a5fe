//! What a box is filled with beside programs, as it is asked for: it stands in the record, so that the same record again is
//! the same request again.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Map, Value};
use sys::Call;

use crate::bundles::Bundle;
use crate::cli::UpArgs;
use crate::dlopen::Priority;
use crate::error::Error;

/// The flags that decide about the contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) with: Vec<Bundle>,
    pub(crate) dlopen: Priority,
    pub(crate) sysroot: Option<String>,
    pub(crate) merged_usr: bool,
    pub(crate) keep_privileges: bool,
    /// What the box begins with, and which image of it.
    pub(crate) from: Option<String>,
    pub(crate) reference: Option<String>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            with: Vec::new(),
            dlopen: Priority::Required,
            sysroot: None,
            merged_usr: false,
            keep_privileges: false,
            from: None,
            reference: None,
        }
    }
}

impl Wishes {
    /// From the flags; where none of them is there, those of `before`.
    ///
    /// # Errors
    /// A path that no record can hold.
    pub(crate) fn new(args: &UpArgs, before: Option<&Self>) -> Result<Self, Error> {
        let mut with = args.with.clone();
        for bundle in &mut with {
            if let Bundle::Path(path) = bundle {
                *path = absolute("--with", path)?.into();
            }
        }
        let mut seen = Vec::new();
        with.retain(|bundle| {
            let is_new = !seen.contains(bundle);
            seen.push(bundle.clone());
            is_new
        });
        let (sysroot, from) = (args.sysroot.as_deref(), args.from.as_deref());
        let wishes = Self {
            with,
            dlopen: args.dlopen,
            sysroot: sysroot
                .map(|path| absolute("--sysroot", path))
                .transpose()?,
            merged_usr: args.merged_usr,
            keep_privileges: args.keep_privileges,
            from: from.map(|path| absolute("--from", path)).transpose()?,
            reference: args.reference.clone(),
        };
        Ok(match before {
            Some(before) if wishes == Self::default() => before.clone(),
            _ => wishes,
        })
    }

    /// Each wish as the flag that makes it.
    fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = self
            .with
            .iter()
            .map(|bundle| format!("--with {bundle}"))
            .collect();
        if self.dlopen != Priority::Required {
            flags.push(format!("--dlopen {}", self.dlopen.name()));
        }
        flags.extend(self.from.iter().map(|path| format!("--from {path}")));
        flags.extend(self.reference.iter().map(|name| format!("--ref {name}")));
        flags.extend(self.sysroot.iter().map(|path| format!("--sysroot {path}")));
        flags.extend(self.merged_usr.then(|| "--merged-usr".to_owned()));
        flags.extend(self.keep_privileges.then(|| "--keep-privileges".to_owned()));
        flags
    }

    /// Says how a box that was `made` differs from what is `wanted`; None when it does not.
    pub(crate) fn difference(made: &Self, wanted: &Self) -> Option<String> {
        let (made, wanted) = (made.flags(), wanted.flags());
        let missing = wanted.iter().find(|flag| !made.contains(flag));
        let too_many = made.iter().find(|flag| !wanted.contains(flag));
        missing
            .map(|flag| format!("it was made without {flag}"))
            .or_else(|| too_many.map(|flag| format!("it was made with {flag} too")))
    }

    /// Adds its keys to the value of `mkbox`.
    pub(crate) fn write(&self, object: &mut Map<String, Value>) {
        if !self.with.is_empty() {
            let names: Vec<String> = self.with.iter().map(Bundle::to_string).collect();
            object.insert("with".into(), names.into());
        }
        if self.dlopen != Priority::Required {
            object.insert("dlopen".into(), self.dlopen.name().into());
        }
        if let Some(path) = &self.sysroot {
            object.insert("sysroot".into(), path.as_str().into());
        }
        for (key, text) in [("from", &self.from), ("ref", &self.reference)] {
            if let Some(text) = text {
                object.insert(key.into(), text.as_str().into());
            }
        }
        for (key, is_set) in [
            ("mergedUsr", self.merged_usr),
            ("privileges", self.keep_privileges),
        ] {
            if is_set {
                object.insert(key.into(), true.into());
            }
        }
    }

    /// Reads its keys out of the value of `mkbox`; the name of one that is not as it was written.
    pub(crate) fn read(value: &Value) -> Result<Self, &'static str> {
        let text = |key: &'static str| match value.get(key) {
            None => Ok(None),
            Some(text) => text.as_str().map(|text| Some(text.to_owned())).ok_or(key),
        };
        let bundle = |item: &Value| item.as_str()?.parse().ok();
        let with = match value.get("with").map(Value::as_array) {
            None => Some(Vec::new()),
            Some(list) => list.and_then(|list| list.iter().map(bundle).collect()),
        };
        let dlopen = match text("dlopen")? {
            None => Priority::Required,
            Some(name) => Priority::from_str(&name, false).map_err(|_| "dlopen")?,
        };
        let is_set = |key| value.get(key).and_then(Value::as_bool).unwrap_or(false);
        Ok(Self {
            with: with.ok_or("with")?,
            dlopen,
            sysroot: text("sysroot")?,
            merged_usr: is_set("mergedUsr"),
            keep_privileges: is_set("privileges"),
            from: text("from")?,
            reference: text("ref")?,
        })
    }
}

/// `path` from the root, so that it means the same next time.
pub(crate) fn absolute(flag: &str, path: &Path) -> Result<String, Error> {
    let absolute: PathBuf = std::path::absolute(path).call(|| "getcwd".into())?;
    let text = absolute.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Error::Usage(format!(
            "{flag} {}: is not UTF-8, a record cannot hold it",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Wishes {
        Wishes {
            with: vec![Bundle::Nss, Bundle::Path("/x".into())],
            dlopen: Priority::Suggested,
            sysroot: Some("/r".into()),
            merged_usr: true,
            keep_privileges: true,
            from: Some("/f".into()),
            reference: Some("latest".into()),
        }
    }

    #[test]
    fn wishes_survive_their_record_and_defaults_are_not_written() {
        for wishes in [full(), Wishes::default()] {
            let mut object = Map::new();
            wishes.write(&mut object);
            assert_eq!(object.is_empty(), wishes == Wishes::default());
            assert_eq!(Wishes::read(&object.into()), Ok(wishes));
        }
        for (bad, key) in [
            (r#"{"with":7}"#, "with"),
            (r#"{"with":["all"]}"#, "with"),
            (r#"{"dlopen":"often"}"#, "dlopen"),
            (r#"{"sysroot":[]}"#, "sysroot"),
        ] {
            assert_eq!(Wishes::read(&serde_json::from_str(bad).unwrap()), Err(key));
        }
    }

    #[test]
    fn a_difference_is_a_flag() {
        let none = Wishes::default();
        let difference = |made, wanted| Wishes::difference(made, wanted);
        assert_eq!(difference(&none, &none), None);
        let full = full();
        assert_eq!(
            difference(&none, &full).unwrap(),
            "it was made without --with nss"
        );
        let merged = Wishes {
            merged_usr: true,
            ..Wishes::default()
        };
        assert_eq!(
            difference(&merged, &none).unwrap(),
            "it was made with --merged-usr too"
        );
    }
}
