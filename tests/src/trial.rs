//! A verb of a tool is disturbed at each of its calls: what it then says, and what is there before and after `down`.
//!
//! Every run is judged: it does all that it was to do, or it says in one line what failed, and an `up` has taken back what it
//! made. After `down`, by the record for one run and by `--id` for the next, there is what there was before.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::likeness::{keys, shape};
use crate::sweep::{FAULTS, Fault, Place, every_place, part, sampled};
use crate::{Node, Output, World};

/// How long what is ending may take to be gone: a loaded machine is no leak.
const SETTLE: Duration = Duration::from_secs(30);

/// By what the end of a run is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// All is there and the record says so, or nothing is and it says why.
    Up,
    /// The command's own output, or a status of 125 to 127 and why.
    Exec,
    /// Nothing is left, or it says why and the next one leaves nothing.
    Down,
    /// What it tells, as text or in a file; or a status of 1 or 2 and why.
    Tell,
}

/// One verb and what is around it; all but the first two are scripts.
#[derive(Debug)]
pub struct Trial<'a> {
    /// With which each line on stderr begins.
    pub tool: &'a str,
    /// By which runs are judged.
    pub verb: Verb,
    /// Makes what stays for all runs.
    pub once: &'a str,
    /// Makes what a single run needs; its record, if there is one, is in `$pod` afterwards.
    pub each: &'a str,
    /// What is disturbed: one command, redirections after it.
    pub command: &'a str,
    /// After the command, before anybody looks.
    pub then: &'a str,
    /// Takes away what `each` and the run have made, by the record in `$record`.
    pub by_record: &'a str,
    /// The same by name.
    pub by_id: &'a str,
    /// Lines of the world with this in them, or one of these with `|` between, may be missing after an `up` that carried on: there is a way to do without.
    pub may_lack: &'a str,
    /// Takes away what `once` has made.
    pub finally: &'a str,
}

/// What became of the runs.
#[derive(Debug, Default)]
struct Counts {
    tried: usize,
    killed: usize,
    failed: usize,
    /// By the run-time of C or Rust, which has nothing to undo with.
    ended: usize,
    carried_on: usize,
    /// Nothing was left even before `down`.
    clean: usize,
    recovered: usize,
    leaked: usize,
}

/// One run.
struct Run {
    said: Output,
    status: i32,
    stderr: String,
    stdout: String,
    pod: String,
    after: World,
}

impl Trial<'static> {
    /// What rows have in common.
    pub const ROW: Self = Self {
        tool: "",
        verb: Verb::Up,
        once: "true",
        each: "pod=",
        command: "",
        then: "true",
        by_record: "true",
        by_id: "true",
        may_lack: "",
        finally: "true",
    };
}

