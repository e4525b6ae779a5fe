//! What one ELF program takes along: its loader, its libraries and theirs, and what they say that they open.

use std::ffi::OsStr;
use std::path::Path;
use std::rc::Rc;

use super::Search;
use crate::boxfile::Why;
use crate::dlopen::Priority;
use crate::elf::{Elf, Target};
use crate::error::Error;
use crate::loader::{Family, Loader, normalize};
use crate::search::{Found, Object, Process, soname};
use crate::text::short;

impl Search<'_> {
    /// Adds what the ELF program `elf` needs.
    pub(super) fn libraries(
        &mut self,
        source: &Path,
        destination: &Path,
        elf: &Rc<Elf>,
    ) -> Result<(), Error> {
        let fail = |reason: String| {
            Err(Error::Failed(format!(
                "closure({}): {reason}",
                short(source)
            )))
        };
        let mut process = Process::default();
        if let Some(interpreter) = &elf.interpreter {
            if !interpreter.is_absolute() {
                return fail(format!(
                    "its interpreter {} is no absolute path",
                    short(interpreter)
                ));
            }
            let Some(known) = self.host.file(interpreter) else {
                return fail(format!(
                    "its interpreter {} does not exist",
                    short(interpreter)
                ));
            };
            let at = self.place(normalize(interpreter));
            let why = Why::Interprets(destination.to_owned());
            self.add(interpreter, &at, &known, why)?;
            process
                .names
                .extend(interpreter.file_name().map(OsStr::to_owned));
            process.names.extend(soname(&known));
            process.inodes.insert(known.identity, at);
        }
        let loader = self.loader(elf.interpreter.as_deref(), elf.target);
        // The kernel resolves the program's own links for $ORIGIN; a library's stay as they are.
        let is_asked = elf.has_tokens() || !self.host.origin.library_path().is_empty();
        let real = is_asked.then(|| self.host.origin.canonicalize(source));
        let real = real.flatten().unwrap_or_else(|| source.to_owned());
        process
            .objects
            .push(Object::new(&real, destination, elf, None));
        let mut at = 0;
        while at < process.objects.len() {
            let elf = process.objects[at].elf.clone();
            for name in &elf.needed {
                if process.names.contains(name) || loader.is_itself(name) {
                    continue;
                }
                process.names.insert(name.clone());
                let Some(found) = process.find(&mut self.host, &loader, at, name)? else {
                    let by = short(&process.objects[at].source);
                    let name = short(Path::new(name));
                    return fail(format!("{name} not found (needed by {by})"));
                };
                let why = Why::Needed(process.objects[at].destination.clone());
                self.take(&mut process, at, found, why)?;
            }
            self.opened(&mut process, &loader, at)?;
            at += 1;
        }
        Ok(())
    }

    /// Adds what object number `at` opens while it runs.
    fn opened(&mut self, process: &mut Process, loader: &Loader, at: usize) -> Result<(), Error> {
        let object = &process.objects[at];
        let (by, wished) = (object.destination.clone(), self.wishes.dlopen);
        let fail = |source: &Path, reason: String| {
            Err(Error::Failed(format!(
                "closure({}): {reason}",
                short(source)
            )))
        };
        if at == 0 && loader.family == Family::Glibc && object.elf.interpreter.is_some() {
            self.closure.has_glibc = true;
            for &name in &self.extras.clone() {
                if let Some(found) = process.find(&mut self.host, loader, at, name.as_ref())? {
                    self.take(process, at, found, Why::With("nss".into()))?;
                }
            }
        }
        let noted = match &process.objects[at].elf.dlopen {
            None => return Ok(()),
            Some(_) if wished == Priority::None => return Ok(()),
            Some(Err(problem)) => {
                return fail(
                    &process.objects[at].source,
                    format!("the ELF file {problem}"),
                );
            }
            Some(Ok(noted)) => noted.clone(),
        };
        for note in noted.iter().filter(|note| note.priority <= wished) {
            let mut names = note.sonames.iter();
            if names.clone().any(|name| process.names.contains(name)) {
                continue;
            }
            let found =
                names.find_map(|name| process.find(&mut self.host, loader, at, name).transpose());
            match found.transpose()? {
                Some(found) => {
                    let name = found.source.file_name();
                    process.names.extend(name.map(OsStr::to_owned));
                    let why = Why::Dlopen(by.clone(), note.feature.clone());
                    self.take(process, at, found, why)?;
                }
                None if note.priority == Priority::Required => {
                    let (name, source) = (note.sonames[0].display(), &process.objects[at].source);
                    let reason = format!(
                        "{name} not found, which it opens while it runs (--dlopen none leaves it out)"
                    );
                    return fail(source, reason);
                }
                // The program copes.
                None => {}
            }
        }
        Ok(())
    }

    fn loader(&mut self, interpreter: Option<&Path>, target: Target) -> Rc<Loader> {
        let mut known = self.loaders.iter();
        // A library by itself will be loaded by a program of the box.
        if interpreter.is_none()
            && let Some((_, loader)) = known.find(|((_, its_target), _)| *its_target == target)
        {
            return loader.clone();
        }
        let key = (interpreter.map(Path::to_owned), target);
        self.loaders
            .entry(key)
            .or_insert_with(|| Rc::new(Loader::new(&self.host.origin, interpreter, target)))
            .clone()
    }

    /// Adds a library to the box and to the process that loads it.
    fn take(
        &mut self,
        process: &mut Process,
        by: usize,
        mut found: Found,
        why: Why,
    ) -> Result<(), Error> {
        found.destination = self.place(found.destination);
        let is_new = self.add(&found.source, &found.destination, &found.known, why)?;
        if let Some(first) = process.inodes.get(&found.known.identity) {
            // Another name of a library that is loaded: the loader opens it, sees that, and goes on.
            if is_new && *first != found.destination {
                self.closure
                    .files
                    .last_mut()
                    .expect("a file was added just now")
                    .same_as = Some(first.clone());
            }
            return Ok(());
        }
        process
            .inodes
            .insert(found.known.identity, found.destination.clone());
        process.names.extend(soname(&found.known));
        if let Ok(Some(elf)) = &found.known.elf {
            process.objects.push(Object::new(
                &found.source,
                &found.destination,
                elf,
                Some(by),
            ));
        }
        Ok(())
    }
}
