//! Plans from options and what was opened.

use clap::Parser;
use record::Namespace;

use super::*;
use crate::cli::{Cli, ExecArgs, Verb};
use crate::maps::RecordedMaps;
use crate::request::{Recorded, Request};

fn exec(line: &[&str]) -> ExecArgs {
    let line = ["nsrun", "exec"].iter().chain(line).chain(&["true"]);
    match Cli::try_parse_from(line).unwrap().verb {
        Verb::Exec(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

/// The plan of `exec` as --dry-run prints it.
fn plan(
    line: &[&str],
    handles: &[(i32, &str)],
    groups: &[(&str, bool)],
    privileged: bool,
    fork: bool,
) -> String {
    let exec = exec(line);
    let arguments = exec.namespaces;
    // Who tests is root and may write any map, or is not and asks newuidmap.
    let maps = Maps::new(&arguments.maps, &RecordedMaps::default(), true).unwrap();
    let handles: Vec<Handle> = handles
        .iter()
        .map(|(flags, name)| Handle {
            flags: *flags,
            name: (*name).into(),
        })
        .collect();
    let groups: Vec<Group> = groups
        .iter()
        .map(|(dir, v2)| Group {
            dir: dir.into(),
            v2: *v2,
        })
        .collect();
    let facts = Facts {
        new: Request::new(&arguments, &Recorded::default()).unwrap().new,
        arguments: &arguments,
        handles: &handles,
        groups: &groups,
        maps: maps.as_ref(),
        offsets: arguments.offsets(),
        privileged,
        end: End::Run {
            fork: fork.then_some(true),
            terminal: false,
            kill_child: Signal::SIGKILL,
            credentials: exec.credentials,
        },
    };
    Plan::new(&facts).lines("exec")
}

#[test]
fn without_a_pid_namespace_nothing_forks() {
    let text = plan(
        &["-mun", "--hostname", "h", "-w", "/tmp"],
        &[],
        &[("/c/pod-x/exec", false)],
        true,
        false,
    );
    assert_eq!(
        text,
        "write(/c/pod-x/exec/tasks, 0)\n\
         unshare(CLONE_NEWNS|CLONE_NEWNET|CLONE_NEWUTS)\n\
         mount(/, MS_REC|MS_PRIVATE)\n\
         sethostname(h)\n\
         chdir(/tmp)\n\
         exec\n"
    );
}

#[test]
fn the_line_of_the_tutorial() {
    let text = plan(
        &["--pid", "--net", "--fork", "--mount-proc=/box/proc"],
        &[],
        &[],
        true,
        true,
    );
    assert_eq!(
        text,
        "clone3(CLONE_NEWNS|CLONE_NEWNET|CLONE_NEWPID)\n  \
           prctl(PR_SET_PDEATHSIG, SIGKILL)\n  \
           mount(/, MS_REC|MS_PRIVATE)\n  \
           mount(proc, /box/proc, proc)\n  \
           exec\n"
    );
}

#[test]
fn the_parent_joins_the_pid_namespace_and_stays_outside_of_the_others() {
    let all = libc::CLONE_NEWPID | libc::CLONE_NEWNET;
    let text = plan(
        &["--mount"],
        &[(all, "pidfd of 7")],
        &[("/c/exec", false)],
        true,
        false,
    );
    assert_eq!(
        text,
        "prctl(PR_SET_DUMPABLE, 0)\n\
         setns(pidfd of 7, CLONE_NEWPID)\n\
         clone3(CLONE_NEWNS)\n  \
           prctl(PR_SET_PDEATHSIG, SIGKILL)\n  \
           write(/c/exec/tasks, 0)\n  \
           setns(pidfd of 7, CLONE_NEWNET)\n  \
           mount(/, MS_REC|MS_PRIVATE)\n  \
           exec\n"
    );
}

#[test]
fn a_v2_group_is_where_the_child_is_born_and_its_cgroup_namespace_begins() {
    let text = plan(
        &["--cgroup"],
        &[],
        &[("/c/exec", true), ("/m/exec", false)],
        true,
        false,
    );
    assert_eq!(
        text,
        "clone3(CLONE_INTO_CGROUP, /c/exec)\n  \
           prctl(PR_SET_PDEATHSIG, SIGKILL)\n  \
           write(/m/exec/tasks, 0)\n  \
           unshare(CLONE_NEWCGROUP)\n  \
           exec\n"
    );
}

#[test]
fn the_user_namespace_comes_first_only_for_who_needs_it() {
    let handles = [(libc::CLONE_NEWUSER, "user"), (libc::CLONE_NEWNET, "net")];
    let joins = |privileged| -> Vec<String> {
        let text = plan(&["--uts"], &handles, &[], privileged, false);
        text.lines()
            .filter(|line| !line.starts_with("prctl"))
            .map(str::to_owned)
            .collect()
    };
    let after = [
        "setgroups(), setgid(0), setuid(0)",
        "unshare(CLONE_NEWUTS)",
        "exec",
    ];
    let (user, net) = ("setns(user, CLONE_NEWUSER)", "setns(net, CLONE_NEWNET)");
    assert_eq!(joins(true), [&[net, user][..], &after].concat());
    assert_eq!(joins(false), [&[user, net][..], &after].concat());
}

#[test]
fn everything_is_joined_before_a_user_namespace_is_made() {
    let text = plan(
        &["-r", "--pid"],
        &[(libc::CLONE_NEWNET, "net")],
        &[],
        true,
        false,
    );
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(
        lines[..2],
        [
            "setns(net, CLONE_NEWNET)",
            "clone3(CLONE_NEWPID|CLONE_NEWUSER)"
        ]
    );
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    assert_eq!(
        lines[3],
        format!(
            "write(/proc/self/setgroups, deny), write(/proc/self/uid_map, 0 {uid} 1), write(/proc/self/gid_map, 0 {gid} 1)"
        )
    );
}

#[test]
fn ranges_are_written_from_outside_before_the_child_goes_on() {
    let line = [
        "--map-users",
        "0:700000:10",
        "--map-groups=0:700000:10",
        "--map-groups=10:800000:1",
        "-m",
        "-S",
        "5",
    ];
    assert_eq!(
        plan(&line, &[], &[], true, false),
        "clone3(CLONE_NEWNS|CLONE_NEWUSER)\n\
         write(/proc/CHILD/uid_map, 0 700000 10)\n\
         write(/proc/CHILD/gid_map, 0 700000 10, 10 800000 1)\n  \
           setgroups(), setgid(0), setuid(0)\n  \
           prctl(PR_SET_PDEATHSIG, SIGKILL)\n  \
           mount(/, MS_REC|MS_PRIVATE)\n  \
           setuid(5)\n  \
           prctl(PR_SET_PDEATHSIG, SIGKILL)\n  \
           exec\n"
    );
}

#[test]
fn offsets_are_set_before_anybody_is_in_the_time_namespace() {
    assert_eq!(
        plan(
            &["-p", "--boottime=-1.5", "--monotonic", "7"],
            &[],
            &[],
            true,
            false
        ),
        "clone3(CLONE_NEWPID)\n  \
           prctl(PR_SET_PDEATHSIG, SIGKILL)\n  \
           unshare(CLONE_NEWTIME), write(/proc/self/timens_offsets, monotonic 7 0, boottime -2 500000000), setns(CLONE_NEWTIME)\n  \
           exec\n"
    );
}

#[test]
fn a_root_is_entered_before_proc_is_mounted_in_it() {
    let text = plan(
        &[
            "-p",
            "-R",
            "/box",
            "--mount-proc",
            "--propagation",
            "unchanged",
        ],
        &[],
        &[],
        true,
        false,
    );
    let lines: Vec<&str> = text.lines().skip(2).map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "chroot(/box)",
            "chdir(/)",
            "mount(proc, /proc, proc)",
            "exec"
        ]
    );
}

#[test]
fn a_time_namespace_is_for_children() {
    assert!(plan(&["--time"], &[], &[], true, false).starts_with("clone3(CLONE_NEWTIME)\n"));
    let joined = plan(
        &[],
        &[(Namespace::Time.clone_flag(), "time")],
        &[],
        true,
        false,
    );
    assert_eq!(joined, "setns(time, CLONE_NEWTIME)\nexec\n");
}

#[test]
fn the_process_that_stays_has_a_session_a_name_and_open_ports() {
    let arguments = exec(&["--net", "--uts"]).namespaces;
    let new = libc::CLONE_NEWNET | libc::CLONE_NEWUTS;
    let end = End::Hold {
        hostname: Some("foo"),
    };
    let facts = Facts {
        arguments: &arguments,
        new,
        handles: &[],
        groups: &[],
        maps: None,
        offsets: Offsets::default(),
        privileged: true,
        end,
    };
    let plan = Plan::new(&facts);
    assert!(plan.needs_proc());
    assert_eq!(
        plan.lines("pause"),
        "clone3(CLONE_NEWNET|CLONE_NEWUTS)\n  \
           sethostname(foo)\n  \
           write(/proc/sys/net/ipv4/ip_unprivileged_port_start, 0)\n  \
           setsid()\n  \
           chdir(/)\n  \
           pause\n"
    );
}
