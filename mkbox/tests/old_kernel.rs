//! Kernels without the newer calls, as strace(1) makes this one look: what there is instead works, and what there is not is one
//! line that says since when.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;

use common::Scratch;

mod common;

/// A shell's own words: a box with nothing but a shell can say what it sees.
const MOUNTS: &str = "while read -r id parent dev root point flags rest; do echo $point $flags; done </proc/self/mountinfo";

#[test]
fn options_of_binds_hold_on_a_kernel_without_mount_setattr() {
    let scratch = Scratch::for_scripts();
    fs::copy(scratch.path("mkbox"), scratch.path("nsrun")).unwrap();
    let old =
        "strace -f -qq -o /dev/null -e trace=mount_setattr -e inject=mount_setattr:error=ENOSYS";
    let script = format!(
        r#"mkbox up --copy sh,cat --proc --mask --bind $PWD/victim:/a:ro,nosuid --bind $PWD/victim/precious:/file:ro --read-only box >box.json
        {old} mkbox exec box -- sh -c '{MOUNTS}'
        {old} mkbox exec box -- nsrun --version
        mkbox exec box -- sh -c '[ ! -w /proc/sys/kernel/domainname ] || echo written'
        for place in /a/x /file /x; do
            {old} mkbox exec box -- sh -c "echo h >$place && echo written" 2>/dev/null || true
        done; mkbox down box >box.json"#
    );
    let answer = scratch.good(&script);
    for line in [
        "/a ro,nosuid,relatime",
        "/file ro,relatime",
        "/ ro,relatime",
        "/proc/sys ro,nosuid,nodev,noexec,relatime",
    ] {
        assert!(
            answer.lines().any(|there| there == line),
            "{line}: {answer}"
        );
    }
    assert!(
        answer.contains(env!("CARGO_PKG_VERSION")) && !answer.contains("written"),
        "{answer}"
    );
    for (option, hint) in [
        ("rro", "(an option with r in front needs Linux 5.12)\n"),
        (
            "'idmap=uids=0-1-1;gids=0-1-1'",
            "(idmap needs Linux 5.12)\n",
        ),
    ] {
        scratch.good(&format!(
            "mkbox up --copy sh --bind $PWD/victim:/a:{option} box >box.json"
        ));
        let (status, _, stderr) = scratch.sh(&format!("{old} mkbox exec box -- sh"));
        assert_eq!(status, 125);
        assert!(stderr.ends_with(hint), "{stderr}");
        scratch.good("mkbox down box >box.json");
    }
}

/// Runs what follows where these calls, with commas between them, are not in the kernel.
fn without(calls: &str) -> String {
    format!("strace -f -qq -o /dev/null -e trace={calls} -e inject={calls}:error=ENOSYS")
}

#[test]
fn a_box_is_made_entered_and_removed_without_calls_that_are_only_quicker() {
    let scratch = Scratch::for_scripts();
    let calls =
        "mount_setattr,close_range,copy_file_range,renameat2,memfd_create,pidfd_open,clone3";
    let each = calls.split(',').filter(|call| !call.is_empty());
    for calls in each.chain([calls]) {
        let old = without(calls);
        let script = format!(
            "cat /proc/self/mountinfo >before
            {old} mkbox up --copy sh,ls,cat --proc --dev --mask --etc=hosts --bind $PWD/victim:/data:ro --mount type=emptyDir,target=/cache box >box.json
            {old} mkbox verify box; {old} mkbox show --json box | jq .now.files; {old} mkbox pack -o box.tar box; rm box.tar
            exec 7<.
            {old} mkbox exec box -- sh -c 'ls /; cat /data/precious; echo; echo kept >/cache/file; [ -e /proc/self/fd/7 ] || echo closed; [ -w /data ] || echo fixed'
            exec 7<&-
            {old} mkbox down --keep cache box >down.json; cat box/cache/file; rm -r box
            cmp before /proc/self/mountinfo; ls -A . run"
        );
        let answer = scratch.good(&script);
        let (files, answer) = answer.split_once('\n').unwrap();
        assert!(files.parse::<u32>().unwrap() > 3, "{calls}: {files}");
        assert_eq!(
            answer,
            "bin\ncache\ndata\ndev\netc\nlib\nlib64\nproc\nx\nclosed\nfixed\nkept\n\
             .:\nbefore\nbox.json\ndown.json\nmkbox\nrun\nvictim\n\nrun:\n",
            "{calls}"
        );
    }
}

#[test]
fn what_no_box_can_be_made_or_entered_without_is_one_line_that_names_the_kernel() {
    let scratch = Scratch::for_scripts();
    let up = "mkbox up --copy sh --proc --bind $PWD/victim:/data box >box.json";
    let old = without("openat2");
    let hint = "(needs openat2(2), Linux 5.6, and no seccomp filter that hides it)\n";
    let (status, stdout, stderr) = scratch.sh(&format!("{old} {up} || ls -A . run"));
    assert_eq!(
        (status, stdout.as_str()),
        (0, ".:\nbox.json\nmkbox\nrun\nvictim\n\nrun:\n")
    );
    assert!(
        stderr.ends_with(hint) && stderr.lines().count() == 1,
        "{stderr}"
    );
    scratch.good(&format!("{up}; cat /proc/self/mountinfo >before"));
    for verb in ["exec box ls", "down box"] {
        let (status, _, stderr) = scratch.sh(&format!("{old} mkbox {verb}"));
        assert!(matches!(status, 1 | 125), "{verb}: {status}");
        assert!(
            stderr.ends_with(hint) && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
    let hint = "(needs Linux 5.2, and no seccomp filter that hides the call)\n";
    for call in ["open_tree", "move_mount", "fsopen", "fsconfig", "fsmount"] {
        let script = format!(
            "cat /proc/self/mountinfo >before; {} mkbox exec box -- sh; echo $?; cmp before /proc/self/mountinfo",
            without(call)
        );
        let (_, stdout, stderr) = scratch.sh(&script);
        assert_eq!(stdout, "125\n", "{call}: {stderr}");
        assert!(
            stderr.starts_with(&format!("mkbox: {call}(")) && stderr.ends_with(hint),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    scratch.good("mkbox down box >box.json");
}
