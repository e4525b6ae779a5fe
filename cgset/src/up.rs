//! `cgset up`: the pod's groups, their limits, and the processes that are there already.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use record::{Id, Record, Up, names};
use serde_json::Value as Json;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy, Version};
use crate::kube::{self, Kube};
use crate::limits::Limits;
use crate::newcomers::Newcomers;
use crate::owner::Owner;
use crate::parent::Made;
use crate::place;
use crate::plan::Plan;
use crate::state::{EXEC, Member, Moved, PAUSE, State};
use crate::talk::Talk;
use crate::units::Amount;
use crate::vocabulary::{self, Machine};
use crate::{TOOL, make, oci, parent, remove};

/// Runs the verb.
pub(crate) fn up(args: &UpArgs) -> ExitCode {
    if args.dry_run {
        return dry_run(args);
    }
    record::up(TOOL, &args.source, |up| work(up, args), undo)
}

fn work(up: &mut Up, args: &UpArgs) -> Result<Json, Error> {
    let talk = Talk::from(args.talk);
    let kube = args.kube.as_deref().map(kube::read).transpose()?;
    let wanted = Wanted::new(up.record(), &args.limits, kube.as_ref())?;
    let place = Place::new(up.record(), up.id(), args)?;
    let hierarchies = place.hierarchies(&wanted.all)?;
    let plan = Plan::of_pod(place.path(), &hierarchies, &wanted.all)?;
    let newcomers = Newcomers::find(up.record(), &args.pid)?;
    let path = format!("/{}", plan.name);
    if let Some(given) = place.given.as_ref().filter(|given| **given != path) {
        talk.note(format_args!("linux.cgroupsPath: {given:?} becomes {path}"));
    }
    for key in &wanted.ignored {
        talk.note(format_args!(
            "linux.resources.{key}: passed on, not applied"
        ));
    }
    note_more_than_there_is(&wanted.all, &Machine::this(), talk);
    for name in kube.iter().flat_map(|kube| &kube.ignored) {
        talk.note(format_args!(
            "--kube: {name}: no limit of a cgroup, not applied"
        ));
    }
    let made = match up.state().map(State::from_json).transpose()? {
        Some(state) if is_there(&state, &hierarchies, up.id())? => {
            verify(&state, &plan, &place, up.id())?;
            state
        }
        _ => create(up, &plan, &place, &newcomers, talk)?,
    };
    newcomers.place(&plan, talk)?;
    oci::write(up.record_mut(), &wanted.typed, &wanted.all)?;
    up.record_mut()
        .set_at(&["linux", "cgroupsPath"], path.into())?;
    Ok(State {
        moved: Vec::new(),
        qos: kube.map(|kube| kube.qos.to_owned()).or(made.qos),
        ..made
    }
    .to_json())
}

/// A limit above what the machine has limits nobody: the machine's own OOM killer comes first.
fn note_more_than_there_is(limits: &Limits, machine: &Machine, talk: Talk) {
    if let Some(Amount::Exactly(asked)) = limits.memory_max() {
        let total = (machine.memory_total)();
        if total > 0 && asked > total && asked < 1 << 62 {
            talk.note(format_args!(
                "memory.max={asked}: the machine has {total} (the whole of it may go before this limit is met)"
            ));
        }
    }
}

/// Where the pod's group goes, and whose it is.
struct Place {
    /// A path below each mount; empty: the top.
    parent: String,
    name: String,
    /// `linux.cgroupsPath`
    given: Option<String>,
    delegate: Option<Owner>,
}

impl Place {
    /// `--parent`; else where `linux.cgroupsPath` has the pod's own group.
    fn new(record: &Record, id: &Id, args: &UpArgs) -> Result<Self, Error> {
        let name = names::group(id);
        let given = match record.pointer("/linux/cgroupsPath") {
            None | Some(Json::Null) => None,
            Some(Json::String(given)) => Some(given.clone()),
            Some(other) => {
                return Err(Error::Usage(format!(
                    "linux.cgroupsPath: {other} is not a string"
                )));
            }
        };
        let parent = match (&args.parent, &given) {
            (Some(group), _) => parent::given("--parent", group)?,
            (None, Some(given)) => parent::of_path(given, &name).unwrap_or(""),
            (None, None) => "",
        };
        if parent.split('/').any(|part| part == name) {
            return Err(Error::Usage(format!(
                "--parent /{parent}: is in the pod itself"
            )));
        }
        Ok(Self {
            parent: parent.to_owned(),
            name,
            delegate: args.delegate,
            given,
        })
    }

