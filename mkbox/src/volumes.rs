//! What Kubernetes calls volumes: what has to be there, or is made, before a mount has its source.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use nix::errno::Errno;
use sys::{Call, SysError, ToErrno};

use crate::error::Error;
use crate::origin::Origin;
use crate::root::Root;

/// Where the source of a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Volume {
    /// It is there.
    None,
    /// On the host, of this kind.
    HostPath(Check),
    /// An empty directory beside the box.
    EmptyDir,
    /// Copies beside the box of the files of a directory.
    Files {
        directory: PathBuf,
        mode: u32,
        items: Vec<Item>,
        /// The directory need not exist.
        optional: bool,
    },
}

impl Volume {
    /// A relative directory counts from `here`.
    pub(crate) fn resolved(self, here: &Path) -> Self {
        match self {
            Self::Files {
                directory,
                mode,
                items,
                optional,
            } => Self::Files {
                directory: here.join(directory),
                mode,
                items,
                optional,
            },
            other => other,
        }
    }

    /// What is made for it, for `--dry-run`.
    pub(crate) fn describe(&self, source: &Path) -> Option<String> {
        let shown = source.display();
        match self {
            Self::HostPath(check) if !source.exists() => match check.makes()? {
                PathKind::Directory => Some(format!("mkdir({shown})")),
                PathKind::File => Some(format!("open({shown}, O_CREAT|O_EXCL)")),
            },
            Self::None | Self::HostPath(_) => None,
            Self::EmptyDir => Some(format!("mkdir({shown})")),
            Self::Files { directory, .. } => {
                Some(format!("'{}/*' -> '{shown}'", directory.display()))
            }
        }
    }

    /// Whether it is made beside the box.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self, Self::EmptyDir | Self::Files { .. })
    }
}

/// `hostPath.type`: what a path has to be, and whether it may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Any,
    /// docker(1): a directory is made of what is missing.
    AnyOrCreate,
    Directory,
    DirectoryOrCreate,
    File,
    FileOrCreate,
    Socket,
    CharDevice,
    BlockDevice,
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" => Self::Any,
            "Directory" => Self::Directory,
            "DirectoryOrCreate" => Self::DirectoryOrCreate,
            "File" => Self::File,
            "FileOrCreate" => Self::FileOrCreate,
            "Socket" => Self::Socket,
            "CharDevice" => Self::CharDevice,
            "BlockDevice" => Self::BlockDevice,
            _ => {
                return Err(format!(
                    "hostpath-type={text}: Directory, DirectoryOrCreate, File, FileOrCreate, Socket, CharDevice or BlockDevice"
                ));
            }
        })
    }
}

impl Check {
    /// What is made of a path that is missing: a directory, a file, or nothing.
    fn makes(self) -> Option<PathKind> {
        match self {
            Self::AnyOrCreate | Self::DirectoryOrCreate => Some(PathKind::Directory),
            Self::FileOrCreate => Some(PathKind::File),
            _ => None,
        }
    }

    /// Whether `path` is, or will be made, a directory.
    ///
    /// # Errors
    /// It is something else than what is asked for, or is not there.
    pub(crate) fn is_directory(self, path: &Path) -> Result<bool, Error> {
        let call = || format!("stat({})", path.display());
        let kind = match fs::metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(error) => {
                let error = SysError::new(call(), error);
                return match self.makes() {
                    Some(made) if error.errno == nix::errno::Errno::ENOENT => {
                        Ok(made == PathKind::Directory)
                    }
                    _ => Err(error.into()),
                };
            }
        };
        let (is_fine, wanted) = match self {
            Self::Any | Self::AnyOrCreate => (true, ""),
            Self::Directory | Self::DirectoryOrCreate => (kind.is_dir(), "directory"),
            Self::File | Self::FileOrCreate => (kind.is_file(), "regular file"),
            Self::Socket => (kind.is_socket(), "socket"),
            Self::CharDevice => (kind.is_char_device(), "character device"),
            Self::BlockDevice => (kind.is_block_device(), "block device"),
        };
        if is_fine {
            return Ok(kind.is_dir());
        }
        Err(Error::Failed(format!(
            "hostPath {}: is no {wanted}",
            path.display()
        )))
    }

    /// Makes the path if it is missing and may be made. It is the host's from then on: `down` leaves it, as Kubernetes does.
    ///
    /// # Errors
    /// What mkdir(2) and open(2) answer.
    pub(crate) fn make(self, path: &Path) -> Result<(), Error> {
        let shown = path.display();
        match self.makes() {
            _ if path.exists() => Ok(()),
            None => Ok(()),
            Some(PathKind::Directory) => {
                let made = fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o755)
                    .create(path);
                Ok(made.call(|| format!("mkdir({shown})"))?)
            }
            Some(PathKind::File) => {
                let open = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o644)
                    .open(path);
                Ok(open.map(drop).call(|| format!("open({shown})"))?)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PathKind {
    Directory,
    File,
}

/// `items[]` of a configMap or secret: which file, where, with which mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    key: String,
    path: PathBuf,
    mode: Option<u32>,
}

impl FromStr for Item {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || format!("item={text}: KEY:PATH[:MODE], both relative and without \"..\"");
        let mut parts = text.splitn(3, ':');
        let is_relative = |path: &str| {
            let mut parts = Path::new(path).components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let key = parts
            .next()
            .filter(|key| is_relative(key))
            .ok_or_else(bad)?;
        let path = parts
            .next()
            .filter(|path| is_relative(path))
            .ok_or_else(bad)?;
        Ok(Self {
            key: key.into(),
            path: path.into(),
            mode: parts.next().map(mode).transpose()?,
        })
    }
}

