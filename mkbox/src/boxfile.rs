//! One file of a box, and what brought it there.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::text::short;

/// A regular file that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxFile {
    /// Where it comes from: a path on the machine that the box is made from.
    pub(crate) source: PathBuf,
    /// In the box: absolute there, no `..` in it.
    pub(crate) destination: PathBuf,
    /// `st_mode` of the source.
    pub(crate) mode: u32,
    pub(crate) bytes: u64,
    /// Another name in the box of the same file: two copies would be loaded as two libraries.
    pub(crate) same_as: Option<PathBuf>,
    pub(crate) why: Why,
    /// Device and inode of the source.
    pub(crate) identity: (u64, u64),
}

/// What brought a file into a box. Paths are those in the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// `--copy NAME`
    Asked(String),
    /// It runs the program there: `PT_INTERP`, or a line that begins with `#!`.
    Interprets(PathBuf),
    /// `DT_NEEDED` of the file there.
    Needed(PathBuf),
    /// `.note.dlopen` of the file there; the feature may be empty.
    Dlopen(PathBuf, String),
    /// `--with NAME`
    With(String),
    /// It was in the base that `--from` names.
    From,
    /// `--merged-usr`
    Layout,
    /// `--etc`
    Etc,
    /// Something will be mounted on it.
    Mount,
}

impl Why {
    /// The word for it in a manifest, the file of the box that is the reason, and what was typed or noted.
    fn parts(&self) -> (&'static str, Option<&PathBuf>, Option<&str>) {
        match self {
            Self::Asked(name) => ("asked", None, Some(name)),
            Self::Interprets(by) => ("interprets", Some(by), None),
            Self::Needed(by) => ("needed", Some(by), None),
            Self::Dlopen(by, feature) => ("dlopen", Some(by), Some(feature)),
            Self::With(name) => ("with", None, Some(name)),
            Self::From => ("from", None, None),
            Self::Layout => ("layout", None, None),
            Self::Etc => ("etc", None, None),
            Self::Mount => ("mount", None, None),
        }
    }

    /// As keys of a manifest's entry.
    pub(crate) fn write(&self, entry: &mut Map<String, Value>) {
        let (word, by, name) = self.parts();
        entry.insert("why".into(), word.into());
        if let Some(by) = by {
            entry.insert("by".into(), by.to_string_lossy().into());
        }
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            entry.insert("as".into(), name.into());
        }
    }

    /// Reads what [`Why::write`] wrote; None when it is something else.
    pub(crate) fn read(entry: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let by = || text("by").map(PathBuf::from);
        Some(match text("why")?.as_str() {
            "asked" => Self::Asked(text("as")?),
            "interprets" => Self::Interprets(by()?),
            "needed" => Self::Needed(by()?),
            "dlopen" => Self::Dlopen(by()?, text("as").unwrap_or_default()),
            "with" => Self::With(text("as")?),
            "from" => Self::From,
            "layout" => Self::Layout,
            "etc" => Self::Etc,
            "mount" => Self::Mount,
            _ => return None,
        })
    }

    /// One line for people, and the file of the box in which the next reason lies.
    pub(crate) fn say(&self) -> (String, Option<&PathBuf>) {
        let line = match self {
            Self::Asked(name) => format!("asked for: --copy {name}"),
            Self::Interprets(by) => format!("runs {}", short(by)),
            Self::Needed(by) => format!("needed by {}", short(by)),
            Self::Dlopen(by, feature) if feature.is_empty() => {
                format!("opened by {}", short(by))
            }
            Self::Dlopen(by, feature) => format!("opened by {} for {feature}", short(by)),
            Self::With(name) => format!("asked for: --with {name}"),
            Self::From => "from the base: --from".into(),
            Self::Layout => "asked for: --merged-usr".into(),
            Self::Etc => "written from the record: --etc".into(),
            Self::Mount => "something is mounted on it when the box is entered".into(),
        };
        (line, self.parts().1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_its_manifest() {
        for why in [
            Why::Asked("ls".into()),
            Why::Interprets("/bin/x".into()),
            Why::Needed("/bin/x".into()),
            Why::Dlopen("/bin/x".into(), "tpm".into()),
            Why::Dlopen("/bin/x".into(), String::new()),
            Why::With("nss".into()),
            Why::From,
            Why::Layout,
            Why::Etc,
            Why::Mount,
        ] {
            let mut entry = Map::new();
            why.write(&mut entry);
            assert_eq!(Why::read(&entry), Some(why));
        }
        assert_eq!(Why::read(&Map::new()), None);
    }
}
