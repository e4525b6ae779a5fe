//! `nsrun up`: the process that holds a pod's namespaces.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use ::sys::Command;
use record::{Id, Namespace, Record, Up};
use serde_json::Value;

use crate::affinity::OneCpu;
use crate::birth::{Birth, Born, Stdio};
use crate::cli::UpArgs;
use crate::describe::describe;
use crate::error::Error;
use crate::find::find_pause;
use crate::groups::Group;
use crate::maps::{Maps, RecordedMaps};
use crate::offset::Offsets;
use crate::pin::{self, Pins};
use crate::plan::{End, Plan};
use crate::request::{Join, Recorded, Request, Source};
use crate::run::{self, Asked};
use crate::same::{process_options, same, same_inside};
use crate::state::State;
use crate::step::{self, Resources};
use crate::{end, restart};

/// `nsrun up`
pub(crate) fn up(arguments: &UpArgs) -> ExitCode {
    if arguments.namespaces.dry_run {
        return dry_run(arguments);
    }
    record::up(
        crate::TOOL,
        &arguments.source,
        |up| make(up, arguments),
        end::undo,
    )
}

/// The plan, from a record that is only read.
fn dry_run(arguments: &UpArgs) -> ExitCode {
    let plan = |record: &Record| {
        let id = record
            .id()
            .unwrap_or_default()
            .parse::<Id>()
            .map_err(record::Error::Record)?;
        let earlier = record.get(crate::TOOL).and_then(State::from_json);
        let wanted = Wanted::new(&id, record, earlier.as_ref(), arguments)?;
        let (plan, _) = wanted.prepare(record, arguments)?;
        let mut last = format!("write({})\n", index_path(&id).display());
        for (kind, path) in wanted.pins(&id, arguments) {
            let _ = writeln!(
                last,
                "mount(/proc/PID/ns/{}, {}, MS_BIND)",
                kind.proc_name(),
                path.display()
            );
        }
        let _ = write!(last, "  {}", wanted.command.line());
        Ok::<_, Error>(plan.lines(&last))
    };
    match (&arguments.source.id, &arguments.source.pod) {
        (Some(id), None) => match plan(&Record::new(id)).and_then(|text| run::print(&text)) {
            Ok(status) => status.into(),
            Err(error) => {
                record::report(crate::TOOL, &error);
                ExitCode::from(if record::Failure::is_usage(&error) {
                    2
                } else {
                    1
                })
            }
        },
        _ => record::show(crate::TOOL, &arguments.source, plan),
    }
}

fn index_path(id: &Id) -> PathBuf {
    record::names::run_dir()
        .join(id.as_ref())
        .join("record.json")
}

/// What the options and the record ask for.
pub(crate) struct Wanted {
    pub(crate) request: Request,
    pub(crate) hostname: Option<String>,
    pub(crate) groups: Vec<Group>,
    pub(crate) maps: Option<Maps>,
    pub(crate) offsets: Offsets,
    command: Command,
}

