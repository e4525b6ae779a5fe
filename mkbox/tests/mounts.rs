//! What a box is given beside its files: each test in mount and pid namespaces of its own.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use common::Scratch;

mod common;

/// A shell's own words: a box with nothing but a shell can say what it sees.
const MOUNTS: &str = "while read -r id parent dev root point flags rest; do echo $point $flags; done </proc/self/mountinfo";

#[test]
fn a_minimal_dev_has_the_hosts_devices_and_nothing_else() {
    let scratch = Scratch::for_scripts();
    let script = r"mkbox up --copy sh,ls,stat,cat --proc --dev box >box.json
        mkbox exec box -- ls /dev
        mkbox exec box -- stat -c '%n %F %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/pts/ptmx
        mkbox exec box -- sh -c 'echo gone >/dev/null; cat /dev/null; echo x >/dev/shm/x; cat /dev/stdin /dev/shm/x; echo no >/dev/full' <victim/precious 2>error || true
        cat error; ls -A box/dev; mkbox down box >box.json";
    let answer = scratch.good(script);
    let lines: Vec<&str> = answer.lines().collect();
    let names = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    assert_eq!(lines[..14].join(" "), names);
    assert_eq!(
        lines[14..21],
        [
            "/dev/null character special file 1:3 666",
            "/dev/zero character special file 1:5 666",
            "/dev/full character special file 1:7 666",
            "/dev/random character special file 1:8 666",
            "/dev/urandom character special file 1:9 666",
            "/dev/tty character special file 5:0 666",
            "/dev/pts/ptmx character special file 5:2 666",
        ]
    );
    // Not a byte of it is in the box itself.
    assert_eq!(
        lines[21..],
        ["xx", "sh: 1: echo: echo: I/O error"],
        "{answer}"
    );
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_cannot_be_written() {
    let scratch = Scratch::for_scripts();
    let script = r#"mkbox up --copy sh,ls,cat --proc --sys --mask --mask-path /etc/secret --mask-path /none --read-only-path /etc/fixed --tmpfs /tmp box >box.json
        mkdir -p box/etc/secret box/etc/fixed; echo key >box/etc/secret/key; echo a >box/etc/fixed/a
        mkbox exec box -- sh -c 'cat /proc/keys /proc/timer_list /proc/interrupts; ls /proc/acpi /sys/firmware /etc/secret; cat /etc/fixed/a'
        for place in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/kernel/profiling /etc/fixed /etc/secret /sys/firmware; do
            mkbox exec box -- sh -c "if [ -w $place ]; then echo writable $place; fi"
        done
        mkbox exec box -- sh -c 'echo >/tmp/fine && echo fine'
        mkbox down box >box.json"#;
    assert_eq!(
        scratch.good(script),
        "/etc/secret:\n\n/proc/acpi:\n\n/sys/firmware:\na\nfine\n"
    );
}

#[test]
fn a_box_that_is_entered_by_its_path_is_entered_as_its_record_says() {
    let scratch = Scratch::for_scripts();
    let script = r#"echo '{"id":"box","process":{"cwd":"/proc"},"linux":{"maskedPaths":["/proc/keys"]}}' >given.json
        mkbox up -P given.json --copy sh,cat --proc --read-only box >box.json
        mkbox exec box -- sh -c 'pwd; cat keys; echo >/new' 2>/dev/null || echo read-only
        mkbox exec -w / box -- sh -c 'pwd'; mkbox exec -w bin box -- sh -c 'pwd'; mkbox down box >box.json"#;
    assert_eq!(scratch.good(script), "/proc\nread-only\n/\n/bin\n");
}

#[test]
fn nobody_begins_outside_the_box() {
    let scratch = Scratch::for_scripts();
    scratch.good("mkbox up --copy sh,ls --proc box >box.json");
    for fd in 0..20 {
        let script =
            format!("exec 7<. 9</; mkbox exec -w /proc/self/fd/{fd} box -- sh -c 'pwd; ls' <. ");
        let (status, stdout, stderr) = scratch.sh(&script);
        assert_eq!((status, stdout.as_str()), (125, ""), "{fd}: {stderr}");
        assert!(
            stderr.starts_with("mkbox: chdir(/proc/self/fd/"),
            "{stderr}"
        );
    }
    scratch.good("mkbox down box >box.json");
}

#[test]
fn options_of_binds_hold_and_access_times_are_left_alone() {
    let scratch = Scratch::for_scripts();
    symlink("precious", scratch.path("victim/link")).unwrap();
    let script = format!(
        r#"mkbox up --copy sh,cat --proc --bind $PWD/victim:/a:ro,noatime,nosuid --bind $PWD/victim:/b:nosymfollow,noexec,nodev,nodiratime \
            --mount "type=bind,\"src=$PWD/victim\",dst=/c,readonly,strictatime" --tmpfs /d:size=64k,noexec box >box.json
        mkbox exec box -- sh -c '{MOUNTS}'
        mkbox exec box -- sh -c 'cat /a/link; cat /b/link' 2>&1 || true; mkbox down box >box.json"#
    );
    let answer = scratch.good(&script);
    for line in [
        "/a ro,nosuid,noatime",
        "/b rw,nodev,noexec,nodiratime,relatime,nosymfollow",
        "/c ro",
        "/d rw,nosuid,nodev,noexec,relatime",
        "xcat: /b/link: Too many levels of symbolic links",
    ] {
        assert!(
            answer.lines().any(|there| there == line),
            "{line}: {answer}"
        );
    }
}

#[test]
fn an_idmap_shows_other_owners_and_changes_none() {
    let scratch = Scratch::for_scripts();
    std::os::unix::fs::chown(scratch.path("victim/precious"), Some(1000), Some(1001)).unwrap();
    let script = r#"mkbox up --copy sh,stat --bind "$PWD/victim:/data:idmap=uids=1000-0-1#0-7-1;gids=1001-0-1#0-8-1" box >box.json
        mkbox exec box -- stat -c %u:%g /data/precious /data
        mkbox exec box -- sh -c 'echo >/data/new'
        sed 's/idmap=[^"]*"/idmap"/; s/"type":"bind"/"type":"bind","uidMappings":[{"containerID":1000,"hostID":5,"size":1}],"gidMappings":[{"containerID":1001,"hostID":6,"size":1}]/' box.json >entry.json
        mkbox exec -P entry.json -- stat -c %u:%g /data/precious
        mkbox down box >box.json"#;
    assert_eq!(scratch.good(script), "0:0\n7:8\n5:6\n");
    let new = fs::metadata(scratch.path("victim/new")).unwrap();
    assert_eq!((new.uid(), new.gid()), (1000, 1001));
    let bad = "mkbox up --copy sh --bind \"$PWD/victim:/data:idmap=/proc/self/ns/net\" box >box.json; mkbox exec box -- sh";
    let (status, _, stderr) = scratch.sh(bad);
    assert_eq!(
        (status, stderr.as_str()),
        (
            125,
            "mkbox: open(/proc/self/ns/net): Invalid argument (it is no user namespace)\n"
        )
    );
    scratch.good("mkbox down box >box.json");
}

#[test]
fn later_mounts_are_seen_where_that_was_asked_for() {
    let scratch = Scratch::for_scripts();
    fs::create_dir_all(scratch.path("tree/out")).unwrap();
    fs::create_dir_all(scratch.path("tree/in")).unwrap();
    let script = r"mkdir -p tree; mount --bind tree tree; mount --make-shared tree; mkfifo up down
        mkbox up --copy sh,mount,ls --proc --bind $PWD:/talk --bind $PWD/tree:/slave:rslave --bind $PWD/tree:/shared:rshared --bind $PWD/tree:/private --bind $PWD/victim/precious:/file:slave box >box.json
        mkbox exec box -- sh -c 'mount -t tmpfs inside /shared/in; echo >/shared/in/made; mount -t tmpfs no /private/out; echo >/private/out/own; echo >/talk/up; read x </talk/down; ls /slave/out /slave/in /private/out /private/in' &
        read x <up; ls tree/in tree/out; mount -t tmpfs later tree/out; echo >tree/out/later; echo >down; wait
        umount tree/out tree/in tree; mkbox down box >box.json";
    assert_eq!(
        scratch.good(script),
        "tree/in:\nmade\n\ntree/out:\n/private/in:\n\n/private/out:\nown\n\n/slave/in:\nmade\n\n/slave/out:\nlater\n"
    );
}

#[test]
fn what_a_nested_mount_lies_on_is_not_told_of_it() {
    let scratch = Scratch::for_scripts();
    // /a is the host's own, shared; a mount below it must not appear on the host.
    let script = "mkdir -p tree/b; mount --bind tree tree; mount --make-shared tree
        mkbox up --copy sh,ls --bind $PWD/tree:/a --bind $PWD/victim:/a/b --bind $PWD/tree:/c:slave box >box.json
        cat /proc/self/mountinfo >before; mkfifo tree/go tree/stop
        mkbox exec box -- sh -c 'ls /a/b /c/b; echo >/a/go; read x </a/stop' & read x <tree/go
        ls tree/b; cmp before /proc/self/mountinfo; echo >tree/stop; wait; umount tree; mkbox down box >box.json";
    assert_eq!(scratch.good(script), "/a/b:\nprecious\n\n/c/b:\n");
}

#[test]
fn volumes_are_what_kubernetes_says() {
    let scratch = Scratch::for_scripts();
    fs::create_dir(scratch.path("config")).unwrap();
    fs::write(scratch.path("config/key"), "value").unwrap();
    fs::write(scratch.path("config/script"), "#!/bin/sh\necho run").unwrap();
    symlink("key", scratch.path("config/link")).unwrap();
    fs::create_dir(scratch.path("config/..data")).unwrap();
    let script = r#"mkbox up --copy sh,ls,cat,stat,id --volume $PWD/made:/made --mount type=hostPath,src=$PWD/file,dst=/file,hostpath-type=FileOrCreate \
            --mount type=emptyDir,target=/cache --mount type=emptyDir,target=/fast,medium=Memory,sizeLimit=64Ki \
            --mount type=configMap,src=config,target=/etc/config --mount type=secret,src=config,target=/etc/keys,defaultMode=0400,item=key:sub/k,item=script:run:0755 \
            --mount type=secret,src=none,target=/opt,optional box >box.json
        stat -c '%n %F %a' made file
        mkbox exec box -- sh -c 'echo one >/made/a; echo two >/file; echo three >/cache/b; ls /etc/config /etc/keys /opt; /etc/keys/run; stat -c %a /etc/config/key /etc/keys/sub/k /cache'
        mkbox exec box -- sh -c 'cat /cache/b; echo >/fast/x; ls /fast; if echo >/etc/keys/new; then echo written; fi' 2>/dev/null || true
        mkbox exec box -- sh -c 'cat /bin/ls /bin/ls >/fast/big && echo unlimited' 2>/dev/null || true
        mkbox up --copy sh,ls,cat,stat,id -P box.json box >again.json; cmp box.json again.json
        mkbox down box >box.json; ls -A; cat made/a file"#;
    assert_eq!(
        scratch.good(script),
        "made directory 755\nfile regular empty file 644\n/etc/config:\nkey\nlink\nscript\n\n/etc/keys:\nrun\nsub\n\n/opt:\nrun\n644\n400\n777\nthree\nx\n\
        again.json\nbox.json\nconfig\nfile\nmade\nmkbox\nrun\nvictim\none\ntwo\n"
    );
    for (mount, line) in [
        (
            "type=hostPath,src=/etc/passwd,dst=/x,hostpath-type=Directory",
            "hostPath /etc/passwd: is no directory",
        ),
        (
            "type=hostPath,src=/etc,dst=/x,hostpath-type=Socket",
            "hostPath /etc: is no socket",
        ),
        (
            "type=hostPath,src=/no/such,dst=/x,hostpath-type=File",
            "stat(/no/such): No such file or directory",
        ),
        (
            "type=secret,src=/no/such,dst=/x",
            "open(/no/such): No such file or directory",
        ),
        (
            "type=secret,src=/etc,dst=/x,item=no-such-key:a",
            "open(/etc/no-such-key): No such file or directory",
        ),
    ] {
        let (status, _, stderr) =
            scratch.sh(&format!("mkbox up --copy sh --mount {mount} box >box.json"));
        assert_eq!((status, stderr), (1, format!("mkbox: {line}\n")), "{mount}");
        assert_eq!(
            scratch.good("ls -A | grep box; ls run"),
            "box.json\nmkbox\n",
            "{mount}"
        );
    }
}

#[test]
fn the_groups_are_those_of_the_process() {
    let scratch = Scratch::for_scripts();
    let script = r#"mkbox up --copy sh,ls,stat --proc --sys --cgroup box >box.json
        while IFS=: read -r id controllers path; do
            name=${controllers#name=}; [ -n "$name" ] || name=unified
            [ -e /sys/fs/cgroup/$name$path ] || continue
            outside=$(stat -c %i /sys/fs/cgroup/$name$path)
            inside=$(mkbox exec box -- stat -c %i /sys/fs/cgroup/$name)
            [ $inside = $outside ] || echo $name $path $inside $outside
            if mkbox exec box -- sh -c 'echo 0 >/sys/fs/cgroup/'$name'/cgroup.procs' 2>/dev/null; then echo written $name; fi
            echo seen >>seen
        done </proc/self/cgroup; grep -c seen seen; mkbox down box >box.json"#;
    let answer = scratch.good(script);
    assert!(
        answer.trim().parse::<u32>().is_ok_and(|seen| seen > 0),
        "{answer}"
    );
}

#[test]
fn files_of_etc_that_are_asked_for_later_are_added_and_stay() {
    let scratch = Scratch::for_scripts();
    let script = "mkbox up --copy true --with /etc/hosts --etc=hosts box >one.json; ls box/etc
        mkbox up --copy true --with /etc/hosts --etc=passwd,group box >two.json; ls box/etc
        rm box/etc/passwd; mkbox up --copy true --with /etc/hosts box | cmp - two.json; ls box/etc
        rm -r run; echo x >box/etc/group; mkbox up --copy true --with /etc/hosts --etc=hostname box >three.json; head -n 1 box/etc/group
        mkbox verify box; mkbox exec box -- true; mkbox down box >down.json; ls -A box .box.* 2>/dev/null || true";
    assert_eq!(
        scratch.good(script),
        "hosts\ngroup\nhosts\npasswd\ngroup\nhosts\npasswd\nroot:x:0:\n"
    );
}

#[test]
fn files_of_etc_tell_of_the_pod_and_are_written_again() {
    let scratch = Scratch::for_scripts();
    let record = |address: &str| {
        format!(
            r#"{{"id":"box","hostname":"foo","hostAliases":[{{"ip":"10.0.0.20","hostnames":["test.gysl","app.gysl"]}}],"netwire":{{"ips":[{{"address":"{address}/24"}}],"dns":{{"nameservers":["10.96.0.10"],"search":["local"]}}}}}}"#
        )
    };
    fs::write(scratch.path("one.json"), record("10.0.0.2")).unwrap();
    fs::write(scratch.path("two.json"), record("10.0.0.3")).unwrap();
    let script = "mkbox up -P one.json --copy cat,ls --etc box >box.json
        mkbox exec box -- ls /etc; mkbox exec box -- cat /etc/hostname /etc/resolv.conf
        echo mine >>box/etc/hosts; stat -c %a box/etc/hosts
        mkbox up -P two.json --copy cat,ls --etc box >box.json; grep -e foo -e mine -e gysl box/etc/hosts; ls -A box/etc
        mkbox down box >box.json";
    let expected = "group\nhostname\nhosts\nnsswitch.conf\npasswd\nresolv.conf\nfoo\nnameserver 10.96.0.10\nsearch local\n";
    let answer = scratch.good(script);
    assert_eq!(
        answer.strip_prefix(expected).unwrap_or(&answer),
        "644\n10.0.0.3\tfoo\n10.0.0.20\ttest.gysl\tapp.gysl\ngroup\nhostname\nhosts\nnsswitch.conf\npasswd\nresolv.conf\n"
    );
}

#[test]
fn files_of_etc_are_written_through_no_link() {
    let scratch = Scratch::for_scripts();
    let lead = scratch.path("victim");
    scratch.good("mkbox up --copy ls --etc=hosts box >box.json; rm -r box/etc");
    symlink(&lead, scratch.path("box/etc")).unwrap();
    let (status, _, stderr) = scratch.sh("mkbox up --copy ls --etc=hosts box >box.json");
    assert_eq!(status, 1, "{stderr}");
    assert_eq!(fs::read_dir(&lead).unwrap().count(), 1);
    let _ = fs::remove_file(scratch.path("box/etc"));
    fs::create_dir(scratch.path("box/etc")).unwrap();
    symlink(lead.join("precious"), scratch.path("box/etc/hosts")).unwrap();
    symlink(lead.join("precious"), scratch.path("box/etc/.hosts.mkbox")).unwrap();
    scratch.good("mkbox up --copy ls --etc=hosts box >box.json; mkbox down box >box.json");
    assert_eq!(fs::read_to_string(lead.join("precious")).unwrap(), "x");
}

#[test]
fn programs_that_are_bound_run_and_take_no_room() {
    let scratch = Scratch::for_scripts();
    // A program of the test's own: should the bind be writable, nobody else's is hit.
    fs::copy("/bin/ls", scratch.path("list")).unwrap();
    let script = "mkbox up --bind-programs sh,list,cat --proc box >box.json
        du -s --apparent-size -B1 box | cut -f1; find box -type f -size +0 | wc -l
        mkbox exec box -- sh -c 'list /bin; if echo >/bin/list; then echo written; fi' 2>/dev/null || true
        mkbox up --bind-programs sh,list,cat --proc box | cmp - box.json; mkbox up -P box.json | cmp - box.json
        mkbox down box >box.json; cmp list /bin/ls; mkbox up -P box.json --copy sh >box2.json; mkbox exec -P box2.json -- list /bin; mkbox down <box2.json >box.json";
    let answer = scratch.good(script);
    let (room, rest) = answer.split_once('\n').unwrap();
    assert!(room.parse::<u64>().unwrap() < 200_000, "{room}");
    assert_eq!(rest, "0\ncat\nlist\nsh\ncat\nlist\nsh\n");
}

#[test]
fn a_mount_of_a_bundle_s_configuration_is_made_as_it_stands() {
    let scratch = Scratch::for_scripts();
    // As runtimes write it, `runc spec` and others.
    let config = r#"{"ociVersion":"1.0.2","process":{"cwd":"/"},"root":{"path":"BOX","readonly":true},
        "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
        {"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},
        {"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},
        {"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},
        {"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},
        {"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]},
        {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","relatime","ro"]}],
        "linux":{"maskedPaths":["/proc/acpi","/proc/asound","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/sys/firmware","/proc/scsi"],
        "readonlyPaths":["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"],"rootfsPropagation":"private"}}"#;
    let config = config.replace("BOX", &scratch.path("box").to_string_lossy());
    fs::write(scratch.path("config.json"), &config).unwrap();
    let script = "mkbox up -P config.json --id app --copy sh,ls,cat >app.json
        mkbox exec -P app.json -- sh -c 'ls /dev/pts /dev/null; cat /proc/keys; ls /sys/firmware; echo >/x' 2>error || true
        grep -c Read-only error; mkbox down <app.json >gone.json";
    assert_eq!(scratch.good(script), "/dev/null\n\n/dev/pts:\nptmx\n1\n");
    let propagation = config.replace(r#""private""#, r#""sideways""#);
    fs::write(scratch.path("config.json"), propagation).unwrap();
    scratch.good("mkbox up -P config.json --id app --copy sh >app.json");
    let (status, _, stderr) = scratch.sh("mkbox exec -P app.json -- sh");
    assert_eq!(
        (status, stderr.as_str()),
        (
            125,
            "mkbox: linux.rootfsPropagation: must be private, slave, shared or unbindable\n"
        )
    );
    scratch.good("mkbox down <app.json >gone.json");
}

#[test]
fn the_root_itself_is_private_unless_the_record_says_otherwise() {
    let scratch = Scratch::for_scripts();
    let script = r#"mkdir tree; mount --bind tree tree; mount --make-shared tree; mkbox up --copy sh,cat --proc tree/box >box.json
        for kind in none private slave rslave shared unbindable; do
            sed "s/\"root\":/\"linux\":{\"rootfsPropagation\":\"$kind\"},\"root\":/" box.json >$kind.json
            [ $kind != none ] || cp box.json none.json
            mkbox exec -P $kind.json -- sh -c 'while read -r id parent dev root point flags tag rest; do [ $point != / ] || echo $tag; done </proc/self/mountinfo' | sed 's/:.*//'
        done; mkbox down tree/box >box.json; umount tree"#;
    assert_eq!(
        scratch.good(script),
        "-\n-\nmaster\nmaster\nshared\nunbindable\n"
    );
}

#[test]
fn devices_of_a_record_are_made_in_a_dev_of_its_own_else_bound_if_they_are_the_same() {
    let scratch = Scratch::for_scripts();
    let devices = |list: &str| format!(r#"{{"linux":{{"devices":[{list}]}}}}"#);
    let own = r#"{"path":"/dev/one/fuse","type":"c","major":10,"minor":229,"fileMode":416,"uid":5,"gid":6},
        {"path":"/dev/pipe","type":"p","fileMode":384},{"path":"/dev/null","type":"c","major":1,"minor":3}"#;
    fs::write(scratch.path("own.json"), devices(own)).unwrap();
    let host = r#"{"path":"/dev/null","type":"c","major":1,"minor":3}"#;
    fs::write(scratch.path("host.json"), devices(host)).unwrap();
    let other = r#"{"path":"/dev/null","type":"c","major":1,"minor":9}"#;
    fs::write(scratch.path("other.json"), devices(other)).unwrap();
    // Something of the host's that is mounted in the box's own /dev is nowhere to make devices.
    let below = r#"{"path":"/dev/victim/x","type":"c","major":1,"minor":3}"#;
    fs::write(scratch.path("below.json"), devices(below)).unwrap();
    let script = "for name in own host other below; do
            case $name in own) more=--dev;; below) more='--dev --bind victim:/dev/victim';; *) more=;; esac
            mkbox up -P $name.json --id $name --copy sh,stat,ls $more $name >$name.box
            mkbox exec -P $name.box -- sh -c 'stat -c \"%n %A %u:%g %t:%T\" /dev/one/fuse /dev/pipe /dev/null /dev/victim/x 2>/dev/null' || echo $?
            mkbox exec $name -- sh -c 'echo x >/dev/null && echo written'
            mkbox down $name >down.json
        done; ls -A victim";
    let (status, stdout, stderr) = scratch.sh(script);
    let null = "/dev/null crw-rw-rw- 0:0 1:3\n";
    let own = format!(
        "/dev/one/fuse crw-r----- 5:6 a:e5\n/dev/pipe prw------- 0:0 0:0\n{null}1\nwritten\n"
    );
    assert_eq!(
        (status, stdout),
        (0, format!("{own}{null}1\nwritten\n125\n125\nprecious\n")),
        "{stderr}"
    );
    let lines: Vec<&str> = stderr.lines().collect();
    let why = "(the box has no /dev of its own (--dev), nor the host this device)";
    assert_eq!(
        lines[0],
        format!("mkbox: mknod(/dev/null, c 1:9): Operation not permitted {why}")
    );
    assert_eq!(
        lines[2],
        format!("mkbox: mknod(/dev/victim/x, c 1:3): Operation not permitted {why}")
    );
    assert_eq!(lines.len(), 4, "{stderr}");
}
