//! What is hidden of the kernel's files when `nsrun drop` follows, and nobody has said what is.
//!
//! User 0 needs no capability to write /proc/sys/kernel/core_pattern: it owns the file, and what it writes there the machine
//! runs. `drop` cannot hide it, its mounts would be somebody's; `exec` has a mount namespace of its own, and knows what follows.

use std::ffi::OsString;

/// Options of `nsrun drop` that take no value, or only an attached one.
const FLAGS: [&str; 7] = [
    "-v",
    "--verbose",
    "--keep-env",
    "--dry-run",
    "--json",
    "--no-new-privs",
    "--help",
];

/// Whether `command` is our `nsrun drop`, and does not keep everything: who does can unmount what hides.
pub(crate) fn is_one(command: &[OsString]) -> bool {
    match command {
        [nsrun, drop, rest @ ..] if nsrun == "nsrun" && drop == "drop" => !keeps_all(rest),
        _ => false,
    }
}

/// `--caps keep`, among the options and not behind them.
fn keeps_all(words: &[OsString]) -> bool {
    let mut words = words.iter().filter_map(|word| word.to_str());
    let mut keeps = false;
    while let Some(word) = words.next() {
        if word == "--" || !word.starts_with('-') {
            break;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None if FLAGS.contains(&word) => (word, None),
            // -PFILE has its value in it.
            None if !word.starts_with("--") && word.len() > 2 => (word, None),
            None => (word, words.next()),
        };
        if name == "--caps" {
            keeps = value == Some("keep");
        }
    }
    keeps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_drops_something_is_a_boundary() {
        for (line, expected) in [
            ("nsrun drop", true),
            ("nsrun drop -- sh", true),
            ("nsrun drop --caps docker sh", true),
            ("nsrun drop --caps all -- sh", true),
            ("nsrun drop --caps keep", false),
            ("nsrun drop --user 5 --caps=keep -- sh", false),
            ("nsrun drop -PFILE --keep-env --caps keep sh", false),
            ("nsrun drop -v --caps keep sh", false),
            ("nsrun drop -- sh --caps keep", true),
            ("nsrun drop --keep-env sh --caps keep", true),
            ("nsrun drop --env --caps keep", true),
            ("nsrun exec drop", false),
            ("/bin/nsrun drop", false),
            ("sh", false),
        ] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(is_one(&words), expected, "{line}");
        }
    }
}