impl Wanted {
    fn new(
        id: &Id,
        record: &Record,
        earlier: Option<&State>,
        arguments: &UpArgs,
    ) -> Result<Self, Error> {
        let mut entries = record.namespaces()?;
        for entry in &mut entries {
            // As with a path of the holder's: it is of an earlier up, what that made shall be made.
            if entry.path.is_some()
                && entry.path.as_ref() == earlier.and_then(|state| state.pin(entry.kind))
            {
                entry.path = None;
            }
        }
        let recorded = Recorded {
            entries,
            holder: earlier.map(|state| state.holder.pid),
            make: true,
            join_cgroup: false,
        };
        let request = Request::new(&arguments.namespaces, &recorded)?;
        let is_nameless = |join: &&Join| matches!(join.source, Source::Descriptor(_));
        if let Some(join) = request.joins.iter().find(is_nameless) {
            return Err(Error::Usage(format!(
                "--{}=fd:N: a record keeps names, not descriptors",
                join.kind.flag()
            )));
        }
        if request.new == 0 && request.joins.is_empty() {
            return Err(Error::Usage(
                "no namespace is asked for (options such as --net, or linux.namespaces)".into(),
            ));
        }
        if arguments.pin && request.new == 0 {
            return Err(Error::Usage(
                "--pin: only what is new can be pinned, and everything is joined".into(),
            ));
        }
        let hostname = if request.new & Namespace::Uts.clone_flag() == 0 {
            None
        } else {
            Some(match (&arguments.namespaces.hostname, record.hostname()?) {
                (Some(name), _) => name.clone(),
                (None, Some(name)) if !name.is_empty() => name.to_owned(),
                (None, _) => hostname_of(id),
            })
        };
        let groups = match record.groups()? {
            Some(groups) => Group::of(&groups, groups.join.as_deref().unwrap_or("pause"))?,
            None => Vec::new(),
        };
        let maps = run::maps(&arguments.namespaces, &request, &RecordedMaps::of(record)?)?;
        let offsets = offsets(&request, record, arguments)?;
        // Afterwards only pause could say that there is no such program, and to nobody.
        let options = &arguments.namespaces;
        let joins_mount = request
            .joins
            .iter()
            .any(|join| join.kind == Namespace::Mount);
        let is_seen_from_here = !joins_mount && options.root.is_none() && options.wd.is_none();
        if is_seen_from_here && !arguments.command.is_empty() {
            Command::new(&arguments.command).find()?;
        }
        let command = Command::new(&holder_line(id, &arguments.command));
        Ok(Self {
            request,
            hostname,
            groups,
            maps,
            offsets,
            command,
        })
    }

    fn pins(&self, id: &Id, arguments: &UpArgs) -> Pins {
        match arguments.pin {
            true => pin::planned(id, self.request.new),
            false => Pins::new(),
        }
    }

    fn prepare(&self, record: &Record, arguments: &UpArgs) -> Result<(Plan, Resources), Error> {
        let end = End::Hold {
            hostname: self.hostname.as_deref(),
        };
        let asked = Asked {
            arguments: &arguments.namespaces,
            request: &self.request,
            pod: Some(record),
            groups: &self.groups,
            maps: self.maps.as_ref(),
            offsets: self.offsets,
        };
        asked.prepare(end)
    }
}

/// Of the clocks of a new time namespace: the options, else the record's `linux.timeOffsets`.
fn offsets(request: &Request, record: &Record, arguments: &UpArgs) -> Result<Offsets, Error> {
    if request.new & Namespace::Time.clone_flag() == 0 {
        return Ok(Offsets::default());
    }
    let recorded = match record.pointer("/linux/timeOffsets") {
        None | Some(Value::Null) => Offsets::default(),
        Some(value) => Offsets::from_json(value).ok_or_else(|| {
            record::Error::Record(format!(
                "linux.timeOffsets: {value} has no secs and nanosecs for monotonic and boottime"
            ))
        })?,
    };
    Ok(arguments.namespaces.offsets().or(recorded))
}

/// An id can be longer than a host name.
fn hostname_of(id: &Id) -> String {
    let text: &str = id;
    text[..text.len().min(63)]
        .trim_end_matches(['.', '-', '_'])
        .to_owned()
}

/// Makes the pod, or finds it as it is wanted.
fn make(up: &mut Up, arguments: &UpArgs) -> Result<Value, Error> {
    let earlier = up.state().and_then(State::from_json);
    let wanted = Wanted::new(up.id(), up.record(), earlier.as_ref(), arguments)?;
    let mut pins = wanted.pins(up.id(), arguments);
    if let Some(earlier) = earlier {
        if earlier.holder.open()?.is_some() {
            same(up.id(), &earlier, &wanted, arguments)?;
            describe(up, &wanted, &earlier, arguments)?;
            return Ok(earlier.to_json());
        }
        // As in down: a record from anywhere could name pins of others.
        let is_indexed =
            record::indexed(up.id())?.is_some_and(|known| known.get(crate::TOOL).is_some());
        if is_indexed && restart::is_pinned(up.id(), &earlier)? {
            same(up.id(), &earlier, &wanted, arguments)?;
            return restart::hold(up, &earlier, wanted, arguments);
        }
        let left = end::left(up.id(), &earlier)?;
        if let Some(pid) = left.first() {
            let id = up.id();
            return Err(Error::Failed(format!(
                "{id}: process {} that held it is gone, process {pid} still is in it (nsrun down --id {id})",
                earlier.holder.pid
            )));
        }
        if is_indexed {
            pin::unpin(up.id(), &earlier, arguments.namespaces.verbose)?;
        }
        // A record that came with pins is of a pod that had them.
        if !earlier.pins.is_empty() {
            pins = pin::planned(up.id(), wanted.request.new);
        }
    }
    if !pins.is_empty() {
        pin::check(&pins)?;
    }
    let (plan, resources) = wanted.prepare(up.record(), arguments)?;
    let new = New {
        made: wanted.request.new,
        pins,
        restores: None,
    };
    hold(up, &new, &wanted, (&plan, resources), arguments)
}

