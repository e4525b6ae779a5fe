//! Which files a program takes along: its interpreter, its libraries and theirs, and where each lies in the box.
//!
//! Follows ld.so(8) object by object, as the loader will do it at the start of the program; runs nothing.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::arch::{describe, runs_here};
use crate::boxfile::{BoxFile, Why};
use crate::bundles::{self, Bundle, NSS_LIBRARIES};
use crate::elf::Target;
use crate::error::Error;
use crate::host::{Host, Known};
use crate::loader::{Loader, normalize};
use crate::origin::Origin;
use crate::program::{self, Interpreter, SearchPath};
use crate::text::short;
use crate::wishes::Wishes;

mod libraries;

/// Files of one box. A desktop program has a few hundred.
const FILES: usize = 16_384;
/// Directories of `/` that are links to those of /usr, where `--merged-usr` asks for it; `file-hierarchy(7)`.
const MERGED: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// `#!` that leads to `#!`: the kernel follows five.
const SCRIPTS: usize = 5;

/// The contents of a box.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Closure {
    /// In the order in which they were found.
    pub(crate) files: Vec<BoxFile>,
    /// Directories that stand beside the files.
    pub(crate) directories: Vec<PathBuf>,
    /// Symbolic links: path, target, and why.
    pub(crate) links: Vec<(PathBuf, PathBuf, Why)>,
    /// Whether a program of glibc is among them.
    pub(crate) has_glibc: bool,
}

/// The files for `programs`, each program in /bin, and for what is wished beside them. `bound` lie in the same box and are not
/// copied.
///
/// # Errors
/// A program that is not there, is no program or is for another machine; a library that is not found.
pub(crate) fn closure(
    origin: &Rc<Origin>,
    programs: &[String],
    wishes: &Wishes,
    bound: &[BoxFile],
) -> Result<Closure, Error> {
    let mut search = Search::new(origin, wishes);
    let found = search.all(programs, bound);
    search.end(found)
}

/// The files for `programs` alone, those that are bound: what else is wished is no program's.
///
/// # Errors
/// As of [`closure`].
pub(crate) fn of_programs(
    origin: &Rc<Origin>,
    programs: &[String],
    wishes: &Wishes,
) -> Result<Closure, Error> {
    if programs.is_empty() {
        return Ok(Closure::default());
    }
    let mut search = Search::new(origin, wishes);
    let found = search.programs("--bind-programs", programs);
    search.end(found)
}

/// Libraries that glibc opens by itself, where they are.
fn extras(origin: &Origin, wishes: &Wishes) -> Vec<&'static str> {
    if !wishes.with.contains(&Bundle::Nss) {
        return Vec::new();
    }
    let is_used =
        |name: &&str| *name != "libnss_compat.so.2" || bundles::names_service(origin, "compat");
    NSS_LIBRARIES.into_iter().filter(is_used).collect()
}

#[derive(Debug)]
struct Search<'a> {
    host: Host,
    wishes: &'a Wishes,
    extras: Vec<&'static str>,
    closure: Closure,
    /// Place in `closure.files` by destination.
    taken: foldhash::HashMap<OsString, usize>,
    loaders: HashMap<(Option<PathBuf>, Target), Rc<Loader>>,
}

impl<'a> Search<'a> {
    fn new(origin: &Rc<Origin>, wishes: &'a Wishes) -> Self {
        Self {
            host: Host::new(origin),
            wishes,
            extras: extras(origin, wishes),
            closure: Closure::default(),
            taken: foldhash::HashMap::default(),
            loaders: HashMap::new(),
        }
    }

    /// Those that `flag` names.
    fn programs(&mut self, flag: &str, names: &[String]) -> Result<(), Error> {
        let origin = self.host.origin.clone();
        let mut path = SearchPath::new(&origin);
        for name in names {
            let found = path.find(name);
            let source = found.map_err(|reason| {
                let shown = short(Path::new(name));
                Error::Failed(format!("{flag} {shown}: {reason}"))
            })?;
            self.program(&source, None, SCRIPTS, Why::Asked(name.clone()))?;
        }
        Ok(())
    }

    fn all(&mut self, programs: &[String], bound: &[BoxFile]) -> Result<(), Error> {
        self.programs("--copy", programs)?;
        for bundle in &self.wishes.with {
            self.bundle(bundle)?;
        }
        if self.wishes.merged_usr {
            self.merge(bound);
        }
        Ok(())
    }

    /// The closure, if all of it was `found`.
    fn end(self, found: Result<(), Error>) -> Result<Closure, Error> {
        // Whatever was or was not found after that, this is the reason.
        match self.host.origin.failure() {
            Some(error) => Err(error.into()),
            None => found.map(|()| self.closure),
        }
    }

