//! What `netwire` does beside `up` and `down` is disturbed at each of its system calls; see [`tests::trial`].

use tests::trial::{Trial, Verb};

/// A pod with everything that is in the tables, and a service that leads to it.
const UP: &str = "nsrun up --id foo --net | netwire up --subnet 10.244.0.0/24 --subnet fd00:244::/64 --nat --publish 8080:80 --rate 10mbit --deny 10.9.0.0/16 >pod.json";
const SERVICE: &str =
    "netwire service up web --vip 10.96.0.1 --vip fd00:96::1 --port 80 --to 10.244.0.2 2>/dev/null";
const GONE: &str = "netwire service down --all; netwire reapply >/dev/null";

const NETWIRE: Trial = Trial {
    tool: "netwire",
    ..Trial::ROW
};

#[test]
fn netwire_service_set() {
    // What is taken back is the change.
    let as_it_was = "netwire service set web --to 10.244.0.2 2>/dev/null";
    Trial {
        once: SERVICE,
        command: "netwire service set web --add 10.244.0.3 --add 10.244.0.4,weight=3",
        by_id: as_it_was,
        finally: GONE,
        ..NETWIRE
    }
    .leaves_nothing();
}

#[test]
fn netwire_reapply() {
    let once = format!("{UP}; {SERVICE}");
    let finally =
        format!("{GONE}; nsrun down <pod.json | netwire down >/dev/null; {GONE}; rm pod.json");
    Trial {
        verb: Verb::Down,
        once: &once,
        each: "pod=; nft flush ruleset",
        command: "netwire reapply",
        by_id: "netwire reapply >/dev/null",
        finally: &finally,
        ..NETWIRE
    }
    .leaves_nothing();
}

#[test]
fn netwire_gc() {
    let each = format!(
        "pod=; {UP}; nsrun down <pod.json >/dev/null; rm -r pod.json /run/chroot0/foo; while ip link | grep -q veth; do :; done"
    );
    Trial {
        verb: Verb::Down,
        each: &each,
        command: "netwire gc",
        by_id: "netwire gc >/dev/null",
        finally: "rmdir /run/chroot0",
        ..NETWIRE
    }
    .leaves_nothing();
}

/// Asks when all is ready, and again when that connection is the one that was disturbed, and ends what forwards.
const ASK: &str = r#"
until grep -qsx ready .stdout; do [ ! -e .over ] || exit 0; sleep 0.01; done
for try in 1 2 3; do
    curl -s -m 5 http://127.0.0.1:8080/ >.answer && grep -q '^I am foo' .answer && echo >answered && break
done
rm -f .answer
kill $(pidof netwire)
"#;

#[test]
fn netwire_forward() {
    let once = format!(
        "nsrun up --id foo --net >pod.json; cat >ask <<'END'\n{ASK}\nEND
        nsrun exec -P pod.json -- /mnt/node serve 80 'I am foo' >listening 2>/dev/null </dev/null & disown
        until [ -s listening ]; do sleep 0.01; done"
    );
    Trial {
        once: &once,
        each: "pod=; sh ask & asker=$!",
        command: "netwire forward -q -P pod.json 127.0.0.1:8080:80",
        // What failed later has answered all the same.
        then: "echo >.over; wait $asker; rm .over; [ $status = 0 ] || rm -f answered",
        by_id: "rm -f answered",
        finally: "nsrun down <pod.json >/dev/null; rm ask listening pod.json",
        ..NETWIRE
    }
    .leaves_nothing();
}
