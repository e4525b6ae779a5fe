//! The record on its way through the tools, and records that are none.

use tests::pod::UP;
use tests::{Node, Output};

/// Every tool's `up` as a filter; what it needs besides a record is on its command line.
const UPS: [&str; 4] = [
    "cgset up memory.max=512Mi",
    "nsrun up --net",
    "netwire up --subnet 10.9.9.0/24",
    "mkbox up --copy ls",
];

const DOWNS: [&str; 4] = ["nsrun down", "netwire down", "cgset down", "mkbox down"];

fn tool(command: &str) -> &str {
    command.split(' ').next().unwrap_or_default()
}

/// Runs each of `commands` with `stdin`: one line, the status, nothing made.
#[track_caller]
fn refused(node: &Node, commands: &[&str], what: &str, stdin: impl AsRef<[u8]>, status: i32) {
    let before = node.world();
    for command in commands {
        let run = node.sh_with(command, &stdin);
        assert_eq!(run.status, status, "{what}: {run}");
        run.says_one_line(tool(command));
        node.assert_same(&before, &format!("{command} with {what}"));
    }
}

#[test]
fn keys_of_other_tools_survive_in_order_and_to_the_digit() {
    let node = Node::new();
    let before = r#"{"zeta":[1,2.50,1e+400,-0.0,12345678901234567890],"ociVersion":"1.0.2","id":"foo","annotations":{"z":"ü","a":{"":null}},"x-other":{"failed":true},"hooks":{}"#;
    let after = format!("{before},\"root\":{{\"path\":\"/home/namespace/box\"}}}}");
    let up = format!("set -o pipefail; {} | tee up.json", UPS.join(" | "));
    let made = node.sh_with(&up, &after).succeeds();
    assert!(made.stdout.starts_with(before), "{made}");
    assert_eq!(made.stdout.matches('\n').count(), 1, "one line: {made}");
    node.sh("jq -e 'keys_unsorted[-4:] == [\"cgset\",\"nsrun\",\"netwire\",\"mkbox\"] or (.cgset and .nsrun and .netwire and .mkbox)' up.json").succeeds();
    let down = format!(
        "set -o pipefail; {} | tee down.json",
        "cat up.json | nsrun down | netwire down | cgset down | mkbox down"
    );
    let gone = node.sh(&down).succeeds();
    assert!(gone.stdout.starts_with(before), "{gone}");
    node.sh("jq -e '.cgset == null and .nsrun == null and .netwire == null and .mkbox == null' down.json; rm *.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn white_space_does_not_matter() {
    let node = Node::new();
    node.sh(UP).succeeds();
    // as jq prints it, and as an editor may leave it
    node.sh("{ printf '\\n\\t '; jq . foo.json; printf '\\n\\n'; } >pretty.json; nsrun exec -P pretty.json -- true").succeeds();
    node.sh(
        "nsrun down <pretty.json | jq . | netwire down | jq . | cgset down >/dev/null; rm *.json",
    )
    .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_bundle_s_config_json_is_a_first_record() {
    let node = Node::new();
    if !node.has("crun") {
        return;
    }
    node.sh("crun spec && cgset up -P config.json --id foo pids.max=7 | nsrun up | netwire up --subnet 10.9.9.0/24 >foo.json").succeeds();
    // what the configuration asks for is what there is: its namespaces are new
    node.sh("jq -e '[.linux.namespaces[] | select(.path)] | length > 3' foo.json")
        .succeeds();
    node.sh("jq -e '.process.args and .linux.resources and .nsrun.pid' foo.json")
        .succeeds();
    node.sh("nsrun down <foo.json | netwire down | cgset down >/dev/null; rm *.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn no_record_is_status_2_and_one_line() {
    let node = Node::new();
    for (what, stdin) in [
        ("nothing", ""),
        ("an empty line", "\n"),
        ("white space", " \t\r\n  "),
    ] {
        refused(&node, &UPS, what, stdin, 2);
        refused(&node, &DOWNS, what, stdin, 2);
    }
    node.sh("nsrun up --net </dev/null")
        .ends(2)
        .says("nsrun: stdin: no record (did the tool before this one fail?)")
        .prints("");
}

#[test]
fn what_is_no_record_is_status_2_and_one_line() {
    let node = Node::new();
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(129));
    let deep = "[".repeat(200_000);
    let deep_object = format!("{{\"id\":\"foo\",\"x\":{}", "{\"x\":".repeat(5000));
    for (what, stdin) in [
        ("text", "hello"),
        ("an array", "[]"),
        ("a number", "42"),
        ("a string", "\"foo\""),
        ("null", "null"),
        ("half an object", "{\"id\":\"foo\""),
        ("a key twice", "{\"id\":\"foo\",\"id\":\"bar\"}"),
        (
            "a key twice, further down",
            "{\"id\":\"foo\",\"linux\":{\"a\":1,\"a\":2}}",
        ),
        ("NaN", "{\"id\":\"foo\",\"x\":NaN}"),
        ("a comment", "{\"id\":\"foo\"} // mine"),
        ("an id that climbs", "{\"id\":\"../x\"}"),
        ("an id that is a directory", "{\"id\":\"..\"}"),
        ("an id with a slash", "{\"id\":\"a/b\"}"),
        ("an id that is hidden", "{\"id\":\".x\"}"),
        ("an id like an option", "{\"id\":\"-x\"}"),
        ("an empty id", "{\"id\":\"\"}"),
        ("an id with a newline", "{\"id\":\"a\\nb\"}"),
        ("an id with a NUL", "{\"id\":\"a\\u0000b\"}"),
        ("an id of 129 characters", &long),
        ("a number as id", "{\"id\":7}"),
        ("no id", "{\"ociVersion\":\"1.0.2\"}"),
        ("200000 brackets", &deep),
        ("5000 objects in each other", &deep_object),
    ] {
        refused(&node, &UPS, what, stdin, 2);
        refused(&node, &DOWNS, what, stdin, 2);
    }
    refused(
        &node,
        &UPS,
        "bytes that are no text",
        b"{\"id\":\"foo\",\"\xff\":1}",
        2,
    );
    refused(&node, &UPS, "a NUL", b"{\"id\":\"foo\"}\0", 2);
    refused(
        &node,
        &UPS,
        "two records",
        "{\"id\":\"foo\"}\n{\"id\":\"bar\"}\n",
        2,
    );
}

#[test]
fn down_takes_two_records() {
    let node = Node::new();
    node.sh("cgset up --id foo | nsrun up --net >foo.json; cgset up --id bar | nsrun up --net >bar.json").succeeds();
    let gone = node
        .sh("cat foo.json bar.json | nsrun down | netwire down | cgset down; rm *.json")
        .succeeds();
    assert_eq!(gone.stdout.lines().count(), 2, "{gone}");
    node.assert_as_it_was();
}

#[test]
fn a_record_of_100_mb_is_refused_without_being_kept() {
    let node = Node::new();
    let huge = "{ printf '{\"id\":\"foo\",\"x\":\"'; head -c 100000000 /dev/zero | tr '\\0' x; printf '\"}'; }";
    // 256 MiB of addresses for a tool that must not keep 100 MB
    for command in UPS.iter().chain(&DOWNS) {
        let run = node
            .sh(&format!(
                "{huge} 2>/dev/null | ( ulimit -v 262144; {command} )"
            ))
            .ends(2)
            .prints("");
        assert!(run.stderr.contains("MiB"), "{run}");
        run.says_one_line(tool(command));
    }
    node.sh(&format!(
        "{huge} >/home/namespace/huge.json; nsrun exec -P huge.json --net -- true"
    ))
    .ends(125)
    .says_one_line("nsrun");
    node.sh("rm huge.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_terminal_is_no_record_and_nothing_waits_for_it() {
    let node = Node::new();
    if !node.has("script") {
        return;
    }
    for command in
        UPS.iter()
            .chain(&DOWNS)
            .chain(&["cgset show", "nsrun show", "netwire show", "mkbox show"])
    {
        let run = node
            .sh(&format!("script -qec '{command}' /dev/null"))
            .ends(2);
        let lines: Vec<&str> = run
            .stdout
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        assert_eq!(lines.len(), 1, "{run}");
        assert!(
            lines[0].starts_with(&format!("{}: stdin: ", tool(command)))
                && lines[0].contains("terminal"),
            "{run}"
        );
    }
    node.assert_as_it_was();
}

#[test]
fn a_record_cut_short_is_never_half_used() {
    let node = Node::new();
    node.sh(&format!(
        "{UP}; mkbox up --copy ls -P - box <foo.json >full.json"
    ))
    .succeeds();
    let world = node.world();
    // every byte of the head, where lengths are told by few, then every 29th; the newline may be missing
    let run = node.sh(
        "size=$(($(stat -c %s full.json) - 1))
         for n in $(seq 0 40) $(seq 41 29 $((size - 1))) $((size - 1)); do
           for command in 'nsrun down' 'netwire down' 'cgset down' 'mkbox down' 'cgset up memory.max=1Gi' 'nsrun up --net' 'netwire up --subnet 10.9.9.0/24'; do
             head -c $n full.json | $command 2>/dev/null
             echo \"${PIPESTATUS[1]} $command $n\"
           done
           head -c $n full.json >cut.json
           nsrun exec -P cut.json -- true 2>/dev/null; echo \"$? exec $n\"
         done
         rm cut.json",
    )
    .succeeds();
    let other: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| !line.starts_with("2 ") && !(line.starts_with("125 exec")))
        .collect();
    assert_eq!(other, [""; 0]);
    node.assert_same(&world, "a record cut short was used");
    node.sh("head -c -1 full.json | nsrun down | netwire down | cgset down | mkbox down >/dev/null; rm *.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn another_id_later_in_the_pipe_is_status_2() {
    let node = Node::new();
    node.sh("cgset up --id foo >foo.json").succeeds();
    let world = node.world();
    node.sh("nsrun up -P - --id bar --net <foo.json")
        .ends(2)
        .says_one_line("nsrun")
        .says("the record is of foo");
    node.sh("netwire up -P foo.json --id bar --subnet 10.9.9.0/24")
        .ends(2)
        .says_one_line("netwire");
    node.sh("cgset down -P foo.json --id bar")
        .ends(2)
        .says_one_line("cgset");
    node.assert_same(&world, "a tool took the other name");
    node.sh("cgset down <foo.json >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_name_leaves_stdin_alone() {
    let node = Node::new();
    let run = node.sh_with("cgset up --id foo >/dev/null; nsrun down --id foo >/dev/null; cgset down --id foo >/dev/null; mkbox up box >/dev/null; mkbox down --id box >/dev/null; cat", "mine\n");
    run.succeeds().prints("mine");
    node.sh_with("cgset up --id foo | nsrun up --net >foo.json; cgset exec -P foo.json a -- nsrun exec -P foo.json -- cat", "mine\n").succeeds().prints("mine");
    node.sh("nsrun exec -P - -- true <foo.json")
        .ends(125)
        .says_one_line("nsrun");
    node.sh("cgset exec -P - a -- true <foo.json")
        .ends(125)
        .says_one_line("cgset");
    node.sh("mkbox exec -P - -- true <foo.json")
        .ends(125)
        .says_one_line("mkbox");
    node.sh("nsrun exec -P /dev/fd/3 -- cat 3<foo.json </dev/null")
        .succeeds();
    node.sh("nsrun down <foo.json | cgset down >/dev/null; rm foo.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn usage_errors_hand_the_record_on_as_failed() {
    let node = Node::new();
    node.sh("cgset up --id foo | nsrun up --bogus | netwire up --subnet 10.9.9.0/24 >foo.json; echo ${PIPESTATUS[@]}").prints("0 2 1");
    node.sh("jq -r .failed.tool foo.json").prints("nsrun");
    node.sh("cgset up --id bar | nsrun up --net | netwire up --subnet 10.9.9.0/33 >bar.json; echo ${PIPESTATUS[@]}").prints("0 0 2");
    node.sh("jq -r .failed.tool bar.json").prints("netwire");
    node.sh("cgset up --id qux no.such=1 | nsrun up --net >qux.json; echo ${PIPESTATUS[@]}")
        .prints("2 1");
    node.sh("cat foo.json bar.json qux.json | nsrun down | netwire down | cgset down >/dev/null; rm *.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn keys_of_the_wrong_shape_are_refused() {
    let node = Node::new();
    let world = node.world();
    let wrong: [(&str, &str, &[&str]); 12] = [
        (
            "linux",
            "7",
            &[
                "nsrun up --net",
                "netwire up --subnet 10.9.9.0/24",
                "cgset up pids.max=9",
            ],
        ),
        (
            "linux",
            r#"{"namespaces":{}}"#,
            &["nsrun up --net", "netwire up --subnet 10.9.9.0/24"],
        ),
        (
            "linux",
            r#"{"namespaces":[{"type":"bogus"}]}"#,
            &["nsrun up --net", "netwire up --subnet 10.9.9.0/24"],
        ),
        (
            "linux",
            r#"{"namespaces":[{"type":"network"},{"type":"network"}]}"#,
            &["nsrun up", "netwire up --subnet 10.9.9.0/24"],
        ),
        ("linux", r#"{"namespaces":[7]}"#, &["nsrun up --net"]),
        ("linux", r#"{"resources":[]}"#, &["cgset up"]),
        (
            "linux",
            r#"{"resources":{"memory":{"limit":"much"}}}"#,
            &["cgset up"],
        ),
        ("linux", r#"{"cgroupsPath":7}"#, &["cgset up"]),
        ("hostname", "7", &["nsrun up --uts"]),
        ("root", "7", &["mkbox up --copy ls"]),
        ("root", r#"{"path":7}"#, &["mkbox up --copy ls"]),
        (
            "mounts",
            r#"[{"destination":7}]"#,
            &["mkbox up --id foo -P - --copy ls box"],
        ),
    ];
    for (key, value, ups) in wrong {
        for up in ups {
            let run = node.sh_with(up, format!(r#"{{"id":"foo","{key}":{value}}}"#));
            assert!([1, 2].contains(&run.status), "{key} {value}: {run}");
            let run: Output = run.says_one_line(tool(up));
            if !run.stdout.is_empty() {
                assert_eq!(run.json()["failed"]["tool"], tool(up), "{run}");
            }
            node.assert_same(&world, &format!("{up} with {key} {value}"));
        }
    }
}

#[test]
fn the_page_has_every_key_and_its_examples_run() {
    let page = std::fs::read_to_string(tests::repository("record/pod-record.5")).expect("the page");
    let node = Node::new();
    let examples: Vec<&str> = page
        .split(".Bd -literal\n")
        .skip(1)
        .filter_map(|text| text.split(".Ed\n").next())
        .collect();
    let [make, remove] = examples[..] else {
        panic!("two examples in {page}");
    };
    node.sh(make)
        .succeeds()
        .prints("\"/pod-foo\"\n\"network\"\n{\"memory.max\":67108864}\n\"10.244.0.2/24\"");
    // Of a pod, of a box, and of both records that a manifest becomes.
    let keys = "jq -r 'keys[], (.linux // {} | keys[] | \"linux.\" + .)'";
    let manifest = include_str!("../manifests/foo.yaml");
    let found = node.sh_with(
        &format!("{{ podspec; cat foo.json; mkbox up -q --copy ls --proc --mask --read-only box; }} | {keys} | sort -u; mkbox down --id box >/dev/null"),
        manifest,
    );
    let found = found.succeeds().stdout;
    let mut seen = 0;
    for key in found.lines().filter(|key| *key != "linux") {
        let is_there = page.lines().any(|line| {
            line.strip_prefix(".It Cm ")
                .is_some_and(|keys| keys.split(" , ").any(|known| known == key))
        });
        assert!(is_there, "{key}");
        seen += 1;
    }
    assert!(seen > 12, "{found}");
    node.sh(remove).succeeds().prints("{\"app\":\"web\"}");
    node.sh("rm foo.json").succeeds();
    node.assert_as_it_was();
}
