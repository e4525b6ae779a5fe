//! `nsrun drop`: what is inside, and what no longer goes.

use tests::{Node, Output};

/// Facts about the process that runs it, one on a line.
const LOOK: &str = r#"
    caps() { grep ^Cap$1: /proc/self/status | tr -s '\t ' ' ' | sed 's/^Cap//; s/0000*\([0-9a-f]\)/\1/'; }
    for set in Inh Prm Eff Bnd Amb; do caps $set; done
    grep -E '^(NoNewPrivs|Seccomp|Groups|SigBlk|SigIgn):' /proc/self/status | tr -s '\t ' ' ' | sed 's/ $//'
    echo id $(id -u) $(id -g)
    echo umask $(umask)
    echo core $(ulimit -c) nofile $(ulimit -Sn)
    echo descriptors $(cd /proc/self/fd; echo *)
    echo env $(env | grep -v -e ^PWD -e ^SHLVL -e ^_ | sort)
    [ $(cut -d' ' -f6 /proc/self/stat) = $$ ] && echo own session || echo the session of another
"#;

/// Runs LOOK behind `nsrun drop OPTIONS`, with everything there that could leak.
fn look(node: &Node, options: &str) -> Output {
    node.sh_with("cat >look.sh", LOOK).succeeds();
    let run = node.sh(&format!(
        "export SECRET=x; umask 0; ulimit -Sc unlimited 2>/dev/null; trap '' HUP PIPE; exec 7<look.sh 9</etc/passwd
         setpriv --groups 4242,4243 nsrun drop {options} -- bash look.sh"
    ));
    node.sh("rm look.sh").succeeds();
    run
}

#[test]
fn nothing_is_left_by_default() {
    let node = Node::new();
    look(&node, "").succeeds().prints(
        "Inh: 0\nPrm: 0\nEff: 0\nBnd: 0\nAmb: 0\n\
         Groups: 0\nSigBlk: 0000000000000000\nSigIgn: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2\n\
         id 0 0\numask 0022\ncore 0 nofile 1024\ndescriptors 0 1 2 3\n\
         env HOME=/ PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nown session",
    );
    node.assert_as_it_was();
}

#[test]
fn presets_and_lists_leave_what_they_name() {
    let node = Node::new();
    let sets = |options: &str| {
        let run = look(&node, options).succeeds();
        let lines: Vec<String> = run.stdout.lines().take(6).map(str::to_owned).collect();
        lines.join(" ")
    };
    let root = |set: &str| format!("Inh: 0 Prm: {set} Eff: {set} Bnd: {set} Amb: 0 Groups: 0");
    assert_eq!(sets("--caps docker"), root("a80425fb"));
    assert_eq!(sets("--caps podman"), root("800405fb"));
    assert_eq!(sets("--caps chown,KILL,cap_setuid"), root("a1"));
    // Who is not root has of a preset nothing, as in docker, and of a list what it names.
    assert_eq!(
        sets("--caps docker --user 1000"),
        "Inh: 0 Prm: 0 Eff: 0 Bnd: a80425fb Amb: 0 Groups: 1000"
    );
    assert_eq!(
        sets("--caps net_bind_service --user 1000:100,5,6"),
        "Inh: 400 Prm: 400 Eff: 400 Bnd: 400 Amb: 400 Groups: 5 6 100"
    );
    // Cut to what there is.
    let run = node.sh(
        "setpriv --bounding-set -all,+chown,+setpcap,+setuid,+setgid nsrun drop --caps docker -- grep ^Cap[BE] /proc/self/status",
    );
    let expected = "CapEff:\t00000000000001c1\nCapBnd:\t00000000000001c1";
    run.succeeds().prints(expected);
    node.assert_as_it_was();
}

#[test]
fn what_is_asked_for_is_there() {
    let node = Node::new();
    let run = look(
        &node,
        "--user 7:8 --umask 077 --rlimit nofile=100:200 --rlimit core=5120 --env A=b --env SECRET --env PATH=/bin:/usr/bin --keep-fd 7 --oom-score-adj 500 --no-new-privs=no --seccomp none --caps keep",
    )
    .succeeds();
    for line in [
        "id 7 8",
        "Groups: 8",
        "umask 0077",
        "core 5 nofile 100",
        "descriptors 0 1 2 3 7",
        "env A=b HOME=/var/spool/lpd PATH=/bin:/usr/bin SECRET=x",
        "NoNewPrivs: 0",
        "Seccomp: 0",
    ] {
        assert!(
            run.stdout.lines().any(|found| found == line),
            "{line}\n{run}"
        );
    }
    node.sh("export SECRET=x; nsrun drop --oom-score-adj 500 --keep-env -- sh -c 'cat /proc/self/oom_score_adj; echo $SECRET'")
        .succeeds()
        .prints("500\nx");
    node.assert_as_it_was();
}

