//! Many at once, many one after the other, and with little of what the kernel has to give.

use tests::life::live;
use tests::pod::Pods;
use tests::{Node, sweep};

/// How many at once.
const MANY: usize = 200;

/// Runs `command` for each of `$i`, all at once, and prints what they said and a line for each that failed.
fn at_once(command: &str) -> String {
    format!(
        "for i in $(seq {MANY}); do {{ {command}; }} >/dev/null 2>said$i || echo \"$i failed: $(<said$i)\" & done; wait; cat said*; rm -f said*"
    )
}

#[test]
fn two_hundred_of_each_tool_at_once() {
    let node = Node::new();
    let all = |command: &str| {
        node.sh(&at_once(command)).succeeds().prints("");
    };
    all("cgset up --id p$i pids.max=10 >1.$i");
    all("nsrun up --net <1.$i >2.$i");
    all("netwire up --subnet 10.244.0.0/16 <2.$i >3.$i");
    node.sh("cat 3.* | jq -r '.netwire.ips[0].address' | sort -u | wc -l")
        .prints(&MANY.to_string());
    all("mkbox up -q --id b$i --copy true box$i >4.$i");
    all("mkbox exec -P 4.$i -- true");
    all("nsrun down <3.$i >5.$i");
    all("netwire down <5.$i >6.$i");
    all("cgset down <6.$i");
    all("mkbox down <4.$i");
    node.sh("rm [1-6].*").succeeds();
    node.becomes_as_it_was();
}

#[test]
fn two_hundred_at_once_want_the_same_ten_pods() {
    let node = Node::new();
    let id = "id=c$((i % 10))";
    for (what, up, down) in [
        ("the same up", "cgset up --id $id pids.max=10", ":"),
        ("up and down", "cgset up --id $id", "cgset down --id $id"),
        (
            "up and down",
            "nsrun up --id $id --net",
            "nsrun down --id $id",
        ),
        (
            "up and down",
            "mkbox up -q --id $id --copy true box$id",
            "mkbox down --id $id",
        ),
        (
            "up and down",
            "nsrun up --id $id --net | netwire up --subnet 10.244.0.0/24",
            "nsrun down --id $id; netwire down --id $id",
        ),
    ] {
        let run = node
            .sh(&at_once(&format!("{id}; {up} >up$i; {down}")))
            .succeeds();
        // Who comes in the middle of another's is told; a down always gets its way, and nobody is told anything else.
        let told = |line: &str| {
            let may = [
                "gone",
                "failed",
                "is up",
                "is not",
                "no longer",
                "No such",
                "ended",
                "busy",
                "in use",
            ];
            line.contains(" failed: ") || may.iter().any(|text| line.contains(text))
        };
        for line in run.stdout.lines() {
            assert!(told(line), "{what}: {line}\n{run}");
            // Where no record was given none can be too old.
            let is_blamed = line.contains("the record is of") && !up.contains('|');
            assert!(!is_blamed, "{what}: {line}\n{run}");
        }
        node.sh("rm -f up*; for n in $(seq 0 9); do for tool in nsrun netwire mkbox; do $tool down --id c$n >/dev/null || exit; done; cgset down --kill --id c$n >/dev/null || exit; done")
            .succeeds();
        node.becomes_as_it_was();
    }
}

