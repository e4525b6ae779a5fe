//! `mkbox pack`: a box as a directory, a tar archive or a cpio archive; the same bytes each time.

use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{FileType, Stat};
use sys::{Call, SysError};

use crate::cli::PackArgs;
use crate::error::Error;
use crate::place::Place;
use crate::root::Root;
use crate::walk::walk;
use crate::{TOOL, down, from, overlay, print, verify};

mod cpio;
mod list;
mod source;
mod tar;
mod whole;

use list::List;
use source::{Exactly, Numbers, capability};
use whole::Output;

/// Limits what is newer: <https://reproducible-builds.org/specs/source-date-epoch/>
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A directory
    Dir,
    /// A tar archive
    Tar,
    /// A cpio archive as the kernel takes it for an initramfs (newc)
    Cpio,
}

/// One thing of the box, on its way out.
struct Packed {
    /// From the top, without a slash before it; `.` is the top.
    path: PathBuf,
    kind: FileType,
    stat: Stat,
    /// Seconds since 1970, none newer than SOURCE_DATE_EPOCH.
    mtime: i64,
    /// A number of its own for each file: the same for two names of one file.
    number: u32,
    /// The first name of the same file, if this is another.
    first: Option<PathBuf>,
    /// Names of the file in the box, and whether this is the last of them.
    names: u32,
    is_last: bool,
    /// Of a symbolic link.
    target: PathBuf,
    capability: Option<Vec<u8>>,
}