#[test]
fn no_exec_brings_anything_back() {
    let node = Node::new();
    node.sh("mkdir setuid caps && cp $(command -v busybox) setuid && cp setuid/busybox caps && chmod 4755 setuid/busybox && setcap cap_net_raw,cap_sys_admin+p caps/busybox")
        .succeeds();
    let effective = "sh -c 'cat /proc/self/status' | grep -E '^(Uid|CapEff)' | tr -s '\\t' ' '";
    for (file, options) in [
        ("setuid", "--user 1000"),
        ("caps", "--user 1000"),
        ("caps", ""),
    ] {
        let uid = if options.is_empty() { 0 } else { 1000 };
        node.sh(&format!(
            "nsrun drop {options} -- ./{file}/busybox {effective}"
        ))
        .succeeds()
        .prints(&format!(
            "Uid: {uid} {uid} {uid} {uid}\nCapEff: 0000000000000000"
        ));
    }
    node.sh("rm -r setuid caps").succeeds();
    node.assert_as_it_was();
}

#[test]
fn calls_that_a_container_has_no_use_for_are_refused() {
    let node = Node::new();
    let program = r#"
import ctypes, fcntl, os, socket, sys, termios
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    return os.strerror(ctypes.get_errno()) if libc.syscall(number, *arguments) < 0 else "allowed"
names = dict(mount=165, unshare=272, keyctl=250, bpf=321, ptrace=101, io_uring_setup=425, clone3=435, add_key=248, perf_event_open=298, userfaultfd=323, chroot=161, beyond=9999)
for name, number in names.items():
    print(name, call(number, 0, 0, 0, 0, 0))
print("x32", call(0x40000000 | 39))
for family in (socket.AF_VSOCK, socket.AF_ALG, socket.AF_PACKET, socket.AF_INET):
    try:
        socket.socket(family, socket.SOCK_STREAM if family in (socket.AF_INET, socket.AF_VSOCK) else socket.SOCK_RAW if family == socket.AF_PACKET else socket.SOCK_SEQPACKET)
        print(family.name, "allowed")
    except OSError as error:
        print(family.name, error.strerror)
"#;
    if std::env::consts::ARCH != "x86_64" {
        return;
    }
    node.sh_with("cat >calls.py", program).succeeds();
    let no = "Operation not permitted";
    let mut expected: Vec<String> = [
        "mount",
        "unshare",
        "keyctl",
        "bpf",
        "ptrace",
        "io_uring_setup",
    ]
    .iter()
    .map(|name| format!("{name} {no}"))
    .collect();
    expected.push("clone3 Function not implemented".into());
    expected.extend(
        ["add_key", "perf_event_open", "userfaultfd", "chroot"]
            .iter()
            .map(|name| format!("{name} {no}")),
    );
    expected.push("beyond Function not implemented\nx32 Function not implemented".into());
    expected.extend(
        ["VSOCK", "ALG", "PACKET"]
            .iter()
            .map(|name| format!("AF_{name} {no}")),
    );
    expected.push("AF_INET allowed".into());
    node.sh("nsrun drop -- python3 calls.py")
        .succeeds()
        .prints(&expected.join("\n"));
    node.sh("rm calls.py").succeeds();
    node.assert_as_it_was();
}

#[test]
fn the_caller_s_keys_stay_with_the_caller() {
    if std::env::consts::ARCH != "x86_64" {
        return;
    }
    let node = Node::new();
    // keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0)
    let program = "import ctypes; print(ctypes.CDLL(None).syscall(250, 0, -3, 0))";
    node.sh_with("cat >keyring.py", program).succeeds();
    node.sh(
        "ours=$(python3 keyring.py); theirs=$(nsrun drop --seccomp none -- python3 keyring.py)
         [ $ours -gt 0 ] && [ $theirs -gt 0 ] && [ $ours != $theirs ] && echo another
         [ $(nsrun exec -- python3 keyring.py) = $ours ] && echo the same",
    )
    .succeeds()
    .prints("another\nthe same");
    node.sh("rm keyring.py").succeeds();
    node.assert_as_it_was();
}

