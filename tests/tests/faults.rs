//! Every verb of every tool is disturbed at each of its system calls; see [`tests::trial`].
//!
//! A sample of them that is the same each time, all with `CHROOT0_SWEEP=all`.

use tests::trial::{Trial, Verb};

const CGSET: Trial = Trial {
    tool: "cgset",
    by_record: "cgset down --kill <<<\"$record\" >/dev/null",
    by_id: "cgset down --kill --id foo >/dev/null",
    ..Trial::ROW
};

const NSRUN: Trial = Trial {
    tool: "nsrun",
    by_record: "nsrun down <<<\"$record\" >/dev/null",
    by_id: "nsrun down --id foo >/dev/null",
    ..Trial::ROW
};

const NETWIRE: Trial = Trial {
    tool: "netwire",
    once: "nsrun up --id foo --net >pod.json",
    each: "pod=$(<pod.json)",
    by_record: "netwire down <<<\"$record\" >/dev/null",
    by_id: "netwire down --id foo >/dev/null",
    finally: "nsrun down <pod.json >/dev/null; rm pod.json",
    ..Trial::ROW
};

const MKBOX: Trial = Trial {
    tool: "mkbox",
    by_record: "mkbox down <<<\"$record\" >/dev/null",
    by_id: "mkbox down --id foo >/dev/null",
    ..Trial::ROW
};

const EXEC: Trial = Trial {
    verb: Verb::Exec,
    each: "pod=",
    by_record: "true",
    by_id: "true",
    ..Trial::ROW
};

/// A pod with everything that the network can have.
const WIRED: &str = "netwire up --subnet 10.244.0.0/24 --subnet fd00:244::/64 --nat --publish 8080:80 --accept-forward --rate 10mbit --allow 10.244.0.0/16";

/// A box with everything that is made outside of it: beside it, and in this mount namespace.
const LARGE_BOX: &str = "mkbox up -q --id foo --bind-programs rm,ls --copy cat --overlay /etc/skel --etc --proc --dev --mask --host-mounts \
    --mount type=emptyDir,target=/cache --mount type=secret,src=/etc/skel,target=/etc/keys box";

#[test]
fn cgset_up() {
    Trial {
        command: "cgset up --id foo memory.max=512Mi pids.max=100",
        // Where there is no memory for a group of its own the process is in the pod's; and where the freezer may not be used
        // there is none.
        may_lack: "group: /sys/fs/cgroup/memory/pod-foo/pause|group: /sys/fs/cgroup/freezer/pod-foo|/cgset/groups/freezer|/cgset/inodes/freezer",
        ..CGSET
    }
    .leaves_nothing();
}

#[test]
fn cgset_exec() {
    Trial {
        tool: "cgset",
        once: "cgset up --id foo memory.max=512Mi >pod.json; cgset exec -P pod.json app -- true",
        command: "cgset exec -P pod.json app pids.max=100 -- echo ran",
        finally: "cgset down <pod.json >/dev/null; rm pod.json",
        ..EXEC
    }
    .leaves_nothing();
}

#[test]
fn cgset_down() {
    Trial {
        verb: Verb::Down,
        each: "pod=$(cgset up --id foo memory.max=512Mi | cgset up pids.max=100)",
        command: "cgset down <<<\"$pod\"",
        ..CGSET
    }
    .leaves_nothing();
}

#[test]
fn cgset_down_with_kill() {
    Trial {
        verb: Verb::Down,
        each: "pod=$(cgset up --id foo memory.max=512Mi); cgset exec --id foo app -- sleep 1000 2>/dev/null >&2 &
            until grep -q . /sys/fs/cgroup/pids/pod-foo/app/cgroup.procs /sys/fs/cgroup/pod-foo/app/cgroup.procs 2>/dev/null; do :; done
            disown",
        command: "cgset down --kill <<<\"$pod\"",
        ..CGSET
    }
    .leaves_nothing();
}

#[test]
fn nsrun_up() {
    Trial {
        once: "cgset up --id foo memory.max=512Mi >pod.json",
        each: "pod=$(<pod.json)",
        command: "nsrun up --net --ipc --uts <pod.json",
        finally: "cgset down <pod.json >/dev/null; rm pod.json",
        ..NSRUN
    }
    .leaves_nothing();
}

#[test]
fn nsrun_up_with_pins() {
    Trial {
        command: "nsrun up --id foo --net --mount --pid --uts --pin",
        ..NSRUN
    }
    .leaves_nothing();
}

#[test]
fn nsrun_exec_in_a_pod() {
    Trial {
        tool: "nsrun",
        once: "cgset up --id foo | nsrun up --net --ipc --uts >pod.json",
        command: "nsrun exec -P pod.json --pid --mount -- echo ran",
        finally: "nsrun down <pod.json | cgset down >/dev/null; rm pod.json",
        ..EXEC
    }
    .leaves_nothing();
}

#[test]
fn nsrun_exec_in_new_namespaces() {
    Trial {
        tool: "nsrun",
        command: "nsrun exec --map-root-user --net --pid --uts --mount-proc --init -- echo ran",
        ..EXEC
    }
    .leaves_nothing();
}

