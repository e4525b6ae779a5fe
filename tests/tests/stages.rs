//! Any stage of the script `pod` is killed: before it does anything, after it has done it, and with it the shell that waits for it.
//! Whatever is left then, `pod down` takes away.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tests::pod::Pods;
use tests::{World, sweep};

const FOO: &str = include_str!("../manifests/foo.yaml");

/// In place of each tool, for what the script calls itself: the `$AT`th call is killed as `$HOW` says.
const STAGE: &str = r#"#!/bin/bash
name=${0##*/} PATH=${PATH#*:}
nth=$(flock /home/namespace/.count sh -c 'n=$(($(cat /home/namespace/.count) + 1)); echo $n >/home/namespace/.count; echo $n')
if [ "$nth" = "$AT" ]; then
    case $HOW in
    before) kill -KILL $$ ;;
    after) "$name" "$@"; kill -KILL $$ ;;
    shell) kill -KILL $PPID ;;
    both) kill -KILL $PPID $$ ;;
    esac
fi
exec "$name" "$@"
"#;

const HOW: [&str; 4] = ["before", "after", "shell", "both"];

/// `pod` with those in front of the tools.
const STAGED: &str = r#"export PATH=/home/namespace/stages:$PATH AT HOW
echo 0 >.count
"#;

#[test]
fn any_stage_of_pod_killed_is_cleaned_by_pod_down() {
    let Some(pods) = Pods::new() else { return };
    pods.node()
        .sh_with(
            "cat >stage; chmod +x stage; mkdir stages; echo 0 >.count
            for tool in cgset nsrun netwire mkbox podspec; do cp stage stages/$tool; done; rm stage",
            STAGE,
        )
        .succeeds();
    pods.node().sh_with("cat >foo.yaml", FOO).succeeds();
    let world = world(&pods);
    let calls = |script: &str| -> usize {
        let run = pods.sh(&format!("AT=0 HOW=; {STAGED}{script}; cat .count"));
        let count = run.succeeds().stdout;
        count.lines().last().unwrap_or("").parse().expect("a count")
    };
    let up = calls(
        "pod up foo.yaml >&2; until [ \"$(pod ls | grep -c Running)\" = 1 ]; do sleep 0.05; done",
    );
    let down = calls("pod down foo");
    let (mut tried, mut killed, mut wrong) = (0, 0, Vec::new());
    let points = (1..=up)
        .map(|at| (at, "up"))
        .chain((1..=down).map(|at| (at, "down")));
    for (number, (at, verb)) in points.enumerate() {
        for how in HOW
            .iter()
            .enumerate()
            // Every second one, each time in another way; or all in all ways, or a part of that.
            .filter_map(|(index, how)| {
                let is_due = match sweep::part() {
                    Some((part, of)) => (number + index) % of == part - 1,
                    None => number % (2 * HOW.len()) == 2 * index,
                };
                is_due.then_some(how)
            })
        {
            let disturbed = match verb {
                "up" => format!(
                    "AT={at} HOW={how}; {STAGED}timeout -k 1 30 /mnt/scripts/pod up foo.yaml"
                ),
                _ => format!(
                    "pod up foo.yaml || exit 99; AT={at} HOW={how}; {STAGED}timeout -k 1 30 /mnt/scripts/pod down foo"
                ),
            };
            let run = pods.sh(&disturbed);
            tried += 1;
            killed += usize::from(run.status != 0);
            let down = pods.sh("echo 0 >.count; pod down foo");
            let left = settled(&pods, &world);
            if [99, 124].contains(&run.status) || down.status != 0 || left.is_some() {
                let left = left.unwrap_or_default();
                wrong.push(format!("{how} at {at} of {verb}: {run}{down}{left}"));
                assert!(left.is_empty(), "{}", wrong.join("\n"));
            }
        }
    }
    // Not by a print macro: libtest would hide it.
    let _ = writeln!(
        io::stderr(),
        "pod: {tried} tried, {killed} failed, {} wrong",
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Most of what is killed, the script does again or does without.
    assert!(
        killed > tried / 10,
        "only {killed} of {tried} runs were stopped"
    );
    pods.sh("rm -r stages foo.yaml .count").succeeds();
    pods.is_clean();
}

/// Who is told to stop a container that has not begun yet must not wait for it for ever.
#[test]
fn a_container_that_is_to_end_before_it_begins_does() {
    let Some(pods) = Pods::new() else { return };
    let early = r#"#!/bin/sh
case "$*" in wait*--oom*) [ -e /tmp/told ] || { : >/tmp/told; kill -TERM $PPID; } ;; esac
PATH=${PATH#*:} exec cgset "$@"
"#;
    pods.node()
        .sh_with("mkdir early; cat >early/cgset; chmod +x early/cgset", early)
        .succeeds();
    let one = FOO.split("    - name: sidecar").next().unwrap_or(FOO);
    pods.node().sh_with("cat >foo.yaml", one).succeeds();
    pods.sh("PATH=$PWD/early:$PATH timeout 30 /mnt/scripts/pod run foo.yaml; status=$?; ls /tmp/told; exit $status")
        .ends(1)
        .says("/tmp/told")
        .says("foo: ended, 1 failed");
    pods.sh("pod down foo; rm -r early foo.yaml /tmp/told")
        .succeeds();
    pods.is_clean();
}

/// What there is, but for how often a stage was called.
fn world(pods: &Pods) -> World {
    pods.node()
        .world()
        .without(|line| line.contains("/home/namespace/.count "))
}

/// What there is more or less than before, when what ends by itself has ended.
fn settled(pods: &Pods, before: &World) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let left = before.difference(&world(pods))?;
        if Instant::now() > until {
            return Some(left);
        }
    }
}
