//! The keys of OCI beside `mounts` that say how a box is entered.

use record::{MASKED_PATHS, READ_ONLY_PATHS, Record};
use serde_json::{Value, json};

use crate::error::Error;
use crate::mount_args::MountArgs;

/// Keys that the marker takes along from the record, so that a box that is called by its path is entered the same way.
const KEYS: [&[&str]; 8] = [
    &["root", "readonly"],
    &["linux", "maskedPaths"],
    &["linux", "readonlyPaths"],
    &["linux", "rootfsPropagation"],
    &["linux", "devices"],
    &["linux", "uidMappings"],
    &["linux", "gidMappings"],
    &["process", "cwd"],
];

fn pointer(key: &[&str]) -> String {
    key.iter().map(|part| format!("/{part}")).collect()
}

/// Sets in `record` what the flags ask for.
///
/// # Errors
/// The record has something else where a list is expected.
pub(crate) fn apply(args: &MountArgs, record: &mut Record) -> Result<(), Error> {
    if args.read_only {
        record.set_at(&["root", "readonly"], true.into())?;
    }
    let preset = |list: &'static [&'static str]| if args.mask { list } else { &[] };
    for (key, preset, more) in [
        ("maskedPaths", preset(&MASKED_PATHS), &args.mask_path),
        (
            "readonlyPaths",
            preset(&READ_ONLY_PATHS),
            &args.read_only_path,
        ),
    ] {
        let wanted = preset
            .iter()
            .copied()
            .chain(more.iter().map(String::as_str));
        let wanted: Vec<&str> = wanted.collect();
        if wanted.is_empty() {
            continue;
        }
        let mut list = match record.pointer(&format!("/linux/{key}")) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.clone(),
            Some(_) => {
                let problem = format!("linux.{key}: must be a list of paths");
                return Err(record::Error::Record(problem).into());
            }
        };
        for path in wanted {
            if !list.iter().any(|there| there == path) {
                list.push(json!(path));
            }
        }
        record.set_at(&["linux", key], list.into())?;
    }
    Ok(())
}

/// Copies the keys from one record to another.
///
/// # Errors
/// `to` has something else where an object is expected.
pub(crate) fn copy(from: &Record, to: &mut Record) -> Result<(), Error> {
    for key in KEYS {
        if let Some(value) = from.pointer(&pointer(key)) {
            to.set_at(key, value.clone())?;
        }
    }
    Ok(())
}

/// Says in which key two records differ.
pub(crate) fn difference(made: &Record, wanted: &Record) -> Option<String> {
    let get = |record: &Record, key: &[&str]| {
        let value = record.pointer(&pointer(key)).cloned();
        value.filter(|value| !value.is_null() && *value != json!(false) && *value != json!([]))
    };
    // Where CMD begins is no property of the box.
    let keys = KEYS.iter().filter(|key| key[0] != "process");
    let mut differing = keys.filter(|key| get(made, key) != get(wanted, key));
    differing.next().map(|key| {
        let name = key.join(".");
        let show =
            |value: Option<Value>| value.map_or("none".to_owned(), |value| value.to_string());
        format!(
            "it was made with {name} {}, not {}",
            show(get(made, key)),
            show(get(wanted, key))
        )
    })
}