#[test]
fn nobody_types_into_the_caller_s_terminal() {
    let node = Node::new();
    let program = r#"
import fcntl, sys, termios
for request in (termios.TIOCSTI, termios.TIOCSTI | 1 << 32):
    try:
        fcntl.ioctl(0, request & 0xffffffff if request < 1 << 32 else request, b"x")
        print("typed")
    except (OSError, OverflowError) as error:
        print(getattr(error, "strerror", "refused"))
"#;
    node.sh_with("cat >type.py", program).succeeds();
    // A job of an interactive shell cannot leave its session: there the call itself is refused, whatever filter was asked for.
    for options in ["", "--seccomp none", "--seccomp none --caps keep"] {
        let run = node.sh(&format!(
            "script -qec 'bash -ic \"nsrun drop {options} -- python3 type.py\"' /dev/null </dev/null"
        ));
        assert!(
            !run.stdout.contains("typed") && run.stdout.contains("not permitted"),
            "{options}: {run}"
        );
    }
    node.sh("rm type.py").succeeds();
    node.assert_as_it_was();
}

#[test]
fn a_command_dies_with_the_parent_that_had_said_so() {
    let node = Node::new();
    let run = node.sh(
        "for how in '--fork' '--pid'; do
             coproc { exec nsrun exec $how -- nsrun drop --user 1000 -- sh -c 'echo ready; read x'; }
             read -r line <&${COPROC[0]}; exec 5<&${COPROC[0]}
             kill -KILL $COPROC_PID; wait $COPROC_PID 2>/dev/null
             timeout 20 cat <&5; echo $line $?
         done",
    );
    run.succeeds().prints("ready 0\nready 0");
    node.assert_as_it_was();
}

#[test]
fn a_name_is_looked_up_in_files_that_may_be_anything() {
    let node = Node::new();
    node.sh(
        "printf 'root:x:0:0::/root:/bin/sh\\nmaria:x:1000:100::/home/maria:/bin/sh\\n' >passwd
         printf 'adm:x:4:joe,maria\\nusers:x:100:\\n' >group
         mount --bind passwd /etc/passwd && mount --bind group /etc/group",
    )
    .succeeds();
    node.sh("nsrun drop --user maria -- sh -c 'grep ^Groups /proc/self/status; echo $HOME'; nsrun drop --user maria:adm -- grep ^Groups /proc/self/status; nsrun drop --user 1000:0 -- grep ^Groups /proc/self/status")
        .succeeds()
        .prints("Groups:\t4 100 \n/home/maria\nGroups:\t4 \nGroups:\t0");
    for (user, line) in [
        ("joe", "--user: joe is not in /etc/passwd"),
        ("maria:staff", "--user: staff is not in /etc/group"),
    ] {
        let run = node
            .sh(&format!("nsrun drop --user {user} -- touch ran"))
            .ends(125);
        assert_eq!(run.stderr, format!("nsrun: {line}\n"));
    }
    node.sh("umount /etc/passwd /etc/group && rm passwd group")
        .succeeds();
    for (what, make) in [
        ("a FIFO", "mkfifo odd"),
        ("a link", "ln -s /proc/kmsg odd"),
        ("a link to itself", "ln -s passwd odd"),
        ("a link out", "ln -s ../../../../etc/shadow odd"),
        ("too long", "truncate -s 2M odd"),
        ("a gigabyte", "truncate -s 1G odd"),
        ("nonsense", "head -c 500000 /dev/urandom >odd"),
        ("long lines", "head -c 1000000 /dev/zero | tr '\\0' : >odd"),
        ("a device", "mknod odd c 1 5"),
        ("nothing", "touch odd; rm group 2>/dev/null"),
        ("a directory", "mkdir odd"),
    ] {
        // Not bash, which itself reads the file when it starts.
        let run = |options: &str, command: &str| {
            node.sh(&format!(
                "mkdir etc; cd etc; {make}; mv odd passwd; cd ..
                 nsrun exec -m sh -c 'mount --bind etc /etc; exec timeout 20 nsrun drop {options} -- {command}'; status=$?
                 rm -r etc; exit $status"
            ))
        };
        let refused = run("--user maria", "touch /tmp/ran")
            .ends(125)
            .says_one_line("nsrun");
        assert!(refused.stderr.contains("/etc/passwd"), "{what}: {refused}");
        // A number needs no file.
        run("--user 1000", "sh -c \"cat /proc/self/uid_map\" >/dev/null").succeeds();
    }
    node.assert_as_it_was();
}

