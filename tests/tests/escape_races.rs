//! Out of the default chain while somebody outside is doing something: joins the container, mounts in it, looks at it, removes it.
//! As in escape.rs, each attack is shown to succeed against what a tutorial does.

use tests::Node;

const BOX: &str = "echo secret >secret
    mkbox up --copy true,sh,ln,rm,mkdir --proc --dev --tmpfs /tmp --id app app >app.json 2>/dev/null && cp /mnt/attack app/attack";

/// A container that watches for joiners, by `$1`; then joins, by `$2`, as often as `$3`; what was had.
const JOINS: &str = r#"watch() { rm -f app/stop heard; coproc { exec nsrun exec -mpniuC -- mkbox exec -P app.json -- nsrun drop $1 -- /attack joins /stop $PWD/secret >heard; }
    until grep -q watching heard 2>/dev/null; do sleep 0.01; done
    until pid=$(pgrep -f '^/attack joins'); do sleep 0.01; done
    for ((n = 0; n < $3; n++)); do $2 || { echo status $?; break; }; done
    touch app/stop; wait $COPROC_PID; lines; }
    ours() { PATH=$PWD:$PATH nsrun exec -t $pid --all -- nsrun drop -- /attack none; [ $? = 2 ]; }
    theirs() { ./nsenter -t $pid --pid -- ./true; }
    cp /mnt/tools/nsrun "$(command -v nsenter)" "$(type -P true)" .
"#;

#[test]
fn who_joins_a_container_is_not_had_by_it() {
    let node = Node::new();
    node.sh(BOX).succeeds();
    // It is a race, so it is run until it is won: bounded, because each join shows the joiner for a while.
    let theirs = node.sh(&format!(
        "{LINES}{JOINS}for round in {{1..20}}; do watch '--caps keep --seccomp none' theirs 50 >had; [ $(grep -c got had) -ge 3 ] && break; done; cat had"
    ));
    let theirs = theirs.succeeds();
    for attempt in ["joins/root got", "joins/program got", "joins/trace got"] {
        assert!(
            theirs.stdout.contains(attempt),
            "{attempt} of nsenter: {theirs}"
        );
    }
    for options in ["", "--caps docker --seccomp none"] {
        node.sh(&format!("{LINES}{JOINS}watch '{options}' ours 50"))
            .succeeds()
            .prints("joins/descriptor no\njoins/program no\njoins/root no\njoins/trace no");
    }
    // Not so with --caps keep: with CAP_SYS_PTRACE over the machine nothing is hidden, as SECURITY.md says.
    node.sh("mkbox down <app.json >/dev/null && rm -rf app app.json secret heard had nsrun nsenter true").succeeds();
    node.becomes_as_it_was();
}

const LINES: &str = "lines() { grep -o 'joins/[a-z]* [a-z]*' heard | sort; }\n";

