//! Boxes that are entered, and boxes that are in use: each test in mount and pid namespaces of its own.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use common::Scratch;

mod common;

const UP: &str = "mkbox up --copy sh,ls,cat --proc --bind $PWD/victim:/data box >box.json\n";

#[test]
fn a_box_has_what_it_was_given_and_the_caller_sees_no_mount() {
    let scratch = Scratch::for_scripts();
    let script = "cat /proc/self/mountinfo >before
        mkbox exec -P box.json -- ls
        mkbox exec box -- cat /data/precious
        echo; mkbox exec box -- sh -c 'cd ..; pwd; ls -d /proc/1'
        cat /proc/self/mountinfo | cmp - before
        mkbox down box >down.json";
    let answer = scratch.good(&format!("{UP}{script}"));
    assert_eq!(answer, "bin\ndata\nlib\nlib64\nproc\nx\n/\n/proc/1\n");
    assert!(!scratch.path("box").exists());
}

#[test]
fn the_status_is_that_of_cmd_or_tells_why_there_is_none() {
    let scratch = Scratch::for_scripts();
    scratch.good(UP);
    for (command, status, line) in [
        ("sh -c 'exit 3'", 3, ""),
        (
            "none",
            127,
            "mkbox: exec(none): No such file or directory\n",
        ),
        ("/proc", 126, "mkbox: exec(/proc): Permission denied\n"),
    ] {
        let (answer, _, stderr) = scratch.sh(&format!("mkbox exec box {command}"));
        assert_eq!((answer, stderr.as_str()), (status, line));
    }
    scratch.good("mkbox down box >down.json");
}

#[test]
fn no_descriptor_of_the_caller_gets_in() {
    let scratch = Scratch::for_scripts();
    let script = "exec 7<. 9<box.json
        mkbox exec box -- sh -c 'for fd in 7 9; do if [ -e /proc/self/fd/$fd ]; then echo $fd; fi; done; echo end'";
    assert_eq!(scratch.good(&format!("{UP}{script}")), "end\n");
}

#[test]
fn the_old_root_is_gone() {
    let scratch = Scratch::for_scripts();
    let script = "mkbox exec box -- sh -c 'cat /proc/self/mountinfo' | while read -r id parent dev root point rest; do echo $point; done | sort";
    assert_eq!(scratch.good(&format!("{UP}{script}")), "/\n/data\n/proc\n");
}

#[test]
fn read_only_is_read_only_and_files_can_be_bound() {
    let scratch = Scratch::for_scripts();
    let up = "mkbox up --copy sh --bind $PWD/victim:/ro:ro --bind $PWD/victim/precious:/etc/file box >box.json\n";
    let script = "mkbox exec box -- sh -c 'echo y >/etc/file; if echo z >/ro/new; then echo written; fi' 2>error || true
        cat victim/precious; ls victim; grep -c Read-only error";
    assert_eq!(scratch.good(&format!("{up}{script}")), "y\nprecious\n1\n");
}

#[test]
fn a_mount_on_a_missing_place_makes_it_and_tmpfs_is_empty_and_private() {
    let scratch = Scratch::for_scripts();
    fs::create_dir_all(scratch.path("root/bin")).unwrap();
    let script = r#"mkbox up --copy sh,ls seed >seed.json; rm -r root; cp -r seed root
        printf '{"id":"x","root":{"path":"%s"},"mounts":[{"destination":"/a","type":"tmpfs","source":"t","options":["size=1m","nosuid"]},{"destination":"/a/b/c","type":"bind","source":"%s","options":["rbind"]}]}' $PWD/root $PWD/victim >x.json
        mkbox exec -P x.json -- sh -c 'ls /a/b/c; echo >/a/file; ls /a'
        ls root/a"#;
    assert_eq!(scratch.good(script), "precious\nb\nfile\n");
}

#[test]
fn a_root_that_is_read_only_in_the_record_cannot_be_written() {
    let scratch = Scratch::for_scripts();
    let script = r#"sed 's/"root":{/"root":{"readonly":true,/' box.json >read-only.json
        mkbox exec -P box.json -- sh -c 'echo >/bin/new && echo written'
        mkbox exec -P read-only.json -- sh -c 'echo >/bin/newer && echo written' 2>error || cat error"#;
    let answer = scratch.good(&format!("{UP}{script}"));
    assert!(
        answer.starts_with("written\n") && answer.ends_with("/bin/newer: Read-only file system\n"),
        "{answer}"
    );
}