/// What the state of a new process that holds the pod says besides what /proc does.
pub(crate) struct New {
    pub(crate) made: i32,
    pub(crate) pins: Pins,
    /// The state of a pod that only its pins hold.
    pub(crate) restores: Option<State>,
}

/// Has a process born that holds the pod.
pub(crate) fn hold(
    up: &mut Up,
    new: &New,
    wanted: &Wanted,
    (plan, mut resources): (&Plan, Resources),
    arguments: &UpArgs,
) -> Result<Value, Error> {
    let joins = &wanted.request.joins;
    let elsewhere = joins.iter().any(|join| join.kind == Namespace::Mount)
        || arguments.namespaces.root.is_some()
        || new.restores.is_some();
    let program = find_pause(elsewhere)?;
    let stdio = Stdio::open(arguments.log.as_deref())?;
    for group in &wanted.groups {
        resources.groups.push(group.open()?);
    }
    let birth = Birth {
        plan,
        resources: &resources,
        stdio: &stdio,
        command: &wanted.command,
        program: &program,
        verbose: arguments.namespaces.verbose,
    };
    let pins_new_mounts =
        new.restores.is_none() && new.pins.iter().any(|(kind, _)| *kind == Namespace::Mount);
    let one_cpu = match pins_new_mounts {
        true => OneCpu::for_pinned_mounts()?,
        false => None,
    };
    let mut born = birth.begin(!arguments.command.is_empty())?;
    if let Some(one_cpu) = one_cpu {
        one_cpu.release(born.pid);
    }
    let answer = born
        .can_be_ended()
        .and_then(|()| finish(up, &mut born, new, wanted, arguments));
    if answer.is_err() {
        born.abandon();
    }
    answer
}

/// Writes the new process down, pins its namespaces, lets it go on, and sees it exec.
fn finish(
    up: &mut Up,
    born: &mut Born,
    new: &New,
    wanted: &Wanted,
    arguments: &UpArgs,
) -> Result<Value, Error> {
    let verbose = arguments.namespaces.verbose;
    let mut state = State::of(
        born.pid,
        new.made,
        wanted.hostname.as_deref(),
        texts(&arguments.command),
    )?;
    if new.restores.is_some() {
        same_inside(up.id(), born.pid, wanted)?;
    }
    state.pins.clone_from(&new.pins);
    state.options = process_options(arguments);
    let mut intended = state.to_json();
    if let Some(earlier) = &new.restores {
        intended[record::RESTORES] = earlier.to_json();
    }
    up.intend(&intended)?;
    if verbose {
        step::say(&format_args!("write({})", index_path(up.id()).display()));
    }
    match &new.restores {
        None => pin::pin(up.id(), born.pid, &state.pins, verbose)?,
        Some(_) => restart::pin_anew(born.pid, &state, verbose)?,
    }
    born.let_go()?;
    describe(up, wanted, &state, arguments)?;
    Ok(state.to_json())
}

pub(crate) fn texts(command: &[OsString]) -> Vec<String> {
    command
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// `pause --id ID`, and `-- CMD` if there is one: the id is what ps(1) shows.
fn holder_line(id: &Id, command: &[OsString]) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["pause".into(), "--id".into(), id.as_ref().into()];
    if !command.is_empty() {
        line.push("--".into());
        line.extend_from_slice(command);
    }
    line
}
