//! A pod's whole life on a machine that lacks something: which steps say so, and that all others work.

use crate::{Node, Output};

/// A line for each step: its name, how it ended and what it said. It runs in a directory of its own.
const LIFE: &str = r#"
    step() {
        name=$1; shift
        $EACH "$@" 2>err; status=$?; said=
        # without a process: the shell may have none to spare
        while read -r line; do said="$said$line;"; done <err
        echo "$name $status $said" >>steps
    }
    mkdir life && cd life || exit
    step cgset-up cgset up --id foo memory.max=512Mi >1
    step nsrun-up nsrun up --net --ipc --uts <1 >2
    step netwire-up netwire up --subnet 10.244.0.0/24 --nat --rate 10mbit <2 >foo
    step mkbox-up mkbox up -q --copy echo --proc --dev --mask --read-only --bind /etc/skel:/data:ro --tmpfs /tmp box >box.json
    step cgset-exec cgset exec -P foo app memory.max=256Mi -- echo ran >out
    step nsrun-exec nsrun exec -P foo --pid --mount -- echo ran >>out
    step nsrun-exec-new nsrun exec --map-root-user --net --pid --mount-proc -- echo ran >>out
    step mkbox-exec mkbox exec -P box.json -- nsrun drop -- echo ran >>out
    step nsrun-drop nsrun drop -- echo ran >>out
    for tool in nsrun netwire cgset; do step $tool-down $tool down --id foo >/dev/null; done
    step mkbox-down mkbox down --id box >/dev/null
    cat steps; grep -c ran out; cd ..; rm -r life
"#;

/// Steps of it.
const STEPS: usize = 13;
/// Those that run a command, which says so.
const RUN: usize = 5;

/// A step that failed, and its one line.
#[derive(Debug)]
pub struct Failed {
    /// `mkbox-exec`: the tool and what it did.
    pub step: String,
    /// Ours, or 128 and a signal.
    pub status: i32,
    /// What it said.
    pub said: String,
}

impl Failed {
    /// Not only because of a step before it.
    #[must_use]
    pub fn is_first(&self) -> bool {
        let later = [
            "on this record",
            "of a pod that failed",
            "the record has no",
        ];
        !later.iter().any(|text| self.said.contains(text))
    }
}

/// Lives it with `around` before `bash -c "$LIFE"` in a line of shell; the words of `$EACH` come before each tool.
#[track_caller]
pub fn live(node: &Node, around: &str, input: &str) -> (Output, Vec<Failed>) {
    let life = LIFE.replace('\'', r"'\''");
    let run = node.sh_with(&format!("export LIFE='{life}'\n{around}"), input);
    let mut failed = Vec::new();
    let mut lines: Vec<&str> = run.stdout.lines().collect();
    let ran: usize = lines
        .pop()
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    if lines.len() != STEPS {
        // The shell itself did not live to the end.
        return (run, failed);
    }
    for line in lines {
        let fields: Vec<&str> = line.splitn(3, ' ').collect();
        let [step, status, said] = fields[..] else {
            panic!("{line:?} is no step of {run}");
        };
        let status: i32 = status.parse().unwrap_or(-1);
        if status == 0 {
            assert_eq!(said, "", "{around}: {step}: {run}");
            continue;
        }
        let tool = step.split('-').next().unwrap_or_default();
        // Where the undo needs the same that is one more line, and the next down does it.
        let lines = 1 + said.matches("(not undone: ").count();
        // Of a chain it may be the next link.
        let is_its = |said: &str| {
            said.starts_with(&format!("{tool}: "))
                || (step == "mkbox-exec" && said.starts_with("nsrun: "))
        };
        let is_one_line = said.matches(';').count() == lines && is_its(said);
        let is_clear = [1, 125, 126].contains(&status) && is_one_line;
        assert!(is_clear || status == 137, "{around}: {step}: {run}");
        failed.push(Failed {
            step: step.to_owned(),
            status,
            said: said.to_owned(),
        });
    }
    let is_exec = |failed: &&Failed| failed.step.contains("exec") || failed.step.ends_with("drop");
    let execs = failed.iter().filter(is_exec).count();
    assert_eq!(ran + execs, RUN, "who says 0 has run: {around}: {run}");
    (run, failed)
}
