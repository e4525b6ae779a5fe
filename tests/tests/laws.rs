//! The laws of the record, on a tool whose effect is a file: see src/bin/mark.rs. No privilege is needed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A run directory and a directory for the files, gone with the value.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("chroot0-laws-{}-{count}", std::process::id()));
        fs::create_dir_all(path.join("made")).unwrap();
        Self(path)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mark"));
        command
            .args(arguments.split_whitespace())
            .env("CHROOT0_RUN", self.0.join("run"));
        if !arguments.starts_with("exec") {
            command.arg("--dir").arg(self.0.join("made"));
        }
        command
    }

    fn mark(&self, arguments: &str, stdin: &str) -> (i32, String, String) {
        answer(spawn(self.command(arguments), stdin))
    }

    fn made(&self) -> Vec<String> {
        list(&self.0.join("made"))
    }

    fn indexed(&self) -> Vec<String> {
        list(&self.0.join("run"))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn list(path: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn spawn(mut command: Command, stdin: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A tool that refuses early closes its end.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

fn answer(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(output.stdout),
        text(output.stderr),
    )
}

const FOO: &str = "{\"ociVersion\":\"1.0.2\",\"id\":\"foo\"}\n";

fn foo_with_state(place: &Place) -> String {
    let file = place.0.join("made/foo");
    format!("{{\"ociVersion\":\"1.0.2\",\"id\":\"foo\",\"netwire\":{{\"file\":{file:?}}}}}\n")
}

#[test]
fn up_and_down_leave_the_record_as_it_was_and_nothing_else() {
    let place = Place::new();
    let (status, record, talk) = place.mark(
        "up",
        "{\"z\": 1.0, \"ociVersion\":\"1.0.2\",\n \"id\":\"foo\", \"a\":{}}",
    );
    assert_eq!((status, talk.as_str()), (0, ""));
    assert_eq!(place.made(), ["foo"]);
    assert_eq!(place.indexed(), ["foo"]);
    let down = place.mark("down", &record);
    assert_eq!(
        down,
        (
            0,
            "{\"z\":1.0,\"ociVersion\":\"1.0.2\",\"id\":\"foo\",\"a\":{}}\n".into(),
            String::new()
        )
    );
    assert!(place.made().is_empty() && place.indexed().is_empty());
}

#[test]
fn up_again_and_down_again_are_success() {
    let place = Place::new();
    let first = place.mark("up --id foo", "");
    assert_eq!(first.1, foo_with_state(&place));
    assert_eq!(place.mark("up --id foo", ""), first);
    assert_eq!(
        place.mark("down --id foo", ""),
        (0, FOO.into(), String::new())
    );
    assert_eq!(
        place.mark("down --id foo", ""),
        (0, FOO.into(), String::new())
    );
    assert_eq!(place.mark("down", FOO), (0, FOO.into(), String::new()));
}

#[test]
fn a_failure_is_undone_and_flows() {
    let place = Place::new();
    let (status, failed, talk) = place.mark("up --fail", FOO);
    assert_eq!((status, talk.as_str()), (1, "netwire: told to fail\n"));
    let expected = "{\"ociVersion\":\"1.0.2\",\"id\":\"foo\",\"failed\":{\"tool\":\"netwire\",\"error\":\"told to fail\"}}\n";
    assert_eq!(failed, expected);
    assert!(place.made().is_empty() && place.indexed().is_empty());

    // The next in the pipe hands it on and does nothing; exec and -P refuse it.
    let (status, passed, talk) = place.mark("up", &failed);
    assert_eq!((status, passed.as_str()), (1, expected));
    assert_eq!(
        talk,
        "netwire: foo: netwire failed on this record (to begin again: netwire down --id foo)\n"
    );
    // What else it tells of has to go as well.
    let more = failed.replace("\"failed\"", "\"cgset\":{},\"failed\"");
    assert_eq!(
        place.mark("up", &more).2,
        "netwire: foo: netwire failed on this record (to begin again: netwire down --id foo, cgset down --id foo)\n"
    );
    let file = place.file("failed.json", &failed);
    assert_eq!(place.mark(&format!("up -P {file}"), "").0, 2);
    let (status, out, talk) = place.mark(&format!("exec -P {file} echo ran"), "");
    assert_eq!((status, out.as_str()), (125, ""));
    assert!(
        talk.ends_with("of a pod that failed (netwire: told to fail)\n"),
        "{talk}"
    );
    assert!(place.made().is_empty() && place.indexed().is_empty());

    // Its own down clears it.
    assert_eq!(place.mark("down", &failed), (0, FOO.into(), String::new()));
}

#[test]
fn what_was_intended_on_top_of_another_is_undone_to_it() {
    let place = Place::new();
    let (_, made, _) = place.mark("up", FOO);
    let content = || fs::read_to_string(place.0.join("made/foo")).unwrap();
    let index = || fs::read_to_string(place.0.join("run/foo/record.json")).unwrap();
    let before = index();
    for (how, status) in [("--fail", 1), ("--die", -1)] {
        assert_eq!(place.mark(&format!("up --over {how}"), FOO).0, status);
        if how == "--fail" {
            assert_eq!(index(), before, "{how}");
            assert_eq!(content(), "", "{how}");
        } else {
            assert_eq!(content(), "over", "{how}");
            assert!(index().contains("restores"), "{how}");
        }
        // What was there is there, and the next up finds it.
        assert_eq!(place.mark("up", FOO), (0, made.clone(), String::new()));
        assert_eq!((content().as_str(), index()), ("", before.clone()), "{how}");
    }
    assert_eq!(place.mark("up --over", FOO).0, 0);
    assert_eq!((content().as_str(), index()), ("over", before));
    assert_eq!(place.mark("down", &made).0, 0);
    assert!(place.made().is_empty() && place.indexed().is_empty());
}

#[test]
fn what_cannot_be_undone_stays_in_the_index_and_down_finishes_it() {
    let place = Place::new();
    let (status, failed, talk) = place.mark("up --fail --keep", FOO);
    assert_eq!(status, 1);
    assert_eq!(
        talk,
        "netwire: told to keep it (not undone: netwire down --id foo)\nnetwire: told to fail\n"
    );
    assert_eq!(place.made(), ["foo"]);
    assert_eq!(place.indexed(), ["foo"]);
    assert_eq!(place.mark("down", &failed).0, 0);
    assert!(place.made().is_empty() && place.indexed().is_empty());
}

#[test]
fn a_killed_up_is_cleaned_by_name_or_by_the_next_up() {
    let place = Place::new();
    assert_eq!(
        place.mark("up --id foo --die", ""),
        (-1, String::new(), String::new())
    );
    assert_eq!(
        (place.made(), place.indexed()),
        (vec!["foo".to_owned()], vec!["foo".to_owned()])
    );
    assert_eq!(place.mark("down --id foo", "").0, 0);
    assert!(place.made().is_empty() && place.indexed().is_empty());

    place.mark("up --id foo --die", "");
    // create_new would fail if the half made one were still there
    assert_eq!(
        place.mark("up --id foo", ""),
        (0, foo_with_state(&place), String::new())
    );
}

#[test]
fn an_index_that_was_made_and_never_written_is_removed() {
    let place = Place::new();
    for content in [None, Some("")] {
        fs::create_dir_all(place.0.join("run/foo")).unwrap();
        if let Some(content) = content {
            fs::write(place.0.join("run/foo/record.json"), content).unwrap();
        }
        assert_eq!(place.mark("down --id foo", "").0, 0);
        assert!(place.indexed().is_empty());
    }
}

#[test]
fn what_nobody_takes_is_undone() {
    let place = Place::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = place.command("up --id foo");
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(talk, "netwire: write(stdout): No space left on device\n");
    assert!(place.made().is_empty() && place.indexed().is_empty());
}

#[test]
fn an_unusable_command_line_hands_the_record_on() {
    let place = Place::new();
    let (status, failed, talk) = place.mark("up --bogus", FOO);
    assert_eq!(status, 2);
    assert_eq!(
        talk,
        "mark: unexpected argument '--bogus' found (see mark up --help)\n"
    );
    assert!(
        failed
            .starts_with("{\"ociVersion\":\"1.0.2\",\"id\":\"foo\",\"failed\":{\"tool\":\"mark\","),
        "{failed}"
    );
    // of exec, 2 may be the command's own status
    let talk = "mark: unexpected argument '--bogus' found (see mark exec --help)\n";
    assert_eq!(
        place.mark("exec -P x --bogus", FOO),
        (125, String::new(), talk.into())
    );
}

#[test]
fn no_record_is_one_line_and_status_2() {
    let place = Place::new();
    for (stdin, talk) in [
        (
            "",
            "netwire: stdin: no record (did the tool before this one fail?)\n",
        ),
        (
            "nonsense",
            "netwire: stdin: no JSON: expected ident at line 1 column 2\n",
        ),
        (
            "{\"id\":\"a\"}{\"id\":\"b\"}",
            "netwire: stdin: more than one record\n",
        ),
        (
            "{}",
            "netwire: the record has no id (name it: -P FILE --id ID)\n",
        ),
        (
            "{\"id\":\"../x\"}",
            "netwire: stdin: id: \"../x\" is no id (a letter or digit, then letters, digits, '_', '.', '-'; 128 at most)\n",
        ),
    ] {
        assert_eq!(
            place.mark("up", stdin),
            (2, String::new(), talk.into()),
            "{stdin}"
        );
    }
    assert_eq!(
        place.mark("down", ""),
        (
            2,
            String::new(),
            "netwire: stdin: no record (did the tool before this one fail?)\n".into()
        )
    );
    assert!(place.indexed().is_empty());
}

#[test]
fn down_takes_many_records() {
    let place = Place::new();
    let two = place.mark("up --id a", "").1 + &place.mark("up --id b", "").1;
    assert_eq!(place.made(), ["a", "b"]);
    let (status, out, _) = place.mark("down", &two);
    assert_eq!((status, out.lines().count()), (0, 2));
    assert!(place.made().is_empty() && place.indexed().is_empty());
}

#[test]
fn other_tools_keep_what_they_have_in_the_index() {
    let place = Place::new();
    fs::create_dir_all(place.0.join("run/foo")).unwrap();
    let theirs = "{\"id\":\"foo\",\"cgset\":{\"groups\":{}},\"chroot0.pending\":[\"cgset\"]}\n";
    fs::write(place.0.join("run/foo/record.json"), theirs).unwrap();
    assert_eq!(
        place.mark("up", FOO),
        (0, foo_with_state(&place), String::new())
    );
    assert_eq!(place.mark("down --id foo", "").0, 0);
    let left = fs::read_to_string(place.0.join("run/foo/record.json")).unwrap();
    let left: serde_json::Value = serde_json::from_str(&left).unwrap();
    assert_eq!(
        (&left["cgset"]["groups"], &left["chroot0.pending"][0]),
        (&serde_json::json!({}), &"cgset".into())
    );
    assert_eq!(left.get("netwire"), None);
}

#[test]
fn one_up_per_id_works_at_a_time() {
    let place = Place::new();
    let children: Vec<_> = (0..8)
        .map(|_| {
            place
                .command("up --id foo")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(answer(output), (0, foo_with_state(&place), String::new()));
    }
    assert_eq!(place.made(), ["foo"]);
}

#[test]
fn show_reads_an_id_a_file_or_stdin() {
    let place = Place::new();
    assert_eq!(
        place.mark("show --id foo", ""),
        (1, String::new(), "netwire: foo: no such pod\n".into())
    );
    place.mark("up --id foo", "");
    assert_eq!(
        place.mark("show --id foo", ""),
        (0, "foo\n".into(), String::new())
    );
    assert_eq!(place.mark("show", FOO), (0, "foo\n".into(), String::new()));
    let file = place.file("foo.json", FOO);
    assert_eq!(
        place.mark(&format!("show -P {file}"), ""),
        (0, "foo\n".into(), String::new())
    );
}

#[test]
fn keys_of_others_enter_the_index_only_by_their_own_hand() {
    let place = Place::new();
    let foreign = "{\"id\":\"foo\",\"nsrun\":{\"pid\":1},\"hostname\":\"h\"}";
    assert_eq!(place.mark("up --fail", foreign).0, 1);
    assert!(place.indexed().is_empty());
    let (status, record, _) = place.mark("up", foreign);
    assert_eq!(status, 0);
    assert!(record.contains("\"nsrun\":{\"pid\":1}"), "{record}");
    assert_eq!(place.mark("down", &record).0, 0);
    assert!(place.indexed().is_empty());
}

#[test]
fn a_refused_up_of_a_pod_that_is_up_still_describes_it() {
    let place = Place::new();
    let up = place.mark("up --id foo", "").1;
    let (status, failed, talk) = place.mark("up --id foo --other", "");
    assert_eq!((status, talk.as_str()), (1, "netwire: foo is up\n"));
    let exists = up.trim_end().trim_end_matches('}');
    assert!(
        failed.starts_with(exists) && failed.contains("\"failed\":"),
        "{failed}"
    );
    assert_eq!(place.made(), ["foo"]);
    assert_eq!(place.mark("down", &failed).0, 0);
    assert!(place.made().is_empty() && place.indexed().is_empty());
}

#[test]
fn a_configuration_without_an_id_is_named_for_show_too() {
    let place = Place::new();
    let file = place.file("config.json", "{\"ociVersion\":\"1.0.2\"}");
    let shown = place.mark(&format!("show -P {file} --id foo"), "");
    assert_eq!(shown, (0, "foo\n".into(), String::new()));
}

#[test]
fn a_record_without_the_tool_tells_the_index_nothing() {
    let place = Place::new();
    fs::create_dir_all(place.0.join("run/foo")).unwrap();
    let known = "{\"id\":\"foo\",\"hostname\":\"now\",\"cgset\":{\"groups\":{}}}\n";
    fs::write(place.0.join("run/foo/record.json"), known).unwrap();
    let stale = "{\"id\":\"foo\",\"hostname\":\"then\"}\n";
    assert_eq!(place.mark("down", stale), (0, stale.into(), String::new()));
    let left = fs::read_to_string(place.0.join("run/foo/record.json")).unwrap();
    assert_eq!(left, known);
}
