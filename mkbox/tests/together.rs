//! What a box is filled with and what is mounted in it, in one box: each test in namespaces of its own.
#![expect(clippy::unwrap_used, reason = "a test panics where it cannot go on")]

use std::fs;

use common::Scratch;

mod common;

#[test]
fn what_etc_writes_is_in_the_manifest_and_stays_true_when_it_is_written_again() {
    let scratch = Scratch::for_scripts();
    let script = r#"mkdir -p base/usr/etc; ln -s usr/etc base/etc; echo old >base/usr/etc/hosts; echo kept >base/usr/etc/kept
        for base in '' '--from base'; do
            echo '{"ociVersion":"1.2.1","id":"box","hostname":"first"}' | mkbox up $base --copy sh --with nss --etc -P - box >box.json
            mkbox verify box; mkbox show --why /etc/hosts box | tail -n 1; mkbox show --why /etc/nsswitch.conf box | tail -n 1
            grep -c '"path":"/etc/nsswitch.conf"' .box.mkbox.manifest
            jq -c '.hostname = "another-name"' box.json | mkbox up >again.json
            grep -o another-name box/etc/hosts; mkbox verify box
            echo x >>box/etc/hosts; mkbox verify box 2>/dev/null || true
            mkbox down box >box.json
        done; ls -A"#;
    let round = "  written from the record: --etc\n  written from the record: --etc\n1\nanother-name\n\
        changed /etc/hosts: N bytes, were N\n";
    let answer = scratch.good(script);
    let mut answer: Vec<String> = answer.lines().map(str::to_owned).collect();
    for line in &mut answer {
        if let Some((before, _)) = line.split_once("hosts: ") {
            *line = format!("{before}hosts: N bytes, were N");
        }
    }
    let files = "again.json\nbase\nbox.json\nmkbox\nrun\nvictim\n";
    assert_eq!(answer.join("\n") + "\n", format!("{round}{round}{files}"));
}

#[test]
fn bound_programs_lie_where_copies_would_with_a_base_and_a_merged_usr() {
    let scratch = Scratch::for_scripts();
    // All programs of the base are links to one, as busybox has them: none of them may end up on it.
    let script = "mkdir -p base/bin base/proc; chmod 555 base/proc; mkbox up --copy cat one >one.json; cp -a one/lib one/lib64 base; cp one/bin/cat base/bin/all
        ln -s all base/bin/ls; ln -s all base/bin/cat; echo data >base/data
        mkbox up --from base --bind-programs ls,sh --proc box >box.json
        stat -c '%A %s' box/bin/ls; [ box/bin/ls -ef box/bin/sh ] && echo one file; mkbox verify box
        mkbox exec box -- sh -c 'ls /data; cat /data'
        mkbox up -P box.json | cmp - box.json; mkbox down box >box.json
        mkbox up --bind-programs ls,sh --copy cat --merged-usr --proc box >box.json
        readlink box/bin box/lib box/lib64; mkbox verify box; stat -c %s box/usr/bin/ls
        mkbox exec box -- sh -c 'ls -d /usr/bin/cat /bin'; mkbox exec box -- /usr/bin/cat /usr/lib/none 2>&1 || true
        mkbox down box >box.json; mkbox down one >one.json; ls -A";
    assert_eq!(
        scratch.good(script),
        "-rw-r--r-- 0\none file\n/data\ndata\nusr/bin\nusr/lib\nusr/lib64\n0\n/bin\n/usr/bin/cat\n\
            /usr/bin/cat: /usr/lib/none: No such file or directory\n\
            base\nbox.json\nmkbox\none.json\nrun\nvictim\n"
    );
}

#[test]
fn programs_of_a_sysroot_are_bound_from_there() {
    let scratch = Scratch::for_scripts();
    // Its links are meant from its own root: /lib64 of this machine has another loader.
    let script = "mkbox up --copy sh,cat --merged-usr other >other.json
        cp -a other root; mv root/lib64 root/l; ln -s /usr/lib64 root/lib64; rm -f root/l
        mkbox up --sysroot root --bind-programs sh --proc box >box.json
        jq -r '.mounts[].source' box.json | grep -v ^proc | xargs readlink -f | sed \"s#$PWD/root/.*#root#\" | sort -u
        mkbox exec box -- sh -c 'echo runs'; mkbox verify box
        mkbox up --sysroot root -P box.json | cmp - box.json
        mkbox down box >box.json; mkbox down other >other.json";
    assert_eq!(scratch.good(script), "root\nruns\n");
}

