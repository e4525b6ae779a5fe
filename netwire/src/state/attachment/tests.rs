use super::*;
use crate::mode::Port;
use crate::state::attachments;
use serde_json::json;

fn attachment() -> Attachment {
    Attachment {
        ifname: "eth0".parse().unwrap(),
        mode: Mode::Bridge(Port {
            bridge: "br0".parse().unwrap(),
            isolated: true,
            vlan: Some(100),
        }),
        nets: [("10.244.0.0/24", "10.244.0.2"), ("fd00::/64", "fd00::2")]
            .map(|(subnet, address)| Net {
                subnet: subnet.parse().unwrap(),
                address: Some(address.parse().unwrap()),
            })
            .into(),
        leases: Place::Directory("/var/lib/cni/networks/kindnet".into()),
        ifindex: Some(7),
        nat: true,
        nat_except: vec!["10.96.0.0/12".parse().unwrap()],
        ports: vec!["127.0.0.1:8000-8001:80-81/udp".parse().unwrap()],
        rate: Some("10mbit:64k".parse().unwrap()),
        mac: Some("02:00:00:00:00:01".parse().unwrap()),
        antispoof: true,
        loose: true,
        policy: Policy::from_json(
            &json!({"ingress": {"isolated": true, "allow": ["10.0.0.0/8,80/tcp"]}}),
        )
        .unwrap(),
    }
}

#[test]
fn an_attachment_survives_the_record() {
    let id = "foo".parse().unwrap();
    let half = Attachment {
        nets: vec![Net {
            subnet: "fd00::/64".parse().unwrap(),
            address: None,
        }],
        antispoof: false,
        ..Attachment::intended(&Wanted::plain())
    };
    for attachment in [attachment(), half] {
        let state = json!({"attachments": [attachment.to_json(&id)]});
        assert_eq!(attachments(&state).unwrap(), [attachment]);
    }
}

#[test]
fn a_tampered_one_is_refused() {
    let good = attachment().to_json(&"foo".parse().unwrap());
    for (key, value) in [
        ("ifname", json!("../x")),
        ("ifname", json!(7)),
        ("subnet", json!("10.244.0.0")),
        ("subnet", json!(null)),
        ("address", json!("10.245.0.2")),
        ("address", json!("../../etc/passwd")),
        ("subnet6", json!("10.245.0.0/24")),
        ("address6", json!("10.244.0.2")),
        ("leaseDir", json!("etc")),
        ("leaseDir", json!("/run/../etc")),
        ("gateway", json!("10.245.0.1")),
        ("bridge", json!("../br0")),
        ("vlan", json!(4095)),
        ("mode", json!("host")),
        ("natExcept", json!(["10.0.0.1/8"])),
        ("portMappings", json!([{"hostPort": 0}])),
        ("mac", json!("01:00:00:00:00:01")),
        ("policy", json!({"egress": {"deny": ["x"]}})),
    ] {
        let mut bad = good.clone();
        bad[key] = value.clone();
        let error = attachments(&json!({"attachments": [bad]})).unwrap_err();
        assert!(record::Failure::is_usage(&error), "{key} {value}");
        assert!(
            error.to_string().starts_with("netwire.attachments: "),
            "{error}"
        );
    }
    assert!(attachments(&json!({"attachments": {}})).is_err());
    assert!(attachments(&json!("x")).is_err());
}
