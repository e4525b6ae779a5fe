//! Ports of this machine that lead to ports of a pod which has nothing but lo.

use tests::{Node, Output};

/// A pod without any interface.
const UP: &str = "nsrun up --id foo --net >foo.json";

/// Servers and clients: `peer.py WHAT PORT ...`.
const PEER: &str = r#"
import hashlib, select, socket, sys, threading, time
what, port, rest = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
def all_of(c):
    parts = []
    while True:
        part = c.recv(1 << 16)
        if not part: return b''.join(parts)
        parts.append(part)
def connect(): return socket.create_connection(('127.0.0.1', port))
def serve(handle):
    s = socket.create_server(('127.0.0.1', port), backlog=4096)
    print('listening', flush=True)
    while True: threading.Thread(target=handle, args=(s.accept()[0],), daemon=True).start()
def echo(c):
    while True:
        part = c.recv(1 << 16)
        if not part: break
        c.sendall(part)
    c.close()
def digest(c):                                   # answers when everything was read
    data = all_of(c); c.sendall(f'{len(data)} {hashlib.sha256(data).hexdigest()}'.encode()); c.close()
def first(c):                                    # ends its own direction first
    c.sendall(b'hello'); c.shutdown(socket.SHUT_WR); print(all_of(c).decode(), flush=True); c.close()
def lazy(c):                                     # reads nothing before it is told to
    import os
    while not os.path.exists('go'): time.sleep(0.01)
    digest(c)
if what in ('echo', 'digest', 'first', 'lazy'): serve({'echo': echo, 'digest': digest, 'first': first, 'lazy': lazy}[what])
elif what == 'send':                             # so many bytes, then the end of this direction
    data = (bytes(range(256)) * 4099)[:1000003] * int(rest[0])
    c = connect(); c.sendall(data); c.shutdown(socket.SHUT_WR)
    answer = all_of(c).decode()
    print('same' if answer == f'{len(data)} {hashlib.sha256(data).hexdigest()}' else answer)
elif what == 'listen-first':
    c = connect(); print(all_of(c).decode()); c.sendall(b'goodbye'); c.close()
elif what == 'fill':                             # how much is taken while nobody reads
    c = connect(); c.setblocking(False); sent = 0; data = bytes(1 << 16); patience = 0
    while patience < 50:
        try: sent += c.send(data); patience = 0
        except BlockingIOError: patience += 1; time.sleep(0.01)
    print(sent, flush=True)
    c.setblocking(True); open('go', 'w').close(); c.shutdown(socket.SHUT_WR)
    print(int(all_of(c).decode().split()[0]) - sent)
elif what == 'one-by-one':
    for at in range(int(rest[0])):
        with connect() as c:
            c.sendall(b'x%d' % at)
            assert c.recv(100) == b'x%d' % at
    print('done')
elif what == 'at-once':
    all = [connect() for _ in range(int(rest[0]))]
    for at, c in enumerate(all): c.sendall(b'x%d' % at)
    for at, c in enumerate(all): assert c.recv(100) == b'x%d' % at, at
    print('open', flush=True)
    if rest[1:]: sys.stdin.read()
    for c in all: c.close()
elif what == 'hold':
    c = connect(); c.sendall(b'x'); c.recv(1); print('open', flush=True)
    try: print(len(c.recv(1)))
    except ConnectionResetError: print('reset')
"#;

fn node() -> Option<Node> {
    let node = Node::new();
    if !node.has("python3") {
        return None;
    }
    node.sh_with("cat >peer.py", PEER).succeeds();
    node.sh(UP).succeeds();
    Some(node)
}

/// `script` while a server of the pod and a forward to it run; `$port` is the forward's first, `$forward` its process.
fn forwarding(node: &Node, server: &str, arguments: &str, script: &str) -> Output {
    node.sh(&format!(
        "exec 9< <(exec nsrun exec -P foo.json -- {server}); server=$!; read -r listening <&9
         rm -f out; netwire forward -P foo.json {arguments} >out 2>err & forward=$!
         until grep -qsx ready out; do kill -0 $forward || {{ cat err >&2; exit 99; }}; done
         port=$(sed -n '1s/ .*//; 1s/.*://p' out)
         ( {script} ); status=$?
         kill $forward 2>/dev/null; wait $forward; ended=$?
         kill $server; exec 9<&-; cat err >&2
         [ $status = 0 ] && exit $ended; exit $status"
    ))
}

