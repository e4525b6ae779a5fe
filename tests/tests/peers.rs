//! What is inside after `nsrun drop`, by one program that every peer runs as well: the table of nsrun(1).

use std::collections::BTreeMap;

use tests::{Node, Output};

/// What one runtime leaves, by the names of `node probe`.
type Facts = BTreeMap<String, String>;

/// A caller with everything that could leak: a variable, two descriptors, groups, a signal ignored, one blocked, an open umask.
const CALLER: &str = "export SECRET=x; umask 0; ulimit -Sc unlimited 2>/dev/null; trap '' HUP; exec 7</etc/passwd 9</etc/group
    setpriv --groups 4242,4243 /mnt/node keyed";

/// The box that all of them run in.
const BOX: &str = "mkbox up --proc --mask --dev --id app app >app.json && cp /mnt/node app/probe";

fn facts(run: &Output) -> Facts {
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        (name.to_owned(), value.to_owned())
    };
    run.stdout.lines().map(pair).collect()
}

fn ours(node: &Node, options: &str) -> Facts {
    let run = node.sh(&format!(
        "{CALLER} nsrun exec --pid --net --ipc --uts -- mkbox exec -P app.json -- nsrun drop {options} -- /probe probe"
    ));
    facts(&run.succeeds())
}

/// How loose a fact is: 0 is as tight as can be.
fn loose(facts: &Facts, row: &str) -> u64 {
    let value = facts.get(row).map_or("", String::as_str);
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let list = |text: &str| text.split(',').filter(|item| !item.is_empty()).count() as u64;
    match row {
        "no_new_privs" => 1 - number(value).min(1),
        "seccomp" => 2 - number(value).min(2),
        "umask" => u64::from((u32::from_str_radix(value, 8).unwrap_or(0) & 0o022).count_zeros()),
        "groups" | "descriptors" => list(value),
        // What a runtime says about its own container is no leak.
        "environment" => value.split(',').filter(|name| *name == "SECRET").count() as u64,
        "keyring" => u64::from(value == facts["callers-keyring"]),
        // 0: of a pid namespace outside.
        "session" => u64::from(value == "0"),
        "core" | "nofile" | "effective" | "permitted" | "bounding" | "inheritable" | "ambient"
        | "signals" => number(value),
        _ => u64::from(value == "true"),
    }
}

const ROWS: [&str; 24] = [
    "effective",
    "permitted",
    "bounding",
    "inheritable",
    "ambient",
    "no_new_privs",
    "seccomp",
    "user-namespace",
    "typing",
    "vsock",
    "alg",
    "packet",
    "groups",
    "umask",
    "core",
    "nofile",
    "descriptors",
    "environment",
    "keyring",
    "session",
    "signals",
    "kcore",
    "sysctl",
    "sysrq",
];

fn value<'a>(facts: &'a Facts, row: &str) -> &'a str {
    facts.get(row).map_or("?", String::as_str)
}

#[test]
fn each_preset_leaves_what_the_table_says() {
    let node = Node::new();
    node.sh(BOX).succeeds();
    let check = |options: &str, expected: &[(&str, &str)]| {
        let found = ours(&node, options);
        for (row, expected) in expected {
            assert_eq!(
                value(&found, row),
                *expected,
                "{row} of {options:?}: {found:#?}"
            );
        }
        for row in ["session", "keyring", "environment"] {
            assert_eq!(loose(&found, row), 0, "{row} of {options:?}: {found:#?}");
        }
    };
    let always = [
        ("inheritable", "0"),
        ("ambient", "0"),
        ("groups", ""),
        ("umask", "022"),
        ("core", "0"),
        ("nofile", "1024"),
        ("descriptors", ""),
        ("signals", "0"),
        ("environment", "PATH,HOME"),
        ("kcore", "false"),
        ("sysctl", "false"),
        ("sysrq", "false"),
    ];
    let strict = [
        ("no_new_privs", "1"),
        ("seccomp", "2"),
        ("user-namespace", "false"),
        ("typing", "false"),
        ("vsock", "false"),
        ("alg", "false"),
    ];
    for (options, effective, bounding, packet) in [
        ("", "0", "0", "false"),
        ("--caps docker", "14", "14", "true"),
        ("--caps podman", "11", "11", "false"),
        ("--caps docker --user 1000", "0", "14", "false"),
    ] {
        check(options, &always);
        check(options, &strict);
        let sets = [
            ("effective", effective),
            ("permitted", effective),
            ("bounding", bounding),
            ("packet", packet),
        ];
        check(options, &sets);
    }
    let all = ours(&node, "--caps keep --seccomp none --no-new-privs=no");
    let has = |row| value(&all, row).to_owned();
    for row in [
        "keyring",
        "session",
        "environment",
        "signals",
        "descriptors",
        "groups",
    ] {
        assert_eq!(loose(&all, row), 0, "{row}: {all:#?}");
    }
    assert!(
        has("effective")
            .parse::<u32>()
            .is_ok_and(|count| count > 30),
        "{all:#?}"
    );
    assert_eq!(
        (has("effective"), has("seccomp"), has("no_new_privs")),
        (has("bounding"), "0".into(), "0".into())
    );
    assert_eq!(
        (has("typing"), has("user-namespace")),
        ("true".into(), "true".into()),
        "{all:#?}"
    );
    node.sh("mkbox down <app.json >/dev/null; rm app.json")
        .succeeds();
    node.assert_as_it_was();
}