/// Permission bits, octal.
///
/// # Errors
/// None, or more than twelve bits.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let is_octal = !text.is_empty() && text.bytes().all(|digit| (b'0'..b'8').contains(&digit));
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| is_octal && *mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is no mode (octal, 0400)"))
}

/// A quantity of Kubernetes in bytes: `64Mi`, `1G`, `4096`.
///
/// # Errors
/// It is none.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let units = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000_u64),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|&(name, unit)| Some((text.strip_suffix(name)?, unit)))
        .unwrap_or((text, 1));
    let number: Option<u64> = number.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|&bytes| bytes > 0 && text.starts_with(|first: char| first.is_ascii_digit()))
        .ok_or_else(|| format!("{text:?} is no size (64Mi, 1G, 4096)"))
}

/// Makes what `volume` needs as `inside`, a path in the directory beside the box.
///
/// # Errors
/// The first call that fails. What is made stays: the caller undoes it.
pub(crate) fn store(root: &Root, inside: &Path, volume: &Volume) -> Result<(), Error> {
    match volume {
        Volume::None | Volume::HostPath(_) => Ok(()),
        Volume::EmptyDir => {
            let directory = root.make_directory(inside)?;
            // Whoever the process in the box is, it may write there, as the kubelet has it.
            let mode = rustix::fs::fchmod(&directory, 0o777.into());
            Ok(mode.call(|| format!("chmod({})", root.show(inside)))?)
        }
        Volume::Files {
            directory,
            mode,
            items,
            optional,
        } => {
            root.make_directory(inside)?;
            let stat = || format!("stat({})", directory.display());
            if *optional && !directory.try_exists().call(stat)? {
                return Ok(());
            }
            let mut chosen: Vec<Item> = items.clone();
            if chosen.is_empty() {
                chosen = all(directory)?;
            }
            for item in &chosen {
                copy(root, inside, directory, item, *mode)?;
            }
            Ok(())
        }
    }
}

/// The files of a directory, as Kubernetes' keys: what begins with `..` is the bookkeeping of a mounted configMap.
fn all(directory: &Path) -> Result<Vec<Item>, Error> {
    let call = || format!("open({})", directory.display());
    let mut items = Vec::new();
    for entry in fs::read_dir(directory).call(call)? {
        let entry = entry.call(call)?;
        let name = entry.file_name();
        let Some(key) = name.to_str() else {
            return Err(Error::Failed(format!(
                "{}: a name in it is not UTF-8",
                directory.display()
            )));
        };
        // Through links: a mounted configMap has nothing else.
        if !key.starts_with("..") && is_file(&entry.path())? {
            items.push(Item {
                key: key.into(),
                path: key.into(),
                mode: None,
            });
        }
    }
    Ok(items)
}

/// A key that could not be looked at would be missing, and nobody be told; a link that leads nowhere is none.
fn is_file(path: &Path) -> Result<bool, Error> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file()),
        Err(error) if matches!(error.to_errno(), Errno::ENOENT | Errno::ELOOP) => Ok(false),
        Err(error) => Err(SysError::new(format!("stat({})", path.display()), error).into()),
    }
}

fn copy(root: &Root, inside: &Path, directory: &Path, item: &Item, mode: u32) -> Result<(), Error> {
    let target = inside.join(&item.path);
    let call = |name: &str| format!("{name}({})", root.show(&target));
    let mut source = Origin::default().open_regular(&directory.join(&item.key))?;
    let parent = root.make_directory(target.parent().unwrap_or(inside))?;
    let name = target.file_name().unwrap_or_default();
    let mut file = Root::create(&parent, name, item.mode.unwrap_or(mode)).call(|| call("open"))?;
    std::io::copy(&mut source, &mut file).call(|| call("copy_file_range"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_modes_are_those_of_kubernetes() {
        assert_eq!(bytes("64Mi"), Ok(64 << 20));
        assert_eq!(bytes("1G"), Ok(1_000_000_000));
        assert_eq!(bytes("4096"), Ok(4096));
        for bad in [
            "",
            "0",
            "-1",
            "+1",
            "1.5Gi",
            "Mi",
            "99999999999999Ti",
            "1 Mi",
            "1KiB",
        ] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(mode("0400"), Ok(0o400));
        for bad in ["", "8", "0o400", "10000", "-1", "4755"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_on_the_host_has_to_be_what_is_said() {
        let is_directory = |check: &str, path: &str| {
            check
                .parse::<Check>()
                .unwrap()
                .is_directory(Path::new(path))
                .map_err(|error| error.to_string())
        };
        assert_eq!(is_directory("Directory", "/"), Ok(true));
        assert_eq!(is_directory("CharDevice", "/dev/null"), Ok(false));
        assert_eq!(is_directory("DirectoryOrCreate", "/no/such"), Ok(true));
        assert_eq!(is_directory("FileOrCreate", "/no/such"), Ok(false));
        assert_eq!(
            is_directory("File", "/").unwrap_err(),
            "hostPath /: is no regular file"
        );
        assert_eq!(
            is_directory("", "/no/such").unwrap_err(),
            "stat(/no/such): No such file or directory"
        );
    }
}
