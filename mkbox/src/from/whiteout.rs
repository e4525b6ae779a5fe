//! What a layer of an image takes away from those below it; OCI image-spec, "Whiteouts".

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::extract::Extractor;
use crate::error::Error;
use crate::text::short;
use crate::tree;

impl Extractor<'_> {
    /// From here on whiteouts are about what is there by now.
    pub(super) fn begin_layer(&mut self) {
        self.layer.clear();
    }

    /// Removes what a layer before has put at `path`; nothing there is fine.
    pub(super) fn whiteout(&mut self, path: &Path) -> Result<(), Error> {
        let Some(name) = path.file_name() else {
            return Err(self.fail(path, "a whiteout of the whole image"));
        };
        let parent = match self.existing_parent(path) {
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            answer => answer?,
        };
        match self.layer.contains(path) {
            true => Ok(()),
            false => self.remove(&parent, name, path),
        }
    }

    /// Removes everything below `path` that layers before have put there.
    pub(super) fn opaque(&mut self, path: &Path) -> Result<(), Error> {
        let directory = match self.root.directory(path) {
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            answer => answer?,
        };
        let kept: HashSet<PathBuf> = self
            .layer
            .iter()
            .flat_map(|path| path.ancestors().map(Path::to_owned))
            .collect();
        for entry in tree::names(&directory, Path::new(&short(path)))? {
            let name = OsStr::from_bytes(entry.name.as_bytes());
            let below = path.join(name);
            if !kept.contains(&below) {
                self.remove(&directory, name, &below)?;
            } else if entry.is_directory {
                // It is older than this layer, or it is not: what the layer made is kept in either case.
                self.opaque(&below)?;
            }
        }
        Ok(())
    }
}

/// Whether `path` tells of something that was removed; OCI image-spec, "Whiteouts".
pub(super) fn whiteout(path: &Path, extractor: &mut Extractor<'_>) -> Result<bool, Error> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let Some(hidden) = name.strip_prefix(b".wh.") else {
        return Ok(false);
    };
    let above = path.parent().unwrap_or(Path::new("/"));
    match hidden {
        b".wh..opq" => extractor.opaque(above)?,
        // Notes of aufs to itself.
        hidden if hidden.starts_with(b".wh.") => {}
        b"" | b"." | b".." => return Err(extractor.fail(path, "a whiteout without a name")),
        hidden => extractor.whiteout(&above.join(OsStr::from_bytes(hidden)))?,
    }
    Ok(true)
}
