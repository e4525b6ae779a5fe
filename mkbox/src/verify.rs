//! `mkbox verify`: a box against its manifest: what is missing, what changed, what came.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use record::Record;
use rustix::fs::FileType;
use rustix::mount::MountAttrFlags;
use serde_json::json;
use sys::Call;

use crate::assemble::is_mount_root;
use crate::attach::clone_fd;
use crate::cli::VerifyArgs;
use crate::digest::sha256;
use crate::error::Error;
use crate::manifest::{self, Entry, Kind};
use crate::options::Attributes;
use crate::place::Place;
use crate::root::Root;
use crate::state::State;
use crate::text::{short, visible};
use crate::walk::walk;
use crate::{TOOL, down, overlay, print};

/// Bytes of a manifest that somebody names: a distribution's has some 10 MB.
pub(crate) const MANIFEST_BYTES: u64 = 256 << 20;

/// Runs the verb.
pub(crate) fn verify(args: &VerifyArgs) -> ExitCode {
    let source = match down::source(&args.source, args.root.as_deref()) {
        Ok(source) => source,
        Err(error) => return print(Err(error)),
    };
    let mut differences = 0;
    let code = record::show(TOOL, &source, |record| {
        let (state, root) = open(record, args.root.as_deref())?;
        let entries = match &args.manifest {
            Some(path) => read_manifest(path)?,
            None => of(&state)?,
        };
        let found = compare(&root, &entries)?;
        differences += found.len();
        Ok::<_, Error>(found.iter().map(|one| one.line(args.json)).collect())
    });
    if differences > 0 {
        // Which ones stands on stdout.
        let word = if differences == 1 {
            "difference"
        } else {
            "differences"
        };
        record::report(TOOL, format!("verify: {differences} {word}"));
        return ExitCode::FAILURE;
    }
    code
}

/// The box of a record, if it is there, is the one that was made, and the one that the user `named` by its path; and the
/// directory that was filled.
///
/// # Errors
/// It is not.
pub(crate) fn open(record: &Record, named: Option<&str>) -> Result<(State, Root), Error> {
    let id = record.id().unwrap_or_default();
    let state = record.get(TOOL).map(State::from_json).transpose()?;
    let state = state.ok_or_else(|| Error::Failed(format!("{id}: the record has no box")))?;
    let place = Place::recorded(&state.root)?;
    if let Some(named) = named
        && Place::find(Path::new(named))?.path != place.path
    {
        let at = &state.root;
        return Err(Error::Failed(format!(
            "BOX {named}: the box of {id} is at {at}"
        )));
    }
    let root = filled(&state, &place)?;
    Ok((state, root))
}

/// What `up` has filled: the box itself, without what is mounted in it, or the writable layer of an overlay, beside it.
///
/// # Errors
/// It is not there, or another directory by now.
pub(crate) fn filled(state: &State, place: &Place) -> Result<Root, Error> {
    let another = |path: &Path| {
        Error::Failed(format!(
            "BOX {}: is another directory than the one that was made",
            path.display()
        ))
    };
    if state.extra.overlay.is_some() {
        let path = place.store_path();
        let store = Root::open(&path)?;
        if state.extra.store != Some(store.identity()?) {
            return Err(another(&path));
        }
        let upper = path.join(overlay::UPPER);
        return Ok(Root::open_in(store.as_fd(), overlay::UPPER, &upper)?);
    }
    let root = Root::open(&place.path)?;
    if state.identity != Some(root.identity()?) {
        return Err(another(&place.path));
    }
    if state.extra.mounted.is_some() && is_mount_root(&root)? {
        let mut tree = clone_fd(root.as_fd(), false, || state.root.clone())?;
        let writable = Attributes {
            clear: MountAttrFlags::MOUNT_ATTR_RDONLY,
            ..Attributes::NONE
        };
        // Read-only it is for those inside. Where this is denied, whoever writes is told.
        let _ = tree.change(writable, &place.path);
        return Ok(Root::from_fd(tree.fd, &place.path));
    }
    Ok(root)
}

/// The manifest beside a box.
///
/// # Errors
/// It is not there, or no manifest.
pub(crate) fn of(state: &State) -> Result<Vec<Entry>, Error> {
    let place = Place::recorded(&state.root)?;
    read_manifest(&place.parent.join(place.manifest_name()))
}

fn read_manifest(path: &Path) -> Result<Vec<Entry>, Error> {
    use std::io::Read;
    let mut text = Vec::new();
    let (file, _) = crate::origin::Origin::default().open_known(path)?;
    file.take(MANIFEST_BYTES)
        .read_to_end(&mut text)
        .call(|| format!("read({})", path.display()))?;
    manifest::parse(&text)
        .ok_or_else(|| Error::Failed(format!("{}: is no manifest of mkbox", path.display())))
}

