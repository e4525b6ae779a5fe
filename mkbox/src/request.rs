//! What an `up` is asked for, from its flags and its record.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use foldhash::HashSet;
use record::{Id, Mount, Record};
use serde_json::Value;
use sys::Call;

use crate::assemble::Assembly;
use crate::boxfile::BoxFile;
use crate::cli::UpArgs;
use crate::closure::{closure, of_programs};
use crate::error::Error;
use crate::etc;
use crate::extra::Extra;
use crate::flags::{self, Wished};
use crate::from::Base;
use crate::mounts::{self, Planned, What};
use crate::origin::Origin;
use crate::place::Place;
use crate::plan::{Plan, Step};
use crate::root::PointKind;
use crate::state::State;
use crate::volumes::{Check, Volume};
use crate::wishes::{Wishes, absolute};
use crate::within::Within;
use crate::{TOOL, overlay, spec, warnings};

/// Everything that is known before the first effect.
pub(crate) struct Request {
    pub(crate) place: Place,
    pub(crate) copy: Vec<String>,
    pub(crate) wishes: Wishes,
    pub(crate) base: Option<Base>,
    pub(crate) origin: Rc<Origin>,
    /// What the box lacks that its programs may look for.
    pub(crate) warnings: Vec<String>,
    pub(crate) mounts: Vec<Mount>,
    /// The same as they stand in the record: the given ones untouched, with keys that mkbox does not know.
    entries: Vec<Value>,
    pub(crate) plan: Plan,
    /// What has to be done for the sources of the mounts.
    pub(crate) volumes: Vec<Wished>,
    pub(crate) etc: Vec<etc::File>,
    /// Where the mounts are made now; None: when the box is entered.
    pub(crate) within: Option<Within>,
    extra: Extra,
    /// The keys beside `mounts`, as they will be.
    pub(crate) spec: Record,
}

impl Request {
    /// From the flags, and from the record where they are silent.
    pub(crate) fn new(
        args: &UpArgs,
        record: &Record,
        before: Option<&State>,
    ) -> Result<Self, Error> {
        let place = Place::find(&root(args, record)?)?;
        let here = std::env::current_dir().call(|| "getcwd".into())?;
        let volumes = flags::wishes(&args.mounts.flags(), &here, &place.store_path())?;
        let before_extra = before.map(|before| &before.extra);
        // The same record again, without flags, is the same request again.
        let programs = match before_extra {
            Some(before) if args.mounts.bind_programs.is_empty() => before.bind_programs.clone(),
            _ => unique("--bind-programs", &args.mounts.bind_programs)?,
        };
        let wishes = Wishes::new(args, before.map(|before| &before.wishes))?;
        let origin = Rc::new(Origin::new(wishes.sysroot.as_deref().map(Path::new))?);
        let base = base(&wishes, &place)?;
        let mut shown = of_programs(&origin, &programs, &wishes)?;
        let bound = bind(&origin, &shown.files, wishes.keep_privileges)?;
        // Where programs of the host will be mounted.
        let programs_at: HashSet<OsString> = bound
            .iter()
            .map(|mount| mount.destination.clone().into())
            .collect();
        let (mounts, entries) = merged(record, bound, &volumes)?;
        let planned = mounts::plan(&mounts)?;
        let directories = directories(&planned, &programs_at, &volumes)?;
        let copy = match before {
            Some(before) if args.copy.is_empty() => before.copy.clone(),
            _ => unique("--copy", &args.copy)?,
        };
        let closure = closure(&origin, &copy, &wishes, &shown.files)?;
        let warnings = if args.quiet {
            Vec::new()
        } else {
            // Bound or copied, a program wants the same.
            shown.files.extend(closure.files.iter().cloned());
            shown.has_glibc |= closure.has_glibc;
            warnings::of(&shown, &origin, &wishes)
        };
        let layers = overlay::layers(&args.mounts.overlay, args.mounts.ephemeral, &place)?;
        let overlay = layers.or_else(|| before_extra.and_then(|before| before.overlay.clone()));
        let before_etc = before_extra.map_or(&[][..], |before| &before.etc);
        let etc = etc::union(before_etc, &args.mounts.etc)?;
        let is_directory = |source: &Path| directories.get(source).copied().unwrap_or(false);
        let plan = plan(
            Plan::new(closure, &planned, is_directory),
            &programs_at,
            &etc,
        );
        let within = Within::find(record, args.mounts.host_mounts)?;
        let mut spec = record.clone();
        spec::apply(&args.mounts, &mut spec)?;
        let extra = Extra {
            has_store: overlay.is_some() || volumes.iter().any(|wished| wished.volume.is_stored()),
            bind_programs: programs,
            overlay,
            etc: etc::names(&etc),
            ..Extra::default()
        };
        Ok(Self {
            place,
            copy,
            wishes,
            base,
            origin,
            warnings,
            mounts,
            entries,
            plan,
            volumes,
            etc,
            within,
            extra,
            spec,
        })
    }

