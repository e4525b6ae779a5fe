//! True records, changed: each verb of each tool is given them. It says in a line what is wrong, or does what is still asked;
//! nothing of another pod, box or file changes.

use std::env;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::pod::UP;
use tests::{Node, World};

/// Another pod, another box, and files that are nobody's.
const OTHERS: &str =
    "cgset up --id bar | nsrun up --net --ipc | netwire up --subnet 10.244.0.0/24 >bar.json
    mkdir victim; echo data >victim/file; mkbox up -q --copy true other >other.json";

/// The pod and the box of which the records are.
const MAKE: &str = "mkbox up -q --copy true --tmpfs /tmp box >box.json";

/// Every verb, with the record in `m.json`; a line for each that did what none may.
const VERBS: &str = r#"
cat >m.json
try() {
    timeout -k 1 20 "$@" >.out 2>.err; status=$?
    case $status in 0 | 1 | 2 | 125 | 126 | 127) ;; *) echo "status $status of $*: $(head -c 300 .err)" ;; esac
    if grep -q panicked .err; then echo "$*: $(head -c 300 .err)"; fi
    # A check tells on stdout.
    [ $status = 0 ] || [ -s .err ] || [ -s .out ] || echo "$* says nothing"
}
for tool in cgset nsrun netwire mkbox; do try $tool show <m.json; done
try netwire check -P m.json
try mkbox verify <m.json
try mkbox pack -o - --format tar -P m.json
try nsrun exec -P m.json -- true
try cgset exec -P m.json app -- true
try mkbox exec -P m.json -- true
try nsrun drop -P m.json -- true
try podspec --get id m.json
try podspec --words cgset m.json
try netwire policy --deny 10.9.0.0/16 <m.json
try netwire forward -q -P m.json 127.0.0.1:99999:80
if [ -n "$UP" ]; then
    try cgset up <m.json
    try nsrun up <m.json
    try netwire up --subnet 10.244.0.0/24 <m.json
fi
try nsrun down --grace 0.1 <m.json
try netwire down <m.json
try cgset down --kill <m.json
try mkbox down <m.json
for tool in nsrun netwire; do $tool down --id foo >/dev/null || echo "$tool down --id foo"; done
cgset down --kill --id foo >/dev/null || echo 'cgset down --id foo'
mkbox down --id box >/dev/null || echo 'mkbox down --id box'
rm -f m.json foo.json box.json .out .err
"#;

/// What stands in place of each value of a record, once.
fn lies() -> Vec<Value> {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("../../home/namespace/victim"),
        json!("/home/namespace/victim"),
        json!("/home/namespace/link"),
        json!("/sys/fs/cgroup/pids/pod-bar"),
        json!("/proc/1/ns/net"),
        json!("a\u{0}b\n"),
        json!("x".repeat(5000)),
        json!([]),
        json!({}),
        deep,
    ]
}

/// Where something is in a record.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        let at = format!("{at}/{key}");
        places(value, &at, found);
        found.push(at);
    }
}

/// A changed record, and whether it is still of that pod.
fn changed(record: &str, number: usize) -> (String, bool) {
    let mut value: Value = serde_json::from_str(record).expect("a record");
    let (mut found, lies) = (Vec::new(), lies());
    places(&value, "", &mut found);
    let texts = 4;
    let number = number % (found.len() * lies.len() + texts);
    match number {
        0 => return (record[..record.len() / 2].to_owned(), true),
        1 => return (format!("{}{}", "[".repeat(100_000), record), true),
        2 => return (format!("{record}\n{record}"), true),
        3 => return (record.replace(':', ":9"), true),
        _ => {}
    }
    let at = &found[(number - texts) / lies.len()];
    let lie = &lies[(number - texts) % lies.len()];
    *value.pointer_mut(at).expect("it was found") = lie.clone();
    (value.to_string(), at != "/id")
}

/// The record of which the n-th path leads to somebody else's directory; None: there are no more.
fn misled(record: &str, nth: usize) -> Option<(String, bool)> {
    let mut value: Value = serde_json::from_str(record).expect("a record");
    let mut found = Vec::new();
    places(&value, "", &mut found);
    let is_path = |at: &String| {
        let text = value.pointer(at).and_then(Value::as_str);
        text.is_some_and(|text| text.starts_with('/'))
    };
    let at = found.iter().filter(|at| is_path(at)).nth(nth)?.clone();
    *value.pointer_mut(&at)? = json!("/home/namespace/victim");
    Some((value.to_string(), true))
}

#[test]
fn a_changed_record_moves_nothing_that_is_not_its_own() {
    let node = Node::new();
    node.sh(OTHERS).succeeds();
    node.sh("ln -s victim link").succeeds();
    let world = node.world().without_last_addresses();
    // A prime step goes through all places and all lies alike.
    let (cases, step) = match env::var_os("CHROOT0_LONG") {
        Some(_) => (3000, 1),
        None => (60, 97),
    };
    let (mut tried, mut wrong) = (0, Vec::new());
    let mut give = |make: &str, file: &str, change: &dyn Fn(&str) -> Option<(String, bool)>| {
        let record = node.sh(&format!("{make}; cat {file}")).succeeds().stdout;
        let changed = change(record.trim());
        let is_changed = changed.is_some();
        let (record, is_its) = changed.unwrap_or((record, true));
        let up = if is_its { "UP=1" } else { "UP=" };
        let run = node.sh_with(&format!("{up}\n{VERBS}"), &record);
        let left = left(&node, &world);
        tried += 1;
        if !run.stdout.is_empty() || left.is_some() {
            let shown: String = record.chars().take(3000).collect();
            let is_over = left.is_some();
            wrong.push(format!("{shown}\n{run}{}", left.unwrap_or_default()));
            assert!(!is_over, "{}", wrong.join("\n"));
        }
        is_changed
    };
    for case in 0..cases {
        let (make, file) = match case % 3 {
            2 => (MAKE, "box.json"),
            _ => (UP, "foo.json"),
        };
        give(make, file, &|record| Some(changed(record, case * step)));
    }
    for (make, file) in [(MAKE, "box.json"), (UP, "foo.json")] {
        let mut nth = 0;
        while give(make, file, &|record| misled(record, nth)) {
            nth += 1;
        }
        assert!(nth > 2, "only {nth} paths in {file}");
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    node.sh("nsrun down <bar.json | netwire down | cgset down >/dev/null; mkbox down <other.json >/dev/null; rm -r victim link *.json")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_file_of_requests_is_read_as_far_as_a_record_would_be() {
    let node = Node::new();
    node.sh("truncate -s 2M large").succeeds();
    for file in ["large", "/dev/zero"] {
        node.sh(&format!("cgset up --id foo --kube {file} 2>&1 >/dev/null"))
            .ends(2)
            .prints(&format!("cgset: --kube: {file}: larger than 1 MiB"));
    }
    node.sh("rm large").succeeds();
    node.assert_as_it_was();
}

/// What is other than in `world`, when what ends by itself has ended.
fn left(node: &Node, world: &World) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let left = world.difference(&node.world().without_last_addresses())?;
        if Instant::now() > until {
            return Some(left);
        }
    }
}
