//! What tells something, or writes it out, is disturbed at each of its system calls; see [`tests::trial`].

use tests::trial::{Trial, Verb};

const TELL: Trial = Trial {
    verb: Verb::Tell,
    ..Trial::ROW
};

const BOX: Trial = Trial {
    tool: "mkbox",
    once: "mkbox up -q --copy ls,rm --bind /tmp:/data box >box.json; mkbox pack -o good.tar box",
    finally: "mkbox down <box.json >/dev/null; rm box.json good.tar",
    ..TELL
};

#[test]
fn mkbox_pack() {
    Trial {
        command: "mkbox pack -o out.tar box",
        // A file that is there is whole.
        then: "[ ! -e out.tar ] || { cmp -s out.tar good.tar && mv out.tar whole; }",
        by_id: "rm -f whole out.tar",
        ..BOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_pack_in_the_place_of_another() {
    Trial {
        command: "mkbox pack -o out.tar box",
        each: "pod=; echo old >out.tar",
        // The new one or the old one.
        then: "if cmp -s out.tar good.tar; then mv out.tar whole; else [ \"$(cat out.tar)\" = old ] && rm out.tar; fi",
        // What a kill left is whole, and the next one takes it away.
        by_id: "[ ! -e .out.tar.pack ] || { cmp .out.tar.pack good.tar && mkbox pack -o out.tar box; }; rm -f whole out.tar",
        ..BOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_pack_into_a_directory() {
    Trial {
        command: "mkbox pack -o out box",
        by_id: "rm -rf out",
        ..BOX
    }
    .leaves_nothing();
}

#[test]
fn mkbox_verify() {
    Trial {
        command: "mkbox verify --json box",
        ..BOX
    }
    .leaves_nothing();
}

#[test]
fn podspec() {
    let manifest = include_str!("../manifests/core-k8s-greedy.yaml");
    let once = format!("cat >pod.yaml <<'END'\n{manifest}\nEND");
    Trial {
        tool: "podspec",
        once: &once,
        command: "podspec pod.yaml",
        finally: "rm pod.yaml",
        ..TELL
    }
    .leaves_nothing();
}
