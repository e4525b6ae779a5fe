//! A kernel without nf_tables: what needs it fails and says so, what does without it works.

use tests::Node;

/// As such a kernel answers.
const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [
    {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 93, "args": [
        {"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}, {"index": 2, "value": 12, "op": "SCMP_CMP_EQ"}]}]}"#;

/// A shell function `netwire` that meets one.
const WITHOUT: &str = "netwire() { nsrun drop --user 0 --caps keep --no-new-privs=no --seccomp without.json --env PATH=$PATH -- netwire \"$@\"; }\n";

const MISSING: &str = "netwire: socket(AF_NETLINK, NETLINK_NETFILTER): Protocol not supported (needs nf_tables in the kernel)";

#[test]
fn what_needs_it_fails_in_one_line_and_the_rest_works() {
    let node = Node::new();
    node.sh_with("cat >without.json", PROFILE).succeeds();
    node.sh("nsrun up --id foo --net >bare.json").succeeds();
    let before = node.world().without(|line| line.contains("last_reserved"));
    let up = |options: &str| {
        node.sh(&format!(
            "{WITHOUT} netwire up -P bare.json --subnet 10.244.0.0/24 {options} >foo.json"
        ))
    };
    for options in [
        "--nat",
        "--publish 8080:80",
        "--deny 10.1.2.3",
        "--bridge br0 --antispoof always",
        "--subnet fd00::/64 --antispoof always",
    ] {
        let answer = up(options).ends(1);
        assert_eq!(answer.stderr, format!("{MISSING}\n"), "{options}");
        node.sh("rm foo.json").succeeds();
        let now = node.world().without(|line| line.contains("last_reserved"));
        assert_eq!(before.difference(&now), None, "{options}");
    }
    for (options, antispoof, said) in [
        ("", "true", String::new()),
        (
            "--bridge br0",
            "false",
            format!("{MISSING} (the pod may pass for another)\n"),
        ),
        (
            "--subnet fd00::/64",
            "false",
            format!("{MISSING} (the pod may pass for another)\n"),
        ),
        ("--bridge br0 --antispoof never", "false", String::new()),
    ] {
        let answer = up(options).succeeds();
        assert_eq!(answer.stderr, said, "{options}");
        node.sh("jq .netwire.attachments[0].antispoof foo.json")
            .prints(antispoof);
        node.sh("nsrun exec -P foo.json -- ping -q -c 1 -W 5 10.244.0.1")
            .succeeds();
        node.sh(&format!("{WITHOUT} netwire up <foo.json --subnet 10.244.0.0/24 {options} | cmp - foo.json && netwire gc"))
            .succeeds();
        node.sh(&format!(
            "{WITHOUT} netwire down <foo.json >/dev/null; rm foo.json"
        ))
        .succeeds()
        .prints("");
    }
    node.sh("nsrun down <bare.json >/dev/null; rm *.json")
        .succeeds();
    node.becomes_as_it_was();
}
