//! What an ELF file says about the libraries that it opens while it runs: the ELF note `.note.dlopen`.
//!
//! <https://uapi-group.org/specifications/specs/elf_dlopen_metadata/>

use std::ffi::OsString;

use clap::ValueEnum;
use serde_json::Value;

/// The note's type and owner.
pub(crate) const NT_FDO_DLOPEN: u32 = 0x407c_0c0a;
pub(crate) const OWNER: &[u8] = b"FDO";

/// How much a program needs what it opens. The order is that of need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Priority {
    /// Take nothing along
    None,
    /// What the program cannot do without
    Required,
    /// Also what it is less without
    Recommended,
    /// Also what few will miss
    Suggested,
}

impl Priority {
    /// As the note spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Required => "required",
            Self::Recommended => "recommended",
            Self::Suggested => "suggested",
        }
    }
}

/// One entry of the note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dlopen {
    /// What it is for; may be empty.
    pub(crate) feature: String,
    pub(crate) priority: Priority,
    /// The first of these that there is will be taken.
    pub(crate) sonames: Vec<OsString>,
}

/// Reads the JSON of a note; None when it is not what the specification says.
pub(crate) fn parse(text: &[u8]) -> Option<Vec<Dlopen>> {
    let end = text
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    let value: Value = serde_json::from_slice(&text[..end]).ok()?;
    value.as_array()?.iter().map(entry).collect()
}

fn entry(value: &Value) -> Option<Dlopen> {
    let text = |key| value.get(key).map_or(Some(""), Value::as_str);
    // Without a priority it is "recommended", says the specification.
    let priority = match text("priority")? {
        "required" => Priority::Required,
        "" | "recommended" => Priority::Recommended,
        "suggested" => Priority::Suggested,
        _ => return None,
    };
    let sonames = value.get("soname")?.as_array()?.iter();
    let sonames: Option<Vec<OsString>> = sonames
        .map(|name| {
            name.as_str()
                .filter(|name| is_name(name))
                .map(OsString::from)
        })
        .collect();
    Some(Dlopen {
        feature: text("feature")?.to_owned(),
        priority,
        sonames: sonames.filter(|names| !names.is_empty())?,
    })
}

/// A soname is looked up along the search path; one with a slash would be a path.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example_is_read_and_other_things_are_not() {
        let text = br#"[{"feature":"fido2","description":"x","priority":"suggested","soname":["libfido2.so.2","libfido2.so.1"]},{"soname":["libz.so.1"]}]"#;
        let read = parse(&[&text[..], b"\0\0"].concat()).unwrap();
        assert_eq!(
            read,
            [
                Dlopen {
                    feature: "fido2".into(),
                    priority: Priority::Suggested,
                    sonames: vec!["libfido2.so.2".into(), "libfido2.so.1".into()],
                },
                Dlopen {
                    feature: String::new(),
                    priority: Priority::Recommended,
                    sonames: vec!["libz.so.1".into()],
                },
            ]
        );
        for bad in [
            "",
            "{}",
            "[{}]",
            r#"[{"soname":[]}]"#,
            r#"[{"soname":["../x"]}]"#,
            r#"[{"soname":["a"],"priority":"vital"}]"#,
            r#"[{"soname":[7]}]"#,
            r#"[{"soname":["a"]}] x"#,
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        assert!(Priority::Required < Priority::Recommended);
    }
}
