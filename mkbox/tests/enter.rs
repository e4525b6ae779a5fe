//! Boxes that are entered, and boxes that are in use: each test in mount and pid namespaces of its own.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of a test's own, gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "mkbox-enter-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir_all(path.join("victim")).unwrap();
        fs::write(path.join("victim/precious"), "x").unwrap();
        fs::copy(env!("CARGO_BIN_EXE_mkbox"), path.join("mkbox")).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Runs a script as root of namespaces of its own, with mkbox in PATH; its status, stdout and stderr.
    fn sh(&self, script: &str) -> (i32, String, String) {
        // A script that waits for what never comes is a failure, not a hang.
        let mut command = Command::new("timeout");
        command.args(["--kill-after=1", "60", "unshare"]);
        if !nix::unistd::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        // What a box may lack is another test's subject.
        let script = &script.replace("mkbox up ", "mkbox up -q ");
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.0.display());
        let output = command
            .args(["sh", "-c", script])
            .current_dir(&self.0)
            .env("PATH", path)
            .env("CHROOT0_RUN", self.path("run"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// A script that has to succeed and to say nothing on stderr; its stdout.
    #[track_caller]
    fn good(&self, script: &str) -> String {
        let (status, stdout, stderr) = self.sh(&format!("set -e\n{script}"));
        assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
        stdout
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const UP: &str = "mkbox up --copy sh,ls,cat --proc --bind $PWD/victim:/data box >box.json\n";

#[test]
fn a_box_has_what_it_was_given_and_the_caller_sees_no_mount() {
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
    let script = "exec 7<. 9<box.json
        mkbox exec box -- sh -c 'for fd in 7 9; do if [ -e /proc/self/fd/$fd ]; then echo $fd; fi; done; echo end'";
    assert_eq!(scratch.good(&format!("{UP}{script}")), "end\n");
}

#[test]
fn the_old_root_is_gone() {
    let scratch = Scratch::new();
    let script = "mkbox exec box -- sh -c 'cat /proc/self/mountinfo' | while read -r id parent dev root point rest; do echo $point; done | sort";
    assert_eq!(scratch.good(&format!("{UP}{script}")), "/\n/data\n/proc\n");
}

#[test]
fn read_only_is_read_only_and_files_can_be_bound() {
    let scratch = Scratch::new();
    let up = "mkbox up --copy sh --bind $PWD/victim:/ro:ro --bind $PWD/victim/precious:/etc/file box >box.json\n";
    let script = "mkbox exec box -- sh -c 'echo y >/etc/file; if echo z >/ro/new; then echo written; fi' 2>error || true
        cat victim/precious; ls victim; grep -c Read-only error";
    assert_eq!(scratch.good(&format!("{up}{script}")), "y\nprecious\n1\n");
}

#[test]
fn a_mount_on_a_missing_place_makes_it_and_tmpfs_is_empty_and_private() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("root/bin")).unwrap();
    let script = r#"mkbox up --copy sh,ls seed >seed.json; rm -r root; cp -r seed root
        printf '{"id":"x","root":{"path":"%s"},"mounts":[{"destination":"/a","type":"tmpfs","source":"t","options":["size=1m","nosuid"]},{"destination":"/a/b/c","type":"bind","source":"%s","options":["rbind"]}]}' $PWD/root $PWD/victim >x.json
        mkbox exec -P x.json -- sh -c 'ls /a/b/c; echo >/a/file; ls /a'
        ls root/a"#;
    assert_eq!(scratch.good(script), "precious\nb\nfile\n");
}

#[test]
fn a_root_that_is_read_only_in_the_record_cannot_be_written() {
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
    // Any static program will do; what runs is the file beside mkbox, not one in the box.
    fs::copy(scratch.path("mkbox"), scratch.path("nsrun")).unwrap();
    let version = scratch.good(&format!("{UP}mkbox exec box -- nsrun --version"));
    assert_eq!(version, format!("mkbox {}\n", env!("CARGO_PKG_VERSION")));
    let (status, _, _) = scratch.sh("mkbox exec box -- /bin/nsrun --version");
    assert_eq!(status, 127);
}

#[test]
fn a_box_in_use_is_not_removed() {
    let scratch = Scratch::new();
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
    let scratch = Scratch::new();
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
