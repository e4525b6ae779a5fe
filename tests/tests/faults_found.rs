//! What a sweep over every system call, or over all lies in a record, has found and the sample of it does not try, one by one.

use tests::Node;

/// What goes before a command of which the `nth` such call shall fail so.
fn fails(call: &str, nth: usize, errno: &str) -> String {
    format!("strace -qq -o /dev/null -e trace={call} -e inject={call}:error={errno}:when={nth}")
}

#[test]
fn gc_that_may_not_ask_whose_a_lease_is_says_so() {
    let node = Node::new();
    let deserted = "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --subnet fd00:244::/64 >foo.json
        nsrun down <foo.json >/dev/null; rm -r foo.json /run/chroot0/foo; while ip link | grep -q veth; do :; done";
    for nth in 1..=2 {
        node.sh(deserted).succeeds();
        node.sh(&format!("{} netwire gc", fails("lgetxattr", nth, "EPERM")))
            .ends(1)
            .says_one_line("netwire")
            .says("lgetxattr(/var/lib/cni/networks/chroot0/")
            .says("Operation not permitted");
        node.sh("netwire gc >/dev/null && rmdir /run/chroot0")
            .succeeds();
        node.assert_as_it_was();
    }
}

#[test]
fn forward_that_cannot_take_signals_does_not_begin() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json").succeeds();
    let world = node.world();
    // Which of them is its own depends on the C library; the others always succeed, and libraries rely on it.
    let told: usize = (1..=4)
        .filter(|&nth| {
            let run = node.sh(&format!(
                "{} netwire forward -q -P foo.json 127.0.0.1:8080:80 >out & strace=$!
                until grep -qsx ready out || ! kill -0 $strace; do sleep 0.01; done 2>/dev/null
                kill $(pidof netwire) 2>/dev/null; wait $strace; rm out",
                fails("rt_sigprocmask", nth, "EPERM")
            ));
            run.stderr == "netwire: sigprocmask(SIG_BLOCK): Operation not permitted\n"
        })
        .count();
    assert_eq!(told, 1);
    node.assert_same(&world, "forwards that did not begin");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn forward_breaks_off_what_it_cannot_pass_on_and_serves_the_next() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json
        nsrun exec -P foo.json -- /mnt/node serve 80 'I am foo' >listening 2>/dev/null </dev/null & disown
        until [ -s listening ]; do sleep 0.01; done")
        .succeeds();
    let world = node.world();
    // The first takes the request in, the second is to hand it to the pod. 28: curl would have waited on.
    let forward = fails("splice", 2, "ENOMEM").replace("strace", "strace -f -b execve");
    node.sh(&format!(
        "{forward} netwire forward -q -P foo.json 127.0.0.1:8080:80 >out & strace=$!
        until grep -qsx ready out || ! kill -0 $strace; do sleep 0.01; done
        for try in 1 2; do curl -s -m 20 http://127.0.0.1:8080/; status=$?; [ $status != 28 ] || echo late; [ $status = 0 ] || echo broken; done
        kill $(pidof netwire); wait $strace; rm out"
    ))
    .succeeds()
    .prints("broken\nI am foo");
    node.assert_same(&world, "forward");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json listening")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_box_is_not_made_without_the_cache_of_libraries_that_cannot_be_looked_at() {
    let node = Node::new();
    let up = "mkbox up -q --copy rm box >/dev/null";
    let opened = "strace -f -qq -o opened -e trace=open,openat,fstat,statx,newfstatat";
    let calls = node
        .sh(&format!(
            "{opened} {up} && cat opened; rm opened; mkbox down box >/dev/null"
        ))
        .succeeds()
        .stdout;
    let calls: Vec<&str> = calls.lines().collect();
    let cache = calls
        .iter()
        .position(|line| line.contains("\"/etc/ld.so.cache\""));
    let cache = cache.unwrap_or_else(|| panic!("the cache is not opened: {calls:#?}"));
    // After the number of the process; the C library chooses which call it is.
    let place = |at: usize| {
        let mut words = calls[at].split([' ', '(']).filter(|word| !word.is_empty());
        let name = words.nth(1).expect("a call").to_owned();
        let nth = calls[..=at]
            .iter()
            .filter(|line| line.contains(&format!(" {name}(")))
            .count();
        (name, nth)
    };
    let (open, looked) = (place(cache), place(cache + 1));
    assert!(looked.0.contains("stat"), "{looked:?}");
    for ((call, nth), errno, reason) in [
        (&open, "EPERM", "Operation not permitted"),
        (&open, "EIO", "/etc/ld.so.cache"),
        (&looked, "EPERM", "Operation not permitted"),
        (&looked, "EIO", "/etc/ld.so.cache"),
    ] {
        let inject = fails(call, *nth, errno);
        node.sh(&format!("{inject} {up}"))
            .ends(1)
            .says_one_line("mkbox")
            .says("open(/etc/ld.so.cache)")
            .says(reason);
        node.assert_as_it_was();
    }
}

#[test]
fn exec_goes_into_no_other_directory_than_the_box_of_the_record() {
    let node = Node::new();
    node.sh("mkdir victim; mkbox up -q --copy true --tmpfs /tmp box >box.json")
        .succeeds();
    let world = node.world();
    let lie = "jq -c '.root.path = \"/home/namespace/victim\"' box.json";
    node.sh(&format!("mkbox exec -P <({lie}) -- true"))
        .ends(125)
        .says_one_line("mkbox")
        .says(
            "root.path is /home/namespace/victim, and the box of the record is /home/namespace/box",
        );
    node.assert_same(&world, "an exec that was refused");
    // A bundle of which mkbox has made nothing is whatever its root.path says.
    node.sh(&format!(
        "cp -a box/. victim; mkbox exec -P <({lie} | jq -c 'del(.mkbox)') -- true"
    ))
    .succeeds();
    node.sh("mkbox down <box.json >/dev/null; rm -r victim box.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn no_key_of_a_secret_is_left_out_because_it_could_not_be_looked_at() {
    let node = Node::new();
    node.sh("mkdir keys; echo a >keys/a; ln -s nowhere keys/b")
        .succeeds();
    let up = "mkbox up -q --copy true --mount type=secret,src=/home/namespace/keys,target=/etc/keys box >/dev/null";
    let calls = node
        .sh(&format!("strace -f -qq -o looked -e trace=stat,statx,newfstatat {up} && cat looked; rm looked; mkbox down box >/dev/null"))
        .succeeds()
        .stdout;
    let calls: Vec<&str> = calls.lines().collect();
    let key = calls.iter().position(|line| line.contains("/keys/a\""));
    let key = key.unwrap_or_else(|| panic!("the key is not looked at: {calls:#?}"));
    let name = |line: &str| {
        line.split(['(', ' '])
            .find(|word| word.contains("stat"))
            .map(str::to_owned)
    };
    let call = name(calls[key]).expect("a call");
    let nth = calls[..=key]
        .iter()
        .filter(|line| name(line).as_ref() == Some(&call))
        .count();
    let world = node.world();
    node.sh(&format!("{} {up}", fails(&call, nth, "EIO")))
        .ends(1)
        .says_one_line("mkbox")
        .says("stat(/home/namespace/keys/a)");
    node.assert_same(&world, "an up that failed");
    node.sh("rm -r keys").succeeds();
    node.assert_as_it_was();
}
