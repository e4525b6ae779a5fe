//! Which files a program takes along: its interpreter, its libraries and theirs, and where each lies in the box.
//!
//! Follows ld.so(8) object by object, as the loader will do it at the start of the program; runs nothing.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::elf::{Elf, Target};
use crate::error::Error;
use crate::host::{Host, Known};
use crate::loader::{Loader, normalize};
use crate::program::{self, Interpreter};
use crate::search::{Found, Object, Process, soname};

/// Files of one box. A desktop program has a few hundred.
const FILES: usize = 16_384;
/// `#!` that leads to `#!`: the kernel follows five.
const SCRIPTS: usize = 5;

/// One file of the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxFile {
    /// On this machine.
    pub(crate) source: PathBuf,
    /// In the box: absolute there, no `..` in it.
    pub(crate) destination: PathBuf,
    /// `st_mode` of the source.
    pub(crate) mode: u32,
    pub(crate) bytes: u64,
    /// Another name in the box of the same file: two copies would be loaded as two libraries.
    pub(crate) same_as: Option<PathBuf>,
    identity: (u64, u64),
}

/// The files for `programs`, each program in /bin, in the order in which they were found.
///
/// # Errors
/// A program that is not there, is no program or is for another machine; a library that is not found.
pub(crate) fn closure(programs: &[String]) -> Result<Vec<BoxFile>, Error> {
    let mut closure = Closure::default();
    for name in programs {
        let source = program::find(name)?;
        closure.program(&source, None, SCRIPTS)?;
    }
    Ok(closure.files)
}

#[derive(Debug, Default)]
struct Closure {
    host: Host,
    files: Vec<BoxFile>,
    /// Place in `files` by destination.
    taken: HashMap<PathBuf, usize>,
    loaders: HashMap<(Option<PathBuf>, Target), Rc<Loader>>,
}

impl Closure {
    /// Adds the program at `source`, in the box at `destination` or in /bin.
    fn program(
        &mut self,
        source: &Path,
        destination: Option<&Path>,
        scripts: usize,
    ) -> Result<(), Error> {
        let shown = source.display();
        let fail = |reason: &str| Err(Error::Failed(format!("closure({shown}): {reason}")));
        let Some(name) = source.file_name() else {
            return fail("the path does not end in a name");
        };
        if name.to_str().is_none() {
            return fail("the name is not UTF-8");
        }
        let destination = destination.map_or_else(|| Path::new("/bin").join(name), normalize);
        // The message of the failed open, where that is what failed.
        let Some(known) = self.host.file(source) else {
            crate::host::open_regular(source)?;
            return fail("cannot be read");
        };
        if !self.add(source, &destination, &known)? {
            return Ok(());
        }
        match &known.elf {
            Ok(Some(elf)) if !elf.is_loadable => fail("an ELF file, but no program"),
            Ok(Some(elf)) if !runs_here(elf.target) => fail(&format!(
                "is for another machine ({})",
                describe(elf.target)
            )),
            Ok(Some(elf)) => self.libraries(source, &destination, elf),
            Err(problem) => fail(&format!("the ELF file {problem}")),
            Ok(None) => match program::interpreter(source) {
                None => fail("neither an ELF file nor a script with #!"),
                Some(_) if scripts == 0 => fail("too many scripts that interpret each other"),
                Some(interpreter) => self.interpreter(source, &interpreter, scripts - 1),
            },
        }
    }

    /// Adds what the script at `source` is run by.
    fn interpreter(
        &mut self,
        source: &Path,
        interpreter: &Interpreter,
        scripts: usize,
    ) -> Result<(), Error> {
        let fail = |reason: String| {
            Err(Error::Failed(format!(
                "closure({}): {reason}",
                source.display()
            )))
        };
        let path = &interpreter.path;
        if self.host.file(path).is_none() {
            return fail(format!("its interpreter {} does not exist", path.display()));
        }
        let chain = std::iter::successors(Some(path.clone()), |path| {
            Some(program::interpreter(path)?.path)
        });
        if chain.take(SCRIPTS + 1).count() > SCRIPTS {
            return fail("too many scripts that interpret each other".into());
        }
        self.program(path, Some(path), scripts)?;
        match interpreter.program.as_deref().map(OsStr::to_str) {
            None => Ok(()),
            Some(Some(name)) => self.program(&program::find(name)?, None, scripts),
            Some(None) => fail("#! names a program that is not UTF-8".into()),
        }
    }

