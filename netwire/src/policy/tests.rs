use super::*;

fn rules(of: &[&str]) -> Vec<Rule> {
    of.iter().map(|rule| rule.parse().unwrap()).collect()
}

fn ports(of: &[&str]) -> Vec<String> {
    let ports = Rules(rules(of)).ports(true);
    let mut shown: Vec<String> = ports
        .iter()
        .map(|of| format!("{} {} {}-{}", of.peer, of.protocol, of.first, of.last))
        .collect();
    shown.sort();
    shown
}

#[test]
fn a_rule_is_shown_as_it_is_typed() {
    for (text, shown) in [
        ("10.1.2.3", "10.1.2.3/32"),
        ("10.0.0.0/8,80", "10.0.0.0/8,80/tcp"),
        ("all", "all"),
        ("all,8000-8009/udp", "all,8000-8009/udp"),
        ("fd00::/8,sctp", "fd00::/8,sctp"),
        ("all,icmp", "all,icmp"),
    ] {
        let rule: Rule = text.parse().unwrap();
        assert_eq!(rule.to_string(), shown);
        assert_eq!(shown.parse(), Ok(rule));
    }
}

#[test]
fn what_is_none_says_why() {
    let shape = |of: &str| {
        format!("{of:?} is neither a port (80, 53/udp, 8000-8009) nor tcp, udp, sctp or icmp")
    };
    for (text, why) in [
        ("all,", shape("")),
        ("all,http", shape("http")),
        (
            "all,80/icmp",
            "\"icmp\" is neither tcp, udp nor sctp".into(),
        ),
        ("all,0", "\"0\" is no port (1 to 65535)".into()),
        ("all,9-8", "\"9-8\" ends before it begins".into()),
    ] {
        assert_eq!(text.parse::<Rule>().unwrap_err(), why, "{text}");
    }
    for bad in ["", "everybody", "10.0.0.1/8", "10.0.0.0/33", ",80"] {
        assert!(bad.parse::<Rule>().is_err(), "{bad}");
    }
}

#[test]
fn ranges_never_overlap() {
    assert_eq!(
        ports(&["10.0.0.0/8,80-90", "10.1.0.0/16,85-95", "10.1.2.0/24,70-99"]),
        [
            "10.0.0.0/8 6 80-90",
            "10.1.0.0/16 6 91-95",
            "10.1.2.0/24 6 70-79",
            "10.1.2.0/24 6 96-99",
        ]
    );
    assert_eq!(
        ports(&["all,1-10", "all,5-20", "all,15", "all,7/udp"]),
        ["0.0.0.0/0 17 7-7", "0.0.0.0/0 6 1-10", "0.0.0.0/0 6 11-20"]
    );
    assert_eq!(
        ports(&["all,tcp", "10.1.2.3,80", "10.1.2.3,65535"]),
        ["0.0.0.0/0 6 0-65535"]
    );
    let everything = Rules(rules(&[
        "10.1.0.0/16",
        "10.0.0.0/8",
        "10.2.0.0/16",
        "fd00::1",
    ]));
    assert_eq!(everything.everything(true), ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(everything.everything(false), ["fd00::1".parse().unwrap()]);
}

fn args(allow: &[&str], deny: &[&str]) -> PolicyArgs {
    PolicyArgs {
        allow: rules(allow),
        deny: rules(deny),
        ..PolicyArgs::default()
    }
}

#[test]
fn who_allows_something_denies_the_rest() {
    let policy = |allow: &[&str], deny: &[&str]| args(allow, deny).policy(true, false).unwrap();
    assert!(policy(&[], &[]).is_open());
    assert!(!policy(&[], &["10.1.2.3"]).ingress.isolated);
    for isolating in [
        policy(&["10.1.2.3"], &[]),
        policy(&[], &["all"]),
        policy(&["10.0.0.0/8"], &["10.1.2.3", "all"]),
    ] {
        assert!(isolating.ingress.isolated);
        assert!(!isolating.egress.isolated);
        assert_eq!(Policy::from_json(&isolating.to_json()), Ok(isolating));
    }
}

#[test]
fn a_rule_that_means_nothing_is_refused() {
    let why = |allow: &[&str], deny: &[&str]| args(allow, deny).policy(true, false).unwrap_err();
    assert_eq!(
        why(&["10.1.2.3,80"], &["10.0.0.0/8,tcp"]),
        "--allow 10.1.2.3/32,80/tcp: --deny 10.0.0.0/8,tcp denies all of it"
    );
    assert_eq!(
        why(&[], &["fd00::1"]),
        "--deny fd00::1/128: the pod has no address of that family"
    );
}

#[test]
fn it_is_said_as_it_is_typed() {
    let policy = args(&["all,80"], &["10.1.2.3"]).policy(true, true).unwrap();
    assert_eq!(policy.to_string(), " --deny 10.1.2.3/32 --allow all,80/tcp");
    let alone = args(&[], &["all"]).policy(true, true).unwrap();
    assert_eq!(alone.to_string(), " --deny all");
    assert_eq!(Policy::default().to_string(), " no rules");
}
