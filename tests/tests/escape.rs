//! Out of the default chain, `nsrun exec` in new namespaces, `mkbox exec`, `nsrun drop`: every attempt of tests/src/bin/attack
//! must bring nothing there, and those of [`PROVEN`] bring something where the chain is a plain chroot(2) or unshare(1), so that
//! an attack that has become none is noticed. SECURITY.md has the table: what is tried, and by which test.

use std::collections::BTreeMap;

use tests::Node;

/// A box with files that a hostile image brings along, a secret outside, services and a process of the host.
const SETUP: &str = r#"echo secret >secret; chmod 600 secret
mkbox up --copy true --proc --dev --sys --tmpfs /tmp --id app app >app.json 2>/dev/null || exit
for name in attack setuid filecaps; do cp /mnt/attack app/$name; done
chmod 4755 app/setuid; setcap cap_sys_admin,cap_dac_override+ep app/filecaps; mknod app/loop0 b 7 0; mkdir app/oldroot
cgset up --id foo pids.max=100 | nsrun up --net --ipc --uts >foo.json || exit
/mnt/attack handle $PWD/secret >handle
ipcmk -M 64 >/dev/null; ipcs -m | awk '/^0x/ {print $1; exit}' >key; echo secret >/dev/shm/attack

# Of sessions of their own: what is signalled is the group of who starts the box.
setsid python3 -c '
import socket, threading
def serve(listener):
    while True:
        client = listener.accept()[0]
        try:
            client.send(b"secret")
        except OSError:
            pass
        client.close()
one, two = socket.socket(socket.AF_UNIX), socket.socket()
one.bind("\0attack"); two.bind(("127.0.0.1", 7777)); one.listen(); two.listen()
print("ready", flush=True)
threading.Thread(target=serve, args=(one,), daemon=True).start()
serve(two)' >ready 2>&1 & echo $! >server
setsid sleep 1000 >/dev/null 2>&1 & echo $! >canary
until grep -q ready ready; do sleep 0.01; done
# What a tutorial does instead.
cat >fill <<'END'
mount -t proc proc app/proc; mount --rbind /dev app/dev; mount --rbind /sys app/sys; mount -t tmpfs tmpfs app/tmp; exec "$@"
END
cat >by <<'END'
how=$1; shift; private="unshare -m --propagation private bash"
case $how in
bare) exec unshare -mpfiun --mount-proc /mnt/attack "$@";;
chroot) exec $private fill /mnt/attack chroot app /attack "$@";;
user) exec $private fill setpriv --reuid 1000 --clear-groups --inh-caps +sys_chroot --ambient-caps +sys_chroot /mnt/attack chroot app /attack "$@";;
pivot) exec $private -c 'mount --bind app app; cd app; mount -t proc proc proc; exec /mnt/attack pivot oldroot /attack "$@"' - "$@";;
stacked) exec $private -c 'mount --bind app app; cd app; exec /mnt/attack pivot . /attack "$@"' - "$@";;
pod) exec cgset exec -P foo.json app pids.max=50 -- nsrun exec -P foo.json --pid --mount -- mkbox exec -P app.json -- nsrun drop -- /attack "$@";;
init) exec nsrun exec -mpniuC --init -- mkbox exec -P app.json -- nsrun drop -- /attack "$@";;
esac
exec nsrun exec -$how -- mkbox exec -P app.json -- nsrun drop $OPTIONS -- /attack "$@"
END
"#;

/// Each attack once, in the way of `$1`.
const ALL: &str = r#"trap : USR1; how=$1; export OPTIONS=$2 ATTACK_SECRET=x SHELL=/bin/bash
for attack in calls cgroups "chroots $PWD/secret" "devices /loop0" "handles $(cat handle)" "ipc $(($(cat key))) node attack" kernel-files \
    privileges "processes $(cat canary) sleep" "roots $PWD/secret" "secrets ATTACK_SECRET" "sockets attack 7777" users; do
    bash by $how $attack </dev/null
