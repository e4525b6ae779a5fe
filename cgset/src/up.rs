//! `cgset up`: the pod's groups, their limits, and the processes that are there already.

use std::process::ExitCode;

use nix::errno::Errno;
use nix::unistd::geteuid;
use record::{Id, Record, Up};
use serde_json::Value as Json;

use crate::cli::UpArgs;
use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Version};
use crate::kube;
use crate::newcomers::Newcomers;
use crate::owner::Owner;
use crate::parent::Made;
use crate::place;
use crate::plan::Plan;
use crate::same::{is_there, verify};
use crate::state::{EXEC, Member, Moved, PAUSE, State};
use crate::talk::Talk;
use crate::vocabulary::Machine;
use crate::wanted::{Place, Wanted, more_than_there_is};
use crate::{TOOL, make, oci, parent, remove, systemd};

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
    let known = up.state().map(State::from_json).transpose()?;
    let place = Place::new(up.record(), up.id(), args, known.as_ref())?;
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
    for line in more_than_there_is(&wanted.all, &Machine::this()) {
        talk.note(line);
    }
    for name in kube.iter().flat_map(|kube| &kube.ignored) {
        talk.note(format_args!(
            "--kube: {name}: no limit of a cgroup, not applied"
        ));
    }
    let made = match known {
        Some(state) if is_there(&state, &hierarchies, up.id())? => {
            verify(&state, &plan, &place, up.id())?;
            state
        }
        _ => {
            settle(&place, &hierarchies, talk)?;
            create(up, &plan, &place, &newcomers, talk)?
        }
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

/// Where systemd owns the tree: makes room in what it gave us, or says how to be given something.
fn settle(place: &Place, hierarchies: &Hierarchies, talk: Talk) -> Result<(), Error> {
    match hierarchies.unified().filter(|_| place.is_systemds) {
        Some(unified) if !place.parent.is_empty() => {
            systemd::make_room(unified, &place.parent, talk)
        }
        // for others it is an error, which says the same
        _ if place.is_systemds && geteuid().is_root() => {
            talk.note(format_args!(
                "systemd owns the groups here and may change what it did not make ({})",
                systemd::FOR_ROOT
            ));
            Ok(())
        }
        _ => Ok(()),
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
                let (made, _) = group.leaf(leaf)?;
                talk.step(|| format!("mkdir({}/{leaf})", group.path().display()));
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
        let of = (planned.hierarchy, planned.key.as_str());
        let made = parent::make_in(mount, &place.parent, &place.name, of, talk)
            .and_then(|group| Ok((group.inode()?, group)));
        match made {
            Ok((inode, group)) => {
                talk.step(|| format!("mkdir({})", plan.dir(planned).display()));
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
        let place = Place::new(record, &id, args, None)?;
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
