//! What a machine allows a tool: a list that people read as a table and programs as one JSON object.

use std::borrow::Cow;
use std::io::{self, Write};
use std::process::ExitCode;

use nix::errno::Errno;
use serde_json::{Map, Value, json};

use crate::probe::Answer;
use crate::{Call, SysError};

/// One thing that was looked at, and how to get it where it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The same in the table and in JSON: `namespace.net`.
    pub name: String,
    /// It is there, or nothing stands in the way.
    pub ok: bool,
    /// The tool's main job does not go without it.
    pub needed: bool,
    /// What was found; of a call that failed the call and the reason.
    pub found: String,
    /// Of a call that failed.
    pub errno: Option<Errno>,
    /// How to get it; only where there is one likely cause.
    pub hint: Option<Cow<'static, str>>,
    /// Further keys of the JSON object.
    pub data: Map<String, Value>,
}

impl Check {
    /// `found` is there, or is not.
    pub fn new(name: impl Into<String>, ok: bool, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            needed: false,
            found: found.into(),
            errno: None,
            hint: None,
            data: Map::new(),
        }
    }

    /// Of a `call` that was tried: `found` when it went, else the reason. None: it came to no try.
    pub fn tried(
        name: impl Into<String>,
        call: &str,
        answer: Option<Answer>,
        found: impl Into<String>,
    ) -> Self {
        match answer {
            Some(Ok(())) => Self::new(name, true, found),
            Some(Err(errno)) => Self {
                errno: Some(errno),
                ..Self::new(name, false, SysError::new(call, errno).to_string())
            },
            None => Self::new(name, false, format!("{call}: not tried")),
        }
    }

    /// Needed for the tool's main job, when `needed`.
    #[must_use]
    pub fn needed(mut self, needed: bool) -> Self {
        self.needed = needed;
        self
    }

    /// How to get it. Nothing is said of what is there.
    #[must_use]
    pub fn hint(mut self, hint: Option<impl Into<Cow<'static, str>>>) -> Self {
        self.hint = hint.filter(|_| !self.ok).map(Into::into);
        self
    }

    /// One more key of the JSON object.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }

    fn verdict(&self) -> &'static str {
        match (self.ok, self.needed) {
            (true, _) => "ok",
            (false, true) => "missing",
            (false, false) => "no",
        }
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".into(), self.name.as_str().into());
        object.insert("ok".into(), self.ok.into());
        object.insert("needed".into(), self.needed.into());
        object.insert("found".into(), self.found.as_str().into());
        if let Some(errno) = self.errno {
            object.insert("errno".into(), format!("{errno:?}").into());
        }
        if let Some(hint) = &self.hint {
            object.insert("hint".into(), hint.as_ref().into());
        }
        for (key, value) in &self.data {
            object.entry(key.as_str()).or_insert_with(|| value.clone());
        }
        object.into()
    }
}

/// Everything that a tool looked at, in the order in which it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    tool: &'static str,
    list: Vec<Check>,
}

impl Checks {
    /// Of `tool`.
    #[must_use]
    pub fn new(tool: &'static str, list: Vec<Check>) -> Self {
        Self { tool, list }
    }

    /// Nothing that is needed is missing.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.list.iter().all(|check| check.ok || !check.needed)
    }

    /// The one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Check> {
        self.list.iter().find(|check| check.name == name)
    }

    /// A line each: `ok`, `missing` or `no`, the name, what was found and, in parentheses, how to get it.
    #[must_use]
    pub fn table(&self) -> String {
        let width = self.list.iter().map(|check| check.name.len()).max();
        let width = width.unwrap_or_default();
        let mut text = String::new();
        for check in &self.list {
            let line = format!(
                "{:7}  {:width$}  {}",
                check.verdict(),
                check.name,
                check.found
            );
            let hint = check.hint.as_ref().map(|hint| format!(" ({hint})"));
            // A path in it cannot act on the reader's terminal, nor look like another line.
            let printable = |c: char| if c.is_control() { '?' } else { c };
            let line = line.trim_end().to_owned() + hint.as_deref().unwrap_or_default();
            text.extend(line.chars().map(printable));
            text.push('\n');
        }
        text
    }

    /// One object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        let list: Vec<Value> = self.list.iter().map(Check::to_json).collect();
        let (tool, ok) = (self.tool, self.is_enough());
        format!("{}\n", json!({"tool": tool, "ok": ok, "checks": list}))
    }

    /// The end of the verb `check`: the list on stdout, and the status, 0 when nothing that is needed is missing.
    #[must_use]
    pub fn finish(&self, as_json: bool) -> ExitCode {
        match self.print(as_json) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                // A stderr that takes nothing is the user's wish.
                let _ = io::stderr().write_all(format!("{}: {error}\n", self.tool).as_bytes());
                ExitCode::FAILURE
            }
        }
    }

    /// On stdout. True: nothing that is needed is missing.
    fn print(&self, as_json: bool) -> Result<bool, SysError> {
        let text = if as_json { self.json() } else { self.table() };
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes());
        written.call(|| "write(stdout)".into())?;
        Ok(self.is_enough())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Checks {
        let list = vec![
            Check::new("proc", true, "/proc").hint(Some("never said")),
            Check::tried(
                "namespace.net",
                "unshare(CLONE_NEWNET)",
                Some(Err(Errno::EPERM)),
                "",
            )
            .needed(true)
            .hint(Some("needs root")),
            Check::tried("a", "call()", None, "yes").with("list", vec!["x"]),
            Check::new("path", true, "/a\x1b[2J\nb"),
        ];
        Checks::new("nsrun", list)
    }

    #[test]
    fn people_get_a_line_each() {
        assert_eq!(
            checks().table(),
            "ok       proc           /proc\n\
             missing  namespace.net  unshare(CLONE_NEWNET): Operation not permitted (needs root)\n\
             no       a              call(): not tried\n\
             ok       path           /a?[2J?b\n"
        );
        assert_eq!(Checks::new("nsrun", Vec::new()).table(), "");
    }

    #[test]
    fn programs_get_one_object_on_one_line() {
        let line = checks().json();
        assert_eq!(line.lines().count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["tool"], "nsrun");
        assert_eq!(object["ok"], false);
        assert_eq!(
            object["checks"][0],
            json!({"name": "proc", "ok": true, "needed": false, "found": "/proc"})
        );
        assert_eq!(object["checks"][1]["errno"], "EPERM");
        assert_eq!(object["checks"][1]["hint"], "needs root");
        assert_eq!(object["checks"][2]["list"], json!(["x"]));
    }

    #[test]
    fn only_what_is_needed_decides() {
        let mut list = vec![
            Check::new("a", false, ""),
            Check::new("b", true, "").needed(true),
        ];
        assert!(Checks::new("t", list.clone()).is_enough());
        list.push(Check::new("c", false, "").needed(true));
        assert!(!Checks::new("t", list).is_enough());
    }

    #[test]
    fn data_never_hides_what_every_check_says() {
        let check = Check::new("a", false, "x").with("ok", true);
        assert_eq!(check.to_json()["ok"], false);
    }
}