    pub(crate) fn state(&self) -> State {
        State {
            root: self.place.path.to_string_lossy().into_owned(),
            identity: None,
            copy: self.copy.clone(),
            wishes: self.wishes.clone(),
            made: self
                .place
                .missing
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect(),
            existed: false,
            filled: None,
            extra: self.extra.clone(),
        }
    }

    /// What the marker says while the box is being made: no more than `down` needs.
    pub(crate) fn claim(id: &Id, state: &State) -> Record {
        let mut record = Record::new(id);
        record.set(TOOL, state.to_json());
        record
    }

    /// What it says of a box that is made: the box as a record of its own.
    pub(crate) fn marker(&self, id: &Id, state: &State) -> Result<Record, Error> {
        let mut record = Record::new(id);
        self.write_spec(&mut record, state)?;
        record.set(TOOL, state.to_json());
        Ok(record)
    }

    /// What is made beside the files of the box, for `--dry-run`.
    pub(crate) fn describe_rest(&self, record: &Record) -> Result<Vec<String>, Error> {
        let box_path = self.place.path.display();
        let mut lines = Vec::new();
        if self.extra.has_store {
            lines.push(format!("mkdir({})", self.place.store_path().display()));
        }
        for file in &self.etc {
            lines.push(format!("write({box_path}/etc/{})", file.name()));
        }
        for wished in &self.volumes {
            let source = wished.mount.source.as_deref().unwrap_or_default();
            lines.extend(wished.volume.describe(Path::new(source)));
        }
        if let Some(within) = &self.within {
            lines.extend(
                within
                    .mounted
                    .path
                    .iter()
                    .map(|path| format!("setns({path}, CLONE_NEWNS)")),
            );
            let mut state = self.state();
            state.filled = Some((0, 0));
            let id = record
                .id()
                .unwrap_or_default()
                .parse()
                .map_err(record::Error::Record)?;
            let marker = self.marker(&id, &state)?;
            lines.extend(Assembly::new(self.place.path.clone(), Some(&marker))?.describe());
        }
        Ok(lines)
    }

    /// The keys of OCI that this tool owns.
    pub(crate) fn write_spec(&self, record: &mut Record, state: &State) -> Result<(), Error> {
        record.set_at(&["root", "path"], state.root.as_str().into())?;
        spec::copy(&self.spec, record)?;
        if !self.entries.is_empty() {
            record.set("mounts", self.entries.clone().into());
        }
        Ok(())
    }
}

/// Where the box is to be.
fn root(args: &UpArgs, record: &Record) -> Result<PathBuf, Error> {
    match &args.root {
        Some(root) => Ok(root.into()),
        None => record
            .root()?
            .ok_or_else(|| Error::Usage("BOX is missing, and the record has no root.path".into())),
    }
}

/// The mounts of the record, with those that are asked for behind them; and the same as they will stand in it.
fn merged(
    record: &Record,
    bound: Vec<Mount>,
    volumes: &[Wished],
) -> Result<(Vec<Mount>, Vec<Value>), Error> {
    let given = mounts::read(record)?;
    let wished = volumes.iter().map(|wished| wished.mount.clone()).collect();
    let known = given.len();
    let mounts = mounts::merge(mounts::merge(given, bound)?, wished)?;
    let entries = record.get("mounts").and_then(Value::as_array);
    let entries = entries.into_iter().flatten().cloned();
    let new = mounts[known..].iter().map(mounts::to_json);
    let entries = entries.chain(new).collect();
    Ok((mounts, entries))
}