#[test]
fn nsrun_exec_with_a_pty() {
    Trial {
        tool: "nsrun",
        once: "nsrun up --id foo --net >pod.json",
        command: "nsrun exec -P pod.json --pid --pty -- echo ran",
        finally: "nsrun down <pod.json >/dev/null; rm pod.json",
        ..EXEC
    }
    .leaves_nothing();
}

#[test]
fn nsrun_drop() {
    Trial {
        tool: "nsrun",
        command: "nsrun drop --user 65534:65534 --rlimit nofile=64 -- echo ran",
        ..EXEC
    }
    .leaves_nothing();
}

#[test]
fn nsrun_down() {
    Trial {
        verb: Verb::Down,
        once: "cgset up --id foo >pod.json",
        each: "pod=$(nsrun up --net --ipc --uts <pod.json)",
        command: "nsrun down <<<\"$pod\"",
        finally: "cgset down <pod.json >/dev/null; rm pod.json",
        ..NSRUN
    }
    .leaves_nothing();
}

#[test]
fn nsrun_down_of_pins() {
    Trial {
        verb: Verb::Down,
        each: "pod=$(nsrun up --id foo --net --mount --pid --uts --pin)",
        command: "nsrun down --id foo",
        ..NSRUN
    }
    .leaves_nothing();
}

#[test]
fn netwire_up() {
    Trial {
        command: &format!("{WIRED} <pod.json"),
        ..NETWIRE
    }
    .leaves_nothing();
}

#[test]
fn netwire_up_on_a_bridge() {
    Trial {
        command: "netwire up --bridge br0 --subnet 10.244.0.0/24 --subnet fd00:244::/64 --isolated --antispoof always <pod.json",
        ..NETWIRE
    }
    .leaves_nothing();
}

#[test]
fn netwire_down() {
    Trial {
        verb: Verb::Down,
        each: &format!("pod=$({WIRED} <pod.json)"),
        command: "netwire down <<<\"$pod\"",
        ..NETWIRE
    }
    .leaves_nothing();
}

#[test]
fn netwire_policy() {
    // What is taken back is the change: the rules from before are there again.
    Trial {
        once: &format!("nsrun up --id foo --net | {WIRED} >pod.json"),
        command: "netwire policy --deny all <pod.json",
        by_record: "netwire policy --id foo --allow 10.244.0.0/16 >/dev/null",
        by_id: "netwire policy --id foo --allow 10.244.0.0/16 >/dev/null",
        finally: "nsrun down <pod.json | netwire down >/dev/null; rm pod.json",
        ..NETWIRE
    }
    .leaves_nothing();
}

#[test]
fn netwire_service_up() {
    Trial {
        tool: "netwire",
        each: "pod=",
        command: "netwire service up web --vip 10.96.0.1 --vip fd00:96::1 --port 80 --affinity 3h --to 10.244.0.2 --to fd00:244::2",
        by_id: "netwire service down --all; netwire reapply >/dev/null",
        ..Trial::ROW
    }
    .leaves_nothing();
}

#[test]
fn netwire_service_down() {
    Trial {
        tool: "netwire",
        verb: Verb::Down,
        each: "pod=; netwire service up web --vip 10.96.0.1 --vip fd00:96::1 --port 80 --to 10.244.0.2 --to fd00:244::2 2>/dev/null",
        command: "netwire service down web",
        by_id: "netwire service down --all; netwire reapply >/dev/null",
        ..Trial::ROW
    }
    .leaves_nothing();
}

#[test]
fn mkbox_up() {
    Trial {
        command: "mkbox up -q --id foo --copy rm,ls --proc --bind /tmp:/data --tmpfs /run box",
        ..MKBOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_up_with_mounts_and_layers() {
    Trial {
        command: LARGE_BOX,
        ..MKBOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_up_from_a_base() {
    Trial {
        command: "mkbox up -q --id foo --from /lib/terminfo --copy rm --merged-usr box",
        ..MKBOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_up_in_a_pod() {
    Trial {
        once: "nsrun up --id foo --mount --pid >pod.json",
        each: "pod=$(<pod.json)",
        command: "mkbox up -q --copy ls --proc --dev --mask /home/namespace/box -P - <pod.json",
        finally: "nsrun down <pod.json >/dev/null; rm pod.json",
        ..MKBOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_exec() {
    Trial {
        tool: "mkbox",
        once: "mkbox up -q --copy echo --proc --dev --mask --read-only --bind /etc/skel:/data --tmpfs /tmp box >pod.json",
        command: "mkbox exec -P pod.json -- echo ran",
        finally: "mkbox down <pod.json >/dev/null; rm pod.json",
        ..EXEC
    }
    .leaves_nothing();
}

#[test]
fn mkbox_down() {
    Trial {
        verb: Verb::Down,
        each: "pod=$(mkbox up -q --id foo --copy rm,ls --proc --bind /tmp:/data --tmpfs /run box)",
        command: "mkbox down <<<\"$pod\"",
        ..MKBOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_down_of_mounts_and_layers() {
    Trial {
        verb: Verb::Down,
        each: &format!("pod=$({LARGE_BOX})"),
        command: "mkbox down --id foo",
        ..MKBOX
    }
    .leaves_nothing();
}

#[test]
fn pause_as_an_init() {
    Trial {
        tool: "pause",
        command: "pause -- echo ran",
        ..EXEC
    }
    .leaves_nothing();
}