done
bash by $how descriptors $PWD/secret 17<. 19<secret </dev/null
/mnt/attack key bash by $how keys </dev/null
# A session of its own for what hears the signal.
setsid bash -c 'trap "echo processes/heard got USR1" USR1; bash by $0 processes 0 - >/dev/null; true' $how
script -qec "bash by $how terminal" /dev/null </dev/null"#;

const END: &str = r#"nsrun down <foo.json | cgset down >/dev/null && mkbox down <app.json >/dev/null || exit
kill $(cat server canary); ipcrm -M $(cat key); rm /dev/shm/attack; rm -r secret handle key ready server canary fill by *.json app 2>/dev/null; true"#;

/// What every attempt brought: `Ok` what it got, `Err` why nothing.
type Outcomes = BTreeMap<String, Result<String, String>>;

fn outcomes(text: &str) -> Outcomes {
    let line = |line: &str| {
        let line = line.trim_matches(|c: char| c.is_control() || c.is_whitespace());
        let (attempt, rest) = line.split_once(' ')?;
        attempt.contains('/').then_some(())?;
        let outcome = match rest.split_once(' ').unwrap_or((rest, "")) {
            ("got", what) => Ok(what.to_owned()),
            ("no", why) => Err(why.to_owned()),
            _ => return None,
        };
        Some((attempt.to_owned(), outcome))
    };
    text.lines().filter_map(line).collect()
}

/// All attacks, in the way that `by` knows as `how`.
fn attack(node: &Node, how: &str, options: &str) -> Outcomes {
    let run = node.sh(&format!("set -- '{how}' '{options}'\n{ALL}"));
    let found = outcomes(&run.stdout);
    // Each attack has spoken: one that did not start has not failed.
    for name in [
        "calls",
        "cgroups",
        "chroots",
        "descriptors",
        "devices",
        "handles",
        "ipc",
        "kernel-files",
        "keys",
        "privileges",
        "processes",
        "roots",
        "secrets",
        "sockets",
        "terminal",
        "users",
    ] {
        let prefix = format!("{name}/");
        let has_run = found.keys().any(|attempt| attempt.starts_with(&prefix));
        assert!(has_run, "{how} {options}: {name} did not run\n{run}");
    }
    found
}

/// Attempts, and the way of running them in which they succeed.
const PROVEN: [(&str, &[&str]); 5] = [
    (
        "bare",
        &[
            "calls/acct",
            "calls/add_key",
            "calls/bpf",
            "calls/clock_settime",
            "calls/fsmount",
            "calls/fsopen",
            "calls/keyctl",
            "calls/mount",
            "calls/mount_setattr",
            "calls/move_mount",
            "calls/open_by_handle_at",
            "calls/open_tree",
            "calls/perf_event_open",
            "calls/pivot_root",
            "calls/process_vm_readv",
            "calls/quotactl",
            "calls/reboot",
            "calls/request_key",
            "calls/setns",
            "calls/settimeofday",
            "calls/swapoff",
            "calls/swapon",
            "calls/umount2",
            "calls/clone3",
            "cgroups/seen",
            "cgroups/mount-v1",
            "cgroups/new-namespace",
            "cgroups/nested-user",
            "terminal/tiocsti-0",
            "terminal/tiocsti-high-bit-0",
            "terminal/dev-tty",
            "users/unshare",
            "users/unshare-all",
            "users/clone3",
        ],
    ),
    (
        "chroot",
        &[
            "chroots/mkdir-chroot-fchdir",
            "descriptors/inherited",
            "descriptors/directory",
            "descriptors/file",
            "descriptors/cwd",
            "devices/make-kmsg",
            "devices/make-loop0",
            "devices/shipped-loop0",
            "handles/open",
            "ipc/shared-memory",
            "ipc/hostname",
            "ipc/shm-file",
            "kernel-files/write/proc/sys/kernel/core_pattern",
            "kernel-files/write/proc/sys/kernel/randomize_va_space",
            "kernel-files/write/proc/sys/vm/drop_caches",
            "kernel-files/read/proc/keys",
            "kernel-files/read/proc/interrupts",
            "kernel-files/remount",
            "kernel-files/unmount",
            "kernel-files/own-proc",
            "kernel-files/own-sysfs",
            "keys/session",
            "processes/seen",
            "processes/signal",
            "processes/trace",
            "processes/memory",
            "processes/heard",
            "roots/proc-root",
            "roots/proc-cwd",
            "roots/setns",
            "secrets/environment",
            "secrets/environ-of-others",
            "secrets/command-lines",
            "sockets/abstract",
            "sockets/loopback",
            "users/setgroups",
            "users/setuid",
        ],
    ),
    ("pivot", &["roots/mounts", "roots/old-root"]),
    ("stacked", &["chroots/above-the-root"]),
    ("user", &["privileges/setuid", "privileges/filecaps"]),
];