impl Packed {
    fn bytes(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

/// An archive that is being written.
trait Archive {
    /// Adds one thing; `contents` are those of a file, at the one of its names that carries them.
    fn add(&mut self, packed: &Packed, contents: Option<&mut dyn Read>) -> io::Result<()>;

    /// Writes what ends it.
    fn finish(&mut self) -> io::Result<()>;
}

/// Runs the verb.
pub(crate) fn pack(args: &PackArgs) -> ExitCode {
    let wish = match Wish::new(args) {
        Ok(wish) => wish,
        Err(error) => return print(Err(error)),
    };
    let source = match down::source(&args.source, args.root.as_deref()) {
        Ok(source) => source,
        Err(error) => return print(Err(error)),
    };
    record::show(TOOL, &source, |record| {
        let (state, mut root) = verify::open(record, args.root.as_deref())?;
        if let Some(layers) = &state.extra.overlay {
            let place = Place::recorded(&state.root)?;
            root = Root::from_fd(overlay::view(layers, &place)?.fd, &place.path);
        }
        match args.dry_run {
            true => wish.plan(&root),
            false => wish.fulfil(&root).map(|()| String::new()),
        }
    })
}

/// The flags, understood.
struct Wish {
    format: Format,
    is_gzip: bool,
    /// None: stdout.
    output: Option<PathBuf>,
    newest: Option<i64>,
}

impl Wish {
    fn new(args: &PackArgs) -> Result<Self, Error> {
        let usage = |problem: &str| {
            Err(Error::Usage(format!(
                "--output {}: {problem}",
                args.output.display()
            )))
        };
        let name = args.output.as_os_str().as_bytes();
        let is_stdout = name == b"-";
        let by_name = by_name(name);
        let format = match (args.format, by_name) {
            (Some(format), _) => format,
            (None, Some((format, _))) => format,
            (None, None) if is_stdout => return usage("needs --format"),
            (None, None) => Format::Dir,
        };
        if is_stdout && format == Format::Dir {
            return usage("a directory cannot be written to stdout");
        }
        if is_stdout && !args.dry_run && io::stdout().is_terminal() {
            return usage("is a terminal, and an archive no text");
        }
        let newest = match std::env::var(SOURCE_DATE_EPOCH) {
            Err(_) => None,
            Ok(text) => match text.parse() {
                Ok(seconds) if seconds >= 0 => Some(seconds),
                _ => {
                    return Err(Error::Usage(format!(
                        "{SOURCE_DATE_EPOCH}={text}: is no number of seconds"
                    )));
                }
            },
        };
        Ok(Self {
            format,
            is_gzip: args.gzip
                || by_name.is_some_and(|(_, is_gzip)| is_gzip && args.format.is_none()),
            output: (!is_stdout).then(|| args.output.clone()),
            newest,
        })
    }

    fn fulfil(&self, root: &Root) -> Result<(), Error> {
        match (&self.output, self.format) {
            (Some(path), Format::Dir) => self.directory(root, path),
            (Some(path), _) => self.file(root, path),
            (None, _) => {
                let stdout = io::stdout().lock();
                self.archive(root, BufWriter::new(stdout), Path::new("stdout"))
            }
        }
    }

    /// Writes a file that is there when it is whole.
    fn file(&self, root: &Root, path: &Path) -> Result<(), Error> {
        Output::new(path)?.write(|file| {
            let output = BufWriter::with_capacity(128 << 10, file);
            self.archive(root, output, path)
        })
    }

    /// What `fulfil` would do, and nothing else.
    fn plan(&self, root: &Root) -> Result<String, Error> {
        let stdout = PathBuf::from("stdout");
        let shown = self.output.as_ref().unwrap_or(&stdout);
        let (before, after) = match (&self.output, self.format) {
            (Some(path), Format::Dir) => (self.plan_directory(root, path)?, String::new()),
            (Some(path), _) => Output::new(path)?.steps(),
            (None, _) => Default::default(),
        };
        let mut list = List::new(shown, self.format == Format::Dir);
        self.walk(root, &mut list, shown)?;
        Ok(before + &list.lines + &after)
    }

    /// That of a directory, as far as it is not the list.
    fn plan_directory(&self, root: &Root, path: &Path) -> Result<String, Error> {
        if path.symlink_metadata().is_ok() {
            return refuse(root, path, &Root::open(path)?).map(|()| String::new());
        }
        let call = format!("mkdir({})", path.display());
        let place = std::fs::canonicalize(whole::above(path)).call(|| call.clone())?;
        is_outside(root, path, &place).map(|()| call + "\n")
    }

    fn directory(&self, root: &Root, path: &Path) -> Result<(), Error> {
        let shown = path.display();
        let is_new = match std::fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(SysError::new(format!("mkdir({shown})"), error).into()),
        };
        let mut begun = None;
        let copied = self.copy_into(root, path, &mut begun);
        if copied.is_err() {
            // What stands in the way of that is told by the error that is on its way.
            if let Some(Ok(target)) = begun.map(|target| target.readable()) {
                let _ = crate::tree::remove_contents(&target, path);
            }
            if is_new {
                let _ = std::fs::remove_dir(path);
            }
        }
        copied
    }

    /// Fills a directory; in `begun` is what has to be emptied when that fails.
    fn copy_into(&self, root: &Root, path: &Path, begun: &mut Option<Root>) -> Result<(), Error> {
        let target = Root::open(path)?;
        refuse(root, path, &target)?;
        let notices = from::copy_directory(root, begun.insert(target), self.newest)?;
        notices.iter().for_each(|line| crate::fill::say(line));
        Ok(())
    }

    fn archive<W: Write>(&self, root: &Root, output: W, shown: &Path) -> Result<(), Error> {
        let call = || format!("write({})", shown.display());
        if self.is_gzip {
            let mut gzip = flate2::write::GzEncoder::new(output, flate2::Compression::default());
            self.members(root, &mut gzip, shown)?;
            gzip.finish()
                .and_then(|mut output| output.flush())
                .call(call)?;
        } else {
            let mut output = output;
            self.members(root, &mut output, shown)?;
            output.flush().call(call)?;
        }
        Ok(())
    }

    fn members(&self, root: &Root, output: &mut dyn Write, shown: &Path) -> Result<(), Error> {
        match self.format {
            Format::Cpio => self.walk(root, &mut cpio::Cpio::new(output), shown),
            _ => self.walk(root, &mut tar::Tar::new(output), shown),
        }
    }

    /// Adds what is in the box, in the order in which it goes out.
    fn walk(&self, root: &Root, archive: &mut dyn Archive, shown: &Path) -> Result<(), Error> {
        let mut left_out = Vec::new();
        let failed = |error: io::Error, path: &Path| written(&error, shown, path);
        let stat = rustix::fs::fstat(root).call(|| "fstat(box)".into())?;
        let mut numbers = Numbers::default();
        walk(root.readable()?, root.shown(), |item| {
            numbers.count(item);
            Ok::<_, Error>(())
        })?;
        // cpio(1) writes the contents with the last name of a file, and others rely on it; tar(1) with the first.
        let carries = |packed: &Packed| match self.format {
            Format::Cpio => packed.is_last,
            _ => packed.first.is_none(),
        };
        let top = self.packed(PathBuf::from("."), stat, &mut numbers);
        archive
            .add(&top, None)
            .map_err(|error| failed(error, &top.path))?;
        walk(root.readable()?, root.shown(), |item| {
            let path = item.path.strip_prefix("/").unwrap_or(item.path);
            let mut packed = self.packed(path.to_owned(), item.stat, &mut numbers);
            match packed.kind {
                FileType::Socket => left_out.push(path.to_owned()),
                FileType::RegularFile if carries(&packed) => {
                    let mut contents = Exactly::open(item)?;
                    packed.capability = capability(&contents.file);
                    let added = archive.add(&packed, Some(&mut contents));
                    added.map_err(|error| failed(error, path))?;
                }
                kind => {
                    if kind == FileType::Symlink {
                        packed.target = item.target()?;
                    }
                    archive
                        .add(&packed, None)
                        .map_err(|error| failed(error, path))?;
                }
            }
            Ok::<_, Error>(())
        })?;
        archive
            .finish()
            .map_err(|error| failed(error, Path::new("the end")))?;
        for path in left_out {
            crate::fill::say(&format!("mkbox: {}: a socket, left out", path.display()));
        }
        Ok(())
    }

    fn packed(&self, path: PathBuf, stat: Stat, numbers: &mut Numbers) -> Packed {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let (number, first, names, is_last) = numbers.meet(&path, &stat);
        Packed {
            path,
            kind,
            mtime: self
                .newest
                .map_or(stat.st_mtime, |newest| stat.st_mtime.min(newest)),
            stat,
            number,
            first,
            names,
            is_last,
            target: PathBuf::new(),
            capability: None,
        }
    }
}

/// A directory that is not empty is somebody's, and one in the box has no end.
fn refuse(root: &Root, path: &Path, target: &Root) -> Result<(), Error> {
    let shown = path.display();
    if !target.is_empty()? {
        return Err(Error::Failed(format!("--output {shown}: is not empty")));
    }
    let place = std::fs::canonicalize(path).call(|| format!("realpath({shown})"))?;
    is_outside(root, path, &place)
}

/// Of `path`, which is or will be at or in `place`.
fn is_outside(root: &Root, path: &Path, place: &Path) -> Result<(), Error> {
    match place.starts_with(root.shown()) {
        true => Err(Error::Usage(format!(
            "--output {}: lies in the box",
            path.display()
        ))),
        false => Ok(()),
    }
}

/// What a name like `x.tar.gz` says.
fn by_name(name: &[u8]) -> Option<(Format, bool)> {
    let endings: [(&[u8], Format, bool); 5] = [
        (b".tar", Format::Tar, false),
        (b".tar.gz", Format::Tar, true),
        (b".tgz", Format::Tar, true),
        (b".cpio", Format::Cpio, false),
        (b".cpio.gz", Format::Cpio, true),
    ];
    let found = endings
        .into_iter()
        .find(|(ending, ..)| name.ends_with(ending));
    found.map(|(_, format, is_gzip)| (format, is_gzip))
}

/// The error of an archive: a failed call, or what the format cannot hold.
fn written(error: &io::Error, archive: &Path, path: &Path) -> Error {
    let (archive, path) = (archive.display(), path.display());
    match error.raw_os_error() {
        Some(errno) => SysError::new(
            format!("write({archive})"),
            nix::errno::Errno::from_raw(errno),
        )
        .into(),
        None => Error::Failed(format!("pack({archive}): {path}: {error}")),
    }
}

/// The bytes of a path.
fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        assert_eq!(by_name(b"a/x.tar.gz"), Some((Format::Tar, true)));
        assert_eq!(by_name(b"x.cpio"), Some((Format::Cpio, false)));
        assert_eq!(by_name(b"box"), None);
    }
}