#[test]
fn a_mount_in_a_box_is_seen_nowhere_else() {
    let node = Node::new();
    node.sh(BOX).succeeds();
    // Mounts, and stays until this shell has looked.
    let seen = |command: &str| {
        let run = node.sh(&format!(
            "coproc {{ exec {command} /attack mounts /inner; }}
             until read -r line <&${{COPROC[0]}} && [[ $line == mounts/* ]]; do :; done; echo $line
             grep -c ' attack ' /proc/self/mountinfo; echo >&${{COPROC[1]}}; wait; true"
        ));
        run.succeeds().stdout
    };
    assert_eq!(
        seen(
            "nsrun exec -mpniuC -- mkbox exec -P app.json -- nsrun drop --caps keep --seccomp none --"
        ),
        "mounts/tmpfs got mounted on /inner\n0\n"
    );
    assert_eq!(
        seen("/mnt/attack chroot app"),
        "mounts/tmpfs got mounted on /inner\n1\n"
    );
    node.sh("umount app/inner; mkbox down <app.json >/dev/null && rm -rf app app.json secret")
        .succeeds();
    node.becomes_as_it_was();
}

/// Two directories of the box, and beside each a link to the victim.
const SWAP: &str = r#"mkdir -p victim app/a app/b; ln -s $PWD/victim app/a.link; ln -s $PWD/victim app/b.link; rm -f stop
    /mnt/attack swap stop app/a app/a.link app/b app/b.link >/dev/null & "#;

#[test]
fn a_mount_point_that_is_exchanged_with_a_link_leads_nowhere() {
    let node = Node::new();
    node.sh("mkbox up --copy true --tmpfs /a/new --mount type=emptyDir,target=/b/new --id app app >app.json 2>/dev/null").succeeds();
    // mkdir(1) and mount(8), as everybody writes it; until it is fooled.
    node.sh(&format!("{SWAP}until [ -e victim/new ]; do mkdir -p app/a/new; rmdir app/a/new 2>/dev/null; done; touch stop; wait; ls victim"))
        .succeeds()
        .prints("new");
    node.sh(&format!(
        "rm -rf victim app/a app/b app/*.link; {SWAP}
         for n in {{1..200}}; do nsrun exec -mpniuC -- mkbox exec -P app.json -- nsrun drop -- true >/dev/null 2>&1 && echo in >>entered; done
         touch stop; wait; ls victim; test -s entered && echo entered"
    ))
    .succeeds()
    .prints("entered");
    node.sh("rm -rf app/a app/b app/*.link; mkbox down <app.json >/dev/null; rm -rf app app.json victim stop entered").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn nothing_of_a_box_is_read_or_loaded_on_the_way_in() {
    let node = Node::new();
    node.sh(BOX).succeeds();
    // Who reads one of these waits for ever; who follows one reads the host's.
    let names = "passwd group shadow gshadow nsswitch.conf resolv.conf hosts hostname mtab ld.so.cache ld.so.preload localtime";
    node.sh(&format!(
        "mkdir -p app/etc; for name in {names}; do mkfifo app/etc/$name; done
         cat >evil.c </dev/null; mkdir -p app/lib; for name in libnss_files.so.2 libc.so.6.evil; do echo evil >app/lib/$name; done"
    ))
    .succeeds();
    for options in [
        "",
        "--user 1000",
        "--user 1000:1000,7",
        "--caps docker",
        "--keep-env",
    ] {
        node.sh(&format!(
            "timeout 50 nsrun exec -mpniuC -- mkbox exec -P app.json -- nsrun drop {options} -- /attack none"
        ))
        .ends(2);
    }
    // By name they have to be read, and what is there is refused.
    node.sh("timeout 50 nsrun exec -mpniuC -- mkbox exec -P app.json -- nsrun drop --user joe -- /attack none")
        .ends(125)
        .says_one_line("nsrun");
    // chroot(8) does wait.
    node.sh("timeout 1 chroot --userspec=joe app /attack none")
        .ends(124);
    // Through a directory that is open, by a number that the caller chose: CVE-2024-21626.
    for n in [0, 3, 5, 17, 19] {
        for place in [
            format!("/proc/self/fd/{n}"),
            format!("/proc/1/fd/{n}"),
            format!("/dev/fd/{n}"),
            "/proc/1/cwd".into(),
            "/proc/self/root/../..".into(),
        ] {
            let run = node.sh(&format!(
                "exec 3<. 5</ 17<. 19</; nsrun exec -mpniuC -- mkbox exec --wd {place} -P app.json -- nsrun drop -- /attack descriptors $PWD/secret"
            ));
            assert!(!run.stdout.contains(" got "), "{place}: {run}");
            let run = node.sh(&format!(
                "jq -c '.process.cwd = \"{place}\"' app.json >cwd.json; exec 3<. 5</ 17<. 19</
                 nsrun exec -mpniuC -- mkbox exec -P cwd.json -- nsrun drop -- /attack descriptors $PWD/secret"
            ));
            assert!(!run.stdout.contains(" got "), "{place}: {run}");
        }
    }
    node.sh("mkbox down <app.json >/dev/null; rm -rf app *.json evil.c secret")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn what_a_box_forges_fools_nobody_outside() {
    let node = Node::new();
    node.sh(BOX).succeeds();
    node.sh("mkdir victim; echo precious >victim/precious; chmod 600 victim/precious; cp app.json before.json").succeeds();
    let world = |what: &str| {
        node.sh(&format!(
            "find victim -printf '%p %m %s %T@\\n' | sort; cat victim/* # {what}"
        ))
        .succeeds()
        .stdout
    };
    let before = world("before");
    // From inside: links to the host in place of what is known, markers, records and an index of its own making.
    let forge = r#"rm -rf /lib64/evil; for name in etc srv home run var opt; do rm -rf /$name; ln -s PWD/victim /$name; done; ln -s PWD/victim/precious /attack.link
        for name in .app.mkbox .mkbox mkbox.json .mkbox.app app.mkbox record.json config.json manifest.json; do
            echo '{"ociVersion":"1.0.2","id":"app","root":{"path":"PWD/victim"},"mkbox":{"root":"PWD/victim","identity":[1,1]}}' >/$name; done
        mkdir /chroot0 /proc.d; ln -s PWD/victim /chroot0/app; echo forged"#;
    let forge = forge.replace("PWD", "/home/namespace");
    node.sh_with("cat >forge.sh", &forge).succeeds();
    node.sh("cp forge.sh app/forge.sh; nsrun exec -mpniuC -- mkbox exec -P app.json -- nsrun drop -- sh /forge.sh")
        .succeeds()
        .says("forged");
    // Who goes by names is fooled: docker cp's CVE-2018-15664.
    node.sh("cat app/etc/precious")
        .succeeds()
        .prints("precious");
    for verb in [
        "mkbox show app",
        "mkbox verify app",
        "mkbox up --pack - </dev/null",
        "mkbox exec app -- true",
        "mkbox up -P app.json",
        "mkbox up -P app.json --etc passwd,hosts",
        "mkbox show --id app",
    ] {
        let run = node.sh(&format!("{verb} >/dev/null"));
        assert!(
            !run.stderr.contains("panicked") && !run.stdout.contains("precious"),
            "{verb}: {run}"
        );
        assert_eq!(world(verb), before, "{verb}");
    }
    node.sh("mkbox down --id app >/dev/null").succeeds();
    node.sh("test ! -e app").succeeds();
    assert_eq!(world("down"), before);
    node.sh("rm -r victim *.json forge.sh secret").succeeds();
    node.becomes_as_it_was();
}
