//! `cgset exec`: puts itself into a group of the pod, then becomes the command.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, ExitCode, Stdio};

use record::{Id, Known, Record};
use sys::Call;
use sys::parent::Ended;

use crate::cli::ExecArgs;
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::limits::Limits;
use crate::membership::Membership;
use crate::plan::Plan;
use crate::state::{EXEC, PAUSE, State};
use crate::talk::Talk;
use crate::vocabulary::{self, Machine};
use crate::{TOOL, kube, make, rm, run};

/// Status of a failure of our own, as env(1) and chroot(1) have it.
pub(crate) const OURS: u8 = 125;

/// Runs the verb; returns only when the command does not run.
pub(crate) fn exec(args: &ExecArgs) -> ExitCode {
    match enter(args) {
        Ok(Outcome::Plan(lines)) => crate::print(Ok::<_, Error>(lines)),
        // The groups are gone by now, whichever way we end.
        Ok(Outcome::Ended(ended)) => ExitCode::from(ended.status()),
        Ok(Outcome::Entered) => {
            let error = sys::exec(&args.command);
            record::report(TOOL, &error);
            ExitCode::from(error.status())
        }
        Err(Error::Said) => ExitCode::from(OURS),
        Err(error) => {
            record::report(TOOL, error);
            ExitCode::from(OURS)
        }
    }
}

/// How far it came without becoming the command.
enum Outcome {
    /// What would be done.
    Plan(String),
    /// This process is in the groups.
    Entered,
    /// The command was run and has ended; with `--rm`.
    Ended(Ended),
}

fn enter(args: &ExecArgs) -> Result<Outcome, Error> {
    let talk = Talk::from(args.talk);
    let wish = Wish::new(args, talk)?;
    let (record, makes_pod) = wish.pod(args)?;
    let id: Id = record
        .id()
        .unwrap_or_default()
        .parse()
        .map_err(Error::Usage)?;
    let hierarchies = Hierarchies::detect()?;
    let pod = Pod::open(&record, &id, &hierarchies)?;
    // What is removed afterwards is nobody else's.
    let of_its_own = args.rm.then(|| format!("exec-{}", std::process::id()));
    let is_named = wish.name.is_some();
    let child = wish.name.as_deref().or(of_its_own.as_deref());
    let child = child.unwrap_or(EXEC);
    let plan = Plan::of_child(format!("{}/{child}", pod.path), &pod.keys(), &wish.limits)?;
    if args.dry_run {
        return Ok(Outcome::Plan(plan.lines()));
    }
    if args.rm && pod.has(child)? {
        return Err(Error::Failed(format!(
            "{}: is there already (--rm removes its group afterwards, so it has to be a new one)",
            plan.name
        )));
    }
    let mut made = Vec::new();
    let prepared = pod.prepare(child, is_named || args.rm, &plan, &mut made, talk);
    let entered = prepared.and_then(|children| {
        if args.rm {
            return pod.run(&args.command, &children, talk);
        }
        // Without NAME any place in the pod is as good; with one, the group or one below it.
        let stays_in = if is_named { &plan.name } else { &pod.path };
        pod.enter(&children, stays_in, talk)?;
        // exec(2) closes them, all at once
        children.into_iter().for_each(std::mem::forget);
        Ok(Outcome::Entered)
    });
    if args.rm && entered.is_ok() {
        let child: Id = child.parse().map_err(Error::Usage)?;
        rm::clear(&record, &hierarchies, &child, makes_pod, talk)?;
    } else if entered.is_err() {
        for parent in made {
            // what this call made, and nobody else is in
            let _ = parent.remove_child(child);
        }
    } else {
        std::mem::forget(pod);
    }
    entered
}

/// What was typed before the command.
struct Wish {
    name: Option<Id>,
    words: Vec<String>,
    /// Of the group that is entered: those of a pod that was named are on the pod itself.
    limits: Limits,
}