    /// All there are, but for a freezer that nobody asked for and in which we may make no group.
    fn hierarchies(&self, limits: &Limits) -> Result<Hierarchies, Error> {
        let is_asked_for = limits.get("cgroup.freeze").is_some();
        let is_writable = |hierarchy: &Hierarchy| {
            let mut dir = hierarchy.mount.join(&self.parent);
            while !dir.exists() && dir.pop() {}
            !hierarchy.read_only && access(&dir, AccessFlags::W_OK).is_ok()
        };
        let all = Hierarchies::detect()?;
        Ok(all.without_freezer_unless(|freezer| is_asked_for || is_writable(freezer)))
    }

    /// Of the pod's group below each mount.
    fn path(&self) -> String {
        parent::join(&self.parent, &self.name)
    }
}

/// The limits: those of the record, and over them those that were typed.
struct Wanted {
    typed: Limits,
    all: Limits,
    ignored: Vec<String>,
}

impl Wanted {
    fn new(record: &Record, words: &[String], kube: Option<&Kube>) -> Result<Self, Error> {
        let machine = Machine::this();
        let words = kube.iter().flat_map(|kube| &kube.words).chain(words);
        let typed = vocabulary::parse_all(words.map(String::as_str), &machine)?;
        let resources = oci::read(record, &machine)?;
        let mut all = resources.limits;
        all.extend(typed.clone());
        Ok(Self {
            typed,
            all,
            ignored: resources.ignored,
        })
    }
}

/// Makes the groups, with their write-ahead.
fn create(
    up: &mut Up,
    plan: &Plan<'_>,
    place: &Place,
    newcomers: &Newcomers,
    talk: Talk,
) -> Result<State, Error> {
    let mounts: Vec<Group> = plan
        .groups
        .iter()
        .map(|group| Group::mounted(group.hierarchy))
        .collect::<Result<_, _>>()?;
    for mount in &mounts {
        if mount.descendant(&plan.name)?.is_some() {
            return Err(Error::Failed(format!(
                "mkdir({}): File exists (no pod {} is known, so cgset did not make it)",
                mount.path().join(&plan.name).display(),
                up.id()
            )));
        }
    }
    let mut state = State {
        members: plan
            .groups
            .iter()
            .map(|group| Member::new(&group.key, &plan.dir(group), None))
            .collect(),
        boot_id: record::boot_id()?,
        moved: newcomers.origins(plan)?,
        parent: place.parent.clone(),
        delegate: place.delegate.map(|owner| owner.to_string()),
        ..State::default()
    };
    if !place.parent.is_empty() {
        let others = Made::by_others(up.id())?;
        for (mount, planned) in mounts.iter().zip(&plan.groups) {
            let made = &mut state.parents;
            made.note(&planned.key, mount, &place.parent, &others)?;
        }
    }
    up.intend(&state.to_json())?;
    let groups = make_groups(up, plan, place, &mounts, &mut state, talk)?;
    // By now each has its inode: from here on nothing is removed by its name alone.
    up.intend(&state.to_json())?;
    for ((group, mount), planned) in groups.iter().zip(&mounts).zip(&plan.groups) {
        if let Some(above) = mount.descendant(&place.parent)? {
            group.inherit_cpuset(&above, &planned.key)?;
        }
        make::enable(group, planned.hierarchy.version, &planned.key, talk)?;
    }
    limit(plan, &groups, newcomers.leaves(), place.delegate, talk)?;
    state.written = plan.written();
    state.effective = make::read_back(plan, &groups, plan.limits())?;
    make::note_differences(plan.limits(), &state.effective, talk);
    Ok(state)
}