/// One thing that is not as the manifest says.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    path: PathBuf,
    /// `missing`, `changed` or `extra`
    is: &'static str,
    /// How it changed.
    how: String,
}

impl Difference {
    fn line(&self, as_json: bool) -> String {
        let path = self.path.to_string_lossy();
        if as_json {
            let mut value = json!({"path": path, "is": self.is});
            if !self.how.is_empty() {
                value["how"] = self.how.as_str().into();
            }
            return format!("{value}\n");
        }
        // A name may hold anything; a line is a line.
        let path: String = path.chars().flat_map(visible).collect();
        let how = if self.how.is_empty() {
            String::new()
        } else {
            format!(": {}", self.how)
        };
        format!("{:<8}{path}{how}\n", self.is)
    }
}

fn compare(root: &Root, entries: &[Entry]) -> Result<Vec<Difference>, Error> {
    let mut found = Vec::new();
    let (mut known, mut on_the_way) = (HashSet::new(), HashSet::new());
    for entry in entries {
        let differs = |is, how| Difference {
            path: entry.path.clone(),
            is,
            how,
        };
        on_the_way.extend(entry.path.ancestors());
        let stat = root.stat_itself(&entry.path)?;
        let Some(stat) = stat.filter(|stat| !is_whiteout(stat)) else {
            found.push(differs("missing", String::new()));
            continue;
        };
        known.insert((stat.st_dev, stat.st_ino));
        if let Some(how) = change(root, entry, &stat)? {
            found.push(differs("changed", how));
        }
    }
    walk(root.readable()?, root.shown(), |item| {
        let is_known = known.contains(&(item.stat.st_dev, item.stat.st_ino));
        if !is_known && !on_the_way.contains(item.path) {
            let is_gone = is_whiteout(&item.stat);
            found.push(Difference {
                path: item.path.to_owned(),
                is: if is_gone { "missing" } else { "extra" },
                how: String::new(),
            });
        }
        Ok::<_, Error>(())
    })?;
    Ok(found)
}

/// What stands in the writable layer of an overlay for something that was removed. No box has a device of its own.
fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// How the file behind `stat` differs from its entry; the contents are read only where the entry has a sum.
fn change(root: &Root, entry: &Entry, stat: &rustix::fs::Stat) -> Result<Option<String>, Error> {
    let kind = FileType::from_raw_mode(stat.st_mode);
    let is_kind = match &entry.kind {
        Kind::File | Kind::Hard(_) => kind == FileType::RegularFile,
        Kind::Directory => kind == FileType::Directory,
        Kind::Link(_) => kind == FileType::Symlink,
        Kind::Other(name) => manifest::kind_name(kind) == name,
    };
    if !is_kind {
        return Ok(Some(format!("is a {} now", manifest::kind_name(kind))));
    }
    if let Kind::Link(target) = &entry.kind {
        let now = root.target(&entry.path)?;
        return Ok((now != *target).then(|| format!("leads to {} now", short(&now))));
    }
    let mode = stat.st_mode & 0o7777;
    if mode != entry.mode {
        return Ok(Some(format!("mode {mode:04o}, was {:04o}", entry.mode)));
    }
    if kind != FileType::RegularFile {
        return Ok(None);
    }
    let bytes = u64::try_from(stat.st_size).unwrap_or(0);
    if bytes != entry.bytes {
        return Ok(Some(format!("{bytes} bytes, were {}", entry.bytes)));
    }
    if let Some(sum) = &entry.sha256 {
        let is_same = sha256(root.open_file(&entry.path)?)
            .call(|| format!("read({})", root.show(&entry.path)))?
            == *sum;
        return Ok((!is_same).then(|| "other contents".into()));
    }
    let now = (stat.st_mtime, stat.st_mtime_nsec);
    let is_touched = entry.mtime.is_some_and(|mtime| mtime != now);
    Ok(is_touched.then(|| "written since".into()))
}

/// Adds the sums of what is in the box now.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn add_sums(root: &Root, entries: &mut [Entry]) -> Result<(), Error> {
    for entry in entries {
        if matches!(entry.kind, Kind::File | Kind::Hard(_)) {
            let file: File = root.open_file(&entry.path)?;
            let sum = sha256(file).call(|| format!("read({})", root.show(&entry.path)))?;
            entry.sha256 = Some(sum);
        }
    }
    Ok(())
}
