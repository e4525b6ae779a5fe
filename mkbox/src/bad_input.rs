//! Programs, caches, archives, records and command lines, as anybody could have changed them.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use fuzz::Target;
use record::Record;

use crate::assemble::Assembly;
use crate::cli::Cli;
use crate::from::{Base, Manner};
use crate::root::Root;
use crate::{device, dlopen, elf, imports, ldcache, manifest, mounts, program, volumes};

#[test]
fn a_value_is_read_or_bad_usage() {
    fuzz::arguments("cli-mkbox", Cli::command(), |words| {
        let _ = Cli::try_parse_from(words).map_err(|error| error.to_string());
    });
    Target::new("cli-mkbox").run(|input| {
        for line in String::from_utf8_lossy(input).lines() {
            let _ = (volumes::mode(line), volumes::bytes(line));
        }
    });
}

/// A file in memory.
fn file(bytes: &[u8]) -> File {
    let fd = rustix::fs::memfd_create("input", rustix::fs::MemfdFlags::CLOEXEC);
    let mut file = File::from(fd.expect("memfd_create"));
    file.write_all(bytes)
        .and_then(|()| file.rewind())
        .expect("memory is written");
    file
}

#[test]
fn a_program_is_read_or_corrupt() {
    let mut buffer = Vec::new();
    Target::new("elf").cases(6000).run(|input| {
        let length = input.len() as u64;
        let file = file(input);
        if let Ok(Some(elf)) = elf::read(&file, length) {
            let _ = elf.has_tokens();
        }
        let _ = elf::constants(&file, length);
        let _ = imports::read(&file, length, &mut buffer);
    });
}

#[test]
fn a_cache_of_libraries_is_read_or_none() {
    Target::new("ld.so.cache").cases(6000).run(|input| {
        if let Some(cache) = ldcache::Cache::read(file(input)) {
            for name in ["liba.so.1", "", "libb.so.2"] {
                let found = cache.find(name.as_ref());
                assert!(found.iter().all(|entry| entry.path.is_absolute()));
            }
        }
    });
}

#[test]
fn small_files_are_read_or_none() {
    Target::new("box-files").run(|input| {
        let _ = (
            program::parse(input),
            dlopen::parse(input),
            manifest::parse(input),
        );
    });
}

#[test]
fn what_a_record_mounts_is_planned_or_refused() {
    Target::new("record").run(|input| {
        let Ok(record) = Record::parse(input) else {
            return;
        };
        if let Ok(list) = mounts::read(&record) {
            let _ = mounts::plan(&list).is_ok();
        }
        let _ = device::read(&record).is_ok();
        if let Ok(mut assembly) = Assembly::new(PathBuf::from("/none"), Some(&record)) {
            assembly.confine(Some(&record));
            let _ = assembly.describe();
        }
    });
}

/// A box, and beside it what must stay as it is.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("mkbox-bad-input-{}", std::process::id()));
        fs::create_dir_all(dir.join("victim")).expect("a directory");
        fs::write(dir.join("victim/precious"), "x").expect("a file");
        Self(dir)
    }

    fn names(&self) -> Vec<PathBuf> {
        let list = |dir: &Path| {
            fs::read_dir(dir)
                .expect("a directory")
                .flatten()
                .map(|entry| entry.path())
        };
        let mut names: Vec<PathBuf> = list(&self.0).chain(list(&self.0.join("victim"))).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_archive_or_image_is_laid_in_the_box_or_refused() {
    let scratch = Scratch::new();
    let (archive, place) = (scratch.0.join("archive"), scratch.0.join("box"));
    fs::create_dir(&place).expect("a directory");
    fs::write(&archive, "").expect("a file");
    let before = scratch.names();
    let manner = Manner {
        keep_privileges: false,
        is_quiet: true,
        newest: Some(1),
    };
    // A buffer for what is copied, and windows of gzip and zstd.
    Target::new("archive")
        .cases(400)
        .bound(32 << 20, 64)
        .run(|input| {
            fs::write(&archive, input).expect("a file");
            if let Ok(base) = Base::open(&archive, None) {
                let root = Root::open(&place).expect("the box");
                let _ = base.lay(&root, manner).map(|laid| laid.entries.len());
            }
            fs::remove_dir_all(&place).expect("a box that can be removed");
            fs::create_dir(&place).expect("a directory");
            assert_eq!(scratch.names(), before);
            assert_eq!(
                fs::read(scratch.0.join("victim/precious")).ok().as_deref(),
                Some(b"x".as_slice())
            );
        });
}
