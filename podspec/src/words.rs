//! What a record of ours says to a tool that cannot read it there, as words of a shell; and single values of any record.

use serde_json::Value;

use crate::error::Error;

/// A tool whose command line takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tool {
    /// Limits of a container, for cgset exec
    Cgset,
    /// Volumes of a pod, for mkbox up
    Mkbox,
    /// Published ports of a pod, for netwire up
    Netwire,
    /// Who a container is and its command, for nsrun drop
    Drop,
    /// The same without the command, for another one in the container
    Exec,
}

/// The words of `record` for `tool`, quoted for `eval`.
///
/// # Errors
/// The record has no command, or is none of ours.
pub(crate) fn words(tool: Tool, record: &Value) -> Result<String, Error> {
    let words = match tool {
        Tool::Cgset => limits(record),
        Tool::Mkbox => flags("--mount", &record["podspec"]["mounts"]),
        Tool::Netwire => flags("--publish", &record["podspec"]["publish"]),
        Tool::Drop => {
            let command = command(record)?;
            let mut words = identity(record);
            words.push("--".into());
            words.extend(command);
            words
        }
        Tool::Exec => identity(record),
    };
    Ok(words
        .iter()
        .map(|word| quoted(word))
        .collect::<Vec<_>>()
        .join(" "))
}

fn flags(flag: &str, list: &Value) -> Vec<String> {
    let list = list
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    list.flat_map(|word| [flag.to_owned(), word.to_owned()])
        .collect()
}

/// `linux.resources` in the words of cgset.
fn limits(record: &Value) -> Vec<String> {
    let resources = &record["linux"]["resources"];
    let number = |value: &Value| value.as_i64();
    let mut words = Vec::new();
    if let Some(limit) = number(&resources["memory"]["limit"]) {
        words.push(format!("memory.max={limit}"));
    }
    if let Some(asked) = number(&resources["memory"]["reservation"]) {
        words.push(format!("memory.low={asked}"));
    }
    if let Some(shares) = number(&resources["cpu"]["shares"]) {
        words.push(format!("cpu.shares={shares}"));
    }
    if let (Some(quota), Some(period)) = (
        number(&resources["cpu"]["quota"]),
        number(&resources["cpu"]["period"]),
    ) {
        words.push(format!("cpu.max={quota} {period}"));
    }
    for huge in resources["hugepageLimits"].as_array().into_iter().flatten() {
        if let (Some(size), Some(limit)) = (huge["pageSize"].as_str(), number(&huge["limit"])) {
            words.push(format!("hugetlb.{size}.max={limit}"));
        }
    }
    words
}

/// What a container runs.
fn command(record: &Value) -> Result<Vec<String>, Error> {
    let args = record["process"]["args"].as_array().into_iter().flatten();
    let args: Vec<String> = args.filter_map(Value::as_str).map(str::to_owned).collect();
    let own = &record["podspec"];
    match args.is_empty() {
        false => Ok(args),
        true => Err(Error::Input(format!(
            "{}: no command (neither the manifest nor the image {} says one)",
            own["name"].as_str().unwrap_or("container"),
            own["image"].as_str().unwrap_or_default()
        ))),
    }
}

/// Who it is, in the words of `nsrun drop`.
fn identity(record: &Value) -> Vec<String> {
    let (process, own) = (&record["process"], &record["podspec"]);
    let mut words = Vec::new();
    let mut flag = |name: &str, value: &str| words.push(format!("--{name}={value}"));
    match (process["user"]["uid"].as_u64(), own["user"].as_str()) {
        (Some(uid), _) => {
            let gid = process["user"]["gid"].as_u64().unwrap_or(0);
            let more = process["user"]["additionalGids"]
                .as_array()
                .into_iter()
                .flatten();
            let more: String = more.map(|gid| format!(",{gid}")).collect();
            flag("user", &format!("{uid}:{gid}{more}"));
        }
        (None, Some(user)) => flag("user", user),
        (None, None) => flag("user", "0:0"),
    }
    flag("caps", own["caps"].as_str().unwrap_or("none"));
    flag("seccomp", own["seccomp"].as_str().unwrap_or("default"));
    let is_strict = process["noNewPrivileges"].as_bool().unwrap_or(true);
    flag("no-new-privs", if is_strict { "yes" } else { "no" });
    let env = process["env"].as_array().into_iter().flatten();
    env.filter_map(Value::as_str)
        .for_each(|variable| flag("env", variable));
    words
}

