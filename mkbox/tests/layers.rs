//! Boxes above other directories, boxes whose mounts `up` makes, and what `down` leaves: in namespaces of their own.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;

use common::Scratch;

mod common;

/// Two directories that boxes can lie upon; the second says `two` where both have something.
const LAYERS: &str = "mkbox up --copy sh,ls,cat,rm layer >layer.json; mkdir -p over; echo two >over/which; echo one >layer/which
";

#[test]
fn an_overlay_keeps_what_is_written_and_the_layers_stay_as_they_are() {
    let scratch = Scratch::for_scripts();
    let script = "find layer over | sort >before
        mkbox up --overlay over:layer --proc --copy stat box >box.json
        mkbox exec box -- sh -c 'cat which; echo three >which; rm /bin/ls; echo >/new; [ -e /bin/ls ] || echo no ls'
        mkbox exec -P box.json -- sh -c 'cat which; cat /new; stat -c %n /new'
        find layer over | sort | cmp - before; cat layer/which over/which
        mkbox up -P box.json | cmp - box.json
        mkbox down box >box.json; ls -A box .box.mkbox .box.mkbox.d 2>/dev/null || true; mkbox down layer >layer.json";
    assert_eq!(
        scratch.good(&format!("{LAYERS}{script}")),
        "two\nno ls\nthree\n\n/new\none\ntwo\n"
    );
}

#[test]
fn an_ephemeral_layer_is_gone_with_its_command() {
    let scratch = Scratch::for_scripts();
    let script = "mkbox up --overlay layer:over --ephemeral --etc=hosts --copy stat box >box.json
        for round in 1 2; do mkbox exec box -- sh -c 'cat which; ls / /etc; echo three >which; cat which; stat -c %n /bin/stat'; done
        mkfifo up down; mkbox exec box -- sh -c 'echo a >/a; echo up; read x; cat /a' <>down >up &
        { read x; mkbox exec box -- sh -c '[ -e /a ] || echo each its own'; echo >down; cat; } <up; wait
        mkbox down box >box.json; ls -A .box.mkbox.d 2>/dev/null || true; mkbox down layer >layer.json; cat over/which";
    let round = "one\n/:\nbin\netc\nlib\nlib64\nwhich\n\n/etc:\nhosts\nthree\n/bin/stat\n";
    assert_eq!(
        scratch.good(&format!("{LAYERS}{script}")),
        format!("{round}{round}each its own\na\ntwo\n")
    );
}

#[test]
fn a_layer_is_mounted_once_and_not_removed_while_it_is() {
    let scratch = Scratch::for_scripts();
    let script = "mkbox up --overlay layer box >box.json; mkfifo up down
        mkbox exec box -- sh -c 'echo up; read x' <>down >up & read x <up
        mkbox show box | sed -n 's/^runs *[0-9]* //p'
        mkbox exec box -- ls; echo $?
        mkbox down box >refused.json; echo $?; echo >down; wait; mkbox down box >box.json && mkbox down layer >layer.json";
    let (status, stdout, stderr) = scratch.sh(&format!("{LAYERS}{script}"));
    assert_eq!((status, stdout.as_str()), (0, "sh\n125\n1\n"), "{stderr}");
    let root = scratch.path("box");
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(
        lines[0],
        format!(
            "mkbox: fsconfig(overlay, {}): Device or resource busy (its writable layer is in use by another mount of it)",
            root.display()
        )
    );
    let refused = format!(
        "mkbox: down({}): in use: its layers are mounted on / in the mount namespace of process ",
        root.display()
    );
    assert!(
        lines[1].starts_with(&refused) && lines[1].ends_with(" (sh)"),
        "{stderr}"
    );
}

#[test]
fn an_overlay_works_in_a_user_namespace() {
    let scratch = Scratch::for_scripts();
    let script = "mkbox up --overlay layer --proc box >box.json
        unshare --user --map-root-user --mount --pid --fork mkbox exec box -- sh -c 'rm /which; echo >/new; ls'
        unshare --user --map-root-user --mount --pid --fork mkbox exec box -- sh -c 'ls; while read -r a b c d point f; do [ $point = / ] && echo $f; done </proc/self/mountinfo' >seen
        grep -c userxattr seen; sed -n 1,5p seen; cat layer/which; mkbox down box >box.json; mkbox down layer >layer.json";
    assert_eq!(
        scratch.good(&format!("{LAYERS}{script}")),
        "bin\nlib\nlib64\nnew\nproc\n1\nbin\nlib\nlib64\nnew\nproc\none\n"
    );
}

