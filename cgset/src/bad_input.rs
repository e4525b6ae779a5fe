//! Command lines, limits, records and the kernel's files, as anybody could have changed them.

use std::path::Path;

use clap::{CommandFactory, Parser};
use fuzz::Target;
use record::Record;

use crate::cli::Cli;
use crate::hierarchy::Hierarchies;
use crate::membership::Membership;
use crate::vocabulary::{Machine, parse_all};
use crate::{absent, compat, devices, kube, oci, units, usage, v1, version};

const MACHINE: Machine = Machine {
    memory_total: || 1 << 30,
};

#[test]
fn a_value_is_read_or_bad_usage() {
    fuzz::arguments("cli-cgset", Cli::command(), |words| {
        let _ = Cli::try_parse_from(words).map_err(|error| error.to_string());
    });
    // As libcgroup's cgset has them.
    fuzz::Target::new("assignments").run(|input| {
        let lines = String::from_utf8_lossy(input);
        for line in lines.lines() {
            let _ = compat::Wishes::parse(&["-r".into(), line.into(), "a".into()]);
        }
    });
}

#[test]
fn a_limit_is_read_or_refused() {
    Target::new("assignments").cases(1000).run(|input| {
        let text = String::from_utf8_lossy(input);
        let _ = parse_all(text.lines(), &MACHINE).map(|limits| limits.spelt());
        for line in text.lines() {
            if let Ok(limits) = parse_all([line], &MACHINE) {
                // What is understood is written as something that is understood as the same.
                let spelt: Vec<String> = limits
                    .spelt()
                    .into_iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                let again = parse_all(spelt.iter().map(String::as_str), &MACHINE);
                assert_eq!(
                    again.map(|again| again.spelt()).ok(),
                    Some(limits.spelt()),
                    "{line:?}"
                );
            }
            let value = line.split_once('=').map_or(line, |(_, value)| value);
            let _ = (
                units::bytes(value),
                units::count(value),
                units::millicpus(value),
                v1::bytes(value),
            );
            let _ = (
                devices::Rules::list(value).is_some(),
                version::scalar(value),
            );
        }
    });
}

#[test]
fn requests_of_kubernetes_are_read_or_refused() {
    Target::new("kube").run(|input| {
        let text = String::from_utf8_lossy(input);
        // Anything else is the name of a file.
        if text.trim_start().starts_with(['{', '[']) {
            let _ = kube::read(&text);
        }
    });
}

#[test]
fn resources_of_a_record_are_read_or_refused() {
    Target::new("record").run(|input| {
        if let Ok(record) = Record::parse(input) {
            let _ = oci::read(&record, &MACHINE).map(|resources| resources.limits.spelt());
        }
    });
}

#[test]
fn files_of_groups_are_read_as_far_as_they_make_sense() {
    Target::new("cgroup-files").cases(4000).run(|input| {
        let text = String::from_utf8_lossy(input);
        let found = Hierarchies::parse(input, &text, |_: &Path| text.clone().into_owned());
        let own = Membership::parse(&text);
        for hierarchy in found.iter() {
            let below = own.below_mount_of(hierarchy);
            assert!(below.is_none_or(|below| !below.split('/').any(|part| part == "..")));
            let _ = own.is_within(hierarchy, "/pod-foo");
        }
        let _ = (
            usage::field(&text, "oom_kill"),
            usage::pressure(&text),
            absent::parse(&text).len(),
        );
    });
}
