//! From the name of a program to the files that running it takes before any library: PATH and `#!`.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::origin::Origin;

/// Bytes of a script that the kernel reads for its `#!` line; `BINPRM_BUF_SIZE`, Linux 5.1.
const FIRST_LINE: usize = 256;

/// Finds `name` on this machine as execvp(3) does: along PATH, or as a path when there is a slash in it.
///
/// # Errors
/// Why there is no executable file of that name.
pub(crate) fn find(name: &str) -> Result<PathBuf, &'static str> {
    SearchPath::new(&Origin::default()).find(name)
}

/// Where programs without a slash are looked up.
#[derive(Debug)]
pub(crate) struct SearchPath<'a> {
    origin: &'a Origin,
    /// Those that are there, each once. Read when the first name asks for them.
    directories: Option<Vec<Directory>>,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    /// /bin for /usr/bin, and whether both are one directory.
    short: Option<(PathBuf, bool)>,
}

impl<'a> SearchPath<'a> {
    /// On the machine that a box is made from.
    pub(crate) fn new(origin: &'a Origin) -> Self {
        Self {
            origin,
            directories: None,
        }
    }

    /// The program that is meant by `name`.
    ///
    /// # Errors
    /// Why there is no executable file of that name.
    pub(crate) fn find(&mut self, name: &str) -> Result<PathBuf, &'static str> {
        let origin = self.origin;
        if name.contains('/') {
            return is_executable(origin, Path::new(name)).map(|_| name.into());
        }
        let mut reason = "no such program in PATH";
        let directories = self.directories.get_or_insert_with(|| directories(origin));
        for directory in directories {
            let candidate = directory.path.join(name);
            match is_executable(origin, &candidate) {
                Ok(metadata) => return Ok(directory.shortest(origin, name, candidate, &metadata)),
                Err(found @ "not executable") => reason = found,
                Err(_) => {}
            }
        }
        Err(reason)
    }
}

/// The directories of PATH.
fn directories(origin: &Origin) -> Vec<Directory> {
    let mut directories: Vec<Directory> = Vec::new();
    for path in std::env::split_paths(&origin.path()).filter(|path| path.is_absolute()) {
        if directories.iter().any(|known| known.path == path) {
            continue;
        }
        let metadata = origin.metadata(&path);
        if matches!(&metadata, Err(error) if error.kind() == std::io::ErrorKind::NotFound) {
            continue;
        }
        let short = path.strip_prefix("/usr").ok();
        let short = short.map(|rest| Path::new("/").join(rest)).map(|short| {
            let both = metadata.ok().zip(origin.metadata(&short).ok());
            let is_same = both.is_some_and(|(one, other)| identity(&one) == identity(&other));
            (short, is_same)
        });
        directories.push(Directory { path, short });
    }
    directories
}

impl Directory {
    /// /bin/ls rather than /usr/bin/ls where both are the same file: the name that people write.
    fn shortest(
        &self,
        origin: &Origin,
        name: &str,
        found: PathBuf,
        metadata: &Metadata,
    ) -> PathBuf {
        let Some((short, is_same)) = &self.short else {
            return found;
        };
        let short = short.join(name);
        let is_it = |other: Metadata| identity(&other) == identity(metadata);
        if *is_same || origin.metadata(&short).is_ok_and(is_it) {
            short
        } else {
            found
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn is_executable(origin: &Origin, path: &Path) -> Result<Metadata, &'static str> {
    match origin.metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("is a directory"),
        Ok(metadata) if !metadata.is_file() => Err("no regular file"),
        Ok(metadata) if metadata.mode() & 0o111 == 0 => Err("not executable"),
        Ok(metadata) => Ok(metadata),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err("permission denied")
        }
        Err(_) => Err("no such program"),
    }
}

/// What the first line of a script runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interpreter {
    /// As it stands there: in the box it must lie at exactly this path.
    pub(crate) path: PathBuf,
    /// When that is env(1): the program which it looks up in PATH.
    pub(crate) program: Option<OsString>,
}

/// The interpreter of the script at `path`; None when it is no script.
pub(crate) fn interpreter(origin: &Origin, path: &Path) -> Option<Interpreter> {
    let mut line = [0; FIRST_LINE];
    let file = origin.open_regular(path).ok()?;
    let read = file.read_at(&mut line, 0).ok()?;
    parse(&line[..read])
}

/// execve(2), "Interpreter scripts": the path, then at most one argument, which is the rest of the line.
pub(crate) fn parse(text: &[u8]) -> Option<Interpreter> {
    let line = text
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?
        .trim_ascii();
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let path = PathBuf::from(OsStr::from_bytes(words.next()?));
    let is_env = path.file_name() == Some(OsStr::new("env"));
    // env(1) skips its options and assignments; -S splits the rest, which is done here already.
    let is_name = |word: &&[u8]| !word.starts_with(b"-") && !word.contains(&b'=');
    let program = words
        .find(is_name)
        .filter(|_| is_env)
        .map(|name| OsStr::from_bytes(name).to_owned());
    path.is_absolute().then_some(Interpreter { path, program })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<String>)> {
        let found = parse(text.as_bytes())?;
        let text = |name: &OsStr| name.to_str().unwrap().to_owned();
        Some((
            text(found.path.as_os_str()),
            found.program.as_deref().map(text),
        ))
    }

    #[test]
    fn first_lines_are_read_as_the_kernel_and_env_read_them() {
        let plain = |path: &str| Some((path.to_owned(), None));
        let env = |name: &str| Some(("/usr/bin/env".to_owned(), Some(name.to_owned())));
        assert_eq!(parsed("#!/bin/sh\necho"), plain("/bin/sh"));
        assert_eq!(parsed("#! /bin/sh -e x"), plain("/bin/sh"));
        assert_eq!(parsed("#!/usr/bin/env python3\n"), env("python3"));
        assert_eq!(parsed("#!/usr/bin/env -S A=b perl -w\n"), env("perl"));
        assert_eq!(parsed("#!/usr/bin/env"), plain("/usr/bin/env"));
        for none in ["", "#!", "#!\n/bin/sh", "# !/bin/sh", "#!sh\n", "\x7fELF"] {
            assert_eq!(parsed(none), None, "{none:?}");
        }
    }

    #[test]
    fn programs_are_found_in_path_and_named_as_people_do() {
        assert_eq!(find("sh").unwrap(), Path::new("/bin/sh"));
        assert_eq!(find("no-such-program"), Err("no such program in PATH"));
        assert_eq!(find("/etc/passwd"), Err("not executable"));
        assert_eq!(find("/"), Err("is a directory"));
    }
}
