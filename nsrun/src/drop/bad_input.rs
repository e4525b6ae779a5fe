//! Profiles, records and a box's files of users, as anybody could have changed them.

use clap::Parser;
use fuzz::Target;
use record::Record;

use super::capabilities::Set;
use super::seccomp::Seccomp;
use super::{DropArgs, Profile, user};

#[test]
fn a_profile_is_a_filter_or_refused() {
    Target::new("seccomp").run(|input| {
        if let Ok(value) = serde_json::from_slice(input) {
            let _ = Seccomp::of_json("profile", &value, Set::empty());
        }
    });
}

#[test]
fn what_a_record_says_of_a_process_is_taken_or_refused() {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: DropArgs,
    }
    let line = Line::parse_from(["drop"]);
    Target::new("record").run(|input| {
        if let Ok(record) = Record::parse(input)
            && let Ok(profile) = Profile::new(&line.arguments, Some(&record))
        {
            let _ = profile.to_json().to_string();
        }
    });
}

#[test]
fn files_of_users_are_read_as_far_as_they_make_sense() {
    Target::new("passwd").cases(4000).run(|input| {
        assert!(user::memberships(input, b"maria").len() <= 1024);
        for fields in user::lines(input) {
            let _ = (user::id(&fields, 2), user::id(&fields, 3));
        }
    });
}