/// Ours is at least as tight in every row, whatever the peer does.
fn compare(node: &Node, name: &str, peer: &Facts) {
    let ours = ours(node, "");
    for row in ROWS {
        assert!(
            loose(&ours, row) <= loose(peer, row),
            "{row}: {} here, and {} with {name}",
            value(&ours, row),
            value(peer, row)
        );
    }
}

#[test]
fn nothing_is_looser_than_with_bwrap() {
    let node = Node::new();
    if !node.has("bwrap") {
        return;
    }
    node.sh(BOX).succeeds();
    let run = node.sh(&format!(
        "mkdir -p app/proc app/dev; {CALLER} bwrap --unshare-all --bind app / --proc /proc --dev /dev -- /probe probe"
    ));
    let found = facts(&run.succeeds());
    // As the table has it: bwrap leaves what it is not told to take.
    for (row, expected) in [
        ("no_new_privs", "1"),
        ("seccomp", "0"),
        ("user-namespace", "true"),
        ("typing", "true"),
        // Theirs, which have no number in the user namespace that it makes.
        ("groups", "65534,65534"),
        ("umask", "000"),
    ] {
        assert_eq!(value(&found, row), expected, "{row}: {found:#?}");
    }
    assert!(
        value(&found, "descriptors").starts_with("7,9"),
        "{found:#?}"
    );
    assert!(
        value(&found, "environment").contains("SECRET"),
        "{found:#?}"
    );
    for row in ["keyring", "session"] {
        assert_eq!(loose(&found, row), 1, "{row}: {found:#?}");
    }
    compare(&node, "bwrap", &found);
    node.sh("mkbox down <app.json >/dev/null; rm app.json")
        .succeeds();
    node.assert_as_it_was();
}

/// Runs the probe by crun with its own configuration, changed by a jq filter.
fn by_crun(node: &Node, filter: &str) -> Facts {
    let run = node.sh(&format!(
        "mkdir bundle && cd bundle && crun spec && jq -c '.root = {{path: \"../app\"}} | .process.args = [\"/probe\", \"probe\"] | .process.terminal = false | .mounts |= map(select(.type != \"cgroup\"))
            | .process.rlimits = [] | .linux.cgroupsPath = \"/peer\" | {filter}' config.json >new && mv new config.json && cd ..
         ({CALLER} crun --root /tmp/crun --cgroup-manager=cgroupfs run -b bundle peer </dev/null); status=$?
         rm -rf /tmp/crun bundle; rmdir /sys/fs/cgroup/*/peer 2>/dev/null; exit $status"
    ));
    facts(&run.succeeds())
}

#[test]
fn nothing_is_looser_than_with_crun() {
    let node = Node::new();
    if !node.has("crun") {
        return;
    }
    node.sh(BOX).succeeds();
    let spec = by_crun(&node, ".");
    compare(&node, "crun spec", &spec);
    for (row, expected) in [
        ("no_new_privs", "1"),
        ("seccomp", "0"),
        ("effective", "3"),
        ("user-namespace", "true"),
        ("descriptors", ""),
    ] {
        assert_eq!(value(&spec, row), expected, "{row}: {spec:#?}");
    }
    // The hardest it can be told: no capability at all.
    let hardest = by_crun(
        &node,
        ".process.capabilities = {} | .process.noNewPrivileges = true",
    );
    compare(&node, "crun without capabilities", &hardest);
    node.sh("mkbox down <app.json >/dev/null; rm app.json")
        .succeeds();
    node.assert_as_it_was();
}