#[test]
fn links_planted_in_a_box_move_no_mount() {
    let scratch = Scratch::for_scripts();
    for (place, lead, hint) in [
        (
            "proc",
            "victim",
            "a mount point of the kernel's files must be no symbolic link",
        ),
        ("data", "victim", "a symbolic link in the box leads nowhere"),
        (
            "data",
            "../../../../../../victim",
            "a symbolic link in the box leads nowhere",
        ),
    ] {
        scratch.good(UP);
        fs::remove_dir(scratch.path("box").join(place)).unwrap();
        let lead = if lead.starts_with('.') {
            PathBuf::from(lead)
        } else {
            scratch.path(lead)
        };
        symlink(lead, scratch.path("box").join(place)).unwrap();
        let (status, stdout, stderr) = scratch.sh("mkbox exec box ls");
        assert_eq!((status, stdout.as_str()), (125, ""), "{place}");
        assert!(stderr.ends_with(&format!("({hint})\n")), "{stderr}");
        scratch.good("mkbox down box >down.json");
    }
    assert!(scratch.path("victim/precious").exists());
}

#[test]
fn another_directory_in_the_place_of_the_box_is_neither_entered_nor_removed() {
    let scratch = Scratch::for_scripts();
    let script = "mv box old; mkdir box; mkdir box/precious";
    scratch.good(&format!("{UP}{script}"));
    let root = scratch.path("box");
    let (status, _, stderr) = scratch.sh("mkbox exec -P box.json ls");
    assert_eq!(status, 125);
    assert_eq!(
        stderr,
        format!(
            "mkbox: {}: it is another directory than the one that the record speaks of\n",
            root.display()
        )
    );
    let (status, _, stderr) = scratch.sh("mkbox down box");
    assert_eq!(status, 1);
    assert_eq!(
        stderr,
        format!(
            "mkbox: down({}): it is another directory than the one that was made: not removed\n",
            root.display()
        )
    );
    assert!(root.join("precious").exists());
}

#[test]
fn our_own_tools_are_run_from_outside_the_box() {
    let scratch = Scratch::for_scripts();
    // Any static program will do; what runs is the file beside mkbox, not one in the box.
    fs::copy(scratch.path("mkbox"), scratch.path("nsrun")).unwrap();
    let version = scratch.good(&format!("{UP}mkbox exec box -- nsrun --version"));
    assert_eq!(version, format!("mkbox {}\n", env!("CARGO_PKG_VERSION")));
    let (status, _, _) = scratch.sh("mkbox exec box -- /bin/nsrun --version");
    assert_eq!(status, 127);
}

#[test]
fn a_box_in_use_is_not_removed() {
    let scratch = Scratch::for_scripts();
    let root = scratch.path("box");
    let root = root.display();
    let victim = scratch.path("victim");
    for (begin, end, user) in [
        (
            "mkfifo box/fifo; mkbox exec box -- sh -c 'echo >/fifo; read x </fifo' & read x <box/fifo",
            "echo >box/fifo; wait",
            "process ".to_owned(),
        ),
        (
            "mount --bind victim box/data",
            "umount box/data",
            format!(" is mounted on {root}/data\n"),
        ),
        (
            "mount --bind box/bin victim",
            "umount victim",
            format!("/bin is mounted on {}\n", victim.display()),
        ),
        (
            "mkfifo up down; unshare -m sh -c 'mount -t tmpfs none box/data; echo >up; read x <down' & read x <up",
            "echo >down; wait; rm up down",
            format!("tmpfs is mounted on {root}/data in the mount namespace of process "),
        ),
    ] {
        let script = format!(
            "{UP}{begin}\nmkbox down box >down.json && echo removed\n{end}\nmkbox down box >down.json && echo gone"
        );
        let (status, stdout, stderr) = scratch.sh(&script);
        assert_eq!(
            (status, stdout.as_str()),
            (0, "gone\n"),
            "{begin}: {stderr}"
        );
        assert!(
            stderr.starts_with(&format!("mkbox: down({root}): in use: ")) && stderr.contains(&user),
            "{begin}: {stderr}"
        );
        assert!(victim.join("precious").exists(), "{begin}");
        assert!(!scratch.path("box").exists());
    }
}

#[test]
fn a_full_file_system_leaves_nothing() {
    let scratch = Scratch::for_scripts();
    let script = "mkdir small; mount -t tmpfs -o size=1m none small
        mkbox up --copy sh,ls small/a/box >failed.json 2>error && echo made
        ls -A small run; cat error";
    let (_, stdout, _) = scratch.sh(script);
    let library = stdout.lines().last().unwrap_or_default();
    assert!(
        library.starts_with("mkbox: copy_file_range(")
            && library.ends_with(": No space left on device"),
        "{stdout}"
    );
    assert_eq!(
        stdout.lines().collect::<Vec<_>>()[..3],
        ["run:", "", "small:"],
        "{stdout}"
    );
    assert_eq!(stdout.lines().count(), 4, "{stdout}");
}

