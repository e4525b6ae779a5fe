//! The text of a manifest: YAML as kubectl reads it, or JSON, which is YAML too.

use std::borrow::Cow;

use serde_json::Value;
use serde_saphyr::{Error as Problem, Options};

use crate::error::Error;

/// Bytes of a manifest. Kubernetes' own server takes 3 MiB.
pub(crate) const MAX_BYTES: usize = 4 << 20;

/// The documents of the text, empty ones left out.
///
/// # Errors
/// No UTF-8, no YAML, a key that comes twice, or more aliases, depth or documents than a manifest has a use for.
pub(crate) fn documents(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| Error::Input(format!("no YAML: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = join_surrogates(text);
    serde_saphyr::from_multiple_with_options::<Value>(&text, options())
        .map_err(|problem| Error::Input(format!("no YAML: {}", one_line(&problem))))
}

/// As kubectl reads: `0644` is octal, `no` is false. No manifest comes near these limits.
fn options() -> Options {
    let mut options = Options::default();
    options.legacy_octal_numbers = true;
    options.reject_unsupported_tags = true;
    options.with_snippet = false;
    options.alias_limits.max_total_replayed_events = 20_000;
    options.alias_limits.max_replay_stack_depth = 16;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = 32;
        budget.flow_nesting_limit = 32;
        budget.max_aliases = 2_000;
        budget.max_anchors = 2_000;
        budget.max_documents = 256;
        budget.max_merge_keys = 1_000;
    }
    options
}

/// The message without its frame of source lines.
fn one_line(problem: &Problem) -> String {
    let text = problem.without_snippet().to_string();
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let end = line
        .char_indices()
        .nth(300)
        .map_or(line.len(), |(at, _)| at);
    line[..end].trim_end_matches('.').to_owned()
}

/// JSON writes characters beyond U+FFFF as two escapes, of which YAML knows neither.
fn join_surrogates(text: &str) -> Cow<'_, str> {
    let is_json = text.trim_start().starts_with(['{', '[']);
    if !is_json || !(text.contains("\\ud") || text.contains("\\uD")) {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        joined.push_str(&rest[..at]);
        let (taken, character) = pair(&rest[at..]);
        match character {
            Some(character) => joined.push(character),
            None => joined.push_str(&rest[at..at + taken]),
        }
        rest = &rest[at + taken..];
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// What an escape at the beginning of `text` takes, and its character if it is a pair of surrogates.
fn pair(text: &str) -> (usize, Option<char>) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let both = [unit(0), unit(6)];
    if let [Some(high), Some(low)] = both
        && let Some(Ok(character)) = char::decode_utf16([high, low]).next()
        && u32::from(character) > 0xffff
    {
        return (12, Some(character));
    }
    // The character behind the backslash is part of the escape: `\\ud83d` is no surrogate.
    let second = text[1..].chars().next().map_or(0, char::len_utf8);
    (1 + second, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn one(text: &str) -> Result<Value, String> {
        let mut all = documents(text.as_bytes()).map_err(|error| error.to_string())?;
        assert_eq!(all.len(), 1, "{text}");
        Ok(all.remove(0))
    }

    #[test]
    fn yaml_is_read_as_kubectl_does() {
        assert_eq!(
            one("a: 0644\nb: no\nc: \"0644\"\nd: ~\ne: 1.5\nf: on\n").unwrap(),
            json!({"a": 420, "b": false, "c": "0644", "d": null, "e": 1.5, "f": true})
        );
        assert_eq!(
            one("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n").unwrap(),
            json!({"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 3}})
        );
        assert_eq!(
            documents(b"---\na: 1\n---\n---\nb: 2\n...\n")
                .unwrap()
                .len(),
            2
        );
        assert_eq!(documents(b"").unwrap().len(), 0);
        assert_eq!(documents(b"# nothing\n").unwrap().len(), 0);
        assert_eq!(one("\u{feff}a: 1").unwrap(), json!({"a": 1}));
        assert_eq!(
            one("a: 1\r\nb: |\r\n  x\r\n  y\r\n").unwrap(),
            json!({"a": 1, "b": "x\ny\n"})
        );
    }

    #[test]
    fn json_is_yaml() {
        assert_eq!(
            one("{\n\t\"a\": [1, true, null, \"x\\u00e4\\n\\/\"],\n\t\"b\": {}\n}").unwrap(),
            json!({"a": [1, true, null, "x\u{e4}\n/"], "b": {}})
        );
        assert_eq!(
            one(r#"{"a":"\ud83d\ude00","b":"\\ud83d\\ude00"}"#).unwrap(),
            json!({"a": "\u{1f600}", "b": "\\ud83d\\ude00"})
        );
    }

    #[test]
    fn a_key_that_comes_twice_is_refused() {
        assert!(one("a: 1\na: 2\n").unwrap_err().contains("duplicate"));
        assert!(one(r#"{"a":1,"a":2}"#).is_err());
    }

    #[test]
    fn what_is_no_yaml_is_one_line() {
        for bad in [
            "a: [1\n",
            "a: b: c\n",
            "a: *x\n",
            "!!foo a\n",
            "a: !bar b\n",
            "a: .nan",
            "}",
        ] {
            let said = one(bad).unwrap_err();
            assert!(
                said.starts_with("no YAML: ") && !said.contains('\n'),
                "{said}"
            );
        }
        assert!(documents(b"a: \xff").is_err());
    }

    #[test]
    fn bombs_do_not_go_off() {
        let mut laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, before) in ('b'..='k').zip('a'..) {
            let list = vec![format!("*{before}"); 9].join(",");
            laughs.push_str(&format!("{name}: &{name} [{list}]\n"));
        }
        assert!(one(&laughs).is_err());
        assert!(one(&"[".repeat(100_000)).is_err());
        assert!(one(&"{a: ".repeat(100_000)).is_err());
        assert!(one(&"- ".repeat(100_000)).is_err());
        assert!(one("a: &a [*a]\n").is_err());
        assert!(documents("---\na: 1\n".repeat(1000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[\\PC\n\t]{0,200}", bytes in proptest::collection::vec(0_u8.., 0..200)) {
            let _ = documents(text.as_bytes());
            let _ = documents(&bytes);
        }

        #[test]
        fn json_comes_out_as_it_went_in(text in "\\PC{0,40}", number in -1_000_000_000_000_i64..1_000_000_000_000, flag: bool) {
            let value = json!({"a": text, "b": [number, flag, null], "": {"x": text}});
            let compact = value.to_string();
            prop_assert_eq!(&documents(compact.as_bytes()).unwrap()[0], &value);
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(&documents(pretty.as_bytes()).unwrap()[0], &value);
        }
    }
}
