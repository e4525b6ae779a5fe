//! Whether two runs of the same command made the same, whatever numbers it got.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::World;

/// How many things of each kind there are, with what names of them do not change from run to run.
pub(crate) fn shape(world: &World) -> World {
    let mut shape: BTreeMap<String, usize> = BTreeMap::new();
    // What the kernel adds by itself, to addresses and links that it has looked at for a while.
    let late = [
        "route: local ",
        "proto kernel",
        "fe80:",
        "ff00:",
        "anycast",
        "multicast",
    ];
    let is_late = |line: &str| late.iter().any(|name| line.contains(name));
    for line in world.without(is_late).lines().lines() {
        let (kind, thing) = line.split_once(": ").unwrap_or((line, ""));
        let name = match kind {
            "file" => thing.split(" (").next().unwrap_or_default(),
            "mount" | "group" | "tc" | "nft" | "rule" | "neighbour" => thing,
            _ => "",
        };
        // The values are numbers, and are what matters.
        let name = match kind {
            "sysctl" => thing.to_owned(),
            _ => without_digits(name),
        };
        let key = format!("{kind}: {name}");
        *shape.entry(key).or_default() += 1;
    }
    let lines = shape
        .iter()
        .map(|(key, times)| format!("{key} x {times}\n"));
    World::from_lines(&lines.collect::<String>())
}

/// Every key of a record, and what it says if that has no number in it.
pub(crate) fn keys(value: &Value, at: &str) -> Vec<String> {
    match value {
        // Numbers of namespaces are of newer kernels; a pod does without.
        _ if at == "/nsrun/ids" => Vec::new(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| keys(value, &format!("{at}/{}", without_digits(key))))
            .collect(),
        Value::Array(values) => values
            .iter()
            .flat_map(|value| keys(value, &format!("{at}/-")))
            .collect(),
        Value::String(text) if text.contains(|c: char| c.is_ascii_digit()) => vec![at.to_owned()],
        Value::Number(_) => vec![at.to_owned()],
        value => vec![format!("{at} = {value}")],
    }
}

fn without_digits(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c.is_ascii_digit() {
            true if shown.ends_with('#') => {}
            true => shown.push('#'),
            false => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_things_do_not() {
        let one = shape(&World::from_lines(
            "process: 7 pause (S)\nfile: /run/a1 (1) 5 bytes\n",
        ));
        let other = shape(&World::from_lines(
            "process: 8 pause (S)\nfile: /run/a22 (1) 6 bytes\n",
        ));
        assert_eq!(one, other);
        let less = shape(&World::from_lines("process: 8 pause (S)\n"));
        assert_eq!(one.difference(&less).unwrap(), "  - file: /run/a# x 1\n");
    }

    #[test]
    fn a_key_that_is_missing_is_seen() {
        let keys = |text| keys(&serde_json::from_str(text).unwrap(), "");
        assert_eq!(
            keys(r#"{"a":{"pid":1,"b":"x"}}"#),
            keys(r#"{"a":{"pid":2,"b":"x"}}"#)
        );
        assert_ne!(
            keys(r#"{"a":{"pid":1,"b":"x"}}"#),
            keys(r#"{"a":{"pid":1}}"#)
        );
        assert_ne!(keys(r#"{"b":"x"}"#), keys(r#"{"b":"y"}"#));
    }
}
