//! `--from`: what a box begins with: a directory that holds a root file system, a tar archive of one, or an OCI image layout.

use std::fs::File;
use std::path::{Path, PathBuf};

use sys::{Call, SysError};

use crate::error::Error;
use crate::manifest::Entry;
use crate::origin::Origin;
use crate::progress::Progress;
use crate::root::Root;

mod archive;
mod attributes;
mod directory;
mod extract;
mod layout;
mod reader;
mod whiteout;
mod zstd;

use archive::Contents;
use extract::Extractor;
use layout::Layout;
use reader::At;

/// A base that was looked at: it is what it is said to be, and can be read.
#[derive(Debug)]
pub(crate) struct Base {
    /// As messages and the manifest call it.
    pub(crate) shown: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Directory(PathBuf),
    Archive(File),
    Layout(Layout),
}

/// How a base is laid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) keep_privileges: bool,
    pub(crate) is_quiet: bool,
    /// Seconds since 1970: what is newer becomes as old.
    pub(crate) newest: Option<i64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Laid {
    pub(crate) entries: Vec<Entry>,
    /// What was left out or dropped, a line each.
    pub(crate) notices: Vec<String>,
}

impl Base {
    /// Opens what is at `path`; `reference` is the name of an image in a layout.
    ///
    /// # Errors
    /// It is none of the three, it is compressed otherwise than by gzip or zstd, or its index is broken.
    pub(crate) fn open(path: &Path, reference: Option<&str>) -> Result<Self, Error> {
        let fail =
            |reason: &str| Error::Failed(format!("--from {}: {reason}", crate::text::short(path)));
        let metadata =
            std::fs::metadata(path).call(|| format!("stat({})", crate::text::short(path)))?;
        let kind = if metadata.is_dir() {
            match path.join("oci-layout").is_file() {
                true => Kind::Layout(Layout::in_directory(path, reference)?),
                false => Kind::Directory(path.to_owned()),
            }
        } else {
            let file = Origin::default().open_regular(path)?;
            archive::check(&file).map_err(fail)?;
            match archive::index(&file).filter(Contents::is_layout) {
                Some(contents) => {
                    Kind::Layout(Layout::in_archive(path, file, contents, reference)?)
                }
                None => Kind::Archive(file),
            }
        };
        if reference.is_some() && !matches!(kind, Kind::Layout(_)) {
            return Err(Error::Usage(
                "--ref names an image of an OCI layout, and --from is none".into(),
            ));
        }
        Ok(Self {
            shown: path.to_owned(),
            kind,
        })
    }

    /// The directory that is copied, if it is one: no box can lie below it.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match &self.kind {
            Kind::Directory(path) => Some(path),
            _ => None,
        }
    }

    /// Lays the base into the box behind `root`, which is empty.
    ///
    /// # Errors
    /// The first thing that cannot be made or read. What is made stays: the caller undoes it.
    pub(crate) fn lay(&self, root: &Root, manner: Manner) -> Result<Laid, Error> {
        let progress = Progress::new(None, !manner.is_quiet);
        let mut extractor = Extractor::new(root, &self.shown, manner, &progress);
        match &self.kind {
            Kind::Directory(path) => directory::copy(&Root::open(path)?, &mut extractor)?,
            Kind::Archive(file) => {
                archive::extract(At::new(file, 0, u64::MAX), &mut extractor, false)?
            }
            Kind::Layout(layout) => {
                for layer in layout.layers()? {
                    layer.extract(layout, &mut extractor)?;
                }
            }
        }
        extractor.finish()
    }
}

/// Copies everything that is in the box `from` into `to`, which is empty; what is to be said of it.
///
/// # Errors
/// The first thing that cannot be made or read. What is made stays: the caller undoes it.
pub(crate) fn copy_directory(
    from: &Root,
    to: &Root,
    newest: Option<i64>,
) -> Result<Vec<String>, Error> {
    let manner = Manner {
        keep_privileges: true,
        is_quiet: false,
        newest,
    };
    let progress = Progress::new(None, true);
    let mut extractor = Extractor::new(to, from.shown(), manner, &progress);
    directory::copy(from, &mut extractor)?;
    extractor.finish().map(|laid| laid.notices)
}

/// The reason of an error that a reader of a format made up: its first line.
fn reason(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => SysError::new(
            "read",
            nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        )
        .to_string(),
        None => error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}