#[test]
fn the_layer_of_an_overlay_is_verified_and_all_layers_are_packed() {
    let scratch = Scratch::for_scripts();
    let script = r"mkdir -p lower/gone base; echo low >lower/low; echo a >lower/gone/a; echo based >base/based
        mkbox up --overlay lower --from base --copy sh,ls,cat,rm --etc=hosts --proc box >box.json
        mkbox verify box; mkbox show --tree box | grep -c based
        mkbox exec box -- sh -c 'cat /based /low; rm -r /gone /based /bin/ls; echo new >/new'
        mkbox verify box 2>/dev/null | sort
        for out in out out.tar; do mkbox pack -o $out box; done; mkdir -p untarred; tar -C untarred -xf out.tar
        for out in out untarred; do ls -A $out; cat $out/low $out/new; ls $out/bin; done
        mkbox up -P box.json | cmp - box.json
        mkbox up --overlay lower --copy sh,ls,cat,rm --etc=hosts --proc --merged-usr box >other.json || true
        mkbox down box >box.json; ls -A; ls lower";
    let (status, stdout, stderr) = scratch.sh(&format!("set -e\n{script}"));
    let packed = "bin\netc\nlib\nlib64\nlow\nnew\nproc\nlow\nnew\ncat\nrm\nsh\n";
    let seen = "1\nbased\nlow\nextra   /new\nmissing /based\nmissing /bin/ls\nmissing /gone\n";
    let left = "base\nbox.json\nlower\nmkbox\nother.json\nout\nout.tar\nrun\nuntarred\nvictim\ngone\nlow\n";
    assert_eq!(
        (status, stdout),
        (0, format!("{seen}{packed}{packed}{left}")),
        "{stderr}"
    );
    let root = scratch.path("box");
    let line = format!(
        "mkbox: BOX {0}: it was made without --merged-usr (mkbox down {0} removes it)\n",
        root.display()
    );
    assert_eq!(stderr, line);
    assert_eq!(
        fs::read_to_string(scratch.path("lower/low")).unwrap(),
        "low\n"
    );
}

#[test]
fn etc_is_written_again_in_a_box_that_is_mounted_even_read_only() {
    let scratch = Scratch::for_scripts();
    let script = r#"mkdir low; for how in '' --read-only '--overlay low'; do
            echo '{"ociVersion":"1.2.1","id":"box","hostname":"first"}' | mkbox up --copy sh --etc=hosts $how --host-mounts -P - box >box.json
            jq -c '.hostname = "another-name"' box.json | mkbox up --host-mounts >again.json
            grep -o another-name box/etc/hosts; mkbox verify box; mkbox down box >box.json
        done; ls -A . low"#;
    assert_eq!(
        scratch.good(script),
        "another-name\nanother-name\nanother-name\n.:\nagain.json\nbox.json\nlow\nmkbox\nrun\nvictim\n\nlow:\n"
    );
}

#[test]
fn what_is_mounted_in_a_box_is_no_part_of_it() {
    let scratch = Scratch::for_scripts();
    let script = "mkbox up --copy sh --proc --etc=hosts --tmpfs /tmp:mode=1777 --host-mounts box >box.json
        echo x >box/tmp/x; [ -e box/proc/1 ]; mkbox verify box; mkbox pack -o out.tar box; tar -tf out.tar | grep -c -e ^./tmp/. -e ^tmp/. -e proc/. || true
        mkbox show --tree box | grep -c -e ' x ' || true
        mkbox down box >box.json; ls -A";
    assert_eq!(
        scratch.good(script),
        "0\n0\nbox.json\nmkbox\nout.tar\nrun\nvictim\n"
    );
}