/// The chain, and what it leaves on purpose.
const CHAINS: [(&str, &str, &[&str]); 7] = [
    ("mpniuC", "", &[]),
    ("mpniuC", "--user 1000", &[]),
    // CAP_SETUID and CAP_SETGID are of the fourteen.
    (
        "mpniuC",
        "--caps docker",
        &["users/setgroups", "users/setuid"],
    ),
    ("mpniuC", "--caps docker --user 1000", &[]),
    ("mpniuCr", "", &[]),
    ("pod", "", &[]),
    // pause is in the box, as whom everybody knows it.
    ("init", "", &["secrets/command-lines"]),
];

#[test]
fn nothing_gets_out_of_the_default_chain() {
    let node = Node::new();
    node.sh(SETUP).succeeds();
    let mut tried = BTreeMap::new();
    for (how, attempts) in PROVEN {
        let found = attack(&node, how, "");
        for attempt in attempts {
            let outcome = found.get(*attempt);
            assert!(
                matches!(outcome, Some(Ok(_))),
                "{attempt} is no attack: {how} {outcome:?}"
            );
        }
        tried.extend(found);
    }
    for (how, options, allowed) in CHAINS {
        let found = attack(&node, how, options);
        for (attempt, outcome) in &found {
            if let Ok(got) = outcome {
                assert!(
                    allowed.contains(&attempt.as_str()),
                    "{how} {options}: {attempt} got {got}"
                );
            }
        }
        // What was tried elsewhere was tried here; what is heard is said by the one who hears it.
        let missing = tried
            .keys()
            .find(|attempt| !found.contains_key(*attempt) && *attempt != "processes/heard");
        assert_eq!(missing, None, "{how} {options}");
    }
    node.sh(END).succeeds();
    node.becomes_as_it_was();
}

/// What is left to a box whose command keeps every privilege: the walls of namespaces and of the pivoted root.
const WALLS: [&str; 10] = [
    "chroots/mkdir-chroot-fchdir",
    "chroots/above-the-root",
    "descriptors/inherited",
    "descriptors/cwd",
    "keys/session",
    "processes/signal",
    "processes/heard",
    "roots/mounts",
    "sockets/abstract",
    "sockets/loopback",
];

#[test]
fn who_keeps_every_privilege_has_the_walls_and_no_more() {
    let node = Node::new();
    node.sh(SETUP).succeeds();
    let kept = attack(
        &node,
        "mpniuC",
        "--caps keep --seccomp none --no-new-privs=no",
    );
    for attempt in WALLS {
        assert!(
            !matches!(kept.get(attempt), Some(Ok(_))),
            "{attempt}: {:?}",
            kept.get(attempt)
        );
    }
    // As SECURITY.md says: it is root of the machine, and devices and handles are the machine's.
    for attempt in [
        "devices/make-loop0",
        "handles/open",
        "kernel-files/own-proc",
        "cgroups/mount-v1",
    ] {
        assert!(
            matches!(kept.get(attempt), Some(Ok(_))),
            "{attempt}: {:?}",
            kept.get(attempt)
        );
    }
    node.sh(END).succeeds();
    node.becomes_as_it_was();
}
