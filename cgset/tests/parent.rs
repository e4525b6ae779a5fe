//! Pods in a group that is not the top one, and groups that are somebody else's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod node;

use node::{WHERE, story};

/// `dirs PATH`: how many of the mounted hierarchies have a group there.
const DIRS: &str = r#"
dirs() { local n=0 m; for m in $(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo | sort -u); do [ -d "$m$1" ] && n=$((n+1)); done; echo $n; }
"#;

#[test]
fn a_pod_can_be_made_in_another_group_and_takes_the_way_there_with_it() {
    let answer = story(&format!(
        "{WHERE}{DIRS}
         export own; export -f where
         cgset up --id foo --parent /a/b pids.max=20 | tee record
         cgset exec -P record app pids.max=10 -- bash -c 'where self'
         cgset show --json <record
         cgset up <record | cmp - record && echo same
         cgset up --id bar --parent /a/b/ >record2
         cgset up --id foo --parent /a pids.max=20 >failed; echo $?
         cgset down <record >bare; tail -c 60 bare
         [ $(dirs /a/b/pod-bar) -gt 0 ] && echo kept
         cgset down <record2 >down; dirs /a
         cgset up <bare | cgset down >down; dirs /a"
    ));
    let record = answer.json(0);
    assert_eq!(record["linux"]["cgroupsPath"], "/a/b/pod-foo");
    assert_eq!(record["cgset"]["parent"], "/a/b");
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(lines[1], "/a/b/pod-foo/app", "{answer:?}");
    let shown = answer.json(2);
    assert_eq!(shown["group"], "/a/b/pod-foo");
    assert_eq!(shown["groups"][1]["group"], "/a/b/pod-foo/app");
    assert_eq!(shown["groups"][1]["pids.max"], 10);
    assert_eq!(lines[3..5], ["same", "1"], "{answer:?}");
    assert_eq!(
        answer.stderr,
        "cgset: pod-foo: is in /a/b, not in /a (cgset down --id foo first)\n"
    );
    // the wish is kept, so that the next up makes it there
    assert!(
        lines[5].ends_with(r#""cgroupsPath":"/a/b/pod-foo"}}"#),
        "{answer:?}"
    );
    assert_eq!(lines[6..], ["kept", "0", "0"], "{answer:?}");
}

#[test]
fn a_parent_that_was_there_before_stays() {
    let answer = story(&format!(
        "{DIRS}
         for m in $(awk '/ - cgroup / {{ print $5 }}' /proc/self/mountinfo | sort -u); do [ -e $m/tasks ] && mkdir -p $m/a; done
         [ $(dirs /a) -gt 0 ] || mkdir $(awk '/ - cgroup2 / {{ print $5; exit }}' /proc/self/mountinfo)/a
         before=$(dirs /a)
         cgset up --id foo --parent /a/b >record; dirs /a/b | grep -vx 0 | wc -l
         cgset down <record >down
         dirs /a/b; [ $(dirs /a) = $before ] && echo stays
         for m in $(awk '/ - cgroup2? / {{ print $5 }}' /proc/self/mountinfo | sort -u); do rmdir $m/a 2>/dev/null; done; true"
    ));
    answer.is("1\n0\nstays", "");
}

#[test]
fn a_limit_that_is_refused_takes_the_parents_away_again() {
    // the node fails if a group is left
    let answer = story("cgset up --id foo --parent /a/b cpuset.cpus=9999 >failed; echo $?");
    assert_eq!(answer.stdout, "1\n", "{answer:?}");
}

#[test]
fn what_a_killed_up_left_goes_with_its_parents() {
    let answer = story(&format!(
        "{DIRS}
         cgset up --id foo --parent /a/b pids.max=5 >record
         sed 's/,\"inodes\":{{[^}}]*}}//; s/\"ociVersion\"/\"chroot0.pending\":[\"cgset\"],&/' record >half
         cp half $CHROOT0_RUN/foo/record.json
         cgset down --id foo >down; echo $?; dirs /a"
    ));
    answer.is("0\n0", "");
}

#[test]
fn a_record_alone_takes_no_foreign_group_away() {
    let answer = story(&format!(
        "{DIRS}
         cgset up --id bar --parent /a >other
         cgset up --id foo >record
         mount=$(sed 's/.*\"pids\":\"\\([^\"]*\\)\\/pod-foo\".*/\\1/; s/.*\"cpu,[a-z,]*\":\"\\([^\"]*\\)\\/pod-foo\".*/\\1/' record)
         mkdir $mount/mine
         sed 's/\"cgset\":{{/&\"parents\":{{\"pids\":[\"\\/mine\"]}},/' record >forged
         cgset down <forged >down; echo $?; dirs /mine; rmdir $mount/mine
         cgset down <other >down"
    ));
    answer.is("0\n1", "");
}

#[test]
fn a_delegated_group_is_enough_for_an_ordinary_user() {
    let answer = story(&format!(
        "{WHERE}
         chmod 755 . ; mkdir theirs; chown 1000:1000 theirs
         mounts=$(awk '/ - cgroup2? / {{ print $5 }}' /proc/self/mountinfo | sort -u)
         for m in $mounts; do if [ -d $m ] && mkdir $m/user 2>/dev/null; then chown -R 1000:1000 $m/user; fi; done
         for f in /sys/fs/cgroup/cpuset; do [ -d $f/user ] && cat $f/cpuset.cpus >$f/user/cpuset.cpus && cat $f/cpuset.mems >$f/user/cpuset.mems; done
         export own; export -f where
         as() {{ CHROOT0_RUN=$PWD/theirs/run setpriv --reuid 1000 --regid 1000 --clear-groups \"$@\"; }}
         as cgset up --id foo 2>error >/dev/null; echo $?; grep -c -- '--parent with a group' error
         # v2 lets an ordinary user move only what is in the delegated part already
         (
             for m in $mounts; do if grep -qs memory $m/user/cgroup.controllers; then mkdir $m/user/home; echo 0 >$m/user/home/cgroup.procs; chown -R 1000:1000 $m/user/home; fi; done
             as cgset up --id foo --parent /user pids.max=50 >record; echo $?
             as cgset exec -P record app pids.max=10 -- bash -c 'where self; cat /proc/self/status | grep ^Uid'
             as cgset down <record >down; echo $?
         )
         for m in $mounts; do [ -d $m/user/home ] && rmdir $m/user/home; done
         for m in $mounts; do [ -d $m/user ] && rmdir $m/user; done; true"
    ));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "1",
            "1",
            "0",
            "/user/pod-foo/app",
            "Uid:\t1000\t1000\t1000\t1000",
            "0"
        ],
        "{answer:?}"
    );
}

#[test]
fn a_pod_can_be_handed_over_but_not_its_limits() {
    let answer = story(&format!(
        "{WHERE}
         chmod 755 .; mkdir theirs; chown 1000:1000 theirs
         export own; export -f where
         as() {{ CHROOT0_RUN=$PWD/theirs/run setpriv --reuid 1000 --regid 1000 --clear-groups \"$@\"; }}
         cgset up --id foo --delegate 1000:1000 pids.max=20 >record
         cgset exec -P record first -- setpriv --reuid 1000 --regid 1000 --clear-groups cgset exec -P record app pids.max=10 -- bash -c 'where self'; echo $?
         dir=$(sed 's/.*\"pids\":\"\\([^\"]*\\)\".*/\\1/; s/.*\"[a-z,]*pids[a-z,]*\":\"\\([^\"]*\\)\".*/\\1/' record)
         as bash -c \"echo max >$dir/pids.max\" 2>/dev/null; echo $?
         cat $dir/app/pids.max $dir/pids.max
         stat -c %u $dir $dir/pause $dir/pids.max
         cgset up --id foo --delegate 1:1 pids.max=20 >failed; echo $?
         cgset down <record >down"
    ));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "/pod-foo/app",
            "0",
            "1",
            "10",
            "20",
            "1000",
            "1000",
            "0",
            "1"
        ],
        "{answer:?}"
    );
    assert_eq!(
        answer.stderr,
        "cgset: pod-foo: is delegated to 1000:1000, not to 1:1 (cgset down --id foo first)\n"
    );
}

#[test]
fn a_container_whose_limit_changes_hears_of_it() {
    let answer = story(
        "cgset up --id foo pids.max=20 >record
         cgset exec -P record app pids.max=10 -- true
         cgset exec -P record app pids.max=10 -- true
         cgset exec -P record app pids.max=12 -- true
         cgset exec -qP record app pids.max=13 -- true
         cgset down <record >down",
    );
    answer.is("", "cgset: pod-foo/app: pids.max was 10, is 12 from now on");
}

#[test]
fn the_dry_run_has_every_group_in_the_order_in_which_it_is_made() {
    let answer = story(
        "cgset up --id foo --parent /a pids.max=20 --dry-run >plan
         cgset up --id foo --parent /a pids.max=20 -v 2>steps >record
         grep -o 'mkdir(.*' plan | sort >planned; sed -n 's|.*\\(mkdir(.*)\\) <.*|\\1|p' steps | sort >made; diff planned made && wc -l <made | grep -vx 0 | wc -l
         grep -c '^mkdir.*/pod-foo/pause)' plan | grep -vx 0 | wc -l
         cgset down <record >down",
    );
    answer.is("1\n1", "");
}

#[test]
fn a_parent_is_a_path_and_an_owner_two_numbers() {
    let answer = story(
        "for wrong in a /../b /a//b /a/./b ''; do cgset up --id foo --parent \"$wrong\" >failed; echo $?; done
         cgset up --id foo --parent /pod-foo/x >failed; echo $?
         cgset up --id foo --delegate root >failed; echo $?",
    );
    assert_eq!(answer.stdout, "2\n".repeat(7), "{answer:?}");
    assert_eq!(answer.stderr.lines().count(), 7, "{answer:?}");
    assert!(
        answer
            .stderr
            .contains("cgset: --parent a: not a group's path (/ or /other)\n"),
        "{answer:?}"
    );
}