impl Wish {
    fn new(args: &ExecArgs, talk: Talk) -> Result<Self, Error> {
        let (name, typed) = name_and_limits(&args.words)?;
        let kube = args.kube.as_deref().map(kube::read).transpose()?;
        for ignored in kube.iter().flat_map(|kube| &kube.ignored) {
            talk.note(format_args!(
                "--kube: {ignored}: no limit of a cgroup, not applied"
            ));
        }
        let words = kube.iter().flat_map(|kube| &kube.words).chain(typed);
        let words: Vec<String> = words.cloned().collect();
        let limits = vocabulary::parse_all(words.iter().map(String::as_str), &Machine::this())?;
        Ok(Self {
            limits: name.as_ref().map_or_else(Limits::default, |_| limits),
            name,
            words,
        })
    }

    /// The record of the pod that is meant, and whether it is made for this call.
    fn pod(&self, args: &ExecArgs) -> Result<(Record, bool), Error> {
        match (&args.pod, &args.id) {
            (Some(_), _) if self.name.is_none() && !self.words.is_empty() => Err(Error::Usage(
                "limits are of a named group (cgset exec -P FILE NAME KEY=VALUE -- CMD)".into(),
            )),
            (Some(pod), _) => Ok((record::for_exec(pod)?, false)),
            (None, Some(id)) => {
                let is_known = matches!(record::known(TOOL, id), Known::Up(_));
                let record = named_pod(id, self.name.is_none(), &self.words, args)?;
                Ok((record, !is_known))
            }
            (None, None) => Err(Error::Usage("no pod is named (-P FILE or --id ID)".into())),
        }
    }
}

/// The NAME before the limits, if there is one.
fn name_and_limits(words: &[String]) -> Result<(Option<Id>, &[String]), Error> {
    match words.split_first() {
        Some((name, limits)) if !name.contains('=') => {
            let id: Id = name.parse().map_err(Error::Usage)?;
            if [PAUSE, EXEC].contains(&name.as_str()) {
                return Err(Error::Usage(format!(
                    "{name}: is reserved (for the pod's first process, and for commands without NAME)"
                )));
            }
            Ok((Some(id), limits))
        }
        _ => Ok((None, words)),
    }
}

/// The pod's groups, each found to be its own.
struct Pod<'a> {
    groups: Vec<(String, &'a Hierarchy, Group)>,
    /// Of the pod's group below each mount.
    path: String,
    /// Where this process is.
    own: &'a Membership,
}

impl<'a> Pod<'a> {
    fn open(record: &Record, id: &Id, hierarchies: &'a Hierarchies) -> Result<Self, Error> {
        record.groups()?; // refuses another pod's
        let none = || {
            Error::Usage(format!(
                "{id}: the record has no groups (cgset up makes them)"
            ))
        };
        let state = State::from_json(record.get(TOOL).ok_or_else(none)?)?;
        let gone = |key: &str| {
            Error::Failed(format!(
                "{id}: its {key} group is gone (cgset down, then cgset up)"
            ))
        };
        if !state.is_of_this_boot()? {
            return Err(Error::Failed(format!(
                "{id}: its groups are of an earlier boot (cgset down, then cgset up)"
            )));
        }
        let path = state.path(id);
        let mut groups = Vec::new();
        for member in &state.members {
            if member.inode.is_none() {
                return Err(Error::Usage(format!(
                    "cgset.inodes: none for {} of {id}",
                    member.key
                )));
            }
            let hierarchy = member.hierarchy(hierarchies).ok_or_else(|| {
                Error::Failed(format!(
                    "{id}: the {} hierarchy is not mounted here",
                    member.key
                ))
            })?;
            let group = member
                .open(hierarchies, &path)?
                .ok_or_else(|| gone(&member.key))?;
            groups.push((member.key.clone(), hierarchy, group));
        }
        if groups.is_empty() {
            return Err(none());
        }
        let own = hierarchies.own();
        Ok(Self { groups, path, own })
    }

    fn keys(&self) -> Vec<(String, &'a Hierarchy)> {
        self.groups
            .iter()
            .map(|(key, hierarchy, _)| (key.clone(), *hierarchy))
            .collect()
    }