#[test]
fn in_a_plain_chroot_the_root_is_left_all_the_same() {
    let scratch = Scratch::for_scripts();
    // The root of the chroot is no mount point, and the mount that it lies on is shared.
    let script = "mkdir tree; mount --bind tree tree; mount --make-shared tree; mkdir -p tree/deep/er
        mkbox up --copy sh,ls,cat --proc tree/deep/er/root >root.json; cp mkbox tree/deep/er/root/bin
        mkdir tree/deep/er/root/in; cp -a tree/deep/er/root/bin tree/deep/er/root/lib* tree/deep/er/root/in
        mount -t proc proc tree/deep/er/root/proc; cat /proc/self/mountinfo >before
        chroot tree/deep/er/root sh -c 'mkbox exec in -- sh -c \"ls /; cd ..; cd bin; cd ../../../../..; ls -d in proc bin\"; echo $?; mkbox exec -v in -- ls -d /' 2>error
        cmp before /proc/self/mountinfo; grep -c -e pivot_root -e MNT_DETACH error
        chroot tree/deep/er/root mkbox exec / -- mkbox exec in -- ls
        umount tree/deep/er/root/proc; mkbox down tree/deep/er/root >root.json; umount tree";
    let answer = scratch.good(script);
    assert_eq!(
        answer, "bin\nlib\nlib64\nbin\n2\n/\n2\nbin\nlib\nlib64\n",
        "{answer}"
    );
}

#[test]
fn every_standard_mount_point_as_a_link_leads_nowhere_outside() {
    let scratch = Scratch::for_scripts();
    let up = "mkbox up --copy sh,ls --proc --sys --dev --cgroup --mask --etc --tmpfs /tmp --tmpfs /run --bind $PWD/victim/precious:/etc/hosts --mount type=emptyDir,target=/var/cache box >box.json";
    let victim = scratch.path("victim").display().to_string();
    let points = [
        "proc",
        "sys",
        "dev",
        "dev/pts",
        "dev/shm",
        "dev/mqueue",
        "sys/fs",
        "sys/fs/cgroup",
        "tmp",
        "run",
        "etc",
        "etc/hosts",
        "var",
        "var/cache",
        "lib",
    ];
    let targets = [
        victim.clone(),
        format!("{victim}/none/deep"),
        "../victim".into(),
        "../../../../../../../../../../../../../..".to_owned() + &victim,
        format!("/proc/self/root{victim}"),
        "/proc/1/cwd/victim".into(),
        "/proc/self/fd/3".into(),
        "/oldroot".into(),
    ];
    scratch.good(&format!(
        "{up}; mkbox down box >box.json; find victim -printf '%p %m %s %T@\\n' | sort >before"
    ));
    for (at, point) in points.into_iter().enumerate() {
        // Half of them each, so that it stays below ten seconds.
        for target in targets.iter().skip(at % 2).step_by(2) {
            let script = format!(
                "cat /proc/self/mountinfo >mounts; {up}; mkdir -p $(dirname box/{point}); rm -rf box/{point}; ln -s {target} box/{point}
                mkbox exec box -- sh -c 'echo >/tmp/x; echo >/run/x; echo >/var/cache/x; ls' >/dev/null 2>&1 || true
                mkbox up -P box.json >/dev/null 2>&1 || true
                find victim -printf '%p %m %s %T@\\n' | sort | cmp - before; cmp mounts /proc/self/mountinfo
                mkbox down box >box.json; find victim -printf '%p %m %s %T@\\n' | sort | cmp - before; ls -A box 2>/dev/null || true"
            );
            assert_eq!(scratch.good(&script), "", "{point} -> {target}");
        }
    }
}

#[test]
fn links_that_are_swapped_in_meanwhile_lead_nowhere_outside() {
    let scratch = Scratch::for_scripts();
    // Another process of the box exchanges a directory and a link to the victim as fast as it can.
    let script = r#"mkbox up --copy sh,true,python3 --proc --dev --tmpfs /run/a/b --mount type=emptyDir,target=/var/cache/c --bind $PWD/victim/precious:/etc/x box >box.json
        mkdir -p box/run box/var/cache box/etc; for place in run var proc etc dev; do ln -s $PWD/victim box/$place.link; done
        find victim | sort >before; cat /proc/self/mountinfo >mounts
        cat >swap.py <<'END'
import ctypes, os
libc = ctypes.CDLL(None)
while not os.path.exists("stop"):
    for place in ("run", "var", "proc", "etc", "dev"):
        a, b = ("box/" + place).encode(), ("box/" + place + ".link").encode()
        libc.renameat2(-100, a, -100, b, 2)
END
        python3 swap.py & n=0
        until [ $n -ge 120 ] && [ -s entered ] && [ -s refused ]; do
            n=$((n + 1)); mkbox exec box -- true >/dev/null 2>>errors && echo >>entered || echo >>refused
        done
        touch stop; wait; find victim | sort | cmp - before; cmp mounts /proc/self/mountinfo; cat victim/precious
        grep -v -e '^mkbox: openat2(' -e '^mkbox: mkdir(' -e '^mkbox: move_mount(' -e '^mkbox: symlink(' errors | head -3
        rm -rf box/*.link; mkbox down box >box.json; find victim | sort | cmp - before"#;
    assert_eq!(scratch.good(script), "x");
}
