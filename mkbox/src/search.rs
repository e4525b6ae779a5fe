//! Where one program's libraries are: the order of ld.so(8), object by object.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use foldhash::{HashMap, HashSet};

use crate::elf::{Elf, Target};
use crate::error::Error;
use crate::host::{Host, Known};
use crate::ldcache::Entry;
use crate::loader::{Family, Loader};

/// Places looked at for the libraries of one program.
const LOOKUPS: usize = 1 << 20;

/// A library, found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) source: PathBuf,
    pub(crate) destination: PathBuf,
    pub(crate) known: Rc<Known>,
}

/// What a library calls itself.
pub(crate) fn soname(known: &Known) -> Option<OsString> {
    known.elf.as_ref().ok()?.as_ref()?.soname.clone()
}

/// What the loader has mapped for one program: libraries are shared within it, by name, soname and inode.
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) objects: Vec<Object>,
    pub(crate) names: HashSet<OsString>,
    /// Where in the box each file lies.
    pub(crate) inodes: HashMap<(u64, u64), PathBuf>,
    lookups: usize,
}

impl Process {
    /// Looks for the library `name` that the object number `by` needs, in the loader's order.
    pub(crate) fn find(
        &mut self,
        host: &mut Host,
        loader: &Loader,
        by: usize,
        name: &OsStr,
    ) -> Result<Option<Found>, Error> {
        let target = self.objects[0].elf.target;
        if name.as_bytes().contains(&b'/') {
            let object = &self.objects[by];
            let paths = loader.expand(name, object.origin(), object.origin_in_box());
            return self.first(host, target, paths.into_iter().take(1));
        }
        let own = self.search_path(host, loader, by);
        for (here, there) in own {
            if let Some(found) =
                self.in_directory(host, loader, target, &here, Some(&there), name)?
            {
                return Ok(Some(found));
            }
        }
        let is_closed = self.objects[by].elf.no_default_directories;
        if loader.family == Family::Glibc
            && let Some(found) = self.in_cache(host, loader, target, name, is_closed)?
        {
            return Ok(Some(found));
        }
        let directories = loader.directories.iter().filter(|_| !is_closed);
        for directory in directories {
            if let Some(found) = self.in_directory(host, loader, target, directory, None, name)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// `name` as ldconfig(8) found it, the best for this processor first. In the box it lies where the loader looks
    /// without a cache.
    fn in_cache(
        &mut self,
        host: &mut Host,
        loader: &Loader,
        target: Target,
        name: &OsStr,
        is_closed: bool,
    ) -> Result<Option<Found>, Error> {
        let mut entries = host.cached(name).to_vec();
        if is_closed {
            entries.retain(|entry| {
                let directory = entry.path.parent();
                !directory.is_some_and(|directory| loader.knows(host, directory))
            });
        }
        if entries.iter().any(|entry| entry.hwcaps.is_some()) {
            let rank = |level: &OsString| loader.hwcaps().iter().position(|own| level == own);
            let is_base = |entry: &Entry| entry.hwcaps.is_none();
            entries
                .retain(|entry| is_base(entry) || entry.hwcaps.as_ref().and_then(rank).is_some());
            entries.sort_by_key(|entry| entry.hwcaps.as_ref().and_then(rank).unwrap_or(usize::MAX));
        }
        let paths = entries.into_iter().map(|entry| {
            let level = entry
                .hwcaps
                .map(|level| Path::new("glibc-hwcaps").join(level));
            let there = loader.default.join(level.unwrap_or_default()).join(name);
            (entry.path, there)
        });
        self.first(host, target, paths)
    }

    /// `name` in the directory `here`, or in one of its glibc-hwcaps for this processor. In the box it lies in `there`,
    /// or, where the loader knows the directory by itself, where the box's loader looks first.
    fn in_directory(
        &mut self,
        host: &mut Host,
        loader: &Loader,
        target: Target,
        here: &Path,
        there: Option<&Path>,
        name: &OsStr,
    ) -> Result<Option<Found>, Error> {
        if host.real_directory(here).is_none() {
            self.count()?;
            return Ok(None);
        }
        let there = match there {
            Some(there) if !loader.knows(host, here) => there,
            _ => &loader.default,
        };
        let mut paths = Vec::new();
        let levels = here.join("glibc-hwcaps");
        if loader.family == Family::Glibc && host.real_directory(&levels).is_some() {
            let levels = loader
                .hwcaps()
                .iter()
                .map(|level| Path::new("glibc-hwcaps").join(level));
            paths.extend(
                levels.map(|level| (here.join(&level).join(name), there.join(level).join(name))),
            );
        }
        paths.push((here.join(name), there.join(name)));
        self.first(host, target, paths.into_iter())
    }

    /// The first of the paths that is a library for `target`; others are passed over, as the loader does.
    fn first(
        &mut self,
        host: &mut Host,
        target: Target,
        paths: impl Iterator<Item = (PathBuf, PathBuf)>,
    ) -> Result<Option<Found>, Error> {
        for (source, destination) in paths {
            self.count()?;
            let Some(known) = host.file(&source) else {
                continue;
            };
            match &known.elf {
                Ok(Some(elf)) if elf.target == target && elf.is_shared => {
                    return Ok(Some(Found {
                        source,
                        destination,
                        known,
                    }));
                }
                Ok(_) => {}
                Err(problem) => {
                    return Err(Error::Failed(format!(
                        "closure({}): the ELF file {problem}",
                        source.display()
                    )));
                }
            }
        }
        Ok(None)
    }

    /// The directories that come before the loader's own, for a library that object number `by` needs: here and in the box.
    ///
    /// Those of LD_LIBRARY_PATH stand for the default place in the box: the variable may not be set there.
    fn search_path(&self, host: &Host, loader: &Loader, by: usize) -> Vec<(PathBuf, PathBuf)> {
        let object = &self.objects[by];
        let own = |object: &Object, path: &Option<OsString>| match path {
            Some(path) => loader.expand(path, object.origin(), object.origin_in_box()),
            None => Vec::new(),
        };
        let environment = host.origin.library_path();
        let main = &self.objects[0];
        let environment = loader
            .expand(environment, main.origin(), main.origin_in_box())
            .into_iter()
            .map(|(here, _)| (here, loader.default.clone()));
        let ancestors =
            std::iter::successors(Some(object), |object| object.by.map(|by| &self.objects[by]));
        match loader.family {
            Family::Glibc => {
                // A DT_RUNPATH switches off every DT_RPATH, those of the objects above included.
                let rpaths = ancestors
                    .filter(|_| object.elf.runpath.is_none())
                    .flat_map(|above| own(above, &above.elf.rpath));
                rpaths
                    .chain(environment)
                    .chain(own(object, &object.elf.runpath))
                    .collect()
            }
            Family::Musl => {
                let paths = ancestors.flat_map(|above| {
                    own(
                        above,
                        above
                            .elf
                            .runpath
                            .as_ref()
                            .map_or(&above.elf.rpath, |_| &above.elf.runpath),
                    )
                });
                environment.chain(paths).collect()
            }
        }
    }

    /// One more place looked at: a hostile file could name millions.
    fn count(&mut self) -> Result<(), Error> {
        self.lookups += 1;
        if self.lookups > LOOKUPS {
            let program = self.objects[0].source.display();
            return Err(Error::Failed(format!(
                "closure({program}): more than {LOOKUPS} places to look at"
            )));
        }
        Ok(())
    }
}

/// One mapped file.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) source: PathBuf,
    pub(crate) destination: PathBuf,
    pub(crate) elf: Rc<Elf>,
    /// Which object asked for it first.
    by: Option<usize>,
}

impl Object {
    pub(crate) fn new(source: &Path, destination: &Path, elf: &Rc<Elf>, by: Option<usize>) -> Self {
        Self {
            source: source.to_owned(),
            destination: destination.to_owned(),
            elf: elf.clone(),
            by,
        }
    }

    /// `$ORIGIN` on this machine.
    fn origin(&self) -> &Path {
        self.source.parent().unwrap_or(Path::new("/"))
    }

    /// `$ORIGIN` in the box.
    fn origin_in_box(&self) -> &Path {
        self.destination.parent().unwrap_or(Path::new("/"))
    }
}