    /// Whether the child is there, in any hierarchy.
    fn has(&self, child: &str) -> Result<bool, Error> {
        for (_, _, pod) in &self.groups {
            if pod.child(child)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes the child where it is missing and sets its limits. `made` gets the pod's groups in which it was made.
    fn prepare<'b>(
        &'b self,
        child: &str,
        is_named: bool,
        plan: &Plan<'_>,
        made: &mut Vec<&'b Group>,
        talk: Talk,
    ) -> Result<Vec<Group>, Error> {
        let mut children = Vec::new();
        let mut is_new = false;
        for (key, _, pod) in &self.groups {
            let (group, missing) = match is_named {
                true => pod.child_and_whether_new(child)?,
                false => pod.leaf(child)?,
            };
            if missing {
                talk.step(|| format!("mkdir({})", group.path().display()));
                made.push(pod);
            }
            is_new |= missing;
            group.inherit_cpuset(pod, key)?;
            children.push(group);
        }
        // What it has is not written again: who changes the time of a cpu waits for all cpus.
        if !plan.limits().is_empty() && (is_new || !make::is_so(plan, &children)) {
            let before = match is_new {
                true => None,
                false => Some(make::read_back(plan, &children, plan.limits())?),
            };
            make::write(plan, &children, talk)?;
            let after = make::read_back(plan, &children, plan.limits())?;
            make::note_differences(plan.limits(), &after, talk);
            make::note_changes(&plan.name, before.as_ref(), &after, talk);
        }
        Ok(children)
    }

    /// Runs `command` in `children`, in a process of its own.
    fn run(&self, command: &[OsString], children: &[Group], talk: Talk) -> Result<Outcome, Error> {
        let groups = self.groups.iter().zip(children);
        let groups = groups.map(|((_, hierarchy, _), group)| (hierarchy.version, group));
        let ended = run::run(command, &groups.collect::<Vec<_>>(), talk)?;
        Ok(Outcome::Ended(ended))
    }

    /// Puts this process into `children`, unless it is in `stays_in` already.
    fn enter(&self, children: &[Group], stays_in: &str, talk: Talk) -> Result<(), Error> {
        for ((_, hierarchy, _), group) in self.groups.iter().zip(children) {
            if !self.own.is_within(hierarchy, stays_in) {
                group.enter()?;
                talk.step(|| format!("write({}/{}, 0)", group.path().display(), group.door()));
                if hierarchy.version == Version::V2 {
                    let instead = "with --rm it is born there and waits for nothing";
                    talk.steps(|| Ok::<_, Error>(vec![instead.to_owned()]))?;
                }
            }
        }
        Ok(())
    }
}

/// The record of a pod that is known by name only: from the index. With `may_make` the pod's own limits are `words`, and a
/// pod that is not there is made, as by `cgset up`; what cgset makes is in the index and goes by `cgset down --id`.
fn named_pod(id: &Id, may_make: bool, words: &[String], args: &ExecArgs) -> Result<Record, Error> {
    let known = match record::known(TOOL, id) {
        Known::Up(_) => record::indexed(id)?,
        Known::Unfinished | Known::Nothing => None,
    };
    if let Some(record) = known.as_ref().filter(|_| words.is_empty() || !may_make) {
        return Ok(record.clone());
    }
    let none = || Error::Failed(format!("{id}: no such pod (cgset up --id {id} makes one)"));
    if !may_make || args.dry_run {
        return Err(none());
    }
    let mut up = Command::new("/proc/self/exe");
    up.args(["up", "--id", id]);
    if known.is_some() {
        up.args(["-P", "-"]);
    }
    up.args((0..args.talk.verbose).map(|_| "-v"))
        .args(args.talk.quiet.then_some("-q"));
    up.arg("--")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let call = || format!("exec({TOOL} up --id {id})");
    let mut child = up.spawn().call(call)?;
    if let (Some(mut stdin), Some(record)) = (child.stdin.take(), &known) {
        // One that ends before it has read this says why.
        let _ = stdin.write_all(record.to_line().as_bytes());
    }
    if !child.wait().call(call)?.success() {
        return Err(Error::Said);
    }
    record::indexed(id)?.ok_or_else(none)
}
