//! A file that is read whole, by its path or as `/dev/fd/N`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::{Call, SysError, duplicate};

/// A file, from its beginning.
#[derive(Debug)]
pub struct Input {
    file: File,
    /// Where to go on in a file that has places; None: a stream.
    at: Option<u64>,
}

/// The N of `/dev/fd/N` or `/proc/self/fd/N`.
#[must_use]
pub fn descriptor(path: &Path) -> Option<i32> {
    let parent = path.parent()?;
    let is_there = [Path::new("/dev/fd"), Path::new("/proc/self/fd")].contains(&parent);
    let number = path.file_name()?.to_str()?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_there && is_number)
}

impl Input {
    /// Opens `path`. The name of a descriptor means that descriptor: there may be no /proc here, or one of a box, where any
    /// file can have that name.
    ///
    /// # Errors
    /// open(2)'s.
    pub fn open(path: &Path) -> Result<Self, SysError> {
        let call = || format!("open({})", path.display());
        if let Some(number) = descriptor(path) {
            let file = File::from(duplicate(number).call(call)?);
            // Opened by that name it would begin at its beginning, whoever had read in it before.
            let is_regular = file.metadata().call(call)?.is_file();
            return Ok(Self {
                file,
                at: is_regular.then_some(0),
            });
        }
        // Not opened as a controlling terminal; a FIFO (process substitution) is waited for on purpose.
        let open = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOCTTY)
            .open(path);
        Ok(Self {
            file: open.call(call)?,
            at: None,
        })
    }
}

impl Read for Input {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(at) = &mut self.at else {
            return self.file.read(bytes);
        };
        let count = self.file.read_at(bytes, *at)?;
        *at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_descriptor_is_read_from_its_beginning_as_often_as_one_likes() {
        let file = File::open("/proc/self/status").unwrap();
        let path = format!("/dev/fd/{}", file.as_raw_fd());
        let read = || {
            let mut text = String::new();
            Input::open(Path::new(&path))
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        };
        assert!(read().starts_with("Name:") && read().starts_with("Name:"));
    }

    #[test]
    fn only_the_name_of_a_descriptor_is_one() {
        let number = |path: &str| descriptor(Path::new(path));
        assert_eq!(number("/dev/fd/63"), Some(63));
        assert_eq!(number("/proc/self/fd/3"), Some(3));
        for path in [
            "/dev/fd",
            "/dev/fd/",
            "/dev/fd/+3",
            "/dev/fd/x",
            "fd/3",
            "/dev/fd/3/x",
            "/dev/fd/99999999999",
        ] {
            assert_eq!(number(path), None, "{path}");
        }
        let missing = Input::open(Path::new("/dev/fd/4242")).unwrap_err();
        assert_eq!(missing.to_string(), "open(/dev/fd/4242): Bad file number");
    }
}