    /// Adds the program at `source`, in the box at `destination` or in /bin.
    fn program(
        &mut self,
        source: &Path,
        destination: Option<&Path>,
        scripts: usize,
        why: Why,
    ) -> Result<(), Error> {
        let fail = |reason: &str| {
            let shown = short(source);
            Err(Error::Failed(format!("closure({shown}): {reason}")))
        };
        let Some(name) = source.file_name() else {
            return fail("the path does not end in a name");
        };
        if name.to_str().is_none() {
            return fail("the name is not UTF-8");
        }
        let destination = destination.map_or_else(|| Path::new("/bin").join(name), normalize);
        let destination = self.place(destination);
        // The message of the failed open, where that is what failed.
        let Some(known) = self.host.file(source) else {
            self.host.origin.open_regular(source)?;
            return fail("cannot be read");
        };
        if !self.add(source, &destination, &known, why)? {
            return Ok(());
        }
        match &known.elf {
            Ok(Some(elf)) if !elf.is_loadable => fail("an ELF file, but no program"),
            Ok(Some(elf)) if self.host.origin.is_here() && !runs_here(elf.target) => {
                fail(&format!(
                    "is for another machine: {} (--sysroot DIR makes a box for it)",
                    describe(elf.target)
                ))
            }
            Ok(Some(elf)) => self.libraries(source, &destination, elf),
            Err(problem) => fail(&format!("the ELF file {problem}")),
            Ok(None) => match program::interpreter(&self.host.origin, source) {
                None => fail("neither an ELF file nor a script with #!"),
                Some(_) if scripts == 0 => fail("too many scripts that interpret each other"),
                Some(interpreter) => {
                    self.interpreter(source, &destination, &interpreter, scripts - 1)
                }
            },
        }
    }

    /// Adds what the script at `source` is run by.
    fn interpreter(
        &mut self,
        source: &Path,
        destination: &Path,
        interpreter: &Interpreter,
        scripts: usize,
    ) -> Result<(), Error> {
        let fail = |reason: String| {
            Err(Error::Failed(format!(
                "closure({}): {reason}",
                short(source)
            )))
        };
        let path = &interpreter.path;
        if self.host.file(path).is_none() {
            return fail(format!("its interpreter {} does not exist", short(path)));
        }
        let chain = std::iter::successors(Some(path.clone()), |path| {
            Some(program::interpreter(&self.host.origin, path)?.path)
        });
        if chain.take(SCRIPTS + 1).count() > SCRIPTS {
            return fail("too many scripts that interpret each other".into());
        }
        let why = Why::Interprets(destination.to_owned());
        self.program(path, Some(path), scripts, why.clone())?;
        match interpreter.program.as_deref().map(OsStr::to_str) {
            None => Ok(()),
            Some(Some(name)) => {
                let found = SearchPath::new(&self.host.origin).find(name);
                match found {
                    Ok(found) => self.program(&found, None, scripts, why),
                    Err(reason) => {
                        let name = short(Path::new(name));
                        fail(format!("its interpreter {name}: {reason}"))
                    }
                }
            }
            Some(None) => fail("#! names a program that is not UTF-8".into()),
        }
    }

    /// Adds a file; false when it is there already.
    fn add(
        &mut self,
        source: &Path,
        destination: &Path,
        known: &Known,
        why: Why,
    ) -> Result<bool, Error> {
        if let Some(&at) = self.taken.get(destination.as_os_str()) {
            let there = &self.closure.files[at];
            if there.identity == known.identity {
                return Ok(false);
            }
            return Err(Error::Failed(format!(
                "closure({}): {} is taken by {}",
                short(source),
                short(destination),
                short(&there.source)
            )));
        }
        if self.closure.files.len() == FILES {
            return Err(Error::Failed(format!(
                "closure({}): more than {FILES} files",
                short(source)
            )));
        }
        self.taken
            .insert(destination.into(), self.closure.files.len());
        self.closure.files.push(BoxFile {
            source: source.to_owned(),
            destination: destination.to_owned(),
            mode: known.mode,
            bytes: known.bytes,
            same_as: None,
            why,
            identity: known.identity,
        });
        Ok(true)
    }

    /// Adds what a word of `--with` brings.
    fn bundle(&mut self, bundle: &Bundle) -> Result<(), Error> {
        let contents = bundle.contents(&self.host.origin)?;
        let why = Why::With(bundle.to_string());
        for source in contents.files {
            let destination = self.place(normalize(&source));
            let Some(known) = self.host.file(&source) else {
                self.host.origin.open_regular(&source)?;
                continue;
            };
            let is_new = self.add(&source, &destination, &known, why.clone())?;
            // A library or program among them takes its own libraries along.
            if let (Ok(Some(elf)), Bundle::Path(_), true) = (&known.elf, bundle, is_new)
                && elf.is_loadable
            {
                self.libraries(&source, &destination, elf)?;
            }
        }
        for (path, target) in contents.links {
            self.closure
                .links
                .push((self.place(path), target, why.clone()));
        }
        Ok(())
    }

    /// Where in the box a file lies that the box's programs look for at `path`.
    fn place(&self, path: PathBuf) -> PathBuf {
        let top = path.components().nth(1).map(|top| top.as_os_str());
        let is_merged = MERGED.iter().any(|name| top == Some(OsStr::new(name)));
        if !self.wishes.merged_usr || !is_merged {
            return path;
        }
        Path::new("/usr").join(path.strip_prefix("/").unwrap_or(&path))
    }

    /// Makes the links that lead from the old places to those in /usr: as distributions have them, first of all.
    fn merge(&mut self, bound: &[BoxFile]) {
        let below = |name: &str| Path::new("/usr").join(name);
        let is_used = |name: &str| {
            let mut files = self.closure.files.iter().chain(bound);
            files.any(|file| file.destination.starts_with(below(name)))
        };
        let names = MERGED
            .into_iter()
            .filter(|name| ["bin", "sbin", "lib"].contains(name) || is_used(name));
        for (at, name) in names.enumerate().collect::<Vec<_>>() {
            self.closure.directories.push(below(name));
            let link = (
                Path::new("/").join(name),
                Path::new("usr").join(name),
                Why::Layout,
            );
            self.closure.links.insert(at, link);
        }
    }
}
