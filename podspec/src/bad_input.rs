//! Manifests, images and files of DNS, as anybody could have changed them.

use clap::{CommandFactory, Parser};
use fuzz::Target;

use crate::cli::Cli;
use crate::complete::parse_resolv_conf;
use crate::{expand, pod, quantity, words, yaml};

#[test]
fn a_value_is_read_or_bad_usage() {
    fuzz::arguments("cli-podspec", Cli::command(), |words| {
        let _ = Cli::try_parse_from(words).map_err(|error| error.to_string());
    });
}

#[test]
fn a_manifest_becomes_records_or_is_refused() {
    Target::new("manifest")
        .cases(1500)
        .bound(16 << 20, 256)
        .run(|input| {
            let Ok(documents) = yaml::documents(input) else {
                return;
            };
            let Ok(records) = pod::records(&documents, "/run/chroot0") else {
                return;
            };
            for record in &records {
                assert!(!record.to_string().contains('\n'));
                let _ = (
                    words::words(words::Tool::Drop, record),
                    words::value(record, "podspec.name"),
                );
            }
        });
}

#[test]
fn texts_within_a_manifest_are_read_or_refused() {
    Target::new("assignments").run(|input| {
        let text = String::from_utf8_lossy(input);
        for line in text.lines() {
            let value = line.split_once('=').map_or(line, |(_, value)| value);
            let _ = (
                quantity::parse(value, 1000),
                expand::expand(line, |name| Some(name.to_owned())),
            );
        }
    });
    Target::new("leases").run(|input| {
        let _ = parse_resolv_conf(&String::from_utf8_lossy(input));
    });
}