#[test]
fn whoever_is_not_root_makes_enters_and_removes_a_box_with_everything() {
    let scratch = Scratch::for_scripts();
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let spaces = "unshare --user --map-root-user --mount --pid --ipc --net --fork";
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/ CHROOT0_RUN=$PWD/run";
    let script = format!(
        "{LAYERS}mkdir -m 777 own; chmod 755 . layer; cd own
        {user} mkbox up --overlay ../layer --proc --sys --dev --mask --etc --tmpfs /tmp --mount type=emptyDir,target=/cache box >/dev/null
        {user} {spaces} mkbox exec box -- sh -c 'ls /; echo >/dev/null; cat /proc/keys; echo >/new; echo >/cache/x; rm which; ls /dev /cache'
        {user} mkbox down box >/dev/null; rmdir run; ls -A; cd ..; mkbox down layer >layer.json"
    );
    let answer = scratch.good(&script);
    assert!(
        answer.starts_with(
            "bin\ncache\ndev\netc\nlib\nlib64\nproc\nsys\ntmp\nwhich\n/cache:\nx\n\n/dev:\nfd\n"
        ),
        "{answer}"
    );
    assert!(answer.ends_with("zero\n"), "{answer}");
}

#[test]
fn a_mount_point_is_no_place_for_a_box() {
    let scratch = Scratch::for_scripts();
    let script = "mkdir at; mount -t tmpfs there at; mkbox up --copy sh at >box.json; umount at; ls -A at . run";
    let (_, stdout, stderr) = scratch.sh(script);
    let at = scratch.path("at");
    assert_eq!(
        stderr,
        format!("mkbox: BOX {}: is a mount point\n", at.display())
    );
    assert_eq!(
        stdout,
        ".:\nat\nbox.json\nmkbox\nrun\nvictim\n\nat:\n\nrun:\n"
    );
}

#[test]
fn layers_that_cannot_be_are_refused_and_leave_nothing() {
    let scratch = Scratch::for_scripts();
    let here = scratch.path("").display().to_string();
    let here = here.trim_end_matches('/');
    for (flags, status, line) in [
        (
            "--overlay /no/such",
            1,
            "realpath(/no/such): No such file or directory".to_owned(),
        ),
        (
            "--overlay /etc/passwd",
            1,
            "--overlay /etc/passwd: is no directory".into(),
        ),
        (
            &format!("--overlay {here}"),
            1,
            format!("--overlay {here}: a layer and BOX must not lie in one another"),
        ),
        (
            "--overlay /",
            1,
            "--overlay /: a layer and BOX must not lie in one another".into(),
        ),
        ("--ephemeral", 2, "--ephemeral needs --overlay".into()),
    ] {
        let (found, _, stderr) = scratch.sh(&format!("mkbox up {flags} box >box.json"));
        assert_eq!((found, stderr), (status, format!("mkbox: {line}\n")));
        assert_eq!(
            scratch.good("ls -A; ls -A run"),
            "box.json\nmkbox\nrun\nvictim\n"
        );
    }
    // What lies where the layer will is nobody's to take.
    let script = "mkdir .box.mkbox.d; mkbox up --overlay victim box >box.json; ls -d .box.mkbox.d; ls -A box .box.mkbox run";
    let (_, stdout, stderr) = scratch.sh(script);
    assert!(
        stderr.starts_with(&format!(
            "mkbox: BOX {here}/box: {here}/.box.mkbox.d is there, and is of no box of mkbox\n"
        )),
        "{stderr}"
    );
    assert_eq!(stdout, ".box.mkbox.d\nrun:\n");
}

#[test]
fn names_with_colons_and_more_than_255_bytes_of_layers_work() {
    let scratch = Scratch::for_scripts();
    let long = "l".repeat(120);
    let script = format!(
        r"mkbox up --copy sh,ls base >base.json; mkdir 'a:b' {long}1 {long}2 {long}3; echo >a:b/first; for n in 1 2 3; do echo >{long}$n/in$n; done
        mkbox up --overlay 'a\:b:base' box >box.json; mkbox exec box -- ls; mkbox down box >box.json
        mkbox up --overlay {long}1:{long}2:{long}3:base box >box.json; mkbox exec box -- ls; mkbox down box >box.json
        mkbox up --overlay 'a\:b':{long}1:{long}2:base box >box.json; mkbox exec box -- ls; mkbox down box >box.json; mkbox down base >base.json"
    );
    assert_eq!(
        scratch.good(&script),
        "bin\nfirst\nlib\nlib64\nbin\nin1\nin2\nin3\nlib\nlib64\nbin\nfirst\nin1\nin2\nlib\nlib64\n"
    );
}