impl Trial<'_> {
    /// Disturbs the command everywhere, or at a sample of places that is the same each time; panics with all that was wrong.
    #[track_caller]
    pub fn leaves_nothing(&self) {
        let node = Node::new();
        node.sh(self.once).succeeds();
        let places = every_place(&node, self.each, &self.whole_command());
        // What a first run leaves on purpose, as an index does that knows a pod, is there from now on.
        node.sh(self.by_id).succeeds();
        let base = node.world();
        let good = self.run(&node, "");
        assert_eq!(good.status, 0, "{}", good.said);
        self.take_down(&node, &good, true).succeeds();
        let (mut counts, mut wrong) = (Counts::default(), Vec::new());
        for (place, fault, prefix) in points(&places) {
            let run = self.run(&node, &prefix);
            let judged = self.judge(&node, &base, &good, (place, fault), &run, &mut counts);
            // An exec has nothing that down would take.
            let down = match self.verb {
                Verb::Exec | Verb::Tell if self.by_id == "true" => None,
                _ => Some(self.take_down(&node, &run, counts.tried % 2 == 1)),
            };
            let left = settle(&node, &base, NOTHING);
            counts.count(&base, &run, left.is_none());
            let down_failed = down
                .filter(|down| down.status != 0)
                .map(|down| down.to_string());
            let complaints = [judged.err(), down_failed, left];
            let complaint: Vec<String> = complaints.into_iter().flatten().collect();
            if !complaint.is_empty() {
                wrong.push(format!(
                    "{fault:?} at {place}: {}{}",
                    run.said,
                    complaint.join("\n")
                ));
                // The others may take hours.
                if part().is_some() {
                    let _ = writeln!(io::stderr(), "{}", wrong[wrong.len() - 1]);
                }
                // So that the next place has a fair start.
                node.sh(self.by_id);
                if let Some(left) = settle(&node, &base, NOTHING) {
                    panic!("{}\nand for good:\n{left}", wrong.join("\n"));
                }
            }
        }
        counts.say(self.command);
        assert!(
            wrong.is_empty(),
            "{} of {counts} at {}:\n{}",
            wrong.len(),
            self.command,
            wrong.join("\n")
        );
        node.sh(self.finally).succeeds();
        node.assert_as_it_was();
    }

    /// The command with what follows it, as in a run that is not disturbed.
    fn whole_command(&self) -> String {
        format!(
            "{} >.stdout 2>.stderr; status=$?\n{}\ncat .stderr >&2; rm .stdout .stderr\n(exit $status)",
            self.command, self.then
        )
    }

    /// The command once, with this before it, upon what it needs.
    fn run(&self, node: &Node, prefix: &str) -> Run {
        // Not a file that the shell would leave when it is killed, but for what the world is told of.
        let said = node
            .sh(&format!(
                "{}
                timeout -k 1 30 {prefix} {} >.stdout 2>.stderr
                status=$?
                {}
                printf '%s\\0%s\\0%s\\0%s\\0' $status \"$(<.stderr)\" \"$(<.stdout)\" \"$pod\"
                rm .stdout .stderr
                exec /mnt/node world",
                self.each, self.command, self.then
            ))
            .succeeds();
        let fields: Vec<&str> = said.stdout.splitn(5, '\0').collect();
        let [status, stderr, stdout, pod, world] = fields[..] else {
            panic!("five fields of {said}");
        };
        Run {
            status: status.parse().unwrap_or(-1),
            stderr: stderr.to_owned(),
            stdout: stdout.to_owned(),
            pod: pod.to_owned(),
            after: World::from_lines(world),
            said: Output {
                stdout: stdout.to_owned(),
                stderr: stderr.to_owned(),
                status: status.parse().unwrap_or(-1),
                script: format!("{prefix} {}", self.command),
            },
        }
    }

    /// What a user does next, with the record that came out or, where none did, that from before.
    fn take_down(&self, node: &Node, run: &Run, by_record: bool) -> Output {
        // What came out may be a text.
        let record = match run.stdout.starts_with('{') {
            true => &run.stdout,
            false => &run.pod,
        };
        let down = if by_record && !record.is_empty() {
            self.by_record
        } else {
            self.by_id
        };
        node.sh_with(&format!("record=$(cat)\n{down}"), record)
    }

    /// Whether it did all that it was to do, or said why not and took back what it had done.
    fn judge(
        &self,
        node: &Node,
        base: &World,
        good: &Run,
        (place, fault): (&Place, Fault),
        run: &Run,
        counts: &mut Counts,
    ) -> Result<(), String> {
        let is_kill = !matches!(fault, Fault::Error(_));
        if is_kill && run.status == 137 {
            counts.killed += 1;
            return Ok(());
        }
        // 127: before main() of glibc; 134: abort(3); 139: it had no memory where it thought so; 143: a library that starts a
        // thread has lost the mask of signals, which it relies on.
        if place.is_of_the_runtime() && [127, 134, 139, 143].contains(&run.status) {
            counts.ended += 1;
            return Ok(());
        }
        if run.status == 0 {
            counts.carried_on += 1;
            return match self.verb {
                // What it said that it could not do is no lie.
                Verb::Up if run.stderr.lines().count() > good.stderr.lines().count() => Ok(()),
                Verb::Up => good.is_like(run, self.may_lack),
                Verb::Tell if run.stdout == good.stdout => good.is_like(run, self.may_lack),
                Verb::Exec if run.stdout == good.stdout => Ok(()),
                Verb::Exec | Verb::Tell => Err(format!("success without {:?}", good.stdout)),
                Verb::Down => settle(node, base, RUN_DIR)
                    .map_or(Ok(()), |left| Err(format!("success, but\n{left}"))),
            };
        }
        counts.failed += 1;
        self.says_why(run)?;
        let undoes = match self.verb {
            // What the undo needs as well fails there too; that is said, and the next down does it.
            Verb::Up => !run.stderr.contains("(not undone: "),
            Verb::Exec | Verb::Tell => true,
            Verb::Down => false,
        };
        let left = if undoes {
            settle(node, base, RUN_DIR)
        } else {
            None
        };
        left.map_or(Ok(()), |left| Err(format!("not undone:\n{left}")))
    }

    /// The status is one of ours and each line the tool's. Where it is the write to stderr that fails, the record alone tells.
    fn says_why(&self, run: &Run) -> Result<(), String> {
        let statuses = match self.verb {
            Verb::Up | Verb::Down | Verb::Tell => 1..=2,
            Verb::Exec => 125..=127,
        };
        if !statuses.contains(&run.status) {
            return Err(format!("a status of {}", run.status));
        }
        let is_ours = |line: &str| {
            line.starts_with(&format!("{}: ", self.tool)) && !line.contains("panicked")
        };
        let record: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        let flows = record["failed"]["tool"] == *self.tool;
        // At a terminal of the command's own stderr is that, too.
        let is_shown = run.stdout.lines().any(is_ours);
        let is_said =
            !run.stderr.is_empty() || flows || is_shown || run.said.script.contains("trace=write");
        match is_said && run.stderr.lines().all(is_ours) {
            true => Ok(()),
            false => Err("no clear line".to_owned()),
        }
    }
}