/// A word that a shell reads as it is.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The value at `key` (`podspec.containers`, `netwire.ips.0.address`) for a shell: a string as it is, a list with a line for each item,
/// anything else as JSON. None: there is nothing.
pub(crate) fn value(record: &Value, key: &str) -> Option<String> {
    let mut value = record;
    for part in key.split('.') {
        value = match value {
            Value::Object(map) => map.get(part)?,
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Null => None,
        Value::Array(list) => Some(list.iter().map(text).collect::<Vec<_>>().join("\n"))
            .filter(|lines| !lines.is_empty()),
        other => Some(text(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_container_is_dropped_as_it_says() {
        let record = json!({"process": {"args": ["sh", "-c", "echo 'a b'"], "env": ["A=x y"], "user": {"uid": 7, "gid": 8, "additionalGids": [9]}, "noNewPrivileges": false},
            "podspec": {"name": "app", "caps": "docker", "seccomp": "default"}});
        assert_eq!(
            words(Tool::Drop, &record).unwrap(),
            r"--user=7:8,9 --caps=docker --seccomp=default --no-new-privs=no '--env=A=x y' -- sh -c 'echo '\''a b'\'''"
        );
        let without = words(
            Tool::Drop,
            &json!({"podspec": {"name": "app", "image": "nginx"}}),
        )
        .unwrap_err();
        assert_eq!(
            without.to_string(),
            "app: no command (neither the manifest nor the image nginx says one)"
        );
    }

    #[test]
    fn limits_are_words_of_cgset() {
        let record = json!({"linux": {"resources": {"memory": {"limit": 5, "reservation": 4}, "cpu": {"shares": 2, "quota": 1000, "period": 100_000},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 7}]}}});
        assert_eq!(
            words(Tool::Cgset, &record).unwrap(),
            "memory.max=5 memory.low=4 cpu.shares=2 'cpu.max=1000 100000' hugetlb.2MB.max=7"
        );
        assert_eq!(words(Tool::Cgset, &json!({})).unwrap(), "");
    }

    #[test]
    fn values_are_found_by_their_path() {
        let record = json!({"a": {"b": ["x", 1]}, "n": null, "t": "y", "e": []});
        assert_eq!(value(&record, "a.b").as_deref(), Some("x\n1"));
        assert_eq!(value(&record, "a.b.0").as_deref(), Some("x"));
        assert_eq!(value(&record, "a").as_deref(), Some(r#"{"b":["x",1]}"#));
        for nothing in ["n", "e", "a.c", "t.x", "a.b.7", ""] {
            assert_eq!(value(&record, nothing), None, "{nothing}");
        }
    }

    proptest! {
        #[test]
        fn a_shell_reads_a_word_as_it_was(word in "[^\0]{0,30}") {
            // What sh(1) makes of single quotes and of plain text, without a shell.
            let text = quoted(&word);
            let mut read = String::new();
            let mut rest = text.as_str();
            while let Some(c) = rest.chars().next() {
                if let Some(tail) = rest.strip_prefix('\'') {
                    let (inside, after) = tail.split_once('\'').unwrap();
                    read.push_str(inside);
                    rest = after;
                } else if let Some(tail) = rest.strip_prefix("\\'") {
                    read.push('\'');
                    rest = tail;
                } else {
                    prop_assert!(c.is_ascii_alphanumeric() || "_-./:=,@%+".contains(c));
                    read.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
            prop_assert_eq!(read, word);
        }
    }
}