#[test]
fn two_hundred_services_at_once() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 >foo.json")
        .succeeds();
    let world = node.world();
    let all = |command: &str| {
        let run = node.sh(&at_once(command)).succeeds();
        let failed = run.stdout.lines().find(|line| line.contains(" failed: "));
        assert_eq!(failed, None, "{command}: {run}");
    };
    all("netwire service up s$i --vip 10.96.0.$i --port 80 --to 10.244.0.2");
    all("netwire service set s$i --add 10.244.0.3");
    node.sh("nft list ruleset | grep -o '10[.]96[.]0[.][0-9]*' | sort -u | wc -l")
        .prints(&MANY.to_string());
    all("netwire service down s$i");
    node.sh("netwire reapply").succeeds();
    node.assert_same(&world, "two hundred services");
    // Of ten names: each call does it, or says that another was first.
    let run = node
        .sh(&at_once(
            "n=$((i % 10)); netwire service up s$n --vip 10.96.0.$((n + 1)) --port 80 --to 10.244.0.$((i % 3 + 2)) &&
            netwire service set s$n --add 10.244.0.9; netwire service down s$n",
        ))
        .succeeds();
    for line in run.stdout.lines() {
        let line = line.split_once(" failed: ").map_or(line, |(_, said)| said);
        let is_told = line.starts_with("netwire: ") && !line.contains("panicked");
        assert!(is_told, "{line}: {run}");
    }
    node.sh("netwire service down --all; netwire reapply")
        .succeeds();
    node.assert_same(&world, "ten services");
    node.sh("nsrun down <foo.json | netwire down >/dev/null; rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn two_hundred_forwards_at_once() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net >foo.json
        nsrun exec -P foo.json -- /mnt/node serve 80 'I am foo' >listening 2>/dev/null </dev/null & disown
        until [ -s listening ]; do sleep 0.01; done")
        .succeeds();
    let world = node.world();
    // Ready or ended, all of them; then those that are ready are asked, and told to end.
    let forwards = |port: &str| {
        node.sh(&format!(
            "for i in $(seq {MANY}); do netwire forward -q --id foo 127.0.0.1:{port}:80 >out$i 2>err$i & pids[i]=$!; done
            for i in ${{!pids[@]}}; do until grep -qsx ready out$i || ! kill -0 ${{pids[i]}} 2>/dev/null; do sleep 0.01; done; done
            cat out* | sed -nE 's/^127.0.0.1:([0-9]*) .*/\\1/p' >ports
            while read -r port; do curl -s -m 20 http://127.0.0.1:$port/ && echo; done <ports | sort | uniq -c
            kill $(jobs -p) 2>/dev/null; wait
            cat err* | sed 's/:[0-9]*)/:PORT)/' | sort | uniq -c; rm -f out* err* ports"
        ))
        .succeeds()
        .stdout
    };
    let distinct = forwards("");
    assert_eq!(distinct.trim(), format!("{MANY} I am foo"));
    let colliding = forwards("$((8000 + i % 10))");
    let lines: Vec<&str> = colliding.lines().map(str::trim).collect();
    assert_eq!(lines.first(), Some(&"10 I am foo"), "{colliding}");
    let told: usize = lines[1..]
        .iter()
        .filter(|line| line.contains(" netwire: ") && line.contains("Address already in use"))
        .filter_map(|line| line.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(told, MANY - 10, "{colliding}");
    node.assert_same(&world, "two hundred forwards");
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json listening")
        .succeeds();
    node.becomes_as_it_was();
}

/// All of a life's, without the limit.
const CLEAN: &str = "for tool in nsrun netwire; do $tool down --id foo >/dev/null || exit; done; cgset down --kill --id foo >/dev/null &&
    { mkbox down --id box >/dev/null || mkbox down life/box; } >/dev/null 2>&1; rm -rf life";

#[test]
fn with_too_little_of_something_it_is_said_and_cleaned() {
    let node = Node::new();
    let few: Vec<u32> = if sweep::all() {
        (3..40).collect()
    } else {
        vec![4, 5, 6, 8, 12, 20]
    };
    let mut around: Vec<String> = few
        .iter()
        .map(|nofile| format!("EACH='prlimit --nofile={nofile}' bash -c \"$LIFE\""))
        .collect();
    let limit = |what: &str| {
        format!(
            "cgset up --id limit {what} >/dev/null && cgset exec --id limit app -- bash -c \"$LIFE\""
        )
    };
    around.extend(
        few.iter()
            .map(|pids| limit(&format!("pids.max={}", pids - 1))),
    );
    around.extend(
        few.iter()
            .map(|megabytes| limit(&format!("memory.max={megabytes}Mi"))),
    );
    around.extend(few.iter().map(|inodes| {
        format!("mkdir run; mount -t tmpfs -o size=64k,nr_inodes={inodes},mode=700 none run; CHROOT0_RUN=$PWD/run bash -c \"$LIFE\"; \
            for tool in nsrun netwire cgset; do CHROOT0_RUN=$PWD/run $tool down --id foo; done >/dev/null; CHROOT0_RUN=$PWD/run mkbox down --id box >/dev/null; umount run; rmdir run")
    }));
    let mut failures = 0;
    for around in around {
        let (_, failed) = live(&node, &around, "");
        failures += failed.len();
        node.sh(CLEAN).succeeds();
        node.sh("cgset down --kill --id limit >/dev/null")
            .succeeds();
        node.assert_same(node.before(), &around);
    }
    assert!(failures > 10, "only {failures} steps failed");
}

/// `pages fds` of a process, as a function of a shell: the least of some, as what is about to be given back is not kept.
const USE: &str = r#"used() {
        for sample in 1 2 3 4 5 6 7 8 9 10; do echo "$(cut -d' ' -f2 /proc/$1/statm) $(ls /proc/$1/fd | wc -l)"; done |
            awk 'NR == 1 || $1 < pages { pages = $1 } NR == 1 || $2 < fds { fds = $2 } END { print pages, fds }'
    }
    "#;

