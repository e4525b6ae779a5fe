//! What an `up` is asked for, from its flags and its record.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use record::{Id, Mount, Record};
use serde_json::Value;
use sys::Call;

use crate::cli::UpArgs;
use crate::closure::closure;
use crate::error::Error;
use crate::from::Base;
use crate::mounts::{self, What};
use crate::origin::Origin;
use crate::place::Place;
use crate::plan::Plan;
use crate::state::State;
use crate::wishes::{Wishes, absolute};
use crate::{TOOL, warnings};

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
}

impl Request {
    /// From the flags, and from the record where they are silent.
    pub(crate) fn new(
        args: &UpArgs,
        record: &Record,
        before: Option<&State>,
    ) -> Result<Self, Error> {
        let root = match &args.root {
            Some(root) => PathBuf::from(root),
            None => record.root()?.ok_or_else(|| {
                Error::Usage("BOX is missing, and the record has no root.path".into())
            })?,
        };
        let place = Place::find(&root)?;
        let here = std::env::current_dir().call(|| "getcwd".into())?;
        let wished = mounts::from_flags(args.proc, &args.tmpfs, &args.bind, &here)?;
        let given = record.mounts()?;
        let mounts = mounts::merge(&given, &wished)?;
        let entries = record
            .get("mounts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .cloned();
        let entries = entries
            .chain(mounts[given.len()..].iter().map(mounts::to_json))
            .collect();
        let planned = mounts::plan(&mounts)?;
        for mount in &planned {
            // What is not there now could not be told a file from a directory.
            if let What::Bind { source, .. } = &mount.what {
                fs::metadata(source).call(|| format!("stat({})", source.display()))?;
            }
        }
        // The same record again, without flags, is the same request again.
        let copy = match before {
            Some(before) if args.copy.is_empty() => before.copy.clone(),
            _ => unique(&args.copy)?,
        };
        let wishes = Wishes::new(args, before.map(|before| &before.wishes))?;
        let origin = Rc::new(Origin::new(wishes.sysroot.as_deref().map(Path::new))?);
        let base = base(&wishes, &place)?;
        let closure = closure(&origin, &copy, &wishes)?;
        let warnings = match args.quiet {
            true => Vec::new(),
            false => warnings::of(&closure, &origin, &wishes),
        };
        let plan = Plan::new(closure, &planned, Path::is_dir);
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
        }
    }

    /// What the marker says: the box as a record of its own.
    pub(crate) fn marker(&self, id: &Id, state: &State) -> Result<Record, Error> {
        let mut record = Record::new(id);
        self.write_spec(&mut record, state)?;
        record.set(TOOL, state.to_json());
        Ok(record)
    }

    /// The keys of OCI that this tool owns.
    pub(crate) fn write_spec(&self, record: &mut Record, state: &State) -> Result<(), Error> {
        record.set_at(&["root", "path"], state.root.as_str().into())?;
        if !self.entries.is_empty() {
            record.set("mounts", self.entries.clone().into());
        }
        Ok(())
    }
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
fn unique(names: &[String]) -> Result<Vec<String>, Error> {
    let mut unique = Vec::new();
    for name in names {
        let name = match name.contains('/') {
            true => absolute("--copy", Path::new(name))?,
            false => name.clone(),
        };
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    Ok(unique)
}