#[test]
fn the_tutorials_mounts_are_on_the_host_and_gone_with_the_box() {
    let scratch = Scratch::for_scripts();
    let script = "cat /proc/self/mountinfo >before
        mkbox up --host-mounts --copy sh,ls,cat --proc --dev --mask --cgroup --bind $PWD/victim:/data:ro box >box.json
        chroot box /bin/sh -c 'ls /data; cat /dev/null /proc/keys; ls /proc/self >/dev/null && echo proc'
        mkbox exec box -- ls /data; mkbox up -P box.json | cmp - box.json
        mkbox down box >box.json; cmp before /proc/self/mountinfo && ls -A";
    assert_eq!(
        scratch.good(script),
        "precious\nproc\nprecious\nbefore\nbox.json\nmkbox\nrun\nvictim\n"
    );
    // On a shared mount nothing is propagated but the box itself.
    let script = "mkdir peer tree; mount --bind tree tree; mount --make-shared tree; mount --bind tree peer
        mkbox up --host-mounts --copy sh --proc tree/box >box.json
        grep -c \"$PWD/peer/\" /proc/self/mountinfo; grep -c \"$PWD/tree/box/proc\" /proc/self/mountinfo
        mkbox down tree/box >box.json; umount peer tree";
    assert_eq!(scratch.good(script), "1\n1\n");
}

#[test]
fn mounts_of_the_host_are_not_taken_from_who_uses_them() {
    let scratch = Scratch::for_scripts();
    let up = "mkbox up --host-mounts --copy sh,ls,cat --proc --bind $PWD/victim:/data box >box.json; cat /proc/self/mountinfo >with\n";
    let root = scratch.path("box");
    let root = root.display();
    for (begin, end, said) in [
        (
            "mkfifo victim/up victim/down; chroot box /bin/sh -c 'echo >/data/up; read x </data/down' & read x <victim/up",
            "echo >victim/down; wait; rm victim/up victim/down",
            format!("down({root}): in use: process "),
        ),
        (
            "mount -t tmpfs other box/bin",
            "umount box/bin",
            format!("down({root}): in use: tmpfs is mounted on {root}/bin"),
        ),
        (
            "mount -t tmpfs other box/data",
            "umount box/data",
            format!("down({root}): in use: tmpfs is mounted on {root}/data"),
        ),
        (
            "mkfifo victim/up victim/down; mkbox exec box -- sh -c 'echo >/data/up; read x </data/down' & read x <victim/up",
            "echo >victim/down; wait; rm victim/up victim/down",
            format!("down({root}): in use: process "),
        ),
    ] {
        let script = format!(
            "{up}{begin}\nmkbox down box >down.json && echo removed\n{end}\ncmp with /proc/self/mountinfo\nmkbox down box >down.json && echo gone; grep -c {root} /proc/self/mountinfo"
        );
        let (_, stdout, stderr) = scratch.sh(&script);
        assert_eq!(stdout, "gone\n0\n", "{begin}: {stderr}");
        assert!(stderr.contains(&said), "{begin}: {stderr}");
        assert!(scratch.path("victim/precious").exists());
    }
}

#[test]
fn what_is_kept_stays_and_is_no_box_any_more() {
    let scratch = Scratch::for_scripts();
    let script = "mkbox up --copy sh,ls --mount type=emptyDir,target=/cache box >box.json
        mkbox exec box -- sh -c 'echo one >/cache/a; echo two >/b'; echo three >box/bin/c
        mkbox down --keep cache --keep /bin/c --keep b --keep none box >gone.json; find box | sort; cat box/cache/a box/b box/bin/c
        ls -A run; mkbox up --copy sh box >again.json || echo not again";
    let (_, stdout, stderr) = scratch.sh(script);
    assert_eq!(
        stdout,
        "box\nbox/b\nbox/bin\nbox/bin/c\nbox/cache\nbox/cache/a\none\ntwo\nthree\nnot again\n",
        "{stderr}"
    );
    assert!(
        stderr.ends_with("box: is not empty\n") && stderr.lines().count() == 1,
        "{stderr}"
    );
    // Of an overlay, what lies in its own layer.
    let script = "rm -r box; mkbox up --overlay layer box >box.json; mkbox exec box -- sh -c 'echo new >/new; echo three >/which'
        mkbox down --keep new --keep which --keep bin box >gone.json; find box | sort; cat box/new box/which; rm -r box; mkbox down layer >layer.json";
    assert_eq!(
        scratch.good(&format!("{LAYERS}{script}")),
        "box\nbox/new\nbox/which\nnew\nthree\n"
    );
    for bad in ["/", "..", "a/../b", ""] {
        let (status, _, _) = scratch.sh(&format!("mkbox down --keep '{bad}' box"));
        assert_eq!(status, 2, "{bad}");
    }
}

