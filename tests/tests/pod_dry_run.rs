//! `pod --dry-run`: what it prints is what is done, and nothing is done.

use tests::Output;
use tests::pod::{Pods, SCRIPT};

const FOO: &str = include_str!("../manifests/foo.yaml");

/// Tools that write down how they are called, and are then the tools (`real`) or nothing (`stub`).
const SPIES: &str = r#"mkdir -p /tmp/real /tmp/stub
for tool in cgset nsrun netwire mkbox; do
    printf '%s\n' '#!/bin/sh' "{ printf $tool; printf ' <%s>' \"\$@\"; echo; } >>/tmp/said" >/tmp/stub/$tool
    cp /tmp/stub/$tool /tmp/real
    echo "PATH=$PATH exec $(command -v $tool) \"\$@\"" >>/tmp/real/$tool
done
echo '#!/bin/sh' >/tmp/stub/podspec
chmod +x /tmp/real/* /tmp/stub/*"#;

/// What makes, becomes or removes something, in any order, as a pipe has it; asking is no step of a plan.
const SAID: &str =
    "touch /tmp/said; grep -E '^[a-z]+ <(up|exec|down)>' /tmp/said | sort; rm /tmp/said";

const READY: &str = "until pod ls | grep -q '2/2 *Running'; do sleep 0.05; done";

struct Spied(Pods);

impl Spied {
    fn new() -> Option<Self> {
        let pods = Pods::new()?;
        pods.sh(SPIES).succeeds();
        Some(Self(pods))
    }

    /// A script with FOO in foo.yaml, in which each call is written down.
    fn sh(&self, script: &str) -> Output {
        let script = format!(
            "{SCRIPT}PATH=/tmp/real:$PATH; cat >foo.yaml; {script}\nstatus=$?; rm foo.yaml; exit $status"
        );
        self.0.node().sh_with(&script, FOO)
    }

    /// How it called the tools.
    #[track_caller]
    fn calls(&self, script: &str) -> String {
        self.sh(script).succeeds();
        self.0.sh(SAID).succeeds().stdout
    }

    /// What a dry run says; it calls no tool and changes nothing.
    #[track_caller]
    fn plan(&self, script: &str) -> String {
        let node = self.0.node();
        let files = "find /run/chroot0 /var/lib/cni /tmp /home -type f | sort | xargs -r sha256sum; nft list ruleset";
        let (before, content) = (node.world(), node.sh(files).stdout);
        let plan = self.sh(script).succeeds();
        node.assert_same(&before, script);
        assert_eq!(node.sh(files).stdout, content, "{script} changed a file");
        plan.stdout
    }

    /// How a shell that runs its pipes and chains calls the tools. The pod must not be there.
    #[track_caller]
    fn calls_of(&self, plan: &str) -> String {
        let words = [
            "pod", "config", "cgset", "nsrun", "netwire", "mkbox", "podspec",
        ];
        let lines = plan.lines().filter(|line| {
            let word = line.split([' ', '=']).next().unwrap_or_default();
            words.contains(&word)
        });
        let script = format!(
            "mkdir -p /run/chroot0/foo/pod; PATH=/tmp/stub:$PATH; {}\n{SAID}; rm -r /run/chroot0",
            lines.collect::<Vec<_>>().join("\n")
        );
        self.0.sh(&script).succeeds().stdout
    }

    fn clean(&self) {
        self.0.sh("rm -r /tmp/real /tmp/stub").succeeds();
        self.0.is_clean();
    }
}

#[test]
fn what_up_restart_and_down_print_is_what_they_do() {
    let Some(spied) = Spied::new() else { return };
    let up = spied.plan("pod up --dry-run foo.yaml");
    let expected = spied.calls_of(&up);
    for call in [
        "cgset <up>",
        "nsrun <up>",
        "netwire <up> <--subnet>",
        "mkbox <up>",
        "<nsrun> <drop>",
    ] {
        assert!(expected.contains(call), "{call} in {expected}");
    }
    assert_eq!(spied.calls(&format!("pod up foo.yaml; {READY}")), expected);

    assert_eq!(spied.plan("pod up --dry-run foo.yaml"), "", "it is up");
    spied
        .sh("sed -i s/256/255/ foo.yaml; pod up --dry-run foo.yaml")
        .ends(1)
        .says("foo: is up, and is another than this manifest's");
    let restart = spied.plan("pod restart --dry-run foo sidecar");
    let all = spied.plan("pod restart foo --dry-run");
    let down = spied.plan("pod down --dry-run foo");
    let restarted = spied.calls("pod restart foo sidecar");
    let ended = spied.calls("pod down foo");

    assert!(restarted.starts_with("cgset <exec>"), "{restarted}");
    assert_eq!(restarted, spied.calls_of(&restart));
    assert_eq!(all.matches("\ncgset exec ").count(), 2, "{all}");
    assert!(ended.contains("nsrun <down>"), "{ended}");
    assert_eq!(ended, spied.calls_of(&down));
    let ends =
        "# the supervisor ends sidecar: TERM, KILL after 30 s\n# the supervisor ends app: TERM";
    assert!(down.contains(ends), "{down}");
    assert_eq!(spied.plan("pod down --dry-run foo"), "", "it is gone");
    spied.clean();
}

#[test]
fn what_run_prints_is_what_it_does_also_where_another_has_left_something() {
    let Some(spied) = Spied::new() else { return };
    let left = "mkdir -p /run/chroot0/foo/pod && cp foo.yaml /run/chroot0/foo/pod/_manifest";
    spied.sh(left).succeeds();
    let run = spied.plan("pod run --dry-run foo.yaml");
    // It takes the pod down as well, when it is told to, beside who told it.
    let called = spied.calls(&format!(
        "pod run foo.yaml >/dev/null 2>&1 & {READY}; cp /tmp/said /tmp/then; pod down foo; wait $!; mv /tmp/then /tmp/said"
    ));
    assert!(called.contains("nsrun <down>"), "{called}");
    assert!(called.contains("cgset <exec>"), "{called}");
    assert_eq!(called, spied.calls_of(&run));
    spied.clean();
}

#[test]
fn what_cannot_be_is_said_by_a_dry_run_too() {
    let Some(spied) = Spied::new() else { return };
    let node = spied.0.node();
    let before = node.world();
    for (script, status, says) in [
        (
            "POD_IMAGES=/no/such pod up --dry-run foo.yaml",
            1,
            "pod: app: image docker.io/kennethreitz/httpbin: not in /no/such, and no path",
        ),
        (
            "sed -i 's/^spec:/spec:\\n  nodeName: other/' foo.yaml; pod run --dry-run foo.yaml",
            3,
            "foo: is for node other, this is ",
        ),
        ("pod restart --dry-run foo", 1, "foo: no such pod"),
        ("pod restart foo --dry-run", 1, "foo: no such pod"),
        ("pod down --dry foo", 2, "--dry: no such option"),
    ] {
        spied.sh(script).ends(status).says(says);
        node.assert_same(&before, script);
    }
    spied.clean();
}