/// Sets the limits, and makes the groups in the pod that are needed at once.
///
/// On v1 the limits come first: a cpuset may not become narrower than what is in it, nor memory less than what the
/// groups in it take. On v2 they come last: there a group that is full already takes no more groups.
fn limit(
    plan: &Plan<'_>,
    groups: &[Group],
    leaves: &[&str],
    delegate: Option<Owner>,
    talk: Talk,
) -> Result<(), Error> {
    let make = |version: Version| -> Result<(), Error> {
        for (group, planned) in groups
            .iter()
            .zip(&plan.groups)
            .filter(|(_, planned)| planned.hierarchy.version == version)
        {
            for leaf in leaves {
                talk.step(|| format!("mkdir({}/{leaf})", group.path().display()));
                let (made, _) = group.leaf(leaf)?;
                made.inherit_cpuset(group, &planned.key)?;
                if let Some(owner) = delegate {
                    owner.own(&made, version, talk)?;
                }
            }
            if let Some(owner) = delegate {
                owner.own(group, version, talk)?;
            }
        }
        Ok(())
    };
    make(Version::V2)?;
    make::write(plan, groups, talk)?;
    make(Version::V1)
}

/// mkdir(2) in each hierarchy. Where one fails, the write-ahead is cut down to those that are ours.
fn make_groups(
    up: &mut Up,
    plan: &Plan<'_>,
    place: &Place,
    mounts: &[Group],
    state: &mut State,
    talk: Talk,
) -> Result<Vec<Group>, Error> {
    let mut groups = Vec::new();
    for (at, (mount, planned)) in mounts.iter().zip(&plan.groups).enumerate() {
        talk.step(|| format!("mkdir({})", plan.dir(planned).display()));
        let of = (planned.hierarchy, planned.key.as_str());
        let made = parent::make_in(mount, &place.parent, &place.name, of, talk)
            .and_then(|group| Ok((group.inode()?, group)));
        match made {
            Ok((inode, group)) => {
                state.members[at].inode = Some(inode);
                groups.push(group);
            }
            Err(error) => {
                // "File exists" is another's; after any other failure it may be ours.
                let is_anothers =
                    matches!(&error, Error::Sys(error) if error.errno == Errno::EEXIST);
                state
                    .members
                    .truncate(if is_anothers { at } else { at + 1 });
                up.intend(&state.to_json())?;
                return Err(error);
            }
        }
    }
    Ok(groups)
}