/// Two lines of [`USE`]: no descriptor more, and at most this many pages.
#[track_caller]
fn flat(lines: &str, pages: u64) {
    let numbers: Vec<u64> = lines
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    let [pages_before, fds_before, pages_after, fds_after] = numbers[..] else {
        panic!("{lines:?} is not twice pages and descriptors");
    };
    assert!(
        fds_after <= fds_before,
        "descriptors: {fds_before}, {fds_after}"
    );
    assert!(
        pages_after <= pages_before + pages,
        "pages: {pages_before}, {pages_after}"
    );
}

/// How long what goes on is watched.
fn times(bounded: usize, long: usize) -> usize {
    if sweep::all() { long } else { bounded }
}

#[test]
fn pause_reaps_and_forward_forwards_in_the_same_memory() {
    let node = Node::new();
    node.sh("nsrun up --id foo --net --pid >foo.json")
        .succeeds();
    let orphans = times(500, 20_000);
    let run = node
        .sh(&format!(
            "{USE} pid=$(jq .nsrun.pid foo.json)
            orphans() {{ nsrun exec -P foo.json -- bash -c 'for i in $(seq '$1'); do (true & ) ; done'; }}
            orphans 100; used $pid; orphans {orphans}; used $pid
            until ! grep -qs '^State:.Z' $(printf '/proc/%s/status ' $(cat /proc/$pid/task/$pid/children)); do :; done"
        ))
        .succeeds();
    flat(&run.stdout, 0);
    let connections = times(300, 20_000);
    let run = node
        .sh(&format!(
            "{USE} exec 8< <(exec nsrun exec -P foo.json -- /mnt/node serve 80 'I am foo'); server=$!; read -r listening <&8
            netwire forward -P foo.json 127.0.0.1:8080:80 & forward=$!
            ask() {{ for i in $(seq $1); do curl -s -S -m 20 http://127.0.0.1:8080/ >/dev/null || exit 1; done; }}
            until curl -s -m 20 http://127.0.0.1:8080/ >/dev/null; do kill -0 $forward || exit; done
            ask 50; at_first=$(used $forward); echo $at_first; ask {connections}
            # a connection that is over is forgotten when both ends have said so
            now=$(used $forward); for try in $(seq 100); do [ ${{now#* }} -gt ${{at_first#* }} ] || break; sleep 0.1; now=$(used $forward); done; echo $now
            kill $forward $server; wait"
        ))
        .succeeds();
    // Two that overlap have a buffer of 16 pages each, in either direction, and later ones have those again.
    flat(&run.stdout, 64);
    node.sh("nsrun down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_pod_is_entered_many_times_and_is_what_it_was() {
    let node = Node::new();
    let enter = "cgset exec -P foo.json app -- nsrun exec -P foo.json --pid --mount -- mkbox exec -P box.json -- nsrun drop -- true";
    node.sh(&format!("cgset up --id foo | nsrun up --net | netwire up --subnet 10.244.0.0/24 >foo.json; mkbox up -q --copy true --proc box >box.json; {enter}"))
        .succeeds();
    let world = node.world();
    node.sh(&format!(
        "for i in $(seq {}); do {enter} || exit; done",
        times(100, 2000)
    ))
    .succeeds();
    node.assert_same(&world, "after it was entered");
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; mkbox down <box.json >/dev/null; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_supervisor_restarts_in_the_same_memory() {
    let Some(pods) = Pods::new() else { return };
    let (first, last) = (4, times(9, 14));
    let run = pods.sh(&format!(
        r#"export POD_BACKOFF_MS=1
        pod up - >/dev/null <<'END' || exit
apiVersion: v1
kind: Pod
metadata: {{name: soak}}
spec: {{containers: [{{name: crash, image: busybox, command: [sh, -c, exit 3]}}]}}
END
        {USE}
        log=/run/chroot0/soak/pod/_events.log
        for fd in /proc/[0-9]*/fd/3; do [ "$(readlink $fd)" != /run/chroot0/soak/pod/_control ] || break; done
        supervisor=${{fd#/proc/}}; supervisor=${{supervisor%%/*}}
        until [ $(grep -c 'crash: started' $log) -ge {first} ]; do :; done; used $supervisor
        until [ $(grep -c 'crash: started' $log) -ge {last} ]; do :; done; used $supervisor"#
    ));
    flat(&run.succeeds().stdout, 16);
    pods.sh("pod down soak").succeeds();
    pods.is_clean();
}
