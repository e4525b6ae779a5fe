//! Each test has a mount namespace of its own in which a subtree of each hierarchy is mounted in place of the whole,
//! as in a container: cgset sees nothing of the machine's own groups, and whatever is left can be told and removed.
#![allow(dead_code, reason = "each story uses its part")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

/// Makes `$own` in each hierarchy, mounts it in its place, runs the story (descriptor 3, so that stdin is its own), and
/// fails if anything is left.
const NODE: &str = r#"
set -eu
# Where the story's processes are before it begins, and what it can count on.
export home=/ version=1 many=${CHROOT0_TEST_MANY:-100}
mounts=$(awk '/ - cgroup2? / { for (i = 7; i <= NF; i++) if ($i == "-") print $5, $(i+3) }' /proc/self/mountinfo | grep -v name= | cut -d' ' -f1)
for mount in $mounts; do
    [ -e "$mount/cgroup.procs" ] || continue
    mkdir "$mount/$own"
    for file in cpuset.cpus cpuset.mems; do
        if [ -e "$mount/$own/$file" ] && [ -e "$mount/$file" ]; then cat "$mount/$file" >"$mount/$own/$file"; fi
    done
    if [ -e "$mount/$own/cgroup.subtree_control" ]; then
        for controller in $(cat "$mount/$own/cgroup.controllers"); do echo "+$controller" >"$mount/$own/cgroup.subtree_control"; done
        # As in a container: a group of v2 that gives controllers to others has no process itself.
        if grep -qw memory "$mount/$own/cgroup.controllers"; then
            home=/init
            mkdir "$mount/$own/init"
            echo $$ >"$mount/$own/init/cgroup.procs"
        fi
    fi
    mount --bind "$mount/$own" "$mount"
done
[ "$home" = / ] || version=2
mounts=$(awk -v own="/$own" '$4 == own || $4 ~ own "$" { print $5 }' /proc/self/mountinfo)
status=0
# With the pid namespace everything dies that the story started, and a story that hangs ends.
timeout --kill-after=5 "${CHROOT0_TEST_SECONDS:-60}" unshare --pid --fork --kill-child --mount-proc bash -u /dev/fd/3 3<<<"$story" || status=$?
for mount in $mounts; do
    if [ "$version" = 2 ]; then
        # the way out of the bind mount
        umount "$mount"
        echo $$ >"$mount/cgroup.procs"
        rmdir "$mount/$own/init"
        mount --bind "$mount/$own" "$mount"
    fi
    for left in $(cd "$mount" && find . -mindepth 1 -depth -type d); do
        echo "LEFT $mount/$left" >&2
        status=99
        if [ -e "$mount/$left/freezer.state" ]; then echo THAWED >"$mount/$left/freezer.state"; fi
        for try in {1..1000}; do rmdir "$mount/$left" 2>/dev/null && break; read -rt 0.01 <> <(:) || :; done
    done
    umount "$mount" 2>/dev/null || umount -l "$mount"
    for try in {1..1000}; do rmdir "$mount/$own" 2>/dev/null && break; read -rt 0.01 <> <(:) || :; done
done
exit $status
"#;

/// What a story said and how it ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The JSON on line `number` of stdout.
    pub(crate) fn json(&self, number: usize) -> Value {
        serde_json::from_str(
            self.stdout
                .lines()
                .nth(number)
                .unwrap_or_else(|| panic!("{self:?}")),
        )
        .unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That it went well and said exactly this.
    pub(crate) fn is(&self, stdout: &str, stderr: &str) {
        assert_eq!(
            (self.stdout.trim_end(), self.stderr.trim_end(), self.status),
            (stdout, stderr, 0)
        );
    }
}

/// Runs a bash script in a node of its own, in a directory of its own.
pub(crate) fn story(script: &str) -> Answer {
    assert!(
        rustix::process::geteuid().is_root(),
        "these tests make cgroups and mount namespaces: run them as root"
    );
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "cgset-test-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let directory = std::env::temp_dir().join(&name);
    fs::create_dir(&directory).unwrap();
    let tools = PathBuf::from(env!("CARGO_BIN_EXE_cgset"))
        .parent()
        .unwrap()
        .display()
        .to_string();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap());
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--net",
            "--propagation",
            "private",
            "bash",
            "-c",
            NODE,
        ])
        .env("own", &name)
        .env("story", script)
        .env("PATH", path)
        .env("CHROOT0_RUN", directory.join("run"))
        .current_dir(&directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let known = fs::read_dir(directory.join("run")).map_or(0, Iterator::count);
    fs::remove_dir_all(&directory).unwrap();
    let answer = Answer {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert_ne!(answer.status, 99, "groups are left: {answer:?}");
    assert_eq!(known, 0, "the index is left: {answer:?}");
    answer
}

/// Where a story is told in terms of memory groups: the path /proc/PID/cgroup has for them, after the node's own; and until a
/// process is there and has become that command (`until_in PID GROUP COMM`).
pub(crate) const WHERE: &str = r#"
where() { grep -E "(:memory:|^0::)" "/proc/$1/cgroup" | grep -o "$own.*" | sed "s/^$own//"; }
until_in() { until [ "$(where $1)" = $2 ] && grep -q $3 /proc/$1/comm; do :; done; }
"#;
