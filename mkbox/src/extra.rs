//! What else the key `mkbox` tells of a box: what lies beside it, what is mounted where, what `down` leaves.

use std::path::{Component, Path};

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::root::Identity;

/// Beside programs and files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Extra {
    /// The directory beside the box, for volumes and for the writable layer of an overlay. None: there is none, or it is empty.
    pub(crate) store: Option<Identity>,
    /// It was made, or was about to be.
    pub(crate) has_store: bool,
    /// Programs that are bound, not copied.
    pub(crate) bind_programs: Vec<String>,
    /// The box is a layer above these directories.
    pub(crate) overlay: Option<Layers>,
    /// Files below /etc that are written.
    pub(crate) etc: Vec<String>,
    /// Where the mounts were made by `up`, or were about to be.
    pub(crate) mounted: Option<MountedIn>,
    /// What a `down` that has begun leaves in place.
    pub(crate) keep: Vec<String>,
}

/// The layers of a box that is an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layers {
    /// The first lies on top.
    pub(crate) lower: Vec<String>,
    /// What is written is thrown away when the last process in it ends.
    pub(crate) ephemeral: bool,
}

/// A mount namespace in which the box is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountedIn {
    /// As in `linux.namespaces`; None: that of the caller of `up`.
    pub(crate) path: Option<String>,
    /// Of the namespace.
    pub(crate) inode: u64,
}

fn bad(key: &str) -> Error {
    record::Error::Record(format!("mkbox.{key} is not as mkbox wrote it")).into()
}

fn strings(value: &Value, key: &str) -> Result<Vec<String>, Error> {
    let Some(list) = value.get(key) else {
        return Ok(Vec::new());
    };
    let list = list.as_array().ok_or_else(|| bad(key))?;
    list.iter()
        .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| bad(key)))
        .collect()
}

impl Extra {
    /// Into the value of the key `mkbox`.
    pub(crate) fn write(&self, object: &mut Map<String, Value>) {
        let mut list = |key: &str, list: &[String]| {
            if !list.is_empty() {
                object.insert(key.into(), json!(list));
            }
        };
        list("bindPrograms", &self.bind_programs);
        list("etc", &self.etc);
        list("keep", &self.keep);
        if self.has_store {
            let store = self.store.map_or_else(|| json!({}), Identity::to_json);
            object.insert("store".into(), store);
        }
        if let Some(layers) = &self.overlay {
            let mut overlay = json!({"lower": layers.lower});
            if layers.ephemeral {
                overlay["ephemeral"] = true.into();
            }
            object.insert("overlay".into(), overlay);
        }
        if let Some(mounted) = &self.mounted {
            let mut entry = json!({"inode": mounted.inode});
            if let Some(path) = &mounted.path {
                entry["namespace"] = path.as_str().into();
            }
            object.insert("mounted".into(), entry);
        }
    }

    /// From the value of the key `mkbox`.
    ///
    /// # Errors
    /// Another shape; something to keep that is not in the box.
    pub(crate) fn read(value: &Value) -> Result<Self, Error> {
        let keep = strings(value, "keep")?;
        if !keep.iter().all(|path| is_inside(path)) {
            return Err(bad("keep"));
        }
        let store = value.get("store");
        let overlay = value.get("overlay").map(|overlay| {
            let lower = strings(overlay, "lower")?;
            let is_fine = !lower.is_empty() && lower.iter().all(|path| path.starts_with('/'));
            let ephemeral = overlay.get("ephemeral").and_then(Value::as_bool);
            is_fine
                .then_some(Layers {
                    lower,
                    ephemeral: ephemeral.unwrap_or(false),
                })
                .ok_or_else(|| bad("overlay"))
        });
        let mounted = value.get("mounted").map(|mounted| {
            let path = mounted.get("namespace").map(|path| {
                let path = path.as_str().filter(|path| path.starts_with('/'));
                path.map(str::to_owned).ok_or_else(|| bad("mounted"))
            });
            Ok::<_, Error>(MountedIn {
                path: path.transpose()?,
                inode: mounted
                    .get("inode")
                    .and_then(Value::as_u64)
                    .ok_or_else(|| bad("mounted"))?,
            })
        });
        Ok(Self {
            store: store.and_then(Identity::from_json),
            has_store: store.is_some(),
            bind_programs: strings(value, "bindPrograms")?,
            overlay: overlay.transpose()?,
            etc: strings(value, "etc")?,
            mounted: mounted.transpose()?,
            keep,
        })
    }
}

/// A relative path of plain names.
pub(crate) fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_survives_its_record() {
        let extra = Extra {
            store: Some(Identity { dev: 1, ino: 2 }),
            has_store: true,
            bind_programs: vec!["ls".into()],
            overlay: Some(Layers {
                lower: vec!["/a".into(), "/b".into()],
                ephemeral: true,
            }),
            etc: vec!["hosts".into()],
            mounted: Some(MountedIn {
                path: Some("/proc/7/ns/mnt".into()),
                inode: 9,
            }),
            keep: vec!["data".into()],
        };
        for extra in [
            extra,
            Extra {
                has_store: true,
                ..Extra::default()
            },
            Extra::default(),
        ] {
            let mut object = Map::new();
            extra.write(&mut object);
            assert_eq!(Extra::read(&object.into()).unwrap(), extra);
        }
    }

    #[test]
    fn what_is_not_in_the_box_is_not_kept_or_entered() {
        for bad in [
            json!({"keep": ["/etc"]}),
            json!({"keep": ["../x"]}),
            json!({"keep": [""]}),
            json!({"keep": "x"}),
            json!({"mounted": {"namespace": "ns", "inode": 1}}),
            json!({"mounted": {}}),
            json!({"overlay": {"lower": []}}),
            json!({"overlay": {"lower": ["x"]}}),
        ] {
            assert!(Extra::read(&bad).is_err(), "{bad}");
        }
    }
}