#[test]
fn what_cannot_be_is_one_line_and_nothing_runs() {
    let node = Node::new();
    node.sh("echo '{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"raed\"],\"action\":\"SCMP_ACT_ERRNO\"}]}' >bad.json; echo x >none.json; echo '{\"defaultAction\":\"SCMP_ACT_ERRNO\"}' >all.json")
        .succeeds();
    for (options, words) in [
        ("--caps net_row", "is no capability (net_raw"),
        ("--caps ''", "is no capability"),
        ("--seccomp bad.json", "\"raed\" is no system call"),
        ("--seccomp none.json", "no JSON"),
        ("--seccomp all.json", "it refuses execve, and with it CMD"),
        (
            "--seccomp /no/such",
            "open(/no/such): No such file or directory",
        ),
        (
            "--rlimit nofile=1:99999999999",
            "setrlimit(nofile=1:99999999999): Operation not permitted (above the hard limit there is)",
        ),
        ("--rlimit files=1", "is no limit (as core"),
        ("--user 0x0", "is no UID[:GID"),
        ("--user -1", "--user"),
        ("--user 4294967295", "is no UID"),
        ("--user ' 1'", "is no UID"),
        ("--user 1000:", "is no UID"),
        ("--umask 8", "is no mode"),
        ("--env =x", "has no name"),
        ("--keep-fd 77", "fcntl(77, F_SETFD, 0)"),
        ("--bogus", "unexpected argument"),
    ] {
        let run = node.sh(&format!("nsrun drop {options} -- touch ran"));
        assert_eq!(run.status, 125, "{run}");
        assert_eq!(run.stderr.lines().count(), 1, "{run}");
        assert!(run.stderr.contains(words), "{words}: {run}");
    }
    let run = node.sh("nsrun drop").ends(125);
    assert!(run.stderr.contains("what to run is missing"), "{run}");
    node.sh("nsrun drop -- /no/such").ends(127);
    node.sh("nsrun drop -- /etc/passwd").ends(126);
    node.sh("nsrun drop -- sh -c 'exit 7'").ends(7);
    node.sh("! test -e ran; rm bad.json none.json all.json")
        .succeeds();
    node.assert_as_it_was();
}

#[test]
fn profiles_of_docker_and_of_a_record_are_taken() {
    let node = Node::new();
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28},
        {"names":["kill"],"action":"SCMP_ACT_ERRNO","errnoRet":3,"args":[{"index":1,"value":15,"op":"SCMP_CMP_EQ"}]}]}"#;
    node.sh_with("cat >profile.json", profile).succeeds();
    let run = node.sh("LC_ALL=C nsrun drop --seccomp profile.json -- sh -c 'mkdir x; kill -TERM $$; kill -0 $$ && echo lives'");
    run.clone().succeeds().prints("lives");
    assert!(
        run.stderr.contains("No space left on device") && run.stderr.contains("No such process"),
        "{run}"
    );
    node.sh(
        r#"jq -c '{id:"foo",process:{user:{uid:7,gid:8,additionalGids:[9],umask:63},args:["sh","-c","id -u; grep ^Groups /proc/self/status; umask; pwd; echo $A; mkdir x 2>&1; ulimit -Sn; grep CapEff /proc/self/status"],cwd:"/tmp",env:["A=b","PATH=/bin:/usr/bin"],rlimits:[{type:"RLIMIT_NOFILE",soft:99,hard:99}],capabilities:{bounding:["CAP_CHOWN"],effective:["CAP_CHOWN"]}},linux:{seccomp:.}}' profile.json >foo.json
           LC_ALL=C nsrun drop -P foo.json; nsrun drop -P foo.json --user 3 -- id -u; nsrun drop -P foo.json --dry-run --json | jq -c .user"#,
    )
    .succeeds()
    .prints("7\nGroups:\t8 9 \n0077\n/tmp\nb\nmkdir: cannot create directory 'x': No space left on device\n99\nCapEff:\t0000000000000000\n3\n{\"uid\":7,\"gid\":8,\"additionalGids\":[9],\"umask\":63}");
    node.sh("rm profile.json foo.json").succeeds();
    node.assert_as_it_was();
}

#[test]
fn an_ordinary_user_drops_what_he_can() {
    let node = Node::new();
    let as_user = "setpriv --reuid 1000 --regid 1000 --groups 1000";
    node.sh(&format!(
        "{as_user} nsrun drop -- grep -E '^(CapEff|NoNewPrivs|Seccomp|Groups):' /proc/self/status | tr -s '\\t' ' '"
    ))
    .succeeds()
    .prints("Groups: 1000 \nCapEff: 0000000000000000\nNoNewPrivs: 1\nSeccomp: 2");
    let run = node
        .sh(&format!("{as_user} nsrun drop --user 1001 -- true"))
        .ends(125);
    assert!(run.stderr.contains("needs CAP_SET"), "{run}");
    let run = node
        .sh(&format!("{as_user} nsrun drop --no-new-privs=no -- true"))
        .ends(125);
    assert!(run.stderr.contains("--no-new-privs"), "{run}");
    // As root of a user namespace he can do all of it.
    node.sh(&format!(
        "{as_user} nsrun exec -r -- nsrun drop -- grep -E '^Cap(Bnd|Eff)' /proc/self/status | tr -s '\\t' ' '"
    ))
    .succeeds()
    .prints("CapEff: 0000000000000000\nCapBnd: 0000000000000000");
    node.assert_as_it_was();
}
