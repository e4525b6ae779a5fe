//! Requests from options and records.

use clap::Parser;

use super::*;
use crate::cli::{Cli, Verb};

fn arguments(line: &[&str]) -> NamespaceArgs {
    let line = ["nsrun", "exec"].iter().chain(line).chain(&["true"]);
    match Cli::try_parse_from(line).unwrap().verb {
        Verb::Exec(arguments) => arguments.namespaces,
        other => panic!("{other:?}"),
    }
}

fn entry(kind: Namespace, path: Option<&str>) -> NamespaceEntry {
    NamespaceEntry {
        kind,
        path: path.map(PathBuf::from),
    }
}

fn request(line: &[&str], recorded: &Recorded) -> Result<Request, String> {
    Request::new(&arguments(line), recorded).map_err(|error| error.to_string())
}

fn join(kind: Namespace, path: &str) -> Join {
    Join {
        kind,
        source: Source::File(path.into()),
    }
}

#[test]
fn a_record_is_joined_and_options_override_it() {
    let recorded = |make| Recorded {
        join_cgroup: false,
        entries: vec![
            entry(Namespace::Network, Some("/proc/7/ns/net")),
            entry(Namespace::Uts, Some("/run/uts")),
            entry(Namespace::Ipc, None),
            entry(Namespace::Pid, Some("/proc/7/ns/pid")),
        ],
        holder: Some(7),
        make,
    };
    let line = ["--pid", "--mount", "--uts=host"];
    let holder = |kind| Join {
        kind,
        source: Source::Holder,
    };
    assert_eq!(
        request(&line, &recorded(false)).unwrap(),
        Request {
            new: libc::CLONE_NEWPID | libc::CLONE_NEWNS,
            joins: vec![holder(Namespace::Network)]
        }
    );
    // What an up made is made again, what it joined is joined again.
    assert_eq!(
        request(&[], &recorded(true)).unwrap(),
        Request {
            new: libc::CLONE_NEWNET | libc::CLONE_NEWPID | libc::CLONE_NEWIPC,
            joins: vec![join(Namespace::Uts, "/run/uts")]
        }
    );
}

#[test]
fn a_target_is_whose_namespaces_bare_options_mean() {
    let none = Recorded::default();
    let of = |kind, if_other| Join {
        kind,
        source: Source::Process { pid: 42, if_other },
    };
    let some = request(&["-t", "42", "-n", "--pid=new"], &none).unwrap();
    assert_eq!(
        some,
        Request {
            new: libc::CLONE_NEWPID,
            joins: vec![of(Namespace::Network, false)]
        }
    );
    let all = request(&["-t", "42", "-a", "--uts=host"], &none).unwrap();
    assert_eq!((all.new, all.joins.len()), (0, 7));
    assert!(all.joins.contains(&of(Namespace::Mount, true)));
    assert!(
        request(&["-t", "42"], &none)
            .unwrap_err()
            .starts_with("--target: which")
    );
}

#[test]
fn options_bring_along_the_namespace_they_are_about() {
    let none = Recorded::default();
    let new = |line: &[&str]| request(line, &none).unwrap().new;
    assert_eq!(new(&["-r"]), libc::CLONE_NEWUSER);
    assert_eq!(new(&["--hostname", "x"]), libc::CLONE_NEWUTS);
    assert_eq!(new(&["--mount-proc"]), libc::CLONE_NEWNS);
    for (line, problem) in [
        (
            &["-r", "--user=host"][..],
            "--map, --setgroups: only of a new user namespace (--user)",
        ),
        (
            &["--hostname", "x", "--uts=/run/uts"],
            "--hostname: only of a new UTS namespace (--uts)",
        ),
        (
            &["--mount-proc", "--mount=host"],
            "--mount-proc: not in the mount namespace of the host",
        ),
        (
            &["--propagation", "slave"],
            "--propagation: only in a new mount namespace (--mount)",
        ),
    ] {
        assert_eq!(request(line, &none).unwrap_err(), problem);
    }
}
