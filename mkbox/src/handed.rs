//! The files that our own `nsrun drop` reads behind the pivot, where the caller's paths mean nothing any more, or a file of the
//! box: read before it, and handed on as sealed memory.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sys::{Call, Input, SysError};

/// Options whose value is a file: a record, as everywhere, and a profile.
const FILES: [&str; 3] = ["-P", "--pod", "--seccomp"];

/// Values of those that are no files.
const WORDS: [&str; 4] = ["-", "none", "default", ""];

/// More is read by nobody; what is longer arrives too long, and is refused there.
const MAX: u64 = (1 << 20) + (64 << 10);

/// A command line, and what it names.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) command: Vec<OsString>,
    /// Left open by the exec, and closed by `nsrun drop`.
    _files: Vec<OwnedFd>,
}

/// Where a command line names a file: the word, and how many bytes of it are the option's.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    word: usize,
    prefix: usize,
}

impl Handed {
    /// Of `command`; of any other than `nsrun drop` it is left as it is.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn new(command: &[OsString]) -> Result<Self, SysError> {
        let mut command = command.to_vec();
        let mut files = Vec::new();
        for Named { word, prefix } in named(&command) {
            let (option, path) = command[word].as_bytes().split_at(prefix);
            let file = sealed(Path::new(OsStr::from_bytes(path)))?;
            let mut name = OsStr::from_bytes(option).to_owned();
            name.push(format!("/dev/fd/{}", file.as_raw_fd()));
            command[word] = name;
            files.push(file);
        }
        Ok(Self {
            command,
            _files: files,
        })
    }
}

/// What is named before the first word that is neither an option nor can be the value of one.
fn named(command: &[OsString]) -> Vec<Named> {
    let mut found = Vec::new();
    if !matches!(command, [nsrun, drop, ..] if nsrun == "nsrun" && drop == "drop") {
        return found;
    }
    let mut before = OsStr::new("drop");
    for (word, text) in command.iter().enumerate().skip(2) {
        let bytes = text.as_bytes();
        let takes_value = before.as_bytes().starts_with(b"-") && !before.as_bytes().contains(&b'=');
        let prefix = if FILES.iter().any(|option| before == *option) {
            Some(0)
        } else if text == "--" || !bytes.starts_with(b"-") && !takes_value {
            break;
        } else {
            FILES.iter().find_map(|option| attached(option, bytes))
        };
        let is_file = |prefix: &usize| {
            WORDS
                .iter()
                .all(|word| word.as_bytes() != &bytes[*prefix..])
        };
        found.extend(prefix.filter(is_file).map(|prefix| Named { word, prefix }));
        // A value is no option, whatever it looks like.
        before = if prefix == Some(0) {
            OsStr::new("")
        } else {
            text
        };
    }
    found
}

/// `--pod=FILE` or `-PFILE`: how long what is before FILE is.
fn attached(option: &str, word: &[u8]) -> Option<usize> {
    let rest = word.strip_prefix(option.as_bytes())?;
    match (option.len(), rest) {
        (_, [b'=', _, ..]) => Some(option.len() + 1),
        (2, [_, ..]) => Some(2),
        _ => None,
    }
}

/// What is in `path`, in memory that nobody can change and that leads to no file of the host.
fn sealed(path: &Path) -> Result<OwnedFd, SysError> {
    let call = |name: &str| format!("{name}({})", path.display());
    let mut source = Input::open(path)?.take(MAX);
    // Not close-on-exec: who reads it is exec'd.
    let copy = memfd_create("record", MemfdFlags::ALLOW_SEALING).call(|| call("memfd_create"))?;
    let mut copy = std::fs::File::from(copy);
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).call(|| call("read"))?;
    copy.write_all(&bytes)
        .and_then(|()| copy.rewind())
        .call(|| call("write"))?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, seals).call(|| call("fcntl(F_ADD_SEALS)"))?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let text = |named: &Named| words[named.word].to_str().unwrap()[named.prefix..].to_owned();
        named(&words).iter().map(text).collect()
    }

    #[test]
    fn the_files_of_drop_are_found_and_those_of_its_command_are_not() {
        for (line, expected) in [
            ("nsrun drop -P a -- sh -P b", vec!["a"]),
            (
                "nsrun drop --user 5 --pod a --seccomp b sh -P c",
                vec!["a", "b"],
            ),
            ("nsrun drop --pod=a --seccomp=b -- x", vec!["a", "b"]),
            ("nsrun drop -Pa", vec!["a"]),
            ("nsrun drop -P=a", vec!["a"]),
            ("nsrun drop --seccomp none -- x", vec![]),
            ("nsrun drop --seccomp=default -P - x", vec![]),
            ("nsrun drop -P --seccomp -P b", vec!["--seccomp", "b"]),
            ("nsrun drop sh -P a", vec![]),
            ("nsrun drop --env=A -- cat --pod a", vec![]),
            ("nsrun exec -P a -- x", vec![]),
            ("sh -c nsrun drop -P a", vec![]),
            ("nsrun drop --podium=a --pod= -P", vec![]),
        ] {
            assert_eq!(files(line), expected, "{line}");
        }
    }

    #[test]
    fn a_file_arrives_as_it_was_and_cannot_be_changed() {
        let path = std::env::temp_dir().join(format!("chroot0-handed-{}", std::process::id()));
        std::fs::write(&path, "{}").unwrap();
        let words = [
            "nsrun".into(),
            "drop".into(),
            "-P".into(),
            path.clone().into(),
        ];
        let handed = Handed::new(&words).unwrap();
        std::fs::remove_file(&path).unwrap();
        let name = handed.command[3].clone();
        assert!(name.to_str().unwrap().starts_with("/dev/fd/"), "{name:?}");
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "{}");
        assert!(std::fs::write(&name, "x").is_err());
        let missing = Handed::new(&words).unwrap_err().to_string();
        assert!(missing.ends_with("No such file or directory"), "{missing}");
    }
}
