//! What was changed of the host itself, noted where a flush of the ruleset does not take it.
//!
//! Beside the indexes, in a file of this network namespace: a line for each thing. It is written before the thing is done and
//! goes with the table, so that `reapply` knows what else was there, and the last `down` what it has to turn back.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::errno::Errno;
use record::names;
use sys::{Call, SysError, ToErrno, gone, is_still};

use crate::error::Error;
use crate::uplink::Uplink;

const ACCEPTED: [&str; 2] = ["accepted ip", "accepted ip6"];

/// Things of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Switches that were turned.
    pub(crate) opened: Vec<Uplink>,
    /// Whether packets of IPv4 and of IPv6 are to pass the chains of others.
    pub(crate) accepted: [bool; 2],
}

impl Noted {
    /// As it is at this moment; nothing, where there is no file.
    pub(crate) fn read() -> Result<Self, Error> {
        let path = path()?;
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.to_errno() == Errno::ENOENT => Ok(Self::default()),
            Err(error) => Err(SysError::new(format!("open({})", path.display()), error).into()),
        }
    }

    /// A line without its end is of somebody who was killed before he did anything.
    fn parse(text: &str) -> Self {
        let mut noted = Self::default();
        for line in text.split_inclusive('\n') {
            let Some(line) = line.strip_suffix('\n') else {
                break;
            };
            match ACCEPTED.iter().position(|accepted| *accepted == line) {
                Some(family) => noted.accepted[family] = true,
                None => noted.opened.extend(Uplink::of_note(line)),
            }
        }
        noted
    }

    fn lines(&self) -> Vec<String> {
        let accepted = ACCEPTED.iter().zip(self.accepted);
        let accepted = accepted.filter(|(_, is)| *is).map(|(line, _)| line);
        let opened = self.opened.iter().map(Uplink::note);
        opened
            .chain(accepted.map(|line| (*line).to_owned()))
            .collect()
    }

    pub(crate) fn accepts(&self) -> bool {
        self.accepted.contains(&true)
    }
}

/// The file, locked until this value goes.
#[derive(Debug)]
pub(crate) struct Notes {
    path: PathBuf,
    file: File,
}

impl Notes {
    /// With what is about to be done added.
    pub(crate) fn with(new: &Noted) -> Result<Self, Error> {
        loop {
            if let Some(mut notes) = Self::open(true)? {
                notes.add(new)?;
                return Ok(notes);
            }
        }
    }

    /// None: nothing was noted.
    pub(crate) fn lock() -> Result<Option<Self>, Error> {
        Self::open(false)
    }

    fn open(make: bool) -> Result<Option<Self>, Error> {
        let path = path()?;
        loop {
            let open = OpenOptions::new()
                .read(true)
                .write(true)
                .create(make)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path);
            let file = match open {
                Ok(file) => file,
                Err(error) if error.to_errno() == Errno::ENOENT && !make => return Ok(None),
                Err(error) => {
                    return Err(SysError::new(format!("open({})", path.display()), error).into());
                }
            };
            file.lock().call(|| format!("flock({})", path.display()))?;
            // Who had it before us may have removed it.
            if is_still(&file, &path) {
                return Ok(Some(Self { path, file }));
            }
        }
    }

    /// What it says.
    pub(crate) fn noted(&mut self) -> Result<Noted, Error> {
        Ok(Noted::parse(&self.text()?))
    }

    fn text(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        let read = self.file.seek(SeekFrom::Start(0));
        let read = read.and_then(|_| self.file.read_to_string(&mut text));
        read.call(|| format!("read({})", self.path.display()))?;
        Ok(text)
    }

    fn add(&mut self, new: &Noted) -> Result<(), Error> {
        let text = self.text()?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let known = Noted::parse(&text).lines();
        let mut lines = new.lines();
        lines.retain(|line| !known.contains(line));
        let lines: String = lines.into_iter().map(|line| line + "\n").collect();
        let written = self
            .file
            .set_len(whole as u64)
            .and_then(|()| self.file.seek(SeekFrom::End(0)))
            .and_then(|_| self.file.write_all(lines.as_bytes()));
        if written.is_err() {
            // Nothing is done that is not noted.
            let _ = match whole {
                0 => fs::remove_file(&self.path),
                _ => self.file.set_len(whole as u64),
            };
        }
        Ok(written.call(|| format!("write({})", self.path.display()))?)
    }

    /// All of it is as it was before.
    pub(crate) fn forget(self) -> Result<(), Error> {
        let call = || format!("unlink({})", self.path.display());
        Ok(gone(fs::remove_file(&self.path)).call(call)?)
    }
}

/// No id begins with a dot. Indexes may be shared by machines within the machine, whose interfaces have the same names.
fn path() -> Result<PathBuf, Error> {
    const OURS: &str = "/proc/thread-self/ns/net";
    let namespace = fs::metadata(OURS).call(|| format!("stat({OURS})"))?.ino();
    Ok(names::run_dir().join(format!(".host-{namespace}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::Switch;

    #[test]
    fn what_is_written_is_read_and_half_a_line_is_not() {
        let uplink = |switch, name: &str| Uplink {
            switch,
            name: name.into(),
        };
        let noted = Noted {
            opened: vec![
                uplink(Switch::Forward4, "eth0.100"),
                uplink(Switch::Forward6, "up0"),
                uplink(Switch::Filter, "up0"),
            ],
            accepted: [true, false],
        };
        let text = noted.lines().join("\n") + "\n";
        assert_eq!(
            text,
            "net.ipv4.conf.eth0.100.forwarding was 0\nnet.ipv6.conf.up0.force_forwarding was 0\n\
             net.ipv4.conf.up0.rp_filter was 1\naccepted ip\n"
        );
        assert_eq!(Noted::parse(&text), noted);
        let half = Noted::parse(text.strip_suffix('\n').unwrap());
        assert_eq!(half.opened, noted.opened);
        assert!(!half.accepts());
        assert_eq!(
            Noted::parse("net.ipv4.conf.a/b.forwarding was 0\n?\n"),
            Noted::default()
        );
    }
}