    /// Adds a file; false when it is there already.
    fn add(&mut self, source: &Path, destination: &Path, known: &Known) -> Result<bool, Error> {
        if let Some(&at) = self.taken.get(destination) {
            let there = &self.files[at];
            if there.identity == known.identity {
                return Ok(false);
            }
            return Err(Error::Failed(format!(
                "closure({}): {} is taken by {}",
                source.display(),
                destination.display(),
                there.source.display()
            )));
        }
        if self.files.len() == FILES {
            return Err(Error::Failed(format!(
                "closure({}): more than {FILES} files",
                source.display()
            )));
        }
        self.taken.insert(destination.to_owned(), self.files.len());
        self.files.push(BoxFile {
            source: source.to_owned(),
            destination: destination.to_owned(),
            mode: known.mode,
            bytes: known.bytes,
            same_as: None,
            identity: known.identity,
        });
        Ok(true)
    }

    /// Adds what the ELF program `elf` needs.
    fn libraries(&mut self, source: &Path, destination: &Path, elf: &Elf) -> Result<(), Error> {
        let fail = |reason: String| {
            Err(Error::Failed(format!(
                "closure({}): {reason}",
                source.display()
            )))
        };
        let mut process = Process::default();
        if let Some(interpreter) = &elf.interpreter {
            if !interpreter.is_absolute() {
                return fail(format!(
                    "its interpreter {} is no absolute path",
                    interpreter.display()
                ));
            }
            let Some(known) = self.host.file(interpreter) else {
                return fail(format!(
                    "its interpreter {} does not exist",
                    interpreter.display()
                ));
            };
            let at = normalize(interpreter);
            self.add(interpreter, &at, &known)?;
            process
                .names
                .extend(interpreter.file_name().map(OsStr::to_owned));
            process.names.extend(soname(&known));
            process.inodes.insert(known.identity, at);
        }
        let loader = self.loader(elf.interpreter.as_deref(), elf.target);
        // The kernel resolves the program's own links for $ORIGIN; a library's stay as they are.
        let real = std::fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
        process
            .objects
            .push(Object::new(&real, destination, elf, None));
        let mut at = 0;
        while at < process.objects.len() {
            for name in process.objects[at].elf.needed.clone() {
                if loader.is_itself(&name) || !process.names.insert(name.clone()) {
                    continue;
                }
                let Some(found) = process.find(&mut self.host, &loader, at, &name)? else {
                    let by = process.objects[at].source.display();
                    return fail(format!("{} not found (needed by {by})", name.display()));
                };
                self.take(&mut process, at, found)?;
            }
            at += 1;
        }
        Ok(())
    }

    fn loader(&mut self, interpreter: Option<&Path>, target: Target) -> Rc<Loader> {
        let key = (interpreter.map(Path::to_owned), target);
        self.loaders
            .entry(key)
            .or_insert_with(|| Rc::new(Loader::new(interpreter, target)))
            .clone()
    }

    /// Adds a library to the box and to the process that loads it.
    fn take(&mut self, process: &mut Process, by: usize, found: Found) -> Result<(), Error> {
        let is_new = self.add(&found.source, &found.destination, &found.known)?;
        if let Some(first) = process.inodes.get(&found.known.identity) {
            // Another name of a library that is loaded: the loader opens it, sees that, and goes on.
            if is_new && *first != found.destination {
                self.files
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

/// Whether this processor runs programs for `target` by itself.
fn runs_here(target: Target) -> bool {
    use object::elf;
    let machines: &[elf::Machine] = match std::env::consts::ARCH {
        "x86_64" => &[elf::EM_X86_64, elf::EM_386],
        "x86" => &[elf::EM_386],
        "aarch64" => &[elf::EM_AARCH64, elf::EM_ARM],
        "arm" => &[elf::EM_ARM],
        "riscv64" | "riscv32" => &[elf::EM_RISCV],
        "powerpc64" => &[elf::EM_PPC64, elf::EM_PPC],
        "s390x" => &[elf::EM_S390],
        "loongarch64" => &[elf::EM_LOONGARCH],
        // One that is not in the list is left to the kernel to refuse.
        _ => return true,
    };
    machines.iter().any(|machine| machine.0 == target.machine)
        && target.is_big_endian == cfg!(target_endian = "big")
}

fn describe(target: Target) -> String {
    use object::elf;
    match elf::Machine(target.machine) {
        elf::EM_X86_64 => "x86_64".into(),
        elf::EM_386 => "i386".into(),
        elf::EM_AARCH64 => "aarch64".into(),
        elf::EM_ARM => "arm".into(),
        elf::EM_RISCV => "riscv".into(),
        elf::EM_PPC64 => "ppc64".into(),
        elf::EM_S390 => "s390".into(),
        elf::Machine(number) => format!("e_machine {number}"),
    }
}