/// `plan` with what lies under the programs of the host as such, and without the files that are written from the record.
fn plan(mut plan: Plan, programs_at: &HashSet<OsString>, etc: &[etc::File]) -> Plan {
    for step in &mut plan.steps {
        if let Step::Point(path, PointKind::File) = step
            && programs_at.contains(path.as_os_str())
        {
            *step = Step::Program(std::mem::take(path));
        }
    }
    let is_written = |path: &Path| {
        let name = path.strip_prefix("/etc").ok().and_then(Path::to_str);
        etc.iter().any(|file| Some(file.name()) == name)
    };
    plan.steps
        .retain(|step| !matches!(step, Step::File(file) if is_written(&file.destination)));
    plan
}

/// `files`, each to be bound where its copy would lie.
fn bind(origin: &Origin, files: &[BoxFile], keep_privileges: bool) -> Result<Vec<Mount>, Error> {
    // As of a copy, rights that come with the file are dropped unless they are asked for.
    let options = match keep_privileges {
        true => &["bind", "ro", "nodev"][..],
        false => &["bind", "ro", "nosuid", "nodev"],
    };
    let mounts = files.iter().map(|file| {
        // A link of another machine's would lead elsewhere on this one.
        let real = (!origin.is_here()).then(|| origin.canonicalize(&file.source));
        let source = origin.shown(&real.flatten().unwrap_or_else(|| file.source.clone()));
        let source = source.into_os_string().into_string();
        Ok(Mount {
            destination: file.destination.clone(),
            kind: Some("bind".into()),
            source: Some(source.map_err(|source| {
                Error::Failed(format!(
                    "{}: is not UTF-8, a record cannot hold it",
                    crate::text::short(Path::new(&source))
                ))
            })?),
            options: options.iter().map(|&option| option.to_owned()).collect(),
        })
    });
    mounts.collect()
}

/// Which sources are directories, programs of the host apart: what is not there now could not be told a file from one.
fn directories(
    planned: &[Planned],
    programs_at: &HashSet<OsString>,
    volumes: &[Wished],
) -> Result<HashMap<PathBuf, bool>, Error> {
    let mut found = HashMap::new();
    for mount in planned {
        let What::Bind { source, .. } = &mount.what else {
            continue;
        };
        if programs_at.contains(mount.destination.as_os_str()) {
            continue;
        }
        let volume = volumes
            .iter()
            .find(|wished| wished.mount.destination == mount.destination);
        let is_directory = match volume.map(|wished| &wished.volume) {
            Some(volume) if volume.is_stored() => true,
            Some(Volume::HostPath(check)) => check.is_directory(source)?,
            _ => Check::Any.is_directory(source)?,
        };
        found.insert(source.clone(), is_directory);
    }
    Ok(found)
}

/// What the box begins with, if anything.
fn base(wishes: &Wishes, place: &Place) -> Result<Option<Base>, Error> {
    let Some(from) = &wishes.from else {
        return Ok(None);
    };
    let base = Base::open(Path::new(from), wishes.reference.as_deref())?;
    if let Some(directory) = base.directory() {
        let real = fs::canonicalize(directory).call(|| format!("realpath({from})"))?;
        if place.path.starts_with(&real) {
            let shown = place.path.display();
            return Err(Error::Usage(format!(
                "BOX {shown}: lies below --from {from}"
            )));
        }
    }
    Ok(Some(base))
}

/// Without repetitions, in order; a path counts from the root, so that it means the same next time.
fn unique(flag: &str, names: &[String]) -> Result<Vec<String>, Error> {
    let mut unique = Vec::new();
    for name in names {
        let name = match name.contains('/') {
            true => absolute(flag, Path::new(name))?,
            false => name.clone(),
        };
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    Ok(unique)
}
