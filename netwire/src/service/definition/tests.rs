use super::*;

fn service(text: &str) -> Service {
    serde_json::from_str(text).unwrap()
}

const DNS: &str = r#"{"name":"kube-system/kube-dns","vips":["10.96.0.10"],"external":["192.0.2.1"],"ports":[{"name":"dns","port":53,"protocol":"udp","nodePort":30053,"to":["10.244.0.3:53","10.244.0.4:53,weight=2"]}],"affinity":10800,"denyFrom":["10.1.2.3/32"]}"#;

#[test]
fn a_service_is_one_line_that_is_read_again() {
    let dns = service(DNS);
    assert_eq!(serde_json::to_string(&dns).unwrap(), DNS);
    assert!(
        DNS.starts_with("{\"name\":\""),
        "the log is searched for that"
    );
    assert_eq!(dns.check(), Ok(()));
}

#[test]
fn weights_are_shares() {
    let port = |to: &str| -> Port {
        let text = format!(r#"{{"port":53,"protocol":"udp","to":[{to}]}}"#);
        serde_json::from_str(&text).unwrap()
    };
    let ports =
        |to: &str| -> Vec<u16> { port(to).slots(true).iter().map(|one| one.port).collect() };
    assert_eq!(ports(r#""10.0.0.1:1","10.0.0.1:2""#), [1, 2]);
    assert_eq!(
        ports(r#""10.0.0.1:1,weight=2","10.0.0.1:2,weight=6""#),
        [1, 2, 2, 2]
    );
    assert_eq!(ports(r#""10.0.0.1:1","[fd00::1]:2""#), [1]);
    assert_eq!(ports(""), [0; 0]);
}

#[test]
fn what_cannot_be_says_why() {
    for (from, to, why) in [
        ("\"10.96.0.10\"", "", "it has no address"),
        (
            "\"10.96.0.10\"",
            "\"127.0.0.1\"",
            "127.0.0.1 is the loopback of whoever asks",
        ),
        (
            "\"10.96.0.10\"",
            "\"10.96.0.10\",\"10.96.0.11\"",
            "two addresses of one family (external ones may be many)",
        ),
        ("192.0.2.1", "10.96.0.10", "10.96.0.10 is given twice"),
        (
            "192.0.2.1",
            "10.244.0.3",
            "10.244.0.3 is an endpoint and the address of the service",
        ),
        (
            "10.244.0.4:53,",
            "10.244.0.3:53,",
            "port 53/udp: endpoint 10.244.0.3:53 is given twice",
        ),
        (
            "10.244.0.4:53,",
            "[fd00::1]:53,",
            "endpoint fd00::1: no address of the service is of its family",
        ),
        (
            "weight=2",
            "weight=60000",
            "port 53/udp: 60001 endpoints, counted by weight, 4096 is the most",
        ),
        ("10800", "0", "affinity is not in 1..=86400 seconds"),
        ("30053", "0", "port 53/udp: 0 is no port"),
        (
            "\"dns\"",
            "\"a\\nb\"",
            "\"a\\nb\" is no name of a port (lower-case letters, digits and '-')",
        ),
    ] {
        let text = DNS.replacen(from, to, 1);
        let expected = format!("service kube-system/kube-dns: {why}");
        assert_eq!(service(&text).check(), Err(expected), "{text}");
    }
    assert!(serde_json::from_str::<Service>(&DNS.replace("vips", "vip")).is_err());
}