#[track_caller]
fn clean(node: &Node) {
    node.sh("nsrun down <foo.json | netwire down >/dev/null; rm -rf *")
        .succeeds();
    node.becomes_as_it_was();
}

#[test]
fn a_pod_with_only_lo_is_reached_by_both_families_and_a_free_port_is_told() {
    let Some(node) = node() else { return };
    forwarding(
        &node,
        "/mnt/node serve 80 'hello {peer}'",
        ":80 8080:80",
        "curl -sS -m 5 http://127.0.0.1:$port/; echo; curl -sS -m 5 http://[::1]:$port/; echo
         curl -sS -m 5 http://127.0.0.1:8080/; echo; sed s/$port/PORT/ out",
    )
    .succeeds()
    .prints(
        "hello 127.0.0.1\nhello 127.0.0.1\nhello 127.0.0.1
127.0.0.1:PORT -> 80/tcp\n[::1]:PORT -> 80/tcp\n127.0.0.1:8080 -> 80/tcp\n[::1]:8080 -> 80/tcp\nready",
    );
    // by the name alone, and one that listens on ::1 alone
    node.sh("exec 9< <(exec nsrun exec -P foo.json -- python3 -c '
import socket
s = socket.create_server((\"::1\", 80), family=socket.AF_INET6); print(flush=True)
s.accept()[0].sendall(b\"six\")'); server=$!; read -r listening <&9
         exec 8< <(exec netwire forward --id foo 127.0.0.1:8080:80); forward=$!
         read -r first <&8; read -r second <&8; echo $first, $second
         exec 3<>/dev/tcp/127.0.0.1/8080; cat <&3; kill $forward")
        .succeeds()
        .prints("127.0.0.1:8080 -> 80/tcp, ready\nsix");
    clean(&node);
}

#[test]
fn each_direction_ends_by_itself_and_nothing_is_lost() {
    let Some(node) = node() else { return };
    forwarding(
        &node,
        "python3 peer.py digest 9000",
        ":9000",
        "for times in 0 1 30; do python3 peer.py send $port $times; done",
    )
    .succeeds()
    .prints("same\nsame\nsame");
    forwarding(
        &node,
        "python3 peer.py first 9000",
        ":9000",
        "python3 peer.py listen-first $port; read -r -u 9 last; echo $last",
    )
    .succeeds()
    .prints("hello\ngoodbye");
    clean(&node);
}

#[test]
fn who_does_not_read_is_not_sent_more_than_fits() {
    let Some(node) = node() else { return };
    let answer = forwarding(
        &node,
        "python3 peer.py lazy 9000",
        ":9000",
        "python3 peer.py fill $port; grep VmHWM /proc/$forward/status",
    )
    .succeeds();
    let numbers: Vec<u64> = answer
        .stdout
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [taken, lost, resident] = numbers[..] else {
        panic!("{answer}");
    };
    assert!(
        taken < 64 << 20,
        "{taken} bytes were taken that nobody read"
    );
    assert_eq!(lost, 0);
    assert!(resident < 16 << 10, "{resident} KiB: it keeps what is sent");
    clean(&node);
}

#[test]
fn ten_thousand_one_by_one_and_a_thousand_at_once_leave_nothing_open() {
    let Some(node) = node() else { return };
    forwarding(
        &node,
        "python3 peer.py echo 9000",
        "127.0.0.1::9000",
        "sockets() { readlink /proc/$forward/fd/* | grep -c ^socket; }
         before=$(sockets)
         python3 peer.py one-by-one $port 10000
         until [ $(sockets) = $before ]; do :; done
         for i in 1 2; do
             coproc { exec python3 peer.py at-once $port 1000 wait; }; read -r open <&${COPROC[0]}
             echo $open $(($(sockets) - before))
             eval \"exec ${COPROC[1]}>&-\"; wait $COPROC_PID
             until [ $(sockets) = $before ]; do :; done
         done
         readlink /proc/$forward/fd/* | awk '/^pipe/ { count++ } END { print count <= 128 ? \"few\" : count, \"pipes\" }'",
    )
    .succeeds()
    .prints("done\nopen 2000\nopen 2000\nfew pipes");
    clean(&node);
}

#[test]
fn with_few_descriptors_connections_wait_for_each_other() {
    let Some(node) = node() else { return };
    forwarding(
        &node,
        "python3 peer.py echo 9000",
        "127.0.0.1::9000",
        "python3 peer.py at-once $port 500",
    )
    .succeeds()
    .prints("open");
    // four at a time: the fifth and those after it are taken when one has ended
    node.sh(
        "exec 9< <(exec nsrun exec -P foo.json -- python3 peer.py echo 9000); server=$!; read -r listening <&9
         exec 8< <(exec prlimit --nofile=64:64 netwire forward -P foo.json 127.0.0.1:8080:9000); forward=$!
         read -r first <&8; read -r ready <&8
         for i in $(seq 4); do coproc HOLD { exec python3 peer.py hold 8080; } 2>/dev/null; read -r open <&${HOLD[0]}; holds=\"$holds $HOLD_PID\"; done
         coproc LATE { exec python3 peer.py one-by-one 8080 20; } 2>/dev/null
         late=$LATE_PID; exec 7<&${LATE[0]}
         until ss -Htn state established '( sport = :8080 )' | awk 'END { exit NR != 5 }'; do :; done
         readlink /proc/$forward/fd/* | grep -c ^socket
         set -- $holds; kill $1; read -r done <&7; echo $done
         kill $holds 2>/dev/null; kill $forward $server; wait $late",
    )
    .succeeds()
    .prints("9\ndone");
    node.sh("prlimit --nofile=37:37 netwire forward -P foo.json :80")
        .ends(1)
        .says_one_line("netwire")
        .says("37 open files are too few to forward anything (ulimit -Hn)");
    clean(&node);
}

#[test]
fn datagrams_find_back_to_who_asked_and_who_is_silent_is_forgotten() {
    let Some(node) = node() else { return };
    forwarding(
        &node,
        "/mnt/node serve 53 'name {peer}'",
        ":53/udp --udp-idle 1",
        "sockets() { readlink /proc/$forward/fd/* | grep -c ^socket; }
         before=$(sockets)
         exec 3<>/dev/udp/127.0.0.1/$port 4<>/dev/udp/::1/$port
         echo ? >&3; timeout 5 head -c 14 <&3; echo
         echo ? >&4; timeout 5 head -c 14 <&4; echo
         echo $(($(sockets) - before))
         until [ $(sockets) = $before ]; do :; done
         echo ? >&3; timeout 5 head -c 14 <&3; echo",
    )
    .succeeds()
    .prints("name 127.0.0.1\nname 127.0.0.1\n2\nname 127.0.0.1");
    // nobody there: said once, and it goes on
    forwarding(
        &node,
        "/mnt/node serve 53 name",
        "127.0.0.1::54/udp",
        "exec 3<>/dev/udp/127.0.0.1/$port; echo ? >&3; until grep -q refused err; do :; done; kill -0 $forward",
    )
    .succeeds()
    .says("netwire: foo: connect(127.0.0.1:54): Connection refused (nothing listens there, in the pod)");
    clean(&node);
}

#[test]
fn nobody_there_is_a_reset_and_a_line_and_the_next_may_have_more_luck() {
    let Some(node) = node() else { return };
    forwarding(
        &node,
        "python3 peer.py echo 9000",
        "8080:80 9000",
        "for i in 1 2 3; do python3 peer.py hold 8080 2>&1 | tail -n 1; done; python3 peer.py at-once 9000 3",
    )
    .succeeds()
    .says("netwire: foo: connect(127.0.0.1:80): Connection refused (nothing listens there, in the pod)")
    .says_one_line("netwire")
    .prints("ConnectionResetError: [Errno 104] Connection reset by peer\nConnectionResetError: [Errno 104] Connection reset by peer\nConnectionResetError: [Errno 104] Connection reset by peer\nopen");
    clean(&node);
}

#[test]
fn a_signal_is_a_good_end_and_the_end_of_the_pod_is_none() {
    let Some(node) = node() else { return };
    for signal in ["INT", "TERM"] {
        // from a terminal's shell; `&` in a script would have INT ignored
        let script = format!(
            "set -m; exec 9< <(exec nsrun exec -P foo.json -- python3 peer.py echo 9000); server=$!; read -r listening <&9
             rm -f out; netwire forward -P foo.json 9000 >out & forward=$!
             until grep -qsx ready out; do :; done
             coproc {{ exec python3 peer.py hold 9000; }}; read -r open <&${{COPROC[0]}}
             kill -{signal} $forward; wait $forward; echo $? $open; cat <&${{COPROC[0]}}; kill $server"
        );
        let answer = node.sh(&script).succeeds();
        assert!(
            ["0 open\n0\n", "0 open\nreset\n"].contains(&answer.stdout.as_str()),
            "{answer}"
        );
    }
    node.sh("rm out; netwire forward -P foo.json 9000 >out & forward=$!; until grep -qsx ready out; do :; done
         nsrun down <foo.json >/dev/null; wait $forward")
        .ends(1)
        .says_one_line("netwire")
        .says("the pod has ended: the process of /proc/")
        .says("/ns/net is gone");
    node.sh("netwire forward -P foo.json 9000")
        .ends(1)
        .says_one_line("netwire")
        .says("gone");
    // one that is pinned has no process that could end
    node.sh("nsrun up --id bar --net --pin >bar.json
         rm out; netwire forward -P bar.json 9000 >out & forward=$!; until grep -qsx ready out; do :; done
         nsrun down <bar.json >/dev/null; wait $forward")
        .ends(1)
        .says_one_line("netwire")
        .says("the pod has ended");
    clean(&node);
}

#[test]
fn what_cannot_be_listened_on_is_one_line_and_nothing_is_left_listening() {
    let Some(node) = node() else { return };
    let forward = |arguments: &str| {
        node.sh(&format!(
            "timeout 10 netwire forward -P foo.json {arguments}"
        ))
        .ends(1)
        .prints("")
        .says_one_line("netwire")
    };
    node.sh("/mnt/node serve 80 x >listening 2>&1 & echo $! >pid; until grep -q . listening; do :; done")
        .succeeds();
    forward("8080:80 80")
        .says("netwire: bind(127.0.0.1:80/tcp): Address already in use (the port is taken;");
    forward("80/udp").says("bind(127.0.0.1:80/udp): Address already in use");
    forward("192.0.2.7:8080:80").says(
        "netwire: bind(192.0.2.7:8080/tcp): Cannot assign requested address (no address of this host)",
    );
    node.sh("kill $(cat pid); echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
        .succeeds();
    forward("[::1]:8080:80").says(
        "netwire: bind([::1]:8080/tcp): Cannot assign requested address (no address of this host)",
    );
    // where there is no ::1, 127.0.0.1 is all there is
    node.sh("exec 8< <(exec netwire forward -P foo.json 8080:80); forward=$!; head -n 2 <&8; kill $forward
         echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
        .succeeds()
        .prints("127.0.0.1:8080 -> 80/tcp\nready");
    node.sh("cat foo.json foo.json | netwire forward 80")
        .ends(2)
        .says_one_line("netwire")
        .says("2 records, and one pod at a time");
    node.sh("jq -c '.failed = {tool: \"cgset\", error: \"no\"}' foo.json | netwire forward 80")
        .ends(2)
        .says_one_line("netwire")
        .says("this record is of a pod that failed (cgset: no)");
    node.sh("netwire forward -P foo.json 80:http")
        .ends(2)
        .says_one_line("netwire")
        .says("\"http\" is no port (1 to 65535)");
    clean(&node);
}

#[test]
fn on_a_terminal_a_line_tells_how_far_it_is() {
    let Some(node) = node() else { return };
    if !node.has("script") {
        return;
    }
    let run = |options: &str| {
        node.sh(&format!(
            "rm -f typescript; exec 9< <(exec nsrun exec -P foo.json -- python3 peer.py digest 9000); server=$!; read -r listening <&9
             script -qefc 'exec netwire forward -P foo.json 9000 {options}' typescript </dev/null >/dev/null & script=$!
             until grep -qs ready typescript; do :; done
             python3 peer.py send 9000 1
             kill $(pgrep -x netwire); wait $script; kill $server; tr '\\r' '\\n' <typescript"
        ))
        .succeeds()
    };
    run("").says("0 open, 1 done, 976.6 KiB to the pod, 72 B back");
    let quiet = run("-q");
    assert!(!quiet.stdout.contains("to the pod"), "{quiet}");
    clean(&node);
}