/// Whether any of what an earlier `up` made is still there.
fn is_there(state: &State, hierarchies: &Hierarchies, id: &Id) -> Result<bool, Error> {
    if !state.is_of_this_boot()? {
        return Ok(false);
    }
    for member in state.members.iter().filter(|member| member.inode.is_some()) {
        if member.open(hierarchies, &state.path(id))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An earlier `up` made what is wanted now, and the kernel still has it so; else the first difference.
fn verify(state: &State, plan: &Plan<'_>, place: &Place, id: &Id) -> Result<(), Error> {
    let again = format!("cgset down --id {id} first");
    let differs = |what: String| Err(Error::Failed(format!("{what} ({again})")));
    if state.parent != place.parent {
        return differs(format!(
            "{}: is in /{}, not in /{}",
            place.name, state.parent, place.parent
        ));
    }
    let wanted = place.delegate.map(|owner| owner.to_string());
    if state.delegate != wanted {
        let whose = |owner: &Option<String>| owner.clone().unwrap_or_else(|| "nobody".into());
        return differs(format!(
            "{}: is delegated to {}, not to {}",
            plan.name,
            whose(&state.delegate),
            whose(&wanted)
        ));
    }
    let keys = |keys: Vec<&str>| keys.join(" ");
    let there = keys(
        state
            .members
            .iter()
            .map(|member| member.key.as_str())
            .collect(),
    );
    let wanted = keys(plan.groups.iter().map(|group| group.key.as_str()).collect());
    let asked = plan.written();
    for (file, value) in &asked {
        match state.written.get(file) {
            Some(old) if old == value => {}
            Some(old) => {
                return differs(format!(
                    "{}: {file} is {}, not {}",
                    plan.name,
                    make::plain(old),
                    make::plain(value)
                ));
            }
            None => {
                return differs(format!(
                    "{}: {file} is not set, {} is asked for",
                    plan.name,
                    make::plain(value)
                ));
            }
        }
    }
    if let Some((file, old)) = state
        .written
        .iter()
        .find(|(file, _)| asked.get(*file).is_none())
    {
        return differs(format!(
            "{}: {file} is {}, none is asked for",
            plan.name,
            make::plain(old)
        ));
    }
    if there != wanted {
        return differs(format!(
            "{}: has groups in {there}, {wanted} are asked for",
            plan.name
        ));
    }
    let mut groups = Vec::new();
    for (planned, member) in plan.groups.iter().zip(&state.members) {
        let found = Group::below(planned.hierarchy, &plan.name)?;
        match found {
            Some(group) if Some(group.inode()?) == member.inode => groups.push(group),
            _ => {
                return differs(format!(
                    "{}: is gone or not the pod's own",
                    plan.dir(planned).display()
                ));
            }
        }
    }
    let now = make::read_back(plan, &groups, plan.limits())?;
    for (key, made) in &state.effective {
        let found = now.get(key).unwrap_or(&Json::Null);
        if found != made {
            return differs(format!(
                "{}: {key} is {} by now, not {}",
                plan.name,
                make::plain(found),
                make::plain(made)
            ));
        }
    }
    Ok(())
}

/// Undoes a state that was written ahead, whole or half made.
fn undo(id: &Id, state: &Json) -> Result<(), Error> {
    let state = State::from_json(state)?;
    if !state.is_of_this_boot()? {
        return Ok(());
    }
    let hierarchies = Hierarchies::detect()?;
    for moved in &state.moved {
        for process in place::with_descendants(&moved.process) {
            place::bring_back(
                &Moved {
                    process,
                    from: moved.from.clone(),
                },
                &hierarchies,
                &state.path(id),
            )?;
        }
    }
    remove::remove(
        &remove::open(&state.members, &hierarchies, (&state.parent, id))?,
        id,
        remove::Live::Refuse,
        Talk::default(),
    )?;
    state.parents.remove(&hierarchies, Talk::default())
}

/// The plan on stdout.
fn dry_run(args: &UpArgs) -> ExitCode {
    let plan = |record: &Record| -> Result<String, Error> {
        let id: Id = record
            .id()
            .unwrap_or_default()
            .parse()
            .map_err(Error::Usage)?;
        let kube = args.kube.as_deref().map(kube::read).transpose()?;
        let wanted = Wanted::new(record, &args.limits, kube.as_ref())?;
        let place = Place::new(record, &id, args)?;
        let hierarchies = place.hierarchies(&wanted.all)?;
        let plan = Plan::of_pod(place.path(), &hierarchies, &wanted.all)?;
        let newcomers = Newcomers::find(record, &args.pid)?;
        let mut missing = Made::default();
        for group in &plan.groups {
            let mount = Group::mounted(group.hierarchy)?;
            missing.note(&group.key, &mount, &place.parent, &[])?;
        }
        let mut lines = missing.lines(&hierarchies);
        lines.push_str(&plan.pod_lines(newcomers.leaves(), args.delegate));
        for (name, processes) in [
            (PAUSE, newcomers.holder.as_slice()),
            (EXEC, &newcomers.named),
        ] {
            for (process, group) in processes
                .iter()
                .flat_map(|process| plan.groups.iter().map(move |group| (process, group)))
            {
                let dir = plan.dir(group).join(name);
                lines.push_str(&format!(
                    "write({}/cgroup.procs, {})\n",
                    dir.display(),
                    process.pid
                ));
            }
        }
        Ok(lines)
    };
    match (&args.source.id, &args.source.pod) {
        (Some(id), None) => crate::print(plan(&Record::new(id))),
        _ => record::show(TOOL, &args.source, plan),
    }
}