#[test]
fn a_killed_down_keeps_what_it_was_to_keep() {
    let scratch = Scratch::for_scripts();
    let calls = "openat2,unlinkat,renameat,renameat2,mkdirat,rmdir,unlink,rename,write";
    let count = "mkbox up --copy ls --mount type=emptyDir,target=/cache box >box.json; echo data >.box.mkbox.d/volumes/cache/data; echo own >box/own
        strace -f -qq -o log -e trace=CALLS mkbox down --keep cache --keep own box >gone.json; cat log; rm -r box log";
    let log = scratch.good(&count.replace("CALLS", calls));
    let mut killed = 0;
    for call in calls.split(',') {
        let times = log
            .lines()
            .filter(|line| line.contains(&format!(" {call}(")))
            .count();
        for nth in 1..=times {
            let script = format!(
                "mkbox up --copy ls --mount type=emptyDir,target=/cache box >box.json; echo data >.box.mkbox.d/volumes/cache/data; echo own >box/own
                strace -f -qq -o /dev/null -e trace={call} -e inject={call}:signal=KILL:when={nth} mkbox down --keep cache --keep own box >gone.json 2>/dev/null; echo $?
                mkbox down --id box >gone.json; echo $?; find . -name data -o -name own | sort; ls -A . run"
            );
            let (_, stdout, stderr) = scratch.sh(&script);
            let lines: Vec<&str> = stdout.lines().collect();
            killed += usize::from(lines[0] == "137");
            // Before it was written down, the next one does not know.
            if lines[1] != "0"
                || !(stdout.contains("box/cache/data") && stdout.contains("box/own")
                    || !stdout.contains("/data"))
            {
                panic!("{call} {nth}: {stdout}{stderr}");
            }
            if !stdout.contains("/data") {
                assert!(
                    stdout.contains("run:\n") && nth < 12,
                    "{call} {nth}: {stdout}{stderr}"
                );
            }
            assert!(!stdout.contains(".mkbox"), "{call} {nth}: {stdout}{stderr}");
            let _ = fs::remove_dir_all(scratch.path("box"));
        }
    }
    assert!(killed > 20, "{killed}");
}

#[test]
fn a_dry_run_says_what_is_made_where_and_does_nothing() {
    let scratch = Scratch::for_scripts();
    let here = scratch.path("");
    let here = here.display().to_string();
    let here = here.trim_end_matches('/');
    let script = "mkbox up --dry-run --host-mounts --tmpfs /t --etc=hosts --volume $PWD/made:/m --mount type=emptyDir,target=/e --mount type=secret,src=victim,target=/s box; ls -A . run
        mkbox up --tmpfs /t --mount type=emptyDir,target=/e --host-mounts box >box.json; mkbox down --dry-run --keep e box; mkbox down box >box.json";
    let lines = [
        "mkdir(H/box)",
        "mkdir(H/box/t)",
        "mkdir(H/box/e)",
        "mkdir(H/box/s)",
        "mkdir(H/box/m)",
        "mkdir(H/.box.mkbox.d)",
        "write(H/box/etc/hosts)",
        "mkdir(H/.box.mkbox.d/volumes/e)",
        "'H/victim/*' -> 'H/.box.mkbox.d/volumes/s'",
        "mkdir(H/made)",
        "mount(H/box, H/box, MS_BIND|MS_REC)",
        "mount(tmpfs, /t)",
        "mount(H/.box.mkbox.d/volumes/e, /e, MS_BIND)",
        "mount(H/.box.mkbox.d/volumes/s, /s, MS_BIND|MS_RDONLY)",
        "mount(H/made, /m, MS_BIND|MS_REC)",
        ".:",
        "mkbox",
        "run",
        "victim",
        "",
        "run:",
        "umount2(H/box)",
        "unlink(H/box/*)",
        "kept: H/box/e",
        "unlink(H/.box.mkbox.d/*)",
        "rmdir(H/.box.mkbox.d)",
        "rmdir(H/box)",
    ];
    let expected: Vec<String> = lines.iter().map(|line| line.replace('H', here)).collect();
    let answer = scratch.good(&format!("mkdir -p run; {script}"));
    assert_eq!(answer.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn layers_on_the_host_are_one_mount_for_all() {
    let scratch = Scratch::for_scripts();
    let script = "cat /proc/self/mountinfo >before; mkbox up --overlay layer --proc --host-mounts box >box.json
        mkfifo up down; mkbox exec box -- sh -c 'echo up; read x' <>down >up & read x <up
        mkbox exec box -- sh -c 'echo three >which; cat which'; chroot box /bin/cat /which; echo >down; wait
        mkbox up -P box.json | cmp - box.json
        mkbox down box >box.json; cmp before /proc/self/mountinfo; mkbox down layer >layer.json";
    assert_eq!(scratch.good(&format!("{LAYERS}{script}")), "three\nthree\n");
    // In memory it is two mounts on one place.
    let script = "cat /proc/self/mountinfo >before; mkbox up --overlay over --ephemeral --proc --host-mounts box >box.json
        grep -c \" $PWD/box \" /proc/self/mountinfo; cat box/which; mkbox down box >box.json; cmp before /proc/self/mountinfo";
    assert_eq!(scratch.good(script), "2\ntwo\n");
}
