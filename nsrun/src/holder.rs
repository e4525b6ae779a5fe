//! `nsrun up`: the process that holds a pod's namespaces.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::sys::{Call, Command, Program};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access};
use record::{Id, Namespace, Record, Up};
use serde_json::Value;

use crate::birth::{Birth, Born, Stdio};
use crate::cli::{Choice, UpArgs};
use crate::error::Error;
use crate::groups::Group;
use crate::maps::{Maps, RecordedMaps};
use crate::offset::Offsets;
use crate::plan::{End, Plan};
use crate::request::{Join, Recorded, Request, Source, holder_path};
use crate::run::{self, Asked};
use crate::state::State;
use crate::step::{self, Resources, kinds};
use crate::{end, procfs};

/// `nsrun up`
pub(crate) fn up(arguments: &UpArgs) -> ExitCode {
    if arguments.namespaces.dry_run {
        return dry_run(arguments);
    }
    record::up(
        crate::TOOL,
        &arguments.source,
        |up| make(up, arguments),
        |_, state| end::undo(state),
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
        let wanted = Wanted::new(&id, record, None, arguments)?;
        let (plan, _) = wanted.prepare(record, arguments)?;
        let last = format!(
            "write({})\n  {}",
            index_path(&id).display(),
            wanted.command.line()
        );
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
struct Wanted {
    request: Request,
    hostname: Option<String>,
    groups: Vec<Group>,
    maps: Option<Maps>,
    offsets: Offsets,
    command: Command,
}

impl Wanted {
    fn new(
        id: &Id,
        record: &Record,
        earlier: Option<&State>,
        arguments: &UpArgs,
    ) -> Result<Self, Error> {
        let recorded = Recorded {
            entries: record.namespaces()?,
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
    if let Some(earlier) = earlier {
        if earlier.holder.open()?.is_some() {
            same(up.id(), &earlier, &wanted, arguments)?;
            describe(up, &wanted, &earlier, arguments)?;
            return Ok(earlier.to_json());
        }
        let left = end::left(&earlier)?;
        if let Some(pid) = left.first() {
            let id = up.id();
            return Err(Error::Failed(format!(
                "{id}: process {} that held it is gone, process {pid} still is in it (nsrun down --id {id})",
                earlier.holder.pid
            )));
        }
    }
    let (plan, mut resources) = wanted.prepare(up.record(), arguments)?;
    let program = find_pause(&wanted.request, arguments)?;
    let stdio = Stdio::open(arguments.log.as_deref())?;
    for group in &wanted.groups {
        resources.groups.push(group.open()?);
    }
    let verbose = arguments.namespaces.verbose;
    let birth = Birth {
        plan: &plan,
        resources: &resources,
        stdio: &stdio,
        command: &wanted.command,
        program: &program,
        verbose,
    };
    let mut born = birth.begin(!arguments.command.is_empty())?;
    let answer = finish(up, &mut born, &wanted, arguments);
    if answer.is_err() {
        born.abandon();
    }
    answer
}

/// Writes the new process down, lets it go on, and sees it exec.
fn finish(
    up: &mut Up,
    born: &mut Born,
    wanted: &Wanted,
    arguments: &UpArgs,
) -> Result<Value, Error> {
    let state = State::of(
        born.pid,
        wanted.request.new,
        wanted.hostname.as_deref(),
        texts(&arguments.command),
    )?;
    up.intend(&state.to_json())?;
    if arguments.namespaces.verbose {
        step::say(&format_args!("write({})", index_path(up.id()).display()));
    }
    born.let_go()?;
    describe(up, wanted, &state, arguments)?;
    Ok(state.to_json())
}

fn texts(command: &[OsString]) -> Vec<String> {
    command
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect()
}

/// An error that says the difference, unless the pod that is up is the one that is wanted.
fn same(id: &Id, earlier: &State, wanted: &Wanted, arguments: &UpArgs) -> Result<(), Error> {
    let list = |flags: i32| {
        kinds(flags)
            .iter()
            .map(|kind| kind.flag())
            .collect::<Vec<_>>()
            .join(",")
    };
    let differs = |what: String| {
        Err(Error::Failed(format!(
            "{id} is up {what} (nsrun down --id {id} first)"
        )))
    };
    if earlier.made != wanted.request.new {
        let (has, wants) = (list(earlier.made), list(wanted.request.new));
        return differs(format!("with new {has}, not with new {wants}"));
    }
    for join in &wanted.request.joins {
        let path = match &join.source {
            Source::File(path) => path.clone(),
            Source::Process { pid, .. } => holder_path(*pid, join.kind),
            Source::Holder | Source::Descriptor(_) => continue,
        };
        if procfs::identity(&path).map(|(_, inode)| inode) != earlier.inode(join.kind) {
            return differs(format!(
                "with another {} namespace than {}",
                join.kind.flag(),
                path.display()
            ));
        }
    }
    if earlier.hostname != wanted.hostname {
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        return differs(format!(
            "with host name {}, not {}",
            name(&earlier.hostname),
            name(&wanted.hostname)
        ));
    }
    let pid = earlier.holder.pid;
    if wanted.maps.as_ref().is_some_and(|maps| !maps.are_of(pid)) {
        return differs("with other users and groups mapped".into());
    }
    if !wanted.offsets.is_of(pid) {
        return differs("with other offsets of its clocks".into());
    }
    let command = texts(&arguments.command);
    if earlier.command != command {
        return differs(format!(
            "with command {:?}, not {:?}",
            earlier.command.join(" "),
            command.join(" ")
        ));
    }
    Ok(())
}

/// The spec keys of what is up now.
fn describe(up: &mut Up, wanted: &Wanted, state: &State, arguments: &UpArgs) -> Result<(), Error> {
    let request = &wanted.request;
    let left_alone = |kind: &Namespace| arguments.namespaces.choice(*kind) == Some(Choice::Host);
    let record = up.record_mut();
    let unwanted: Vec<_> = Namespace::ALL
        .into_iter()
        .filter(left_alone)
        .map(Namespace::oci)
        .collect();
    if let Some(Value::Array(entries)) = record.pointer("/linux/namespaces") {
        let kept = entries
            .iter()
            .filter(|entry| !unwanted.iter().any(|kind| entry["type"] == *kind));
        let kept: Vec<Value> = kept.cloned().collect();
        record.set_at(&["linux", "namespaces"], kept.into())?;
    }
    for kind in kinds(request.new) {
        record.set_namespace(kind, Some(&holder_path(state.holder.pid, kind)))?;
    }
    for join in &request.joins {
        match &join.source {
            Source::File(path) => record.set_namespace(join.kind, Some(&absolute(path)))?,
            Source::Process { pid, .. } => {
                record.set_namespace(join.kind, Some(&holder_path(*pid, join.kind)))?
            }
            Source::Holder | Source::Descriptor(_) => {}
        }
    }
    if let Some(hostname) = &state.hostname {
        record.set("hostname", hostname.as_str().into());
    }
    if let Some(maps) = &wanted.maps {
        for (key, map) in [("uidMappings", &maps.users), ("gidMappings", &maps.groups)] {
            if let Some(map) = map {
                record.set_at(&["linux", key], map.to_json())?;
            }
        }
    }
    if !wanted.offsets.is_empty() {
        record.set_at(&["linux", "timeOffsets"], wanted.offsets.to_json())?;
    }
    Ok(())
}

/// The file itself is not resolved: in /proc it leads to no path.
fn absolute(path: &Path) -> PathBuf {
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match (std::fs::canonicalize(dir), path.file_name()) {
        (Ok(dir), Some(name)) => dir.join(name),
        _ => path.to_owned(),
    }
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

/// The `pause` beside this nsrun, else that of PATH.
fn find_pause(request: &Request, arguments: &UpArgs) -> Result<Program, Error> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("pause")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|dir| dir.join("pause"));
    let runs = |file: &PathBuf| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    let found = beside.into_iter().chain(in_path).find(runs);
    let found = found
        .ok_or_else(|| Error::Failed("pause: found neither beside nsrun nor in PATH".into()))?;
    let found = std::path::absolute(&found).unwrap_or(found);
    let elsewhere = request
        .joins
        .iter()
        .any(|join| join.kind == Namespace::Mount)
        || arguments.namespaces.root.is_some();
    if !elsewhere {
        return Ok(Program::at(&found));
    }
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    Ok(Program::File(
        open(&found, flags, Mode::empty()).call(|| format!("open({})", found.display()))?,
    ))
}