impl Run {
    /// Whether the other made the same things, whatever their numbers are.
    fn is_like(&self, other: &Self, may_lack: &str) -> Result<(), String> {
        let may_lack = |line: &str| {
            let mut any = may_lack.split('|').filter(|text| !text.is_empty());
            any.any(|text| line.contains(text))
        };
        let [ours, theirs] = [self, other].map(|run| shape(&run.after.without(may_lack)));
        if let Some(difference) = ours.difference(&theirs) {
            return Err(format!("success with other things:\n{difference}"));
        }
        let keys = |run: &Self| {
            let record: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
            let all = keys(&record, "").into_iter();
            all.filter(|key| !may_lack(key)).collect::<Vec<_>>()
        };
        match keys(self) == keys(other) {
            true => Ok(()),
            false => Err(format!("success with another record than {}", self.stdout)),
        }
    }
}

impl Counts {
    fn count(&mut self, base: &World, run: &Run, is_gone: bool) {
        self.tried += 1;
        let counter = match is_gone {
            false => &mut self.leaked,
            true if difference(base, &run.after, NOTHING).is_none() => &mut self.clean,
            true => &mut self.recovered,
        };
        *counter += 1;
    }

    fn say(&self, command: &str) {
        // Not by a print macro: libtest would hide it.
        let _ = writeln!(io::stderr(), "{command}: {self}");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tried,
            killed,
            failed,
            ended,
            carried_on,
            clean,
            recovered,
            leaked,
        } = self;
        write!(
            f,
            "{tried} tried ({killed} killed, {failed} failed, {ended} ended by the run-time, {carried_on} carried on), {clean} clean, {recovered} recovered by down, {leaked} leaked"
        )
    }
}

/// Where and how, and what goes before the command for it.
fn points(places: &[Place]) -> Vec<(&Place, Fault, String)> {
    let part = part();
    let chosen = match part {
        Some(_) => places.iter().collect(),
        None => sampled(places),
    };
    let mut points = Vec::new();
    for (at, place) in chosen.into_iter().enumerate() {
        for (number, fault) in FAULTS.into_iter().enumerate() {
            // Of a sample each place gets one of the eight. Where all places are tried, to be killed after a call is to be
            // killed before the next.
            let is_due = match part {
                Some((part, of)) => fault != Fault::KillAfter && (at + number) % of == part - 1,
                None => (at + number) % 8 == 0,
            };
            let prefix = place.disturb(fault).filter(|_| is_due);
            points.extend(prefix.map(|prefix| (place, fault, prefix)));
        }
    }
    points
}

/// Left out of no comparison.
const NOTHING: &str = "\0";
/// The empty directory of all indexes, which the next `down` takes away: others may use it, so nobody insists.
const RUN_DIR: &str = "file: /run/chroot0 (";

/// What is there and should not be, or the other way round, when all has settled.
fn settle(node: &Node, base: &World, left_out: &str) -> Option<String> {
    let until = Instant::now() + SETTLE;
    loop {
        let left = difference(base, &node.world(), left_out)?;
        if Instant::now() > until {
            return Some(left);
        }
    }
}

/// What differs, but for what the index says: a down leaves in it what the record specifies; and how often services were
/// changed.
fn difference(before: &World, after: &World, left_out: &str) -> Option<String> {
    let is_index = |line: &str| {
        line.contains("file: /run/chroot0/foo/record.json ")
            || line.contains("file: /run/chroot0/.services/log.")
            || line.contains(left_out)
    };
    before
        .without(is_index)
        .difference(&after.without(is_index))
}
