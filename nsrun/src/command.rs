//! Running CMD: looked up in PATH as the shell does, where this process is by then.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, access, execv, execve, execveat};

use crate::error::Error;

/// What is run and with what.
#[derive(Debug)]
pub(crate) struct Command {
    name: OsString,
    /// `argv`, the name included.
    arguments: Vec<CString>,
}

impl Command {
    /// Of `argv`.
    ///
    /// # Errors
    /// It is empty.
    pub(crate) fn new(argv: &[OsString]) -> Result<Self, Error> {
        let name = argv.first().filter(|name| !name.is_empty());
        let name = name
            .ok_or_else(|| Error::Usage("the name of the command is empty".into()))?
            .clone();
        let arguments = argv
            .iter()
            .map(|argument| c_string(argument.as_bytes()))
            .collect();
        Ok(Self { name, arguments })
    }

    /// As a user reads it in a plan.
    pub(crate) fn line(&self) -> String {
        let words = self.arguments.iter().map(|word| word.to_string_lossy());
        format!("execve({})", words.collect::<Vec<_>>().join(" "))
    }

    /// Replaces this process by the command, with the environment of this process; returns only when that failed.
    ///
    /// Not by `std::process::Command`: that one gives SIGPIPE its default even where the caller ignores it, and
    /// musl's execvp runs no script without `#!`, which the shells and glibc do.
    pub(crate) fn exec(&self) -> Error {
        if self.name.as_bytes().contains(&b'/') {
            let path = c_string(self.name.as_bytes());
            let errno = self.try_path(&path);
            return Error::exec(
                self.name.clone(),
                errno,
                access(path.as_c_str(), AccessFlags::F_OK).is_ok(),
            );
        }
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
        let mut answer = Errno::ENOENT;
        let mut is_there = false;
        for dir in path.as_bytes().split(|&byte| byte == b':') {
            let file = c_string(
                &[
                    if dir.is_empty() { b"." } else { dir },
                    b"/",
                    self.name.as_bytes(),
                ]
                .concat(),
            );
            match self.try_path(&file) {
                Errno::ENOENT => is_there |= access(file.as_c_str(), AccessFlags::F_OK).is_ok(),
                Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {}
                // Another directory may have one that runs.
                Errno::EACCES => answer = Errno::EACCES,
                errno => return Error::exec(self.name.clone(), errno, true),
            }
        }
        Error::exec(self.name.clone(), answer, is_there)
    }

    /// execve(2), and the shell for a text without `#!`.
    fn try_path(&self, path: &CString) -> Errno {
        let Err(errno) = execv(path, &self.arguments);
        if errno != Errno::ENOEXEC {
            return errno;
        }
        let mut script = vec![c"/bin/sh".to_owned(), path.clone()];
        script.extend(self.arguments.iter().skip(1).cloned());
        let Err(_) = execv(c"/bin/sh", &script);
        Errno::ENOEXEC
    }

    /// Replaces this process by the program `file`, found before this process went elsewhere; returns only when that failed.
    pub(crate) fn exec_file(&self, file: &Program, environment: bool) -> Error {
        let variables = std::env::vars_os().filter(|_| environment);
        let variables: Vec<CString> = variables
            .map(|(name, value)| c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect();
        let errno = match file {
            Program::Path(path) => execve(path, &self.arguments, &variables).err(),
            Program::File(fd) => {
                execveat(fd, c"", &self.arguments, &variables, AtFlags::AT_EMPTY_PATH).err()
            }
        };
        Error::exec(self.name.clone(), errno.unwrap_or(Errno::ENOENT), true)
    }
}

/// A program that is there.
#[derive(Debug)]
pub(crate) enum Program {
    /// By path: its name is what ps(1) shows.
    Path(CString),
    /// By descriptor, where the path may lead elsewhere by then.
    File(OwnedFd),
}

/// An argument never holds a NUL: it came as a C string.
pub(crate) fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}

/// What runs when no command is given: the user's shell, as in unshare(1).
pub(crate) fn shell() -> Vec<OsString> {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    vec![shell.unwrap_or_else(|| OsStr::new("/bin/sh").to_owned())]
}

impl Command {
    /// The words of `argv` behind `head`.
    pub(crate) fn under(head: Vec<OsString>, argv: &[OsString]) -> Result<Self, Error> {
        let mut words = head;
        if !argv.is_empty() {
            words.push(OsString::from_vec(b"--".to_vec()));
            words.extend_from_slice(argv);
        }
        Self::new(&words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(name: &str) -> (String, u8) {
        let error = Command::new(&[name.into()]).unwrap().exec();
        (error.to_string(), error.exec_status())
    }

    #[test]
    fn not_found_is_127_and_not_runnable_126() {
        assert_eq!(
            failure("/no/such"),
            ("exec(/no/such): No such file or directory".into(), 127)
        );
        assert_eq!(failure("no-such-program").1, 127);
        assert_eq!(failure("/"), ("exec(/): Permission denied".into(), 126));
        assert!(Command::new(&["".into()]).is_err());
    }

    #[test]
    fn a_command_goes_under_the_one_that_holds_the_pod() {
        let head = || vec!["pause".into(), "--id".into(), "foo".into()];
        assert_eq!(
            Command::under(head(), &[]).unwrap().line(),
            "execve(pause --id foo)"
        );
        let with = Command::under(head(), &["sleep".into(), "--help".into()]).unwrap();
        assert_eq!(with.line(), "execve(pause --id foo -- sleep --help)");
    }
}
