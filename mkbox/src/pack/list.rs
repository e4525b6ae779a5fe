//! What would be written, for `--dry-run`: an archive that is a list.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::{Archive, Packed};

/// A line for each thing.
pub(super) struct List<'a> {
    output: &'a Path,
    /// Things are made below it, and not written into it.
    is_directory: bool,
    pub(super) lines: String,
}

impl<'a> List<'a> {
    pub(super) fn new(output: &'a Path, is_directory: bool) -> Self {
        Self {
            output,
            is_directory,
            lines: String::new(),
        }
    }
}

impl Archive for List<'_> {
    fn add(&mut self, packed: &Packed, _: Option<&mut dyn Read>) -> io::Result<()> {
        if self.is_directory && packed.path == Path::new(".") {
            return Ok(());
        }
        let path = match self.is_directory {
            true => self.output.join(&packed.path),
            false => PathBuf::from(self.output),
        };
        let member = match self.is_directory {
            true => String::new(),
            false => format!(", {}", packed.path.display()),
        };
        let is_hard_link = packed.first.is_some();
        let (call, more) = match packed.kind {
            _ if is_hard_link => ("link", String::new()),
            FileType::Directory => ("mkdir", String::new()),
            FileType::Symlink => ("symlink", format!(" -> {}", packed.target.display())),
            FileType::RegularFile => ("write", format!(", {} bytes", packed.bytes())),
            _ => ("mknod", String::new()),
        };
        // What is in an archive is written, whatever it is.
        let call = if self.is_directory { call } else { "write" };
        let _ = writeln!(self.lines, "{call}({}{member}{more})", path.display());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
