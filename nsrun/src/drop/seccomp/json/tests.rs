//! Profiles that are read, and those that are not.

use super::*;
use serde_json::json;

fn read(value: &Value, capabilities: Set) -> Result<Profile, String> {
    profile(
        value,
        &Machine {
            capabilities,
            kernel: (5, 10),
        },
    )
}

fn verdict(profile: &Profile, name: &str) -> Option<Verdict> {
    let number = name.parse::<Sysno>().unwrap().id().cast_unsigned();
    let verdict = profile.filter.verdict(number).cloned();
    verdict.filter(|verdict| *verdict != Verdict::always(Action::Errno(1)))
}

#[test]
fn docker_s_conditions_are_resolved() {
    let value = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [{"architecture": ARCH.0, "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read", "write", "_newselect", "arm_fadvise64_64"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["mseal"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.10"}},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_NE"}]},
            {"names": ["sync"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
        ]
    });
    let profile = read(&value, Set::empty()).unwrap();
    assert_eq!(
        verdict(&profile, "read"),
        Some(Verdict::always(Action::Allow))
    );
    assert_eq!(verdict(&profile, "mount"), None);
    assert_eq!(
        verdict(&profile, "clone3"),
        Some(Verdict::always(Action::Errno(38)))
    );
    assert_eq!(
        verdict(&profile, "ptrace"),
        Some(Verdict::always(Action::Allow))
    );
    assert_eq!(verdict(&profile, "mseal"), None);
    assert_eq!(verdict(&profile, "sync"), None);
    let personality = verdict(&profile, "personality").unwrap();
    assert_eq!(
        (personality.rules.len(), personality.otherwise),
        (1, Action::Errno(1))
    );
    let admin = read(&value, Set::SYS_ADMIN).unwrap();
    assert!(verdict(&admin, "mount").is_some() && verdict(&admin, "clone3").is_none());
}

#[test]
fn two_conditions_on_one_argument_are_two_rules() {
    let with = |args: Value| {
        let entry = json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": args});
        let value = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [entry]});
        verdict(&read(&value, Set::empty()).unwrap(), "clone")
            .unwrap()
            .rules
    };
    let equal =
        |index: u8, value: u64| json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"});
    let both = with(json!([equal(0, 1), equal(1, 2)]));
    assert_eq!((both.len(), both[0].conditions.len()), (1, 2));
    // All of them, as runc: not only those about that argument.
    let either = with(json!([equal(0, 1), equal(0, 2), equal(1, 3)]));
    let indexes: Vec<_> = either
        .iter()
        .map(|rule| (rule.conditions.len(), rule.conditions[0].value))
        .collect();
    assert_eq!(indexes, [(1, 1), (1, 2), (1, 3)]);
}

#[test]
fn what_is_said_by_default_is_not_said_again() {
    let value = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["personality"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
    ]});
    let profile = read(&value, Set::empty()).unwrap();
    assert_eq!(verdict(&profile, "personality").unwrap().rules.len(), 1);
}

#[test]
fn what_is_wrong_is_said() {
    let fails = |value: Value| read(&value, Set::empty()).unwrap_err();
    let with = |entry: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [entry]});
    assert_eq!(fails(json!([])), "a profile is an object");
    assert_eq!(fails(json!({})), "defaultAction is missing");
    assert_eq!(
        fails(json!({"defaultAction": "SCMP_ACT_NO"})),
        "defaultAction: \"SCMP_ACT_NO\" is not known"
    );
    assert_eq!(
        fails(with(json!({"names": ["raed"], "action": "SCMP_ACT_ERRNO"}))),
        "\"raed\" is no system call"
    );
    assert_eq!(
        fails(with(json!({"names": ["read"]}))),
        "syscalls: action is missing"
    );
    assert_eq!(
        fails(with(json!({"names": "read", "action": "SCMP_ACT_LOG"}))),
        "syscalls: names must be an array"
    );
    assert!(fails(with(json!({"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}))).contains("is no condition"));
    assert!(
        fails(with(
            json!({"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000})
        ))
        .contains("is no errno")
    );
    assert!(
        fails(with(
            json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"})
        ))
        .contains("could listen")
    );
    assert!(
        fails(json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"]}))
            .contains("not among them")
    );
    assert!(
        fails(json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]})).contains("not known")
    );
}

#[test]
fn a_later_kernel_s_calls_are_unknown_unless_everything_is_allowed() {
    let beyond = |action: &str| {
        read(&json!({"defaultAction": action}), Set::empty())
            .unwrap()
            .filter
            .beyond
    };
    assert_eq!(beyond("SCMP_ACT_ALLOW"), Action::Allow);
    assert_eq!(beyond("SCMP_ACT_ERRNO"), Action::Errno(38));
}

#[test]
fn kernels_have_versions() {
    assert_eq!(version("6.1.0-13-amd64"), Some((6, 1)));
    assert_eq!(version("5.10"), Some((5, 10)));
    assert_eq!(version("x"), None);
}
