//! What scripts for libcgroup's cgset(1) rely on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod node;

use node::story;

/// The directory of group `$1` in the hierarchy of controller `$2`.
const DIR: &str = r#"
dir() { local m; m=$(awk -v c=$2 '/ - cgroup / && $NF ~ "(^|,)" c "(,|$)" { print $5; exit }' /proc/self/mountinfo); echo ${m:-$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)}/$1; }
"#;

#[test]
fn values_are_written_as_they_are_into_every_group() {
    let answer = story(&format!(
        "{DIR}
         mkdir $(dir a pids) $(dir b pids)
         cgset -r pids.max=7 a /b; echo $?; cat $(dir a pids)/pids.max $(dir b pids)/pids.max
         cgset -rpids.max=max b; echo $?; cat $(dir b pids)/pids.max
         cgset --copy-from a b; echo $?; cat $(dir b pids)/pids.max
         cgset -r pids.max=8 nowhere a; echo $?; cat $(dir a pids)/pids.max
         cgset -r pids.max=8Ki a; echo $?
         cgset -r nosuch.file=1 a; echo $?
         cgset -r pids.max=1 ../a; echo $?
         cgset --copy-from a nowhere; echo $?
         rmdir $(dir a pids) $(dir b pids)"
    ));
    assert_eq!(
        answer.stdout, "0\n7\n7\n0\nmax\n0\n7\n1\n8\n1\n1\n2\n1\n",
        "{answer:?}"
    );
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{answer:?}");
    assert!(
        lines[0].ends_with("/nowhere): No such file or directory"),
        "{answer:?}"
    );
    assert!(
        lines[1].ends_with("/pids.max, 8Ki): Invalid argument"),
        "{answer:?}"
    );
}

#[test]
fn limits_of_memory_are_copied_whatever_was_there() {
    let answer = story(&format!(
        "{DIR}
         a=$(dir a memory); b=$(dir b memory); mkdir $a $b; file=memory.max; [ -e $a/$file ] || file=memory.limit_in_bytes
         cgset -r $file=64M a; cgset -r $file=128M b
         cgset --copy-from a b; echo $?; cat $b/$file
         cgset -r $file=256M a; cgset --copy-from a b; echo $?; cat $b/$file
         for g in $a $b; do rmdir $g; done
         # two files, of which one bounds the other at every moment
         a=$(dir a cpu); b=$(dir b cpu); mkdir -p $a/c $b/c
         if [ -e $a/cpu.cfs_quota_us ]; then
             cgset -r cpu.cfs_period_us=100000 -r cpu.cfs_quota_us=50000 a; cgset -r cpu.cfs_period_us=10000 -r cpu.cfs_quota_us=5000 b
             cgset --copy-from a b; echo $?; cat $b/cpu.cfs_quota_us
         else echo 0; echo 50000; fi
         rmdir $a/c $b/c $a $b"
    ));
    answer.is("0\n67108864\n0\n268435456\n0\n50000", "");
}
