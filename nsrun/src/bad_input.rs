//! Command lines, and files of users and of /proc, as anybody could have changed them.

use clap::{CommandFactory, Parser};
use fuzz::Target;

use crate::cli::{Cli, DropCli, ExecCli};
use crate::idmap::IdMap;
use crate::{procfs, subids};

fn shown<T>(parsed: Result<T, clap::Error>) {
    // The text of an error is made only when it is shown.
    let _ = parsed.map_err(|error| error.to_string());
}

#[test]
fn a_value_is_read_or_bad_usage() {
    fuzz::arguments("cli-nsrun", Cli::command(), |words| {
        shown(Cli::try_parse_from(words));
    });
    fuzz::arguments("cli-nsrun", ExecCli::command(), |words| {
        shown(ExecCli::try_parse_from(words));
    });
    fuzz::arguments("cli-nsrun", DropCli::command(), |words| {
        shown(DropCli::try_parse_from(words));
    });
}

#[test]
fn files_of_users_and_of_proc_are_read_as_far_as_they_make_sense() {
    Target::new("passwd").cases(4000).run(|input| {
        let text = String::from_utf8_lossy(input);
        let _ = IdMap::parse(&text).text();
        let _ = procfs::Status::parse(&text);
        let _ = subids::name(&text, 1000);
        for (first, count) in subids::ranges(&text, 1000, Some("joe")) {
            assert!(first.checked_add(count).is_some());
        }
        for line in text.lines() {
            let _ = (subids::id(line, "/etc/passwd"), subids::number(line));
        }
    });
}
